/* tls_rig.c - see tls_rig.h. */
#include "tls_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#define GOOD(call) assert_true((call) >= 0)

/* ---- certificates ---- */

static void rig_cert_name(gnutls_x509_crt_t crt, const struct rig_cert_conf *conf)
{
	const char    *common = conf->common ? conf->common : "rig";
	struct in_addr ip;

	GOOD(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, common, (unsigned)strlen(common)));
	if (conf->dns)
		GOOD(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, conf->dns,
		                                          (unsigned)strlen(conf->dns), GNUTLS_FSAN_APPEND));
	if (!conf->ip)
		return;
	assert_int_equal(inet_pton(AF_INET, conf->ip, &ip), 1);
	GOOD(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, &ip, sizeof ip, GNUTLS_FSAN_APPEND));
}

/* GnuTLS knows the names in a certificate only when it has read it. */
static void rig_cert_read_again(gnutls_x509_crt_t *crt)
{
	gnutls_datum_t der;

	GOOD(gnutls_x509_crt_export2(*crt, GNUTLS_X509_FMT_DER, &der));
	gnutls_x509_crt_deinit(*crt);
	GOOD(gnutls_x509_crt_init(crt));
	GOOD(gnutls_x509_crt_import(*crt, &der, GNUTLS_X509_FMT_DER));
	gnutls_free(der.data);
}

