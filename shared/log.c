/* Log lines: see log.h. */
#include "shared/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LENGTH 8192
#define VALUE_MAX_LENGTH 4096

static struct {
	int fd;
	enum log_level level;
	enum log_format format;
	const char *program;
} log_state = { STDERR_FILENO, LOG_LEVEL_WARN, LOG_FORMAT_TEXT, "boundary" };

struct line {
	char text[LINE_MAX_LENGTH];
	size_t length;
};

static const char *const level_words[] = { "error", "warn", "info", "debug" };
static const char *const level_labels[] = { "ERROR", "WARN", "INFO", "DEBUG" };

void log_open(int fd, enum log_level level, enum log_format format, const char *program)
{
	log_state.fd = fd;
	log_state.level = level;
	log_state.format = format;
	log_state.program = program;
}

bool log_enabled(enum log_level level)
{
	return level <= log_state.level;
}

/* Values end here, so that what closes quotes and objects still fits behind them. */
#define VALUES_END (LINE_MAX_LENGTH - 16)

/* Appends as much as fits before the final newline. */
static void put(struct line *line, const char *text, size_t length)
{
	size_t room = sizeof(line->text) - 1 - line->length;

	if (length > room)
		length = room;
	memcpy(line->text + line->length, text, length);
	line->length += length;
}

static void put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

/* How many octets the UTF-8 sequence at `at` has (RFC 3629: nothing overlong, no surrogates); 0 if it is none or a C1
 * control. */
static size_t utf8_length(const unsigned char *at)
{
	size_t length = at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xc2 && at[1] < 0xa0) || (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return length;
}

/* The escapes of JSON strings (RFC 8259 section 7), which serve the text format as well; octets that are no UTF-8
 * become U+FFFD. */
static void put_escaped(struct line *line, const char *value, bool quotes)
{
	const unsigned char *at = (const unsigned char *)value;
	const unsigned char *end = at + strnlen(value, VALUE_MAX_LENGTH);

	while (at < end && line->length < VALUES_END - 6) {
		char escape[8];
		size_t length = 1;

		if (quotes && (*at == '"' || *at == '\\')) {
			put(line, (const char[]){ '\\', (char)*at }, 2);
		} else if (*at < 0x20 || *at == 0x7f) {
			snprintf(escape, sizeof(escape), "\\u%04x", *at);
			put_text(line, escape);
		} else if (*at < 0x80) {
			put(line, (const char *)at, 1);
		} else {
			length = utf8_length(at);
			if (length > 0)
				put(line, (const char *)at, length);
			else
				put_text(line, "\\ufffd");
			length = length > 0 ? length : 1;
		}
		at += length;
	}
}

static void put_quoted(struct line *line, const char *value)
{
	put_text(line, "\"");
	put_escaped(line, value, true);
	put_text(line, "\"");
}

static void put_time(struct line *line)
{
	struct timespec now;
	struct tm utc;
	char text[64];
	size_t length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	length = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + length, sizeof(text) - length, ".%03ldZ", now.tv_nsec / 1000000);
	put_text(line, text);
}

static bool needs_quotes(const char *value)
{
	if (value[0] == '\0')
		return true;
	for (const unsigned char *at = (const unsigned char *)value; *at; at++)
		if (*at <= ' ' || *at >= 0x7f || *at == '"' || *at == '\\' || *at == '=')
			return true;
	return false;
}

static void put_as_text(struct line *line, enum log_level level, const char *message, const struct log_field *fields,
			size_t n_fields)
{
	put_time(line);
	put_text(line, " ");
	put_text(line, level_labels[level]);
	put_text(line, " ");
	put_text(line, log_state.program);
	put_text(line, ": ");
	put_escaped(line, message, false);
	for (size_t i = 0; i < n_fields; i++) {
		if (!fields[i].value)
			continue;
		put_text(line, " ");
		put_text(line, fields[i].key);
		put_text(line, "=");
		if (needs_quotes(fields[i].value))
			put_quoted(line, fields[i].value);
		else
			put(line, fields[i].value, strnlen(fields[i].value, VALUE_MAX_LENGTH));
	}
}

/* A member for which there is no room is left out whole. */
static void put_member(struct line *line, const char *key, const char *value)
{
	if (line->length + strlen(key) + 6 > VALUES_END)
		return;
	put_text(line, ",\"");
	put_text(line, key);
	put_text(line, "\":");
	put_quoted(line, value);
}

static void put_as_json(struct line *line, enum log_level level, const char *message, const struct log_field *fields,
			size_t n_fields)
{
	put_text(line, "{\"time\":\"");
	put_time(line);
	put_text(line, "\"");
	put_member(line, "level", level_words[level]);
	put_member(line, "program", log_state.program);
	put_member(line, "message", message);
	for (size_t i = 0; i < n_fields; i++)
		if (fields[i].value)
			put_member(line, fields[i].key, fields[i].value);
	put_text(line, "}");
}

void log_event(enum log_level level, const char *message, const struct log_field *fields, size_t n_fields)
{
	int saved = errno;
	struct line line = { .length = 0 };

	if (!log_enabled(level))
		return;
	if (log_state.format == LOG_FORMAT_JSON)
		put_as_json(&line, level, message, fields, n_fields);
	else
		put_as_text(&line, level, message, fields, n_fields);
	line.text[line.length++] = '\n';
	/* A log that cannot be written has nowhere to be reported. */
	if (write(log_state.fd, line.text, line.length) < 0)
		errno = saved;
	errno = saved;
}

void log_line(enum log_level level, const char *format, ...)
{
	char message[VALUE_MAX_LENGTH];
	int saved = errno;
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	errno = saved;
	log_event(level, message, NULL, 0);
}

bool log_level_parse(const char *word, enum log_level *ret)
{
	for (size_t i = 0; i < sizeof(level_words) / sizeof(level_words[0]); i++) {
		if (strcmp(word, level_words[i]) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_format_parse(const char *word, enum log_format *ret)
{
	if (strcmp(word, "text") == 0)
		*ret = LOG_FORMAT_TEXT;
	else if (strcmp(word, "json") == 0)
		*ret = LOG_FORMAT_JSON;
	else
		return false;
	return true;
}
