/* Bodies from one framing to another: see body.h. */
#include "policy/proxy/body.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define CHUNK_OVERHEAD 64 /* a chunk's size line, its CRLF and the last chunk fit in here */
#define LAST_CHUNK "0\r\n\r\n"

void body_start(struct body *body, enum http1_framing framing, uint64_t length, bool chunk_output)
{
	*body = (struct body){ .framing = framing, .chunk_output = chunk_output, .left = length };
	body->done = framing == HTTP1_BODY_NONE || (framing == HTTP1_BODY_LENGTH && length == 0);
}

static void put_data(const struct body *body, struct buffer *out, const char *data, size_t length)
{
	char header[20];

	if (!out || length == 0)
		return;
	if (!body->chunk_output) {
		buffer_append(out, data, length);
		return;
	}
	buffer_append(out, header, http1_chunk_header(length, header));
	buffer_append(out, data, length);
	buffer_append(out, "\r\n", 2);
}

static void finish(struct body *body, struct buffer *out)
{
	if (out && body->chunk_output)
		buffer_append(out, LAST_CHUNK, strlen(LAST_CHUNK));
	body->done = true;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

int body_move(struct body *body, struct buffer *in, struct buffer *out)
{
	while (!body->done && buffer_length(in) > 0) {
		size_t room = out ? buffer_room(out) : SIZE_MAX;
		size_t length = buffer_length(in);
		struct http1_text data;

		if (room <= CHUNK_OVERHEAD)
			return 0;
		length = min_size(length, room - CHUNK_OVERHEAD);
		if (body->framing == HTTP1_BODY_CHUNKED) {
			int status = http1_chunked_decode(&body->decoder, buffer_head(in), &length, &data);

			if (status < 0)
				return status;
		} else {
			if (body->framing == HTTP1_BODY_LENGTH && length > body->left)
				length = (size_t)body->left;
			data = (struct http1_text){ buffer_head(in), length };
			body->left -= body->framing == HTTP1_BODY_LENGTH ? length : 0;
		}
		put_data(body, out, data.at, data.length);
		buffer_consume(in, length);
		if (body->framing == HTTP1_BODY_CHUNKED ? body->decoder.done
							: body->framing == HTTP1_BODY_LENGTH && body->left == 0)
			finish(body, out);
	}
	return 0;
}

size_t body_direct(const struct body *body)
{
	if (body->done || body->chunk_output || body->framing == HTTP1_BODY_CHUNKED)
		return 0;
	if (body->framing == HTTP1_BODY_LENGTH && body->left < SIZE_MAX)
		return (size_t)body->left;
	return SIZE_MAX;
}

void body_took(struct body *body, size_t length)
{
	if (body->framing != HTTP1_BODY_LENGTH)
		return;
	body->left -= length;
	body->done = body->left == 0;
}

int body_end(struct body *body, struct buffer *out)
{
	if (body->done)
		return 0;
	if (body->framing != HTTP1_BODY_CLOSE)
		return -ECONNRESET;
	if (body->chunk_output && buffer_room(out) < strlen(LAST_CHUNK)) {
		buffer_compact(out);
		if (buffer_room(out) < strlen(LAST_CHUNK))
			return -EAGAIN;
	}
	finish(body, out);
	return 0;
}
