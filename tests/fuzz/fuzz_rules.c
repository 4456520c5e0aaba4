/*
 * libFuzzer entry for policy/rules: any rules, and any request judged by them. An input is texts that end with NUL: a
 * digit string of knobs, what --explain gets, method, host with port, path, address, then rules, each behind an 'a' or
 * 'd' for its list. The set must decide as one that looks at all rules one by one; a refusal must name a place within
 * the text; a rule written anew from what was understood must be understood the same.
 */
#include <errno.h>
#include <string.h>

#include "policy/rules/host.h"
#include "policy/rules/set.h"
#include "policy/rules/text.h"
#include "shared/cleanup.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX 4096
#define RULES_MAX 12
#define PRINTED_MAX (4 * INPUT_MAX)

/* The next text of the input, "" behind the end. */
static const char *next_text(char **at, const char *end)
{
	char *text = *at;

	if (text >= end)
		return "";
	*at += strlen(text) + 1;
	return text;
}

/* Writing a rule anew --------------------------------------------------------------------------------------------- */

struct printed {
	char text[PRINTED_MAX];
	size_t length;
};

static void print(struct printed *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void print(struct printed *p, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(p->text + p->length, sizeof(p->text) - p->length, format, arguments);
	va_end(arguments);
	require(n >= 0 && (size_t)n < sizeof(p->text) - p->length);
	p->length += (size_t)n;
}

/* Every octet in its percent-encoded form. */
static void print_path(struct printed *p, const struct path_pattern *pattern)
{
	print(p, "/");
	for (size_t i = 0; i < pattern->n_segments; i++) {
		print(p, "%s%s", i ? "/" : "", pattern->segments[i] ? "" : "*");
		for (const char *c = pattern->segments[i]; c && *c; c++)
			print(p, "%%%02x", (unsigned char)*c);
	}
}

static void print_prefix(struct printed *p, const struct ip_prefix *prefix)
{
	char text[46];

	ip_address_format(&prefix->address, text);
	print(p, "%s/%d", text, strchr(text, ':') ? prefix->length : prefix->length - 96);
}

/* Lists of what has no text of its own. */
static void print_numbers(struct printed *p, const struct rule *rule)
{
	for (size_t i = 0; i < rule->n_ports; i++)
		print(p, "%s%d-%d", i ? "," : " port=", rule->ports[i].first, rule->ports[i].last);
	for (size_t i = 0; i < rule->n_ips; i++) {
		print(p, "%s", i ? "," : " ip=");
		print_prefix(p, &rule->ips[i]);
	}
	if (rule->schemes & 1u << RULE_HTTP)
		print(p, " proto=http");
	if (rule->schemes & 1u << RULE_HTTPS)
		print(p, " proto=https");
}

static void print_rule(struct printed *p, const struct rule *rule)
{
	p->length = 0;
	print(p, "%s", rule_has_key(rule, RULE_KEY_NONE) ? "tls=inspect" : "");
	for (size_t i = 0; i < rule->n_domains; i++)
		print(p, "%s%s", i ? "," : " domain=", rule->domains[i]);
	if (rule->any_method)
		print(p, " method=*");
	for (size_t i = 0; i < rule->n_methods; i++)
		print(p, " method=%s", rule->methods[i]);
	for (size_t i = 0; i < rule->n_paths; i++) {
		print(p, "%s", i ? "," : " path=");
		print_path(p, &rule->paths[i]);
	}
	print_numbers(p, rule);
}

static bool same_texts(char *const *a, char *const *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((a[i] == NULL) != (b[i] == NULL) || (a[i] && strcmp(a[i], b[i]) != 0))
			return false;
	}
	return true;
}

