/* net_service.h - a listener set with a handler that does what each question says.
 *
 * A question is 12 octets of header, of which the first two are its ID, then a
 * letter and a number of two octets:
 *   'r' n   reply at once with n octets (n >= 12)
 *   'l' n   reply with n octets when service_answer() is called
 *   's'     silence
 *   'c'     close
 * A reply with room for it holds the question www.example. IN A.
 */
#ifndef LARDER_TESTS_NET_SERVICE_H
#define LARDER_TESTS_NET_SERVICE_H

#include "net_rig.h"

#include "net/listener.h"
#include "stats/stats.h"

#define SERVICE_LATER 2048
#define SERVICE_QUESTION 15

struct service_later {
	struct reply_path path;
	uint8_t           id[2];
	size_t            len;
};

struct service {
	struct rig           rig;
	struct listener_set *set;
	struct stats         stats;
	struct addr          addr;	/* where it listens, with its port */
	int                  udp_fd;	/* the set's */
	unsigned             asked, batches, in_batches;
	unsigned             later_from, later_to, later_open_most;
	uint64_t             last_boot_ms, last_mono_us;
	size_t               longest;
	uint32_t             keepalive_ms;
	struct service_later later[SERVICE_LATER];
};

static const uint8_t service_name[] = "\3www\7example\0\0\1\0\1";	/* the NUL behind it not sent */
#define SERVICE_CUT (12 + sizeof service_name - 1)	/* header and question */

static void service_fill(uint8_t *out, size_t len, const uint8_t id[2])
{
	memset(out, 0, len < 12 ? 12 : len);
	memcpy(out, id, 2);
	if (len >= SERVICE_CUT + 1) {
		out[5] = out[7] = 1;		/* a question, an answer */
		memcpy(out + 12, service_name, sizeof service_name - 1);
	}
	if (len > 12)
		out[len - 1] = (uint8_t)len;
}

static enum net_verdict service_on_message(void *arg, const struct net_message *m,
                                           struct net_reply *reply)
{
	struct service       *v = arg;
	struct service_later *l;
	size_t                len;

	v->asked++;
	v->last_boot_ms = m->boot_ms;
	v->last_mono_us = m->mono_us;
	v->keepalive_ms = m->keepalive_ms;
	if (m->len > v->longest)
		v->longest = m->len;
	if (m->len < SERVICE_QUESTION)
		return NET_SILENCE;
	len = (size_t)m->octets[13] << 8 | m->octets[14];
	switch (m->octets[12]) {
	case 'r':
		assert_true(len <= reply->size);
		service_fill(reply->octets, len, m->octets);
		reply->len = len;
		return NET_REPLY;
	case 'l':
		l = &v->later[v->later_to++ % SERVICE_LATER];
		memcpy(l->id, m->octets, 2);
		l->len = len;
		reply_path_keep(&l->path, m);
		if (v->later_to - v->later_from > v->later_open_most)
			v->later_open_most = v->later_to - v->later_from;
		return NET_LATER;
	case 'c':
		return NET_CLOSE;
	default:
		return NET_SILENCE;
	}
}

static void service_on_batch_done(void *arg, uint64_t mono_us, uint64_t done_us, unsigned n)
{
	struct service *v = arg;

	assert_true(n > 0 && done_us >= mono_us && mono_us > 0);
	v->batches++;
	v->in_batches += n;
}

/* Answers the oldest question that waits. */
static inline void service_answer(struct service *v)
{
	struct service_later *l = &v->later[v->later_from++ % SERVICE_LATER];
	static uint8_t        msg[65535];

	assert_true(v->later_from <= v->later_to);
	service_fill(msg, l->len, l->id);
	reply_path_send(&l->path, msg, l->len);
}

static inline unsigned service_waiting(const struct service *v)
{
	return v->later_to - v->later_from;
}

/* Sockets of both kinds on one port of the kernel's choice, which may be taken for the other kind. */
static inline void service_sockets(const char *address, int *udp, int *tcp, struct addr *addr)
{
	struct addr any = rig_addr(address, 0);
	int         error = -EADDRINUSE;

	for (unsigned i = 0; i < 100 && error == -EADDRINUSE; i++) {
		assert_int_equal(listener_open_udp(&any, udp), 0);
		*addr = rig_name(*udp);
		error = listener_open_tcp(addr, tcp);
		if (error < 0)
			close(*udp);
	}
	assert_int_equal(error, 0);
}

static inline void service_open(struct service *v, const char *address, const struct listener_conf *conf)
{
	const struct net_handler handler = { .message = service_on_message, .batch_done = service_on_batch_done, .arg = v };
	int                      tcp;

	memset(v, 0, sizeof *v);
	rig_open(&v->rig);
	v->set = listener_set_new(&v->rig.loop, clock_system(), &v->stats, conf, &handler);
	assert_non_null(v->set);
	service_sockets(address, &v->udp_fd, &tcp, &v->addr);
	assert_int_equal(listener_set_add(v->set, &v->addr, v->udp_fd, tcp), 0);
}

static inline void service_close(struct service *v)
{
	listener_set_close(v->set);
	rig_close(&v->rig);
}

/* A question, without and with its length before it. */
static inline void service_question(uint8_t out[SERVICE_QUESTION], uint16_t id, char what, size_t len)
{
	memset(out, 0, SERVICE_QUESTION);
	out[0] = (uint8_t)(id >> 8);
	out[1] = (uint8_t)id;
	out[12] = (uint8_t)what;
	out[13] = (uint8_t)(len >> 8);
	out[14] = (uint8_t)len;
}

static inline void service_frame(uint8_t out[SERVICE_QUESTION + 2], uint16_t id, char what, size_t len)
{
	out[0] = 0;
	out[1] = SERVICE_QUESTION;
	service_question(out + 2, id, what, len);
}

static inline uint64_t service_count(const struct service *v, enum stats_counter c)
{
	return v->stats.counter[c];
}

static const struct listener_conf service_conf = {
	.tcp_idle_ms = 10000, .tcp_clients = 1024, .tcp_per_client = 32, .tcp_in_flight = 100,
};

#endif
