"""Certificates of this run: an authority, and what it signs.

    ca = Authority(folder)
    cert = ca.issue("dns.example")              # ready for TLS and for larderd
    cert.path, cert.pin, ca.path

Keys are P-256, which costs next to nothing.  Every mistake that a certificate
can have is one argument.
"""

import base64
import datetime
import hashlib
import ipaddress
import itertools
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_serial = itertools.count(1)


def _common_name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Certificate:
    """A certificate with its key, in one PEM file; `chain` stands behind it."""

    def __init__(self, path, key, cert, chain=()):
        self.key, self.cert = key, cert
        self.path = Path(path)
        self.path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM,
                              serialization.PrivateFormat.PKCS8,
                              serialization.NoEncryption())
            + b"".join(c.cert.public_bytes(serialization.Encoding.PEM)
                       for c in (self, *chain)))

    @property
    def pin(self):
        """sha256/…, as larder.yaml has it (RFC 7858 s. 4.2)."""
        spki = self.key.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo)
        return "sha256/" + base64.b64encode(
            hashlib.sha256(spki).digest()).decode()

    def context(self, alpn=("dot",), *, newest=None, oldest=None,
                ciphers=None, tickets=True):
        """What a TLS server needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        if ciphers:
            context.set_ciphers(ciphers)
        context.minimum_version = oldest or ssl.TLSVersion.TLSv1_2
        if newest:
            context.maximum_version = newest
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if not tickets:
            context.num_tickets = 0
            context.options |= ssl.OP_NO_TICKET
        return context


class Authority:
    def __init__(self, folder, name="authority of a test"):
        self.dir, self.name = Path(folder), name
        self.own = self._make(name, [], None, -1, 365, True)
        self.path = self.dir / f"{self.own.path.stem}-only.pem"
        self.path.write_bytes(
            self.own.cert.public_bytes(serialization.Encoding.PEM))

    @property
    def pin(self):
        return self.own.pin

    def issue(self, *names, common="server", begins=-1, ends=30, own=False):
        """names: host names and addresses it bears; begins, ends: days from
        now; own: signed by itself and not by the authority."""
        return self._make(common, names, None if own else self, begins, ends,
                          False)

    def _make(self, common, names, issuer, begins, ends, is_authority):
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow()
        builder = (
            x509.CertificateBuilder()
            .subject_name(_common_name(common))
            .issuer_name(issuer.own.cert.subject if issuer
                         else _common_name(common))
            .public_key(key.public_key())
            .serial_number(next(_serial))
            .not_valid_before(now + datetime.timedelta(days=begins))
            .not_valid_after(now + datetime.timedelta(days=ends))
            .add_extension(x509.BasicConstraints(is_authority, None), True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [_alternative(n) for n in names]), False)
        if not is_authority:
            builder = builder.add_extension(x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH]), False)
        signer = issuer.own.key if issuer else key
        path = self.dir / f"cert-{next(_serial)}.pem"
        return Certificate(path, key, builder.sign(signer, hashes.SHA256()))
