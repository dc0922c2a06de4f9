/* tickets.h - TLS tickets outlive larderd: read at the start, written now and then and at the end.
 *
 * Before any is handed out the file is emptied, by an empty one that takes its
 * place: a ticket is used once (RFC 8446 s. C.4), even if larderd should not come
 * to write what is left of them.  For the main
 * thread, whose file operations may take a moment.
 */
#ifndef LARDER_DAEMON_TICKETS_H
#define LARDER_DAEMON_TICKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct conf;
struct tickets_seen;

struct tickets {
	uv_timer_t timer;
	char      *dir;			/* NULL: nothing is kept */
	struct conf *const *conf;	/* borrowed: the one in force */
	struct tickets_seen *written;	/* whose tickets lie there, in which generation; NULL: none were written yet */
	size_t     written_count;
	bool       failed;		/* which has been said */
};

/* Borrows conf, which says at any time whose tickets are kept. */
void tickets_init(struct tickets *t, uv_loop_t *loop, struct conf *const *conf);
/* Before the workers begin, by the user that they will run as. */
void tickets_load(struct tickets *t);
/* Writes them for the last time; nothing when they were not loaded.  Then the loop must turn. */
void tickets_close(struct tickets *t);

#endif
