/* The rule set and its decisions: see rules.h. */
#include "policy/rules/rules.h"

#include <errno.h>
#include <stdlib.h>

#include "policy/rules/set.h"
#include "shared/cleanup.h"

int rule_set_new(struct rule_set **ret)
{
	struct rule_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	*ret = set;
	return 0;
}

void rule_set_free(struct rule_set *set)
{
	if (!set)
		return;
	for (size_t action = 0; action < array_size(set->tables); action++) {
		struct rule_table *table = &set->tables[action];

		rule_index_clear(&table->index);
		for (size_t i = 0; i < table->count; i++)
			rule_free(table->rules[i]);
		free(table->rules);
	}
	free(set);
}

int rule_set_add(struct rule_set *set, enum rule_action action, const char *text, const char *source, struct error *e)
{
	struct rule_table *table = &set->tables[action];
	struct rule *rule;
	int r = rule_parse(text, source, &rule, e);

	if (r < 0)
		return r;
	rule->action = action;
	rule->number = table->count + 1;
	if (rule_array_grow(&table->rules, table->count, sizeof(table->rules[0])) < 0 ||
	    rule_index_add(&table->index, rule) < 0) {
		rule_free(rule);
		return error_set(e, ENOMEM, "%s: out of memory", source ? source : "rule");
	}
	table->rules[table->count++] = rule;
	table->count_with_ip += rule_has_key(rule, RULE_KEY_IP);
	return 0;
}

size_t rule_set_count(const struct rule_set *set, enum rule_action action)
{
	return set->tables[action].count;
}

struct first_match {
	const struct rule_question *question;
	const struct rule *best;
	bool need_ip;
	size_t looked_at;
};

/* The index has matched the domain already. */
static bool matches_besides_domain(const struct rule *rule, const struct rule_question *question)
{
	static const enum rule_key others[] = { RULE_KEY_METHOD, RULE_KEY_PORT, RULE_KEY_PROTO, RULE_KEY_IP,
						RULE_KEY_PATH };

	for (size_t i = 0; i < array_size(others); i++) {
		if (!rule_key_matches(rule, others[i], question))
			return false;
	}
	return true;
}

static void visit_list(const struct rule_list *list, void *user)
{
	struct first_match *match = user;

	for (size_t i = 0; i < list->count; i++) {
		const struct rule *rule = list->rules[i];

		if (match->best && rule->number >= match->best->number)
			return;
		match->looked_at++;
		if (match->need_ip && !rule_has_key(rule, RULE_KEY_IP))
			continue;
		if (matches_besides_domain(rule, match->question)) {
			match->best = rule;
			return;
		}
	}
}

const struct rule *rule_set_first_match(const struct rule_set *set, enum rule_action action, bool need_ip,
					const struct rule_question *question, size_t *ret_work)
{
	struct first_match match = { .question = question, .need_ip = need_ip };
	size_t nodes = rule_index_find(&set->tables[action].index, question->request->host, visit_list, &match);

	if (ret_work)
		*ret_work = nodes + match.looked_at;
	return match.best;
}

/* The rule that is reported may be one without `ip` though another with it matches as well. */
static bool is_allowed_by_address(const struct rule_set *set, const struct rule *rule,
				  const struct rule_question *question)
{
	if (!question->address)
		return false;
	if (rule_has_key(rule, RULE_KEY_IP))
		return true;
	return set->tables[RULE_ALLOW].count_with_ip > 0 && rule_set_first_match(set, RULE_ALLOW, true, question, NULL);
}

void rule_set_decide(const struct rule_set *set, const struct rule_request *request, struct rule_decision *ret)
{
	const struct rule *rule;
	struct rule_question question;

	rule_question_prepare(request, &question);
	rule = rule_set_first_match(set, RULE_DENY, false, &question, NULL);
	if (!rule)
		rule = rule_set_first_match(set, RULE_ALLOW, false, &question, NULL);
	*ret = (struct rule_decision){ .allowed = rule && rule->action == RULE_ALLOW };
	if (!rule)
		return;
	ret->rule = rule->text;
	ret->number = rule->number;
	ret->action = rule->action;
	ret->by_address = ret->allowed && is_allowed_by_address(set, rule, &question);
}

/* How near a rule that failed came to the request; `host` outweighs all other keys, for users think in hosts. */
struct nearness {
	bool host;
	size_t matched; /* of the keys that were written */
	size_t failed;
	enum rule_key first_failed;
};

static struct nearness measure(const struct rule *rule, const struct rule_question *question)
{
	static const enum rule_key order[] = { RULE_KEY_DOMAIN, RULE_KEY_METHOD, RULE_KEY_PATH,
					       RULE_KEY_PORT,   RULE_KEY_PROTO,  RULE_KEY_IP };
	struct nearness near = { .host = rule_key_matches(rule, RULE_KEY_DOMAIN, question) };

	for (size_t i = 0; i < array_size(order); i++) {
		if (rule_key_matches(rule, order[i], question)) {
			near.matched += rule_has_key(rule, order[i]);
			continue;
		}
		if (near.failed++ == 0)
			near.first_failed = order[i];
	}
	return near;
}

static bool is_nearer(const struct nearness *a, const struct nearness *b)
{
	if (a->host != b->host)
		return a->host;
	if (a->matched != b->matched)
		return a->matched > b->matched;
	return a->failed < b->failed;
}

void rule_set_nearest(const struct rule_set *set, const struct rule_request *request, struct rule_decision *decision)
{
	const struct rule_table *table = &set->tables[RULE_ALLOW];
	const struct rule *best = NULL;
	struct rule_question question;
	struct nearness best_near;

	rule_question_prepare(request, &question);
	for (size_t i = 0; i < table->count; i++) {
		struct nearness near = measure(table->rules[i], &question);

		if (best && !is_nearer(&near, &best_near))
			continue;
		best = table->rules[i];
		best_near = near;
	}
	decision->nearest = best ? best->text : NULL;
	decision->nearest_number = best ? best->number : 0;
	decision->nearest_failed = best ? best_near.first_failed : RULE_KEY_NONE;
}

const char *rule_key_name(enum rule_key key)
{
	static const char *const names[] = {
		[RULE_KEY_NONE] = "none", [RULE_KEY_METHOD] = "method", [RULE_KEY_DOMAIN] = "domain",
		[RULE_KEY_PATH] = "path", [RULE_KEY_PORT] = "port",     [RULE_KEY_PROTO] = "proto",
		[RULE_KEY_IP] = "ip",
	};

	return names[key];
}
