/* The dry run, the nearest rule and the suggested one: policy/rules/rules.h. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/rules.h"
#include "shared/cleanup.h"

static struct rule_set *example_set(void)
{
	static const char *const allow[] = { "domain=github.com method=GET", "domain=*.files.example path=/pub/*",
					     "domain=git.example port=8443 proto=https",
					     "domain=lab.example ip=10.0.0.0/8", "domain=api.example path=/v1/*/read" };
	struct rule_set *set;

	ck_assert_int_eq(rule_set_new(&set), 0);
	for (size_t i = 0; i < array_size(allow); i++)
		ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, allow[i], "t", NULL), 0);
	ck_assert_int_eq(rule_set_add(set, RULE_DENY, "domain=bad.files.example", "t", NULL), 0);
	ck_assert_int_eq(rule_set_add(set, RULE_DENY, "domain=x.files.example path=/pub/no", "t", NULL), 0);
	ck_assert_int_eq(rule_set_add(set, RULE_DENY, "method=DELETE", "t", NULL), 0);
	return set;
}

static const struct {
	const char *request;
	bool allowed;
	const char *report;
} cases[] = {
	{ "GET https://github.com/x", true, "ALLOW rule 1: domain=github.com method=GET" },
	{ "https://github.com#x", true, "ALLOW rule 1: domain=github.com method=GET" },
	{ "https://github.com", true, "ALLOW rule 1: domain=github.com method=GET" },
	{ "GET   HTTPS://GITHUB.com:444?q=1", true, "ALLOW rule 1: domain=github.com method=GET" },
	{ "PUT http://a.files.example/pub/x?y=/../z#f", true, "ALLOW rule 2: domain=*.files.example path=/pub/*" },
	{ "https://git.example:8443/", true, "ALLOW rule 3: domain=git.example port=8443 proto=https" },
	{ "https://lab.example/", true, "ALLOW rule 4: domain=lab.example ip=10.0.0.0/8" },
	{ "POST https://github.com/x", false,
	  "DENY (no rule matches)\nnearest: rule 1: domain=github.com method=GET (method does not match POST)" },
	{ "get https://github.com/x", false,
	  "DENY (no rule matches)\nnearest: rule 1: domain=github.com method=GET (method does not match get)" },
	{ "GET https://gist.github.com/x", false,
	  "DENY (no rule matches)\nnearest: rule 1: domain=github.com method=GET (domain does not match "
	  "gist.github.com)" },
	{ "http://a.files.example/pub", false,
	  "DENY (no rule matches)\nnearest: rule 2: domain=*.files.example path=/pub/* (path does not match /pub)" },
	{ "http://a.files.example/pub/../x", false,
	  "DENY (no rule matches)\nnearest: rule 2: domain=*.files.example path=/pub/* (path does not match /pub/../x, "
	  "which is not in "
	  "normal form)" },
	{ "https://git.example/", false,
	  "DENY (no rule matches)\nnearest: rule 3: domain=git.example port=8443 proto=https (port does not match "
	  "443)" },
	{ "http://git.example:8443/", false,
	  "DENY (no rule matches)\nnearest: rule 3: domain=git.example port=8443 proto=https (proto does not match "
	  "http)" },
	{ "http://bad.files.example/pub/x", false, "DENY deny rule 1: domain=bad.files.example" },
	{ "http://x.files.example/pub/no", false, "DENY deny rule 2: domain=x.files.example path=/pub/no" },
	{ "http://x.files.example//", false,
	  "DENY deny rule 2: domain=x.files.example path=/pub/no\n"
	  "note: the path is not in normal form, every deny rule with path= applies to it" },
	{ "http://bad.files.example//", false, "DENY deny rule 1: domain=bad.files.example" },
	{ "http://x.files.example/pub%2Fno", false,
	  "DENY deny rule 2: domain=x.files.example path=/pub/no\n"
	  "note: the path matches as some servers read it: %2F as '/', without ';' parameters or a final '/'" },
	{ "http://x.files.example/pub;a/no/", false,
	  "DENY deny rule 2: domain=x.files.example path=/pub/no\n"
	  "note: the path matches as some servers read it: %2F as '/', without ';' parameters or a final '/'" },
	{ "http://x.files.example/pub/%6eo", false, "DENY deny rule 2: domain=x.files.example path=/pub/no" },
	{ "http://x.files.example/pub/yes%2Fno", true, "ALLOW rule 2: domain=*.files.example path=/pub/*" },
	{ "delete http://api.example/v1/a/read", false, "DENY deny rule 3: method=DELETE" },
	{ "http://api.example/v1/a/read", true, "ALLOW rule 5: domain=api.example path=/v1/*/read" },
	{ "http://api.example/v1/a%2Fb/read", false,
	  "DENY (no rule matches)\nnearest: rule 5: domain=api.example path=/v1/*/read (path does not match "
	  "/v1/a%2Fb/read)" },
};

