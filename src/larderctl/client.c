/* client.c - to the control socket and back.
 *
 * Blocking, with a deadline for sending and one for each reply.
 * A failure is told in terms of what to do about it, because whoever sees it
 * usually has a resolver that does not work.
 */
#include "larderctl/client.h"

#include "base/varlink.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLIENT_TIMEOUT_US 5000000
#define CLIENT_TRACE_US   35000000	/* it may take as long as the longest query-timeout */
#define CLIENT_REPLY_MAX  (16u << 20)	/* octets; a configuration is far from it */

struct client {
	const char *socket;		/* borrowed */
	int         fd;
	long long   patience_us, deadline_us;
	struct varlink_buffer in;
};

static long long client_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Makes the next wait on the socket end at the deadline.  -ETIMEDOUT: it is past. */
static int client_limit(const struct client *c, int option)
{
	long long      left = c->deadline_us - client_now_us();
	struct timeval tv = { .tv_sec = left / 1000000, .tv_usec = left % 1000000 };

	if (left <= 0)
		return -ETIMEDOUT;
	return setsockopt(c->fd, SOL_SOCKET, option, &tv, sizeof tv) < 0 ? -errno : 0;
}

static int client_failure(void)
{
	return errno == EAGAIN || errno == EINPROGRESS ? -ETIMEDOUT : -errno;
}

static int client_connect(struct client *c)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int                err;

	if (strlen(c->socket) >= sizeof sun.sun_path)
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, c->socket, strlen(c->socket));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	err = client_limit(c, SO_SNDTIMEO);
	if (!err && connect(c->fd, (const struct sockaddr *)&sun, sizeof sun) < 0)
		err = client_failure();
	return err;
}

