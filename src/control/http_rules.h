/* http_rules.h - which requests are answered at all. */
#ifndef LARDER_CONTROL_HTTP_RULES_H
#define LARDER_CONTROL_HTTP_RULES_H

struct addr;
struct conf_http;

struct http_request {
	const char        *method, *path;	/* borrowed, as all of this */
	const char        *host;		/* of the header; NULL: none */
	const char        *accept;		/* NULL: none */
	const char        *if_none_match;	/* NULL: none */
	const struct addr *local;		/* the address that the client reached; NULL: a socket file */
};

/* 0, or the status with which to refuse: 421 for the host, 405 for the method. */
unsigned http_rules_check(const struct http_request *r, const struct conf_http *conf);

#endif
