/* http_pages.h - what is served where. */
#ifndef LARDER_CONTROL_HTTP_PAGES_H
#define LARDER_CONTROL_HTTP_PAGES_H

#include "control/http_files.h"

struct control_ops;
struct checkup;
struct http_request;

/* What pages are made from. */
struct http_source {
	const struct control_ops *ops;
	const struct checkup     *checkup;
	bool                      names;	/* may names that are asked for be shown? */
};

struct http_reply {
	unsigned    status;
	const char *type;	/* static */
	char       *body;	/* heap, unless fixed; NULL: memory was short */
	size_t      len;
	bool        fixed;	/* body is static, and the client may keep it under tag */
	char        tag[HTTP_FILES_TAG_MAX];
};

/* Makes the page of a path, or 404. */
void http_pages_make(const struct http_request *r, const struct http_source *from, struct http_reply *out);
/* A reply that says its status in words. */
void http_pages_refuse(unsigned status, struct http_reply *out);

#endif