START_TEST(explain)
{
	struct rule_set *set = example_set();
	struct error e = { .code = 0 };
	char report[1024];
	int r = rule_set_explain(set, cases[_i].request, report, sizeof(report), &e);

	ck_assert_msg(r == cases[_i].allowed, "%s: %d %s", cases[_i].request, r, e.text);
	ck_assert_str_eq(report, cases[_i].report);
	rule_set_free(set);
}
END_TEST

static const char *const refused[] = {
	"",
	" ",
	"GET",
	"github.com",
	"GET github.com",
	"GET ftp://github.com/",
	"GET https://",
	"GET https:///x",
	"GET https://user@github.com/",
	"GET https://github.com:0/",
	"GET https://github.com:99999/",
	"GET https://git hub.com/",
	"GET https://github.com/a b",
	"G(T https://github.com/",
	" https://github.com/",
	"GET https://127.1/",
	"GET\thttps://github.com/",
	"GET https://github.com/\x01",
	"GET https://github.com/\xff",
};

START_TEST(explain_refuses)
{
	struct rule_set *set = example_set();
	struct error e = { .code = 0 };
	char report[64] = "untouched";

	ck_assert_msg(rule_set_explain(set, refused[_i], report, sizeof(report), &e) == -EINVAL, "%s", refused[_i]);
	ck_assert_int_eq(e.code, EINVAL);
	ck_assert_msg(strstr(e.text, "is not a request"), "%s", e.text);
	ck_assert_ptr_null(strpbrk(e.text, "\t\x01\xff"));
	ck_assert_str_eq(report, "untouched");
	rule_set_free(set);
}
END_TEST

START_TEST(explain_without_rules_and_in_little_room)
{
	struct rule_set *set;
	char report[64];

	ck_assert_int_eq(rule_set_new(&set), 0);
	ck_assert_int_eq(rule_set_explain(set, "http://a.example/", report, sizeof(report), NULL), 0);
	ck_assert_str_eq(report, "DENY (no rule matches)\nnearest: none, there is no allow rule");
	ck_assert_int_eq(rule_set_explain(set, "http://a.example/", report, 5, NULL), 0);
	ck_assert_str_eq(report, "DENY");
	rule_set_free(set);
}
END_TEST

static struct rule_decision nearest_at(const struct rule_set *set, const struct rule_request *request)
{
	struct rule_decision decision;

	rule_set_decide(set, request, &decision);
	ck_assert(!decision.allowed);
	ck_assert_ptr_null(decision.rule);
	rule_set_nearest(set, request, &decision);
	return decision;
}

START_TEST(nearest)
{
	static const char *const allow[] = { "domain=other.example method=PUT path=/x port=80",
					     "domain=a.example method=GET path=/y",
					     "domain=a.example method=PUT path=/y",
					     "domain=a.example method=PUT path=/z" };
	struct rule_request request = {
		.method = "PUT", .scheme = RULE_HTTP, .host = "a.example", .port = 80, .path = "/x"
	};
	struct rule_decision decision;
	struct rule_set *set;

	ck_assert_int_eq(rule_set_new(&set), 0);
	decision = nearest_at(set, &request);
	ck_assert_ptr_null(decision.nearest);
	for (size_t i = 0; i < array_size(allow); i++)
		ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, allow[i], "t", NULL), 0);
	decision = nearest_at(set, &request);
	ck_assert_uint_eq(decision.nearest_number, 3);
	ck_assert_str_eq(decision.nearest, allow[2]);
	ck_assert_int_eq(decision.nearest_failed, RULE_KEY_PATH);
	request.host = "b.example";
	decision = nearest_at(set, &request);
	ck_assert_uint_eq(decision.nearest_number, 1);
	ck_assert_int_eq(decision.nearest_failed, RULE_KEY_DOMAIN);
	rule_set_free(set);
}
END_TEST

START_TEST(nearest_names_a_missing_ip)
{
	struct ip_address address;
	struct rule_request request = {
		.method = "GET", .scheme = RULE_HTTP, .host = "a.example", .port = 80, .path = "/x", .address = &address
	};
	struct rule_set *set;
	struct rule_decision decision;

	ck_assert_int_eq(ip_address_parse("10.0.0.1", 8, &address), 0);
	ck_assert_int_eq(rule_set_new(&set), 0);
	ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, "domain=a.example", "t", NULL), 0);
	decision = nearest_at(set, &request);
	ck_assert_int_eq(decision.nearest_failed, RULE_KEY_IP);
	ck_assert_str_eq(rule_key_name(decision.nearest_failed), "ip");
	rule_set_free(set);
}
END_TEST

START_TEST(key_names)
{
	ck_assert_str_eq(rule_key_name(RULE_KEY_METHOD), "method");
	ck_assert_str_eq(rule_key_name(RULE_KEY_DOMAIN), "domain");
	ck_assert_str_eq(rule_key_name(RULE_KEY_PATH), "path");
	ck_assert_str_eq(rule_key_name(RULE_KEY_PORT), "port");
	ck_assert_str_eq(rule_key_name(RULE_KEY_PROTO), "proto");
}
END_TEST

