/*
 * What went wrong, for a person: an errno value and one sentence. Libraries return -errno and fill an
 * optional `struct error`; only the programs' mains print it.
 */
#pragma once

#include <stdarg.h>

#define ERROR_TEXT_MAX 768

struct error {
	int code;                  /* positive errno value; 0 while nothing is set */
	char text[ERROR_TEXT_MAX]; /* one or more sentences, no trailing newline; cut at the end if too long */
};

/*
 * Stores `code` (positive errno value) and the formatted text in *e, replacing what was there.
 * `e` may be NULL. Keeps errno. Returns -code, so that `return error_set(e, errno, "...")` reads well.
 */
int error_set(struct error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Like error_set(), and appends ": " and the text of `code` (strerror). */
int error_errno(struct error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * Puts "TEXT: " before what *e says, to name the place on the way up. `e` may be NULL.
 * Returns -e->code (or -EIO when `e` is NULL or empty).
 */
int error_prefix(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
