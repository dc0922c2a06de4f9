/* http_pages.h - what is served where. */
#ifndef LARDER_CONTROL_HTTP_PAGES_H
#define LARDER_CONTROL_HTTP_PAGES_H

#include <stddef.h>

struct control_ops;
struct checkup;
struct http_request;

struct http_reply {
	unsigned    status;
	const char *type;	/* static */
	char       *body;	/* heap; NULL: memory was short */
	size_t      len;
};

/* Makes the page of a path, or 404. */
void http_pages_make(const struct http_request *r, const struct control_ops *ops, const struct checkup *checkup,
                     struct http_reply *out);
/* A reply that says its status in words. */
void http_pages_refuse(unsigned status, struct http_reply *out);

#endif
