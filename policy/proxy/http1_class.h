/* Private to http1_*.c: octet classes and small text helpers, inline because they run once an octet. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/proxy/http1.h"

enum http1_class {
	HTTP1_TOKEN = 1 << 0, /* tchar (RFC 9110 section 5.6.2) */
	HTTP1_VALUE = 1 << 1, /* in a field value or reason phrase: VCHAR, SP, HTAB, obs-text; all that a head may hold
				 but CRLF */
	HTTP1_TARGET =
		1
		<< 2, /* in a request target: 0x21 to 0x7e; looser than RFC 3986, which common clients are not up to */
	HTTP1_HOST = 1 << 3, /* uri-host [ ":" port ] (RFC 3986 section 3.2) without the comma: no lists, no userinfo */
	HTTP1_BLANK = 1 << 4, /* SP, HTAB */
};

extern const uint8_t http1_classes[256];

static inline bool http1_is(char c, unsigned int class)
{
	return http1_classes[(unsigned char)c] & class;
}

static inline bool http1_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline unsigned char http1_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : (unsigned char)c;
}

/* Case-insensitive equality of `length` octets. */
static inline bool http1_same(const char *a, const char *b, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (a[i] != b[i] && http1_lower(a[i]) != http1_lower(b[i]))
			return false;
	}
	return true;
}

/* The first octet of at[0..end) that is not of `class`, or `end`. */
static inline const char *http1_span(const char *at, const char *end, unsigned int class)
{
	while (at < end && http1_is(*at, class))
		at++;
	return at;
}

/* Fixes what one message means once its fields are split: framing, persistence, hop-by-hop fields. See http1_fields.c.
 */
int http1_interpret_request(struct http1_head *head, struct error *e);
int http1_interpret_response(struct http1_head *head, const char *request_method, struct error *e);
