/* url.h - how an upstream is written: 192.0.2.1, udp://192.0.2.1:5353, tcp://[2001:db8::1],
 * tls://192.0.2.1#dns.example, https://dns.example/dns-query; and a key it may have. */
#ifndef LARDER_CONF_URL_H
#define LARDER_CONF_URL_H

#include "base/addr.h"
#include "net/h2.h"
#include "net/tls_peer.h"
#include "upstream/conf.h"

#include <stdbool.h>
#include <stddef.h>

#define CONF_WHY_MAX 384	/* a mistake in words */
#define CONF_NAME_MAX 253	/* a host name as text */
#define CONF_URL_MAX (8 + CONF_NAME_MAX + 6 + H2_PATH_MAX + 1 + CONF_NAME_MAX + 1)

/* Writes why, and gives -EINVAL. */
int conf_why(char why[CONF_WHY_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

struct conf_url {
	enum upstream_proto proto;
	struct addr         addr;	/* family 0: it is given by host, if at all */
	char                host[CONF_NAME_MAX + 1];	/* "": by address */
	uint16_t            port;	/* of either */
	char                name[CONF_NAME_MAX + 1];	/* to authenticate; "": none is given */
	struct h2_target    http;
};

/* 0, or -EINVAL and why. */
int         conf_url_read(const char *text, struct conf_url *out, char why[CONF_WHY_MAX]);
/* Does it say where to ask?  One that was read and found bad does not. */
bool        conf_url_is_set(const struct conf_url *url);
/* Normal form: scheme, address or host, port; path; name, unless it is the host's. */
const char *conf_url_format(const struct conf_url *url, char out[CONF_URL_MAX]);
/* May this be the name of an upstream?  Letters, digits, - and _, a letter first; so no name is
 * ever mistaken for a URL or an address. */
bool        conf_url_is_name(const char *text);

/* Could this be the name of a host, perhaps with a port?  No scheme, no path. */
bool        conf_url_is_host(const char *text);
bool        conf_url_is_encrypted(const struct conf_url *url);
/* sha256/ and the base64 of the hash of a key (RFC 7858 s. 4.2).  0, or -EINVAL and why. */
int         conf_pin_read(const char *text, uint8_t out[TLS_PIN_LEN], char why[CONF_WHY_MAX]);

#endif
