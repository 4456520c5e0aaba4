/* The limit of lines that the command can cause: how many pass, what is counted, when that is said. */
#include <check.h>
#include <stdlib.h>

#include "policy/proxy/diagnostics.h"
#include "tests/unit/clock.h"
#include "tests/unit/log_capture.h"

static struct ev_loop *loop;
static struct diagnostics diagnostics;

static void set_up(void)
{
	clock_slow_down();
	log_capture_begin(LOG_LEVEL_WARN);
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	ck_assert_ptr_nonnull(loop);
	diagnostics_start(&diagnostics, loop);
}

static void tear_down(void)
{
	diagnostics_end(&diagnostics);
	ev_loop_destroy(loop);
	log_capture_end();
	clock_catch_up();
}

/* Time for the timers, and more than enough of it for the buckets. */
static void skip(time_t seconds)
{
	clock_skipped += seconds;
	ev_now_update(loop);
	ev_run(loop, EVRUN_NOWAIT);
}

/* Time for the buckets alone, and exact: the loop's clock stands still between its turns. */
static void pass(double seconds)
{
	for (unsigned kind = 0; kind < DIAGNOSTIC_KINDS; kind++)
		diagnostics.kinds[kind].filled -= seconds;
}

/* How many of `n` lines pass. */
static unsigned allowed(enum diagnostic kind, unsigned n)
{
	unsigned passed = 0;

	while (n-- > 0)
		passed += diagnostics_allow(&diagnostics, kind);
	return passed;
}

START_TEST(a_burst_and_then_a_rate)
{
	ck_assert_uint_eq(allowed(DIAGNOSTIC_REQUEST, 1000), 50);
	pass(1);
	ck_assert_uint_eq(allowed(DIAGNOSTIC_REQUEST, 1000), 10);
	pass(2);
	ck_assert_uint_eq(allowed(DIAGNOSTIC_REQUEST, 1000), 20);
	pass(3600);
	ck_assert_uint_eq(allowed(DIAGNOSTIC_REQUEST, 1000), 50);
}
END_TEST

START_TEST(each_kind_has_its_own)
{
	for (unsigned kind = 0; kind < DIAGNOSTIC_KINDS; kind++)
		ck_assert_uint_eq(allowed((enum diagnostic)kind, 60), 50);
	diagnostics_end(&diagnostics);
	ck_assert_uint_eq(log_captured_lines("held back kind=\""), DIAGNOSTIC_KINDS - 2);
	ck_assert_uint_eq(log_captured_lines("held back kind="), DIAGNOSTIC_KINDS);
	ck_assert_uint_eq(log_captured_lines("count=10\n"), DIAGNOSTIC_KINDS);
}
END_TEST

START_TEST(what_was_held_back_is_said_while_it_goes_on)
{
	ck_assert_uint_eq(allowed(DIAGNOSTIC_MISMATCH, 50), 50);
	skip(11);
	ck_assert_str_eq(log_captured(), "");
	ck_assert_uint_eq(allowed(DIAGNOSTIC_MISMATCH, 60), 50);
	skip(9);
	ck_assert_str_eq(log_captured(), "");
	skip(2);
	ck_assert_uint_eq(
		log_captured_lines("WARN test: more lines of this kind were held back kind=mismatch count=10\n"), 1);
	/* Once; and the next interval begins with the next one held back. */
	skip(60);
	ck_assert_uint_eq(log_captured_lines("held back"), 1);
	ck_assert_uint_eq(allowed(DIAGNOSTIC_MISMATCH, 57), 50);
	skip(11);
	ck_assert_uint_eq(log_captured_lines("count=7\n"), 1);
	diagnostics_end(&diagnostics);
	ck_assert_uint_eq(log_captured_lines("held back"), 2);
}
END_TEST

START_TEST(the_end_says_what_is_left)
{
	struct diagnostics never = { 0 };

	ck_assert_uint_eq(allowed(DIAGNOSTIC_FAILURE, 12395), 50);
	diagnostics_end(&diagnostics);
	diagnostics_end(&diagnostics);
	ck_assert_uint_eq(log_captured_lines("kind=\"failed request\" count=12345\n"), 1);
	ck_assert_uint_eq(log_captured_lines("held back"), 1);
	diagnostics_end(&never);
}
END_TEST

START_TEST(what_nobody_wants_is_not_counted)
{
	for (int i = 0; i < 1000; i++)
		ck_assert(!diagnostics_wants(&diagnostics, DIAGNOSTIC_TIMEOUT, LOG_LEVEL_INFO));
	for (int i = 0; i < 50; i++)
		ck_assert(diagnostics_wants(&diagnostics, DIAGNOSTIC_TIMEOUT, LOG_LEVEL_WARN));
	ck_assert(!diagnostics_wants(&diagnostics, DIAGNOSTIC_TIMEOUT, LOG_LEVEL_WARN));
	diagnostics_end(&diagnostics);
	ck_assert_uint_eq(log_captured_lines("count=1\n"), 1);
}
END_TEST

START_TEST(a_clock_put_back_gives_nothing_and_takes_nothing)
{
	ck_assert_uint_eq(allowed(DIAGNOSTIC_STRAY, 20), 20);
	pass(-86400);
	ck_assert_uint_eq(allowed(DIAGNOSTIC_STRAY, 100), 30);
	pass(1);
	ck_assert_uint_eq(allowed(DIAGNOSTIC_STRAY, 100), 10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_diagnostics");
	TCase *tests = tcase_create("proxy_diagnostics");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, a_burst_and_then_a_rate);
	tcase_add_test(tests, each_kind_has_its_own);
	tcase_add_test(tests, what_was_held_back_is_said_while_it_goes_on);
	tcase_add_test(tests, the_end_says_what_is_left);
	tcase_add_test(tests, what_nobody_wants_is_not_counted);
	tcase_add_test(tests, a_clock_put_back_gives_nothing_and_takes_nothing);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
