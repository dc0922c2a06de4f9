/* daemon.h - the process: configuration, workers, signals, reload, the end. */
#ifndef LARDER_DAEMON_DAEMON_H
#define LARDER_DAEMON_DAEMON_H

#include "conf/conf.h"

struct activation;

/* Runs until SIGTERM or SIGINT.  Takes over conf; borrows args, by which it is loaded again on reload, and
 * what was handed over.  Gives the exit code of the process. */
int daemon_run(struct conf *conf, const struct conf_args *args, struct activation *handed);

#endif