static void require_same(const struct rule *a, const struct rule *b)
{
	require(a->keys == b->keys && a->any_method == b->any_method && a->schemes == b->schemes);
	require(a->n_methods == b->n_methods && same_texts(a->methods, b->methods, a->n_methods));
	require(a->n_domains == b->n_domains && same_texts(a->domains, b->domains, a->n_domains));
	require(a->n_ports == b->n_ports && a->n_ips == b->n_ips && a->n_paths == b->n_paths);
	require(a->n_ports == 0 || memcmp(a->ports, b->ports, a->n_ports * sizeof(a->ports[0])) == 0);
	require(a->n_ips == 0 || memcmp(a->ips, b->ips, a->n_ips * sizeof(a->ips[0])) == 0);
	for (size_t i = 0; i < a->n_paths; i++) {
		const struct path_pattern *x = &a->paths[i], *y = &b->paths[i];

		require(x->n_segments == y->n_segments && same_texts(x->segments, y->segments, x->n_segments));
	}
}

/* Rules ----------------------------------------------------------------------------------------------------------- */

static void check_refusal(const char *text, const struct error *e)
{
	unsigned int column = 0;

	require(e->code == EINVAL);
	require(sscanf(e->text, "fuzz: column %u: expected ", &column) == 1 && strstr(e->text, ", found "));
	require(column >= 1 && column <= strlen(text) + 1);
}

static void check_rule(const char *text)
{
	static struct printed printed;
	struct rule *rule, *again;
	struct error e = { 0 };
	int r = rule_parse(text, "fuzz", &rule, &e);

	if (r < 0) {
		require(r == -EINVAL);
		check_refusal(text, &e);
		return;
	}
	require(strcmp(rule->text, text) == 0 && rule->keys >> RULE_KEY_METHOD != 0);
	print_rule(&printed, rule);
	require(rule_parse(printed.text, "fuzz", &again, &e) == 0);
	require_same(rule, again);
	rule_free(again);
	rule_free(rule);
}

static void add_rules(struct rule_set *set, char **at, const char *end)
{
	for (int i = 0; i < RULES_MAX && *at < end; i++) {
		const char *text = next_text(at, end);
		enum rule_action action = text[0] == 'd' ? RULE_DENY : RULE_ALLOW;
		size_t before = rule_set_count(set, action);
		struct error e = { 0 };
		int r;

		text += text[0] != '\0';
		check_rule(text);
		r = rule_set_add(set, action, text, "fuzz", &e);
		require(r == 0 || r == -EINVAL);
		require(rule_set_count(set, action) == before + (r == 0));
	}
}

/* Requests -------------------------------------------------------------------------------------------------------- */

static bool matches(const struct rule *rule, const struct rule_question *question)
{
	for (enum rule_key key = RULE_KEY_METHOD; key <= RULE_KEY_IP; key++) {
		if (!rule_key_matches(rule, key, question))
			return false;
	}
	return true;
}

static const struct rule *first_match(const struct rule_set *set, enum rule_action action,
				      const struct rule_question *question)
{
	for (size_t i = 0; i < set->tables[action].count; i++) {
		if (matches(set->tables[action].rules[i], question))
			return set->tables[action].rules[i];
	}
	return NULL;
}

static void require_denied(const struct rule *deny, const struct rule_question *question, const char *path)
{
	struct rule_request request = *question->request;
	struct rule_question again;

	request.path = path;
	rule_question_prepare(&request, &again);
	require(rule_key_matches(deny, RULE_KEY_PATH, &again));
}

/* A path in normal form that a deny rule matches, it matches with encoded slashes, with parameters and with a final
 * slash. */
static void check_spelling(const struct rule *deny, const struct rule_question *question)
{
	const char *path = question->request->path;
	char spelled[3 * INPUT_MAX];
	size_t used = 1;

	if (!question->path_is_normal || strpbrk(path, "%;") || !rule_key_matches(deny, RULE_KEY_PATH, question))
		return;
	snprintf(spelled, sizeof(spelled), "%s;a=b", path);
	require_denied(deny, question, spelled);
	snprintf(spelled, sizeof(spelled), "%s/", path);
	require_denied(deny, question, spelled);
	spelled[0] = '/';
	for (const char *c = path + 1; *c; c++) {
		size_t length = *c == '/' ? 3 : 1;

		memcpy(spelled + used, *c == '/' ? "%2f" : c, length);
		used += length;
	}
	spelled[used] = '\0';
	require_denied(deny, question, spelled);
}

