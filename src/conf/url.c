/* url.c - upstream URLs.
 *
 * Most of this says what is wrong: people arrive with the notations of other
 * resolvers, and with schemes that larder knows but does not speak yet.
 */
#include "conf/url.h"

#include "conf/report.h"
#include "conf/suggest.h"
#include "dns/name.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_NAME_MAX 63
#define URL_EXAMPLES "(examples: 192.0.2.1, udp://192.0.2.1:5353, tls://dns.example)"
#define URL_PATH     "/dns-query"
#define URL_TEMPLATE "{?dns}"		/* how RFC 8484 writes the end of a path */

static const struct url_scheme {
	const char         *name;
	uint16_t            port;	/* 0: not built yet */
	enum upstream_proto proto;
} url_schemes[] = {
	[UPSTREAM_UDP] = { "udp", 53, UPSTREAM_UDP },
	[UPSTREAM_TCP] = { "tcp", 53, UPSTREAM_TCP },
	[UPSTREAM_TLS] = { "tls", 853, UPSTREAM_TLS },
	[UPSTREAM_HTTPS] = { "https", 443, UPSTREAM_HTTPS },
	{ "quic", 0, 0 },
	{ "h3", 0, 0 },
};
#define URL_SCHEME_COUNT (sizeof url_schemes / sizeof *url_schemes)

int conf_why(char why[CONF_WHY_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, CONF_WHY_MAX, format, ap);
	va_end(ap);
	return -EINVAL;
}

static bool url_is_digits(const char *text)
{
	return *text && !text[strspn(text, "0123456789")];
}

static const struct url_scheme *url_scheme_find(const char *text, size_t len)
{
	for (size_t i = 0; i < URL_SCHEME_COUNT; i++)
		if (strlen(url_schemes[i].name) == len && !strncmp(url_schemes[i].name, text, len))
			return &url_schemes[i];
	return NULL;
}

static int url_unknown_scheme(const char *text, size_t len, char why[CONF_WHY_MAX])
{
	char           word[16], hint[SUGGEST_TEXT_MAX];
	struct suggest s;

	snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), text);
	if (!strcmp(word, "http"))
		return conf_why(why, "http:// is not encrypted; larder asks over https:// only");
	suggest_init(&s, word);
	for (size_t i = 0; i < URL_SCHEME_COUNT; i++)
		suggest_offer(&s, url_schemes[i].name);
	suggest_text(&s, hint);
	return conf_why(why, "unknown scheme \"%s://\"%s%s", word, hint,
			*hint ? "" : "; larder knows udp://, tcp://, tls:// and https://");
}

/* Does its last label have a letter?  What has none was meant to be an address. */
static bool url_ends_in_word(const char *host)
{
	const char *last = strrchr(host, '.');

	for (last = last ? last + 1 : host; *last; last++)
		if (isalpha((unsigned char)*last))
			return true;
	return false;
}

/* An optional port is left aside. */
bool conf_url_is_host(const char *text)
{
	char            host[DNS_NAME_TEXT_MAX];
	size_t          n = strcspn(text, ":"), dot;
	struct dns_name name;

	if (n >= sizeof host)
		return false;
	memcpy(host, text, n);
	dot = n && host[n - 1] == '.';
	host[n - dot] = '\0';
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i]))
			return false;
	return url_ends_in_word(host) && text[n + strspn(text + n, ":0123456789")] == '\0' &&
	       !strchr(text + n + (text[n] == ':'), ':') && dns_name_from_text(host, &name) == 0;
}

/* Is it an address and a colon, so that only the port can be wrong? */
static bool url_has_good_host(const char *text)
{
	size_t      n = strcspn(text, *text == '[' ? "]" : ":");
	char        host[ADDR_TEXT_MAX];
	struct addr a;

	n += *text == '[' && text[n];
	if (n >= sizeof host || text[n] != ':')
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	return addr_parse(host, 1, &a) == 0;
}

