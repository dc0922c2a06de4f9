/* file.c - reading files and listing drop-ins. */
#include "conf/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sizes of files may lie (pipes, /proc), so read until the end or one octet too many. */
static int file_fill(int fd, size_t max, char **text, size_t *len)
{
	size_t room = 0;

	for (;;) {
		ssize_t n;

		if (*len == room) {
			char *grown;

			room = room ? 2 * room : 4096;
			room = room > max + 1 ? max + 1 : room;
			grown = realloc(*text, room + 1);
			if (!grown)
				return -ENOMEM;
			*text = grown;
		}
		n = read(fd, *text + *len, room - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*len += (size_t)n;
		if (*len > max)
			return -EFBIG;
	}
	(*text)[*len] = '\0';
	return 0;
}

int conf_file_read(const char *path, size_t max, enum conf_file_kind kind, char **text, size_t *len)
{
	int         flags = O_RDONLY | O_CLOEXEC | (kind == CONF_FILE_REGULAR ? O_NONBLOCK : 0);
	int         fd = open(path, flags);
	struct stat st;
	char       *buf = NULL;
	size_t      n = 0;
	int         err;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (kind == CONF_FILE_REGULAR && !S_ISREG(st.st_mode))
		err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	else
		err = file_fill(fd, max, &buf, &n);
	close(fd);
	if (err < 0) {
		free(buf);
		return err;
	}
	if (n >= 3 && !memcmp(buf, "\xef\xbb\xbf", 3)) {
		n -= 3;
		memmove(buf, buf + 3, n + 1);
	}
	*text = buf;
	*len = n;
	return 0;
}

static int file_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool file_is_drop_in(const char *name)
{
	size_t n = strlen(name);

	return *name != '.' && n > 5 && !strcmp(name + n - 5, ".yaml");
}

static int file_list_add(char ***paths, size_t *count, const char *dir, const char *name)
{
	char **grown = realloc(*paths, (*count + 1) * sizeof *grown);

	if (!grown)
		return -ENOMEM;
	*paths = grown;
	if (asprintf(&grown[*count], "%s/%s", dir, name) < 0)
		return -ENOMEM;
	++*count;
	return 0;
}

int conf_file_list(const char *dir, size_t max, char ***paths, size_t *count)
{
	DIR           *d = opendir(dir);
	struct dirent *e;
	int            err = 0;

	*paths = NULL;
	*count = 0;
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (errno = 0, e = readdir(d)))
		if (file_is_drop_in(e->d_name))
			err = *count == max ? -E2BIG : file_list_add(paths, count, dir, e->d_name);
	if (!err && errno)
		err = -errno;
	closedir(d);
	if (err < 0) {
		conf_file_list_free(*paths, *count);
		*paths = NULL;
		*count = 0;
		return err;
	}
	if (*count)
		qsort(*paths, *count, sizeof **paths, file_compare);
	return 0;
}

void conf_file_list_free(char **paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(paths[i]);
	free(paths);
}
