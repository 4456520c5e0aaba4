/*
 * Host patterns of the `domain` key, in canonical form: lower-case A-labels and `*` joined by dots. The first `*` label
 * stands for one or more labels if it is the leftmost, any other for exactly one. Private to policy/rules.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "policy/rules/lexer.h"

/*
 * Parses the pattern text[0..length), a part of the lexer's rule. Returns 0 with *ret to be freed by free(3); -EINVAL
 * or -ENOMEM with the lexer's error set.
 */
int domain_parse(const struct lexer *lexer, const char *text, size_t length, char **ret);

/* True if the canonical `host` (host_normalise()) matches the canonical pattern. The index gives the same answer
 * faster. */
bool domain_matches(const char *pattern, const char *host);

/* Splits the last label off name[0..*length): returns it, with its length, and shortens *length to what is before its
 * dot. */
const char *domain_last_label(const char *name, size_t *length, size_t *ret_label_length);
