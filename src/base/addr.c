/* addr.c - socket addresses and prefixes. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t addr_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* Digits only, 1 to max; -1 for anything else. */
static long addr_number(const char *text, long max)
{
	long v = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		v = v * 10 + (*text - '0');
		if (v > max)
			return -1;
	}
	return v;
}

static int addr_parse_host(char *host, uint16_t port, struct addr *out)
{
	char *scope = strchr(host, '%');

	memset(out, 0, sizeof *out);
	if (!scope && inet_pton(AF_INET, host, &out->in4.sin_addr) == 1) {
		out->in4.sin_family = AF_INET;
		out->in4.sin_port = htons(port);
		return 0;
	}
	if (scope)
		*scope++ = '\0';
	if (inet_pton(AF_INET6, host, &out->in6.sin6_addr) != 1)
		return -EINVAL;
	out->in6.sin6_family = AF_INET6;
	out->in6.sin6_port = htons(port);
	if (scope) {
		long number = addr_number(scope, INT32_MAX);

		out->in6.sin6_scope_id = number > 0 ? (uint32_t)number : if_nametoindex(scope);
		if (!out->in6.sin6_scope_id)
			return -EINVAL;
	}
	return 0;
}

int addr_parse(const char *text, uint16_t default_port, struct addr *out)
{
	char  host[ADDR_TEXT_MAX], *port_text = NULL, *colon;
	char *start = host;
	long  port = default_port;

	if (strlen(text) >= sizeof host)
		return -EINVAL;
	strcpy(host, text);
	colon = strchr(host, ':');
	if (*host == '[') {
		char *end = strchr(host, ']');

		if (!end || (end[1] && end[1] != ':') || !memchr(host, ':', (size_t)(end - host)))
			return -EINVAL;	/* brackets are for IPv6 */
		*end = '\0';
		start = host + 1;
		if (end[1])
			port_text = end + 2;
	} else if (colon && !strchr(colon + 1, ':')) {	/* one colon: a port */
		*colon = '\0';
		port_text = colon + 1;
	}
	if (port_text) {
		port = addr_number(port_text, 65535);
		if (port < 1)
			return -EINVAL;
	}
	return addr_parse_host(start, (uint16_t)port, out);
}

const char *addr_format_host(const struct addr *a, char buf[ADDR_TEXT_MAX])
{
	char scope[IF_NAMESIZE];

	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in4.sin_addr, buf, ADDR_TEXT_MAX);
	} else if (a->sa.sa_family == AF_INET6) {
		size_t n;

		inet_ntop(AF_INET6, &a->in6.sin6_addr, buf, ADDR_TEXT_MAX);
		n = strlen(buf);
		if (a->in6.sin6_scope_id && if_indextoname(a->in6.sin6_scope_id, scope))
			snprintf(buf + n, ADDR_TEXT_MAX - n, "%%%s", scope);
	} else {
		strcpy(buf, "?");
	}
	return buf;
}

const char *addr_format(const struct addr *a, char buf[ADDR_TEXT_MAX])
{
	char host[ADDR_TEXT_MAX];

	addr_format_host(a, host);
	snprintf(buf, ADDR_TEXT_MAX, a->sa.sa_family == AF_INET6 ? "[%.70s]:%u" : "%.70s:%u", host,
	         addr_port(a));
	return buf;
}

socklen_t addr_len(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof a->in6 : sizeof a->in4;
}

uint16_t addr_port(const struct addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in4.sin_port);
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
	else
		a->in4.sin_port = htons(port);
}

bool addr_equal_host(const struct addr *a, const struct addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	return !memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) &&
	       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_equal_host(a, b) && addr_port(a) == addr_port(b);
}

static bool addr_is_mapped(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 &&
	       !memcmp(a->in6.sin6_addr.s6_addr, addr_mapped, sizeof addr_mapped);
}

