/* test_h2.c - requests, and which responses are answers (conformance section 20, DOH-01 to DOH-13). */
#include "h2_rig.h"

#include "net/h2.h"
#include "net/outbox.h"

#include <errno.h>
#include <time.h>

#define ASKED_MAX (H2_RIG_REQUESTS * 2 + 2)

struct fate {
	unsigned answers, failures;
	int      error;
	size_t   len;
	uint8_t  first;
	uint32_t age_s;
};

struct world {
	struct h2_target target;
	struct h2       *h2;
	struct outbox    out;
	struct h2_rig    server;
	struct fate      fate[ASKED_MAX];	/* by stream */
	uint32_t         rest_s;		/* what the server asked for last */
	int              error;		/* of the connection */
	void           (*hook)(uint32_t stream);
};

static struct world  w;
static const uint8_t query[12] = { 0, 0, 1, 0, 0, 1, 0xfb, 0xef, 0xff, 9, 10, 11 };

static void on_answer(void *arg, uint32_t stream, const uint8_t *msg, size_t len, uint32_t age_s)
{
	struct fate *f = &w.fate[stream];

	assert_ptr_equal(arg, &w);
	f->answers++;
	f->len = len;
	f->first = len ? msg[0] : 0;
	f->age_s = age_s;
	if (w.hook)
		w.hook(stream);
}

static void on_failed(void *arg, uint32_t stream, int error)
{
	assert_ptr_equal(arg, &w);
	w.fate[stream].failures++;
	w.fate[stream].error = error;
	if (w.hook)
		w.hook(stream);
}

static void on_rest(void *arg, uint32_t rest_s)
{
	((struct world *)arg)->rest_s = rest_s;
}

static const struct h2_events events = { .answer = on_answer, .failed = on_failed, .rest = on_rest };

static void world_open(enum h2_method method, int max_streams)
{
	memset(&w, 0, sizeof w);
	w.target = (struct h2_target){ "dns.example:8443", "/dns-query", method };
	h2_rig_init(&w.server, max_streams);
	w.h2 = h2_new(&w.target, &events, &w, &w.out, 0);
	assert_non_null(w.h2);
}

static void world_close(void)
{
	h2_free(w.h2);
	outbox_done(&w.out);
	h2_rig_done(&w.server);
}

static void talk_in_steps(size_t step)
{
	static uint8_t octets[H2_RIG_BUFFER];

	for (;;) {
		size_t len;

		h2_rig_hear(&w.server, w.out.octets + w.out.at, w.out.len);
		outbox_done(&w.out);
		h2_rig_write(&w.server);
		len = w.server.out_len;
		if (!len || w.error)
			return;
		memcpy(octets, w.server.out, len);
		w.server.out_len = 0;
		for (size_t at = 0; at < len && !w.error; at += step)
			w.error = h2_hear(w.h2, octets + at, len - at < step ? len - at : step);
	}
}

static void talk(void)
{
	talk_in_steps(SIZE_MAX);
}

static uint32_t ask(void)
{
	uint32_t stream;

	assert_int_equal(h2_ask(w.h2, query, sizeof query, &stream), 0);
	return stream;
}

static struct fate *reply_to(uint32_t stream, const struct h2_rig_reply *reply)
{
	h2_rig_reply(&w.server, (int32_t)stream, reply);
	talk();
	return &w.fate[stream];
}

static const struct h2_rig_reply good = { .body = (const uint8_t *)"an answer!!!", .body_len = 12 };

static void assert_answered(uint32_t stream)
{
	const struct fate *f = &w.fate[stream];

	assert_int_equal(f->answers, 1);
	assert_int_equal(f->failures, 0);
	assert_int_equal(f->len, 12);
	assert_int_equal(f->first, 'a');
}

static void assert_failed(uint32_t stream, int error)
{
	assert_int_equal(w.fate[stream].answers, 0);
	assert_int_equal(w.fate[stream].failures, 1);
	assert_int_equal(w.fate[stream].error, error);
}

/* ---- what we say ---- */

static void test_post(void **state)		/* DOH-01, DOH-09, DOH-10 */
{
	uint32_t stream;

	(void)state;
	world_open(H2_POST, -1);
	stream = ask();
	talk();
	assert_string_equal(w.server.requests[0].fields,
	                    ":method: POST\n:scheme: https\n:authority: dns.example:8443\n:path: /dns-query\n"
	                    "accept: application/dns-message\ncontent-type: application/dns-message\n"
	                    "content-length: 12\n");
	assert_int_equal(w.server.requests[0].body_len, sizeof query);
	assert_memory_equal(w.server.requests[0].body, query, sizeof query);
	assert_true(w.server.requests[0].whole);
	assert_int_equal(w.server.push, 0);
	reply_to(stream, &good);
	assert_answered(stream);
	world_close();
}

