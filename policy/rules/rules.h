/*
 * The rule language: parsed rules, compiled into an index by host, and the decision on one request.
 * README.md of this directory holds the grammar.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/rules/address.h"
#include "shared/error.h"

struct rule_set;

enum rule_action { RULE_ALLOW, RULE_DENY };
enum rule_scheme { RULE_HTTP, RULE_HTTPS };

/* One request as the policy sees it. All strings are borrowed for the call. */
struct rule_request {
	const char *method;
	enum rule_scheme scheme;
	const char *host; /* canonical: host_normalise() */
	uint16_t port;
	const char *path;                 /* raw, begins with '/', without the query; "*" for OPTIONS * */
	const struct ip_address *address; /* the resolved address; NULL while unknown: `ip` then decides nothing */
};

enum rule_key {
	RULE_KEY_NONE,
	RULE_KEY_METHOD,
	RULE_KEY_DOMAIN,
	RULE_KEY_PATH,
	RULE_KEY_PORT,
	RULE_KEY_PROTO,
	RULE_KEY_IP
};

struct rule_decision {
	bool allowed;
	const char *rule; /* text of the first matching allow rule, or of the deny rule that won; NULL: none matched.
			     Owned by the set */
	size_t number;    /* its place among the rules of its action, from 1 */
	enum rule_action action; /* which list `rule` is from */
	bool by_address; /* allowed by a rule whose `ip` contains request->address: even the host's own addresses may be
			    dialled */
	/*
	 * Only when denied with rule == NULL, by rule_set_nearest(): the allow rule that matched most keys (one for
	 * this host before any other), and the first key that failed, the host first.
	 */
	const char *nearest; /* NULL if the set has no allow rule */
	size_t nearest_number;
	enum rule_key nearest_failed; /* RULE_KEY_IP also when a rule without `ip` met an address that is not global */
};

/* A new empty set (denies everything) in *ret. Returns 0 or -ENOMEM. */
int rule_set_new(struct rule_set **ret);

/* Accepts NULL. */
void rule_set_free(struct rule_set *set);

/*
 * Parses one rule and adds it. `source` names where it came from ("--allow 2", "config.yaml:7") and begins the error
 * text, which names the column (from 1) and what was expected there. Returns 0; -EINVAL with *e and the set unchanged;
 * -ENOMEM.
 */
int rule_set_add(struct rule_set *set, enum rule_action action, const char *text, const char *source, struct error *e);

/* How many rules of this action the set holds. */
size_t rule_set_count(const struct rule_set *set, enum rule_action action);

/*
 * Decides. A deny rule that matches wins over every allow rule; no match is a denial. With request->address set, a rule
 * with `ip` must contain it, and an allow rule without `ip` needs ip_address_is_global(). An address-literal host is
 * its own address when request->address is NULL, and needs an allow rule with `ip` even where it is global. Of the
 * rules that have `path`, a path that is not in normal form matches no allow rule and every deny rule. Deny rules match
 * a request in all spellings that servers fold: methods in any letter case, paths with encoded slashes and parameters
 * read in any way, IPv4 addresses embedded in IPv6. Time does not grow with the number of rules for other hosts.
 */
void rule_set_decide(const struct rule_set *set, const struct rule_request *request, struct rule_decision *ret);

/*
 * Fills decision->nearest* for a denial by no rule. Separate because it may look at every rule: for --explain and the
 * 403 page only.
 */
void rule_set_nearest(const struct rule_set *set, const struct rule_request *request, struct rule_decision *decision);

/* "method", "domain" …; for messages. */
const char *rule_key_name(enum rule_key key);

/*
 * Writes the narrowest rule text that would permit `request` ("domain=x method=GET path=/y", with `port=`/`ip=` only if
 * needed) to ret[]. Where `size` is too small, whole keys are left out, which makes the rule wider: path, then method;
 * if that is not enough, the text is empty. Else it always parses. Returns its length. `method` and `path` may be NULL:
 * NULL there leaves the key out (a rule for the whole host).
 */
size_t rule_suggest(const struct rule_request *request, char *ret, size_t size);

/*
 * The dry run: `text` is "METHOD URL" or "URL" (GET). Writes the report ("ALLOW rule 1: …" or "DENY (no rule matches)"
 * with the nearest rule and the key that failed) to ret[] without a final newline. Returns 1 allowed, 0 denied, -EINVAL
 * with *e for a text that is no request.
 */
int rule_set_explain(const struct rule_set *set, const char *text, char *ret, size_t size, struct error *e);
