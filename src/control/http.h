/* http.h - metrics and health over HTTP, for those who watch larder.
 *
 *	GET /metrics		counters and histograms for Prometheus
 *	GET /health		is DNS well?  200, or 503 when it fails
 *	GET /health/network	the same, upstream by upstream
 *	GET /			a page for people; its script reads /status.json
 *
 * It runs on the main thread's loop and has no threads of its own; workers
 * answer DNS whatever HTTP clients do.  Clients are bounded in number and time.
 */
#ifndef LARDER_CONTROL_HTTP_H
#define LARDER_CONTROL_HTTP_H

#include <sys/types.h>
#include <uv.h>

struct conf_http;
struct control_ops;
struct http;

/* Listens nowhere yet.  NULL when memory is short.  Copies ops; borrows loop. */
struct http *http_new(uv_loop_t *loop, const struct control_ops *ops);
/* From now on listens where conf says and nowhere else.  What cannot be opened is said in the log and left
 * out.  Borrows conf until the next call or http_close(). */
void http_listen(struct http *h, const struct conf_http *conf);
/* Gives the socket files that were made an owner and a group. */
void http_own_files(const struct http *h, uid_t uid, gid_t gid);
/* Ends all connections.  Memory goes back as the loop turns.  NULL is fine. */
void http_close(struct http *h);

#endif
