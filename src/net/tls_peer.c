/* tls_peer.c - who may vouch, who is meant, and the tickets of those who were. */
#include "net/tls_peer.h"

#include "base/addr.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TICKETS_MAX      4		/* servers send two or so on a connection */
#define CHAIN_MAX        10
#define PRIORITY         "-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct tls_trust {
	_Atomic unsigned                 refs;
	bool                             system;
	gnutls_certificate_credentials_t credentials;	/* read-only once loaded: sessions of all threads use it */
	gnutls_priority_t                priority;
	uint8_t                          digest[TLS_DIGEST_LEN];	/* of all authorities; zero for nobody */
};

struct tls_peer {
	_Atomic unsigned  refs;
	struct tls_trust *trust;
	char             *name, *server_name;
	bool              opportunistic;
	struct addr       address;		/* the name, when it is one; else family 0 */
	uint8_t         (*pins)[TLS_PIN_LEN];
	size_t            pin_count;
	char             *alpn;
	bool              alpn_needed;
	uint8_t           digest[TLS_DIGEST_LEN];
	pthread_mutex_t   lock;			/* over the tickets */
	struct tls_ticket tickets[TICKETS_MAX];	/* oldest first */
	unsigned          ticket_count;
	_Atomic uint32_t  ticket_changes;
};

const char *tls_reason_text(enum tls_reason reason)
{
	static const char *const texts[] = {
		[TLS_FINE] = "fine",
		[TLS_EXPIRED] = "certificate expired",
		[TLS_NOT_YET_VALID] = "certificate not yet valid",
		[TLS_WRONG_NAME] = "certificate has another name",
		[TLS_UNKNOWN_ISSUER] = "certificate by an unknown issuer",
		[TLS_WRONG_PIN] = "key matches no pin",
		[TLS_NOBODY_EXPECTED] = "no name or pin to know it by",
		[TLS_BAD_CERTIFICATE] = "bad certificate",
		[TLS_PROTOCOL] = "no TLS that larder speaks",
		[TLS_CLOSED] = "closed by the server",
	};

	return texts[reason];
}

bool tls_reason_is_certificate(enum tls_reason reason)
{
	return reason >= TLS_EXPIRED && reason <= TLS_BAD_CERTIFICATE;
}

/* ---- whose word counts ---- */

/* A count of authorities, or a negative errno. */
static int tls_trust_add_file(struct tls_trust *t, const char *file)
{
	gnutls_datum_t pem;
	int            n;

	errno = 0;
	if (gnutls_load_file(file, &pem) < 0)
		return errno ? -errno : -ENOMEM;
	gnutls_hash_fast(GNUTLS_DIG_SHA256, pem.data, pem.size, t->digest);
	n = gnutls_certificate_set_x509_trust_mem(t->credentials, &pem, GNUTLS_X509_FMT_PEM);
	gnutls_free(pem.data);
	if (n == GNUTLS_E_MEMORY_ERROR)
		return -ENOMEM;
	return n > 0 ? n : -ENODATA;
}

static void tls_trust_digest_add(struct tls_trust *t, gnutls_x509_crt_t authority)
{
	uint8_t        hash[TLS_DIGEST_LEN] = { 0 };
	gnutls_datum_t der;

	if (gnutls_x509_crt_export2(authority, GNUTLS_X509_FMT_DER, &der) < 0)
		return;
	gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, hash);
	gnutls_free(der.data);
	for (size_t i = 0; i < sizeof hash; i++)
		t->digest[i] ^= hash[i];
}

/* In whatever order the system lists them. */
static void tls_trust_digest(struct tls_trust *t)
{
	gnutls_x509_trust_list_iter_t at = NULL;
	gnutls_x509_trust_list_t      list;
	gnutls_x509_crt_t             authority;

	gnutls_certificate_get_trust_list(t->credentials, &list);
	while (gnutls_x509_trust_list_iter_get_ca(list, &at, &authority) == 0) {
		tls_trust_digest_add(t, authority);
		gnutls_x509_crt_deinit(authority);
	}
	gnutls_x509_trust_list_iter_deinit(at);
}

static int tls_trust_add(struct tls_trust *t, const char *file)
{
	int n;

	if (!t->system)
		return *file ? tls_trust_add_file(t, file) : 0;
	n = gnutls_certificate_set_x509_system_trust(t->credentials);
	if (n <= 0)
		return -ENODATA;
	tls_trust_digest(t);
	return n;
}

