/* The error object: see error.h. */
#include "shared/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void format_text(struct error *e, int code, const char *format,
							      va_list args)
{
	e->code = code;
	vsnprintf(e->text, sizeof(e->text), format, args);
}

int error_set(struct error *e, int code, const char *format, ...)
{
	int saved = errno;
	va_list args;

	if (e) {
		va_start(args, format);
		format_text(e, code, format, args);
		va_end(args);
	}
	errno = saved;
	return -code;
}

int error_errno(struct error *e, int code, const char *format, ...)
{
	int saved = errno;
	va_list args;

	if (e) {
		size_t used;

		va_start(args, format);
		format_text(e, code, format, args);
		va_end(args);
		used = strlen(e->text);
		snprintf(e->text + used, sizeof(e->text) - used, ": %s", strerror(code));
	}
	errno = saved;
	return -code;
}

int error_prefix(struct error *e, const char *format, ...)
{
	char rest[ERROR_TEXT_MAX];
	va_list args;
	size_t used;

	if (!e || e->code == 0)
		return -EIO;
	memcpy(rest, e->text, sizeof(rest));
	va_start(args, format);
	format_text(e, e->code, format, args);
	va_end(args);
	used = strlen(e->text);
	snprintf(e->text + used, sizeof(e->text) - used, ": %s", rest);
	return -e->code;
}
