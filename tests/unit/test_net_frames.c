/* test_net_frames.c - streams cut into messages, and what a socket would not take. */
#include "net_rig.h"

#include "net/frames.h"
#include "net/outbox.h"

static uint8_t room[FRAMES_ROOM];

/* Feeds octets to f as one reading; gives the sum of the messages' lengths, and their number. */
static size_t feed(struct frames *f, const uint8_t *octets, size_t len, unsigned *count)
{
	size_t             held = frames_begin(f, room), sum = 0, n;
	struct frames_view v = { room, held + len, 0 };
	const uint8_t     *m;

	memcpy(room + held, octets, len);
	while ((m = frames_next(&v, &n))) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(m[i], (uint8_t)(n + i));
		sum += n;
		++*count;
	}
	assert_int_equal(frames_end(f, &v), 0);
	return sum;
}

/* A stream of messages of these lengths, each octet told by its place. */
static size_t stream_make(uint8_t *out, const size_t *lengths, unsigned count)
{
	size_t at = 0;

	for (unsigned i = 0; i < count; i++) {
		frames_put_length(out + at, lengths[i]);
		for (size_t k = 0; k < lengths[i]; k++)
			out[at + 2 + k] = (uint8_t)(lengths[i] + k);
		at += 2 + lengths[i];
	}
	return at;
}

static const size_t lengths[] = { 12, 13, 4096, 255, 256, 65535, 12, 300 };
#define COUNT (sizeof lengths / sizeof *lengths)

/* However a stream is cut, the same messages come out, and nothing is held at its end. */
static void test_any_pieces(void **state)
{
	static uint8_t stream[80000];
	size_t         len = stream_make(stream, lengths, COUNT), want = 0;

	(void)state;
	for (unsigned i = 0; i < COUNT; i++)
		want += lengths[i];
	for (size_t piece = 1; piece < FRAMES_READ; piece = piece * 3 + 1) {
		struct frames f = { 0 };
		size_t        sum = 0;
		unsigned      count = 0;

		for (size_t at = 0; at < len; at += piece)
			sum += feed(&f, stream + at, piece < len - at ? piece : len - at, &count);
		assert_int_equal(count, COUNT);
		assert_int_equal(sum, want);
		assert_null(f.held);
	}
}

/* A length that no message can have is told as soon as it is known, and ends the stream. */
static void test_short_lengths(void **state)
{
	(void)state;
	for (size_t n = 0; n < FRAMES_MESSAGE_MIN; n++) {
		struct frames      f = { 0 };
		const size_t       good = 20;
		size_t             at = stream_make(room, &good, 1), len;
		struct frames_view v = { room, at + 2 + n / 2, 0 };

		frames_put_length(room + at, n);
		assert_non_null(frames_next(&v, &len));
		assert_int_equal(len, 20);
		assert_true(frames_whole(&v));
		assert_non_null(frames_next(&v, &len));
		assert_int_equal(len, n);
		assert_null(frames_next(&v, &len));
		assert_int_equal(frames_end(&f, &v), 0);
		assert_null(f.held);
	}
}

/* A promise of 65535 octets costs what has come of it. */
static void test_held_is_what_came(void **state)
{
	struct frames f = { 0 };
	uint8_t       octets[100] = { 0xff, 0xff };
	unsigned      count = 0;

	(void)state;
	feed(&f, octets, sizeof octets, &count);
	assert_int_equal(count, 0);
	assert_int_equal(f.len, sizeof octets);
	assert_true(f.size <= 2 * sizeof octets);
	frames_done(&f);
	assert_null(f.held);
}

/* A reader that has had enough gets the rest later. */
static void test_stop_in_the_middle(void **state)
{
	static const size_t three[] = { 20, 30, 40 };
	struct frames       f = { 0 };
	struct frames_view  v = { room, stream_make(room, three, 3), 0 };
	size_t              len;

	(void)state;
	assert_non_null(frames_next(&v, &len));
	assert_int_equal(len, 20);
	assert_true(frames_whole(&v));
	assert_int_equal(frames_end(&f, &v), 0);

	v = (struct frames_view){ room, frames_begin(&f, room), 0 };
	assert_non_null(frames_next(&v, &len));
	assert_int_equal(len, 30);
	assert_non_null(frames_next(&v, &len));
	assert_int_equal(len, 40);
	assert_false(frames_whole(&v));
	assert_int_equal(frames_end(&f, &v), 0);
	assert_null(f.held);
}

/* All octets come out in order, through a socket that takes little at a time. */
static void test_outbox_order(void **state)
{
	struct outbox o = { 0 };
	uint8_t       piece[1000], in[5000];
	unsigned      sent = 0, got = 0;
	int           pair[2];
	ssize_t       n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){ 4096 }, sizeof(int));
	while (sent < 300000) {
		struct iovec parts[] = { { piece, 2 }, { piece + 2, sizeof piece - 2 } };

		for (unsigned i = 0; i < sizeof piece; i++)
			piece[i] = (uint8_t)((sent + i) * 7 >> 3);
		assert_int_equal(outbox_write(&o, pair[0], parts, 2), 0);
		sent += sizeof piece;
	}
	assert_true(o.len > 0);
	while (got < sent) {
		assert_int_equal(outbox_flush(&o, pair[0]), 0);
		n = rig_recv(pair[1], in, sizeof in);
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(in[i], (uint8_t)((got + (unsigned)i) * 7 >> 3));
		got += (unsigned)n;
	}
	assert_int_equal(o.len, 0);
	assert_null(o.octets);
	close(pair[1]);
	assert_true(outbox_write(&o, pair[0], &(struct iovec){ piece, 10 }, 1) < 0);
	close(pair[0]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_pieces),
		cmocka_unit_test(test_short_lengths),
		cmocka_unit_test(test_held_is_what_came),
		cmocka_unit_test(test_stop_in_the_middle),
		cmocka_unit_test(test_outbox_order),
	};

	return cmocka_run_group_tests_name("net/frames", tests, NULL, NULL);
}
