/*
 * Scope-bound ownership: variables marked with these attributes release what they hold when they
 * go out of scope (GCC and clang `cleanup` attribute); take_fd() and take_ptr() hand it on instead.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes *fd when it is a descriptor (>= 0) and sets it to -1. Keeps errno. */
static inline void close_fd(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
		*fd = -1;
	}
}

/* Frees the heap block that the pointer at `ptr` holds. */
static inline void free_ptr(void *ptr)
{
	free(*(void **)ptr);
}

/* Closes the stream at *file, if any. */
static inline void close_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _cleanup_fd_ _cleanup_(close_fd)
#define _cleanup_free_ _cleanup_(free_ptr)
#define _cleanup_file_ _cleanup_(close_file)

/* Returns *fd and leaves -1 behind: the caller of the function now owns the descriptor. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Returns the pointer variable `p` and leaves NULL behind. */
#define take_ptr(p)                         \
	__extension__({                     \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

#define array_size(a) (sizeof(a) / sizeof((a)[0]))
