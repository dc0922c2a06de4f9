/* call.h - one call: from the text of a message to the text of its reply.
 *
 * A call is looked up in one table of methods, which says who may call it,
 * which parameters it takes and which function answers.  Nothing here knows of
 * sockets, so a test or a fuzzer calls it with plain text.
 */
#ifndef LARDER_CONTROL_CALL_H
#define LARDER_CONTROL_CALL_H

#include "control/peer.h"

#include <jansson.h>
#include <stddef.h>

struct checkup;
struct control_ops;

#define CALL_INTERFACE_NOT_FOUND "org.varlink.service.InterfaceNotFound"
#define CALL_METHOD_NOT_FOUND    "org.varlink.service.MethodNotFound"
#define CALL_INVALID_PARAMETER   "org.varlink.service.InvalidParameter"
#define CALL_PERMISSION_DENIED   "org.varlink.service.PermissionDenied"
#define CALL_EXPECTED_MORE       "org.varlink.service.ExpectedMore"
#define CALL_OUT_OF_MEMORY       "io.larder.OutOfMemory"
#define CALL_BUSY                "io.larder.Busy"

/* Who calls whom. */
struct call_env {
	const struct control_ops *ops;		/* borrowed */
	const struct checkup     *checkup;	/* borrowed */
	struct peer               peer;
};

struct call;

enum call_step {
	CALL_STEP_MORE,			/* a piece, and not the last */
	CALL_STEP_LAST,
	CALL_STEP_WAITS,		/* none yet: wake() tells */
};

/* A reply in pieces, made as fast as they are read, or as they come. */
struct call_stream {
	/* Answers the call with the next piece; a failure is the last. */
	enum call_step (*next)(struct call_stream *s, struct call *c);
	void (*free)(struct call_stream *s);
	/* Whoever reads it sets these; the stream calls wake(), if there is one, when there is a piece, though it did
	 * not wait.  It may be freed meanwhile. */
	void (*wake)(void *arg);
	void  *wake_arg;
};

/* A reply that is made later. */
struct call_later {
	void (*done)(void *arg, char *text);	/* takes text, or NULL without memory; may itself become NULL: nobody
						 * wants to know any more */
	void  *arg;
};

/* What a function that answers is given, and where it leaves its answer. */
struct call {
	const struct control_ops *ops;		/* borrowed */
	const struct call_env    *env;		/* borrowed */
	json_t     *parameters;			/* borrowed: an object, checked against the table */
	json_t     *reply;			/* owned: an object */
	const char *error;			/* NULL, or the error that reply tells; static */
	struct call_stream       *stream;	/* owned; in place of a reply */
	struct call_later        *later;	/* borrowed until it is done; in place of a reply */
};

/* One of these ends a call; later ones replace it.  They take parameters; NULL means that
 * there was no memory for them. */
void call_reply(struct call *c, json_t *parameters);
void call_fail(struct call *c, const char *error, json_t *parameters);
void call_invalid(struct call *c, const char *parameter);
void call_refuse(struct call *c, int err);	/* -EBUSY: Busy; else there was no memory */

enum call_next {		/* for the connection it came on */
	CALL_GOES_ON,
	CALL_STREAMS,		/* what is said goes on: call_stream_next() */
	CALL_STREAM_WAITS,	/* the same, but nothing is said before wake() */
	CALL_WAITS,		/* what is said comes later */
	CALL_WAS_LAST,
};

struct call_said {
	char               *text;	/* heap, the caller frees; NULL: nothing, or no memory */
	struct call_stream *stream;	/* of CALL_STREAMS: the caller owns it */
	struct call_later  *later;	/* of CALL_WAITS: the caller says in it who is to be told */
};

/* Answers a message.  What is said is nothing when the caller wants no reply, when memory is short, and at the
 * beginning of a stream. */
enum call_next call_answer(const struct call_env *env, const char *message, size_t len, struct call_said *said);
/* The next piece, while it gives CALL_STREAMS, or CALL_STREAM_WAITS and no text. */
enum call_next call_stream_next(const struct call_env *env, struct call_stream *s, char **text);
/* Tells whoever wants to know; what call_fail() and call_reply() have left in c is its reply. */
void call_tell_later(struct call_later *l, struct call *c);
/* The reply to what is not even a call; NULL when memory is short. */
char *call_garbage_reply(void);

/* Methods of org.varlink.service (service.c) and io.larder (larder.c). */
void service_get_info(struct call *c);
void service_get_interface_description(struct call *c);
void larder_status(struct call *c);
void larder_stats(struct call *c);
void larder_upstreams(struct call *c);
void larder_set_upstream(struct call *c);
void larder_flush(struct call *c);
void larder_reload(struct call *c);
void larder_config(struct call *c);
void larder_health(struct call *c);
void larder_set_log_level(struct call *c);
void larder_set_query_log(struct call *c);
void larder_route(struct call *c);		/* larder_route.c */
void larder_cache_lookup(struct call *c);	/* larder_cache.c */
void larder_cache_dump(struct call *c);
void larder_trace(struct call *c);		/* larder_trace.c */
void larder_latencies(struct call *c);	/* larder_latencies.c */
void larder_monitor(struct call *c);		/* larder_monitor.c */
void larder_slow(struct call *c);		/* larder_slow.c */

#endif
