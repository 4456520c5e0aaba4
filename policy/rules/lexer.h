/* Cuts the text of a rule into KEY=VALUE words and words the complaints about them; private to policy/rules. */
#pragma once

#include <stddef.h>

#include "shared/error.h"

struct lexer {
	const char *text;
	size_t length;
	size_t at; /* the next byte to look at */
	const char *source;
	struct error *error; /* may be NULL */
};

/* Points into the rule's text. */
struct word {
	const char *key;
	size_t key_length;
	const char *value; /* behind the '='; may be empty */
	size_t value_length;
};

/*
 * Starts on `text`, which must outlive the lexer, after a check that it is UTF-8 without control characters other than
 * tab and newline. Returns 0, or -EINVAL with *e.
 */
int lexer_start(struct lexer *lexer, const char *text, const char *source, struct error *e);

/* Returns 1 with the next word; 0 at the end; -EINVAL for a word without '=' or with nothing before it. */
int lexer_next(struct lexer *lexer, struct word *ret);

/*
 * Sets the error "SOURCE: column N: expected …, found …", where `at` is a place in the rule's text and `length` the
 * bytes to quote as found (0: the end of the rule, a blank, or the one character there). The format is what was
 * expected, and after a ';' the fix. Returns -EINVAL.
 */
int lexer_error(const struct lexer *lexer, const char *at, size_t length, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Sets the error for a lack of memory. Returns -ENOMEM. */
int lexer_no_memory(const struct lexer *lexer);

/*
 * Calls `item` for each element of the comma list in `word`. Returns 0; -EINVAL for an empty element or an empty list;
 * or the first negative value that `item` returned.
 */
int lexer_list(const struct lexer *lexer, const struct word *word,
	       int (*item)(const struct lexer *lexer, const char *text, size_t length, void *user), void *user);
