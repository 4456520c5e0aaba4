/* Writes HTTP/1.1 message heads into a caller's buffer; refuses what the parser would refuse. */
#include "policy/proxy/http1.h"

#include <errno.h>
#include <string.h>

#include "policy/proxy/http1_class.h"

#define DECIMAL_MAX 20 /* digits of UINT64_MAX */

static void put(struct http1_writer *w, const char *at, size_t length)
{
	if (w->status < 0 || length == 0)
		return;
	if (length > w->room) {
		w->status = -ENOSPC;
		return;
	}
	memcpy(w->at, at, length);
	w->at += length;
	w->room -= length;
}

/* Puts a text all of whose octets must be of `class`. */
static void put_checked(struct http1_writer *w, struct http1_text text, unsigned int class)
{
	const char *end = text.at + text.length;

	if (w->status == 0 && http1_span(text.at, end, class) != end)
		w->status = -EBADMSG;
	put(w, text.at, text.length);
}

/* Puts a text that must not be empty either. */
static void put_word(struct http1_writer *w, struct http1_text text, unsigned int class)
{
	if (w->status == 0 && text.length == 0)
		w->status = -EBADMSG;
	put_checked(w, text, class);
}

static void put_decimal(struct http1_writer *w, uint64_t number)
{
	char digits[DECIMAL_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	put(w, digits + at, sizeof(digits) - at);
}

#define PUT(w, literal) put(w, literal, sizeof(literal) - 1)

void http1_write_request_line(struct http1_writer *writer, struct http1_text method, struct http1_text target)
{
	put_word(writer, method, HTTP1_TOKEN);
	PUT(writer, " ");
	put_word(writer, target, HTTP1_TARGET);
	PUT(writer, " HTTP/1.1\r\n");
}

void http1_write_status_line(struct http1_writer *writer, int status, struct http1_text reason)
{
	if (writer->status == 0 && (status < 100 || status > 999))
		writer->status = -EBADMSG;
	PUT(writer, "HTTP/1.1 ");
	put_decimal(writer, (uint64_t)status);
	PUT(writer, " ");
	put_checked(writer, reason, HTTP1_VALUE);
	PUT(writer, "\r\n");
}

static void put_field(struct http1_writer *w, struct http1_text name, struct http1_text value)
{
	put(w, name.at, name.length);
	PUT(w, ": ");
	put(w, value.at, value.length);
	PUT(w, "\r\n");
}

static bool is_listed(const char *const list[], struct http1_text name)
{
	for (; list && *list; list++) {
		if (http1_text_is(name, *list))
			return true;
	}
	return false;
}

void http1_write_fields(struct http1_writer *writer, const struct http1_head *head, const char *const skip[])
{
	for (size_t i = 0; i < head->n_fields && writer->status == 0; i++) {
		const struct http1_field *field = &head->fields[i];

		/* The parser has checked the octets. */
		if (!field->hop_by_hop && !is_listed(skip, field->name))
			put_field(writer, field->name, field->value);
	}
}

void http1_write_field(struct http1_writer *writer, const char *name, struct http1_text value)
{
	put_word(writer, http1_text_of(name), HTTP1_TOKEN);
	PUT(writer, ": ");
	put_checked(writer, value, HTTP1_VALUE);
	PUT(writer, "\r\n");
}

void http1_write_framing(struct http1_writer *writer, enum http1_framing framing, uint64_t content_length)
{
	if (framing == HTTP1_BODY_LENGTH) {
		PUT(writer, "Content-Length: ");
		put_decimal(writer, content_length);
		PUT(writer, "\r\n");
	} else if (framing == HTTP1_BODY_CHUNKED) {
		PUT(writer, "Transfer-Encoding: chunked\r\n");
	}
}

ssize_t http1_write_end(struct http1_writer *writer)
{
	PUT(writer, "\r\n");
	return writer->status < 0 ? writer->status : writer->at - writer->start;
}
