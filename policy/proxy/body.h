/*
 * One message body on its way from the octets of one connection to those of the other: decoded as the sender framed it,
 * framed anew for the receiver, never held whole.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/proxy/buffer.h"
#include "policy/proxy/http1.h"

struct body {
	enum http1_framing framing; /* of the input */
	bool chunk_output;
	bool done;     /* all of it is in the output, the last chunk included */
	uint64_t left; /* HTTP1_BODY_LENGTH: octets still to come */
	struct http1_chunked decoder;
};

/* Begins a body; done at once where there is nothing to come. `length` counts for HTTP1_BODY_LENGTH only. */
void body_start(struct body *body, enum http1_framing framing, uint64_t length, bool chunk_output);

/*
 * Moves what it can from `in` to `out` (NULL: to nowhere), which both have blocks. Octets after the body stay in `in`.
 * Returns 0, or -EBADMSG for a malformed chunk.
 */
int body_move(struct body *body, struct buffer *in, struct buffer *out);

/* How many octets may be read straight into the output while `in` is empty; 0 if they must go through body_move(). */
size_t body_direct(const struct body *body);

/* Says that `length` octets, at most body_direct(), were read straight into the output. */
void body_took(struct body *body, size_t length);

/*
 * The sender has ended its side and `in` is empty; `out` has a block. Returns 0 if that ends the body well (*body is
 * done then); -EAGAIN if `out` has no room for the last chunk, to be called again when it has; -ECONNRESET if something
 * is missing.
 */
int body_end(struct body *body, struct buffer *out);
