/*
 * Reading of a config file, by libyaml's events. Values do not nest, so a state of three members is enough and deeper
 * structures end the reading at their first bracket.
 */
#include "launcher/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "shared/cleanup.h"

struct reader {
	const char *path;
	unsigned char *data;
	size_t length;
	yaml_parser_t parser;
	option_sink sink;
	void *context;
	struct error *e;
	const struct option_spec *spec; /* whose value comes next; NULL: a key does */
	bool in_mapping;
	bool in_list;
	bool had_document;
	size_t seen[OPTION_COUNT]; /* line each key was met at, 0: not yet */
};

static int wrong(struct reader *reader, const yaml_mark_t *mark, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int wrong(struct reader *reader, const yaml_mark_t *mark, const char *format, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_set(reader->e, EINVAL, "%s:%zu:%zu: %s", reader->path, mark->line + 1, mark->column + 1, text);
}

/* libyaml gives bytes it cannot decode as an offset, all else as a mark. */
static int wrong_syntax(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *problem = parser->problem ? parser->problem : "syntax error";
	yaml_mark_t mark = parser->problem_mark;

	if (parser->error == YAML_MEMORY_ERROR)
		return error_errno(reader->e, ENOMEM, "%s", reader->path);
	if (parser->error == YAML_READER_ERROR) {
		size_t end = parser->problem_offset < reader->length ? parser->problem_offset : reader->length;

		mark = (yaml_mark_t){ 0 };
		for (size_t i = 0; i < end; i++) {
			mark.line += reader->data[i] == '\n';
			mark.column = reader->data[i] == '\n' ? 0 : mark.column + 1;
		}
		return wrong(reader, &mark, "not text in UTF-8: %s", problem);
	}
	return wrong(reader, &mark, "not valid YAML: %s%s%s", problem, parser->context ? ", " : "",
		     parser->context ? parser->context : "");
}

/* YAML 1.1's null, in its unquoted notations. */
static bool is_null(const yaml_event_t *event)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < array_size(words); i++)
		if (strcmp((const char *)event->data.scalar.value, words[i]) == 0)
			return true;
	return false;
}

static int take_key(struct reader *reader, const yaml_event_t *event)
{
	const char *key = (const char *)event->data.scalar.value;
	size_t length = event->data.scalar.length;
	const struct option_spec *spec = option_by_key(key, length);

	if (!spec) {
		const char *meant = option_suggest(key, length, false);

		return wrong(reader, &event->start_mark, "unknown key '%.64s'%s%s%s", key,
			     meant ? " (did you mean '" : "", meant ? meant : "", meant ? "'?)" : "");
	}
	if (reader->seen[spec->id] > 0)
		return wrong(reader, &event->start_mark, "key '%s' is already set at line %zu: keep one of them", key,
			     reader->seen[spec->id]);
	reader->seen[spec->id] = event->start_mark.line + 1;
	reader->spec = spec;
	return 0;
}

static int take_value(struct reader *reader, const yaml_event_t *event)
{
	const struct option_spec *spec = reader->spec;
	const char *value = (const char *)event->data.scalar.value;
	char source[ERROR_TEXT_MAX];
	bool null = is_null(event);

	if (!reader->in_list)
		reader->spec = NULL;
	if (null && !reader->in_list)
		return 0;
	if (null)
		return wrong(reader, &event->start_mark, "an empty item in the list '%s'", spec->key);
	if (strlen(value) != event->data.scalar.length)
		return wrong(reader, &event->start_mark, "'%s': a NUL character", spec->key);
	if (spec->kind == OPTION_LIST && !reader->in_list)
		return wrong(reader, &event->start_mark, "'%s' is a list: begin each item with '- ' on its own line",
			     spec->key);
	snprintf(source, sizeof(source), "%s:%zu:%zu", reader->path, event->start_mark.line + 1,
		 event->start_mark.column + 1);
	return reader->sink(reader->context, spec, value, source, reader->e);
}

