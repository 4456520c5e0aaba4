/* What the log of the test program says: a file in memory. Include it in one file of a program. */
#pragma once

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/log.h"

#define LOG_CAPTURE_MAX (1u << 20)

static int log_capture_fd = -1;

static inline void log_capture_begin(enum log_level level)
{
	log_capture_fd = memfd_create("log", MFD_CLOEXEC);
	ck_assert_int_ge(log_capture_fd, 0);
	log_open(log_capture_fd, level, LOG_FORMAT_TEXT, "test");
}

static inline void log_capture_end(void)
{
	log_open(STDERR_FILENO, LOG_LEVEL_WARN, LOG_FORMAT_TEXT, "test");
	close(log_capture_fd);
}

/* All of it so far; valid until the next call. */
static inline const char *log_captured(void)
{
	static char text[LOG_CAPTURE_MAX];
	ssize_t length = pread(log_capture_fd, text, sizeof(text) - 1, 0);

	ck_assert_int_ge(length, 0);
	text[length] = '\0';
	return text;
}

/* How many of its lines contain `part`. */
static inline unsigned log_captured_lines(const char *part)
{
	unsigned n = 0;

	for (const char *at = strstr(log_captured(), part); at; at = strstr(at, part)) {
		n++;
		at = strchr(at, '\n');
		ck_assert_ptr_nonnull(at);
	}
	return n;
}

/* The sum of the numbers that follow `key` in it. */
static inline unsigned long log_captured_sum(const char *key)
{
	unsigned long sum = 0;

	for (const char *at = strstr(log_captured(), key); at; at = strstr(at, key)) {
		at += strlen(key);
		sum += strtoul(at, NULL, 10);
	}
	return sum;
}
