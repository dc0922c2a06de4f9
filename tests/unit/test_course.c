/* test_course.c - where the time of a question went, in words. */
#include "unit.h"

#include "resolve/course.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MS 1000u

/* A client that asked at 1 s. */
static struct course_client client_of(uint64_t took_us, enum stats_outcome outcome)
{
	return (struct course_client){ .asked_us = 1000 * MS, .answered_us = 1000 * MS + took_us,
		                       .outcome = outcome };
}

static struct course course_of(unsigned count, const struct course_try *tries)
{
	struct course c = { .flew = true, .began_us = 1000 * MS, .try_count = count };

	if (count)
		memcpy(c.tries, tries, count * sizeof *tries);
	return c;
}

/* A try that began at and ended after so many microseconds; end_us 0: not yet. */
static struct course_try try_of(const char *who, enum course_end end, uint64_t at_us, uint64_t end_us)
{
	struct course_try t = { .end = end, .started_us = 1000 * MS + at_us,
		                .ended_us = end_us ? 1000 * MS + end_us : 0 };

	snprintf(t.upstream, sizeof t.upstream, "%s", who);
	return t;
}

static void check(const struct course *c, uint64_t took_us, enum stats_outcome outcome, const char *words)
{
	const struct course_client client = client_of(took_us, outcome);
	char                       out[COURSE_WORDS_MAX];

	assert_string_equal(course_tell(c, &client, out), words);
}

static void test_nobody_was_asked(void **state)
{
	struct course c;

	(void)state;
	course_read(&c, NULL);
	check(&c, 20, OUTCOME_HIT, "it was in the cache, and no upstream was asked");
	check(&c, 20, OUTCOME_STALE, "stale data from the cache, without asking anybody");
	check(&c, 20, OUTCOME_LOCAL, "larder answers this name by itself");
	check(&c, 20, OUTCOME_REFUSED, "refused, without asking anybody");
	check(&c, 20, OUTCOME_MISS, "nobody could be asked");
	c = course_of(0, NULL);
	check(&c, 20, OUTCOME_MISS, "nobody could be asked");
	assert_null(course_upstream(NULL, 0));
}

static void test_silence_and_an_answer(void **state)
{
	const struct course_try tries[] = {
		try_of("office", COURSE_GIVEN_UP, 20, 0), try_of("quad9", COURSE_ANSWER, 300 * MS, 312 * MS),
	};
	struct course c = course_of(2, tries);

	(void)state;
	check(&c, 312 * MS, OUTCOME_MISS, "office did not answer within 312 ms; quad9 answered in 12 ms");
	c.began_us -= 80 * MS;
	c.tries[0].started_us = c.began_us + 20;
	check(&c, 312 * MS, OUTCOME_JOINED, "joined a question that was under way for 80 ms already; "
	      "office did not answer within 392 ms; quad9 answered in 12 ms");
}

/* Those alike are told as one. */
static void test_several_tries(void **state)
{
	struct course_try tries[] = {
		try_of("office", COURSE_GIVEN_UP, 0, 0), try_of("office", COURSE_OPEN, 300 * MS, 0),
		try_of("quad9", COURSE_FAILED, 900 * MS, 950 * MS), try_of("office", COURSE_OPEN, 950 * MS, 0),
		try_of("quad9", COURSE_DROPPED, 960 * MS, 970 * MS),
	};
	struct course c;

	(void)state;
	tries[2].rcode = 2;
	c = course_of(5, tries);
	c.unfinished = true;
	check(&c, 4000 * MS, OUTCOME_MISS, "office did not answer within 4.0 s (3 tries); quad9 said SERVFAIL after "
	      "50 ms; then the client's time was over");
	check(&c, 1200 * MS, OUTCOME_STALE, "office did not answer within 1.2 s (3 tries); quad9 said SERVFAIL after "
	      "50 ms; then stale data was given");
}

