/*
 * HTTP/1.0 and 1.1 message syntax (RFC 9110, RFC 9112), strict: what two parsers could read in two ways is an error.
 * Works on the caller's buffer; nothing is copied or allocated. Output is written afresh from what was parsed, never
 * passed through.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/error.h"

#define HTTP1_HEAD_MAX 65536 /* octets of a message head, start line to empty line */
#define HTTP1_FIELDS_MAX 128

struct http1_text {
	const char *at; /* borrowed from the parsed buffer; not NUL-terminated */
	size_t length;
};

struct http1_field {
	struct http1_text name;
	struct http1_text value; /* without surrounding blanks */
	/*
	 * Not to be forwarded (RFC 9110 section 7.6.1): Connection and what it names, Keep-Alive, Proxy-Connection,
	 * Proxy-Authenticate, Proxy-Authorization, Proxy-Authentication-Info, TE, Transfer-Encoding, Upgrade. Also
	 * Content-Length, which http1_write_framing() writes; Trailer, as trailer fields are dropped; and an Expect
	 * that is to be ignored.
	 */
	bool hop_by_hop;
};

enum http1_framing {
	HTTP1_BODY_NONE,
	HTTP1_BODY_LENGTH, /* content_length octets, which may be 0 */
	HTTP1_BODY_CHUNKED,
	HTTP1_BODY_CLOSE /* responses only: until the connection ends */
};

/*
 * About 5 KB, of which only the first n_fields fields are ever written. Keep it in the connection's own struct: as an
 * automatic variable the build's -ftrivial-auto-var-init=zero clears it each time.
 */
struct http1_head {
	int minor_version;        /* 0 or 1 */
	struct http1_text method; /* requests */
	struct http1_text target; /* requests: octets 0x21 to 0x7e; see http1_parse_target() */
	int status;               /* responses: 100 to 999 */
	struct http1_text reason; /* responses: may be empty */

	size_t n_fields;
	struct http1_field fields[HTTP1_FIELDS_MAX];

	enum http1_framing framing;
	bool has_content_length; /* also where no body follows: the response to HEAD, 304 */
	uint64_t content_length; /* at most INT64_MAX; 0 without Content-Length */
	/*
	 * May another message follow on this connection, as far as the message tells (RFC 9112 section 9.3)? HTTP/1.0
	 * with "Connection: keep-alive" may. Never with HTTP1_BODY_CLOSE.
	 */
	bool keep_alive;
	bool expect_continue;      /* HTTP/1.1 requests with a body: Expect: 100-continue */
	struct http1_text host;    /* requests: Host's value; length 0 if absent (HTTP/1.0) or empty */
	struct http1_text upgrade; /* HTTP/1.1: Upgrade's value when Connection names it; length 0 if none */
	bool te_trailers;          /* requests: TE contains "trailers" */
};

enum http1_form { HTTP1_FORM_ORIGIN, HTTP1_FORM_ABSOLUTE, HTTP1_FORM_AUTHORITY, HTTP1_FORM_ASTERISK };

struct http1_target {
	enum http1_form form;
	bool https;                  /* absolute form: the scheme */
	struct http1_text authority; /* absolute and authority form: "HOST[:PORT]", no userinfo, not yet normalised */
	/*
	 * Without the query; "/" (a constant) when an absolute target has none; "*" in asterisk form and for OPTIONS
	 * with an absolute target without a path (RFC 9112 section 3.2.4); empty in authority form.
	 */
	struct http1_text path;
	struct http1_text path_and_query; /* what an origin server is asked for */
};

/* The NUL-terminated `s` as a text. */
static inline struct http1_text http1_text_of(const char *s)
{
	return (struct http1_text){ s, __builtin_strlen(s) };
}

/*
 * Looks for the end of a message head in buffer[0..length). `*scanned` (0 at the start of each message) remembers how
 * far the last call came, so that a slow sender costs linear time; the octets before it must not change between calls.
 * A head does not begin with an empty line: see http1_skip_empty_lines(). Returns the head's length with its final
 * empty line; 0 if more is needed; -EBADMSG for a LF without CR, a CR without LF, a forbidden control octet or an empty
 * line at the start; -E2BIG over HTTP1_HEAD_MAX.
 */
int http1_head_end(const char *buffer, size_t length, size_t *scanned);

/* How many octets of CRLF pairs begin the buffer (RFC 9112 section 2.2: a server ignores at least one; at most 4 here).
 */
size_t http1_skip_empty_lines(const char *buffer, size_t length);

/*
 * Parses a complete head of `length` octets (from http1_head_end()). Requests: exactly one Host in HTTP/1.1;
 * Transfer-Encoding only "chunked", only in HTTP/1.1 and never with Content-Length; Expect only "100-continue"; CONNECT
 * has no body. The buffer must outlive *ret, which points into it. Returns 0, or with *ret undefined and a reason in *e
 * that suits an error page: -EBADMSG (400), -E2BIG (more than HTTP1_FIELDS_MAX fields: 431), -ENOTSUP (a transfer
 * coding other than chunked: 501).
 */
int http1_parse_request(const char *buffer, size_t length, struct http1_head *ret, struct error *e);