static void test_get(void **state)		/* DOH-01 */
{
	uint32_t stream;

	(void)state;
	world_open(H2_GET, -1);
	stream = ask();
	talk();
	assert_string_equal(w.server.requests[0].fields,
	                    ":method: GET\n:scheme: https\n:authority: dns.example:8443\n"
	                    ":path: /dns-query?dns=AAABAAAB--__CQoL\naccept: application/dns-message\n");
	assert_true(w.server.requests[0].whole);
	reply_to(stream, &good);
	assert_answered(stream);
	/* Ends of all lengths; no padding. */
	for (size_t len = 1; len <= 3; len++) {
		static const char *const texts[] = { "?dns=AA\n", "?dns=AAA\n", "?dns=AAAB\n" };

		assert_int_equal(h2_ask(w.h2, query, len, &stream), 0);
		talk();
		assert_non_null(strstr(w.server.requests[len].fields, texts[len - 1]));
	}
	world_close();
}

/* ---- which responses are answers ---- */

static void test_statuses(void **state)		/* DOH-04, DOH-09 */
{
	static const char *const bad[] = { "301", "307", "308", "400", "404", "415", "429", "500", "503", "600" };

	(void)state;
	world_open(H2_POST, -1);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct h2_rig_reply reply = good;
		uint32_t            stream = ask();

		talk();
		reply.status = bad[i];
		reply.endless = i % 2;		/* we do not wait for its end */
		reply_to(stream, &reply);
		assert_failed(stream, -EREMOTEIO);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct h2_rig_reply reply = good;
		uint32_t            stream = ask();

		talk();
		reply.status = i ? "203" : "200";
		reply_to(stream, &reply);
		assert_answered(stream);
	}
	world_close();
}

static void test_types(void **state)		/* DOH-06 */
{
	static const struct {
		const char *type;
		bool        good;
	} rows[] = {
		{ "application/dns-message", true }, { "Application/DNS-Message", true },
		{ "application/dns-message;charset=utf-8", true }, { "application/dns-message ; a=b", true },
		{ "text/html", false }, { "", false }, { "application/dns-messages", false }, { "application/dns", false },
	};

	(void)state;
	world_open(H2_POST, -1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct h2_rig_reply reply = good;
		uint32_t            stream = ask();

		talk();
		reply.type = rows[i].type;
		reply_to(stream, &reply);
		if (rows[i].good)
			assert_answered(stream);
		else
			assert_failed(stream, -EREMOTEIO);
	}
	world_close();
}

static void test_ages(void **state)		/* DOH-07 */
{
	static const struct {
		const char *text;
		uint32_t    age_s;
	} rows[] = { { NULL, 0 }, { "0", 0 }, { "250", 250 }, { "x", 0 }, { "-1", 0 }, { "12 s", 0 },
		     { "99999999999999", UINT32_MAX } };

	(void)state;
	world_open(H2_POST, -1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct h2_rig_reply reply = good;
		uint32_t            stream = ask();

		talk();
		reply.age = rows[i].text;
		reply.trailers = i % 2;		/* in which another Age means nothing */
		assert_int_equal(reply_to(stream, &reply)->age_s, rows[i].age_s);
		assert_answered(stream);
	}
	world_close();
}

static void test_rests(void **state)		/* DOH-05 */
{
	static const struct {
		const char *status, *text;
		uint32_t    rest_s;
	} rows[] = { { "429", NULL, 0 }, { "429", "2", 2 }, { "503", "2", 2 }, { "200", "2", 0 }, { "500", "2", 0 },
		     { "429", "0", 0 }, { "429", "-1", 0 }, { "429", "1.5", 0 }, { "429", "soon", 0 },
		     { "429", "300", 300 }, { "429", "86400", 300 }, { "429", "99999999999999999999", 300 },
		     { "503", "Fri, 31 Dec 2100 23:59:59 GMT", 300 }, { "503", "Fri, 31 Dec 1999 23:59:59 GMT", 0 },
		     { "503", "Fri, 31 Dec 2100 23:59:59 GMT and more", 0 }, { "503", "Fri, 31 Dec", 0 } };

	(void)state;
	world_open(H2_POST, -1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct h2_rig_reply reply = good;
		uint32_t            stream = ask();

		w.rest_s = 0;
		talk();
		reply.status = rows[i].status;
		reply.retry = rows[i].text;
		reply_to(stream, &reply);
		assert_int_equal(w.rest_s, rows[i].rest_s);
	}
	world_close();
}

