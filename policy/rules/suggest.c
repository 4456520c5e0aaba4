/* The rule that would permit a refused request. */
#include <stdio.h>
#include <string.h>

#include "policy/rules/rule.h"
#include "policy/rules/text.h"

/* Text that never overruns: once something did not fit, `full` is set and nothing more is written. */
struct output {
	char *text;
	size_t size;
	size_t length;
	bool full;
};

static void put(struct output *out, const char *text, size_t length)
{
	if (out->full || length >= out->size - out->length) {
		out->full = true;
		return;
	}
	memcpy(out->text + out->length, text, length);
	out->length += length;
	out->text[out->length] = '\0';
}

/* A blank, unless at the start, and the key with its '='. */
static void put_key(struct output *out, const char *key)
{
	if (out->length > 0)
		put(out, " ", 1);
	put(out, key, strlen(key));
}

static bool label_can_be_written(const char *label, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!text_is_alnum(label[i]) && label[i] != '-')
			return false;
	}
	return length > 0 && label[0] != '-' && label[length - 1] != '-';
}

/* Labels that the language has no words for (underscores) become `*`; if the last label is one, any host must do. */
static void put_host(struct output *out, const char *host)
{
	const char *last = strrchr(host, '.');

	last = last ? last + 1 : host;
	if (!label_can_be_written(last, strlen(last))) {
		put(out, "*", 1);
		return;
	}
	for (const char *label = host;;) {
		size_t length = strcspn(label, ".");
		bool written = label_can_be_written(label, length);

		put(out, written ? label : "*", written ? length : 1);
		if (label[length] == '\0')
			return;
		put(out, ".", 1);
		label += length + 1;
	}
}

/* The path as a pattern: what has a meaning in rules is percent-encoded. A final slash can only be had by `*`. */
static void put_path(struct output *out, const char *path)
{
	size_t length = strlen(path);

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)path[i];
		char encoded[4];

		if (c > 0x20 && c < 0x7f && !strchr(",*?#", c)) {
			put(out, path + i, 1);
			continue;
		}
		snprintf(encoded, sizeof(encoded), "%%%02X", c);
		put(out, encoded, 3);
	}
	if (path[length - 1] == '/')
		put(out, "*", 1);
}

static void put_domain_key(struct output *out, const struct rule_question *question)
{
	if (question->request->host[0] == '[')
		return;
	put_key(out, "domain=");
	put_host(out, question->request->host);
}

static void put_ip_key(struct output *out, const struct rule_question *question)
{
	char text[46];

	if (!question->address || (!question->host_is_literal && ip_address_is_global(question->address)))
		return;
	put_key(out, "ip=");
	ip_address_format(question->address, text);
	put(out, text, strlen(text));
}

static void put_port_key(struct output *out, const struct rule_request *request)
{
	char text[8];

	if (request->port == (request->scheme == RULE_HTTPS ? 443 : 80))
		return;
	put_key(out, "port=");
	put(out, text, (size_t)snprintf(text, sizeof(text), "%d", request->port));
}

static void compose(struct output *out, const struct rule_question *question, bool method, bool path)
{
	const struct rule_request *request = question->request;

	out->length = 0;
	out->full = false;
	put_domain_key(out, question);
	if (method && request->method && text_is_token(request->method, strlen(request->method))) {
		put_key(out, "method=");
		put(out, request->method, strlen(request->method));
	}
	/* "/" has no pattern of its own: path=/ means every path. */
	if (path && question->path_is_normal && strcmp(request->path, "/") != 0) {
		put_key(out, "path=");
		put_path(out, request->path);
	}
	put_port_key(out, request);
	put_ip_key(out, question);
}

size_t rule_suggest(const struct rule_request *request, char *ret, size_t size)
{
	struct output out = { .text = ret, .size = size };
	struct rule_question question;

	if (size == 0)
		return 0;
	rule_question_prepare(request, &question);
	/* A rule cut in the middle would be another rule: leave out whole keys, the longest first. */
	compose(&out, &question, true, true);
	if (out.full)
		compose(&out, &question, true, false);
	if (out.full)
		compose(&out, &question, false, false);
	if (out.full)
		out.length = 0;
	ret[out.length] = '\0';
	return out.length;
}