static int client_send(struct client *c, const char *octets, size_t len)
{
	while (len) {
		int     err = client_limit(c, SO_SNDTIMEO);
		ssize_t n;

		if (err)
			return err;
		n = send(c->fd, octets, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return client_failure();
		octets += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One message, borrowed from in.  -ECONNRESET: the other side closed before its end. */
static int client_receive(struct client *c, struct varlink_buffer *in, const char **message,
			  size_t *len)
{
	while (!(*message = varlink_next(in, len))) {
		char   *at;
		size_t  room;
		ssize_t n;
		int     err = varlink_room(in, &at, &room);

		if (!err)
			err = client_limit(c, SO_RCVTIMEO);
		if (err)
			return err;
		n = recv(c->fd, at, room, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? client_failure() : -ECONNRESET;
		varlink_filled(in, (size_t)n);
	}
	return 0;
}

/* The next reply as JSON, or a negative errno; -EBADMSG when it is none. */
static int client_next(struct client *c, json_t **reply)
{
	const char *message;
	size_t      len;
	int         err;

	c->deadline_us = client_now_us() + c->patience_us;
	err = client_receive(c, &c->in, &message, &len);
	if (err)
		return err;
	*reply = json_loadb(message, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(*reply))
		return 0;
	json_decref(*reply);
	return -EBADMSG;
}

static int client_begin(struct client *c, const char *call)
{
	int err;

	c->deadline_us = client_now_us() + c->patience_us;
	err = client_connect(c);
	return err ? err : client_send(c, call, strlen(call) + 1);
}

/* The group that may use the socket, as far as we can see: of the socket, or of the folder that
 * keeps us from seeing it. */
static void client_explain_permission(const char *path, char words[CLIENT_WORDS])
{
	char                *copy = term_memory(strdup(path));
	struct stat          st;
	const struct group  *group = NULL;

	if (stat(path, &st) == 0 || stat(dirname(copy), &st) == 0)
		group = getgrgid(st.st_gid);
	free(copy);
	if (!group || !group->gr_gid)
		snprintf(words, CLIENT_WORDS, "permission denied: only root may use %s", path);
	else
		snprintf(words, CLIENT_WORDS, "permission denied: %s is for root and members of the group \"%s\"\n"
			 "\"usermod -aG %s USER\" makes USER a member from the next login on", path, group->gr_name,
			 group->gr_name);
}

enum larderctl_exit client_explain(const char *path, int err, int patience_s, char words[CLIENT_WORDS])
{
	switch (-err) {
	case ENOENT:
	case ECONNREFUSED:
		snprintf(words, CLIENT_WORDS, "larderd is not running: nobody listens on %s\n"
			 "start it with \"systemctl start larderd\", or say with --socket where its control-socket is",
			 path);
		return LARDERCTL_UNREACHABLE;
	case EACCES:
	case EPERM:
		client_explain_permission(path, words);
		return LARDERCTL_UNREACHABLE;
	case ETIMEDOUT:
		snprintf(words, CLIENT_WORDS, "larderd has not answered for %d s; it listens on %s", patience_s, path);
		return LARDERCTL_UNREACHABLE;
	case EPIPE:
	case ECONNRESET:
		snprintf(words, CLIENT_WORDS, "the connection to %s ended before larderd answered", path);
		return LARDERCTL_UNREACHABLE;
	case ENAMETOOLONG:
		snprintf(words, CLIENT_WORDS, "%s is too long for the path of a socket", path);
		return LARDERCTL_USAGE;
	case EBADMSG:
	case EMSGSIZE:
		snprintf(words, CLIENT_WORDS, "what answers on %s does not speak Varlink", path);
		return LARDERCTL_REFUSED;
	default:
		snprintf(words, CLIENT_WORDS, "cannot talk to larderd on %s: %s", path, strerror(-err));
		return LARDERCTL_UNREACHABLE;
	}
}

static enum larderctl_exit client_complain(const struct client *c, int err)
{
	char                words[CLIENT_WORDS], *rest = words, *line;
	enum larderctl_exit result = client_explain(c->socket, err, (int)(c->patience_us / 1000000), words);

	while ((line = strsep(&rest, "\n")))
		term_complain("%s", line);
	return result;
}

/* Says what an error reply means. */
static void client_complain_refused(const char *method, const char *error, const json_t *parameters)
{
	const char *parameter = json_string_value(json_object_get(parameters, "parameter"));
	const char *name = json_string_value(json_object_get(parameters, "name"));
	const char *report = json_string_value(json_object_get(parameters, "report"));

	if (!strcmp(error, "io.larder.ConfigurationInvalid")) {
		term_complain_lines(report ? report : "");
		term_complain("the configuration has mistakes; larderd goes on with what it had");
	} else if (!strcmp(error, "io.larder.NoSuchUpstream"))
		term_complain("no upstream is called \"%s\"; \"larderctl upstreams\" shows the names",
		              name ? name : "?");
	else if (!strcmp(error, "org.varlink.service.PermissionDenied"))
		term_complain("permission denied: %s is for root%s", method,
		              !strncmp(method, "io.larder.Cache", 15) || !strcmp(method, "io.larder.Trace") ||
		              !strcmp(method, "io.larder.Monitor")
		              ? ", larderd's own user and members of the group \"larder\"" : " and larderd's own user");
	else if (!strcmp(error, "io.larder.Busy"))
		term_complain("larderd does as much of this already as it may; try again in a moment");
	else if (!strcmp(error, "io.larder.OutOfMemory"))
		term_complain("larderd has no memory left for the reply");
	else if (!strcmp(error, "org.varlink.service.InvalidParameter"))
		term_complain("larderd does not accept what %s says for \"%s\"", method,
		              parameter ? parameter : "?");
	else if (!strcmp(error, "org.varlink.service.MethodNotFound") ||
	         !strcmp(error, "org.varlink.service.InterfaceNotFound"))
		term_complain("this larderd does not know %s; is it older than this larderctl?",
			      method);
	else
		term_complain("larderd refused %s: %s", method, error);
}

/* Takes reply, which is none when err says so.  each() gets what it says; gives whether more is to come. */
static enum larderctl_exit client_take(const struct client *c, const char *method, int err, json_t *reply,
				       bool (*each)(void *arg, const json_t *piece), void *arg, bool *more)
{
	const char         *error;
	json_t             *answer, *nothing = NULL;
	enum larderctl_exit result = LARDERCTL_OK;

	*more = false;
	if (err)
		return client_complain(c, err);
	error = json_string_value(json_object_get(reply, "error"));
	answer = json_object_get(reply, "parameters");
	if (answer && !json_is_object(answer)) {
		result = client_complain(c, -EBADMSG);
	} else if (error) {
		client_complain_refused(method, error, answer);
		result = LARDERCTL_REFUSED;
	} else {
		if (!answer)
			answer = nothing = term_memory(json_object());
		*more = each(arg, answer) && json_is_true(json_object_get(reply, "continues"));
	}
	json_decref(nothing);
	json_decref(reply);
	return result;
}

/* Takes call. */
static enum larderctl_exit client_do(const char *socket_path, const char *method, json_t *call,
				     bool (*each)(void *arg, const json_t *piece), void *arg)
{
	bool                trace = !strcmp(method, "io.larder.Trace");
	struct client       c = { .socket = socket_path, .fd = -1,
		                  .patience_us = trace ? CLIENT_TRACE_US : CLIENT_TIMEOUT_US };
	char               *text = term_memory(json_dumps(term_memory(call), JSON_COMPACT));
	enum larderctl_exit result;
	bool                more;
	int                 err;

	varlink_init(&c.in, CLIENT_REPLY_MAX);
	err = client_begin(&c, text);
	do {
		json_t *reply = NULL;

		if (!err)
			err = client_next(&c, &reply);
		result = client_take(&c, method, err, reply, each, arg, &more);
	} while (more);
	varlink_done(&c.in);
	if (c.fd >= 0)
		close(c.fd);
	free(text);
	json_decref(call);
	return result;
}

static bool client_keep(void *arg, const json_t *answer)
{
	json_t **out = arg;

	*out = json_incref((json_t *)(uintptr_t)answer);
	return false;
}

enum larderctl_exit client_call(const char *socket_path, const char *method, json_t *parameters,
				json_t **out)
{
	*out = NULL;
	return client_do(socket_path, method, json_pack("{s:s, s:o}", "method", method, "parameters", parameters),
			 client_keep, out);
}

enum larderctl_exit client_stream(const char *socket_path, const char *method, json_t *parameters,
				  bool (*each)(void *arg, const json_t *piece), void *arg)
{
	return client_do(socket_path, method,
			 json_pack("{s:s, s:b, s:o}", "method", method, "more", 1, "parameters", parameters), each,
			 arg);
}
