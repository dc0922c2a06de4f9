/* tickets.c - the file of TLS tickets. */
#include "daemon/tickets.h"

#include "base/keep.h"
#include "base/log.h"
#include "conf/conf.h"
#include "net/outbox.h"
#include "net/tls_peer.h"
#include "net/tls_tickets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICKETS_FILE    "tls-tickets"
#define TICKETS_EACH_MS 60000		/* at most so often, when there are others than before */

/* Whose tickets are kept, as many as the configuration has upstreams: NULL for those that need none. */
static struct tls_peer **tickets_peers(const struct conf *conf)
{
	struct tls_peer **peers = calloc(conf->upstream_count + 1, sizeof *peers);

	for (size_t i = 0; peers && i < conf->upstream_count; i++)
		peers[i] = conf->upstreams[i].tls;
	return peers;
}

/* One peer, and how often its tickets had changed: with the reference that makes it the same peer for sure. */
struct tickets_seen {
	struct tls_peer *peer;		/* NULL: this upstream has none */
	uint32_t         changes;
};

static void tickets_seen_free(struct tickets_seen *seen, size_t n)
{
	for (size_t i = 0; seen && i < n; i++)
		tls_peer_unref(seen[i].peer);
	free(seen);
}

/* As it is now; NULL: no memory. */
static struct tickets_seen *tickets_look(struct tls_peer *const *peers, size_t n)
{
	struct tickets_seen *seen = calloc(n + 1, sizeof *seen);

	for (size_t i = 0; seen && i < n; i++)
		if (peers[i])
			seen[i] = (struct tickets_seen){ tls_peer_ref(peers[i]), tls_peer_ticket_changes(peers[i]) };
	return seen;
}

/* Where nothing was written yet, nothing is there of those that have had no ticket. */
static bool tickets_are_written(const struct tickets *t, const struct tickets_seen *now, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct tickets_seen *then = t->written && i < t->written_count ? &t->written[i] : NULL;

		if (then ? then->peer != now[i].peer || then->changes != now[i].changes : now[i].changes != 0)
			return false;
	}
	return !t->written || t->written_count == n;
}

static void tickets_note(struct tickets *t, int err)
{
	if (err < 0 && !t->failed)
		log_info("state directory %s: TLS tickets cannot be kept there: %s", t->dir, strerror(-err));
	t->failed = err < 0;
}

static int tickets_write(const struct tickets *t, struct tls_peer *const *peers, size_t n)
{
	struct outbox out = { 0 };
	int           err = tls_tickets_write(peers, n, time(NULL), &out);

	if (!err)
		err = keep_write(t->dir, TICKETS_FILE, out.len ? (void *)(out.octets + out.at) : "", out.len);
	outbox_done(&out);
	return err;
}

/* What comes while it is written makes another generation, for the next time. */
static void tickets_save(struct tickets *t)
{
	const struct conf   *conf = *t->conf;
	size_t               n = conf->upstream_count;
	struct tls_peer    **peers = tickets_peers(conf);
	struct tickets_seen *now = peers ? tickets_look(peers, n) : NULL;

	if (now && !tickets_are_written(t, now, n)) {
		int err = tickets_write(t, peers, n);

		tickets_note(t, err);
		if (!err) {
			struct tickets_seen *old = t->written;
			size_t               old_n = t->written_count;

			t->written = now;
			t->written_count = n;
			now = old;
			n = old_n;
		}
	}
	tickets_seen_free(now, n);
	free(peers);
}

static void tickets_on_timer(uv_timer_t *timer)
{
	tickets_save(timer->data);
}

void tickets_init(struct tickets *t, uv_loop_t *loop, struct conf *const *conf)
{
	memset(t, 0, sizeof *t);
	t->conf = conf;
	uv_timer_init(loop, &t->timer);
	t->timer.data = t;
}

/* Hands them out.  What is wrong with them costs a few handshakes, and is said. */
static void tickets_take(struct tickets *t, const char *octets, size_t len)
{
	const struct conf *conf = *t->conf;
	struct tls_peer  **peers = tickets_peers(conf);
	int                n;

	if (!peers)
		return;
	n = tls_tickets_read((const uint8_t *)octets, len, peers, conf->upstream_count, time(NULL));
	if (n < 0)
		log_warning("%s/" TICKETS_FILE ": not as this larderd writes it; beginning without TLS tickets", t->dir);
	else
		log_info("%d TLS tickets kept from before", n);
	free(peers);
}

void tickets_load(struct tickets *t)
{
	const char *dir = (*t->conf)->state_directory;
	char       *octets;
	size_t      len;
	int         err;

	t->dir = dir ? strdup(dir) : NULL;
	if (!t->dir)
		return;
	err = keep_read(t->dir, TICKETS_FILE, TLS_TICKETS_MAX, &octets, &len);
	if (err == 0) {
		err = keep_write(t->dir, TICKETS_FILE, "", 0);
		if (err == 0)
			tickets_take(t, octets, len);
		free(octets);
	}
	if (err == -EPERM)
		log_warning("%s/" TICKETS_FILE ": somebody else may have written it, or read it; beginning without TLS "
		            "tickets", t->dir);
	else if (err != -ENOENT && err != -ENODATA)
		tickets_note(t, err);
	uv_timer_start(&t->timer, tickets_on_timer, TICKETS_EACH_MS, TICKETS_EACH_MS);
}

void tickets_close(struct tickets *t)
{
	if (t->dir)
		tickets_save(t);
	tickets_seen_free(t->written, t->written_count);
	free(t->dir);
	uv_close((uv_handle_t *)&t->timer, NULL);
}
