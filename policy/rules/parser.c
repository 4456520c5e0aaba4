/* From the text of a rule to struct rule. domain.c and path.c parse their patterns; the other keys are here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/domain.h"
#include "policy/rules/lexer.h"
#include "policy/rules/rule.h"
#include "policy/rules/text.h"
#include "shared/cleanup.h"

int rule_array_grow(void *array, size_t count, size_t size)
{
	void **items = array;
	void *grown;

	/* Capacity is the next power of two: full exactly when the count is one. */
	if (count & (count - 1))
		return 0;
	grown = reallocarray(*items, count ? count * 2 : 1, size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	return 0;
}

void rule_free(struct rule *rule)
{
	if (!rule)
		return;
	for (size_t i = 0; i < rule->n_methods; i++)
		free(rule->methods[i]);
	for (size_t i = 0; i < rule->n_domains; i++)
		free(rule->domains[i]);
	for (size_t i = 0; i < rule->n_paths; i++)
		path_pattern_clear(&rule->paths[i]);
	free(rule->methods);
	free(rule->domains);
	free(rule->paths);
	free(rule->ports);
	free(rule->ips);
	free(rule->text);
	free(rule);
}

static void cleanup_rule(struct rule **rule)
{
	rule_free(*rule);
}

static bool value_is(const char *text, size_t length, const char *word)
{
	return length == strlen(word) && memcmp(text, word, length) == 0;
}

static int method_item(const struct lexer *lexer, const char *text, size_t length, void *user)
{
	struct rule *rule = user;
	char *copy;

	if (value_is(text, length, "*")) {
		rule->any_method = true;
		return 0;
	}
	if (!text_is_token(text, length))
		return lexer_error(lexer, text, length, "a method (RFC 9110 token); like GET");
	if (rule_array_grow(&rule->methods, rule->n_methods, sizeof(rule->methods[0])) < 0)
		return lexer_no_memory(lexer);
	copy = strndup(text, length);
	if (!copy)
		return lexer_no_memory(lexer);
	rule->methods[rule->n_methods++] = copy;
	return 0;
}

static int parse_method(const struct lexer *lexer, const struct word *word, struct rule *rule)
{
	return lexer_list(lexer, word, method_item, rule);
}

static int domain_item(const struct lexer *lexer, const char *text, size_t length, void *user)
{
	struct rule *rule = user;
	int r;

	if (rule_array_grow(&rule->domains, rule->n_domains, sizeof(rule->domains[0])) < 0)
		return lexer_no_memory(lexer);
	r = domain_parse(lexer, text, length, &rule->domains[rule->n_domains]);
	if (r == 0)
		rule->n_domains++;
	return r;
}

static int parse_domain(const struct lexer *lexer, const struct word *word, struct rule *rule)
{
	if (rule->n_domains > 0)
		return lexer_error(lexer, word->key, word->key_length,
				   "domain= only once in a rule; separate hosts by commas or write two rules");
	return lexer_list(lexer, word, domain_item, rule);
}

static int path_item(const struct lexer *lexer, const char *text, size_t length, void *user)
{
	struct rule *rule = user;
	int r;

	if (rule_array_grow(&rule->paths, rule->n_paths, sizeof(rule->paths[0])) < 0)
		return lexer_no_memory(lexer);
	r = path_pattern_parse(lexer, text, length, &rule->paths[rule->n_paths]);
	if (r == 0)
		rule->n_paths++;
	return r;
}

static int parse_path(const struct lexer *lexer, const struct word *word, struct rule *rule)
{
	if (word->value_length == 0)
		return path_item(lexer, word->value, 0, rule);
	return lexer_list(lexer, word, path_item, rule);
}

static int port_item(const struct lexer *lexer, const char *text, size_t length, void *user)
{
	const char *hyphen = memchr(text, '-', length);
	size_t first_length = hyphen ? (size_t)(hyphen - text) : length;
	struct rule *rule = user;
	struct port_range range;

	if (text_parse_port(text, first_length, &range.first) < 0)
		return lexer_error(lexer, text, length, "a port from 1 to 65535 or a range; like 443 or 8000-8999");
	range.last = range.first;
	if (hyphen && text_parse_port(hyphen + 1, length - first_length - 1, &range.last) < 0)
		return lexer_error(lexer, text, length, "a port from 1 to 65535 after the hyphen; like 8000-8999");
	if (range.last < range.first)
		return lexer_error(lexer, text, length, "a range from the smaller port to the larger; write %d-%d",
				   range.last, range.first);
	if (rule_array_grow(&rule->ports, rule->n_ports, sizeof(rule->ports[0])) < 0)
		return lexer_no_memory(lexer);
	rule->ports[rule->n_ports++] = range;
	return 0;
}

static int parse_port(const struct lexer *lexer, const struct word *word, struct rule *rule)
{
	return lexer_list(lexer, word, port_item, rule);
}

static int proto_item(const struct lexer *lexer, const char *text, size_t length, void *user)
{
	struct rule *rule = user;

	if (value_is(text, length, "tcp"))
		return lexer_error(lexer, text, length,
				   "http or https; this version does not support proto=tcp yet, "
				   "only HTTP and HTTPS pass: use proto=http, proto=https or leave proto= out");
	if (value_is(text, length, "http"))
		rule->schemes |= 1u << RULE_HTTP;
	else if (value_is(text, length, "https"))
		rule->schemes |= 1u << RULE_HTTPS;
	else
		return lexer_error(lexer, text, length, "http or https");
	return 0;
}