int tls_trust_load(const char *file, struct tls_trust **out)
{
	struct tls_trust *t = calloc(1, sizeof *t);
	int               n;

	if (!t)
		return -ENOMEM;
	atomic_init(&t->refs, 1);
	t->system = !file;
	n = gnutls_certificate_allocate_credentials(&t->credentials) < 0 ||
	    gnutls_priority_init2(&t->priority, PRIORITY, NULL, GNUTLS_PRIORITY_INIT_DEF_APPEND) < 0 ?
	    -ENOMEM : tls_trust_add(t, file);
	if (n < 0) {
		tls_trust_unref(t);
		return n;
	}
	*out = t;
	return 0;
}

struct tls_trust *tls_trust_ref(struct tls_trust *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void tls_trust_unref(struct tls_trust *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	if (t->credentials)
		gnutls_certificate_free_credentials(t->credentials);
	if (t->priority)
		gnutls_priority_deinit(t->priority);
	free(t);
}

bool tls_trust_equal(const struct tls_trust *a, const struct tls_trust *b)
{
	return a == b || (a && b && a->system == b->system && !memcmp(a->digest, b->digest, TLS_DIGEST_LEN));
}

bool tls_trust_is_system(const struct tls_trust *t)
{
	return t->system;
}

gnutls_certificate_credentials_t tls_trust_credentials(const struct tls_trust *t)
{
	return t->credentials;
}

gnutls_priority_t tls_trust_priority(const struct tls_trust *t)
{
	return t->priority;
}

/* ---- the peer ---- */

static void tls_digest_add(gnutls_hash_hd_t hash, const void *octets, size_t len)
{
	uint64_t length = len;		/* so that no two rows of fields are alike */

	gnutls_hash(hash, &length, sizeof length);
	gnutls_hash(hash, octets, len);
}

static int tls_pin_compare(const void *a, const void *b)
{
	return memcmp(a, b, TLS_PIN_LEN);
}

static int tls_peer_set_digest(struct tls_peer *p, const char *address)
{
	const char      *profile = p->opportunistic ? "opportunistic" : "strict";
	gnutls_hash_hd_t hash;

	if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
		return -ENOMEM;
	tls_digest_add(hash, profile, strlen(profile));
	tls_digest_add(hash, address, strlen(address));
	tls_digest_add(hash, p->name ? p->name : "", p->name ? strlen(p->name) : 0);
	tls_digest_add(hash, p->server_name ? p->server_name : "", p->server_name ? strlen(p->server_name) : 0);
	tls_digest_add(hash, p->pins, p->pin_count * sizeof *p->pins);
	tls_digest_add(hash, p->alpn, strlen(p->alpn));
	tls_digest_add(hash, p->alpn_needed ? "1" : "0", 1);
	tls_digest_add(hash, p->trust->system ? "1" : "0", 1);
	tls_digest_add(hash, p->trust->digest, sizeof p->trust->digest);
	gnutls_hash_deinit(hash, p->digest);
	return 0;
}

struct tls_peer *tls_peer_new(const struct tls_peer_conf *conf)
{
	struct tls_peer *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	atomic_init(&p->refs, 1);
	pthread_mutex_init(&p->lock, NULL);
	p->trust = tls_trust_ref(conf->trust);
	p->alpn_needed = conf->alpn_needed;
	p->alpn = strdup(conf->alpn);
	p->name = conf->name ? strdup(conf->name) : NULL;
	p->server_name = conf->server_name ? strdup(conf->server_name) : NULL;
	p->opportunistic = conf->opportunistic;
	p->pins = calloc(conf->pin_count + 1, sizeof *p->pins);
	if (!p->alpn || (conf->name && !p->name) || (conf->server_name && !p->server_name) || !p->pins)
		goto fail;
	p->pin_count = conf->pin_count;
	if (p->pin_count)
		memcpy(p->pins, conf->pins, p->pin_count * sizeof *p->pins);
	qsort(p->pins, p->pin_count, sizeof *p->pins, tls_pin_compare);
	if (p->name && addr_parse(p->name, 0, &p->address) < 0)
		p->address.sa.sa_family = AF_UNSPEC;
	if (tls_peer_set_digest(p, conf->address) < 0)
		goto fail;
	return p;
fail:
	tls_peer_unref(p);
	return NULL;
}

struct tls_peer *tls_peer_ref(struct tls_peer *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

void tls_peer_unref(struct tls_peer *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) > 1)
		return;
	for (unsigned i = 0; i < p->ticket_count; i++)
		tls_ticket_done(&p->tickets[i]);
	pthread_mutex_destroy(&p->lock);
	tls_trust_unref(p->trust);
	free(p->name);
	free(p->server_name);
	free(p->pins);
	free(p->alpn);
	free(p);
}

