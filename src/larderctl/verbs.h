/* verbs.h - what verbs have in common. */
#ifndef LARDER_LARDERCTL_VERBS_H
#define LARDER_LARDERCTL_VERBS_H

#include "dns/name.h"
#include "larderctl/larderctl.h"

#include <jansson.h>

/* Calls, and with --json prints; *reply is NULL when nothing is left to print.  Takes parameters. */
enum larderctl_exit verb_ask(const struct order *o, const char *method, json_t *parameters, json_t **reply);
/* The same without parameters, and shows the reply. */
enum larderctl_exit verb_show(const struct order *o, const char *method,
                              void (*show)(const json_t *reply, const struct term *term));

/* Arguments that larderd would not understand are refused here, where there is more to say about them. */
enum larderctl_exit verb_read_name(const char *argument, char text[DNS_NAME_TEXT_MAX]);
enum larderctl_exit verb_check_type(const char *argument);
/* {name, type} of the first two arguments, of which the second may be missing; NULL, and *result: one is wrong. */
json_t *verb_name_and_type(const struct order *o, const char *verb, enum larderctl_exit *result);

#endif
