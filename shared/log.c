/* Log lines: see log.h. */
#include "shared/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CUT_ROOM 64                    /* for the closing quote and what says how much was cut */
#define VALUES_END (LOG_LINE_MAX - 2u) /* what closes an object, and the newline, still fit behind */

static struct {
	int fd;
	int until;
	int grace_ms; /* left, once `until` is ready */
	enum log_level level;
	enum log_format format;
	const char *program;
	void (*wait)(void *user, bool begins);
	void *wait_user;
} log_state = { STDERR_FILENO, -1, 0, LOG_LEVEL_WARN, LOG_FORMAT_TEXT, "boundary", NULL, NULL };

struct line {
	char text[LOG_LINE_MAX];
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

void log_wait_until(int fd)
{
	log_state.until = fd;
	log_state.grace_ms = LOG_GRACE_MS;
}

void log_on_wait(void (*wait)(void *user, bool begins), void *user)
{
	log_state.wait = wait;
	log_state.wait_user = user;
}

bool log_enabled(enum log_level level)
{
	return level <= log_state.level;
}

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

/*
 * What stands for the character that `at` begins with: the escapes of JSON strings (RFC 8259 section 7), which serve
 * the text format as well; octets that are no UTF-8 become U+FFFD. Returns its length; *ret_taken is that of the
 * character.
 */
static size_t escape(const unsigned char *at, bool quotes, char ret[8], size_t *ret_taken)
{
	size_t sequence = utf8_length(at);

	*ret_taken = sequence > 0 ? sequence : 1;
	if (quotes && (*at == '"' || *at == '\\')) {
		ret[0] = '\\';
		ret[1] = (char)*at;
		return 2;
	}
	if (*at < 0x20 || *at == 0x7f)
		return (size_t)snprintf(ret, 8, "\\u%04x", *at);
	if (*at >= 0x80 && sequence == 0)
		return (size_t)snprintf(ret, 8, "\\ufffd");
	memcpy(ret, at, *ret_taken);
	return *ret_taken;
}

/* Appends as much of `value` as fits before `limit`. Returns how many of its octets do not. */
static size_t put_escaped(struct line *line, const char *value, bool quotes, size_t limit)
{
	const unsigned char *at = (const unsigned char *)value;
	char escaped[8];
	size_t taken;

	while (*at) {
		size_t length = escape(at, quotes, escaped, &taken);

		if (line->length + length > limit)
			break;
		put(line, escaped, length);
		at += taken;
	}
	return strlen((const char *)at);
}

static void put_key(struct line *line, const char *key, const char *suffix)
{
	bool json = log_state.format == LOG_FORMAT_JSON;

	put_text(line, json ? ",\"" : " ");
	put_text(line, key);
	put_text(line, suffix);
	put_text(line, json ? "\":" : "=");
}

static void put_cut(struct line *line, const char *key, size_t cut)
{
	char digits[24];

	if (cut == 0)
		return;
	snprintf(digits, sizeof(digits), "%zu", cut);
	put_key(line, key, "_cut");
	put_text(line, digits);
}

static bool needs_quotes(const char *value)
{
	if (value[0] == '\0' || log_state.format == LOG_FORMAT_JSON)
		return true;
	for (const unsigned char *at = (const unsigned char *)value; *at; at++)
		if (*at <= ' ' || *at >= 0x7f || *at == '"' || *at == '\\' || *at == '=')
			return true;
	return false;
}

/* `cut`: octets that `value` lacks already. The field ends before `limit`. */
static void put_field(struct line *line, const char *key, const char *value, size_t cut, size_t limit)
{
	bool quotes = needs_quotes(value);

	put_key(line, key, "");
	put_text(line, quotes ? "\"" : "");
	cut += put_escaped(line, value, quotes, limit - CUT_ROOM);
	put_text(line, quotes ? "\"" : "");
	put_cut(line, key, cut);
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

static void put_message(struct line *line, enum log_level level, const char *message, size_t cut, size_t limit)
{
	if (log_state.format == LOG_FORMAT_JSON) {
		put_text(line, "{\"time\":\"");
		put_time(line);
		put_text(line, "\"");
		put_field(line, "level", level_words[level], 0, limit);
		put_field(line, "program", log_state.program, 0, limit);
		put_field(line, "message", message, cut, limit);
		return;
	}
	put_time(line);
	put_text(line, " ");
	put_text(line, level_labels[level]);
	put_text(line, " ");
	put_text(line, log_state.program);
	put_text(line, ": ");
	cut += put_escaped(line, message, false, limit - CUT_ROOM);
	put_cut(line, "message", cut);
}

/* poll(2), signals or not. Returns 0, or -errno. */
static int wait_for(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	while (poll(fds, n, timeout_ms) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int wait_patiently(struct pollfd fds[2])
{
	int r = wait_for(fds, 2, -1);

	if (r < 0 || fds[0].revents)
		return r;
	/* A reader that is only slow still gets the last lines; one that does not read is not waited for twice. */
	r = wait_for(fds, 1, log_state.grace_ms);
	if (r < 0 || fds[0].revents)
		return r;
	log_state.grace_ms = 0;
	return -ECANCELED;
}

/* Waits until the log takes something. Returns 0, or -errno if it is not to be waited for any more. */
static int wait_for_room(void)
{
	struct pollfd fds[] = { { .fd = log_state.fd, .events = POLLOUT },
				{ .fd = log_state.until, .events = POLLIN } };
	int r = log_state.fd < 0 ? -EBADF : wait_for(fds, 1, 0);

	if (r < 0 || fds[0].revents)
		return r;
	if (log_state.wait)
		log_state.wait(log_state.wait_user, true);
	r = wait_patiently(fds);
	if (log_state.wait)
		log_state.wait(log_state.wait_user, false);
	return r;
}

/* The command may share the open file and make it non-blocking: that must not lose a line. */
static int write_whole(const char *text, size_t length)
{
	ssize_t written;
	int r;

	while (length > 0) {
		r = wait_for_room();
		if (r < 0)
			return r;
		written = write(log_state.fd, text, length);
		if (written < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		text += written;
		length -= (size_t)written;
	}
	return 0;
}

/* `cut`: octets that `message` lacks already. */
static int emit(enum log_level level, const char *message, size_t cut, const struct log_field *fields, size_t n_fields)
{
	struct line line = { .length = 0 };
	size_t limit = VALUES_END;
	int saved = errno;
	int r;

	for (size_t i = 0; i < n_fields; i++)
		limit -= fields[i].value ? LOG_FIELD_MIN : 0;
	put_message(&line, level, message, cut, limit);
	for (size_t i = 0; i < n_fields; i++) {
		limit += fields[i].value ? LOG_FIELD_MIN : 0;
		if (fields[i].value)
			put_field(&line, fields[i].key, fields[i].value, 0, limit);
	}
	if (log_state.format == LOG_FORMAT_JSON)
		put_text(&line, "}");
	line.text[line.length++] = '\n';
	r = write_whole(line.text, line.length);
	errno = saved;
	return r;
}

int log_event(enum log_level level, const char *message, const struct log_field *fields, size_t n_fields)
{
	return log_enabled(level) ? emit(level, message, 0, fields, n_fields) : 0;
}

void log_line(enum log_level level, const char *format, ...)
{
	char message[LOG_LINE_MAX];
	int saved = errno;
	va_list args;
	int length;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	length = vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	errno = saved;
	emit(level, message, length < (int)sizeof(message) ? 0 : (size_t)length - sizeof(message) + 1, NULL, 0);
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