static int parse_proto(const struct lexer *lexer, const struct word *word, struct rule *rule)
{
	return lexer_list(lexer, word, proto_item, rule);
}

static int ip_item(const struct lexer *lexer, const char *text, size_t length, void *user)
{
	const char *slash = memchr(text, '/', length);
	struct rule *rule = user;
	struct ip_address address;
	struct ip_prefix prefix;

	if (ip_prefix_parse(text, length, &prefix) < 0) {
		if (slash && ip_address_parse(text, (size_t)(slash - text), &address) == 0)
			return lexer_error(
				lexer, text, length,
				"a prefix whose address is all zeros behind its length; like 10.0.0.0/8 or 10.0.0.1");
		return lexer_error(lexer, text, length,
				   "an IP address or prefix; like 10.0.0.1, 10.0.0.0/8 or fd00::/8");
	}
	if (rule_array_grow(&rule->ips, rule->n_ips, sizeof(rule->ips[0])) < 0)
		return lexer_no_memory(lexer);
	rule->ips[rule->n_ips++] = prefix;
	return 0;
}

static int parse_ip(const struct lexer *lexer, const struct word *word, struct rule *rule)
{
	return lexer_list(lexer, word, ip_item, rule);
}

/* The only value there is today is the default, so nothing is stored. */
static int parse_tls(const struct lexer *lexer, const struct word *word, struct rule *rule)
{
	(void)rule;
	if (value_is(word->value, word->value_length, "inspect"))
		return 0;
	if (value_is(word->value, word->value_length, "passthrough"))
		return lexer_error(lexer, word->value, word->value_length,
				   "inspect; this version does not support tls=passthrough yet: "
				   "use tls=inspect or leave tls= out, connections are then opened and inspected");
	return lexer_error(lexer, word->value, word->value_length, "inspect");
}

struct key {
	const char *name;
	enum rule_key key;
	int (*parse)(const struct lexer *lexer, const struct word *word, struct rule *rule);
};

static const struct key keys[] = {
	{ "method", RULE_KEY_METHOD, parse_method }, { "domain", RULE_KEY_DOMAIN, parse_domain },
	{ "path", RULE_KEY_PATH, parse_path },       { "port", RULE_KEY_PORT, parse_port },
	{ "proto", RULE_KEY_PROTO, parse_proto },    { "ip", RULE_KEY_IP, parse_ip },
	{ "tls", RULE_KEY_NONE, parse_tls },
};

static const struct {
	const char *wrong;
	const char *right;
} near_misses[] = {
	{ "host", "domain" },  { "hosts", "domain" },   { "hostname", "domain" }, { "domains", "domain" },
	{ "url", "domain" },   { "methods", "method" }, { "paths", "path" },      { "ports", "port" },
	{ "scheme", "proto" }, { "protocol", "proto" }, { "address", "ip" },      { "cidr", "ip" },
};

static int unknown_key(const struct lexer *lexer, const struct word *word)
{
	const char *right = NULL;

	for (size_t i = 0; i < array_size(near_misses) && !right; i++) {
		if (value_is(word->key, word->key_length, near_misses[i].wrong))
			right = near_misses[i].right;
	}
	for (size_t i = 0; i < array_size(keys) && !right; i++) {
		if (word->key_length == strlen(keys[i].name) &&
		    strncasecmp(word->key, keys[i].name, word->key_length) == 0)
			right = keys[i].name;
	}
	if (right)
		return lexer_error(lexer, word->key, word->key_length,
				   "one of method, domain, path, port, proto, ip, tls; write %s=", right);
	return lexer_error(lexer, word->key, word->key_length, "one of method, domain, path, port, proto, ip, tls");
}

static int parse_word(const struct lexer *lexer, const struct word *word, struct rule *rule)
{
	for (size_t i = 0; i < array_size(keys); i++) {
		if (!value_is(word->key, word->key_length, keys[i].name))
			continue;
		rule->keys |= 1u << keys[i].key;
		return keys[i].parse(lexer, word, rule);
	}
	return unknown_key(lexer, word);
}

int rule_parse(const char *text, const char *source, struct rule **ret, struct error *e)
{
	_cleanup_(cleanup_rule) struct rule *rule = calloc(1, sizeof(*rule));
	struct lexer lexer;
	struct word word;
	int r = lexer_start(&lexer, text, source, e);

	if (r < 0)
		return r;
	if (!rule || !(rule->text = strdup(text)))
		return lexer_no_memory(&lexer);
	while ((r = lexer_next(&lexer, &word)) > 0) {
		r = parse_word(&lexer, &word, rule);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	/* `tls` says what to do with a connection, not which one is meant. */
	if ((rule->keys & ~(1u << RULE_KEY_NONE)) == 0)
		return lexer_error(&lexer, lexer.text + lexer.length, 0,
				   "%s; an empty rule would match everything: if that is meant, write domain=*",
				   rule->keys ? "a key besides tls" : "KEY=VALUE");
	*ret = take_ptr(rule);
	return 0;
}
