/* http.c - HTTP clients, and libmicrohttpd on libuv's loop.
 *
 * libmicrohttpd reads requests and writes replies; it watches its sockets with
 * an epoll descriptor, and the loop watches that one descriptor.  Clients come
 * in by our own doors (http_doors.c), and a client's time is ours to count: it
 * has HTTP_TURN_MS for each turn, from one reply, or its coming, to the next
 * reply taken whole, however busily it trickles.
 *
 *	door --> turn --reply taken--> turn ...
 *	           |
 *	           +--time is up, or another needs the place--> dropped
 *
 * Always true: clients are on one list, the one longest in its turn first; so
 * the first is both the next whose time is up and the one that gives way.  A
 * dropped client is off the list and its socket shut down, upon which
 * libmicrohttpd lets go of it.
 *
 * A refused request ends its connection, so that nobody's body is read for it.
 */
#include "control/http.h"

#include "base/addr.h"
#include "base/list.h"
#include "base/log.h"
#include "conf/conf.h"
#include "control/control.h"
#include "control/http_checkup.h"
#include "control/http_doors.h"
#include "control/http_pages.h"
#include "control/http_rules.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#define HTTP_CLIENTS_MAX   32
#define HTTP_LEAVING_MAX   16		/* dropped, and not yet let go of */
#define HTTP_TURN_MS       10000
#define HTTP_MEMORY_OCTETS 16384	/* for a client's request and our headers */

struct http {
	uv_loop_t              *loop;		/* borrowed */
	struct control_ops      ops;
	const struct conf_http *conf;		/* borrowed */
	struct http_doors       doors;
	struct checkup          checkup;
	struct MHD_Daemon      *mhd;
	struct list             clients;
	unsigned                client_count;	/* on the list */
	uv_poll_t               work;		/* libmicrohttpd has something to do */
	uv_timer_t              turn;		/* the first client's time is up, or there is more to do */
	uv_timer_t              mark;		/* for health */
	unsigned                open_handles;
};

struct http_client {
	struct list  node;
	struct http *http;
	int          fd;		/* libmicrohttpd's; open as long as this lives */
	uint64_t     until_ms;		/* of uv_now() */
	struct addr  local;		/* what it reached; family AF_UNIX: a socket file */
};

/* ---- clients ---- */

static void http_drop(struct http_client *c)
{
	list_remove(&c->node);
	c->http->client_count--;
	shutdown(c->fd, SHUT_RDWR);
}

static struct http_client *http_oldest(struct http *h)
{
	return list_empty(&h->clients) ? NULL : list_entry(h->clients.next, struct http_client, node);
}

static void http_begin_turn(struct http_client *c)
{
	list_remove(&c->node);
	list_append(&c->http->clients, &c->node);
	c->until_ms = uv_now(c->http->loop) + HTTP_TURN_MS;
}

static struct http_client *http_client_new(struct http *h, int fd)
{
	struct http_client *c = calloc(1, sizeof *c);
	socklen_t           len = sizeof c->local;

	if (!c)
		return NULL;
	list_init(&c->node);
	c->http = h;
	c->fd = fd;
	c->local.sa.sa_family = AF_UNIX;	/* should nothing be learnt: it has no address */
	getsockname(fd, &c->local.sa, &len);
	http_begin_turn(c);
	h->client_count++;
	return c;
}

static void http_client_free(struct http_client *c)
{
	if (!list_empty(&c->node))
		c->http->client_count--;
	list_remove(&c->node);
	free(c);
}

/* libmicrohttpd has begun or ended with a connection.  One without a context is never answered. */
static void http_on_connection(void *arg, struct MHD_Connection *conn, void **context,
                               enum MHD_ConnectionNotificationCode code)
{
	int fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (*context)
			http_client_free(*context);
		*context = NULL;
		return;
	}
	*context = http_client_new(arg, fd);
	if (!*context)
		shutdown(fd, SHUT_RDWR);
}

