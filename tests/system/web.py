"""larderd's HTTP side, as a client sees it."""

import http.client
import re
import socket
from types import SimpleNamespace


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=15)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


def get(port, path="/metrics", method="GET", headers=None, host="127.0.0.1",
        body=None, connection=None):
    """One request; status, headers, body (text).  A header of None is left
    out, as Host can be."""
    conn = connection or http.client.HTTPConnection(host, port, timeout=15)
    headers = {"Host": "localhost"} | (headers or {})
    conn.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for key, value in headers.items():
        if value is not None:
            conn.putheader(key, value)
    if body is not None:
        conn.putheader("Content-Length", str(len(body)))
    conn.endheaders(body)
    got = conn.getresponse()
    text = got.read().decode()
    if connection is None:
        conn.close()
    return SimpleNamespace(status=got.status, headers=got.headers, text=text)


SAMPLE = re.compile(r'(\w+)(?:\{(.*)\})? (\S+)')


def samples(text):
    """{(name, label, …): value} of an exposition; labels as 'key=value'."""
    out = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = SAMPLE.fullmatch(line).groups()
        labels = re.findall(r'(\w+)="([^"]*)"', labels or "")
        key = (name, *(f"{k}={v}" for k, v in labels))
        assert key not in out, f"twice: {line}"
        out[key] = float(value)
    return out


def scrape(port, **kw):
    got = get(port, **kw)
    assert got.status == 200, got.text
    return samples(got.text)


def http_conf(port, **more):
    return {"metrics-listen": [f"127.0.0.1:{port}"], **more}
