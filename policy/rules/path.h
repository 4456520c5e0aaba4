/* Path patterns and the normal form of request paths; private to policy/rules. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "policy/rules/lexer.h"

/* Percent-decoded segments; none at all matches every path in normal form. */
struct path_pattern {
	size_t n_segments;
	char **segments; /* owned, as are the strings; NULL stands for `*` */
};

/* Parses text[0..length), a part of the lexer's rule. Returns 0; -EINVAL or -ENOMEM with the lexer's error set. */
int path_pattern_parse(const struct lexer *lexer, const char *text, size_t length, struct path_pattern *ret);

void path_pattern_clear(struct path_pattern *pattern);

/*
 * True if every server reads the raw path the same way: it begins with '/', has no empty inner segment, no `.` or `..`
 * (in any encoding, behind an encoded slash, or followed by `;` parameters), no backslash, NUL, raw blank or control
 * character, and no percent sign without two hexadecimal digits.
 */
bool path_is_normal(const char *path);

/* True if `path`, which path_is_normal(), matches. */
bool path_pattern_matches(const struct path_pattern *pattern, const char *path);
