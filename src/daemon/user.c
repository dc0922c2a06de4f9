/* user.c - from root to the user that larderd is to run as.
 *
 * What only root may do comes first: the control socket and files of HTTP get their owner and the group of those who
 * may speak to us, and the state directory is made.  After that there is no way back.
 */
#include "daemon/daemon_state.h"

#include "base/keep.h"
#include "base/log.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONTROL_GROUP   "larder"

/* Who may speak to us: a group of its own, where there is one.  It is looked up in the file itself: what else a
 * host asks for groups may in turn ask the DNS, which we do not answer yet. */
gid_t daemon_control_group(gid_t otherwise)
{
	FILE         *f = fopen("/etc/group", "re");
	struct group *g;
	gid_t         gid = otherwise;

	while (f && gid == otherwise && (g = fgetgrent(f)))
		if (!strcmp(g->gr_name, CONTROL_GROUP))
			gid = g->gr_gid;
	if (f)
		fclose(f);
	return gid;
}

/* A socket that was handed over has the owner that its unit names. */
static void daemon_own_sockets(const struct daemon *d, uid_t uid, gid_t gid)
{
	const char *path = d->conf->control_socket;

	if (geteuid() != 0)
		return;
	gid = daemon_control_group(gid);
	if (d->http)
		http_own_files(d->http, uid, gid);
	if (d->control && d->control_is_ours && lchown(path, uid, gid) < 0)
		log_warning("control socket %s: its group cannot be changed: %s", path, strerror(errno));
}

/* Made while we may, and only for who has something to keep there. */
static void daemon_make_state_directory(const struct conf *conf, uid_t uid, gid_t gid)
{
	bool needed = false;
	int  err;

	for (size_t i = 0; i < conf->upstream_count; i++)
		needed |= conf->upstreams[i].tls || conf->upstreams[i].host;
	if (!needed || geteuid() != 0 || !conf->state_directory)
		return;
	err = keep_make(conf->state_directory, uid, gid);
	if (err < 0)
		log_info("state directory %s cannot be made: %s", conf->state_directory, strerror(-err));
}

bool daemon_drop_root(const struct daemon *d)
{
	const struct conf *conf = d->conf;
	struct passwd     *pw;

	if (!conf->user) {
		daemon_own_sockets(d, (uid_t)-1, (gid_t)-1);
		daemon_make_state_directory(conf, (uid_t)-1, (gid_t)-1);
		return true;
	}
	if (geteuid() != 0) {
		pw = getpwnam(conf->user);
		if (pw && pw->pw_uid == geteuid())
			return true;
		log_error("cannot become user %s: larderd was not started as root", conf->user);
		return false;
	}
	errno = 0;
	pw = getpwnam(conf->user);
	if (!pw) {
		log_error("there is no user %s (`user` in the configuration)", conf->user);
		return false;
	}
	daemon_own_sockets(d, pw->pw_uid, pw->pw_gid);
	daemon_make_state_directory(conf, pw->pw_uid, pw->pw_gid);
	if (initgroups(conf->user, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0) {
		log_error("cannot become user %s: %s", conf->user, strerror(errno));
		return false;
	}
	return true;
}
