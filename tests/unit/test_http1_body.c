/* policy/proxy/http1_chunked.c and http1_write.c. Heads: test_http1.c. */
#include "tests/unit/test_http1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/proxy/http1.h"
#include "shared/cleanup.h"

#define BODY_MAX 65536

struct decoded {
	char data[BODY_MAX];
	size_t length;
	size_t consumed;
	bool done;
};

static struct decoded out;

/* Decodes in[0..length) as one piece into `out`. Returns 0 or the decoder's error. */
static int decode_piece(struct http1_chunked *decoder, const char *in, size_t length)
{
	_cleanup_free_ char *copy = exact_copy(in, length);
	size_t at = 0;

	while (at < length && !decoder->done) {
		struct http1_text data = { NULL, 99 };
		size_t n = length - at;
		int r;

		r = http1_chunked_decode(decoder, copy + at, &n, &data);
		if (r < 0)
			return r;
		ck_assert_msg(n > 0 && n <= length - at, "no progress at %zu", at);
		ck_assert(data.length == 0 || (data.at >= copy + at && data.at + data.length <= copy + at + n));
		ck_assert_uint_le(out.length + data.length, BODY_MAX);
		if (data.length > 0)
			memcpy(out.data + out.length, data.at, data.length);
		out.length += data.length;
		at += n;
	}
	out.consumed += at;
	out.done = decoder->done;
	return 0;
}

/* Decodes in pieces: [0..first), then `step` octets each. */
static int decode(const char *in, size_t length, size_t first, size_t step)
{
	struct http1_chunked decoder = { 0 };
	size_t at = 0, n = first;

	out.length = out.consumed = 0;
	out.done = false;
	while (at < length && !out.done) {
		int r;

		n = n < length - at ? n : length - at;
		r = decode_piece(&decoder, in + at, n);
		if (r < 0)
			return r;
		at += n;
		n = step;
	}
	return 0;
}

struct chunked_case {
	struct octets in;
	struct octets data;
	size_t left; /* octets behind the body, which are the next message's */
};

static const struct chunked_case good_bodies[] = {
	{ OCTETS("0\r\n\r\n"), OCTETS(""), 0 },
	{ OCTETS("5\r\nhello\r\n0\r\n\r\n"), OCTETS("hello"), 0 },
	{ OCTETS("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nGET /"), OCTETS("hello!"), 5 },
	{ OCTETS("5\r\n\r\n\0\r\n\r\n000\r\n\r\n"), OCTETS("\r\n\0\r\n"), 0 },
	{ OCTETS("A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n"), OCTETS("0123456789abcdefghij"), 0 },
	{ OCTETS("0000000000000001\r\nx\r\n0000\r\n\r\n"), OCTETS("x"), 0 },
	{ OCTETS("1;a\r\nx\r\n1;a=b;c=\"d \xff\" ;\te\r\ny\r\n0;f\r\n\r\n"), OCTETS("xy"), 0 },
	{ OCTETS("1\r\nx\r\n0\r\nX-Sum: abc\r\ny:\r\nZ: \t \xff\r\n\r\nrest"), OCTETS("x"), 4 },
};

START_TEST(good_body)
{
	const struct chunked_case *c = &good_bodies[_i];

	for (size_t first = 1; first <= c->in.length; first++) {
		for (size_t step = 1; step <= c->in.length; step++) {
			ck_assert_int_eq(decode(c->in.at, c->in.length, first, step), 0);
			ck_assert_msg(out.done && out.consumed == c->in.length - c->left, "%s cut at %zu, %zu",
				      c->in.at, first, step);
			ck_assert_uint_eq(out.length, c->data.length);
			ck_assert_mem_eq(out.data, c->data.at, c->data.length);
		}
	}
	/* Not a moment too early. */
	for (size_t n = 0; n < c->in.length - c->left; n++) {
		ck_assert_int_eq(decode(c->in.at, n, n ? n : 1, 1), 0);
		ck_assert(!out.done);
	}
}
END_TEST

