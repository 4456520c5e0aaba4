/*
 * The log of a program: one line an event, as text or as one JSON object (RFC 8259), written with one
 * write(2) to one descriptor. For the mains and the proxy; libraries return errors instead.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
	const char *key;   /* a fixed word of ours: printed as it is */
	const char *value; /* anything: quoted and escaped; NULL leaves the field out */
};

/*
 * Sets where and what to log for the whole process. `fd` stays the caller's and must stay open;
 * `program` must outlive the process's logging. Before the first call: standard error, warn, text.
 */
void log_open(int fd, enum log_level level, enum log_format format, const char *program);

/* True if a line of this level would be written (to skip costly preparation). */
bool log_enabled(enum log_level level);

/* Writes one line. Control characters in the text are escaped. Keeps errno. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Writes one line with fields: text `… WARN program: message key=value key="value with blanks"`, JSON one
 * member each. A line is cut at 8 KiB, a field's value at 4 KiB. Keeps errno.
 */
void log_event(enum log_level level, const char *message, const struct log_field *fields, size_t n_fields);

/* "error", "warn", "info", "debug" → level; "text", "json" → format. Returns false for any other word. */
bool log_level_parse(const char *word, enum log_level *ret);
bool log_format_parse(const char *word, enum log_format *ret);
