/* http_files.c - the files of the status page.
 *
 * They change only with larderd.  A browser may keep them, but asks each time
 * whether they are still right, or an older script would read a newer document.
 */
#include "control/http_files.h"

#include "base/siphash.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

const struct http_file *http_files_find(const char *path)
{
	for (const struct http_file *f = http_files; f->path; f++)
		if (!strcmp(f->path, path))
			return f;
	return NULL;
}

/* Some 10 us for the largest.  The key is no secret: nobody gains by a collision of files that are ours. */
void http_files_tag(const struct http_file *f, char tag[HTTP_FILES_TAG_MAX])
{
	const struct siphash_key key = { 0, 0 };

	snprintf(tag, HTTP_FILES_TAG_MAX, "\"%016" PRIx64 "\"",
	         siphash13(&key, (const uint8_t *)f->octets, f->len));
}

/* Our tags hold their quotes and nothing that a list could end in, so one is in a list where it is found. */
bool http_files_match(const char *if_none_match, const char *tag)
{
	return if_none_match && (!strcmp(if_none_match, "*") || strstr(if_none_match, tag));
}
