/* Bodies from one framing to another, in pieces of every size. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/proxy/body.h"

static struct buffer_pool pool;
static struct buffer in, out;

static void set_up(void)
{
	ck_assert_int_eq(buffer_hold(&pool, &in), 0);
	ck_assert_int_eq(buffer_hold(&pool, &out), 0);
}

static void tear_down(void)
{
	buffer_drop(&pool, &in);
	buffer_drop(&pool, &out);
	ck_assert_uint_eq(pool.n_free, 2);
	buffer_pool_clear(&pool);
}

/* Feeds `text` in pieces of `step` octets. Returns the first failure, or 0. */
static int feed(struct body *body, const char *text, size_t step)
{
	size_t length = strlen(text);

	for (size_t at = 0; at < length; at += step) {
		size_t piece = length - at < step ? length - at : step;
		int status;

		buffer_append(&in, text + at, piece);
		status = body_move(body, &in, &out);
		if (status < 0)
			return status;
	}
	return 0;
}

static void expect_out(const char *text)
{
	ck_assert_uint_eq(buffer_length(&out), strlen(text));
	ck_assert_mem_eq(buffer_head(&out), text, strlen(text));
}

START_TEST(length_leaves_what_follows)
{
	struct body body;

	body_start(&body, HTTP1_BODY_LENGTH, 5, false);
	ck_assert_uint_eq(body_direct(&body), 5);
	ck_assert_int_eq(feed(&body, "helloGET /", (size_t)_i), 0);
	ck_assert(body.done);
	expect_out("hello");
	ck_assert_uint_eq(buffer_length(&in), 5);
	ck_assert_mem_eq(buffer_head(&in), "GET /", 5);
	ck_assert_uint_eq(body_direct(&body), 0);
}
END_TEST

START_TEST(nothing_is_done_at_once)
{
	struct body body;

	body_start(&body, HTTP1_BODY_NONE, 0, false);
	ck_assert(body.done);
	body_start(&body, HTTP1_BODY_LENGTH, 0, false);
	ck_assert(body.done);
	body_start(&body, HTTP1_BODY_CHUNKED, 0, true);
	ck_assert(!body.done);
}
END_TEST

START_TEST(chunked_to_end_of_connection)
{
	struct body body;

	body_start(&body, HTTP1_BODY_CHUNKED, 0, false);
	ck_assert_uint_eq(body_direct(&body), 0);
	ck_assert_int_eq(feed(&body, "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\nNEXT", (size_t)_i), 0);
	ck_assert(body.done);
	expect_out("hello!");
	ck_assert_uint_eq(buffer_length(&in), 4);
}
END_TEST

START_TEST(chunked_is_framed_anew)
{
	struct body body;

	body_start(&body, HTTP1_BODY_CHUNKED, 0, true);
	ck_assert_int_eq(feed(&body, "0005;a=b\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", 1000), 0);
	ck_assert(body.done);
	expect_out("5\r\nhello\r\n0\r\n\r\n");
}
END_TEST

START_TEST(malformed_chunks_are_refused)
{
	static const char *const bodies[] = { "x\r\n", "5\nhello", "5\r\nhelloX", "-1\r\n", "FFFFFFFFFFFFFFFFF\r\n" };
	struct body body;

	body_start(&body, HTTP1_BODY_CHUNKED, 0, true);
	ck_assert_int_eq(feed(&body, bodies[_i], 1), -EBADMSG);
	ck_assert(!body.done);
}
END_TEST

START_TEST(end_of_connection)
{
	struct body body;

	body_start(&body, HTTP1_BODY_CLOSE, 0, true);
	ck_assert_int_eq(feed(&body, "hello", 5), 0);
	ck_assert(!body.done);
	ck_assert_int_eq(body_end(&body, &out), 0);
	ck_assert(body.done);
	expect_out("5\r\nhello\r\n0\r\n\r\n");
}
END_TEST

/* Where the output is full the end waits, unless there is nothing to be said about it. */
START_TEST(end_of_connection_without_room)
{
	struct body body;

	body_start(&body, HTTP1_BODY_CLOSE, 0, true);
	out.end = BUFFER_SIZE - 4;
	ck_assert_int_eq(body_end(&body, &out), -EAGAIN);
	ck_assert(!body.done);
	/* Some of it is gone, from the front. */
	out.start = 1;
	ck_assert_int_eq(body_end(&body, &out), 0);
	ck_assert(body.done);
	ck_assert_uint_eq(out.end, BUFFER_SIZE);
	ck_assert_mem_eq(buffer_tail(&out) - 5, "0\r\n\r\n", 5);
	body_start(&body, HTTP1_BODY_CLOSE, 0, false);
	ck_assert_int_eq(body_end(&body, &out), 0);
	ck_assert(body.done);
	ck_assert_uint_eq(out.end, BUFFER_SIZE);
}
END_TEST

START_TEST(truncation_is_seen)
{
	struct body body;

	body_start(&body, HTTP1_BODY_LENGTH, 6, false);
	ck_assert_int_eq(feed(&body, "hello", 5), 0);
	ck_assert_int_eq(body_end(&body, &out), -ECONNRESET);
	body_start(&body, HTTP1_BODY_CHUNKED, 0, true);
	ck_assert_int_eq(feed(&body, "5\r\nhello\r\n", 5), 0);
	ck_assert_int_eq(body_end(&body, &out), -ECONNRESET);
}
END_TEST

START_TEST(a_full_output_stops_it)
{
	struct body body;

	body_start(&body, HTTP1_BODY_CHUNKED, 0, true);
	out.end = BUFFER_SIZE - 70; /* room for the framing and 6 octets */
	ck_assert_int_eq(feed(&body, "14\r\n01234567890123456789\r\n0\r\n\r\n", 1000), 0);
	ck_assert(!body.done);
	ck_assert_uint_le(out.end, BUFFER_SIZE);
	ck_assert_uint_gt(buffer_length(&in), 0);
	/* With room again it goes on where it stopped, losing nothing. */
	out.start = out.end = 0;
	ck_assert_int_eq(body_move(&body, &in, &out), 0);
	ck_assert(body.done);
	ck_assert_mem_eq(buffer_tail(&out) - 7, "\r\n0\r\n\r\n", 7);
}
END_TEST

START_TEST(thrown_away)
{
	struct body body;

	body_start(&body, HTTP1_BODY_CHUNKED, 0, true);
	buffer_append(&in, "3\r\nabc\r\n0\r\n\r\nX", 14);
	ck_assert_int_eq(body_move(&body, &in, NULL), 0);
	ck_assert(body.done);
	ck_assert_uint_eq(buffer_length(&in), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_body");
	TCase *tests = tcase_create("body");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, length_leaves_what_follows, 1, 12);
	tcase_add_test(tests, nothing_is_done_at_once);
	tcase_add_loop_test(tests, chunked_to_end_of_connection, 1, 50);
	tcase_add_test(tests, chunked_is_framed_anew);
	tcase_add_loop_test(tests, malformed_chunks_are_refused, 0, 5);
	tcase_add_test(tests, end_of_connection);
	tcase_add_test(tests, end_of_connection_without_room);
	tcase_add_test(tests, truncation_is_seen);
	tcase_add_test(tests, a_full_output_stops_it);
	tcase_add_test(tests, thrown_away);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