static const struct octets bad_bodies[] = {
	OCTETS("\r\n"),
	OCTETS("x\r\n"),
	OCTETS(" 5\r\nhello\r\n"),
	OCTETS("5 \r\nhello\r\n"),
	OCTETS("5 ;a\r\nhello\r\n"),
	OCTETS("5\t\r\nhello\r\n"),
	OCTETS("+5\r\nhello\r\n"),
	OCTETS("-5\r\nhello\r\n"),
	OCTETS("0x5\r\nhello\r\n"),
	OCTETS(";a\r\nhello\r\n"),
	OCTETS("5\nhello\r\n"),
	OCTETS("5\rhello\r\n"),
	OCTETS("5\r\rhello"),
	OCTETS("5\0\r\nhello"),
	OCTETS("5,5\r\nhello"),
	OCTETS("5;a\nhello\r\n"),
	OCTETS("5;a\rb\r\nhello\r\n"),
	OCTETS("5;a\0\r\nhello\r\n"),
	OCTETS("5;\x7f\r\nhello\r\n"),
	OCTETS("5\r\nhello0\r\n\r\n"),
	OCTETS("5\r\nhello\n0\r\n\r\n"),
	OCTETS("5\r\nhello\r0\r\n\r\n"),
	OCTETS("5\r\nhello!\r\n0\r\n\r\n"),
	OCTETS("5\r\nhello!\n0\r\n\r\n"),
	OCTETS("5\r\nhello\r\n\r\n0\r\n\r\n"),
	OCTETS("5\r\nhell\r\n0\r\n\r\n"),
	OCTETS("00000000000000000\r\n"),
	OCTETS("8000000000000000\r\n"),
	OCTETS("ffffffffffffffff\r\n"),
	OCTETS("10000000000000005\r\nhello"),
	OCTETS("0\n\n"),
	OCTETS("0\r\n\n"),
	OCTETS("0\r\n\rx"),
	OCTETS("0\r\n X: folded\r\n\r\n"),
	OCTETS("0\r\n: y\r\n\r\n"),
	OCTETS("0\r\nX\r\n\r\n"),
	OCTETS("0\r\nX : y\r\n\r\n"),
	OCTETS("0\r\nX: y\n\r\n"),
	OCTETS("0\r\nX: y\rz\r\n\r\n"),
	OCTETS("0\r\nX: \0\r\n\r\n"),
	OCTETS("0\r\nX: y\r\n folded\r\n\r\n"),
	OCTETS("0\r\nGET / HTTP/1.1\r\n\r\n"),
};

START_TEST(bad_body)
{
	struct octets in = bad_bodies[_i];

	for (size_t first = 1; first <= in.length; first++) {
		ck_assert_msg(decode(in.at, in.length, first, in.length) == -EBADMSG, "%s cut at %zu", in.at, first);
		ck_assert(!out.done);
	}
	ck_assert_int_eq(decode(in.at, in.length, 1, 1), -EBADMSG);
}
END_TEST

/* Largest size that fits, and data that goes on over several calls. */
START_TEST(huge_chunk)
{
	struct http1_chunked decoder = { 0 };
	struct http1_text data;
	size_t n = 18;

	ck_assert_int_eq(http1_chunked_decode(&decoder, "7fffffffffffffff\r\nabc", &n, &data), 0);
	ck_assert_uint_eq(n, 18);
	ck_assert_uint_eq(data.length, 0);
	n = 3;
	ck_assert_int_eq(http1_chunked_decode(&decoder, "abc", &n, &data), 0);
	ck_assert_uint_eq(n, 3);
	ck_assert_uint_eq(data.length, 3);
	ck_assert_uint_eq(decoder.left, INT64_MAX - 3);
}
END_TEST

