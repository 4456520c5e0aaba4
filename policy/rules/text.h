/* Small questions about bytes, independent of the locale; private to policy/rules. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_SHOWN_MAX 96

/* ASCII letters and digits. */
bool text_is_alnum(char c);

/* ASCII lower case of `c`. */
char text_lower(char c);

/* True if they are equal but for the case of ASCII letters. */
bool text_same_letters(const char *a, const char *b);

bool text_is_ascii(const char *text, size_t length);

/* True for a token of RFC 9110 section 5.6.2: what a method may be. */
bool text_is_token(const char *text, size_t length);

/* The value of a hexadecimal digit, or -1. */
int text_hex(char c);

/*
 * Length in bytes of the UTF-8 character (RFC 3629) at text[0..length), and its code point in *ret_code.
 * Returns 0 for what is none.
 */
size_t text_utf8(const char *text, size_t length, uint32_t *ret_code);

/*
 * A form for messages in ret[]: control characters and bytes that are no UTF-8 as "\xHH", the end cut off with "...".
 * Returns ret.
 */
const char *text_show(const char *text, size_t length, char ret[TEXT_SHOWN_MAX]);

/* A decimal port from 1 to 65535 without leading zeros. Returns 0 or -EINVAL. */
int text_parse_port(const char *text, size_t length, uint16_t *ret);