/* A date a moment from now. */
static void test_rest_until(void **state)		/* DOH-05 */
{
	struct h2_rig_reply reply = good;
	time_t              then = time(NULL) + 100;
	char                date[40];
	uint32_t            stream;

	(void)state;
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&then));
	world_open(H2_POST, -1);
	stream = ask();
	talk();
	reply.status = "503";
	reply.retry = date;
	reply_to(stream, &reply);
	assert_in_range(w.rest_s, 60, 100);
	assert_failed(stream, -EREMOTEIO);
	world_close();
}

static void test_bodies(void **state)		/* DOH-11 */
{
	static uint8_t big[70000];
	static const struct {
		size_t      len;
		const char *said;
		bool        endless, good;
	} rows[] = { { 65535, NULL, false, true }, { 65535, "65535", false, true }, { 65536, NULL, false, false },
		     { 70000, "70000", false, false }, { 100, "101", false, false }, { 100, "99", false, false },
		     { 100, NULL, true, false }, { 0, NULL, false, true } };

	(void)state;
	world_open(H2_POST, -1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint32_t stream = ask();
		struct fate *f;

		talk();
		f = reply_to(stream, &(struct h2_rig_reply){ .body = big, .body_len = rows[i].len,
		                                             .length = rows[i].said, .endless = rows[i].endless });
		assert_int_equal(f->answers, rows[i].good);
		if (rows[i].good)
			assert_int_equal(f->len, rows[i].len);
		else
			assert_failed(stream, -EREMOTEIO);
	}
	reply_to(ask(), &good);			/* the connection is none the worse */
	assert_int_equal(w.error, 0);
	world_close();
}

static void test_big_headers(void **state)	/* DOH-11 */
{
	struct h2_rig_reply reply = good;
	uint32_t            stream;

	(void)state;
	world_open(H2_POST, -1);
	stream = ask();
	talk();
	reply.big_header = 10000;
	reply_to(stream, &reply);
	assert_answered(stream);
	stream = ask();
	talk();
	reply.big_header = 20000;
	reply_to(stream, &reply);
	assert_int_equal(w.fate[stream].failures, 1);
	world_close();
}

/* ---- many at once ---- */

static void test_reverse_order(void **state)
{
	static const size_t steps[] = { 1, 3, 50, SIZE_MAX };

	(void)state;
	for (size_t k = 0; k < COUNT_OF(steps); k++) {
		uint32_t streams[100];

		world_open(H2_POST, 100);
		for (unsigned i = 0; i < 100; i++)
			streams[i] = ask();
		talk_in_steps(steps[k]);
		for (unsigned i = 100; i-- > 0;)
			h2_rig_reply(&w.server, (int32_t)streams[i], &good);
		talk_in_steps(steps[k]);
		for (unsigned i = 0; i < 100; i++)
			assert_answered(streams[i]);
		world_close();
	}
}

static void test_max_streams(void **state)	/* DOH-13 */
{
	uint32_t a, b;

	(void)state;
	world_open(H2_POST, 1);
	talk();
	assert_int_equal(h2_room(w.h2), 1);
	a = ask();
	assert_int_equal(h2_room(w.h2), 0);
	b = ask();
	talk();
	assert_int_equal(w.server.count, 1);
	reply_to(a, &good);
	assert_answered(a);
	assert_int_equal(w.server.count, 2);
	reply_to(b, &good);
	assert_answered(b);
	a = ask();
	b = ask();
	h2_drop(w.h2, b);			/* before it went out */
	talk();
	reply_to(a, &good);
	assert_answered(a);
	assert_int_equal(w.server.count, 3);
	assert_int_equal(w.fate[b].answers + w.fate[b].failures, 0);
	world_close();

	world_open(H2_POST, 0);
	talk();
	ask();
	talk();
	assert_int_equal(w.server.count, 0);
	world_close();
}

/* What the last connection took is what the next one is believed to take, until it says otherwise. */
static void test_known_streams(void **state)		/* DOH-13 */
{
	(void)state;
	world_open(H2_POST, 7);
	assert_int_equal(h2_room(w.h2), 100);	/* nothing has been said, nothing was known */
	h2_free(w.h2);
	outbox_done(&w.out);
	w.h2 = h2_new(&w.target, &events, &w, &w.out, 2);
	assert_int_equal(h2_room(w.h2), 2);
	ask();
	ask();
	ask();
	assert_int_equal(h2_room(w.h2), 0);
	talk();
	assert_int_equal(w.server.count, 3);
	assert_int_equal(h2_streams(w.h2), 7);
	assert_int_equal(h2_room(w.h2), 4);
	world_close();
}