bool tls_peer_equal(const struct tls_peer *a, const struct tls_peer *b)
{
	return a == b || (a && b && !memcmp(a->digest, b->digest, TLS_DIGEST_LEN));
}

const uint8_t *tls_peer_digest(const struct tls_peer *p)
{
	return p->digest;
}

struct tls_trust *tls_peer_trust(const struct tls_peer *p)
{
	return p->trust;
}

const char *tls_peer_server_name(const struct tls_peer *p)
{
	return p->server_name ? p->server_name : p->address.sa.sa_family == AF_UNSPEC ? p->name : NULL;
}

bool tls_peer_is_opportunistic(const struct tls_peer *p)
{
	return p->opportunistic;
}

const char *tls_peer_alpn(const struct tls_peer *p, bool *needed)
{
	*needed = p->alpn_needed;
	return p->alpn;
}

/* ---- judging certificates ---- */

struct chain {
	gnutls_x509_crt_t certs[CHAIN_MAX];	/* the server's own first */
	unsigned          count;
};

static void chain_done(struct chain *c)
{
	while (c->count)
		gnutls_x509_crt_deinit(c->certs[--c->count]);
}

static bool chain_read(struct chain *c, gnutls_session_t s)
{
	unsigned              sent = 0;
	const gnutls_datum_t *der = gnutls_certificate_get_peers(s, &sent);

	c->count = 0;
	if (!der || gnutls_certificate_type_get2(s, GNUTLS_CTYPE_SERVER) != GNUTLS_CRT_X509)
		return false;
	for (unsigned i = 0; i < sent && i < CHAIN_MAX; i++) {
		if (gnutls_x509_crt_init(&c->certs[i]) < 0)
			break;
		c->count++;
		if (gnutls_x509_crt_import(c->certs[i], &der[i], GNUTLS_X509_FMT_DER) < 0)
			break;
	}
	if (c->count && c->count == (sent < CHAIN_MAX ? sent : CHAIN_MAX))
		return true;
	chain_done(c);
	return false;
}

/* Chain and dates: does somebody we trust vouch for a server's key? */
static enum tls_reason tls_peer_judge_chain(gnutls_session_t s)
{
	gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
		                          .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_SERVER };
	unsigned              status = 0;

	if (gnutls_certificate_verify_peers(s, &purpose, 1, &status) < 0)
		return TLS_BAD_CERTIFICATE;
	if (status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA))
		return TLS_UNKNOWN_ISSUER;
	if (status & GNUTLS_CERT_NOT_ACTIVATED)
		return TLS_NOT_YET_VALID;
	if (status & GNUTLS_CERT_EXPIRED)
		return TLS_EXPIRED;
	return status ? TLS_BAD_CERTIFICATE : TLS_FINE;
}

/* GnuTLS would also take a common name, as long as there is no other (RFC 8310 s. 8.1 forbids that). */
static bool cert_has_dns_name(gnutls_x509_crt_t cert)
{
	int kind;

	for (unsigned i = 0;; i++) {
		char   name[256];
		size_t len = sizeof name;

		kind = gnutls_x509_crt_get_subject_alt_name(cert, i, name, &len, NULL);
		if (kind == GNUTLS_SAN_DNSNAME)
			return true;
		if (kind < 0 && kind != GNUTLS_E_SHORT_MEMORY_BUFFER)
			return false;
	}
}

static bool tls_peer_is_named(const struct tls_peer *p, gnutls_x509_crt_t cert)
{
	const struct addr *a = &p->address;

	if (a->sa.sa_family == AF_INET)
		return gnutls_x509_crt_check_ip(cert, (const unsigned char *)&a->in4.sin_addr, 4, 0);
	if (a->sa.sa_family == AF_INET6)
		return gnutls_x509_crt_check_ip(cert, (const unsigned char *)&a->in6.sin6_addr, 16, 0);
	return cert_has_dns_name(cert) &&
	       gnutls_x509_crt_check_hostname2(cert, p->name, GNUTLS_VERIFY_DO_NOT_ALLOW_IP_MATCHES);
}

static bool tls_peer_has_pin(const struct tls_peer *p, gnutls_x509_crt_t cert)
{
	uint8_t id[TLS_PIN_LEN];
	size_t  len = sizeof id;

	if (gnutls_x509_crt_get_key_id(cert, GNUTLS_KEYID_USE_SHA256, id, &len) < 0 || len != sizeof id)
		return false;
	return bsearch(id, p->pins, p->pin_count, sizeof id, tls_pin_compare);
}

/* Does this authority, and it alone, vouch for the chain?  Anybody can append a certificate that
 * has a pinned key to a chain of his own. */
