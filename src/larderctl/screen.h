/* screen.h - the terminal while a whole screen is ours.
 *
 * One at a time.  However the program ends, short of SIGKILL, the terminal is
 * as it was: screen_close() runs at exit if it has not run before.
 */
#ifndef LARDER_LARDERCTL_SCREEN_H
#define LARDER_LARDERCTL_SCREEN_H

#include <stdbool.h>

struct canvas;

enum screen_event {
	SCREEN_TIME,		/* the time is over */
	SCREEN_OTHER,		/* the other descriptor can be read */
	SCREEN_CHANGED,		/* the size, or everything: draw anew */
	SCREEN_RESUMED,		/* the same after the process was stopped for a while */
	SCREEN_NEXT,		/* the blank key: now, please */
	SCREEN_QUIT,
};

/* NULL, or why the output is no place for a screen, as the end of a sentence. */
const char *screen_flaw(void);
/* 0 or a negative errno.  From here on signals come as events. */
int         screen_open(void);
/* Safe at any time.  What ended us from outside (SIGTERM, SIGHUP) does so now. */
void        screen_close(void);

void        screen_size(unsigned *rows, unsigned *columns);
/* Gives false when the terminal is gone. */
bool        screen_show(const struct canvas *c, bool colour);
/* Waits for at most timeout_ms.  other: -1 for none. */
enum screen_event screen_wait(int other, int timeout_ms);

#endif
