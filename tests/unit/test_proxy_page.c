/* The page of a denied request: what it says and that nothing of a request gets in raw. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "policy/proxy/page.h"

static char page[PAGE_MAX];

static struct rule_request request_of(const char *method, const char *host, const char *path)
{
	return (struct rule_request){ .method = method, .scheme = RULE_HTTPS, .host = host, .port = 443, .path = path };
}

static void make(const struct rule_request *request, const struct rule_decision *decision, enum page_denial denial)
{
	size_t length = page_denied(request, decision, denial, page);

	ck_assert_uint_lt(length, PAGE_MAX);
	ck_assert_uint_eq(strlen(page), length);
}

#define has(text) ck_assert_msg(strstr(page, text) != NULL, "no \"%s\" in:\n%s", text, page)
#define lacks(text) ck_assert_msg(strstr(page, text) == NULL, "\"%s\" in:\n%s", text, page)

/* Takes the n-th rule of an --allow line out of the page, as a shell would. */
static void advised(int n, char rule[2048])
{
	const char *at = page;

	for (int i = 0; i <= n; i++) {
		at = strstr(at, "--allow \"");
		ck_assert_ptr_nonnull(at);
		at += strlen("--allow \"");
	}
	for (; *at != '"'; at++) {
		if (*at == '\\')
			at++;
		ck_assert_int_ne(*at, '\0');
		*rule++ = *at;
	}
	*rule = '\0';
}

START_TEST(says_what_and_how_to_allow_it)
{
	struct rule_request request = request_of("DELETE", "api.example", "/v1/x");
	struct rule_decision decision = { 0 };

	make(&request, &decision, PAGE_BY_RULES);
	ck_assert_ptr_eq(strstr(page, "🚫 Request Blocked by Boundary\n"), page);
	has("\nRequest: DELETE /v1/x\n");
	has("\nHost: api.example\n");
	has("--allow \"domain=api.example method=DELETE path=/v1/x\"");
	has("--allow \"domain=api.example\"");
}
END_TEST

/* What is advised must do it. */
START_TEST(advice_works)
{
	static const char *const paths[] = { "/",    "/a/b",  "/a,b",   "/$HOME/`id`", "/a%2Fb",
					     "/*/x", "/a\"b", "/..//x", "/%41=%zz" };
	struct rule_request request = request_of("GET", "api.example", paths[_i]);
	struct rule_decision decision = { 0 };
	char rule[2048];

	make(&request, &decision, PAGE_BY_RULES);
	for (int n = 0; n < 1 + (strstr(page, "any request to") != NULL && strstr(page, "# this request") != NULL);
	     n++) {
		struct rule_set *set;
		struct error error = { 0 };

		advised(n, rule);
		ck_assert_int_eq(rule_set_new(&set), 0);
		ck_assert_msg(rule_set_add(set, RULE_ALLOW, rule, "advice", &error) == 0, "%s: %s", rule, error.text);
		rule_set_decide(set, &request, &decision);
		ck_assert_msg(decision.allowed, "%s does not allow %s", rule, paths[_i]);
		rule_set_free(set);
	}
}
END_TEST

START_TEST(deny_rule_is_named)
{
	struct rule_request request = request_of("GET", "api.example", "/");
	struct rule_decision decision = { .rule = "domain=*.example", .action = RULE_DENY };

	make(&request, &decision, PAGE_BY_RULES);
	has("--deny \"domain=*.example\"");
	lacks("run boundary-launch again");
}
END_TEST

START_TEST(address_is_named)
{
	struct rule_request request = request_of("GET", "api.example", "/");
	struct rule_decision decision = { 0 };
	struct ip_address address;

	ck_assert_int_eq(ip_address_parse("10.1.2.3", 8, &address), 0);
	request.address = &address;
	make(&request, &decision, PAGE_BY_ADDRESS);
	has("leads to 10.1.2.3");
	has("--allow \"domain=api.example ip=10.1.2.3\"");
	/* An address of this host that is global: rules alone would not ask for ip=. */
	ck_assert_int_eq(ip_address_parse("192.0.2.7", 9, &address), 0);
	make(&request, &decision, PAGE_BY_ADDRESS);
	has("--allow \"domain=api.example ip=192.0.2.7\"");
}
END_TEST

START_TEST(our_own_network_has_no_advice)
{
	struct rule_request request = request_of("GET", "api.example", "/");
	struct rule_decision decision = { 0 };
	struct ip_address address;

	ck_assert_int_eq(ip_address_parse("198.18.0.1", 10, &address), 0);
	request.address = &address;
	make(&request, &decision, PAGE_OURS);
	has("198.18.0.1");
	lacks("--allow");
}
END_TEST

START_TEST(hostile_text_is_escaped_and_bounded)
{
	static char path[70000];
	struct rule_request request = request_of("G\033ET", "api.example", path);
	struct rule_decision decision = { 0 };

	memset(path, 'a', sizeof(path) - 1);
	memcpy(path, "/\r\n\033[2J\200", 8);
	make(&request, &decision, PAGE_BY_RULES);
	for (const char *at = page + strlen("🚫"); *at; at++)
		ck_assert_msg((*at >= 0x20 && *at < 0x7f) || *at == '\n', "octet %02x", (unsigned char)*at);
	has("Request: G\\x1bET /\\x0d\\x0a\\x1b[2J\\x80aaa");
}
END_TEST

START_TEST(escape_fits)
{
	char text[8];

	ck_assert_str_eq(page_escape("\001\002\003", 3, text, sizeof(text)), "\\x01");
	ck_assert_str_eq(page_escape("abc", 3, text, sizeof(text)), "abc");
	ck_assert_str_eq(page_escape("", 0, text, sizeof(text)), "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_page");
	TCase *tests = tcase_create("page");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tests, says_what_and_how_to_allow_it);
	tcase_add_loop_test(tests, advice_works, 0, 9);
	tcase_add_test(tests, deny_rule_is_named);
	tcase_add_test(tests, address_is_named);
	tcase_add_test(tests, our_own_network_has_no_advice);
	tcase_add_test(tests, hostile_text_is_escaped_and_bounded);
	tcase_add_test(tests, escape_fits);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
