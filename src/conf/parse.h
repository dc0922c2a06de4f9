/* parse.h - one YAML file into settings. */
#ifndef LARDER_CONF_PARSE_H
#define LARDER_CONF_PARSE_H

#include "conf/report.h"
#include "conf/settings.h"

#include <stdint.h>

/* Lays the settings of a source (an index into report->sources, its text must be there) over
 * what is set already, and reports mistakes.  Without memory report->no_memory is set. */
void conf_parse(struct conf_settings *settings, struct conf_report *report, uint32_t source);

/* The same for an option of the command line: its texts replace the option's value. */
void conf_parse_args(struct conf_settings *settings, struct conf_report *report, const char *option,
                     const struct conf_text *texts, size_t count);

#endif
