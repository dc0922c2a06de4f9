/* bind.c - a socket file that is never open to more than it should be.
 *
 * The mode of a socket file is that of the socket, less the umask, so the mode
 * is set before bind() and what the umask took away is given back after: at no
 * moment is it wider than 0660, and the umask of the process, which other
 * threads share, stays alone.
 *
 * A file that is there already is stale when nobody listens on it; anything
 * else is left as it is.
 */
#include "control/bind.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIND_MODE 0660

static int bind_socket(int *fd)
{
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return *fd < 0 ? -errno : 0;
}

static int bind_address(const char *path, struct sockaddr_un *out)
{
	size_t len = strlen(path);

	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!len)
		return -EINVAL;
	if (len >= sizeof out->sun_path)
		return -ENAMETOOLONG;
	memcpy(out->sun_path, path, len);
	return 0;
}

/* Does somebody listen there?  -EADDRINUSE: yes; 0: nobody does; or why it cannot be known. */
static int bind_probe(const struct sockaddr_un *sun)
{
	int fd, err;

	err = bind_socket(&fd);
	if (err)
		return err;
	if (connect(fd, (const struct sockaddr *)sun, sizeof *sun) == 0 || errno == EAGAIN)
		err = -EADDRINUSE;	/* EAGAIN: alive, with a full queue */
	else
		err = errno == ECONNREFUSED ? 0 : -errno;
	close(fd);
	return err;
}

static int bind_clear(const struct sockaddr_un *sun)
{
	struct stat st;
	int         err;

	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	err = bind_probe(sun);
	if (err)
		return err;
	return unlink(sun->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

int bind_open(const char *path, int *fd, struct bind_file *file)
{
	struct sockaddr_un sun;
	struct stat        st;
	int                s, err;

	err = bind_address(path, &sun);
	if (!err)
		err = bind_clear(&sun);
	if (!err)
		err = bind_socket(&s);
	if (err)
		return err;
	if (fchmod(s, BIND_MODE) < 0 || bind(s, (const struct sockaddr *)&sun, sizeof sun) < 0)
		goto fail;
	if (chmod(sun.sun_path, BIND_MODE) < 0 || lstat(sun.sun_path, &st) < 0)
		goto fail_bound;
	memcpy(file->path, sun.sun_path, sizeof file->path);
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	*fd = s;
	return 0;
fail_bound:
	err = -errno;
	unlink(sun.sun_path);
	close(s);
	return err;
fail:
	err = -errno;
	close(s);
	return err;
}

void bind_remove(const struct bind_file *file)
{
	struct stat st;

	if (lstat(file->path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
		unlink(file->path);
}