/*
 * A deny rule matches what it would as an allow rule, while the address is known, and more only where rules.h says so:
 * methods and paths in other spellings, addresses that embed another, and `ip` that was not written.
 */
static void check_symmetry(const struct rule *rule, const struct rule_question *question)
{
	struct rule allow = *rule, deny = *rule;
	struct ip_address embedded;

	allow.action = RULE_ALLOW;
	deny.action = RULE_DENY;
	for (enum rule_key key = RULE_KEY_METHOD; key <= RULE_KEY_IP; key++) {
		bool allows = rule_key_matches(&allow, key, question);
		bool denies = rule_key_matches(&deny, key, question);
		bool spelled = key == RULE_KEY_METHOD || key == RULE_KEY_PATH;

		if (key == RULE_KEY_IP && (!question->address || !rule_has_key(rule, key)))
			continue;
		require(denies || !allows);
		if (key == RULE_KEY_IP)
			spelled = ip_address_embedded(question->address, &embedded);
		require(allows == denies || spelled);
	}
	check_spelling(&deny, question);
}

static void check_nearest(const struct rule_set *set, const struct rule_question *question,
			  struct rule_decision *decision)
{
	const struct rule_table *table = &set->tables[RULE_ALLOW];
	const struct rule *rule;

	rule_set_nearest(set, question->request, decision);
	require((decision->nearest == NULL) == (table->count == 0));
	if (!decision->nearest)
		return;
	require(decision->nearest_number >= 1 && decision->nearest_number <= table->count);
	rule = table->rules[decision->nearest_number - 1];
	require(rule->text == decision->nearest);
	require(!rule_key_matches(rule, decision->nearest_failed, question));
	require(rule_key_name(decision->nearest_failed)[0] != '\0');
}

static void check_decision(const struct rule_set *set, const struct rule_request *request)
{
	struct rule_question question;
	struct rule_decision decision;
	const struct rule *deny, *allow, *first;

	rule_question_prepare(request, &question);
	deny = first_match(set, RULE_DENY, &question);
	allow = first_match(set, RULE_ALLOW, &question);
	first = deny ? deny : allow;
	rule_set_decide(set, request, &decision);
	require(decision.allowed == (allow && !deny));
	require(decision.rule == (first ? first->text : NULL));
	require(!first || (decision.number == first->number && decision.action == first->action));
	require(!decision.by_address || (decision.allowed && question.address));
	if (!first)
		check_nearest(set, &question, &decision);
	for (int action = RULE_ALLOW; action <= RULE_DENY; action++) {
		for (size_t i = 0; i < set->tables[action].count; i++)
			check_symmetry(set->tables[action].rules[i], &question);
	}
}

static bool permits(const struct rule_set *set, const struct rule_request *request)
{
	struct rule_decision decision;

	rule_set_decide(set, request, &decision);
	return decision.allowed;
}

/* With room enough, the method and an odd port are part of what is suggested. The method `*` has no word of its own. */
static void check_narrow(const struct rule_set *set, struct rule_request request)
{
	const char *method = request.method;

	request.method = "OTHER";
	if (text_is_token(method, strlen(method)) && strcmp(method, "*") != 0 && strcmp(method, "OTHER") != 0)
		require(!permits(set, &request));
	request.method = method;
	request.port ^= 1;
	if ((request.port ^ 1) != (request.scheme == RULE_HTTPS ? 443 : 80))
		require(!permits(set, &request));
}

/* What is suggested permits the request, if it fitted at all. */
static void check_suggestion(const struct rule_request *request, size_t size)
{
	char text[INPUT_MAX * 4];
	struct rule_set *set;
	size_t length = rule_suggest(request, text, size ? size : sizeof(text));

	require(length == strlen(text) && length < (size ? size : sizeof(text)));
	require(length > 0 || size > 0);
	if (length == 0)
		return;
	require(rule_set_new(&set) == 0);
	require(rule_set_add(set, RULE_ALLOW, text, "suggestion", NULL) == 0);
	require(permits(set, request));
	if (size == 0)
		check_narrow(set, *request);
	rule_set_free(set);
}

