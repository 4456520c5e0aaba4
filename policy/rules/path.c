/* Path patterns: see path.h. Nothing is allocated to match: request segments are decoded while they are compared. */
#include "policy/rules/path.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/rule.h"
#include "policy/rules/text.h"

/* One octet of a raw segment, percent-decoded, or -1 for a bad escape. Advances *at. */
static int next_octet(const char **at, const char *end)
{
	const char *p = *at;
	int high, low;

	if (*p != '%') {
		*at = p + 1;
		return (unsigned char)*p;
	}
	if (end - p < 3)
		return -1;
	high = text_hex(p[1]);
	low = text_hex(p[2]);
	if (high < 0 || low < 0)
		return -1;
	*at = p + 3;
	return high << 4 | low;
}

/*
 * Follows the decoded octets of a segment to notice `.` and `..` as a server that decodes early would: between slashes,
 * encoded or not, and before `;` parameters.
 */
struct dots {
	unsigned int dots;
	bool other;
	bool parameters;
};

static bool is_dot_part(const struct dots *part)
{
	return !part->other && (part->dots == 1 || part->dots == 2);
}

/* Returns false if a dot part ends here. */
static bool follow_dots(struct dots *part, int octet)
{
	if (octet == '/') {
		bool dot = is_dot_part(part);

		*part = (struct dots){ 0 };
		return !dot;
	}
	if (octet == ';')
		part->parameters = true;
	else if (octet == '.' && !part->parameters)
		part->dots++;
	else if (!part->parameters)
		part->other = true;
	return true;
}

/*
 * True for the first two octets of a character in more octets than UTF-8 allows (RFC 3629 section 3): lax decoders make
 * '/' of C0 AF. They are never found in valid UTF-8.
 */
static bool is_overlong(int first, int second)
{
	if ((second & 0xc0) != 0x80)
		return false;
	return first == 0xc0 || first == 0xc1 || (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90) ||
	       (first == 0xf8 && second < 0x88) || (first == 0xfc && second < 0x84);
}

static bool segment_is_normal(const char *segment, const char *end)
{
	struct dots part = { 0 };
	int last = 0;

	while (segment < end) {
		unsigned char raw = (unsigned char)*segment;
		int octet = next_octet(&segment, end);

		if (raw <= 0x20 || raw == 0x7f || octet <= 0 || octet == '\\' || is_overlong(last, octet) ||
		    !follow_dots(&part, octet))
			return false;
		last = octet;
	}
	return !is_dot_part(&part);
}

bool path_is_normal(const char *path)
{
	if (path[0] != '/')
		return false;
	for (;;) {
		const char *segment = path + 1;
		const char *end = strchrnul(segment, '/');

		if (*end == '\0')
			return segment_is_normal(segment, end);
		if (end == segment || !segment_is_normal(segment, end))
			return false;
		path = end;
	}
}

/*
 * How servers read a path in normal form: bits that combine. Plainly it is split on '/', then its segments are decoded.
 * The names of the bits are in the order in which servers take the steps.
 */
enum reading {
	READ_PLAIN = 0,
	READ_SPLIT = 1 << 0,       /* an encoded slash separates, too */
	READ_CUT_RAW = 1 << 1,     /* `;` and what follows in its segment is dropped before anything is decoded */
	READ_CUT_DECODED = 1 << 2, /* and what a `;` begins that shows when all is decoded */
	READ_MERGE = 1 << 3,       /* empty segments, which only come of the above, are dropped, but not a last one */
	READINGS = 1 << 4,
};

struct reader {
	const char *rest; /* NULL behind the last segment */
	const char *end;
	unsigned int reading;
};

/* Raw text. */
struct segment {
	const char *at;
	const char *end;
};

/* Returns false, as soon as that shows, if the segment has more than `most` octets: long paths are cheap to tell. */
static bool next_segment(struct reader *reader, size_t most, struct segment *ret)
{
	struct segment segment = { reader->rest, NULL };
	bool in_raw_parameters = false;
	size_t octets = 0;

	for (const char *at = reader->rest; at < reader->end;) {
		const char *here = at;
		int octet = next_octet(&at, reader->end);
		bool raw = *here != '%';

		if (octet == '/' && (raw || (reader->reading & READ_SPLIT && !in_raw_parameters))) {
			*ret = (struct segment){ segment.at, segment.end ? segment.end : here };
			reader->rest = at;
			return true;
		}
		if (octet == ';') {
			in_raw_parameters = in_raw_parameters || (raw && reader->reading & READ_CUT_RAW);
			if (!segment.end && (in_raw_parameters || reader->reading & READ_CUT_DECODED))
				segment.end = here;
		}
		if (!segment.end && ++octets > most)
			return false;
	}
	*ret = (struct segment){ segment.at, segment.end ? segment.end : reader->end };
	reader->rest = NULL;
	return true;
}

static bool take_segment(struct reader *reader, size_t most, struct segment *ret)
{
	do {
		if (!reader->rest || !next_segment(reader, most, ret))
			return false;
	} while (reader->reading & READ_MERGE && ret->at == ret->end && reader->rest);
	return true;
}

static bool segment_equals(const struct segment *segment, const char *decoded, size_t length)
{
	const char *at = segment->at;
	size_t i = 0;

	while (at < segment->end) {
		if (i == length || next_octet(&at, segment->end) != (unsigned char)decoded[i])
			return false;
		i++;
	}
	return i == length;
}