/* The text after the scheme is no address: find the likeliest reason. */
static int url_bad_address(const char *text, char why[CONF_WHY_MAX])
{
	const char *percent = strchr(text, '%'), *at = strchr(text, '@');
	char        clip[CONF_CLIP_MAX];

	conf_clip(text, clip);
	if (percent)
		return conf_why(why, "\"%s\" is not an address; is there an interface \"%.*s\"?",
				clip, (int)strcspn(percent + 1, "]:"), percent + 1);
	if (at && url_is_digits(at + 1))
		return conf_why(why, "\"%s\" is not an address; a port is written :%s", clip,
				at + 1);
	if (strchr(text, '/'))
		return conf_why(why, "\"%s\" is not an address; a path is for https:// only", clip);
	if (conf_url_is_host(text))
		return conf_why(why, "\"%s\" is a host name, which needs a scheme, as in tls://%s or "
				"udp://%s", clip, clip, clip);
	if (url_has_good_host(text))
		return conf_why(why, "\"%s\": the port must be between 1 and 65535", clip);
	return conf_why(why, "\"%s\" is not an address " URL_EXAMPLES, clip);
}

/* An address alone: without brackets, without a port. */
static bool url_is_bare_address(const char *text)
{
	struct addr a;

	return *text != '[' && addr_parse(text, 0, &a) == 0 && !addr_port(&a);
}

/* A host name or an address, without its final dot, in lower case. */
static int url_read_name(const char *text, char out[CONF_NAME_MAX + 1], char why[CONF_WHY_MAX])
{
	char   clip[CONF_CLIP_MAX];
	size_t len = strlen(text);

	len -= len && text[len - 1] == '.';
	if (len > CONF_NAME_MAX || (!url_is_bare_address(text) && (!conf_url_is_host(text) || strchr(text, ':'))))
		return conf_why(why, "\"%s\" is not the name of a host", conf_clip(text, clip));
	for (size_t i = 0; i < len; i++)
		out[i] = (char)tolower((unsigned char)text[i]);
	out[len] = '\0';
	return 0;
}

static int url_read_path(const char *text, size_t len, char out[H2_PATH_MAX + 1], char why[CONF_WHY_MAX])
{
	size_t end = strlen(URL_TEMPLATE);

	if (len >= end && !strncmp(text + len - end, URL_TEMPLATE, end))
		len -= end;
	if (len > H2_PATH_MAX)
		return conf_why(why, "a path may have %d octets, not %zu", H2_PATH_MAX, len);
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] >= 0x7f || strchr("?{}", text[i]))
			return conf_why(why, "a path is printable ASCII without \"?\", \"{\" and \"}\"");
	memcpy(out, text, len);
	out[len] = '\0';
	return 0;
}

/* What a request calls the server: its name, else its address, and a port that is not the usual. */
static void url_set_authority(struct conf_url *url)
{
	bool usual = url->port == url_schemes[UPSTREAM_HTTPS].port, v6 = strchr(url->name, ':') != NULL;
	int  n = snprintf(url->http.authority, sizeof url->http.authority, "%s%s%s", v6 ? "[" : "", url->name,
	                  v6 ? "]" : "");

	if (!usual)
		snprintf(url->http.authority + n, sizeof url->http.authority - (size_t)n, ":%u", url->port);
}

static int url_read_https(const char *path, size_t len, struct conf_url *out, char why[CONF_WHY_MAX])
{
	char text[ADDR_TEXT_MAX];

	if (url_read_path(len ? path : URL_PATH, len ? len : strlen(URL_PATH), out->http.path, why) < 0)
		return -EINVAL;
	if (!*out->name)
		snprintf(out->name, sizeof out->name, "%s", addr_format_host(&out->addr, text));
	url_set_authority(out);
	return 0;
}

/* What follows "#": the name to authenticate. */
static int url_read_fragment(const char *hash, struct conf_url *out, char why[CONF_WHY_MAX])
{
	char clip[CONF_CLIP_MAX];

	if (url_is_digits(hash + 1))
		return conf_why(why,
				"a port is written :%s; \"#\" is for the name of a tls:// or "
				"https:// upstream",
				conf_clip(hash + 1, clip));
	if (!conf_url_is_encrypted(out))
		return conf_why(why,
				"\"%s\" is a name to authenticate, for tls:// and https:// only",
				conf_clip(hash, clip));
	return url_read_name(hash + 1, out->name, why);
}

/* text is a host name and perhaps a port. */
static int url_read_host(char *text, uint16_t port, struct conf_url *out, char why[CONF_WHY_MAX])
{
	char *colon = strchr(text, ':');
	long  number = port;
	char  clip[CONF_CLIP_MAX];

	conf_clip(text, clip);
	if (colon) {
		*colon = '\0';
		number = url_is_digits(colon + 1) && strlen(colon + 1) <= 5 ? atol(colon + 1) : 0;
	}
	if (number < 1 || number > UINT16_MAX)
		return conf_why(why, "\"%s\": the port must be between 1 and 65535", clip);
	out->port = (uint16_t)number;
	if (url_read_name(text, out->host, why) < 0)
		return -EINVAL;
	if (conf_url_is_encrypted(out) && !*out->name)
		memcpy(out->name, out->host, sizeof out->name);
	return 0;
}