static const struct {
	const char *host, *path, *address;
	enum rule_scheme scheme;
	uint16_t port;
	const char *text;
} suggestions[] = {
	{ "a.example", "/x/y", NULL, RULE_HTTPS, 443, "domain=a.example method=GET path=/x/y" },
	{ "a.example", "/", NULL, RULE_HTTP, 80, "domain=a.example method=GET" },
	{ "a.example", "/x/", NULL, RULE_HTTP, 80, "domain=a.example method=GET path=/x/*" },
	{ "a.example", "/x", NULL, RULE_HTTP, 443, "domain=a.example method=GET path=/x port=443" },
	{ "a.example", "/x/../y", NULL, RULE_HTTP, 80, "domain=a.example method=GET" },
	{ "a.example", "*", NULL, RULE_HTTP, 80, "domain=a.example method=GET" },
	{ "a.example", NULL, NULL, RULE_HTTP, 80, "domain=a.example method=GET" },
	{ "a.example", "/x", "192.0.2.1", RULE_HTTP, 80, "domain=a.example method=GET path=/x" },
	{ "a.example", "/x", "fd00::1", RULE_HTTP, 80, "domain=a.example method=GET path=/x ip=fd00::1" },
	{ "10.0.0.1", "/x", NULL, RULE_HTTP, 8080, "domain=10.0.0.1 method=GET path=/x port=8080 ip=10.0.0.1" },
	{ "[::1]", "/x", NULL, RULE_HTTP, 80, "method=GET path=/x ip=::1" },
	{ "a_b.c.example", "/x", NULL, RULE_HTTP, 80, "domain=*.c.example method=GET path=/x" },
	{ "a.b_.example", "/x", NULL, RULE_HTTP, 80, "domain=a.*.example method=GET path=/x" },
	{ "a.b_", "/x", NULL, RULE_HTTP, 80, "domain=* method=GET path=/x" },
	{ "a.example", "/*/a,b/a*%2f", NULL, RULE_HTTP, 80, "domain=a.example method=GET path=/%2A/a%2Cb/a%2A%2f" },
	{ "a.example", "/a%2Fb/c", NULL, RULE_HTTP, 80, "domain=a.example method=GET path=/a%2Fb/c" },
	{ "a.example", "/a;b=c/;d/", NULL, RULE_HTTP, 80, "domain=a.example method=GET path=/a;b=c/;d/*" },
	{ "a.example", "/%C0%AF/x", NULL, RULE_HTTP, 80, "domain=a.example method=GET" },
};

START_TEST(suggestion_text)
{
	struct ip_address address;
	struct rule_request request = {
		.method = "GET",
		.scheme = suggestions[_i].scheme,
		.host = suggestions[_i].host,
		.port = suggestions[_i].port,
		.path = suggestions[_i].path,
		.address = suggestions[_i].address ? &address : NULL,
	};
	struct rule_decision decision;
	struct rule_set *set;
	char text[256];

	if (suggestions[_i].address)
		ck_assert_int_eq(ip_address_parse(suggestions[_i].address, strlen(suggestions[_i].address), &address),
				 0);
	rule_suggest(&request, text, sizeof(text));
	ck_assert_str_eq(text, suggestions[_i].text);
	ck_assert_int_eq(rule_set_new(&set), 0);
	ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, text, "suggestion", NULL), 0);
	request.path = request.path ? request.path : "/";
	rule_set_decide(set, &request, &decision);
	ck_assert(decision.allowed);
	rule_set_free(set);
}
END_TEST

START_TEST(suggestion_that_does_not_fit)
{
	struct rule_request request = {
		.method = "GET", .scheme = RULE_HTTP, .host = "a.example", .port = 80, .path = "/x"
	};
	char text[64];

	ck_assert_uint_eq(rule_suggest(&request, text, 36), 35);
	ck_assert_str_eq(text, "domain=a.example method=GET path=/x");
	ck_assert_uint_eq(rule_suggest(&request, text, 35), 27);
	ck_assert_str_eq(text, "domain=a.example method=GET");
	ck_assert_uint_eq(rule_suggest(&request, text, 27), 16);
	ck_assert_str_eq(text, "domain=a.example");
	ck_assert_uint_eq(rule_suggest(&request, text, 16), 0);
	ck_assert_str_eq(text, "");
	ck_assert_uint_eq(rule_suggest(&request, text, 0), 0);
	request.method = NULL;
	rule_suggest(&request, text, sizeof(text));
	ck_assert_str_eq(text, "domain=a.example path=/x");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rules, explained");
	TCase *tcase = tcase_create("explain");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, explain, 0, array_size(cases));
	tcase_add_loop_test(tcase, explain_refuses, 0, array_size(refused));
	tcase_add_test(tcase, explain_without_rules_and_in_little_room);
	tcase_add_test(tcase, nearest);
	tcase_add_test(tcase, nearest_names_a_missing_ip);
	tcase_add_test(tcase, key_names);
	tcase_add_loop_test(tcase, suggestion_text, 0, array_size(suggestions));
	tcase_add_test(tcase, suggestion_that_does_not_fit);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
