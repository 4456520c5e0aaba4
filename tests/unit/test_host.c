/* policy/rules/host.h: one canonical string for each host, and nothing that two programs could read differently. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/host.h"
#include "shared/cleanup.h"

#define L63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"

static const struct {
	const char *text;
	const char *canonical; /* NULL: refused */
} cases[] = {
	{ "example.com", "example.com" },
	{ "EXAMPLE.Com", "example.com" },
	{ "example.com.", "example.com" },
	{ "localhost", "localhost" },
	{ "_dmarc.example.com", "_dmarc.example.com" },
	{ "r3---sn.example", "r3---sn.example" },
	{ "-a.example", "-a.example" },
	{ "1password.com", "1password.com" },
	{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
	{ "XN--BCHER-KVA.example", "xn--bcher-kva.example" },
	{ "B\xc3\xbc"
	  "cher.Example",
	  "xn--bcher-kva.example" },
	{ "bu\xcc\x88"
	  "cher.example",
	  "xn--bcher-kva.example" },          /* decomposed */
	{ "fa\xc3\x9f.de", "xn--fa-hia.de" }, /* non-transitional */
	{ "b\xc3\xbc"
	  "cher\xe3\x80\x82"
	  "de",
	  "xn--bcher-kva.de" }, /* ideographic full stop */
	{ "b\xc3\xbc"
	  "cher.de\xe3\x80\x82",
	  "xn--bcher-kva.de" },
	{ "192.0.2.1", "192.0.2.1" },
	{ "192.0.2.1.", "192.0.2.1" },
	{ "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1", "127.0.0.1" }, /* full-width digits */
	{ "[::1]", "[::1]" },
	{ "[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]" },
	{ "[::ffff:192.0.2.1]", "192.0.2.1" },
	{ L63 ".example", L63 ".example" },
	{ L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxy",
	  L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxy" },
	{ "", NULL },
	{ ".", NULL },
	{ "..", NULL },
	{ ".example.com", NULL },
	{ "example..com", NULL },
	{ "example.com..", NULL },
	{ "a" L63 ".example", NULL },
	{ L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz", NULL },
	{ "exa mple.com", NULL },
	{ " example.com", NULL },
	{ "example.com\t", NULL },
	{ "example.com\r\n", NULL },
	{ "exam\x01ple.com", NULL },
	{ "exam\x7fple.com", NULL },
	{ "ex%61mple.com", NULL },
	{ "*.example.com", NULL },
	{ "a/b", NULL },
	{ "a\\b", NULL },
	{ "user@example.com", NULL },
	{ "a:80", NULL },
	{ "::1", NULL },
	{ "127.1", NULL },
	{ "127.0.0.01", NULL },
	{ "0x7f000001", NULL },
	{ "0X7F.1", NULL },
	{ "1.2.3.0x4", NULL },
	{ "0x", NULL },
	{ "2130706433", NULL },
	{ "1.2.3.4.5", NULL },
	{ "256.0.0.1", NULL },
	{ "example.123", NULL },
	{ "[127.0.0.1]", NULL },
	{ "[::1", NULL },
	{ "[::1]x", NULL },
	{ "[fe80::1%25eth0]", NULL },
	{ "[]", NULL },
	{ "\xff\xfe.com", NULL },      /* not UTF-8 */
	{ "a\xe2\x84\x80.com", NULL }, /* U+2100 maps to a/c */
	{ "a\xef\xbc\x9a"
	  "80",
	  NULL }, /* full-width colon */
	{ "a\xef\xbc\x85"
	  "2f.com",
	  NULL },                     /* full-width percent sign */
	{ "\xc2\xad", NULL },         /* a soft hyphen maps to nothing */
	{ "i\xe2\x9d\xa4.ws", NULL }, /* disallowed by IDNA 2008 */
};

START_TEST(normalise)
{
	char host[HOST_NAME_MAX_LENGTH + 1] = "untouched";
	struct error e = { .code = 0 };
	const char *text = cases[_i].text;
	int r = host_normalise(text, strlen(text), host, &e);

	if (!cases[_i].canonical) {
		ck_assert_msg(r == -EINVAL, "%s became %s", text, host);
		ck_assert_int_eq(e.code, EINVAL);
		ck_assert_str_eq(host, "untouched");
		ck_assert_ptr_null(strpbrk(e.text, "\r\n\t\x01\x7f"));
		return;
	}
	ck_assert_msg(r == 0, "%s: %s", text, e.text);
	ck_assert_str_eq(host, cases[_i].canonical);
}
END_TEST

START_TEST(canonical_form_is_stable)
{
	char once[HOST_NAME_MAX_LENGTH + 1], twice[HOST_NAME_MAX_LENGTH + 1];

	if (!cases[_i].canonical)
		return;
	ck_assert_int_eq(host_normalise(cases[_i].text, strlen(cases[_i].text), once, NULL), 0);
	ck_assert_int_eq(host_normalise(once, strlen(once), twice, NULL), 0);
	ck_assert_str_eq(once, twice);
}
END_TEST

START_TEST(length_and_nul)
{
	char host[HOST_NAME_MAX_LENGTH + 1];
	char big[5000];

	ck_assert_int_eq(host_normalise("example.comXXX", 11, host, NULL), 0);
	ck_assert_str_eq(host, "example.com");
	ck_assert_int_eq(host_normalise("evil.com\0.good.com", 18, host, NULL), -EINVAL);
	ck_assert_int_eq(host_normalise("b\xc3\xbc\0.good.com", 13, host, NULL), -EINVAL);
	memset(big, 'a', sizeof(big));
	ck_assert_int_eq(host_normalise(big, sizeof(big), host, NULL), -EINVAL);
}
END_TEST

static const struct {
	const char *text;
	const char *host; /* NULL: refused */
	uint16_t port;
} port_cases[] = {
	{ "example.com", "example.com", 0 },
	{ "Example.com.:8443", "example.com", 8443 },
	{ "example.com:1", "example.com", 1 },
	{ "example.com:65535", "example.com", 65535 },
	{ "192.0.2.1:80", "192.0.2.1", 80 },
	{ "[::1]", "[::1]", 0 },
	{ "[::1]:443", "[::1]", 443 },
	{ "example.com:", NULL, 0 },
	{ "example.com:0", NULL, 0 },
	{ "example.com:080", NULL, 0 },
	{ "example.com:65536", NULL, 0 },
	{ "example.com:4294967376", NULL, 0 },
	{ "example.com:+80", NULL, 0 },
	{ "example.com:80 ", NULL, 0 },
	{ "example.com:80:80", NULL, 0 },
	{ "example.com:http", NULL, 0 },
	{ ":80", NULL, 0 },
	{ "", NULL, 0 },
	{ "::1", NULL, 0 },
	{ "::1:443", NULL, 0 },
	{ "[::1]443", NULL, 0 },
	{ "[::1:443", NULL, 0 },
	{ "user@example.com", NULL, 0 },
	{ "user:pw@example.com:80", NULL, 0 },
	{ "good.example@evil.example:443", NULL, 0 },
};

START_TEST(split_port)
{
	char host[HOST_NAME_MAX_LENGTH + 1] = "untouched";
	struct error e = { .code = 0 };
	uint16_t port = 7;
	int r = host_port_parse(port_cases[_i].text, strlen(port_cases[_i].text), host, &port, &e);

	if (!port_cases[_i].host) {
		ck_assert_msg(r == -EINVAL, "%s became %s %d", port_cases[_i].text, host, port);
		ck_assert_int_eq(e.code, EINVAL);
		ck_assert_uint_eq(port, 7);
		return;
	}
	ck_assert_msg(r == 0, "%s", e.text);
	ck_assert_str_eq(host, port_cases[_i].host);
	ck_assert_uint_eq(port, port_cases[_i].port);
}
END_TEST

START_TEST(literals)
{
	ck_assert(host_is_literal("192.0.2.1"));
	ck_assert(host_is_literal("[::1]"));
	ck_assert(!host_is_literal("example.com"));
	ck_assert(!host_is_literal("1.example"));
	ck_assert(!host_is_literal("4.3.2.1.in-addr.arpa"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host");
	TCase *tcase = tcase_create("host");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, normalise, 0, array_size(cases));
	tcase_add_loop_test(tcase, canonical_form_is_stable, 0, array_size(cases));
	tcase_add_test(tcase, length_and_nul);
	tcase_add_loop_test(tcase, split_port, 0, array_size(port_cases));
	tcase_add_test(tcase, literals);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
