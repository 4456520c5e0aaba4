/*
 * libFuzzer entry for policy/proxy/http1*.c. The first octet of the input says which parser gets the rest:
 * 'q' request head, 'p' response head, 't' request target, 'c' chunked body. What is accepted must hold the
 * promises of http1.h, and what is written from it must parse to the same again.
 */
#include <errno.h>
#include <string.h>

#include "policy/proxy/http1.h"
#include "tests/fuzz/fuzz.h"

static bool inside(struct http1_text text, const char *in, size_t length)
{
	return text.length == 0 || (text.at >= in && text.length <= length && text.at <= in + length - text.length);
}

static bool same(struct http1_text a, struct http1_text b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

static void check_text(struct http1_text text, const char *in, size_t length, int lowest, int highest)
{
	require(inside(text, in, length));
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.at[i];

		require(c == '\t' ? lowest <= ' ' : c >= lowest && c <= highest && c != 0x7f);
	}
}

static void check_head(const struct http1_head *head, const char *in, size_t length, bool request)
{
	size_t hosts = 0;

	check_text(head->method, in, length, 0x21, 0x7e);
	check_text(head->target, in, length, 0x21, 0x7e);
	check_text(head->host, in, length, 0x21, 0x7e);
	check_text(head->reason, in, length, ' ', 0xff);
	check_text(head->upgrade, in, length, ' ', 0xff);
	require(head->minor_version == 0 || head->minor_version == 1);
	require(head->n_fields <= HTTP1_FIELDS_MAX);
	require(head->content_length <= INT64_MAX);
	for (size_t i = 0; i < head->n_fields; i++) {
		const struct http1_field *field = &head->fields[i];

		require(field->name.length > 0);
		check_text(field->name, in, length, 0x21, 0x7e);
		check_text(field->value, in, length, ' ', 0xff);
		hosts += http1_text_is(field->name, "host");
		if (http1_text_is(field->name, "content-length") || http1_text_is(field->name, "transfer-encoding") ||
		    http1_text_is(field->name, "connection"))
			require(field->hop_by_hop);
	}
	if (request) {
		require(head->method.length > 0 && head->target.length > 0);
		require(hosts <= 1 && (hosts == 1 || head->minor_version == 0));
		require(head->framing != HTTP1_BODY_CLOSE);
	} else {
		require(head->status >= 100 && head->status <= 999);
		require(head->framing != HTTP1_BODY_CLOSE || !head->keep_alive);
	}
}

/* Both ways of looking for the end agree; what they let through ends where they say. */
static int check_end(const char *in, size_t length)
{
	size_t scanned = 0, scanned_slowly = 0;
	int end = http1_head_end(in, length, &scanned), slowly = 0;

	for (size_t n = 1; n <= length && slowly == 0; n++)
		slowly = http1_head_end(in, n, &scanned_slowly);
	require(end == slowly);
	require(end <= (int)length);
	if (end > 0)
		require(end >= 4 && memcmp(in + end - 4, "\r\n\r\n", 4) == 0);
	return end;
}

/* Forwards the head and parses what was written. */
static void check_written(const struct http1_head *head, bool request)
{
	static struct http1_head again;
	static char buffer[2 * HTTP1_HEAD_MAX];
	struct http1_writer w = http1_writer_to(buffer, sizeof(buffer));
	enum http1_framing framing = head->framing;
	size_t n = 0;
	ssize_t length;
	int r;

	if (request)
		http1_write_request_line(&w, head->method, head->target);
	else
		http1_write_status_line(&w, head->status, head->reason);
	http1_write_fields(&w, head, NULL);
	http1_write_framing(&w, framing, head->content_length);
	length = http1_write_end(&w);
	require(length > 0);
	if (request)
		r = http1_parse_request(buffer, (size_t)length, &again, NULL);
	else
		r = http1_parse_response(buffer, (size_t)length, "GET", &again, NULL);
	/* A HTTP/1.0 request may lack the Host that 1.1 demands, and a full head has no room for the framing field. */
	require(r == 0 || (request && !http1_find(head, "host")) || head->n_fields == HTTP1_FIELDS_MAX);
	if (r < 0)
		return;
	require(again.framing == framing && same(again.method, head->method) && same(again.target, head->target));
	require(again.content_length == head->content_length || framing != HTTP1_BODY_LENGTH);
	for (size_t i = 0; i < head->n_fields; i++) {
		if (head->fields[i].hop_by_hop)
			continue;
		require(same(again.fields[n].name, head->fields[i].name));
		require(same(again.fields[n].value, head->fields[i].value));
		n++;
	}
}

