/* load.h - a configuration from memory, for tests and fuzzers. */
#ifndef LARDER_CONF_LOAD_H
#define LARDER_CONF_LOAD_H

#include <stddef.h>

struct conf;

/* Like conf_load() of one file that is called "text", with neither drop-ins nor resolv.conf. */
struct conf *conf_load_text(const char *text, size_t len, char **report);

#endif
