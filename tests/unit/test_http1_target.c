/* policy/proxy/http1_target.c; where a head ends and the small helpers in http1.c. */
#include "tests/unit/test_http1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/proxy/http1.h"
#include "shared/cleanup.h"

static struct http1_head head;

struct target_case {
	const char *method, *target;
	const char *expected; /* NULL: refused */
};

static const struct target_case targets[] = {
	{ "GET", "/", "origin http authority= path=/ query=/" },
	{ "GET", "/a/b?c=d?e", "origin http authority= path=/a/b query=/a/b?c=d?e" },
	{ "GET", "/?", "origin http authority= path=/ query=/?" },
	{ "GET", "//b/c", "origin http authority= path=//b/c query=//b/c" },
	{ "GET", "/http://b/", "origin http authority= path=/http://b/ query=/http://b/" },
	{ "GET", "http://a/b?c", "absolute http authority=a path=/b query=/b?c" },
	{ "GET", "HTTPS://a.b:8443/", "absolute https authority=a.b:8443 path=/ query=/" },
	{ "GET", "http://[::1]:80/x", "absolute http authority=[::1]:80 path=/x query=/x" },
	{ "GET", "http://a", "absolute http authority=a path=/ query=/" },
	{ "OPTIONS", "http://a", "absolute http authority=a path=* query=*" },
	{ "OPTIONS", "http://a/", "absolute http authority=a path=/ query=/" },
	{ "OPTIONS", "*", "asterisk http authority= path=* query=*" },
	{ "CONNECT", "a.b:443", "authority http authority=a.b:443 path= query=" },
	{ "CONNECT", "[::1]:65535", "authority http authority=[::1]:65535 path= query=" },
	{ "GET", "", NULL },
	{ "GET", "*", NULL },
	{ "options", "*", NULL },
	{ "OPTIONS", "*/", NULL },
	{ "GET", "a", NULL },
	{ "GET", "a:443", NULL },
	{ "GET", "/a#b", NULL },
	{ "GET", "#", NULL },
	{ "GET", "http://a/#b", NULL },
	{ "GET", "/a b", NULL },
	{ "GET", "/a\r\nX: y", NULL },
	{ "GET", "/\x80", NULL },
	{ "GET", "http://", NULL },
	{ "GET", "http:///", NULL },
	{ "GET", "http://:80/", NULL },
	{ "GET", "http:/a/", NULL },
	{ "GET", "http:a", NULL },
	{ "GET", "http://a?b", NULL },
	{ "GET", "http://user@a/", NULL },
	{ "GET", "http://user:pw@a/", NULL },
	{ "GET", "http://a\\@b/", NULL },
	{ "GET", "http://a,b/", NULL },
	{ "GET", "ftp://a/", NULL },
	{ "GET", "ws://a/", NULL },
	{ "GET", "file:///etc/passwd", NULL },
	{ "GET", "httpx://a/", NULL },
	{ "CONNECT", "/", NULL },
	{ "CONNECT", "a", NULL },
	{ "CONNECT", "a:", NULL },
	{ "CONNECT", ":443", NULL },
	{ "CONNECT", "a:0", NULL },
	{ "CONNECT", "a:65536", NULL },
	{ "CONNECT", "a:000443", NULL },
	{ "CONNECT", "a:+44", NULL },
	{ "CONNECT", "[::1]", NULL },
	{ "CONNECT", "u@a:443", NULL },
	{ "CONNECT", "a:443/", NULL },
	{ "CONNECT", "http://a:443", NULL },
	{ "CONNECT", "*", NULL },
};

START_TEST(target)
{
	static const char *const forms[] = { "origin", "absolute", "authority", "asterisk" };
	const struct target_case *t = &targets[_i];
	_cleanup_free_ char *copy = exact_copy(t->target, strlen(t->target));
	struct http1_target result = { .form = HTTP1_FORM_ASTERISK, .https = true };
	struct error e = { 0 };
	char text[256];
	int r;

	r = http1_parse_target(http1_text_of(t->method), (struct http1_text){ copy, strlen(t->target) }, &result, &e);
	if (!t->expected) {
		ck_assert_msg(r == -EBADMSG && e.code == EBADMSG, "%s %s is accepted", t->method, t->target);
		ck_assert(result.form == HTTP1_FORM_ASTERISK && result.https);
		return;
	}
	ck_assert_msg(r == 0, "%s %s → %s", t->method, t->target, e.text);
	snprintf(text, sizeof(text), "%s %s authority=%.*s path=%.*s query=%.*s", forms[result.form],
		 result.https ? "https" : "http", TEXT(result.authority), TEXT(result.path),
		 TEXT(result.path_and_query));
	ck_assert_str_eq(text, t->expected);
}
END_TEST

START_TEST(prefixes_need_more)
{
	static const char input[] = GET "X: y\r\n\r\n";
	size_t length = sizeof(input) - 1;

	for (size_t n = 0; n < length; n++) {
		_cleanup_free_ char *part = exact_copy(input, n);
		size_t scanned = 0;

		ck_assert_int_eq(http1_head_end(part, n, &scanned), 0);
		/* Nothing is looked at twice but a CR at the end. */
		ck_assert_uint_ge(scanned + 1, n);
		/* A head that is cut is never taken for a whole one. */
		ck_assert_int_eq(http1_parse_request(part, n, &head, NULL), -EBADMSG);
	}
}
END_TEST

