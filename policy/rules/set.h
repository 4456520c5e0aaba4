/* What the files of the rule set share, and what tests look at; private to policy/rules. */
#pragma once

#include "policy/rules/index.h"

struct rule_table {
	struct rule **rules; /* owned; rules[i]->number is i + 1 */
	size_t count;
	size_t count_with_ip; /* how many of them have the key `ip` */
	struct rule_index index;
};

struct rule_set {
	struct rule_table tables[2]; /* by enum rule_action */
};

/*
 * The rule of this action with the lowest number that matches, or NULL; of those with `ip` only if `need_ip`.
 * *ret_work, unless NULL, is the number of index nodes and rules that were looked at on the way.
 */
const struct rule *rule_set_first_match(const struct rule_set *set, enum rule_action action, bool need_ip,
					const struct rule_question *question, size_t *ret_work);
