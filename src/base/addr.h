/* addr.h - socket addresses and address prefixes of both families.
 *
 * Text forms: 192.0.2.1, 192.0.2.1:5353, 2001:db8::1, [2001:db8::1]:5353,
 * fe80::1%eth0; prefixes with /LEN, and a bare address stands for itself.
 */
#ifndef LARDER_BASE_ADDR_H
#define LARDER_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	union {
		struct sockaddr     sa;
		struct sockaddr_in  in4;
		struct sockaddr_in6 in6;
	};
};

struct addr_prefix {
	uint8_t family;		/* AF_INET or AF_INET6 */
	uint8_t bits;
	uint8_t octets[16];	/* beyond bits: zero */
};

/* Several addresses of one server, best first. */
#define ADDR_LIST_MAX 8
struct addr_list {
	uint8_t     count;
	struct addr at[ADDR_LIST_MAX];
};

#define ADDR_TEXT_MAX 80	/* "[v6%interface]:port" and its NUL */

/* 0, or -EINVAL.  Port: what the text says, else default_port. */
int  addr_parse(const char *text, uint16_t default_port, struct addr *out);
/* Writes address and port; gives buf. */
const char *addr_format(const struct addr *a, char buf[ADDR_TEXT_MAX]);
const char *addr_format_host(const struct addr *a, char buf[ADDR_TEXT_MAX]);	/* no port */
socklen_t addr_len(const struct addr *a);
uint16_t  addr_port(const struct addr *a);			/* host order */
void      addr_set_port(struct addr *a, uint16_t port);
bool      addr_equal(const struct addr *a, const struct addr *b);	/* port and scope too */
bool      addr_equal_host(const struct addr *a, const struct addr *b);
bool      addr_is_loopback(const struct addr *a);	/* 127/8, ::1, ::ffff:127/104 */
bool      addr_is_wildcard(const struct addr *a);
/* Can it be a server's: neither a wildcard, nor multicast or broadcast? */
bool      addr_is_single_host(const struct addr *a);

/* Where in the list it stands, or -1. */
int       addr_list_find(const struct addr_list *l, const struct addr *a);
void      addr_list_add(struct addr_list *l, const struct addr *a);	/* a full list stays as it is */
/* The n-th goes to the front; those before it move back by one. */
void      addr_list_lead(struct addr_list *l, unsigned n);
void      addr_list_turn(struct addr_list *l);		/* the first goes to the end */
/* The same addresses, in whatever order? */
bool      addr_list_same(const struct addr_list *a, const struct addr_list *b);

int  addr_prefix_parse(const char *text, struct addr_prefix *out);	/* 0, or -EINVAL */
/* An IPv4 prefix also matches IPv4-mapped IPv6 addresses. */
bool addr_prefix_match(const struct addr_prefix *p, const struct addr *a);
const char *addr_prefix_format(const struct addr_prefix *p, char buf[ADDR_TEXT_MAX]);

#endif
