/* See tap.h. Every line is written at once, so that children that die in an attack neither lose nor repeat one. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/attack/tap.h"

#define LINE_MAX_BYTES 2048

static unsigned int n_checks;
static unsigned int n_through;

static void write_line(char *line, int length)
{
	if (length < 0)
		return;
	if (length > LINE_MAX_BYTES - 2)
		length = LINE_MAX_BYTES - 2;
	for (int i = 0; i < length; i++) {
		if ((unsigned char)line[i] < ' ')
			line[i] = ' ';
	}
	line[length] = '\n';
	if (write(STDOUT_FILENO, line, (size_t)length + 1) < 0)
		exit(EXIT_FAILURE);
}

void tap_check(bool held, const char *what, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	char detail[LINE_MAX_BYTES / 2] = "";
	va_list arguments;
	int length;

	n_checks++;
	if (held) {
		length = snprintf(line, sizeof(line), "ok %u - %s", n_checks, what);
	} else {
		n_through++;
		va_start(arguments, format);
		vsnprintf(detail, sizeof(detail), format, arguments);
		va_end(arguments);
		length = snprintf(line, sizeof(line), "not ok %u - %s: %s", n_checks, what, detail);
	}
	write_line(line, length);
}

void tap_skip(const char *what, const char *reason)
{
	char line[LINE_MAX_BYTES];

	n_checks++;
	write_line(line, snprintf(line, sizeof(line), "ok %u - %s # SKIP %s", n_checks, what, reason));
}

void tap_note(const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	char text[LINE_MAX_BYTES / 2];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	write_line(line, snprintf(line, sizeof(line), "# %s", text));
}

int tap_end(void)
{
	char line[LINE_MAX_BYTES];

	write_line(line, snprintf(line, sizeof(line), "1..%u", n_checks));
	return n_through == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
