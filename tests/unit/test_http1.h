/* What the files of the http1 suite share. */
#pragma once

#include <check.h>
#include <stddef.h>

/* A constant that may hold NUL, with its length. */
#define OCTETS(s)                \
	{                        \
		s, sizeof(s) - 1 \
	}

/* For "%.*s". */
#define TEXT(t) (int)(t).length, (t).at ? (t).at : ""

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"

struct octets {
	const char *at;
	size_t length;
};

/* A heap copy of exactly `length` octets, so that ASan sees a read beyond it. The caller frees it. */
char *exact_copy(const char *at, size_t length);

/* Pseudo-random numbers, the same in each run. */
unsigned int next_random(unsigned int bound);

TCase *target_cases(void);
/* test_http1_body.c: chunked coding and writer. */
TCase *body_cases(void);
TCase *writer_cases(void);