static struct http_client *http_client_of(struct MHD_Connection *conn)
{
	return MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void http_on_completed(void *arg, struct MHD_Connection *conn, void **context,
                              enum MHD_RequestTerminationCode why)
{
	struct http_client *c = http_client_of(conn);

	(void)arg;
	(void)context;
	if (c && why == MHD_REQUEST_TERMINATED_COMPLETED_OK && !list_empty(&c->node))
		http_begin_turn(c);
}

/* ---- replies ---- */

/* Nothing is guessed, framed, or read from another origin. */
static const char *const http_headers[][2] = {
	{ "X-Content-Type-Options", "nosniff" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Referrer-Policy", "no-referrer" },
};

/* Documents run and load nothing.  The page may run and fetch what is served here, and has no way to make markup of
 * text: where a browser knows trusted types, even to try is an error. */
#define HTTP_POLICY "default-src 'none'; frame-ancestors 'none'"
#define HTTP_PAGE_POLICY HTTP_POLICY "; base-uri 'none'; form-action 'none'; script-src 'self'; style-src 'self'; " \
	"img-src 'self'; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"

/* Numbers are not kept; a file may be, but whoever has it asks whether it is still the same. */
static void http_add_headers(struct MHD_Response *r, const struct http_reply *reply)
{
	for (size_t i = 0; i < sizeof http_headers / sizeof *http_headers; i++)
		MHD_add_response_header(r, http_headers[i][0], http_headers[i][1]);
	MHD_add_response_header(r, "Content-Security-Policy", reply->fixed ? HTTP_PAGE_POLICY : HTTP_POLICY);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, reply->fixed ? "no-cache" : "no-store");
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
	if (reply->fixed)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, reply->tag);
	if (reply->status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
}

/* Takes the body. */
static enum MHD_Result http_send(struct MHD_Connection *conn, const struct http_reply *reply)
{
	struct MHD_Response *r;
	enum MHD_Result      result;

	if (!reply->body)
		return MHD_NO;		/* no memory: the connection ends */
	r = MHD_create_response_from_buffer(reply->len, reply->body,
	                                    reply->fixed ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
	if (!r) {
		if (!reply->fixed)
			free(reply->body);
		return MHD_NO;
	}
	http_add_headers(r, reply);
	result = MHD_queue_response(conn, reply->status, r);
	MHD_destroy_response(r);
	return result;
}

/* libmicrohttpd calls when a request's headers are there, for each piece of its body, and at its end. */
static enum MHD_Result http_on_request(void *arg, struct MHD_Connection *conn, const char *path,
                                       const char *method, const char *version, const char *upload,
                                       size_t *upload_len, void **context)
{
	struct http        *h = arg;
	struct http_client *c = http_client_of(conn);
	struct http_request r = {
		.method = method,
		.path = path,
		.host = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST),
		.accept = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT),
		.if_none_match = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH),
	};
	struct http_source  from = { .ops = &h->ops, .checkup = &h->checkup, .names = h->conf->names };
	struct http_reply   reply;
	unsigned            refusal;

	(void)version;
	(void)upload;
	if (!c)
		return MHD_NO;
	r.local = c->local.sa.sa_family == AF_UNIX ? NULL : &c->local;
	if (!*context) {
		*context = c;
		refusal = http_rules_check(&r, h->conf);
		if (!refusal)
			return MHD_YES;
		http_pages_refuse(refusal, &reply);
		return http_send(conn, &reply);
	}
	if (*upload_len) {
		*upload_len = 0;
		return MHD_YES;
	}
	http_pages_make(&r, &from, &reply);
	return http_send(conn, &reply);
}

/* ---- the loop ---- */

static void http_on_turn(uv_timer_t *turn);