START_TEST(done_takes_nothing)
{
	struct http1_chunked decoder = { 0 };
	struct http1_text data;
	size_t n = 5;

	ck_assert_int_eq(http1_chunked_decode(&decoder, "0\r\n\r\n", &n, &data), 0);
	ck_assert(decoder.done);
	n = 5;
	ck_assert_int_eq(http1_chunked_decode(&decoder, "GET /", &n, &data), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(data.length, 0);
}
END_TEST

/* `unit` repeated to exactly `length` octets between two texts. */
static int decode_filled(const char *before, const char *unit, size_t length, const char *after)
{
	_cleanup_free_ char *in = malloc(strlen(before) + length + strlen(after) + 1);
	size_t at = strlen(before);

	ck_assert_ptr_nonnull(in);
	memcpy(in, before, at);
	for (size_t i = 0; i < length; i++)
		in[at++] = unit[i % strlen(unit)];
	strcpy(in + at, after);
	return decode(in, strlen(in), strlen(in), 1);
}

START_TEST(extension_and_trailer_limits)
{
	/* All extensions of a body count together, with their semicolons. */
	ck_assert_int_eq(decode_filled("1;abc\r\nx\r\n0", ";ab", 4092, "\r\n\r\n"), 0);
	ck_assert(out.done);
	ck_assert_int_eq(decode_filled("1;abc\r\nx\r\n0", ";ab", 4093, "\r\n\r\n"), -EBADMSG);
	ck_assert_int_eq(decode_filled("", "1;abc\r\nx\r\n", 1025 * 10, "0\r\n\r\n"), -EBADMSG);
	ck_assert_int_eq(decode_filled("", "1;abc\r\nx\r\n", 1024 * 10, "0\r\n\r\n"), 0);
	ck_assert_int_eq(decode_filled("", "1;\r\nx\r\n", 4096 * 7, "0\r\n\r\n"), 0);
	ck_assert_int_eq(decode_filled("", "1;\r\nx\r\n", 4097 * 7, "0\r\n\r\n"), -EBADMSG);

	/* The trailer section, with its final empty line. */
	ck_assert_int_eq(decode_filled("0\r\n", "X: y\r\n", 1365 * 6, "\r\n"), 0);
	ck_assert(out.done);
	ck_assert_int_eq(decode_filled("0\r\n", "X: y\r\n", 1365 * 6, "Z:\r\n\r\n"), -EBADMSG);
	ck_assert_int_eq(decode_filled("0\r\nX:", "y", 8186, "\r\n\r\n"), 0);
	ck_assert_int_eq(decode_filled("0\r\nX:", "y", 8187, "\r\n\r\n"), -EBADMSG);
}
END_TEST

/* What http1_chunk_header() writes is what the decoder reads. */
START_TEST(chunk_header)
{
	static const struct {
		uint64_t size;
		const char *text;
	} cases[] = {
		{ 1, "1\r\n" },         { 15, "f\r\n" },
		{ 16, "10\r\n" },       { 255, "ff\r\n" },
		{ 65536, "10000\r\n" }, { INT64_MAX, "7fffffffffffffff\r\n" },
		{ 256, "100\r\n" },     { UINT64_MAX, "ffffffffffffffff\r\n" },
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		char text[20];
		size_t length = http1_chunk_header(cases[i].size, text);

		ck_assert_uint_eq(length, strlen(cases[i].text));
		ck_assert_mem_eq(text, cases[i].text, length);
	}
}
END_TEST

START_TEST(random_bodies)
{
	for (int round = 0; round < 300; round++) {
		static char in[BODY_MAX], data[BODY_MAX];
		size_t length = 0, data_length = 0;

		for (unsigned int chunks = next_random(20); chunks > 0; chunks--) {
			size_t size = 1 + next_random(600);

			length += http1_chunk_header(size, in + length);
			for (size_t i = 0; i < size; i++)
				in[length++] = data[data_length++] = (char)next_random(256);
			memcpy(in + length, "\r\n", 2);
			length += 2;
		}
		memcpy(in + length, "0\r\n\r\n", 5);
		length += 5;
		ck_assert_int_eq(decode(in, length, 1 + next_random(50), 1 + next_random(700)), 0);
		ck_assert(out.done);
		ck_assert_uint_eq(out.length, data_length);
		ck_assert_mem_eq(out.data, data, data_length);
		/* Damaged framing or data: any answer, but inside the buffers. */
		in[next_random((unsigned int)length)] ^= (char)(1 + next_random(255));
		(void)decode(in, length, 1 + next_random(50), 1 + next_random(700));
	}
}
END_TEST

TCase *body_cases(void)
{
	TCase *tcase = tcase_create("chunked");

	tcase_add_loop_test(tcase, good_body, 0, (int)array_size(good_bodies));
	tcase_add_loop_test(tcase, bad_body, 0, (int)array_size(bad_bodies));
	tcase_add_test(tcase, huge_chunk);
	tcase_add_test(tcase, done_takes_nothing);
	tcase_add_test(tcase, extension_and_trailer_limits);
	tcase_add_test(tcase, chunk_header);
	tcase_add_test(tcase, random_bodies);
	tcase_set_timeout(tcase, 60);
	return tcase;
}

static const char request[] =
	"POST http://a/x?y HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
	"Content-Length: 12\r\nTE: trailers\r\nCookie:  c \r\n\r\n";
static const char forwarded[] = "POST /x?y HTTP/1.1\r\nHost: canonical\r\nAccept: */*\r\nCookie: c\r\n"
				"Content-Length: 12\r\n\r\n";

/* Forwards `request` into buffer[0..size) as the comment in http1.h shows. */
static ssize_t forward(char *buffer, size_t size)
{
	static struct http1_head head;
	struct http1_writer w = http1_writer_to(buffer, size);
	struct http1_target target;

	ck_assert_int_eq(http1_parse_request(request, sizeof(request) - 1, &head, NULL), 0);
	ck_assert_int_eq(http1_parse_target(head.method, head.target, &target, NULL), 0);
	http1_write_request_line(&w, head.method, target.path_and_query);
	http1_write_field(&w, "Host", http1_text_of("canonical"));
	http1_write_fields(&w, &head, (const char *const[]){ "host", NULL });
	http1_write_framing(&w, head.framing, head.content_length);
	return http1_write_end(&w);
}

START_TEST(write_request)
{
	char buffer[512];
	ssize_t length = forward(buffer, sizeof(buffer));

	ck_assert_int_eq(length, sizeof(forwarded) - 1);
	ck_assert_mem_eq(buffer, forwarded, sizeof(forwarded) - 1);
}
END_TEST

START_TEST(write_overflow)
{
	size_t needed = sizeof(forwarded) - 1;

	for (size_t size = 0; size <= needed; size++) {
		_cleanup_free_ char *buffer = malloc(size ? size : 1);

		ck_assert_ptr_nonnull(buffer);
		ck_assert_int_eq(forward(buffer, size), size == needed ? (ssize_t)needed : -ENOSPC);
	}
}
END_TEST

START_TEST(write_response)
{
	static const char in[] = "HTTP/1.0 304 Same\r\nETag: x\r\nContent-Length: 5\r\n\r\n";
	static const char expected[] = "HTTP/1.1 304 Same\r\nETag: x\r\nContent-Length: 5\r\n\r\n";
	static const char plain[] = "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n";
	static const char unclassed[] = "HTTP/1.1 999 Denied\r\n\r\n";
	static const char largest[] = "Content-Length: 18446744073709551615\r\n\r\n";
	static struct http1_head head;
	char buffer[128];
	struct http1_writer w = http1_writer_to(buffer, sizeof(buffer));

	ck_assert_int_eq(http1_parse_response(in, sizeof(in) - 1, "GET", &head, NULL), 0);
	http1_write_status_line(&w, head.status, head.reason);
	http1_write_fields(&w, &head, NULL);
	http1_write_framing(&w, HTTP1_BODY_LENGTH, head.content_length);
	ck_assert_int_eq(http1_write_end(&w), sizeof(expected) - 1);
	ck_assert_mem_eq(buffer, expected, sizeof(expected) - 1);

	w = http1_writer_to(buffer, sizeof(buffer));
	http1_write_status_line(&w, 200, (struct http1_text){ NULL, 0 });
	http1_write_framing(&w, HTTP1_BODY_NONE, 7);
	http1_write_framing(&w, HTTP1_BODY_CLOSE, 7);
	http1_write_framing(&w, HTTP1_BODY_CHUNKED, 7);
	ck_assert_int_eq(http1_write_end(&w), sizeof(plain) - 1);
	ck_assert_mem_eq(buffer, plain, sizeof(plain) - 1);

	w = http1_writer_to(buffer, sizeof(buffer));
	http1_write_status_line(&w, 999, http1_text_of("Denied"));
	ck_assert_int_eq(http1_write_end(&w), sizeof(unclassed) - 1);
	ck_assert_mem_eq(buffer, unclassed, sizeof(unclassed) - 1);

	w = http1_writer_to(buffer, sizeof(buffer));
	http1_write_framing(&w, HTTP1_BODY_LENGTH, UINT64_MAX);
	ck_assert_int_eq(http1_write_end(&w), sizeof(largest) - 1);
	ck_assert_mem_eq(buffer, largest, sizeof(largest) - 1);
}
END_TEST

/* Nothing that could end a line or a word gets through, and the error sticks. */
START_TEST(write_injection)
{
	static const struct {
		const char *method, *target, *name, *value, *reason;
		int status;
	} cases[] = {
		{ "GET", "/", "X", "y", "OK", 200 }, /* the control: fine */
		{ "G T", "/", "X", "y", "OK", 200 },          { "", "/", "X", "y", "OK", 200 },
		{ "GET", "/ HTTP/1.1", "X", "y", "OK", 200 }, { "GET", "/\r\nA: b", "X", "y", "OK", 200 },
		{ "GET", "", "X", "y", "OK", 200 },           { "GET", "/\xc3", "X", "y", "OK", 200 },
		{ "GET", "/", "X: z", "y", "OK", 200 },       { "GET", "/", "", "y", "OK", 200 },
		{ "GET", "/", "X", "y\r\nA: b", "OK", 200 },  { "GET", "/", "X", "y\n", "OK", 200 },
		{ "GET", "/", "X", "y", "OK\r\n", 200 },      { "GET", "/", "X", "y", "OK", 99 },
		{ "GET", "/", "X", "y", "OK", 1000 },
	};

	for (size_t i = 0; i < array_size(cases); i++) {
		char buffer[256];
		struct http1_writer w = http1_writer_to(buffer, sizeof(buffer));

		http1_write_request_line(&w, http1_text_of(cases[i].method), http1_text_of(cases[i].target));
		http1_write_status_line(&w, cases[i].status, http1_text_of(cases[i].reason));
		http1_write_field(&w, cases[i].name, http1_text_of(cases[i].value));
		http1_write_field(&w, "Fine", http1_text_of("fine"));
		if (i == 0)
			ck_assert_int_gt(http1_write_end(&w), 0);
		else
			ck_assert_msg(http1_write_end(&w) == -EBADMSG, "case %zu is written", i);
	}
}
END_TEST

TCase *writer_cases(void)
{
	TCase *tcase = tcase_create("writer");

	tcase_add_test(tcase, write_request);
	tcase_add_test(tcase, write_overflow);
	tcase_add_test(tcase, write_response);
	tcase_add_test(tcase, write_injection);
	return tcase;
}
