/* One identity: all that names a request's host must name the same one. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/proxy/identity.h"

static struct search_domains search;

static void set_up(void)
{
	ck_assert_int_eq(search_domains_add(&search, "corp.example"), 0);
	ck_assert_int_eq(search_domains_add(&search, "example"), 0);
}

static void tear_down(void)
{
	search_domains_clear(&search);
	ck_assert_uint_eq(search.n, 0);
}

/* An ordinary HTTPS request for a.test. */
static struct identity_claims ordinary(void)
{
	return (struct identity_claims){
		.synthetic = true, .destination = "a.test", .port = 443, .tls = true, .sni = "a.test", .host = "a.test"
	};
}

#define accepted(claims, expected)                                                                          \
	do {                                                                                                \
		const char *host_ = NULL;                                                                   \
		struct error error_ = { 0 };                                                                \
		ck_assert_msg(identity_judge(&(claims), &search, &host_, &error_) == 0, "%s", error_.text); \
		ck_assert_str_eq(host_, expected);                                                          \
	} while (0)

/* Refused with a text that has both words in it. */
#define refused(claims, one, other)                                                                       \
	do {                                                                                              \
		const char *host_ = "untouched";                                                          \
		struct error error_ = { 0 };                                                              \
		ck_assert_int_eq(identity_judge(&(claims), &search, &host_, &error_), -EXDEV);            \
		ck_assert_str_eq(host_, "untouched");                                                     \
		ck_assert_msg(strstr(error_.text, one) && strstr(error_.text, other), "%s", error_.text); \
	} while (0)

START_TEST(all_equal)
{
	struct identity_claims claims = ordinary();

	accepted(claims, "a.test");
	claims.authority = "a.test";
	claims.absolute_https = true;
	claims.host_port = claims.authority_port = 443;
	accepted(claims, "a.test");
}
END_TEST

START_TEST(each_difference_is_refused)
{
	struct identity_claims claims = ordinary();

	claims.host = "b.test";
	refused(claims, "b.test", "a.test");
	claims = ordinary();
	claims.sni = "b.test";
	refused(claims, "SNI", "b.test");
	claims = ordinary();
	claims.authority = "b.test";
	claims.absolute_https = true;
	refused(claims, "b.test", "Host");
	claims = ordinary();
	claims.destination = "b.test";
	refused(claims, "DNS", "b.test");
	claims = ordinary();
	claims.host = NULL;
	claims.sni = "b.test";
	refused(claims, "b.test", "a.test");
}
END_TEST

START_TEST(ports_and_scheme)
{
	struct identity_claims claims = ordinary();

	claims.host_port = 8443;
	refused(claims, "8443", "443");
	claims = ordinary();
	claims.authority = "a.test";
	claims.absolute_https = true;
	claims.authority_port = 80;
	refused(claims, "port 80", "443");
	claims.authority_port = 0;
	claims.absolute_https = false;
	refused(claims, "http", "TLS");
}
END_TEST

START_TEST(nothing_but_the_destination)
{
	struct identity_claims claims = { .synthetic = true, .destination = "a.test", .port = 80 };

	accepted(claims, "a.test");
	claims.synthetic = false;
	claims.destination = "192.0.2.1";
	accepted(claims, "192.0.2.1");
	claims.tls = true;
	claims.sni = "b.test";
	accepted(claims, "b.test");
}
END_TEST

START_TEST(unassigned_address)
{
	struct identity_claims claims = ordinary();

	claims.destination = NULL;
	refused(claims, "no name", "session");
}
END_TEST

START_TEST(literal_destination)
{
	struct identity_claims claims = ordinary();

	claims.synthetic = false;
	claims.destination = "192.0.2.1";
	accepted(claims, "a.test"); /* a name: looked up by the proxy */
	claims.sni = NULL;
	claims.host = "192.0.2.1";
	accepted(claims, "192.0.2.1");
	claims.host = "192.0.2.2";
	refused(claims, "192.0.2.2", "192.0.2.1");
	claims.host = "[2001:db8::1]";
	refused(claims, "[2001:db8::1]", "192.0.2.1");
}
END_TEST

START_TEST(search_domains)
{
	struct identity_claims claims = ordinary();

	claims.destination = "a.test.corp.example";
	accepted(claims, "a.test");
	claims.destination = "a.test.example";
	accepted(claims, "a.test");
	claims.destination = "a.test.other.example";
	refused(claims, "a.test", "a.test.other.example");
	claims.destination = "a.testcorp.example";
	refused(claims, "a.test", "a.testcorp.example");
	claims.destination = "xa.test.corp.example";
	refused(claims, "a.test", "xa.test.corp.example");
	claims.destination = "a.test.";
	refused(claims, "a.test", "DNS");
	/* What a single label stands for is the whole name. */
	claims.destination = "files.corp.example";
	claims.host = claims.sni = "files";
	accepted(claims, "files.corp.example");
	claims.authority = "files";
	claims.absolute_https = true;
	accepted(claims, "files.corp.example");
	claims.host = claims.authority = NULL;
	accepted(claims, "files.corp.example");
	claims.destination = claims.host = "files";
	accepted(claims, "files");
	claims.synthetic = false;
	claims.destination = "192.0.2.1";
	accepted(claims, "files");
	claims = ordinary();
	claims.host = claims.sni = "files";
	claims.destination = "files.other";
	refused(claims, "files", "files.other");
	/* The other way round is another host. */
	claims = ordinary();
	claims.host = claims.sni = "a.test.example";
	refused(claims, "a.test.example", "a.test");
	/* It is no way round the comparison of SNI and Host. */
	claims = ordinary();
	claims.destination = claims.sni = "a.test.example";
	refused(claims, "a.test", "a.test.example");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_identity");
	TCase *tests = tcase_create("identity");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, all_equal);
	tcase_add_test(tests, each_difference_is_refused);
	tcase_add_test(tests, ports_and_scheme);
	tcase_add_test(tests, nothing_but_the_destination);
	tcase_add_test(tests, unassigned_address);
	tcase_add_test(tests, literal_destination);
	tcase_add_test(tests, search_domains);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
