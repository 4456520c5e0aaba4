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
};

static void remember(void *user, const struct audit_record *record)
{
	struct seen *seen = user;

	seen->n++;
	seen->last_number = record->number;
	strncpy(seen->last_url, record->url, sizeof(seen->last_url) - 1);
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

/* What the log sink writes for one record at `level`. */
static const char *logged(enum log_level level, bool allowed, char text[1024])
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct audit_record record = record_of(allowed);
	ssize_t length;

	ck_assert_int_ge(fd, 0);
	log_open(fd, level, LOG_FORMAT_TEXT, "test");
	audit_log_sink(NULL, &record);
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

int main(void)
{
	Suite *suite = suite_create("audit");
	TCase *tests = tcase_create("audit");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tests, numbers_count_every_request_from_zero);
	tcase_add_test(tests, sinks_are_limited);
	tcase_add_test(tests, log_lines);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
