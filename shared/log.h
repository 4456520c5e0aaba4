/*
 * The log of a program: one line an event, as text or as one JSON object (RFC 8259), written with one
 * write(2) to one descriptor. For the mains and the proxy; libraries return errors instead.
 *
 * Nothing is buffered and nothing dropped: a log that takes no more (a pipe that nobody reads, a stopped terminal)
 * makes the program wait.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* Of a line with its newline: a pipe takes so many octets whole, so that nobody else's output gets in between
 * (pipe(7)).
 */
#define LOG_LINE_MAX PIPE_BUF
#define LOG_FIELD_MIN 384 /* octets of the line that each field is sure of, key included: a host name fits */
#define LOG_FIELDS_MAX 8

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

/*
 * Limits the wait for a log that takes no more: once `fd` has something to read, its end included, a line that the log
 * does not take within LOG_GRACE_MS is lost, and so is each one after it that is not taken at once. -1, which it is at
 * first: no limit.
 */
#define LOG_GRACE_MS 2000
void log_wait_until(int fd);

/*
 * Calls `wait` before and after a wait for the log (`begins`), for whoever has clocks running. NULL, which it is at
 * first: nobody.
 */
void log_on_wait(void (*wait)(void *user, bool begins), void *user);

/* True if a line of this level would be written (to skip costly preparation). */
bool log_enabled(enum log_level level);

/* Writes one line. Control characters in the text are escaped. Keeps errno. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Writes one line with at most LOG_FIELDS_MAX fields: text `… WARN program: message key=value key="value with blanks"`,
 * JSON one member each. What does not fit is cut, and `KEY_cut=N` (`message_cut=N`) says how many of its octets are
 * missing; the first field takes what the others do not need. Keeps errno. Returns 0, also where the level is not
 * wanted; -ECANCELED (log_wait_until()) or another -errno if the line is lost.
 */
int log_event(enum log_level level, const char *message, const struct log_field *fields, size_t n_fields);

/* "error", "warn", "info", "debug" → level; "text", "json" → format. Returns false for any other word. */
bool log_level_parse(const char *word, enum log_level *ret);
bool log_format_parse(const char *word, enum log_format *ret);
