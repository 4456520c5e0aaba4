/* A parsed rule, and whether its keys match a request; private to policy/rules. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/rules/path.h"
#include "policy/rules/rules.h"

struct port_range {
	uint16_t first;
	uint16_t last;
};

/* A list is empty when its key is absent or matches anything. All pointers are owned by the rule. */
struct rule {
	char *text;    /* verbatim */
	size_t number; /* among the rules of its action, from 1 */
	enum rule_action action;
	uint32_t keys; /* bit 1 << enum rule_key for each key that was written */

	bool any_method; /* `*` was in the list */
	char **methods;
	size_t n_methods;

	char **domains; /* canonical patterns: see domain.h */
	size_t n_domains;

	struct path_pattern *paths;
	size_t n_paths;

	struct port_range *ports;
	size_t n_ports;

	uint32_t schemes; /* bit 1 << enum rule_scheme for each that `proto` names */

	struct ip_prefix *ips;
	size_t n_ips;
};

/* Accepts NULL. */
void rule_free(struct rule *rule);

/*
 * Makes room for one more item in an array of `count` items of `size` bytes. `*array` is a pointer variable.
 * Returns 0 or -ENOMEM with the array unchanged.
 */
int rule_array_grow(void *array, size_t count, size_t size);

/* Parses `text` as rule_set_add() documents. Returns 0 with *ret to be freed by rule_free(); -EINVAL or -ENOMEM with
 * *e. */
int rule_parse(const char *text, const char *source, struct rule **ret, struct error *e);

/* What is worked out about a request once, before any rule is looked at. */
struct rule_question {
	const struct rule_request *request;
	const struct ip_address *address; /* known or literal, else NULL */
	struct ip_address literal;        /* what `address` points to for a literal host */
	bool host_is_literal;
	bool path_is_normal;
};

/* `ret` must not be copied afterwards: it points into itself. */
void rule_question_prepare(const struct rule_request *request, struct rule_question *ret);

/* True if the key was written. */
static inline bool rule_has_key(const struct rule *rule, enum rule_key key)
{
	return rule->keys & 1u << key;
}

/* True if this key of the rule lets the request pass; a key that was not written does, save for `ip`. */
bool rule_key_matches(const struct rule *rule, enum rule_key key, const struct rule_question *question);
