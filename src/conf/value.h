/* value.h - from the text of one value to what it means, by the type of its option. */
#ifndef LARDER_CONF_VALUE_H
#define LARDER_CONF_VALUE_H

#include "base/addr.h"
#include "conf/table.h"
#include "conf/url.h"

#include <stddef.h>
#include <stdint.h>

union conf_value {
	int64_t            number;	/* numbers, times, octets, booleans, words */
	struct addr        addr;
	struct addr_prefix prefix;
	struct conf_url    url;		/* not set where the text names an upstream */
	uint8_t            pin[TLS_PIN_LEN];
};

/* Reads one value, or one element of a list.  0, or -EINVAL and why in words.  Texts and paths
 * are only checked. */
int conf_value_read(const struct conf_option *o, const char *text, size_t len,
                    union conf_value *out, char why[CONF_WHY_MAX]);
/* A bound of the option as a user would write it: 30s, 64M, 4096. */
const char *conf_value_format(enum conf_type type, int64_t number, char out[32]);

#endif
