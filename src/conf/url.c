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
#include <string.h>

#define URL_DNS_PORT 53
#define URL_NAME_MAX 63
#define URL_EXAMPLES "(examples: 192.0.2.1, udp://192.0.2.1:5353, tcp://[2001:db8::1]:53)"

static const struct url_scheme {
	const char         *name;
	bool                built;
	enum upstream_proto proto;
} url_schemes[] = {
	{ "udp", true, UPSTREAM_UDP },
	{ "tcp", true, UPSTREAM_TCP },
	{ "tls", false, 0 },
	{ "https", false, 0 },
	{ "quic", false, 0 },
	{ "h3", false, 0 },
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
	suggest_init(&s, word);
	for (size_t i = 0; i < URL_SCHEME_COUNT; i++)
		suggest_offer(&s, url_schemes[i].name);
	suggest_text(&s, hint);
	return conf_why(why, "unknown scheme \"%s://\"%s%s", word, hint,
			*hint ? "" : "; larder knows udp:// and tcp://");
}

/* Could this be the name of a host?  An optional port is left aside. */
static bool url_is_host_name(const char *text)
{
	char            host[DNS_NAME_TEXT_MAX];
	size_t          n = strcspn(text, ":");
	struct dns_name name;
	bool            letter = false;

	if (n >= sizeof host)
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	for (size_t i = 0; i < n; i++) {
		letter |= isalpha((unsigned char)host[i]) != 0;
		if (!isalnum((unsigned char)host[i]) && !strchr("-_.", host[i]))
			return false;
	}
	return letter && text[n + strspn(text + n, ":0123456789")] == '\0' &&
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
	return addr_parse(host, URL_DNS_PORT, &a) == 0;
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
	if (url_is_host_name(text))
		return conf_why(why,
				"\"%s\" is a host name, which needs \"bootstrap\" servers: "
				"not built yet; give its address",
				clip);
	if (url_has_good_host(text))
		return conf_why(why, "\"%s\": the port must be between 1 and 65535", clip);
	return conf_why(why, "\"%s\" is not an address " URL_EXAMPLES, clip);
}

static bool url_can_be_asked(const struct addr *a)
{
	if (addr_is_wildcard(a))
		return false;
	if (a->sa.sa_family == AF_INET)
		return !IN_MULTICAST(ntohl(a->in4.sin_addr.s_addr)) &&
		       a->in4.sin_addr.s_addr != htonl(INADDR_BROADCAST);
	return !IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
}

int conf_url_read(const char *text, struct conf_url *out, char why[CONF_WHY_MAX])
{
	const char              *colon = strstr(text, "://"), *rest = text, *hash;
	const struct url_scheme *scheme = &url_schemes[0];
	char                     clip[CONF_CLIP_MAX];

	if (colon) {
		scheme = url_scheme_find(text, (size_t)(colon - text));
		if (!scheme)
			return url_unknown_scheme(text, (size_t)(colon - text), why);
		rest = colon + 3;
	}
	if (!scheme->built)
		return conf_why(why, "%s:// is not built yet; use udp:// or tcp://", scheme->name);
	hash = strchr(rest, '#');
	if (hash && url_is_digits(hash + 1))
		return conf_why(why,
				"a port is written :%s; \"#\" is for the name of a tls:// or "
				"https:// upstream",
				conf_clip(hash + 1, clip));
	if (hash)
		return conf_why(why,
				"\"%s\" is a name to authenticate, for tls:// and https:// only",
				conf_clip(hash, clip));
	if (addr_parse(rest, URL_DNS_PORT, &out->addr) < 0)
		return url_bad_address(rest, why);
	if (!url_can_be_asked(&out->addr))
		return conf_why(why, "\"%s\" is not the address of a single host",
				conf_clip(rest, clip));
	out->proto = scheme->proto;
	return 0;
}

const char *conf_url_format(const struct conf_url *url, char out[CONF_URL_MAX])
{
	char text[ADDR_TEXT_MAX];

	snprintf(out, CONF_URL_MAX, "%s://%s", url->proto == UPSTREAM_TCP ? "tcp" : "udp",
	         addr_format(&url->addr, text));
	return out;
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
