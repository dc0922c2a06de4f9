/* records.h - the records of a message, for replies. */
#ifndef LARDER_CONTROL_RECORDS_H
#define LARDER_CONTROL_RECORDS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* All records of a whole message, without its OPT, as the type Record of io.larder.varlink.  What does not parse
 * ends the list.  NULL when memory is short. */
json_t *records_of_message(const uint8_t *msg, size_t len);

#endif
