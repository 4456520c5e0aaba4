/*
 * The chunked transfer coding (RFC 9112 section 7.1), strict: hexadecimal digits, then CRLF or an extension at once;
 * CRLF after each chunk; a trailer section of field lines. Fed in any pieces, it keeps no octets, only counts.
 */
#include "policy/proxy/http1.h"

#include <errno.h>

#include "policy/proxy/http1_class.h"

#define DIGITS_MAX 16
#define EXTENSIONS_MAX 4096
#define TRAILERS_MAX 8192

/* The state says what comes next. 0 is the initial one. */
enum {
	SIZE,
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_START, /* a field line or the final empty line */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	FINAL_LF,
};

static int hex_value(char c)
{
	if (http1_is_digit(c))
		return c - '0';
	c = (char)http1_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One octet of a size line: digits, then CR or ';' directly. */
static int take_size(struct http1_chunked *d, char c)
{
	int value = hex_value(c);

	if (value < 0) {
		if (d->digits == 0 || (c != '\r' && c != ';'))
			return -EBADMSG;
		d->state = c == '\r' ? SIZE_LF : EXTENSION;
		d->extensions += c == ';';
		return d->extensions > EXTENSIONS_MAX ? -EBADMSG : 0;
	}
	if (d->digits == DIGITS_MAX || d->left > INT64_MAX >> 4)
		return -EBADMSG;
	d->digits++;
	d->left = d->left << 4 | (uint64_t)value;
	return 0;
}

static int take_extension(struct http1_chunked *d, char c)
{
	if (c == '\r') {
		d->state = SIZE_LF;
		return 0;
	}
	return http1_is(c, HTTP1_VALUE) && ++d->extensions <= EXTENSIONS_MAX ? 0 : -EBADMSG;
}

/* A line end that leads to `next`. */
static int take_lf(struct http1_chunked *d, char c, unsigned char next)
{
	d->state = next;
	return c == '\n' ? 0 : -EBADMSG;
}

/* One octet of the trailer section. */
static int take_trailer(struct http1_chunked *d, char c)
{
	if (++d->trailers > TRAILERS_MAX)
		return -EBADMSG;
	switch (d->state) {
	case TRAILER_START:
		d->state = c == '\r' ? FINAL_LF : TRAILER_NAME;
		return c == '\r' || http1_is(c, HTTP1_TOKEN) ? 0 : -EBADMSG;
	case TRAILER_NAME:
		if (c == ':')
			d->state = TRAILER_VALUE;
		return c == ':' || http1_is(c, HTTP1_TOKEN) ? 0 : -EBADMSG;
	case TRAILER_VALUE:
		if (c == '\r')
			d->state = TRAILER_LF;
		return c == '\r' || http1_is(c, HTTP1_VALUE) ? 0 : -EBADMSG;
	case TRAILER_LF:
		return take_lf(d, c, TRAILER_START);
	default:
		d->done = c == '\n';
		return d->done ? 0 : -EBADMSG;
	}
}

/* One octet of anything but data. */
static int take_framing(struct http1_chunked *d, char c)
{
	switch (d->state) {
	case SIZE:
		return take_size(d, c);
	case EXTENSION:
		return take_extension(d, c);
	case SIZE_LF:
		return take_lf(d, c, d->left > 0 ? DATA : TRAILER_START);
	case DATA_CR:
		d->state = DATA_LF;
		return c == '\r' ? 0 : -EBADMSG;
	case DATA_LF:
		d->digits = 0;
		return take_lf(d, c, SIZE);
	default:
		return take_trailer(d, c);
	}
}

int http1_chunked_decode(struct http1_chunked *decoder, const char *in, size_t *length, struct http1_text *ret_data)
{
	size_t available = *length, at = 0;

	*ret_data = (struct http1_text){ in, 0 };
	while (at < available && !decoder->done && decoder->state != DATA) {
		int r = take_framing(decoder, in[at++]);

		if (r < 0)
			return r;
	}
	if (decoder->state == DATA) {
		size_t run = available - at < decoder->left ? available - at : (size_t)decoder->left;

		*ret_data = (struct http1_text){ in + at, run };
		decoder->left -= run;
		if (decoder->left == 0)
			decoder->state = DATA_CR;
		at += run;
	}
	*length = at;
	return 0;
}

size_t http1_chunk_header(uint64_t size, char ret[20])
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;
	int shift = 60;

	while (shift > 0 && size >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		ret[n++] = hex[size >> shift & 15];
	ret[n++] = '\r';
	ret[n++] = '\n';
	return n;
}
