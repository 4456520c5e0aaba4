/* Pooled buffers: see buffer.h. */
#include "policy/proxy/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POOL_MAX 32 /* 2 MB at most kept for reuse */

void buffer_pool_clear(struct buffer_pool *pool)
{
	while (pool->first) {
		struct buffer_block *block = pool->first;

		pool->first = block->next;
		free(block);
	}
	pool->n_free = 0;
}

int buffer_hold(struct buffer_pool *pool, struct buffer *buffer)
{
	if (buffer->data)
		return 0;
	if (pool->first) {
		buffer->data = (char *)pool->first;
		pool->first = pool->first->next;
		pool->n_free--;
	} else {
		buffer->data = malloc(BUFFER_SIZE);
		if (!buffer->data)
			return -ENOMEM;
	}
	buffer->start = buffer->end = 0;
	return 0;
}

void buffer_drop(struct buffer_pool *pool, struct buffer *buffer)
{
	struct buffer_block *block = (void *)buffer->data;

	if (!block)
		return;
	if (pool->n_free < POOL_MAX) {
		block->next = pool->first;
		pool->first = block;
		pool->n_free++;
	} else {
		free(block);
	}
	buffer->data = NULL;
	buffer->start = buffer->end = 0;
}

void buffer_drop_empty(struct buffer_pool *pool, struct buffer *buffer)
{
	if (buffer->start == buffer->end)
		buffer_drop(pool, buffer);
}

void buffer_compact(struct buffer *buffer)
{
	size_t length = buffer_length(buffer);

	if (buffer->start == 0)
		return;
	memmove(buffer->data, buffer->data + buffer->start, length);
	buffer->start = 0;
	buffer->end = length;
}

void buffer_append(struct buffer *buffer, const char *octets, size_t length)
{
	memcpy(buffer->data + buffer->end, octets, length);
	buffer->end += length;
}
