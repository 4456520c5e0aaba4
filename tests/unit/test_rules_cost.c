/* A decision looks at the rules for its host, however many there are for others: policy/rules/index.h. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/rules/set.h"
#include "shared/cleanup.h"

static struct rule_set *crowd(unsigned int n)
{
	static const char *const shapes[] = { "domain=h%u.example",         "domain=*.h%u.example",
					      "domain=h%u.*.example",       "domain=*.h%u.*.example",
					      "domain=h%u.test method=GET", "domain=www.h%u.example path=/x",
					      "domain=h%u.real.example",    "domain=other%u.test,*.more%u.test" };
	struct rule_set *set;

	ck_assert_int_eq(rule_set_new(&set), 0);
	for (unsigned int i = 0; i < n; i++) {
		char text[128];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), shapes[i % array_size(shapes)], i, i);
#pragma GCC diagnostic pop
		ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, text, "crowd", NULL), 0);
	}
	ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, "domain=www.real.example method=GET", "crowd", NULL), 0);
	return set;
}

static size_t work_for(const struct rule_set *set, const char *host, bool expect_match)
{
	struct rule_request request = { .method = "GET", .scheme = RULE_HTTP, .host = host, .port = 80, .path = "/" };
	struct rule_question question;
	size_t work;

	rule_question_prepare(&request, &question);
	ck_assert_int_eq(rule_set_first_match(set, RULE_ALLOW, false, &question, &work) != NULL, expect_match);
	return work;
}

START_TEST(other_hosts_cost_nothing)
{
	struct rule_set *small = crowd(10);
	struct rule_set *large = crowd(100000);

	ck_assert_uint_eq(rule_set_count(large, RULE_ALLOW), 100001);
	ck_assert_uint_eq(work_for(small, "www.real.example", true), work_for(large, "www.real.example", true));
	ck_assert_uint_eq(work_for(small, "no.such.host.example", false),
			  work_for(large, "no.such.host.example", false));
	ck_assert_uint_eq(work_for(small, "elsewhere", false), work_for(large, "elsewhere", false));
	ck_assert_uint_le(work_for(large, "www.real.example", true), 12);
	/* And those rules are really there. */
	work_for(large, "h80000.example", true);
	work_for(large, "a.b.h80001.example", true);
	work_for(large, "h80002.q.example", true);
	work_for(large, "z.h80003.q.example", true);
	rule_set_free(small);
	rule_set_free(large);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rules, cost");
	TCase *tcase = tcase_create("cost");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, other_hosts_cost_nothing);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