static int take_scalar(struct reader *reader, const yaml_event_t *event)
{
	if (!reader->in_mapping && is_null(event))
		return 0;
	if (!reader->in_mapping)
		return wrong(reader, &event->start_mark,
			     "the file must consist of keys with values, such as 'log_level: info'");
	return reader->spec ? take_value(reader, event) : take_key(reader, event);
}

static int begin_mapping(struct reader *reader, const yaml_event_t *event)
{
	if (reader->spec && reader->spec->kind == OPTION_LIST)
		return wrong(reader, &event->start_mark,
			     "'%s' is a list of strings, one rule each: - domain=example.com path=/x",
			     reader->spec->key);
	if (reader->in_mapping)
		return wrong(reader, &event->start_mark, "keys and values here are plain words, not mappings");
	reader->in_mapping = true;
	return 0;
}

static int begin_list(struct reader *reader, const yaml_event_t *event)
{
	if (!reader->in_mapping)
		return wrong(reader, &event->start_mark,
			     "the file must consist of keys with values, such as 'log_level: info'");
	if (!reader->spec || reader->spec->kind != OPTION_LIST || reader->in_list)
		return wrong(reader, &event->start_mark, "a list where one value is expected");
	reader->in_list = true;
	return 0;
}

static int begin_document(struct reader *reader, const yaml_event_t *event)
{
	if (reader->had_document)
		return wrong(reader, &event->start_mark, "a second document: keep all settings in one");
	reader->had_document = true;
	return 0;
}

static int take_event(struct reader *reader, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return begin_document(reader, event);
	case YAML_MAPPING_START_EVENT:
		return begin_mapping(reader, event);
	case YAML_MAPPING_END_EVENT:
		reader->in_mapping = false;
		return 0;
	case YAML_SEQUENCE_START_EVENT:
		return begin_list(reader, event);
	case YAML_SEQUENCE_END_EVENT:
		reader->in_list = false;
		reader->spec = NULL;
		return 0;
	case YAML_SCALAR_EVENT:
		return take_scalar(reader, event);
	case YAML_ALIAS_EVENT:
		return wrong(reader, &event->start_mark, "aliases are not supported: write the value out");
	default:
		return 0;
	}
}

static int read_events(struct reader *reader)
{
	bool end = false;

	/* Each event consumes input or ends the stream, and the input is bounded. */
	while (!end) {
		yaml_event_t event;
		int r;

		if (!yaml_parser_parse(&reader->parser, &event))
			return wrong_syntax(reader);
		r = take_event(reader, &event);
		end = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The whole file, so that a size limit holds for pipes and devices too. */
static int read_file(struct reader *reader)
{
	_cleanup_fd_ int fd = open(reader->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t capacity = 0;

	if (fd < 0)
		return error_errno(reader->e, errno, "cannot open the config file %s", reader->path);
	for (;;) {
		ssize_t n;

		if (reader->length == capacity) {
			unsigned char *grown;

			capacity = capacity ? 2 * capacity : 16384;
			grown = realloc(reader->data, capacity);
			if (!grown)
				return error_errno(reader->e, ENOMEM, "%s", reader->path);
			reader->data = grown;
		}
		n = read(fd, reader->data + reader->length, capacity - reader->length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(reader->e, errno, "cannot read the config file %s", reader->path);
		if (n == 0)
			return 0;
		reader->length += (size_t)n;
		if (reader->length > CONFIG_SIZE_MAX)
			return error_set(reader->e, EFBIG, "%s: more than %u MiB: too large for a config file",
					 reader->path, CONFIG_SIZE_MAX >> 20);
	}
}

int config_read(const char *path, option_sink sink, void *context, struct error *e)
{
	struct reader reader = { .path = path, .sink = sink, .context = context, .e = e };
	int r = read_file(&reader);

	if (r == 0 && !yaml_parser_initialize(&reader.parser)) {
		r = error_errno(e, ENOMEM, "%s", path);
	} else if (r == 0) {
		/* Without this libyaml would take a byte order mark's word for UTF-16. */
		yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
		yaml_parser_set_input_string(&reader.parser, reader.data, reader.length);
		r = read_events(&reader);
		yaml_parser_delete(&reader.parser);
	}
	free(reader.data);
	return r;
}
