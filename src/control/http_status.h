/* http_status.h - the document that the status page shows. */
#ifndef LARDER_CONTROL_HTTP_STATUS_H
#define LARDER_CONTROL_HTTP_STATUS_H

#include "control/http_sight.h"

#include <jansson.h>

struct checkup;
struct control_slow;

/* Turns *now into what happened lately.  names: may slow queries be told with theirs?  NULL when memory is short. */
json_t *http_status_document(const struct checkup *c, struct http_sight *now, const struct control_slow *slow,
                             bool names);

#endif
