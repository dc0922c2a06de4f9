/* bind.h - the socket file: made, known again, removed. */
#ifndef LARDER_CONTROL_BIND_H
#define LARDER_CONTROL_BIND_H

#include <sys/stat.h>
#include <sys/un.h>

struct bind_file {
	char  path[sizeof ((struct sockaddr_un *)0)->sun_path];
	dev_t dev;			/* which file is ours, should another take the path */
	ino_t ino;
};

/* A bound stream socket that does not listen yet, in *fd, which the caller closes.
 * 0, or a negative errno: see control_open(). */
int  bind_open(const char *path, int *fd, struct bind_file *file);
/* Removes the file, if it still is the one that was made. */
void bind_remove(const struct bind_file *file);

#endif
