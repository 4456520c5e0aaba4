/*
 * What the fields of one HTTP/1 message say about the message itself: where its body ends (RFC 9112 section 6), whether
 * the connection goes on (section 9.3), and which fields stop here (RFC 9110 section 7.6.1). Each field that decides
 * this may come once.
 */
#include "policy/proxy/http1.h"

#include <errno.h>
#include <string.h>

#include "policy/proxy/http1_class.h"

/* Options of Connection that name fields: a bound, since each is compared with each field. */
#define OPTIONS_MAX 32

#define LENGTH_DIGITS_MAX 19 /* INT64_MAX has as many */

enum known { ORDINARY, HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, TE, UPGRADE, EXPECT, DROPPED };

static const struct {
	const char *name;
	size_t length;
	enum known known;
} known_fields[] = {
#define FIELD(name, known)                    \
	{                                     \
		name, sizeof(name) - 1, known \
	}
	FIELD("te", TE),
	FIELD("host", HOST),
	FIELD("expect", EXPECT),
	FIELD("upgrade", UPGRADE),
	FIELD("trailer", DROPPED),
	FIELD("connection", CONNECTION),
	FIELD("keep-alive", DROPPED),
	FIELD("content-length", CONTENT_LENGTH),
	FIELD("proxy-connection", DROPPED),
	FIELD("transfer-encoding", TRANSFER_ENCODING),
	FIELD("proxy-authenticate", DROPPED),
	FIELD("proxy-authorization", DROPPED),
	FIELD("proxy-authentication-info", DROPPED),
#undef FIELD
};

/* The lengths in known_fields[], one bit each: most fields are ordinary and found so at once. */
static const uint32_t known_lengths = 1U << 2 | 1U << 4 | 1U << 6 | 1U << 7 | 1U << 10 | 1U << 14 | 1U << 16 |
				      1U << 17 | 1U << 18 | 1U << 19 | 1U << 25;

struct message {
	struct http1_head *head;
	struct error *e;
	bool request;
	bool has_host;
	bool close, keep_alive, upgrade; /* options of Connection */
	const struct http1_field *transfer_encoding;
	const struct http1_field *upgrade_field;
	size_t n_options; /* the others */
	struct http1_text options[OPTIONS_MAX];
};

static enum known classify(struct http1_text name)
{
	if (name.length > 31 || !(known_lengths >> name.length & 1))
		return ORDINARY;
	for (size_t i = 0; i < sizeof(known_fields) / sizeof(known_fields[0]); i++) {
		if (known_fields[i].length == name.length && http1_same(known_fields[i].name, name.at, name.length))
			return known_fields[i].known;
	}
	return ORDINARY;
}

/* Takes the next member from a comma-separated list; it may be empty (RFC 9110 section 5.6.1.2). False at the end. */
static bool next_member(struct http1_text *list, struct http1_text *ret)
{
	const char *at = list->at, *end, *comma;

	if (!at)
		return false;
	end = at + list->length;
	comma = memchr(at, ',', list->length);
	*list = comma ? (struct http1_text){ comma + 1, (size_t)(end - comma - 1) } : (struct http1_text){ NULL, 0 };
	if (comma)
		end = comma;
	at = http1_span(at, end, HTTP1_BLANK);
	while (end > at && http1_is(end[-1], HTTP1_BLANK))
		end--;
	*ret = (struct http1_text){ at, (size_t)(end - at) };
	return true;
}

static int read_host(struct message *m, struct http1_text value)
{
	if (m->has_host)
		return error_set(m->e, EBADMSG, "it has more than one Host field; send exactly one");
	if (http1_span(value.at, value.at + value.length, HTTP1_HOST) != value.at + value.length)
		return error_set(m->e, EBADMSG, "Host is not HOST or HOST:PORT; send one name or address, in ASCII");
	m->has_host = true;
	m->head->host = value;
	return 0;
}