/* Parsing relies on nothing that http1_head_end() has checked. */
START_TEST(parsers_stand_alone)
{
	static const struct {
		struct octets in;
		const char *word;
	} cases[] = {
		{ OCTETS(GET "\r\nX: y\r\n\r\n"), "empty line before its end" },
		{ OCTETS(GET "\r\n\r\n"), "empty line before its end" },
		{ OCTETS(GET "X: a\n\r\n"), "field line 2 has a LF without CR" },
		{ OCTETS(GET "X: a\rb\r\n\r\n"), "field line 2 has a CR without LF" },
		{ OCTETS(GET "X: a\0\r\n\r\n"), "field line 2 has the octet 0x00" },
		{ OCTETS(GET "X: a"), "ends within field line 2" },
		{ OCTETS(GET "X: a\r"), "ends within field line 2" },
		{ OCTETS(GET "X"), "ends within field line 2" },
		{ OCTETS(GET), "ends within field line 2" },
		{ OCTETS(GET "\n"), "0x0a" },
		{ OCTETS(""), "method" },
		{ OCTETS("\r\n"), "method" },
		{ OCTETS("\r\n\r\n"), "method" },
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		_cleanup_free_ char *copy = exact_copy(cases[i].in.at, cases[i].in.length);
		struct error e = { 0 };

		ck_assert_int_eq(http1_parse_request(copy, cases[i].in.length, &head, &e), -EBADMSG);
		ck_assert_msg(strstr(e.text, cases[i].word) != NULL, "%s → %s", cases[i].in.at, e.text);
		ck_assert_int_eq(http1_parse_response(copy, cases[i].in.length, "GET", &head, NULL), -EBADMSG);
	}
}
END_TEST

START_TEST(head_size_limit)
{
	_cleanup_free_ char *buffer = malloc(HTTP1_HEAD_MAX + 1);
	size_t scanned = 0;

	ck_assert_ptr_nonnull(buffer);
	memset(buffer, 'x', HTTP1_HEAD_MAX + 1);
	ck_assert_int_eq(http1_head_end(buffer, HTTP1_HEAD_MAX - 1, &scanned), 0);
	ck_assert_int_eq(http1_head_end(buffer, HTTP1_HEAD_MAX, &scanned), -E2BIG);
	memcpy(buffer + HTTP1_HEAD_MAX - 4, "\r\n\r\n", 4);
	scanned = 0;
	ck_assert_int_eq(http1_head_end(buffer, HTTP1_HEAD_MAX, &scanned), HTTP1_HEAD_MAX);
	memcpy(buffer + HTTP1_HEAD_MAX - 4, "x\r\n\r\n", 5);
	scanned = 0;
	ck_assert_int_eq(http1_head_end(buffer, HTTP1_HEAD_MAX + 1, &scanned), -E2BIG);
}
END_TEST

START_TEST(empty_lines)
{
	ck_assert_uint_eq(http1_skip_empty_lines("", 0), 0);
	ck_assert_uint_eq(http1_skip_empty_lines("\r", 1), 0);
	ck_assert_uint_eq(http1_skip_empty_lines("\r\n", 2), 2);
	ck_assert_uint_eq(http1_skip_empty_lines("\n\r\n", 3), 0);
	ck_assert_uint_eq(http1_skip_empty_lines("\r\nGET", 5), 2);
	ck_assert_uint_eq(http1_skip_empty_lines("\r\n\r", 3), 2);
	ck_assert_uint_eq(http1_skip_empty_lines("\r\n\r\n\r\n\r\n\r\n", 10), 8);
}
END_TEST

START_TEST(find_and_compare)
{
	static const char input[] = GET "X-One: 1\r\nx-one: 2\r\n\r\n";
	const struct http1_field *field;

	ck_assert_int_eq(http1_parse_request(input, sizeof(input) - 1, &head, NULL), 0);
	field = http1_find(&head, "x-ONE");
	ck_assert_ptr_nonnull(field);
	ck_assert(http1_text_is(field->value, "1"));
	ck_assert_ptr_null(http1_find(&head, "x-on"));
	ck_assert_ptr_null(http1_find(&head, ""));
	ck_assert(http1_text_is((struct http1_text){ NULL, 0 }, ""));
	ck_assert(!http1_text_is(http1_text_of("ab"), "a"));
	/* Only letters fold: '@' and '`', '[' and '{' differ by the same bit. */
	ck_assert(!http1_text_is(http1_text_of("@["), "`{"));
}
END_TEST

TCase *target_cases(void)
{
	TCase *tcase = tcase_create("target");

	tcase_add_loop_test(tcase, target, 0, (int)array_size(targets));
	tcase_add_test(tcase, prefixes_need_more);
	tcase_add_test(tcase, parsers_stand_alone);
	tcase_add_test(tcase, head_size_limit);
	tcase_add_test(tcase, empty_lines);
	tcase_add_test(tcase, find_and_compare);
	return tcase;
}