/* To be called after each MHD_run(): it may have left something for the next. */
static void http_arm(struct http *h)
{
	struct http_client    *c = http_oldest(h);
	uint64_t               now = uv_now(h->loop);
	MHD_UNSIGNED_LONG_LONG wait;

	if (MHD_get_timeout(h->mhd, &wait) == MHD_YES && !wait)
		uv_timer_start(&h->turn, http_on_turn, 0, 0);
	else if (c)
		uv_timer_start(&h->turn, http_on_turn, c->until_ms > now ? c->until_ms - now : 0, 0);
	else
		uv_timer_stop(&h->turn);
}

static void http_run(struct http *h)
{
	MHD_run(h->mhd);
	http_arm(h);
}

static void http_on_turn(uv_timer_t *turn)
{
	struct http        *h = turn->data;
	struct http_client *c;

	while ((c = http_oldest(h)) && c->until_ms <= uv_now(h->loop))
		http_drop(c);
	http_run(h);
}

static void http_on_work(uv_poll_t *work, int status, int events)
{
	(void)status;
	(void)events;
	http_run(work->data);
}

static void http_on_client(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len)
{
	struct http *h = arg;

	if (h->client_count == HTTP_CLIENTS_MAX) {
		http_drop(http_oldest(h));
		MHD_run(h->mhd);
	}
	if (MHD_add_connection(h->mhd, fd, peer, peer_len) != MHD_YES)	/* it closes fd */
		log_limited(LOG_LEVEL_WARNING, "http: no room for a connection; closing it");
	http_run(h);
}

static void http_on_mark(uv_timer_t *mark)
{
	struct http *h = mark->data;

	checkup_mark(&h->checkup, &h->ops);
}

/* ---- beginning and end ---- */

static struct MHD_Daemon *http_start_mhd(struct http *h)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, http_on_request, h,
	                        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CLIENTS_MAX + HTTP_LEAVING_MAX,
	                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY_OCTETS,
	                        MHD_OPTION_NOTIFY_CONNECTION, http_on_connection, h,
	                        MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, h, MHD_OPTION_END);
}

struct http *http_new(uv_loop_t *loop, const struct control_ops *ops)
{
	struct http *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->loop = loop;
	h->ops = *ops;
	h->doors = (struct http_doors){ .loop = loop, .on_client = http_on_client, .arg = h };
	list_init(&h->doors.open);
	list_init(&h->clients);
	h->mhd = http_start_mhd(h);
	if (!h->mhd) {
		free(h);
		return NULL;
	}
	uv_poll_init(loop, &h->work, MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
	uv_timer_init(loop, &h->turn);
	uv_timer_init(loop, &h->mark);
	h->work.data = h->turn.data = h->mark.data = h;
	h->open_handles = 3;
	uv_poll_start(&h->work, UV_READABLE, http_on_work);
	uv_timer_start(&h->mark, http_on_mark, CHECKUP_MARK_MS, CHECKUP_MARK_MS);
	checkup_mark(&h->checkup, ops);
	checkup_mark(&h->checkup, ops);	/* the older one, too, is of now: what was before is not our time */
	return h;
}

void http_listen(struct http *h, const struct conf_http *conf)
{
	h->conf = conf;
	http_doors_set(&h->doors, conf->listen, conf->listen_count);
}

void http_own_files(const struct http *h, uid_t uid, gid_t gid)
{
	http_doors_own_files(&h->doors, uid, gid);
}

static void http_on_handle_closed(uv_handle_t *handle)
{
	struct http *h = handle->data;

	if (--h->open_handles == 0)
		free(h);
}

void http_close(struct http *h)
{
	if (!h)
		return;
	http_doors_close(&h->doors);
	uv_close((uv_handle_t *)&h->work, http_on_handle_closed);
	uv_close((uv_handle_t *)&h->turn, http_on_handle_closed);
	uv_close((uv_handle_t *)&h->mark, http_on_handle_closed);
	MHD_stop_daemon(h->mhd);	/* ends all clients; the loop no longer watches its descriptor */
	checkup_done(&h->checkup);
}
