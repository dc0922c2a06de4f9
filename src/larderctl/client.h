/* client.h - calls to larderd. */
#ifndef LARDER_LARDERCTL_CLIENT_H
#define LARDER_LARDERCTL_CLIENT_H

#include "larderctl/larderctl.h"

#include <jansson.h>

#define CLIENT_WORDS 1024

/* What a negative errno of a conversation means, and what to do about it, in one line or two; what the program
 * ends with then. */
enum larderctl_exit client_explain(const char *socket, int err, int patience_s, char words[CLIENT_WORDS]);

/* Calls method and waits at most 5 s.  Takes parameters.  On LARDERCTL_OK *reply is an object
 * which the caller owns; else standard error says what went wrong. */
enum larderctl_exit client_call(const char *socket, const char *method, json_t *parameters,
				json_t **reply);
/* The same where the answer comes in pieces, for each of which at most 5 s are waited.  each() may give false when
 * it wants no more. */
enum larderctl_exit client_stream(const char *socket, const char *method, json_t *parameters,
				  bool (*each)(void *arg, const json_t *piece), void *arg);

#endif
