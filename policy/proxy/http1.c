/* HTTP/1 message heads: where one ends, its start line, its field lines. What the fields mean: http1_fields.c. */
#include "policy/proxy/http1.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/proxy/http1_class.h"

#define EMPTY_LINES_OCTETS 8 /* four CRLF */

#define IN(c, from, to) ((c) >= (from) && (c) <= (to))
#define ALPHANUMERIC(c) (IN(c, 'a', 'z') || IN(c, 'A', 'Z') || IN(c, '0', '9'))
#define TOKEN_MARK(c)                                                                                                 \
	((c) == '!' || IN(c, '#', '\'') || (c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || IN(c, '^', '`') || \
	 (c) == '|' || (c) == '~')
#define HOST_MARK(c)                                                                                            \
	((c) == '!' || IN(c, '$', '+') || (c) == '-' || (c) == '.' || (c) == ':' || (c) == ';' || (c) == '=' || \
	 (c) == '[' || (c) == ']' || (c) == '_' || (c) == '~')
#define CLASS(c)                                                                                                   \
	((ALPHANUMERIC(c) || TOKEN_MARK(c) ? HTTP1_TOKEN : 0) |                                                    \
	 ((c) == '\t' || ((c) >= ' ' && (c) != 0x7f) ? HTTP1_VALUE : 0) | (IN(c, 0x21, 0x7e) ? HTTP1_TARGET : 0) | \
	 (ALPHANUMERIC(c) || HOST_MARK(c) ? HTTP1_HOST : 0) | ((c) == ' ' || (c) == '\t' ? HTTP1_BLANK : 0))
#define CLASS4(c) CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define CLASS16(c) CLASS4(c), CLASS4((c) + 4), CLASS4((c) + 8), CLASS4((c) + 12)
#define CLASS64(c) CLASS16(c), CLASS16((c) + 16), CLASS16((c) + 32), CLASS16((c) + 48)

const uint8_t http1_classes[256] = { CLASS64(0), CLASS64(64), CLASS64(128), CLASS64(192) };

int http1_head_end(const char *buffer, size_t length, size_t *scanned)
{
	size_t limit = length < HTTP1_HEAD_MAX ? length : HTTP1_HEAD_MAX;
	size_t at = *scanned;

	while (at < limit) {
		at = (size_t)(http1_span(buffer + at, buffer + limit, HTTP1_VALUE) - buffer);
		if (at == limit)
			break;
		if (buffer[at] != '\r' || at == 0)
			return -EBADMSG;
		/* A CR at the end of what has come is looked at again with its successor. */
		if (at + 1 == limit)
			break;
		if (buffer[at + 1] != '\n')
			return -EBADMSG;
		at += 2;
		if (buffer[at - 3] == '\n')
			return (int)at;
	}
	*scanned = at;
	return limit == HTTP1_HEAD_MAX ? -E2BIG : 0;
}

size_t http1_skip_empty_lines(const char *buffer, size_t length)
{
	size_t at = 0;

	while (at < EMPTY_LINES_OCTETS && at + 2 <= length && buffer[at] == '\r' && buffer[at + 1] == '\n')
		at += 2;
	return at;
}

/* True if a CRLF is at `at`. */
static bool at_line_end(const char *at, const char *end)
{
	return end - at >= 2 && at[0] == '\r' && at[1] == '\n';
}

static struct http1_text text_between(const char *from, const char *to)
{
	return (struct http1_text){ from, (size_t)(to - from) };
}

/* Why the name of field `number`, which begins at `name` and whose token ends at `at`, is none. */
static int refuse_name(struct error *e, size_t number, const char *name, const char *at, const char *end)
{
	if (at == end)
		return error_set(e, EBADMSG, "the head ends within field line %zu", number);
	if (at == name && http1_is(*at, HTTP1_BLANK))
		return error_set(
			e, EBADMSG,
			"field line %zu begins with a blank (line folding is obsolete); send each field in one line",
			number);
	if (at == name && *at == ':')
		return error_set(e, EBADMSG, "field line %zu has no name before its colon", number);
	if (http1_is(*at, HTTP1_BLANK))
		return error_set(e, EBADMSG,
				 "field line %zu has a blank in or after its name; the colon follows the name", number);
	if (*at == '\r')
		return error_set(e, EBADMSG, "field line %zu has no colon", number);
	return error_set(e, EBADMSG, "the name in field line %zu has the octet 0x%02x, which names may not hold",
			 number, (unsigned char)*at);
}

static int refuse_octet(struct error *e, const char *place, const char *at, const char *end)
{
	if (at == end || (*at == '\r' && at + 1 == end))
		return error_set(e, EBADMSG, "the head ends within %s", place);
	if (*at == '\r')
		return error_set(e, EBADMSG, "%s has a CR without LF; lines end with CRLF", place);
	if (*at == '\n')
		return error_set(e, EBADMSG, "%s has a LF without CR; lines end with CRLF", place);
	return error_set(e, EBADMSG, "%s has the octet 0x%02x, which is not allowed there", place, (unsigned char)*at);
}

/* Parses the field line at *at and leaves *at behind its CRLF. `number` counts from 1. */
static int parse_field(const char **at, const char *end, size_t number, struct http1_field *ret, struct error *e)
{
	const char *name = *at, *value, *stop, *line_end;

	stop = http1_span(name, end, HTTP1_TOKEN);
	if (stop == end || stop == name || *stop != ':')
		return refuse_name(e, number, name, stop, end);
	ret->name = text_between(name, stop);
	ret->hop_by_hop = false;
	value = http1_span(stop + 1, end, HTTP1_BLANK);
	line_end = http1_span(value, end, HTTP1_VALUE);
	if (!at_line_end(line_end, end)) {
		char place[32];

		snprintf(place, sizeof(place), "field line %zu", number);
		return refuse_octet(e, place, line_end, end);
	}
	stop = line_end;
	while (stop > value && http1_is(stop[-1], HTTP1_BLANK))
		stop--;
	ret->value = text_between(value, stop);
	*at = line_end + 2;
	return 0;
}

/* The field lines and the empty line, which must be the last octets. */
static int parse_fields(const char *at, const char *end, struct http1_head *head, struct error *e)
{
	size_t n = 0;

	while (!at_line_end(at, end)) {
		int r;

		if (n == HTTP1_FIELDS_MAX)
			return error_set(e, E2BIG, "the head has more than %d fields, which is the limit",
					 HTTP1_FIELDS_MAX);
		r = parse_field(&at, end, n + 1, &head->fields[n], e);
		if (r < 0)
			return r;
		n++;
	}
	if (at + 2 != end)
		return error_set(e, EBADMSG, "the head has an empty line before its end");
	head->n_fields = n;
	return 0;
}

/* Everything but start line and fields to its initial value; fields[] is left alone. */
static void clear_head(struct http1_head *head)
{
	head->minor_version = 0;
	head->method = head->target = head->reason = head->host = head->upgrade = (struct http1_text){ NULL, 0 };
	head->status = 0;
	head->n_fields = 0;
	head->framing = HTTP1_BODY_NONE;
	head->has_content_length = false;
	head->content_length = 0;
	head->keep_alive = head->expect_continue = head->te_trailers = false;
}

/* "HTTP/1.0" or "HTTP/1.1" at `at`: returns the minor version, -1 if it is neither. */
static int parse_version(const char *at, const char *end)
{
	if (end - at < 8 || memcmp(at, "HTTP/1.", 7) != 0 || (at[7] != '0' && at[7] != '1'))
		return -1;
	return at[7] - '0';
}

/* "METHOD SP TARGET SP VERSION CRLF" (RFC 9112 section 3). */
static int parse_request_line(const char **at, const char *end, struct http1_head *head, struct error *e)
{
	const char *method = *at, *target, *version, *stop;

	stop = http1_span(method, end, HTTP1_TOKEN);
	if (stop == method || stop == end || *stop != ' ')
		return error_set(e, EBADMSG, "the request line does not begin with a method and one space");
	head->method = text_between(method, stop);
	target = stop + 1;
	stop = http1_span(target, end, HTTP1_TARGET);
	if (stop == target || stop == end || *stop != ' ')
		return error_set(e, EBADMSG,
				 "the request target is empty or has an octet that must be percent-encoded, "
				 "or is not followed by one space");
	head->target = text_between(target, stop);
	version = stop + 1;
	head->minor_version = parse_version(version, end);
	if (head->minor_version < 0 || !at_line_end(version + 8, end))
		return error_set(e, EBADMSG, "the request line does not end with HTTP/1.1 or HTTP/1.0 and CRLF");
	*at = version + 10;
	return 0;
}

/* "VERSION SP STATUS [ SP REASON ] CRLF" (RFC 9112 section 4; servers are known to leave out the second space). */
static int parse_status_line(const char **at, const char *end, struct http1_head *head, struct error *e)
{
	const char *status, *reason, *stop;

	head->minor_version = parse_version(*at, end);
	if (head->minor_version < 0 || end - *at < 14 || (*at)[8] != ' ')
		return error_set(e, EBADMSG, "the status line does not begin with HTTP/1.1 or HTTP/1.0 and one space");
	status = *at + 9;
	if (status[0] < '1' || status[0] > '9' || !http1_is_digit(status[1]) || !http1_is_digit(status[2]) ||
	    (status[3] != ' ' && status[3] != '\r'))
		return error_set(e, EBADMSG, "the status is not a number from 100 to 999");
	head->status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
	reason = status[3] == ' ' ? status + 4 : status + 3;
	stop = http1_span(reason, end, HTTP1_VALUE);
	if (!at_line_end(stop, end))
		return refuse_octet(e, "the status line", stop, end);
	head->reason = text_between(reason, stop);
	*at = stop + 2;
	return 0;
}

int http1_parse_request(const char *buffer, size_t length, struct http1_head *ret, struct error *e)
{
	const char *at = buffer, *end = buffer + length;
	int r;

	clear_head(ret);
	r = parse_request_line(&at, end, ret, e);
	if (r == 0)
		r = parse_fields(at, end, ret, e);
	if (r == 0)
		r = http1_interpret_request(ret, e);
	if (r < 0)
		error_prefix(e, "HTTP request refused");
	return r;
}

void http1_glimpse_request(const char *buffer, size_t length, struct http1_text *ret_method,
			   struct http1_text *ret_target)
{
	const char *end = buffer + length, *target, *stop;

	*ret_method = *ret_target = (struct http1_text){ NULL, 0 };
	stop = http1_span(buffer, end, HTTP1_TOKEN);
	if (stop == end || *stop != ' ')
		return;
	*ret_method = text_between(buffer, stop);
	target = stop + 1;
	stop = http1_span(target, end, HTTP1_TARGET);
	if (stop == end || *stop == ' ')
		*ret_target = text_between(target, stop);
}

int http1_parse_response(const char *buffer, size_t length, const char *request_method, struct http1_head *ret,
			 struct error *e)
{
	const char *at = buffer, *end = buffer + length;
	int r;

	clear_head(ret);
	r = parse_status_line(&at, end, ret, e);
	if (r == 0)
		r = parse_fields(at, end, ret, e);
	if (r == 0)
		r = http1_interpret_response(ret, request_method, e);
	if (r < 0)
		error_prefix(e, "HTTP response refused");
	return r;
}

bool http1_text_is(struct http1_text a, const char *b)
{
	size_t length = strlen(b);

	return a.length == length && http1_same(a.at, b, length);
}

const struct http1_field *http1_find(const struct http1_head *head, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < head->n_fields; i++) {
		const struct http1_text *text = &head->fields[i].name;

		if (text->length == length && http1_same(text->at, name, length))
			return &head->fields[i];
	}
	return NULL;
}
