/* Words of a rule: see lexer.h. */
#include "policy/rules/lexer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "policy/rules/text.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Counted in characters, as an editor does; the text before `at` is UTF-8. */
static size_t column_of(const struct lexer *lexer, const char *at)
{
	size_t column = 1;

	for (const char *p = lexer->text; p < at; p++) {
		if (((unsigned char)*p & 0xc0) != 0x80)
			column++;
	}
	/* `at` is the start of a character: bytes that continue one were not counted. */
	return column;
}

static void describe_found(const struct lexer *lexer, const char *at, size_t length, char *ret, size_t size)
{
	const char *end = lexer->text + lexer->length;
	char shown[TEXT_SHOWN_MAX];
	uint32_t code;

	if (at == end) {
		snprintf(ret, size, "the end of the rule");
		return;
	}
	if (length == 0 && is_blank(*at)) {
		snprintf(ret, size, "a blank");
		return;
	}
	if (length == 0) {
		length = text_utf8(at, (size_t)(end - at), &code);
		if (length == 0)
			length = 1;
	}
	snprintf(ret, size, "'%s'", text_show(at, length, shown));
}

int lexer_error(const struct lexer *lexer, const char *at, size_t length, const char *format, ...)
{
	char found[TEXT_SHOWN_MAX + 2];
	char expected[ERROR_TEXT_MAX];
	const char *hint;
	va_list args;

	describe_found(lexer, at, length, found, sizeof(found));
	va_start(args, format);
	vsnprintf(expected, sizeof(expected), format, args);
	va_end(args);
	hint = strchr(expected, ';');
	return error_set(lexer->error, EINVAL, "%s: column %zu: expected %.*s, found %s%s", lexer->source,
			 column_of(lexer, at), hint ? (int)(hint - expected) : (int)strlen(expected), expected, found,
			 hint ? hint : "");
}

int lexer_no_memory(const struct lexer *lexer)
{
	return error_set(lexer->error, ENOMEM, "%s: out of memory", lexer->source);
}

int lexer_start(struct lexer *lexer, const char *text, const char *source, struct error *e)
{
	*lexer = (struct lexer){ .text = text, .length = strlen(text), .source = source ? source : "rule", .error = e };

	for (size_t i = 0; i < lexer->length;) {
		uint32_t code;
		size_t size = text_utf8(text + i, lexer->length - i, &code);

		if (size == 0)
			return lexer_error(lexer, text + i, 1, "UTF-8; in a path, write other bytes as %%HH");
		if ((code < 0x20 || (code >= 0x7f && code < 0xa0)) && !is_blank(text[i]))
			return lexer_error(lexer, text + i, size,
					   "no control characters; separate keys by a space, a tab or a newline");
		i += size;
	}
	return 0;
}

/* A word without '=' is often a value whose key was forgotten. `length` is its length; lexer->at is behind it. */
static int missing_equals(const struct lexer *lexer, const char *at, size_t length)
{
	const char *next = at + length + strspn(at + length, " \t\n");
	const char *key = "domain";
	char shown[TEXT_SHOWN_MAX];

	if (*next == '=')
		return lexer_error(lexer, at, length, "KEY=VALUE; leave the blank before the '=' out");
	if (at[0] == '/')
		key = "path";
	else if (length == strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
		key = "method";
	return lexer_error(lexer, at, length, "KEY=VALUE; perhaps %s=%s was meant", key, text_show(at, length, shown));
}

int lexer_next(struct lexer *lexer, struct word *ret)
{
	const char *start;
	const char *equals;
	size_t length = 0;

	while (lexer->at < lexer->length && is_blank(lexer->text[lexer->at]))
		lexer->at++;
	if (lexer->at == lexer->length)
		return 0;
	start = lexer->text + lexer->at;
	while (lexer->at < lexer->length && !is_blank(lexer->text[lexer->at])) {
		lexer->at++;
		length++;
	}
	equals = memchr(start, '=', length);
	if (!equals)
		return missing_equals(lexer, start, length);
	if (equals == start)
		return lexer_error(lexer, start, 0, "a key before the '='; there are no blanks around the '='");
	ret->key = start;
	ret->key_length = (size_t)(equals - start);
	ret->value = equals + 1;
	ret->value_length = length - ret->key_length - 1;
	return 1;
}

int lexer_list(const struct lexer *lexer, const struct word *word,
	       int (*item)(const struct lexer *lexer, const char *text, size_t length, void *user), void *user)
{
	const char *at = word->value;
	const char *end = word->value + word->value_length;

	if (at == end)
		return lexer_error(lexer, at, 0, "a value for '%.*s'", (int)word->key_length, word->key);
	for (;;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma ? comma : end;
		int r;

		if (stop == at)
			return lexer_error(lexer, at, 0, "another value after the comma; leave surplus commas out");
		r = item(lexer, at, (size_t)(stop - at), user);
		if (r < 0)
			return r;
		if (!comma)
			return 0;
		at = comma + 1;
	}
}