static void test_resets(void **state)		/* DOH-13 */
{
	static const struct {
		uint32_t code;
		int      error;
	} rows[] = { { NGHTTP2_REFUSED_STREAM, -ECONNRESET }, { NGHTTP2_INTERNAL_ERROR, -EPROTO },
		     { NGHTTP2_CANCEL, -EPROTO }, { NGHTTP2_NO_ERROR, -EPROTO } };

	(void)state;
	world_open(H2_POST, -1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint32_t stream = ask();

		talk();
		nghttp2_submit_rst_stream(w.server.session, 0, (int32_t)stream, rows[i].code);
		talk();
		assert_failed(stream, rows[i].error);
	}
	world_close();
}

static void test_drop(void **state)
{
	uint32_t a, b;

	(void)state;
	world_open(H2_POST, -1);
	a = ask();
	b = ask();
	talk();
	h2_drop(w.h2, a);
	talk();
	assert_true(w.server.requests[0].reset);
	reply_to(b, &good);
	assert_answered(b);
	assert_int_equal(w.fate[a].answers + w.fate[a].failures, 0);
	h2_drop(w.h2, b);			/* over long ago */
	talk();
	assert_false(w.server.requests[1].reset);
	world_close();
}

static void test_goaway(void **state)		/* DOH-12 */
{
	static const unsigned lasts[] = { 0, 2, 4 };	/* of four questions so many count */

	(void)state;
	for (size_t k = 0; k < COUNT_OF(lasts); k++) {
		uint32_t streams[4], ignored;

		world_open(H2_POST, 2);		/* two go out, two wait */
		talk();
		for (unsigned i = 0; i < 4; i++)
			streams[i] = ask();
		talk();
		nghttp2_submit_goaway(w.server.session, 0, lasts[k] ? (int32_t)streams[lasts[k] - 1] : 0,
		                      NGHTTP2_NO_ERROR, NULL, 0);
		talk();
		assert_true(h2_is_leaving(w.h2));
		assert_int_equal(h2_room(w.h2), 0);
		assert_int_equal(h2_ask(w.h2, query, sizeof query, &ignored), -EAGAIN);
		for (unsigned i = 0; i < 4; i++)
			if (i < lasts[k] && i < 2)
				assert_int_equal(w.fate[streams[i]].failures, 0);
			else
				assert_failed(streams[i], -ECONNRESET);
		for (unsigned i = 0; i < 2 && i < lasts[k]; i++)
			reply_to(streams[i], &good);
		for (unsigned i = 0; i < 2 && i < lasts[k]; i++)
			assert_answered(streams[i]);
		world_close();
	}
}

static void test_garbage(void **state)
{
	static const char *const words[] = { "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
		                             "\0\0\4\3\0\0\0\0\1\0\0\0\1", "\xff\xff\xff\xff\xff\xff\xff\xff\xff" };
	static const size_t      lens[] = { 47, 13, 9 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		world_open(H2_POST, -1);
		ask();
		assert_int_equal(h2_hear(w.h2, (const uint8_t *)words[i], lens[i]), -EPROTO);
		world_close();
	}
}

static void test_ping(void **state)
{
	(void)state;
	world_open(H2_POST, -1);
	assert_int_equal(h2_ping(w.h2), 0);
	talk();
	assert_int_equal(w.server.pings, 1);
	assert_int_equal(w.error, 0);
	world_close();
}

/* ---- events that do something ---- */

static uint32_t again, pair[2];

static void hook_ask(uint32_t stream)
{
	(void)stream;
	w.hook = NULL;
	again = ask();
}

static void hook_drop(uint32_t stream)
{
	w.hook = NULL;
	h2_drop(w.h2, pair[stream == pair[0]]);
}

static void test_ask_and_drop_in_events(void **state)
{
	uint32_t stream;

	(void)state;
	world_open(H2_POST, -1);
	stream = ask();
	talk();
	w.hook = hook_ask;
	reply_to(stream, &good);
	assert_answered(stream);
	reply_to(again, &good);
	assert_answered(again);

	stream = ask();
	talk();
	w.hook = hook_ask;
	reply_to(stream, &(struct h2_rig_reply){ .status = "500", .endless = true });
	assert_failed(stream, -EREMOTEIO);
	reply_to(again, &good);
	assert_answered(again);

	pair[0] = ask();
	pair[1] = ask();
	talk();
	w.hook = hook_drop;			/* whichever is answered first drops the other */
	h2_rig_reply(&w.server, (int32_t)pair[0], &good);
	reply_to(pair[1], &good);
	assert_int_equal(w.fate[pair[0]].answers + w.fate[pair[1]].answers, 1);
	world_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_post),
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_rests),
		cmocka_unit_test(test_rest_until),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_big_headers),
		cmocka_unit_test(test_reverse_order),
		cmocka_unit_test(test_max_streams),
		cmocka_unit_test(test_known_streams),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_goaway),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_ask_and_drop_in_events),
	};

	return cmocka_run_group_tests_name("net/h2", tests, NULL, NULL);
}