static void fuzz_head(const char *in, size_t length, bool request)
{
	static struct http1_head head;
	struct error e = { 0 };
	int end = check_end(in, length), r;

	if (request)
		r = http1_parse_request(in, length, &head, &e);
	else
		r = http1_parse_response(in, length, "GET", &head, &e);
	if (r < 0) {
		require(e.code == -r && e.text[0] != '\0');
		return;
	}
	require(end == (int)length || length > HTTP1_HEAD_MAX);
	check_head(&head, in, length, request);
	if (length <= HTTP1_HEAD_MAX)
		check_written(&head, request);
}

static void fuzz_target(const char *in, size_t length)
{
	static const char *const methods[] = { "GET", "OPTIONS", "CONNECT" };
	struct http1_text target = { in, length };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		struct http1_target result;
		struct error e = { 0 };

		if (http1_parse_target(http1_text_of(methods[i]), target, &result, &e) < 0) {
			require(e.code == EBADMSG);
			continue;
		}
		check_text(result.authority, in, length, 0x21, 0x7e);
		require(result.authority.length == 0 || !memchr(result.authority.at, '@', result.authority.length));
		require((result.form == HTTP1_FORM_AUTHORITY) == (i == 2));
		if (i == 2)
			continue;
		require(result.path.length > 0 && (result.path.at[0] == '/' || result.path.at[0] == '*'));
		require(!memchr(result.path.at, '?', result.path.length));
		require(result.path_and_query.at == result.path.at &&
			result.path_and_query.length >= result.path.length);
		require(inside(result.path_and_query, in, length) || result.path_and_query.length == 1);
	}
}

struct decoded {
	int r;
	bool done;
	size_t consumed, length;
	char *data;
};

/* Decodes in pieces of `step` octets. */
static void decode(const char *in, size_t length, size_t step, struct decoded *ret)
{
	struct http1_chunked decoder = { 0 };

	ret->data = malloc(length + 1);
	require(ret->data);
	while (ret->consumed < length && !decoder.done) {
		struct http1_text data;
		size_t n = length - ret->consumed < step ? length - ret->consumed : step, offered = n;

		ret->r = http1_chunked_decode(&decoder, in + ret->consumed, &n, &data);
		if (ret->r < 0)
			break;
		require(n > 0 && n <= offered && inside(data, in + ret->consumed, n));
		memcpy(ret->data + ret->length, data.at, data.length);
		ret->length += data.length;
		ret->consumed += n;
	}
	ret->done = decoder.done;
}

static void fuzz_chunked(const char *in, size_t length)
{
	static const size_t steps[] = { 1, 2, 7 };
	struct decoded whole = { 0 };

	decode(in, length, length, &whole);
	require(!whole.done || (whole.consumed >= 5 && memcmp(in + whole.consumed - 2, "\r\n", 2) == 0));
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct decoded part = { 0 };

		decode(in, length, steps[i], &part);
		require(part.r == whole.r && part.done == whole.done);
		/* An error may hide octets that a slower reader had before it. */
		require(part.length == whole.length || (whole.r < 0 && part.length > whole.length));
		require(memcmp(part.data, whole.data, whole.length) == 0);
		require(part.consumed == whole.consumed || whole.r < 0);
		free(part.data);
	}
	free(whole.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	char *in;

	if (size < 2)
		return 0;
	/* Exactly as large as it is said to be, for ASan. */
	in = malloc(size - 1);
	require(in);
	memcpy(in, input + 1, size - 1);
	switch (input[0]) {
	case 'q':
		fuzz_head(in, size - 1, true);
		break;
	case 'p':
		fuzz_head(in, size - 1, false);
		break;
	case 't':
		fuzz_target(in, size - 1);
		break;
	case 'c':
		fuzz_chunked(in, size - 1);
		break;
	default:
		break;
	}
	free(in);
	return 0;
}
