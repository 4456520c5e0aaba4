/* The dry run: one request, the decision and its reason as text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "policy/rules/host.h"
#include "policy/rules/set.h"
#include "policy/rules/text.h"
#include "shared/cleanup.h"

/* Owns the strings of a request. */
struct parsed_request {
	char *method;
	char *path;
	char host[HOST_NAME_MAX_LENGTH + 1];
	enum rule_scheme scheme;
	uint16_t port;
};

static void parsed_request_clear(struct parsed_request *parsed)
{
	free(parsed->method);
	free(parsed->path);
}

static int bad_request(struct error *e, const char *text, const char *reason)
{
	return error_set(e, EINVAL, "'%.100s' is not a request: %s; write METHOD URL, like 'GET https://example.com/x'",
			 text, reason);
}

static int check_characters(const char *text, struct error *e)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length;) {
		uint32_t code;
		size_t size = text_utf8(text + i, length - i, &code);
		char shown[TEXT_SHOWN_MAX];

		if (size == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0))
			return bad_request(e, text_show(text, length, shown),
					   "it has a control character or is not UTF-8");
		i += size;
	}
	return 0;
}

/* Takes "http://" or "https://" off *url. Returns false for anything else. */
static bool take_scheme(const char **url, struct parsed_request *parsed)
{
	if (strncasecmp(*url, "https://", 8) == 0) {
		parsed->scheme = RULE_HTTPS;
		*url += 8;
		return true;
	}
	if (strncasecmp(*url, "http://", 7) == 0) {
		parsed->scheme = RULE_HTTP;
		*url += 7;
		return true;
	}
	return false;
}

static int parse_url(const char *text, const char *url, struct parsed_request *parsed, struct error *e)
{
	size_t authority, path;
	int r;

	if (!take_scheme(&url, parsed))
		return bad_request(e, text, "the URL does not begin with http:// or https://");
	if (strchr(url, ' '))
		return bad_request(e, text, "the URL has a blank in it");
	authority = strcspn(url, "/?#");
	r = host_port_parse(url, authority, parsed->host, &parsed->port, e);
	if (r < 0) {
		error_prefix(e, "'%.100s' is not a request", text);
		return r;
	}
	if (parsed->port == 0)
		parsed->port = parsed->scheme == RULE_HTTPS ? 443 : 80;
	path = strcspn(url + authority, "?#");
	parsed->path = path ? strndup(url + authority, path) : strdup("/");
	return parsed->path ? 0 : error_set(e, ENOMEM, "out of memory");
}

static int parse_request(const char *text, struct parsed_request *parsed, struct error *e)
{
	const char *blank = strchr(text, ' ');
	const char *url = blank ? blank + strspn(blank, " ") : text;
	int r = check_characters(text, e);

	if (r < 0)
		return r;
	if (blank && !text_is_token(text, (size_t)(blank - text)))
		return bad_request(e, text, "what comes before the blank is no method");
	parsed->method = blank ? strndup(text, (size_t)(blank - text)) : strdup("GET");
	if (!parsed->method)
		return error_set(e, ENOMEM, "out of memory");
	return parse_url(text, url, parsed, e);
}

/* Why the nearest rule failed, in words, for one key. */
static void describe_failure(const struct rule_request *request, enum rule_key key, char *ret, size_t size)
{
	switch (key) {
	case RULE_KEY_METHOD:
		snprintf(ret, size, "method does not match %s", request->method);
		break;
	case RULE_KEY_DOMAIN:
		snprintf(ret, size, "domain does not match %s", request->host);
		break;
	case RULE_KEY_PATH:
		snprintf(ret, size, "path does not match %s%s", request->path,
			 path_is_normal(request->path) ? "" : ", which is not in normal form");
		break;
	case RULE_KEY_PORT:
		snprintf(ret, size, "port does not match %d", request->port);
		break;
	case RULE_KEY_PROTO:
		snprintf(ret, size, "proto does not match %s", request->scheme == RULE_HTTPS ? "https" : "http");
		break;
	case RULE_KEY_IP:
		snprintf(ret, size, "ip does not match %s", request->host);
		break;
	case RULE_KEY_NONE:
		snprintf(ret, size, "no key failed");
		break;
	}
}

/* Why a deny rule applies to a path that it does not seem to name. */
static const char *deny_note(const struct rule *rule, const char *path)
{
	if (!rule_has_key(rule, RULE_KEY_PATH))
		return "";
	if (!path_is_normal(path))
		return "\nnote: the path is not in normal form, every deny rule with path= applies to it";
	for (size_t i = 0; i < rule->n_paths; i++) {
		if (path_pattern_matches(&rule->paths[i], path))
			return "";
	}
	return "\nnote: the path matches as some servers read it: %2F as '/', without ';' parameters or a final '/'";
}

static void write_report(const struct rule_set *set, const struct rule_request *request, struct rule_decision *decision,
			 char *ret, size_t size)
{
	char reason[512];

	if (decision->rule) {
		const struct rule *rule = set->tables[decision->action].rules[decision->number - 1];

		snprintf(ret, size, "%s rule %zu: %s%s", decision->allowed ? "ALLOW" : "DENY deny", decision->number,
			 decision->rule, decision->allowed ? "" : deny_note(rule, request->path));
		return;
	}
	rule_set_nearest(set, request, decision);
	if (!decision->nearest) {
		snprintf(ret, size, "DENY (no rule matches)\nnearest: none, there is no allow rule");
		return;
	}
	describe_failure(request, decision->nearest_failed, reason, sizeof(reason));
	snprintf(ret, size, "DENY (no rule matches)\nnearest: rule %zu: %s (%s)", decision->nearest_number,
		 decision->nearest, reason);
}

int rule_set_explain(const struct rule_set *set, const char *text, char *ret, size_t size, struct error *e)
{
	_cleanup_(parsed_request_clear) struct parsed_request parsed = { .port = 0 };
	struct rule_request request;
	struct rule_decision decision;
	int r = parse_request(text, &parsed, e);

	if (r < 0)
		return r;
	request = (struct rule_request){
		.method = parsed.method,
		.scheme = parsed.scheme,
		.host = parsed.host,
		.port = parsed.port,
		.path = parsed.path,
	};
	rule_set_decide(set, &request, &decision);
	write_report(set, &request, &decision, ret, size);
	return decision.allowed;
}
