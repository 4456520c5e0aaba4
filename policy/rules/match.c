/* Whether one rule's keys let one request pass: see rule.h. */
#include <string.h>

#include "policy/rules/domain.h"
#include "policy/rules/host.h"
#include "policy/rules/rule.h"
#include "policy/rules/text.h"

void rule_question_prepare(const struct rule_request *request, struct rule_question *ret)
{
	*ret = (struct rule_question){
		.request = request,
		.address = request->address,
		.host_is_literal = host_is_literal(request->host),
		.path_is_normal = request->path && path_is_normal(request->path),
	};
	if (!ret->address && ret->host_is_literal &&
	    ip_address_parse(request->host, strlen(request->host), &ret->literal) == 0)
		ret->address = &ret->literal;
}

/* Many servers take "delete" for DELETE: in lower case it must not escape a deny rule. */
static bool method_matches(const struct rule *rule, const char *method)
{
	if (rule->any_method)
		return true;
	for (size_t i = 0; i < rule->n_methods; i++) {
		if (rule->action == RULE_DENY ? text_same_letters(rule->methods[i], method)
					      : strcmp(rule->methods[i], method) == 0)
			return true;
	}
	return false;
}

static bool any_domain_matches(const struct rule *rule, const char *host)
{
	for (size_t i = 0; i < rule->n_domains; i++) {
		if (domain_matches(rule->domains[i], host))
			return true;
	}
	return false;
}

static bool any_path_matches(const struct rule *rule, const struct rule_question *question)
{
	/* Servers differ in what they make of such a path: it may be any, so it escapes no deny rule and fits no allow
	 * rule. */
	if (!question->path_is_normal)
		return rule->action == RULE_DENY && question->request->path[0] == '/';
	for (size_t i = 0; i < rule->n_paths; i++) {
		const struct path_pattern *pattern = &rule->paths[i];

		if (rule->action == RULE_DENY ? path_pattern_may_match(pattern, question->request->path)
					      : path_pattern_matches(pattern, question->request->path))
			return true;
	}
	return false;
}

static bool port_matches(const struct rule *rule, uint16_t port)
{
	for (size_t i = 0; i < rule->n_ports; i++) {
		if (port >= rule->ports[i].first && port <= rule->ports[i].last)
			return true;
	}
	return false;
}

/* A deny rule for an IPv4 address is not escaped by the IPv6 one that leads there, too. */
static bool any_ip_contains(const struct rule *rule, const struct ip_address *address)
{
	struct ip_address embedded;
	bool two = rule->action == RULE_DENY && ip_address_embedded(address, &embedded);

	for (size_t i = 0; i < rule->n_ips; i++) {
		if (ip_prefix_contains(&rule->ips[i], address) || (two && ip_prefix_contains(&rule->ips[i], &embedded)))
			return true;
	}
	return false;
}

/*
 * While the address is unknown `ip` must decide nothing: an allow rule passes for now, a deny rule does not strike yet.
 * An allow rule without `domain` is for address literals: else every name would be looked up, and who is asked for a
 * name learns it. One that another rule allows it may still lead to these addresses.
 * An allow rule without `ip` leads to global addresses only, and never to an address literal.
 */
static bool ip_matches(const struct rule *rule, const struct rule_question *question)
{
	bool written = rule_has_key(rule, RULE_KEY_IP);

	if (written && !question->address)
		return rule->action == RULE_ALLOW && rule_has_key(rule, RULE_KEY_DOMAIN);
	if (written)
		return any_ip_contains(rule, question->address);
	if (rule->action == RULE_DENY)
		return true;
	return !question->host_is_literal && (!question->address || ip_address_is_global(question->address));
}

bool rule_key_matches(const struct rule *rule, enum rule_key key, const struct rule_question *question)
{
	const struct rule_request *request = question->request;

	if (key == RULE_KEY_IP)
		return ip_matches(rule, question);
	if (!rule_has_key(rule, key))
		return true;
	switch (key) {
	case RULE_KEY_METHOD:
		return method_matches(rule, request->method);
	case RULE_KEY_DOMAIN:
		return any_domain_matches(rule, request->host);
	case RULE_KEY_PATH:
		return any_path_matches(rule, question);
	case RULE_KEY_PORT:
		return port_matches(rule, request->port);
	case RULE_KEY_PROTO:
		return rule->schemes & 1u << request->scheme;
	case RULE_KEY_IP:
	case RULE_KEY_NONE:
		break;
	}
	return true;
}
