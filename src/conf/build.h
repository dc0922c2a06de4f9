/* build.h - from settings to struct conf. */
#ifndef LARDER_CONF_BUILD_H
#define LARDER_CONF_BUILD_H

#include "conf/conf.h"
#include "conf/report.h"
#include "conf/settings.h"

enum conf_resolv_use { CONF_RESOLV_READ, CONF_RESOLV_IGNORE };

/* running: the configuration that is in force, which the new one shares trust stores and peers with; or NULL.
 * Gives a configuration with one reference, or NULL when the settings hold mistakes (also those
 * reported before) or memory is short.  Borrows settings; the caller hangs them into the result. */
struct conf *conf_build(const struct conf_settings *settings, struct conf_report *report,
                        enum conf_resolv_use resolv, const struct conf *running);
void         conf_destroy(struct conf *c);	/* NULL and half-built ones are fine */

#endif