/*
 * What can be read of the request line at the front of a head that is refused, for the record of it. Each is empty
 * where it cannot be read: a method that no space follows, a target with octets that it may not hold.
 */
void http1_glimpse_request(const char *buffer, size_t length, struct http1_text *ret_method,
			   struct http1_text *ret_target);

/*
 * http1_parse_request() for a response; `request_method` decides about the body (RFC 9112 section 6.3): none after
 * HEAD, 1xx, 204, 304 and 2xx after CONNECT. Content-Length twice, or with Transfer-Encoding, is an error here too.
 * Every error is a 502.
 */
int http1_parse_response(const char *buffer, size_t length, const char *request_method, struct http1_head *ret,
			 struct error *e);

/*
 * Splits a request target. `method` matters for CONNECT (authority form with a port, nothing else) and OPTIONS (may be
 * "*"). Returns 0, or -EBADMSG with *e and *ret untouched: octets outside 0x21 to 0x7e, a fragment ('#'), userinfo, a
 * scheme other than http and https, an absolute target with a query but no path.
 */
int http1_parse_target(struct http1_text method, struct http1_text target, struct http1_target *ret, struct error *e);

/* First field of that name (case-insensitive), or NULL. */
const struct http1_field *http1_find(const struct http1_head *head, const char *name);

/* True if a and the NUL-terminated b are equal without regard to ASCII case. */
bool http1_text_is(struct http1_text a, const char *b);

/* Decoder of the chunked transfer coding (RFC 9112 section 7.1). Zero-initialise; one for each body. */
struct http1_chunked {
	uint64_t left;           /* octets of the current chunk still to come */
	unsigned int extensions; /* octets of chunk extensions so far */
	unsigned int trailers;   /* octets of the trailer section so far */
	unsigned char state;
	unsigned char digits; /* of the current chunk size */
	bool done;            /* the last chunk and the trailer section have been read */
};

/*
 * Takes octets of a chunked body from in[0..*length). Sets *length to the octets consumed and *ret_data to a run of
 * body octets inside `in` (length 0 if the consumed octets were framing only); call again with the rest. Consumes at
 * least one octet of a non-empty input until decoder->done, then none: what follows belongs to the next message.
 * Trailer fields are checked and dropped, at most 8 KiB of them; chunk extensions are skipped, at most 4 KiB of them a
 * body. Returns 0, or -EBADMSG for anything but strict syntax; then the connection is to be closed and the decoder not
 * used again.
 */
int http1_chunked_decode(struct http1_chunked *decoder, const char *in, size_t *length, struct http1_text *ret_data);

/* Writes "SIZE CRLF" of a chunk of `size` octets (> 0) to ret[20]; the caller adds data and CRLF. Returns its length.
 */
size_t http1_chunk_header(uint64_t size, char ret[20]);

/*
 * Appends message heads to a caller's buffer. Errors stick: write everything, then look at what http1_write_end()
 *returns. What the parser would refuse (CR, LF, NUL … in any part) is not written, whoever it comes from.
 *
 *	struct http1_writer w = http1_writer_to(buffer, sizeof(buffer));
 *	http1_write_request_line(&w, head->method, target.path_and_query);
 *	http1_write_field(&w, "Host", http1_text_of(host));
 *	http1_write_fields(&w, head, (const char *const[]){ "Host", NULL });
 *	http1_write_framing(&w, head->framing, head->content_length);
 *	length = http1_write_end(&w);
 *
 * A response that has no body although it has Content-Length (HEAD, 304) is forwarded with
 * http1_write_framing(&w, HTTP1_BODY_LENGTH, head->content_length) if has_content_length; 1xx and 204 never are.
 */
struct http1_writer {
	char *start; /* the caller's buffer */
	char *at;    /* where the next octet goes */
	size_t room; /* octets left */
	int status;  /* 0, -ENOSPC or -EBADMSG */
};

static inline struct http1_writer http1_writer_to(char *buffer, size_t size)
{
	return (struct http1_writer){ .start = buffer, .at = buffer, .room = size };
}

/* "METHOD TARGET HTTP/1.1": RFC 9112 section 3. */
void http1_write_request_line(struct http1_writer *writer, struct http1_text method, struct http1_text target);

/* "HTTP/1.1 STATUS REASON", also for clients that speak HTTP/1.0 (RFC 9110 section 6.2). `reason` may be empty. */
void http1_write_status_line(struct http1_writer *writer, int status, struct http1_text reason);

/*
 * The fields of a parsed head in their order, except those marked hop_by_hop and those named in `skip`
 * (case-insensitive, ended by NULL; NULL: none).
 */
void http1_write_fields(struct http1_writer *writer, const struct http1_head *head, const char *const skip[]);

/* One field. `name` must be a token. */
void http1_write_field(struct http1_writer *writer, const char *name, struct http1_text value);

/*
 * The framing field: Content-Length for HTTP1_BODY_LENGTH, "Transfer-Encoding: chunked" for HTTP1_BODY_CHUNKED, nothing
 * for the others.
 */
void http1_write_framing(struct http1_writer *writer, enum http1_framing framing, uint64_t content_length);

/* The empty line. Returns the head's length; -ENOSPC if it did not fit; -EBADMSG if a part was not writable. */
ssize_t http1_write_end(struct http1_writer *writer);