static int explain(const struct rule_set *set, const char *text, size_t size)
{
	char report[INPUT_MAX * 2] = "";
	struct error e = { 0 };
	int r = rule_set_explain(set, text, report, size, &e);

	require(r == 0 || r == 1 || (r == -EINVAL && e.code == EINVAL && e.text[0] != '\0'));
	require(strnlen(report, sizeof(report)) < size || report[0] == '\0');
	if (r >= 0 && size > 8)
		require(strncmp(report, r ? "ALLOW rule " : "DENY ", r ? 11 : 5) == 0 || size < 12);
	return r;
}

/* --explain says what the proxy would do while it does not know the address. */
static void check_explained(const struct rule_set *set, struct rule_request request)
{
	char text[INPUT_MAX * 2];
	struct rule_decision decision;

	request.address = NULL;
	for (const char *c = request.path; *c; c++) {
		if (*c <= ' ' || *c == 0x7f || *c == '?' || *c == '#')
			return;
	}
	if (!text_is_token(request.method, strlen(request.method)) || request.path[0] != '/')
		return;
	snprintf(text, sizeof(text), "%s %s://%s:%d%s", request.method, request.scheme == RULE_HTTPS ? "https" : "http",
		 request.host, request.port, request.path);
	rule_set_decide(set, &request, &decision);
	require(explain(set, text, INPUT_MAX * 2) == decision.allowed);
}

/* Hosts ----------------------------------------------------------------------------------------------------------- */

/* Canonical is canonical: it normalises to itself. */
static bool read_host(const char *text, char host[HOST_NAME_MAX_LENGTH + 1], uint16_t *port)
{
	char again[HOST_NAME_MAX_LENGTH + 1];
	struct error e = { 0 };

	*port = 0;
	if (host_port_parse(text, strlen(text), host, port, &e) < 0) {
		require(e.code == EINVAL && e.text[0] != '\0');
		return false;
	}
	require(host[0] != '\0' && strlen(host) <= HOST_NAME_MAX_LENGTH);
	require(host_normalise(host, strlen(host), again, &e) == 0 && strcmp(host, again) == 0);
	require(strspn(host, host[0] == '[' ? "[:.0123456789abcdef]" : "abcdefghijklmnopqrstuvwxyz0123456789-_.") ==
		strlen(host));
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *copy = malloc(size + 1);
	char *at = copy, *end = copy + size;
	char host[HOST_NAME_MAX_LENGTH + 1];
	struct rule_request request;
	struct ip_address address;
	struct rule_set *set;
	const char *knobs, *question, *text;

	require(copy && rule_set_new(&set) == 0);
	memcpy(copy, data, size);
	copy[size] = '\0';
	if (size > INPUT_MAX)
		goto out;
	knobs = next_text(&at, end);
	question = next_text(&at, end);
	request = (struct rule_request){ .method = next_text(&at, end), .scheme = knobs[0] & 1 };
	if (!read_host(next_text(&at, end), host, &request.port))
		strcpy(host, "a.example");
	request.host = host;
	if (request.port == 0)
		request.port = request.scheme == RULE_HTTPS ? 443 : 80;
	request.path = next_text(&at, end);
	if (request.path[0] != '/' && strcmp(request.path, "*") != 0)
		request.path = "/";
	text = next_text(&at, end);
	if (ip_address_parse(text, strlen(text), &address) == 0)
		request.address = &address;
	add_rules(set, &at, end);
	check_decision(set, &request);
	check_explained(set, request);
	check_suggestion(&request, strlen(knobs) > 1 ? (unsigned char)knobs[1] : 0);
	(void)explain(set, question, strlen(knobs) > 2 ? (unsigned char)knobs[2] : INPUT_MAX);
out:
	rule_set_free(set);
	return 0;
}
