/* journal.h - log lines of a service, with their priority and fields. */
#ifndef LARDER_DAEMON_JOURNAL_H
#define LARDER_DAEMON_JOURNAL_H

#include <stdbool.h>

/* From here on log lines go to the journal, if that is what standard error leads to; true when it is.
 * Once, before there are threads. */
bool journal_open(void);

#endif