static int read_content_length(struct message *m, struct http1_text value)
{
	uint64_t length = 0;

	if (m->head->has_content_length)
		return error_set(m->e, EBADMSG, "it has more than one Content-Length field; send exactly one");
	if (value.length == 0 || value.length > LENGTH_DIGITS_MAX)
		return error_set(m->e, EBADMSG,
				 "Content-Length is empty or too large; send a decimal number below 2^63");
	for (size_t i = 0; i < value.length; i++) {
		if (!http1_is_digit(value.at[i]))
			return error_set(m->e, EBADMSG,
					 "Content-Length is not a decimal number; send one number, digits only");
		length = length * 10 + (uint64_t)(value.at[i] - '0');
	}
	if (length > INT64_MAX)
		return error_set(m->e, EBADMSG, "Content-Length is too large; send a decimal number below 2^63");
	m->head->has_content_length = true;
	m->head->content_length = length;
	return 0;
}

static int read_connection_option(struct message *m, struct http1_text option)
{
	enum known known = classify(option);

	if (http1_span(option.at, option.at + option.length, HTTP1_TOKEN) != option.at + option.length)
		return error_set(m->e, EBADMSG, "Connection has an option that is not a token; send a list of names");
	/*
	 * Who may remove these decides what the next reader takes the message for. Servers of a large CDN do name
	 * Transfer-Encoding; in a response that changes nothing, since it never goes further anyway.
	 */
	if (known == HOST || known == CONTENT_LENGTH || (known == TRANSFER_ENCODING && m->request))
		return error_set(m->e, EBADMSG,
				 "Connection names Host, Content-Length or Transfer-Encoding, which must stay");
	if (http1_text_is(option, "close"))
		m->close = true;
	else if (http1_text_is(option, "keep-alive"))
		m->keep_alive = true;
	else if (known == UPGRADE)
		m->upgrade = true;
	else if (option.length > 0 && (known == ORDINARY || known == EXPECT)) {
		if (m->n_options == OPTIONS_MAX)
			return error_set(m->e, EBADMSG, "Connection names more than %d fields, which is the limit",
					 OPTIONS_MAX);
		m->options[m->n_options++] = option;
	}
	return 0;
}

static int read_connection(struct message *m, struct http1_text value)
{
	struct http1_text option;

	while (next_member(&value, &option)) {
		int r = read_connection_option(m, option);

		if (r < 0)
			return r;
	}
	return 0;
}

static void read_te(struct message *m, struct http1_text value)
{
	struct http1_text coding;

	while (next_member(&value, &coding)) {
		if (http1_text_is(coding, "trailers"))
			m->head->te_trailers = true;
	}
}

static int read_upgrade(struct message *m, const struct http1_field *field)
{
	if (m->upgrade_field && m->request)
		return error_set(m->e, EBADMSG, "it has more than one Upgrade field; send one list");
	if (!m->upgrade_field)
		m->upgrade_field = field;
	return 0;
}

static int read_expect(struct message *m, struct http1_text value)
{
	if (!m->request)
		return 0;
	if (!http1_text_is(value, "100-continue"))
		return error_set(m->e, EBADMSG, "Expect is not \"100-continue\", the only expectation there is");
	m->head->expect_continue = true;
	return 0;
}

static int read_transfer_encoding(struct message *m, const struct http1_field *field)
{
	if (m->transfer_encoding)
		return error_set(m->e, EBADMSG, "it has more than one Transfer-Encoding field; send exactly one");
	m->transfer_encoding = field;
	return 0;
}

static int read_field(struct message *m, struct http1_field *field)
{
	enum known known = classify(field->name);

	field->hop_by_hop = known != ORDINARY && known != HOST && known != EXPECT;
	switch (known) {
	case HOST:
		return m->request ? read_host(m, field->value) : 0;
	case CONTENT_LENGTH:
		return read_content_length(m, field->value);
	case TRANSFER_ENCODING:
		return read_transfer_encoding(m, field);
	case CONNECTION:
		return read_connection(m, field->value);
	case TE:
		read_te(m, field->value);
		return 0;
	case UPGRADE:
		return read_upgrade(m, field);
	case EXPECT:
		return read_expect(m, field->value);
	case ORDINARY:
	case DROPPED:
		break;
	}
	return 0;
}