static bool chain_leads_to(const struct chain *c, gnutls_x509_crt_t authority)
{
	gnutls_x509_trust_list_t list;
	unsigned                 status = ~0u;

	if (gnutls_x509_trust_list_init(&list, 1) < 0)
		return false;
	if (gnutls_x509_trust_list_add_cas(list, &authority, 1, 0) != 1 ||
	    gnutls_x509_trust_list_verify_crt(list, (gnutls_x509_crt_t *)(uintptr_t)c->certs, c->count, 0, &status,
	                                      NULL) < 0)
		status = ~0u;
	gnutls_x509_trust_list_deinit(list, 0);
	return status == 0;
}

/* The authority that the server did not send, since everybody has it. */
static bool tls_peer_pins_root(const struct tls_peer *p, const struct chain *c)
{
	gnutls_x509_trust_list_t list;
	gnutls_x509_crt_t        root;
	bool                     pinned;

	gnutls_certificate_get_trust_list(p->trust->credentials, &list);
	if (gnutls_x509_trust_list_get_issuer(list, c->certs[c->count - 1], &root, GNUTLS_TL_GET_COPY) < 0)
		return false;
	pinned = tls_peer_has_pin(p, root) && chain_leads_to(c, root);
	gnutls_x509_crt_deinit(root);
	return pinned;
}

/* The key of the server, whose possession the handshake proves, or of one that signed for it. */
static bool tls_peer_is_pinned(const struct tls_peer *p, const struct chain *c)
{
	if (tls_peer_has_pin(p, c->certs[0]))
		return true;
	for (unsigned i = 1; i < c->count; i++)
		if (tls_peer_has_pin(p, c->certs[i]) && chain_leads_to(c, c->certs[i]))
			return true;
	return tls_peer_pins_root(p, c);
}

enum tls_reason tls_peer_judge(const struct tls_peer *p, gnutls_session_t s, int64_t now_s, int64_t *until_s)
{
	enum tls_reason reason = p->name ? tls_peer_judge_chain(s) : TLS_FINE;
	struct chain    c;

	if (!chain_read(&c, s))
		return TLS_BAD_CERTIFICATE;
	if (!p->name && !p->pin_count)
		reason = TLS_NOBODY_EXPECTED;
	if (reason == TLS_FINE && p->name && !tls_peer_is_named(p, c.certs[0]))
		reason = TLS_WRONG_NAME;
	if (reason == TLS_FINE && p->pin_count && !tls_peer_is_pinned(p, &c))
		reason = TLS_WRONG_PIN;
	*until_s = now_s + TLS_AUTHENTIC_MAX_S;
	if (p->name) {		/* dates of a key that is known by its pin alone mean nothing */
		int64_t ends_s = gnutls_x509_crt_get_expiration_time(c.certs[0]);

		*until_s = ends_s < *until_s ? ends_s : *until_s;
	}
	chain_done(&c);
	return reason;
}

/* ---- tickets ---- */

void tls_ticket_done(struct tls_ticket *t)
{
	gnutls_free(t->data.data);
	*t = (struct tls_ticket){ 0 };
}

bool tls_peer_take_ticket(struct tls_peer *p, int64_t now_s, struct tls_ticket *out)
{
	bool good = false;

	pthread_mutex_lock(&p->lock);
	while (p->ticket_count && !good) {
		*out = p->tickets[--p->ticket_count];
		p->ticket_changes++;
		good = now_s < out->until_s;
		if (!good)
			tls_ticket_done(out);
	}
	pthread_mutex_unlock(&p->lock);
	return good;
}

void tls_peer_keep_ticket(struct tls_peer *p, struct tls_ticket *t)
{
	pthread_mutex_lock(&p->lock);
	if (p->ticket_count == TICKETS_MAX) {
		tls_ticket_done(&p->tickets[0]);
		memmove(p->tickets, p->tickets + 1, --p->ticket_count * sizeof *p->tickets);
	}
	p->tickets[p->ticket_count++] = *t;
	p->ticket_changes++;
	pthread_mutex_unlock(&p->lock);
	*t = (struct tls_ticket){ 0 };
}

void tls_peer_show_tickets(struct tls_peer *p, int64_t now_s,
                           void (*show)(void *arg, const struct tls_peer *p, const struct tls_ticket *t), void *arg)
{
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->ticket_count; i++)
		if (now_s < p->tickets[i].until_s)
			show(arg, p, &p->tickets[i]);
	pthread_mutex_unlock(&p->lock);
}

uint32_t tls_peer_ticket_changes(const struct tls_peer *p)
{
	return atomic_load_explicit(&p->ticket_changes, memory_order_relaxed);
}
