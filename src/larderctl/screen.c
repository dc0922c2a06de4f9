/* screen.c - a terminal, borrowed.
 *
 * Plain sequences of ANSI, and four of DEC that every terminal emulator has
 * followed for decades: the alternate screen, the cursor's visibility and
 * autowrap.  A library with a data base of terminals would earn its place with
 * many kinds of them, or with windows and menus; this is one grid, written
 * whole from the top left corner.
 *
 * Signals are blocked and read from a descriptor, so that nothing is ever cut
 * short by one, and the main loop sees them where it looks anyway.  The
 * terminal is opened anew for writing, without waiting: one that takes nothing
 * (Ctrl-S, a dead connection) costs a frame, and we still hear signals.
 *
 * SIGTSTP: the terminal is given back, then the signal takes its course; after
 * SIGCONT all is taken again, whoever stopped us.
 */
#include "larderctl/screen.h"

#include "larderctl/canvas.h"
#include "larderctl/term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define SCREEN_PATIENCE_MS 500		/* with a terminal that takes no output */
#define SCREEN_ENTER "\033[?1049h\033[?25l\033[?7l\033[2J"
#define SCREEN_LEAVE "\033[0m\033[?7h\033[?25h\033[?1049l"

static struct screen {
	bool           open, taken;	/* taken: the terminal is ours at the moment */
	bool           keys;		/* is the input a terminal? */
	int            out, signals;
	int            killer;		/* the signal that ends us; 0: none */
	struct termios before;
	sigset_t       mask_before;
} screen = { .out = -1, .signals = -1 };

const char *screen_flaw(void)
{
	const char *kind = getenv("TERM");

	if (!isatty(STDOUT_FILENO))
		return "the output is not a terminal";
	if (!kind || !*kind || !strcmp(kind, "dumb"))
		return "the terminal is said to be dumb (TERM)";
	return NULL;
}

/* Gives false when the terminal is gone.  One that takes no output gets a part. */
static bool screen_write(const char *text, size_t len)
{
	while (len) {
		struct pollfd p[] = { { .fd = screen.out, .events = POLLOUT }, { .fd = screen.signals, .events = POLLIN } };
		ssize_t       n = write(screen.out, text, len);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (poll(p, 2, SCREEN_PATIENCE_MS) == 0 || !p[0].revents)
			return true;
	}
	return true;
}

static void screen_take(void)
{
	struct termios raw;

	if (screen.keys && tcgetattr(STDIN_FILENO, &screen.before) == 0) {
		raw = screen.before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);	/* Ctrl-C and Ctrl-Z stay signals */
		raw.c_cc[VMIN] = 0;
		raw.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	}
	screen.taken = true;
	screen_write(SCREEN_ENTER, strlen(SCREEN_ENTER));
}

static void screen_give_back(void)
{
	if (!screen.taken)
		return;
	screen.taken = false;
	screen_write(SCREEN_LEAVE, strlen(SCREEN_LEAVE));
	if (screen.keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &screen.before);
}

static int screen_open_signals(void)
{
	static const int wanted[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT };
	sigset_t         set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		sigaddset(&set, wanted[i]);
	screen.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (screen.signals < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &set, &screen.mask_before);
	return 0;
}

/* A description of our own, so that it may be non-blocking; where that is not allowed (another user's terminal),
 * the one we were given. */
static int screen_open_output(void)
{
	const char *name = ttyname(STDOUT_FILENO);

	screen.out = name ? open(name, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) : -1;
	if (screen.out < 0)
		screen.out = dup(STDOUT_FILENO);
	return screen.out < 0 ? -errno : 0;
}

int screen_open(void)
{
	int err = screen_open_output();

	if (!err)
		err = screen_open_signals();
	if (err)
		return err;
	screen.keys = isatty(STDIN_FILENO);
	screen.open = true;
	atexit(screen_close);
	screen_take();
	return 0;
}

void screen_close(void)
{
	if (!screen.open)
		return;
	screen.open = false;
	screen_give_back();
	close(screen.out);
	close(screen.signals);
	if (screen.killer)
		raise(screen.killer);		/* still blocked; takes its course with the next line */
	sigprocmask(SIG_SETMASK, &screen.mask_before, NULL);
}

static unsigned screen_from_env(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);
	int         n = text ? atoi(text) : 0;

	return n > 0 ? (unsigned)n : otherwise;
}

void screen_size(unsigned *rows, unsigned *columns)
{
	struct winsize size = { 0 };

	if (ioctl(screen.out, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col) {
		size.ws_row = (unsigned short)screen_from_env("LINES", 24);
		size.ws_col = (unsigned short)screen_from_env("COLUMNS", 80);
	}
	*rows = size.ws_row;
	*columns = size.ws_col;
}

bool screen_show(const struct canvas *c, bool colour)
{
	char  *text = NULL;
	size_t len = 0;
	FILE  *to = term_memory(open_memstream(&text, &len));
	bool   there;

	fputs("\033[H", to);
	for (unsigned row = 0; row < c->rows; row++) {
		/* Behind a full row the cursor stands on its last character, which must not be erased. */
		if (canvas_write_row(c, row, colour, to) < c->columns)
			fputs("\033[K", to);
		if (row + 1 < c->rows)
			fputs("\r\n", to);
	}
	if (fclose(to))
		term_memory(NULL);
	there = screen_write(text, len);
	free(text);
	return there;
}

static enum screen_event screen_stop(void)
{
	sigset_t stop;

	screen_give_back();
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, NULL);		/* here we stand, until SIGCONT */
	sigprocmask(SIG_BLOCK, &stop, NULL);
	screen_take();
	return SCREEN_RESUMED;
}

static enum screen_event screen_on_signal(void)
{
	struct signalfd_siginfo info;

	if (read(screen.signals, &info, sizeof info) != sizeof info)
		return SCREEN_TIME;
	switch (info.ssi_signo) {
	case SIGWINCH:
		return SCREEN_CHANGED;
	case SIGTSTP:
		return screen_stop();
	case SIGCONT:				/* after a SIGSTOP that nobody told us of, perhaps */
		screen_give_back();
		screen_take();
		return SCREEN_RESUMED;
	case SIGINT:
		return SCREEN_QUIT;
	default:
		screen.killer = (int)info.ssi_signo;
		return SCREEN_QUIT;
	}
}

static enum screen_event screen_on_key(void)
{
	char    keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof keys);

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? SCREEN_TIME : SCREEN_QUIT;	/* nobody is there any more */
	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q')
			return SCREEN_QUIT;
	return keys[0] == ' ' ? SCREEN_NEXT : SCREEN_CHANGED;
}

enum screen_event screen_wait(int other, int timeout_ms)
{
	struct pollfd p[] = {
		{ .fd = screen.signals, .events = POLLIN },
		{ .fd = screen.keys ? STDIN_FILENO : -1, .events = POLLIN },
		{ .fd = other, .events = POLLIN },
	};

	if (poll(p, 3, timeout_ms) <= 0)
		return SCREEN_TIME;
	if (p[0].revents)
		return screen_on_signal();
	if (p[1].revents)
		return screen_on_key();
	return SCREEN_OTHER;
}
