/* System calls that the command's filter must refuse, and with which error: any other outcome is not the filter's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ATTEMPT_HIGH_BIT (UINT64_C(1) << 32) /* above an int argument, where the kernel does not look */

struct attempt {
	const char *what;
	int (*try)(void); /* returns 0 when it got through, else the errno value; run in a child of its own */
	int expected;
};

/* Tries each in a child and reports it (tap.h). */
void attempt_all(const struct attempt *attempts, size_t n);

/* errno if `result` is negative, else 0. */
int attempt_errno(long result);

/* Sockets of every kind; the calls of the i386 ABI that any process of an x86-64 kernel can make. */
void attempt_sockets(void);
void attempt_i386(void);
