/* keep.c - small files that outlive the process. */
#include "base/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP_NAME_MAX 64

int keep_make(const char *dir, uid_t uid, gid_t gid)
{
	if (mkdir(dir, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	return lchown(dir, uid, gid) < 0 ? -errno : 0;
}

/* The folder's descriptor.  Where others may write, they may exchange what lies there. */
static int keep_open_dir(const char *dir)
{
	int         fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && (st.st_uid == geteuid() || st.st_uid == 0) && !(st.st_mode & 022))
		return fd;
	close(fd);
	return -EPERM;
}

static int keep_judge(int fd, size_t max, size_t *len)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		return -EPERM;
	if ((uintmax_t)st.st_size > max)
		return -EFBIG;
	*len = (size_t)st.st_size;
	return *len ? 0 : -ENODATA;
}

/* What was *len octets long may be shorter by now, but is not read further. */
static int keep_read_fd(int fd, char **data, size_t *len)
{
	char   *text = malloc(*len + 1);
	size_t  have = 0;
	ssize_t n = 1;

	if (!text)
		return -ENOMEM;
	while (have < *len && n) {
		n = read(fd, text + have, *len - have);
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			have += (size_t)n;
	}
	if (n < 0 || !have) {
		free(text);
		return n < 0 ? -EIO : -ENODATA;
	}
	text[have] = '\0';
	*data = text;
	*len = have;
	return 0;
}

int keep_read(const char *dir, const char *name, size_t max, char **data, size_t *len)
{
	int folder = keep_open_dir(dir), fd, err;

	if (folder < 0)
		return folder;
	/* Not to wait for a pipe's other end, should it be one. */
	fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	err = fd < 0 ? (errno == ELOOP ? -EPERM : -errno) : keep_judge(fd, max, len);
	close(folder);
	if (!err)
		err = keep_read_fd(fd, data, len);
	if (fd >= 0)
		close(fd);
	return err;
}

static int keep_write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int keep_write(const char *dir, const char *name, const void *data, size_t len)
{
	char temporary[KEEP_NAME_MAX];
	int  folder = keep_open_dir(dir), fd, err;

	if (folder < 0)
		return folder;
	snprintf(temporary, sizeof temporary, ".%s.new", name);
	unlinkat(folder, temporary, 0);		/* of one who was interrupted */
	fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	err = fd < 0 ? -errno : keep_write_all(fd, data, len);
	if (fd >= 0 && close(fd) < 0 && !err)
		err = -errno;
	if (!err && renameat(folder, temporary, folder, name) < 0)
		err = -errno;
	if (err && fd >= 0)
		unlinkat(folder, temporary, 0);
	close(folder);
	return err;
}
