/*
 * Octets on their way: fixed-size blocks that a buffer holds only while it has something in it, from a pool, so that an
 * idle connection costs none and a busy one no trip to the allocator.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "policy/proxy/http1.h"

/* Holds a message head of the largest size and what a re-serialised one may gain. */
#define BUFFER_SIZE (HTTP1_HEAD_MAX + 4096)

struct buffer_block { /* a free block */
	struct buffer_block *next;
};

struct buffer_pool {
	struct buffer_block *first;
	size_t n_free;
};

struct buffer {
	char *data;   /* BUFFER_SIZE octets, or NULL */
	size_t start; /* data[start..end) is in use */
	size_t end;
};

/* Frees the unused blocks. */
void buffer_pool_clear(struct buffer_pool *pool);

/* Makes sure the buffer has a block. Returns 0 or -ENOMEM. */
int buffer_hold(struct buffer_pool *pool, struct buffer *buffer);

/* Gives the block back, whatever is in it. */
void buffer_drop(struct buffer_pool *pool, struct buffer *buffer);

/* Gives the block back if nothing is in it. */
void buffer_drop_empty(struct buffer_pool *pool, struct buffer *buffer);

/* Moves what is in use to the front, so that all free room is behind it. */
void buffer_compact(struct buffer *buffer);

/* Appends; the caller has checked buffer_room(). */
void buffer_append(struct buffer *buffer, const char *octets, size_t length);

static inline size_t buffer_length(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

/* Room behind what is in use, in a buffer that has a block. */
static inline size_t buffer_room(const struct buffer *buffer)
{
	return BUFFER_SIZE - buffer->end;
}

static inline char *buffer_head(const struct buffer *buffer)
{
	return buffer->data + buffer->start;
}

static inline char *buffer_tail(const struct buffer *buffer)
{
	return buffer->data + buffer->end;
}

/* Forgets `length` octets at the front. */
static inline void buffer_consume(struct buffer *buffer, size_t length)
{
	buffer->start += length;
	if (buffer->start == buffer->end)
		buffer->start = buffer->end = 0;
}