bool addr_is_loopback(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return (ntohl(a->in4.sin_addr.s_addr) >> 24) == 127;
	if (addr_is_mapped(a))
		return a->in6.sin6_addr.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

bool addr_is_wildcard(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_addr.s_addr == 0;
	return IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

bool addr_is_single_host(const struct addr *a)
{
	if (addr_is_wildcard(a))
		return false;
	if (a->sa.sa_family == AF_INET)
		return !IN_MULTICAST(ntohl(a->in4.sin_addr.s_addr)) &&
		       a->in4.sin_addr.s_addr != htonl(INADDR_BROADCAST);
	return !IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
}

int addr_list_find(const struct addr_list *l, const struct addr *a)
{
	for (unsigned i = 0; i < l->count; i++)
		if (addr_equal(&l->at[i], a))
			return (int)i;
	return -1;
}

void addr_list_add(struct addr_list *l, const struct addr *a)
{
	if (l->count < ADDR_LIST_MAX)
		l->at[l->count++] = *a;
}

void addr_list_lead(struct addr_list *l, unsigned n)
{
	struct addr first = l->at[n];

	memmove(&l->at[1], &l->at[0], n * sizeof first);
	l->at[0] = first;
}

void addr_list_turn(struct addr_list *l)
{
	struct addr first = l->at[0];

	memmove(&l->at[0], &l->at[1], (l->count - 1u) * sizeof first);
	l->at[l->count - 1] = first;
}

bool addr_list_same(const struct addr_list *a, const struct addr_list *b)
{
	for (unsigned i = 0; i < a->count; i++)
		if (addr_list_find(b, &a->at[i]) < 0)
			return false;
	return a->count == b->count;	/* neither has one twice */
}

int addr_prefix_parse(const char *text, struct addr_prefix *out)
{
	char        host[ADDR_TEXT_MAX], *slash;
	struct addr a;
	long        bits, max;

	if (strlen(text) >= sizeof host)
		return -EINVAL;
	strcpy(host, text);
	slash = strchr(host, '/');
	if (slash)
		*slash++ = '\0';
	if (strchr(host, '[') || strchr(host, '%') || addr_parse_host(host, 0, &a) < 0)
		return -EINVAL;
	memset(out, 0, sizeof *out);
	out->family = (uint8_t)a.sa.sa_family;
	max = a.sa.sa_family == AF_INET ? 32 : 128;
	bits = slash ? addr_number(slash, max) : max;
	if (bits < 0)
		return -EINVAL;
	out->bits = (uint8_t)bits;
	if (a.sa.sa_family == AF_INET)
		memcpy(out->octets, &a.in4.sin_addr, 4);
	else
		memcpy(out->octets, &a.in6.sin6_addr, 16);
	for (long i = 0; i < max; i++)
		if (i >= bits)
			out->octets[i / 8] &= (uint8_t)~(0x80u >> (i % 8));
	return 0;
}

bool addr_prefix_match(const struct addr_prefix *p, const struct addr *a)
{
	const uint8_t *octets;
	unsigned       whole = p->bits / 8, rest = p->bits % 8;

	if (p->family == AF_INET && a->sa.sa_family == AF_INET)
		octets = (const uint8_t *)&a->in4.sin_addr;
	else if (p->family == AF_INET && addr_is_mapped(a))
		octets = a->in6.sin6_addr.s6_addr + 12;
	else if (p->family == AF_INET6 && a->sa.sa_family == AF_INET6)
		octets = a->in6.sin6_addr.s6_addr;
	else
		return false;
	if (memcmp(octets, p->octets, whole))
		return false;
	return !rest || ((octets[whole] ^ p->octets[whole]) >> (8 - rest)) == 0;
}

const char *addr_prefix_format(const struct addr_prefix *p, char buf[ADDR_TEXT_MAX])
{
	size_t n;

	inet_ntop(p->family, p->octets, buf, ADDR_TEXT_MAX);
	n = strlen(buf);
	snprintf(buf + n, ADDR_TEXT_MAX - n, "/%u", p->bits);
	return buf;
}
