/* file.h - whole files, bounded, read at once. */
#ifndef LARDER_CONF_FILE_H
#define LARDER_CONF_FILE_H

#include <stddef.h>

enum conf_file_kind {
	CONF_FILE_ANY,		/* pipes too, so that --config /dev/stdin works */
	CONF_FILE_REGULAR	/* never waits for anyone */
};

/* Gives *text (heap, ended by NUL, a byte order mark taken off) and *len.  0, or a negative errno:
 * -EFBIG when there is more than max.  Blocks: for the main thread only. */
int  conf_file_read(const char *path, size_t max, enum conf_file_kind kind, char **text,
                    size_t *len);

/* Gives the paths of every *.yaml in dir in the order of their octets, at most max; hidden files
 * are left out.  0 (also when there is no such directory), or a negative errno: -E2BIG for too
 * many. */
int  conf_file_list(const char *dir, size_t max, char ***paths, size_t *count);
void conf_file_list_free(char **paths, size_t count);

#endif
