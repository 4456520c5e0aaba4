/* The record of requests: numbers, sinks, log lines. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy/audit/audit.h"
#include "shared/log.h"

struct seen {
	size_t n;
	uint32_t last_number;
	char last_url[64];
	int status; /* what the sink returns */
};

static int remember(void *user, const struct audit_record *record)
{
	struct seen *seen = user;

	seen->n++;
	seen->last_number = record->number;
	strncpy(seen->last_url, record->url, sizeof(seen->last_url) - 1);
	return seen->status;
}

static struct audit_record record_of(bool allowed)
{
	return (struct audit_record){ .allowed = allowed,
				      .method = "GET",
				      .url = "https://a.example/x",
				      .host = "a.example",
				      .rule = allowed ? "domain=a.example" : NULL,
				      .reason = allowed ? NULL : "no rule matches" };
}

START_TEST(numbers_count_every_request_from_zero)
{
	struct audit *audit;
	struct seen one = { 0 }, two = { 0 };

	ck_assert_int_eq(audit_new(&audit), 0);
	ck_assert_int_eq(audit_add_sink(audit, remember, &one), 0);
	ck_assert_int_eq(audit_add_sink(audit, remember, &two), 0);
	for (uint32_t i = 0; i < 5; i++) {
		struct audit_record record = record_of(i % 2 == 0);

		audit_request(audit, &record);
		ck_assert_uint_eq(record.number, i);
		ck_assert_uint_eq(one.last_number, i);
	}
	ck_assert_uint_eq(one.n, 5);
	ck_assert_uint_eq(two.n, 5);
	ck_assert_str_eq(two.last_url, "https://a.example/x");
	audit_free(audit);
}
END_TEST

START_TEST(sinks_are_limited)
{
	struct audit *audit;

	ck_assert_int_eq(audit_new(&audit), 0);
	for (int i = 0; i < AUDIT_SINKS_MAX; i++)
		ck_assert_int_eq(audit_add_sink(audit, remember, NULL), 0);
	ck_assert_int_eq(audit_add_sink(audit, remember, NULL), -ENOSPC);
	audit_free(audit);
	audit_free(NULL);
}
END_TEST

/* Every sink gets every record, and the first that loses one is heard. */
START_TEST(a_lost_record_is_told)
{
	struct audit *audit;
	struct seen one = { 0 }, two = { .status = -ENOSPC }, three = { .status = -EPIPE };
	struct audit_record record = record_of(true);

	ck_assert_int_eq(audit_new(&audit), 0);
	ck_assert_int_eq(audit_add_sink(audit, remember, &one), 0);
	ck_assert_int_eq(audit_request(audit, &record), 0);
	ck_assert_int_eq(audit_add_sink(audit, remember, &two), 0);
	ck_assert_int_eq(audit_add_sink(audit, remember, &three), 0);
	ck_assert_int_eq(audit_request(audit, &record), -ENOSPC);
	ck_assert_uint_eq(one.n + two.n + three.n, 4);
	audit_free(audit);
}
END_TEST

/* What the log sink writes for one record at `level`. */
static const char *logged(enum log_level level, bool allowed, char text[1024])
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct audit_record record = record_of(allowed);
	ssize_t length;

	ck_assert_int_ge(fd, 0);
	log_open(fd, level, LOG_FORMAT_TEXT, "test");
	ck_assert_int_eq(audit_log_sink(NULL, &record), 0);
	length = pread(fd, text, 1023, 0);
	ck_assert_int_ge(length, 0);
	text[length] = '\0';
	close(fd);
	return text;
}

START_TEST(log_lines)
{
	char text[1024];

	ck_assert_str_eq(logged(LOG_LEVEL_WARN, true, text), "");
	logged(LOG_LEVEL_INFO, true, text);
	ck_assert_ptr_nonnull(strstr(
		text,
		"INFO test: ALLOW method=GET url=https://a.example/x host=a.example rule=\"domain=a.example\"\n"));
	logged(LOG_LEVEL_WARN, false, text);
	ck_assert_ptr_nonnull(strstr(text, "WARN test: DENY method=GET url=https://a.example/x host=a.example"));
	ck_assert_ptr_null(strstr(text, "rule="));
	ck_assert_str_eq(logged(LOG_LEVEL_ERROR, false, text), "");
}
END_TEST

/* The longest request there can be: one line, with everything that decides in it and the rest counted. */
START_TEST(a_record_has_a_size)
{
	static char url[65536], rule[4096], text[LOG_LINE_MAX + 1];
	struct audit_record record = record_of(false);
	int pipes[2];
	ssize_t length;

	memset(url, 'u', sizeof(url) - 1);
	memset(rule, 'r', sizeof(rule) - 1);
	record.url = url;
	record.rule = rule;
	ck_assert_int_eq(pipe(pipes), 0);
	log_open(pipes[1], LOG_LEVEL_WARN, LOG_FORMAT_TEXT, "test");
	ck_assert_int_eq(audit_log_sink(NULL, &record), 0);
	length = read(pipes[0], text, sizeof(text) - 1);
	ck_assert_int_gt(length, 0);
	text[length] = '\0';
	ck_assert_ptr_eq(strchr(text, '\n'), text + length - 1);
	for (const char *const *part =
		     (const char *const[]){ " DENY method=GET url=uuu", " url_cut=", " host=a.example ", " rule=rrr",
					    " rule_cut=", " reason=\"no rule matches\"\n", NULL };
	     *part; part++)
		ck_assert_msg(strstr(text, *part) != NULL, "no \"%s\" in %s", *part, text);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit");
	TCase *tests = tcase_create("audit");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tests, numbers_count_every_request_from_zero);
	tcase_add_test(tests, sinks_are_limited);
	tcase_add_test(tests, a_lost_record_is_told);
	tcase_add_test(tests, log_lines);
	tcase_add_test(tests, a_record_has_a_size);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
