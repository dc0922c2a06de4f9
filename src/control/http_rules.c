/* http_rules.c - which requests are answered at all.
 *
 * A page of a stranger can make a browser ask us: by a name of its own that
 * leads to our address (DNS rebinding), or across origins.  So whoever asks must
 * call us by the address it reached, by "localhost", or by a name that the
 * configuration lists; and nothing can be changed here, whatever is asked.  What
 * comes by another origin cannot be read there, since no header allows it.
 */
#include "control/http_rules.h"

#include "base/addr.h"
#include "conf/conf.h"

#include <microhttpd.h>
#include <string.h>
#include <strings.h>

#define RULES_HOST_MAX 254

/* The host of a Host header: without its port, without brackets, without the dot of the root. */
static bool rules_host(const char *header, char host[RULES_HOST_MAX])
{
	bool        bracket = *header == '[';
	const char *start = header + bracket;
	size_t      len = strcspn(start, bracket ? "]" : ":");
	const char *port = start + len + bracket;

	if (!len || len >= RULES_HOST_MAX || (bracket && start[len] != ']'))
		return false;
	if (*port && (*port != ':' || strspn(port + 1, "0123456789") != strlen(port + 1)))
		return false;
	memcpy(host, start, len);
	host[len] = '\0';
	if (len > 1 && host[len - 1] == '.')
		host[len - 1] = '\0';
	return true;
}

/* An interface is left out in a Host header (RFC 6874 s. 4). */
static bool rules_is_address(const char *host, const struct addr *local)
{
	struct addr named, bare;

	if (!local || addr_parse(host, 1, &named) < 0)
		return false;
	bare = *local;
	if (bare.sa.sa_family == AF_INET6)
		bare.in6.sin6_scope_id = 0;
	return addr_equal_host(&named, &bare);
}

static bool rules_is_ours(const struct http_request *r, const struct conf_http *conf)
{
	char host[RULES_HOST_MAX];

	if (!r->host || !rules_host(r->host, host))
		return false;
	if (!strcasecmp(host, "localhost") || rules_is_address(host, r->local))
		return true;
	for (size_t i = 0; i < conf->host_count; i++)
		if (!strcasecmp(host, conf->hosts[i]))
			return true;
	return false;
}

unsigned http_rules_check(const struct http_request *r, const struct conf_http *conf)
{
	if (!rules_is_ours(r, conf))
		return MHD_HTTP_MISDIRECTED_REQUEST;
	if (strcmp(r->method, MHD_HTTP_METHOD_GET) && strcmp(r->method, MHD_HTTP_METHOD_HEAD))
		return MHD_HTTP_METHOD_NOT_ALLOWED;
	return 0;
}
