/* journal.c - log lines of a service, with their priority and fields.
 *
 * The manager that connected standard error to the journal says so in
 * $JOURNAL_STREAM, with device and inode, so that somebody who sent it elsewhere
 * since gets plain lines there.  A journal that is meant to be there but cannot
 * be reached is no reason to be silent: then the lines go to standard error with
 * their priority in front.
 */
#include "daemon/journal.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#define JOURNAL_SOCKET      "/run/systemd/journal/socket"
#define JOURNAL_FIELDS      8		/* of a caller; more are left out */
#define JOURNAL_FIELD_MAX   1040		/* octets, name and value */
#define JOURNAL_MESSAGE_MAX 3104	/* what log_line() makes, and "MESSAGE=" */

static bool journal_gets_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t   dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

/* sd_journal_sendv() drops lines without a word when nobody is there. */
static bool journal_is_there(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	int                fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool               there = fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0;

	if (fd >= 0)
		close(fd);
	return there;
}

static bool journal_send(enum log_level level, const char *text, const struct log_field *fields)
{
	static char  identifier[] = "SYSLOG_IDENTIFIER=larderd";
	char         message[JOURNAL_MESSAGE_MAX], priority[16], more[JOURNAL_FIELDS][JOURNAL_FIELD_MAX];
	struct iovec iov[3 + JOURNAL_FIELDS] = {
		{ .iov_base = message },
		{ .iov_base = priority },
		{ .iov_base = identifier },
	};
	int          n = 3;

	snprintf(message, sizeof message, "MESSAGE=%s", text);
	snprintf(priority, sizeof priority, "PRIORITY=%d", log_priority(level));
	for (; fields && fields->name && n < 3 + JOURNAL_FIELDS; fields++, n++) {
		snprintf(more[n - 3], sizeof *more, "%s=%s", fields->name, fields->value);
		iov[n].iov_base = more[n - 3];
	}
	for (int i = 0; i < n; i++)
		iov[i].iov_len = strlen(iov[i].iov_base);
	return sd_journal_sendv(iov, n) >= 0;
}

static bool journal_send_nothing(enum log_level level, const char *text, const struct log_field *fields)
{
	(void)level;
	(void)text;
	(void)fields;
	return false;
}

bool journal_open(void)
{
	static const struct log_sink to_journal = { journal_send }, to_nobody = { journal_send_nothing };

	if (!journal_gets_stderr())
		return false;
	log_set_sink(journal_is_there() ? &to_journal : &to_nobody);
	return true;
}
