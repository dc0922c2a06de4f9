/* journal.c - log lines of a service, with their priority and fields.
 *
 * The manager that connected standard error to the journal says so in
 * $JOURNAL_STREAM, with device and inode, so that somebody who sent it elsewhere
 * since gets plain lines there.  A journal that is meant to be there but cannot
 * be reached is no reason to be silent: then the lines go to standard error with
 * their priority in front.
 *
 * Nobody waits for a journal that stands still, which sd_journal_sendv() would:
 * entries are made and sent here, as systemd's "Native Journal Protocol" has it,
 *
 *	datagram --no room--> standard error --no room--> counted, and said later
 *
 * Lines in bulk have a socket of their own, which holds a few that are not read
 * yet and no more; so they never fill the queue that all share, and standard
 * error is left to the others.
 */
#include "daemon/journal.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define JOURNAL_SOCKET      "/run/systemd/journal/socket"
#define JOURNAL_FIELDS      8		/* of a caller; more are left out */
#define JOURNAL_FIELD_MAX   1040	/* octets, name and value */
#define JOURNAL_MESSAGE_MAX 3104	/* what log_line() makes, and "MESSAGE=" */
#define JOURNAL_ENTRY_MAX   (JOURNAL_MESSAGE_MAX + 64 + JOURNAL_FIELDS * JOURNAL_FIELD_MAX)
#define JOURNAL_BULK_OCTETS 4096	/* doubled by the kernel: some 7 lines, where a journal's queue has 512 places, and
					 * 11 where nobody has raised net.unix.max_dgram_qlen */
#define JOURNAL_WAIT_MS     5

static const struct sockaddr_un journal_address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };

static bool             journal_there;			/* is there a socket to send to? */
static int              journal_fd, journal_bulk_fd;	/* below 0, and so is then what sending gives */
static _Atomic unsigned journal_lost;			/* lines, since that was said last */

static bool journal_gets_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t   dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

static bool journal_is_there(void)
{
	int  fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool there = fd >= 0 && connect(fd, (const struct sockaddr *)&journal_address, sizeof journal_address) == 0;

	if (fd >= 0)
		close(fd);
	return there;
}

/* ---- an entry ---- */

struct entry {
	size_t len;
	char   octets[JOURNAL_ENTRY_MAX];
};

static void entry_add(struct entry *e, const char *octets, size_t len)
{
	size_t room = sizeof e->octets - e->len;

	len = len < room ? len : room;
	memcpy(e->octets + e->len, octets, len);
	e->len += len;
}

/* "NAME=value"; a value with a line end inside has its length in front instead, in 64 bits. */
static void entry_field(struct entry *e, const char *name, const char *value)
{
	size_t  len = strlen(value), name_len = strlen(name);
	uint8_t length[8];

	if (name_len + len >= JOURNAL_FIELD_MAX)
		len = name_len < JOURNAL_FIELD_MAX ? JOURNAL_FIELD_MAX - name_len - 1 : 0;
	entry_add(e, name, name_len);
	if (memchr(value, '\n', len)) {
		for (unsigned i = 0; i < sizeof length; i++)
			length[i] = (uint8_t)((uint64_t)len >> 8 * i);
		entry_add(e, "\n", 1);
		entry_add(e, (const char *)length, sizeof length);
	} else {
		entry_add(e, "=", 1);
	}
	entry_add(e, value, len);
	entry_add(e, "\n", 1);
}

static void entry_make(struct entry *e, enum log_level level, const char *text, const struct log_field *fields)
{
	char priority[16];

	e->len = 0;
	snprintf(priority, sizeof priority, "%d", log_priority(level));
	entry_add(e, "MESSAGE=", 8);
	entry_add(e, text, strlen(text));
	entry_add(e, "\n", 1);
	entry_field(e, "PRIORITY", priority);
	entry_field(e, "SYSLOG_IDENTIFIER", "larderd");
	for (unsigned n = 0; fields && fields->name && n < JOURNAL_FIELDS; fields++, n++)
		entry_field(e, fields->name, fields->value);
}

/* 0, or a negative errno; -EAGAIN: there is no room. */
static int entry_send(int fd, const struct entry *e)
{
	ssize_t n = sendto(fd, e->octets, e->len, MSG_NOSIGNAL | MSG_DONTWAIT,
	                   (const struct sockaddr *)&journal_address, sizeof journal_address);

	return n >= 0 ? 0 : errno == ENOBUFS ? -EAGAIN : -errno;
}

/* ---- lines ---- */

/* To standard error, when that is the journal's stream: the manager reads it like datagrams, and may stand still. */
static enum log_taken journal_to_stream(enum log_level level, const char *text)
{
	char line[JOURNAL_MESSAGE_MAX + 8];
	int  n = snprintf(line, sizeof line, "<%d>%s\n", log_priority(level), text);

	if (send(STDERR_FILENO, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return LOG_TAKEN;
	return errno == EAGAIN ? LOG_BEHIND : LOG_REFUSED;
}

static enum log_taken journal_pass(enum log_level level, const char *text, const struct log_field *fields)
{
	struct entry e;

	if (!journal_there)
		return journal_to_stream(level, text);
	entry_make(&e, level, text, fields);
	return entry_send(journal_fd, &e) == 0 ? LOG_TAKEN : journal_to_stream(level, text);
}

/* Tells of lines that were lost, once there is room for telling. */
static void journal_say_lost(void)
{
	unsigned lost = atomic_exchange(&journal_lost, 0);
	char     text[80];

	if (!lost)
		return;
	snprintf(text, sizeof text, "%u log lines were lost while the journal took none", lost);
	if (journal_pass(LOG_LEVEL_WARNING, text, NULL) != LOG_TAKEN)
		atomic_fetch_add(&journal_lost, lost);
}

static enum log_taken journal_take(enum log_level level, const char *text, const struct log_field *fields)
{
	enum log_taken taken;

	if (atomic_load_explicit(&journal_lost, memory_order_relaxed))
		journal_say_lost();
	taken = journal_pass(level, text, fields);
	if (taken != LOG_BEHIND)
		return taken;
	atomic_fetch_add(&journal_lost, 1);
	return LOG_TAKEN;
}

/* The socket can be written to again when most of what it holds was read.  When it could be all the time, others have
 * filled the journal's queue. */
static void journal_await_room(void)
{
	struct pollfd p = { .fd = journal_bulk_fd, .events = POLLOUT };

	if (p.fd >= 0 && poll(&p, 1, 0) == 0)
		poll(&p, 1, JOURNAL_WAIT_MS);
	else
		usleep(JOURNAL_WAIT_MS * 1000);
}

static enum log_taken journal_bulk(enum log_level level, const char *text, const struct log_field *fields)
{
	struct entry e;
	int          err;

	if (!journal_there)
		return LOG_REFUSED;
	entry_make(&e, level, text, fields);
	err = entry_send(journal_bulk_fd, &e);
	if (err == -EAGAIN) {
		journal_await_room();
		err = entry_send(journal_bulk_fd, &e);
	}
	return !err ? LOG_TAKEN : err == -EAGAIN ? LOG_BEHIND : LOG_REFUSED;
}

bool journal_open(void)
{
	static const struct log_sink sink = { journal_take, journal_bulk };
	const int                    few = JOURNAL_BULK_OCTETS;

	if (!journal_gets_stderr())
		return false;
	journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	journal_bulk_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(journal_bulk_fd, SOL_SOCKET, SO_SNDBUF, &few, sizeof few);
	journal_there = journal_is_there();
	log_set_sink(&sink);
	return true;
}