/* Where encoded slashes separate, those of the pattern do as well: it may be several segments then. */
static bool take_literal(struct reader *reader, const char *decoded)
{
	for (;;) {
		size_t length = reader->reading & READ_SPLIT ? strcspn(decoded, "/") : strlen(decoded);
		struct segment segment;

		if (length > 0 &&
		    (!take_segment(reader, length, &segment) || !segment_equals(&segment, decoded, length)))
			return false;
		decoded += length;
		if (*decoded == '\0')
			return true;
		decoded++;
	}
}

/* A segment that is one, and not an empty one, for all servers. */
static bool is_one_for_all(const struct segment *segment)
{
	for (const char *at = segment->at; at < segment->end;) {
		bool first = at == segment->at;
		int octet = next_octet(&at, segment->end);

		if (octet == '/' || (octet == ';' && first))
			return false;
	}
	return true;
}

/* `strictly`: as an allow rule must, to which a final slash and what a `*` takes are not all the same. */
static bool matches(const struct path_pattern *pattern, const char *path, unsigned int reading, bool strictly)
{
	struct reader reader = { .rest = path + 1, .end = path + strlen(path), .reading = reading };
	struct segment segment;

	if (pattern->n_segments == 0)
		return true;
	for (size_t i = 0; i < pattern->n_segments; i++) {
		const char *literal = pattern->segments[i];

		if (!literal && i + 1 == pattern->n_segments)
			return reader.rest;
		if (literal ? !take_literal(&reader, literal) : !take_segment(&reader, SIZE_MAX, &segment))
			return false;
		if (strictly && !literal && !is_one_for_all(&segment))
			return false;
	}
	if (!reader.rest || strictly)
		return !reader.rest;
	return take_segment(&reader, 0, &segment) && !reader.rest;
}

bool path_pattern_matches(const struct path_pattern *pattern, const char *path)
{
	return matches(pattern, path, READ_PLAIN, true);
}

bool path_pattern_may_match(const struct path_pattern *pattern, const char *path)
{
	/* Without these characters only the slashes of the pattern can be read in two ways. */
	unsigned int readings = strpbrk(path, "%;") ? READINGS : READ_SPLIT + 1;

	for (unsigned int reading = READ_PLAIN; reading < readings; reading++) {
		if (matches(pattern, path, reading, false))
			return true;
	}
	return false;
}

void path_pattern_clear(struct path_pattern *pattern)
{
	for (size_t i = 0; i < pattern->n_segments; i++)
		free(pattern->segments[i]);
	free(pattern->segments);
	*pattern = (struct path_pattern){ 0 };
}

static int check_segment(const struct lexer *lexer, const char *segment, const char *end)
{
	if (segment == end)
		return lexer_error(lexer, segment, 0,
				   "a segment between slashes; a path with empty segments matches no rule");
	for (const char *p = segment; p < end; p++) {
		if (*p == '*')
			return lexer_error(lexer, p, 0,
					   "'*' only as a whole segment; write the character itself as %%2A");
		if (*p == '?' || *p == '#')
			return lexer_error(lexer, p, 0,
					   "the end of the path; the query is never matched, leave it out");
		if (*p == '%' && (end - p < 3 || text_hex(p[1]) < 0 || text_hex(p[2]) < 0))
			return lexer_error(lexer, p, 0,
					   "two hexadecimal digits after '%%'; write the character itself as %%25");
	}
	if (!segment_is_normal(segment, end))
		return lexer_error(lexer, segment, (size_t)(end - segment),
				   "a segment in normal form; one with '.', '..', a backslash, %%00 or overlong UTF-8 "
				   "is never matched");
	return 0;
}

static char *decode_segment(const char *segment, const char *end)
{
	char *decoded = malloc((size_t)(end - segment) + 1);
	size_t used = 0;

	if (!decoded)
		return NULL;
	while (segment < end)
		decoded[used++] = (char)next_octet(&segment, end);
	decoded[used] = '\0';
	return decoded;
}

static int append_segment(const struct lexer *lexer, struct path_pattern *pattern, const char *segment, const char *end)
{
	char *decoded = NULL;

	if (end - segment != 1 || *segment != '*') {
		int r = check_segment(lexer, segment, end);

		if (r < 0)
			return r;
		decoded = decode_segment(segment, end);
		if (!decoded)
			return lexer_no_memory(lexer);
	}
	if (rule_array_grow(&pattern->segments, pattern->n_segments, sizeof(pattern->segments[0])) < 0) {
		free(decoded);
		return lexer_no_memory(lexer);
	}
	pattern->segments[pattern->n_segments++] = decoded;
	return 0;
}

int path_pattern_parse(const struct lexer *lexer, const char *text, size_t length, struct path_pattern *ret)
{
	struct path_pattern pattern = { 0 };
	const char *at = text;
	const char *end = text + length;

	if (at < end && *at == '/')
		at++;
	if (end - at > 1 && end[-1] == '/')
		end--;
	for (bool more = at < end; more;) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		const char *stop = slash ? slash : end;
		int r = append_segment(lexer, &pattern, at, stop);

		if (r < 0) {
			path_pattern_clear(&pattern);
			return r;
		}
		more = slash;
		at = stop + 1;
	}
	*ret = pattern;
	return 0;
}
