/* Host patterns: see domain.h. */
#include "policy/rules/domain.h"

#include <errno.h>
#include <idn2.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/host.h"
#include "policy/rules/text.h"
#include "shared/cleanup.h"

#define LABEL_MAX_LENGTH 63 /* RFC 1035 section 2.3.4 */

struct builder {
	char name[HOST_NAME_MAX_LENGTH + 2]; /* room for a final dot */
	size_t length;
};

static bool is_star(const char *label, size_t length)
{
	return length == 1 && label[0] == '*';
}

/* What people write instead of a host, with the right way. */
static int misplaced(const struct lexer *lexer, const char *text, size_t length)
{
	const char *scheme = memmem(text, length, "://", 3);
	const char *slash = memchr(text, '/', length);
	const char *colon = memchr(text, ':', length);
	char shown[TEXT_SHOWN_MAX];

	if (scheme) {
		const char *host = scheme + 3;
		size_t left = length - (size_t)(host - text);
		size_t host_length = 0;

		while (host_length < left && host[host_length] != '/' && host[host_length] != ':')
			host_length++;
		return lexer_error(lexer, text, length, "a host; write the host only: domain=%s",
				   text_show(host, host_length, shown));
	}
	if (slash)
		return lexer_error(lexer, slash, 0, "the end of the host; write path=%s",
				   text_show(slash, (size_t)(text + length - slash), shown));
	if (colon && memchr(colon + 1, ':', length - (size_t)(colon - text) - 1))
		return lexer_error(lexer, text, length, "a host; for an IPv6 address leave domain= out and use ip=");
	if (colon)
		return lexer_error(lexer, colon, 0, "the end of the host; use port=%s",
				   text_show(colon + 1, (size_t)(text + length - colon) - 1, shown));
	return 0;
}

static int bad_character(const struct lexer *lexer, const char *at)
{
	if (*at == '_')
		return lexer_error(
			lexer, at, 0,
			"a letter, digit or hyphen; for a label with an underscore write '*' as the whole label");
	if (*at == '*')
		return lexer_error(lexer, at, 0, "'*' only as a whole label; like *.example.com");
	return lexer_error(lexer, at, 0, "a letter, digit, hyphen or dot in a host");
}

/* An ASCII label other than `*`. */
static int check_label(const struct lexer *lexer, const char *label, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!text_is_alnum(label[i]) && label[i] != '-')
			return bad_character(lexer, label + i);
	}
	if (length > LABEL_MAX_LENGTH)
		return lexer_error(lexer, label, length, "a label of at most %d octets", LABEL_MAX_LENGTH);
	if (label[0] == '-')
		return lexer_error(lexer, label, 0, "a label that does not begin with a hyphen");
	if (label[length - 1] == '-')
		return lexer_error(lexer, label + length - 1, 0, "a label that does not end with a hyphen");
	return 0;
}

static int append(const struct lexer *lexer, struct builder *builder, const char *at, const char *label, size_t length)
{
	size_t dot = builder->length > 0;

	if (builder->length + dot + length > HOST_NAME_MAX_LENGTH)
		return lexer_error(lexer, at, 0, "a host of at most %d octets", HOST_NAME_MAX_LENGTH);
	if (dot)
		builder->name[builder->length++] = '.';
	for (size_t i = 0; i < length; i++)
		builder->name[builder->length++] = text_lower(label[i]);
	builder->name[builder->length] = '\0';
	return 0;
}

static int append_u_label(const struct lexer *lexer, struct builder *builder, const char *label, size_t length)
{
	_cleanup_free_ char *copy = strndup(label, length);
	char *ascii = NULL;
	bool plain = true;
	int r;

	if (!copy)
		return lexer_no_memory(lexer);
	r = idn2_to_ascii_8z(copy, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (r == IDN2_MALLOC)
		return lexer_no_memory(lexer);
	if (r != IDN2_OK)
		return lexer_error(lexer, label, length, "an internationalised label (IDNA 2008: %s)",
				   idn2_strerror(r));
	/* Look-alikes of ASCII (a full-width '*', '.' or '/') must not become syntax. */
	for (const char *p = ascii; *p; p++)
		plain = plain && (text_is_alnum(*p) || *p == '-');
	if (plain && ascii[0] && ascii[0] != '-' && ascii[strlen(ascii) - 1] != '-')
		r = append(lexer, builder, label, ascii, strlen(ascii));
	else
		r = lexer_error(lexer, label, length,
				"letters, digits and hyphens in a label; use ASCII for dots and '*'");
	idn2_free(ascii);
	return r;
}

static int append_label(const struct lexer *lexer, struct builder *builder, const char *label, size_t length)
{
	int r;

	if (length == 0)
		return lexer_error(lexer, label, 0, "a label between the dots of a host");
	if (!text_is_ascii(label, length))
		return append_u_label(lexer, builder, label, length);
	r = is_star(label, length) ? 0 : check_label(lexer, label, length);
	return r < 0 ? r : append(lexer, builder, label, label, length);
}

int domain_parse(const struct lexer *lexer, const char *text, size_t length, char **ret)
{
	struct builder builder = { .length = 0 };
	const char *label = text;
	const char *end = text + length;
	int r = misplaced(lexer, text, length);

	if (r < 0)
		return r;
	if (length > 1 && end[-1] == '.')
		end--;
	for (;;) {
		const char *dot = memchr(label, '.', (size_t)(end - label));
		const char *stop = dot ? dot : end;

		r = append_label(lexer, &builder, label, (size_t)(stop - label));
		if (r < 0)
			return r;
		if (!dot)
			break;
		label = dot + 1;
	}
	if (is_star(label, (size_t)(end - label)) && label != text)
		return lexer_error(lexer, label, 0,
				   "a host that does not end in '*'; only '*' alone, for every host, may");
	*ret = strdup(builder.name);
	return *ret ? 0 : lexer_no_memory(lexer);
}

const char *domain_last_label(const char *name, size_t *length, size_t *ret_label_length)
{
	const char *dot = memrchr(name, '.', *length);
	const char *label = dot ? dot + 1 : name;

	*ret_label_length = *length - (size_t)(label - name);
	*length = dot ? (size_t)(dot - name) : 0;
	return label;
}

bool domain_matches(const char *pattern, const char *host)
{
	size_t pattern_left = strlen(pattern);
	size_t host_left = strlen(host);

	while (pattern_left > 0 && host_left > 0) {
		size_t want_length, have_length;
		const char *want = domain_last_label(pattern, &pattern_left, &want_length);
		const char *have = domain_last_label(host, &host_left, &have_length);

		if (is_star(want, want_length)) {
			if (pattern_left == 0)
				return true;
			continue;
		}
		if (want_length != have_length || memcmp(want, have, want_length) != 0)
			return false;
	}
	return pattern_left == 0 && host_left == 0;
}