static int url_read_where(const char *text, size_t len, const struct url_scheme *scheme, bool named_scheme,
                          struct conf_url *out, char why[CONF_WHY_MAX])
{
	char host[CONF_URL_MAX], clip[CONF_CLIP_MAX];

	snprintf(host, sizeof host, "%.*s", (int)(len < sizeof host ? len : sizeof host - 1), text);
	if (addr_parse(host, scheme->port, &out->addr) < 0) {
		memset(&out->addr, 0, sizeof out->addr);
		if (named_scheme && conf_url_is_host(host))
			return url_read_host(host, scheme->port, out, why);
		return url_bad_address(host, why);
	}
	if (!addr_is_single_host(&out->addr))
		return conf_why(why, "\"%s\" is not the address of a single host", conf_clip(host, clip));
	out->port = addr_port(&out->addr);
	return 0;
}

int conf_url_read(const char *text, struct conf_url *out, char why[CONF_WHY_MAX])
{
	const char              *colon = strstr(text, "://"), *rest = text, *hash, *path;
	const struct url_scheme *scheme = &url_schemes[UPSTREAM_UDP];

	memset(out, 0, sizeof *out);
	if (colon) {
		scheme = url_scheme_find(text, (size_t)(colon - text));
		if (!scheme)
			return url_unknown_scheme(text, (size_t)(colon - text), why);
		rest = colon + 3;
	}
	if (!scheme->port)
		return conf_why(why, "%s:// is not built yet; use tls:// or https://", scheme->name);
	out->proto = scheme->proto;
	hash = rest + strcspn(rest, "#");
	if (*hash && url_read_fragment(hash, out, why) < 0)
		return -EINVAL;
	path = out->proto == UPSTREAM_HTTPS ? rest + strcspn(rest, "/#") : hash;
	if (url_read_where(rest, (size_t)(path - rest), scheme, colon != NULL, out, why) < 0)
		return -EINVAL;
	return out->proto == UPSTREAM_HTTPS ? url_read_https(path, (size_t)(hash - path), out, why) : 0;
}

bool conf_url_is_set(const struct conf_url *url)
{
	return url->addr.sa.sa_family || *url->host;
}

const char *conf_url_format(const struct conf_url *url, char out[CONF_URL_MAX])
{
	char        where[CONF_NAME_MAX + 8];
	const char *name = strcmp(url->name, url->host) ? url->name : "";

	if (*url->host)
		snprintf(where, sizeof where, "%s:%u", url->host, url->port);
	else
		addr_format(&url->addr, where);
	snprintf(out, CONF_URL_MAX, "%s://%s%s%s%s", url_schemes[url->proto].name, where, url->http.path,
	         *name ? "#" : "", name);
	return out;
}

bool conf_url_is_encrypted(const struct conf_url *url)
{
	return url->proto == UPSTREAM_TLS || url->proto == UPSTREAM_HTTPS;
}

bool conf_url_is_name(const char *text)
{
	size_t n = strlen(text);

	if (!isalpha((unsigned char)*text) || n > URL_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '_')
			return false;
	return true;
}

int conf_pin_read(const char *text, uint8_t out[TLS_PIN_LEN], char why[CONF_WHY_MAX])
{
	static const char prefix[] = "sha256/";
	gnutls_datum_t    in, hash;
	char              clip[CONF_CLIP_MAX];
	bool              good;

	if (strncmp(text, prefix, strlen(prefix)))
		return conf_why(why, "a pin is written sha256/ and the base64 of a key's hash, not \"%s\"",
				conf_clip(text, clip));
	in.data = (unsigned char *)(uintptr_t)text + strlen(prefix);
	in.size = (unsigned)strlen(text + strlen(prefix));
	if (gnutls_base64_decode2(&in, &hash) < 0)
		return conf_why(why, "\"%s\" is not base64", conf_clip(text + strlen(prefix), clip));
	good = hash.size == TLS_PIN_LEN;
	if (good)
		memcpy(out, hash.data, TLS_PIN_LEN);
	else
		conf_why(why, "the hash of a pin has %d octets, not %u", TLS_PIN_LEN, hash.size);
	gnutls_free(hash.data);
	return good ? 0 : -EINVAL;
}