static void test_each_end(void **state)
{
	static const struct {
		enum course_end end;
		const char     *words;
	} rows[] = {
		{ COURSE_ANSWER, "u answered in 5.0 ms" },
		{ COURSE_TRUNCATED, "the answer of u was cut short after 5.0 ms" },
		{ COURSE_FORGED, "messages came as if from u that do not match, for 5.0 ms" },
		{ COURSE_NO_EDNS, "u rejected EDNS after 5.0 ms" },
		{ COURSE_FAILED, "u said REFUSED after 5.0 ms" },
		{ COURSE_LOOP, "u gave aliases that lead in a circle, after 5.0 ms" },
		{ COURSE_LOST, "no reply could come from u (Connection refused) after 5.0 ms" },
		{ COURSE_DROPPED, "nobody could be asked" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct course_try t = try_of("u", rows[i].end, 0, 5 * MS);
		struct course     c;

		t.rcode = 5;
		t.error = -ECONNREFUSED;
		c = course_of(1, &t);
		check(&c, 5 * MS, OUTCOME_MISS, rows[i].words);
	}
}

/* A connection is told of when it took longer than the rest. */
static void test_stages(void **state)
{
	struct course_try t = try_of("u", COURSE_ANSWER, 0, 200 * MS);
	struct course     c;

	(void)state;
	t.connected_us = t.started_us + 20 * MS;
	t.secured_us = t.started_us + 60 * MS;
	c = course_of(1, &t);
	check(&c, 200 * MS, OUTCOME_MISS, "u answered in 200 ms");
	c.tries[0].secured_us = t.started_us + 150 * MS;
	check(&c, 200 * MS, OUTCOME_MISS, "u answered in 200 ms, 130 ms of it in the TLS handshake");
	c.tries[0].connected_us = t.started_us + 140 * MS;
	check(&c, 200 * MS, OUTCOME_MISS, "u answered in 200 ms, 140 ms of it connecting");
	/* A connection that was there before the try cost it nothing. */
	c.tries[0].connected_us = t.started_us - 5;
	c.tries[0].secured_us = t.started_us - 3;
	check(&c, 200 * MS, OUTCOME_MISS, "u answered in 200 ms");
}

static void test_waiting_for_an_upstream(void **state)
{
	struct course_try t = try_of("u", COURSE_ANSWER, 400 * MS, 412 * MS);
	struct course     c = course_of(1, &t);

	(void)state;
	check(&c, 412 * MS, OUTCOME_MISS, "400 ms passed before anybody was asked; u answered in 12 ms");
	c.was_parked = true;
	check(&c, 412 * MS, OUTCOME_MISS, "no upstream of the route worked for 400 ms; u answered in 12 ms");
	c.tries[0].started_us = c.began_us;
	check(&c, 412 * MS, OUTCOME_MISS, "for a while no upstream of the route worked; u answered in 412 ms");
	c = course_of(0, NULL);
	c.was_parked = true;
	check(&c, 2000 * MS, OUTCOME_MISS, "no upstream of the route worked for 2.0 s");
	c.parked = c.unfinished = true;
	check(&c, 600 * MS, OUTCOME_MISS, "no upstream of the route works; then the client's time was over");
}

static void test_alias(void **state)
{
	struct course_try tries[] = {
		try_of("office", COURSE_ANSWER, 0, 150 * MS), try_of("quad9", COURSE_ANSWER, 150 * MS, 151 * MS),
	};
	struct course c;

	(void)state;
	tries[1].for_target = true;
	c = course_of(2, tries);
	check(&c, 151 * MS, OUTCOME_MISS, "office answered in 150 ms; quad9 answered in 1.0 ms, asked for what the "
	      "alias leads to");
}

/* However much there is to say, it ends within its room. */
static void test_long(void **state)
{
	const struct course_client client = client_of(4000 * MS, OUTCOME_STALE);
	struct course              c = course_of(0, NULL);
	char                       out[COURSE_WORDS_MAX + 1];

	(void)state;
	c.try_count = 2 * FLIGHT_TRIES;
	for (unsigned i = 0; i < c.try_count; i++) {
		c.tries[i] = try_of("", COURSE_LOST, i, i + 100);
		memset(c.tries[i].upstream, 'a' + (int)i, COURSE_UPSTREAM_MAX - 1);
	}
	out[COURSE_WORDS_MAX] = '!';
	assert_int_equal(strlen(course_tell(&c, &client, out)), COURSE_WORDS_MAX - 1);
	assert_int_equal(out[COURSE_WORDS_MAX], '!');
	for (unsigned i = 0; i < c.try_count; i++)
		snprintf(c.tries[i].upstream, sizeof c.tries[i].upstream, "u%u", i);
	c.tries[0].end = COURSE_ANSWER;
	course_tell(&c, &client, out);
	assert_non_null(strstr(out, "; and so on: 16 tries in all; then stale data was given"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_was_asked),
		cmocka_unit_test(test_silence_and_an_answer),
		cmocka_unit_test(test_several_tries),
		cmocka_unit_test(test_each_end),
		cmocka_unit_test(test_stages),
		cmocka_unit_test(test_waiting_for_an_upstream),
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