static void mark_named_fields(struct message *m)
{
	for (size_t i = 0; i < m->n_options; i++) {
		struct http1_text option = m->options[i];

		for (size_t j = 0; j < m->head->n_fields; j++) {
			struct http1_field *field = &m->head->fields[j];

			if (field->name.length == option.length && http1_same(field->name.at, option.at, option.length))
				field->hop_by_hop = true;
		}
	}
}

/* Reads every field; what is common to requests and responses. */
static int read_fields(struct message *m)
{
	struct http1_head *head = m->head;

	for (size_t i = 0; i < head->n_fields; i++) {
		int r = read_field(m, &head->fields[i]);

		if (r < 0)
			return r;
	}
	mark_named_fields(m);
	head->keep_alive = !m->close && (head->minor_version == 1 || m->keep_alive);
	if (m->upgrade && m->upgrade_field && head->minor_version == 1)
		head->upgrade = m->upgrade_field->value;
	return 0;
}

/* RFC 9112 section 6.1 and 6.3: framing as the fields say it. */
static int read_framing(struct message *m)
{
	struct http1_head *head = m->head;

	if (!m->transfer_encoding) {
		head->framing = head->has_content_length ? HTTP1_BODY_LENGTH : HTTP1_BODY_NONE;
		return 0;
	}
	if (head->has_content_length)
		return error_set(m->e, EBADMSG, "it has both Content-Length and Transfer-Encoding; send one of them");
	if (head->minor_version == 0)
		return error_set(m->e, EBADMSG, "it has Transfer-Encoding but is HTTP/1.0, which has none");
	if (!http1_text_is(m->transfer_encoding->value, "chunked"))
		return error_set(m->e, ENOTSUP, "Transfer-Encoding is not \"chunked\", the only coding supported");
	head->framing = HTTP1_BODY_CHUNKED;
	return 0;
}

/* An Expect that nobody shall wait for goes no further. */
static void settle_expect(struct http1_head *head)
{
	bool body = head->framing == HTTP1_BODY_CHUNKED || head->content_length > 0;

	if (!head->expect_continue || (body && head->minor_version == 1))
		return;
	head->expect_continue = false;
	for (size_t i = 0; i < head->n_fields; i++) {
		if (classify(head->fields[i].name) == EXPECT)
			head->fields[i].hop_by_hop = true;
	}
}

int http1_interpret_request(struct http1_head *head, struct error *e)
{
	struct message m = { .head = head, .e = e, .request = true };
	bool connect;
	int r;

	r = read_fields(&m);
	if (r == 0)
		r = read_framing(&m);
	if (r < 0)
		return r;
	if (!m.has_host && head->minor_version == 1)
		return error_set(e, EBADMSG, "it has no Host field, which HTTP/1.1 demands");
	connect = head->method.length == 7 && memcmp(head->method.at, "CONNECT", 7) == 0;
	if (connect && (head->framing == HTTP1_BODY_CHUNKED || head->content_length > 0))
		return error_set(e, EBADMSG,
				 "a CONNECT request has no body; send it without Transfer-Encoding and Content-Length");
	settle_expect(head);
	return 0;
}

int http1_interpret_response(struct http1_head *head, const char *request_method, struct error *e)
{
	struct message m = { .head = head, .e = e };
	bool announced;
	int r;

	r = read_fields(&m);
	if (r == 0)
		r = read_framing(&m);
	if (r < 0)
		return r;
	announced = head->framing == HTTP1_BODY_CHUNKED || head->content_length > 0;
	if (head->status < 200 && announced)
		return error_set(e, EBADMSG, "an interim (1xx) response announces a body, which it cannot have");
	if (head->framing == HTTP1_BODY_NONE)
		head->framing = HTTP1_BODY_CLOSE;
	/* A server that announces a body with 204 may well send it: then it must not be read as the next response. */
	if (head->status == 204 && announced)
		head->keep_alive = false;
	if (head->status < 200 || head->status == 204 || head->status == 304 || strcmp(request_method, "HEAD") == 0 ||
	    (strcmp(request_method, "CONNECT") == 0 && head->status < 300))
		head->framing = HTTP1_BODY_NONE;
	if (head->framing == HTTP1_BODY_CLOSE)
		head->keep_alive = false;
	return 0;
}
