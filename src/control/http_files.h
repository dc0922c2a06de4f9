/* http_files.h - the files of the status page, as they lie in page/. */
#ifndef LARDER_CONTROL_HTTP_FILES_H
#define LARDER_CONTROL_HTTP_FILES_H

#include <stdbool.h>
#include <stddef.h>

struct http_file {
	const char *path;	/* as in a request; NULL after the last */
	const char *type;
	const char *octets;
	size_t      len;
};

#define HTTP_FILES_TAG_MAX 20

extern const struct http_file http_files[];	/* made by embed_page.awk */
extern const char http_files_page[];		/* likewise: their name as a whole, another in another larderd's page */

const struct http_file *http_files_find(const char *path);	/* NULL: there is none */
/* The entity tag, quotes included: another for other octets. */
void http_files_tag(const struct http_file *f, char tag[HTTP_FILES_TAG_MAX]);
/* Does If-None-Match (NULL: there is none) say that the client has it?  (RFC 9110 s. 13.1.2) */
bool http_files_match(const char *if_none_match, const char *tag);

#endif
