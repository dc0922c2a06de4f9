/* call.h - one call: from the text of a message to the text of its reply.
 *
 * A call is looked up in one table of methods, which says who may call it,
 * which parameters it takes and which function answers.  Nothing here knows of
 * sockets, so a test or a fuzzer calls it with plain text.
 */
#ifndef LARDER_CONTROL_CALL_H
#define LARDER_CONTROL_CALL_H

#include <jansson.h>
#include <stddef.h>
#include <sys/socket.h>

struct control_ops;

#define CALL_INTERFACE_NOT_FOUND "org.varlink.service.InterfaceNotFound"
#define CALL_METHOD_NOT_FOUND    "org.varlink.service.MethodNotFound"
#define CALL_INVALID_PARAMETER   "org.varlink.service.InvalidParameter"
#define CALL_OUT_OF_MEMORY       "io.larder.OutOfMemory"

/* What a function that answers is given, and where it leaves its answer. */
struct call {
	const struct control_ops *ops;		/* borrowed */
	json_t     *parameters;			/* borrowed: an object, checked against the table */
	json_t     *reply;			/* owned: an object */
	const char *error;			/* NULL, or the error that reply tells; static */
};

/* One of these ends a call; later ones replace it.  They take parameters; NULL means that
 * there was no memory for them. */
void call_reply(struct call *c, json_t *parameters);
void call_fail(struct call *c, const char *error, json_t *parameters);
void call_invalid(struct call *c, const char *parameter);

enum call_next { CALL_GOES_ON, CALL_WAS_LAST };	/* for the connection it came on */

/* Answers a message that came from peer.  *reply is heap text which the caller frees; it is NULL
 * when the caller wants none, and when memory is short. */
enum call_next call_answer(const struct control_ops *ops, const struct ucred *peer,
                           const char *message, size_t len, char **reply);
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

#endif