void rig_cert_init(struct rig_cert *c, const struct rig_cert_conf *conf)
{
	static uint8_t         serial;
	time_t                 now = time(NULL);
	bool                   today = !conf->from_s && !conf->until_s;
	const struct rig_cert *issuer = conf->issuer ? conf->issuer : c;

	GOOD(gnutls_x509_privkey_init(&c->key));
	GOOD(gnutls_x509_privkey_generate(c->key, GNUTLS_PK_ECDSA,
	                                  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	GOOD(gnutls_x509_crt_init(&c->crt));
	GOOD(gnutls_x509_crt_set_version(c->crt, 3));
	serial++;
	GOOD(gnutls_x509_crt_set_serial(c->crt, &serial, 1));
	GOOD(gnutls_x509_crt_set_activation_time(c->crt, now + (today ? -RIG_DAY : conf->from_s)));
	GOOD(gnutls_x509_crt_set_expiration_time(c->crt, now + (today ? 3 * RIG_DAY : conf->until_s)));
	rig_cert_name(c->crt, conf);
	GOOD(gnutls_x509_crt_set_basic_constraints(c->crt, conf->authority, -1));
	GOOD(gnutls_x509_crt_set_key(c->crt, c->key));
	GOOD(gnutls_x509_crt_sign2(c->crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0));
	rig_cert_read_again(&c->crt);
	c->issuer = conf->issuer;
}

void rig_cert_done(struct rig_cert *c)
{
	gnutls_x509_crt_deinit(c->crt);
	gnutls_x509_privkey_deinit(c->key);
}

void rig_cert_pin(const struct rig_cert *c, uint8_t out[32])
{
	size_t len = 32;

	GOOD(gnutls_x509_crt_get_key_id(c->crt, GNUTLS_KEYID_USE_SHA256, out, &len));
}

void rig_cert_write(const struct rig_cert *c, char *name)
{
	gnutls_datum_t pem;
	int            fd;

	strcpy(name, "/tmp/test_tls.XXXXXX");
	fd = mkstemp(name);
	assert_true(fd >= 0);
	GOOD(gnutls_x509_crt_export2(c->crt, GNUTLS_X509_FMT_PEM, &pem));
	assert_int_equal(write(fd, pem.data, pem.size), (ssize_t)pem.size);
	gnutls_free(pem.data);
	close(fd);
}

/* ---- a server ---- */

static ssize_t rig_on_pull(gnutls_transport_ptr_t arg, void *out, size_t size)
{
	struct rig_tls *r = arg;
	size_t          n = r->in_len < size ? r->in_len : size;

	if (!n) {
		gnutls_transport_set_errno(r->session, EAGAIN);
		return -1;
	}
	memcpy(out, r->in, n);
	memmove(r->in, r->in + n, r->in_len -= n);
	return (ssize_t)n;
}

static int rig_on_pull_timeout(gnutls_transport_ptr_t arg, unsigned ms)
{
	(void)ms;
	return ((const struct rig_tls *)arg)->in_len > 0;
}

static ssize_t rig_on_push(gnutls_transport_ptr_t arg, const void *octets, size_t len)
{
	struct rig_tls *r = arg;

	assert_true(len <= RIG_BUFFER - r->out_len);
	memcpy(r->out + r->out_len, octets, len);
	r->out_len += len;
	return (ssize_t)len;
}

void rig_tls_init(struct rig_tls *r, const struct rig_cert *cert)
{
	gnutls_x509_crt_t chain[4];
	unsigned          n = 0;

	memset(r, 0, sizeof *r);
	for (const struct rig_cert *c = cert; c && (!n || c->issuer); c = c->issuer)
		chain[n++] = c->crt;
	GOOD(gnutls_certificate_allocate_credentials(&r->credentials));
	GOOD(gnutls_certificate_set_x509_key(r->credentials, chain, (int)n, cert->key));
}

void rig_tls_done(struct rig_tls *r)
{
	if (r->session)
		gnutls_deinit(r->session);
	gnutls_certificate_free_credentials(r->credentials);
	gnutls_free(r->ticket_key.data);
}

void rig_tls_begin(struct rig_tls *r)
{
	if (r->session)
		gnutls_deinit(r->session);
	r->in_len = r->out_len = 0;
	r->open = false;
	GOOD(gnutls_init(&r->session, GNUTLS_SERVER | GNUTLS_NONBLOCK));
	GOOD(gnutls_priority_set_direct(r->session, r->priority ? r->priority : "NORMAL", NULL));
	GOOD(gnutls_credentials_set(r->session, GNUTLS_CRD_CERTIFICATE, r->credentials));
	if (r->ticket_key.data)
		GOOD(gnutls_session_ticket_enable_server(r->session, &r->ticket_key));
	if (r->alpn)
		GOOD(gnutls_alpn_set_protocols(r->session, &(gnutls_datum_t){ (unsigned char *)(uintptr_t)r->alpn,
		                                                             (unsigned)strlen(r->alpn) }, 1, 0));
	gnutls_transport_set_ptr(r->session, r);
	gnutls_transport_set_push_function(r->session, rig_on_push);
	gnutls_transport_set_pull_function(r->session, rig_on_pull);
	gnutls_transport_set_pull_timeout_function(r->session, rig_on_pull_timeout);
	gnutls_handshake_set_timeout(r->session, 0);
}

static void rig_tls_shake_hands(struct rig_tls *r)
{
	size_t   len = sizeof r->server_name;
	unsigned type;

	if (gnutls_handshake(r->session) < 0)
		return;
	r->open = true;
	r->server_name[0] = '\0';
	gnutls_server_name_get(r->session, r->server_name, &len, &type, 0);
}

size_t rig_tls_hear(struct rig_tls *r, const uint8_t *octets, size_t len, uint8_t *plain, size_t size)
{
	size_t  have = 0;
	ssize_t n;

	assert_true(len <= RIG_BUFFER - r->in_len);
	if (len)
		memcpy(r->in + r->in_len, octets, len);
	r->in_len += len;
	if (!r->open)
		rig_tls_shake_hands(r);
	if (!r->open)
		return 0;
	while ((n = gnutls_record_recv(r->session, plain + have, size - have)) > 0)
		have += (size_t)n;
	return have;
}

void rig_tls_say(struct rig_tls *r, const void *octets, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = gnutls_record_send(r->session, (const uint8_t *)octets + at, len - at);

		assert_true(n > 0);
		at += (size_t)n;
	}
}
