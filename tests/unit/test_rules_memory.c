/* The rule set without memory: each allocation fails once; the set must stay as it was and nothing may leak. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/rules.h"

/* Linked with --wrap: allocations of the library come here. -1: none fails. */
static int allocations_left = -1;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t length);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t length);

static bool fails_now(void)
{
	if (allocations_left < 0)
		return false;
	if (allocations_left > 0) {
		allocations_left--;
		return false;
	}
	allocations_left = -1;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails_now() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return fails_now() ? NULL : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
	return fails_now() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t length)
{
	return fails_now() ? NULL : __real_strndup(text, length);
}

static bool allows(const struct rule_set *set, const char *host)
{
	struct rule_request request = {
		.method = "GET", .scheme = RULE_HTTPS, .host = host, .port = 443, .path = "/a/b"
	};
	struct rule_decision decision;

	rule_set_decide(set, &request, &decision);
	return decision.allowed;
}

START_TEST(add_without_memory)
{
	static const char rule[] = "domain=new.example,new.example,*.many.labels.example,b\xc3\xbc"
				   "cher.example,one.example "
				   "method=GET,PUT path=/a/b,/c/* port=1-9,443 ip=10.0.0.0/8,fd00::/8";
	struct rule_set *set = NULL;
	int failures = 0;
	int r = -ENOMEM;

	allocations_left = 0;
	ck_assert_int_eq(rule_set_new(&set), -ENOMEM);
	ck_assert_int_eq(rule_set_new(&set), 0);
	ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, "domain=old.example", "test", NULL), 0);
	for (int n = 0; r < 0 && n < 1000; n++) {
		struct error e = { .code = 0 };

		allocations_left = n;
		r = rule_set_add(set, RULE_ALLOW, rule, "test", &e);
		allocations_left = -1;
		if (r == 0)
			break;
		failures++;
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_int_eq(e.code, ENOMEM);
		ck_assert_uint_eq(rule_set_count(set, RULE_ALLOW), 1);
		ck_assert(allows(set, "old.example"));
		ck_assert(!allows(set, "new.example") && !allows(set, "x.many.labels.example"));
	}
	ck_assert_int_eq(r, 0);
	ck_assert_int_gt(failures, 20);
	ck_assert_uint_eq(rule_set_count(set, RULE_ALLOW), 2);
	ck_assert(allows(set, "new.example") && allows(set, "xn--bcher-kva.example"));
	rule_set_free(set);
}
END_TEST

START_TEST(explain_without_memory)
{
	struct rule_set *set = NULL;
	char report[64];

	ck_assert_int_eq(rule_set_new(&set), 0);
	for (int n = 0; n < 2; n++) {
		struct error e = { .code = 0 };

		allocations_left = n;
		ck_assert_int_eq(rule_set_explain(set, "GET http://example.com/x", report, sizeof(report), &e),
				 -ENOMEM);
		ck_assert_int_eq(e.code, ENOMEM);
	}
	rule_set_free(set);
	rule_set_free(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rules without memory");
	TCase *tcase = tcase_create("memory");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, add_without_memory);
	tcase_add_test(tcase, explain_without_memory);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
