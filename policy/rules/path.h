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
 * True if the raw path has nothing that only some servers take out or refuse: it begins with '/', has no empty inner
 * segment, no `.` or `..` (in any encoding, behind an encoded slash, or followed by `;` parameters), no backslash, NUL,
 * raw blank or control character, no overlong UTF-8, and no percent sign without two hexadecimal digits. Servers that
 * read it differently all the same are what path_pattern_may_match() is for.
 */
bool path_is_normal(const char *path);

/*
 * For allow rules: true if `path`, which path_is_normal(), matches as RULES says. A `*` before the last segment takes
 * no segment that is two or none to other servers: one with an encoded slash, or that begins with its parameters.
 */
bool path_pattern_matches(const struct path_pattern *pattern, const char *path);

/*
 * For deny rules: true if `path`, which path_is_normal(), matches in any way in which servers read it: encoded slashes
 * separate (in the pattern, too) or do not, `;` parameters are dropped or are not, empty segments that come of that are
 * dropped or are not, and a final slash is all the same. True also where path_pattern_matches().
 */
bool path_pattern_may_match(const struct path_pattern *pattern, const char *path);
