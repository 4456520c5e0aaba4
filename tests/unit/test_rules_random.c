/* Random rules and requests: the matcher against a naive one, suggestions against the matcher. */
#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/host.h"
#include "policy/rules/rules.h"
#include "shared/cleanup.h"

#define TEXT_MAX 1024
#define RULES_MAX 12
#define MIDDLE_STAR "\002" /* in an expression, what stands for `*` before the last segment */

/* Reproducible: the same numbers in each run (xorshift64*). */
static uint64_t random_state = 0x9e3779b97f4a7c15u;

static unsigned int random_below(unsigned int limit)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (unsigned int)((random_state * 2685821657736338717u) >> 33) % limit;
}

#define pick(array) ((array)[random_below(array_size(array))])

static void append(char *text, const char *more)
{
	ck_assert_uint_lt(strlen(text) + strlen(more), TEXT_MAX);
	strcat(text, more);
}

/* A rule as the naive matcher knows it: regular expressions instead of patterns. */
struct naive_rule {
	char text[TEXT_MAX];
	char domain[TEXT_MAX]; /* empty: key absent */
	char path[TEXT_MAX];
	char method[TEXT_MAX];
	unsigned int port_first, port_last; /* 0: key absent */
	int scheme;                         /* -1: key absent */
	struct ip_prefix ip;
	bool has_ip;
};

static const char *const labels[] = { "a", "b", "c", "1", "x-y" };

static void random_host(char *host)
{
	unsigned int n = 1 + random_below(4);

	host[0] = '\0';
	if (random_below(12) == 0) {
		append(host, random_below(2) ? "10.0.0.1" : "[2001:db8::1]");
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		append(host, pick(labels));
		append(host, ".");
	}
	append(host, random_below(8) ? "test" : "_t");
}

/* Appends a host pattern to the text and the same as an alternative to the expression. */
static void random_domain(struct naive_rule *rule)
{
	unsigned int n = random_below(4);

	append(rule->domain, rule->domain[0] ? "|" : "");
	if (random_below(10) == 0) {
		append(rule->text, "*");
		append(rule->domain, ".*");
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		const char *label = pick(labels);

		if (random_below(3) == 0) {
			append(rule->text, "*.");
			append(rule->domain, i == 0 ? "([^.]+\\.)+" : "[^.]+\\.");
			continue;
		}
		append(rule->text, label);
		append(rule->text, ".");
		append(rule->domain, label);
		append(rule->domain, "\\.");
	}
	append(rule->text, random_below(6) ? "test" : "TEST.");
	append(rule->domain, "test");
}

static void random_path_pattern(struct naive_rule *rule)
{
	static const char *const written[] = { "a", "b", "%61", "a%2Fb", "%2a", "a;b" };
	static const char *const meant[] = { "a", "b", "a", "a\001b", "\\*", "a;b" };
	unsigned int n = random_below(4);

	append(rule->path, rule->path[0] ? "|" : "");
	append(rule->text, n == 0 || random_below(2) ? "/" : "");
	if (n == 0)
		append(rule->path, "/.*");
	for (unsigned int i = 0; i < n; i++) {
		unsigned int which = random_below(array_size(written));
		bool star = random_below(3) == 0;

		append(rule->text, i ? "/" : "");
		append(rule->text, star ? "*" : written[which]);
		append(rule->path, "/");
		append(rule->path, !star ? meant[which] : i + 1 == n ? ".*" : MIDDLE_STAR);
	}
	if (n > 0 && random_below(4) == 0)
		append(rule->text, "/");
}

static void random_list(struct naive_rule *rule, const char *key, void (*item)(struct naive_rule *))
{
	append(rule->text, rule->text[0] ? " " : "");
	append(rule->text, key);
	item(rule);
	if (random_below(4) == 0) {
		append(rule->text, ",");
		item(rule);
	}
}

static void random_method(struct naive_rule *rule)
{
	static const char *const methods[] = { "GET", "PUT", "get" };
	const char *method = pick(methods);

	append(rule->text, method);
	append(rule->method, rule->method[0] ? "|" : "");
	append(rule->method, method);
}

static void random_rule(struct naive_rule *rule)
{
	char more[64];

	*rule = (struct naive_rule){ .scheme = -1 };
	if (random_below(8) > 0)
		random_list(rule, "domain=", random_domain);
	if (random_below(2) > 0)
		random_list(rule, "path=", random_path_pattern);
	if (random_below(3) == 0)
		random_list(rule, "method=", random_method);
	if (random_below(6) == 0) {
		rule->port_first = 440 + random_below(4);
		rule->port_last = rule->port_first + random_below(3);
		snprintf(more, sizeof(more), " port=%u-%u", rule->port_first, rule->port_last);
		append(rule->text, more);
	}
	if (random_below(6) == 0) {
		rule->scheme = random_below(2) ? RULE_HTTPS : RULE_HTTP;
		append(rule->text, rule->scheme == RULE_HTTPS ? " proto=https" : " proto=http");
	}
	if (random_below(5) == 0 || !rule->text[0]) {
		rule->has_ip = true;
		ck_assert_int_eq(ip_prefix_parse("10.0.0.0/8", 10, &rule->ip), 0);
		append(rule->text, " ip=10.0.0.0/8");
	}
}

static void random_path(char *path)
{
	static const char *const pieces[] = { "a",   "b",   "%61", "%62",     "a%2fb",      "*",        "a;b", "a",
					      "b",   "%2f", ";a",  "a;b%2Fb", "a%3bb;c%2F", "b%2f%2F;", "/",   "..",
					      "%2e", "..;", "%",   "\\",      "%00",        "a%2F..",   ",",   "..." };
	unsigned int n = random_below(5);

	path[0] = '\0';
	if (random_below(40) == 0) {
		append(path, "*");
		return;
	}
	append(path, "/");
	for (unsigned int i = 0; i < n; i++) {
		append(path, i ? "/" : "");
		append(path, random_below(6) ? pieces[random_below(14)] : pick(pieces));
	}
	if (random_below(5) == 0)
		append(path, "/");
}

static bool matches_regex(const char *expression, const char *text)
{
	char anchored[2 * TEXT_MAX];
	regex_t regex;
	int r;

	snprintf(anchored, sizeof(anchored), "^(%s)$", expression);
	ck_assert_msg(regcomp(&regex, anchored, REG_EXTENDED | REG_NOSUB) == 0, "%s", anchored);
	r = regexec(&regex, text, 0, NULL, 0);
	regfree(&regex);
	return r == 0;
}

/* Percent-decodes; an encoded slash becomes `slash`. Returns false for bad escapes and NUL. */
static bool naive_decode(const char *path, char slash, char *ret)
{
	for (; *path; path++) {
		unsigned int octet = (unsigned char)*path;

		if (*path == '%') {
			if (!matches_regex("%[0-9A-Fa-f]{2}.*", path) || sscanf(path + 1, "%2x", &octet) != 1 ||
			    octet == 0)
				return false;
			path += 2;
			octet = octet == '/' ? (unsigned char)slash : octet;
		}
		*ret++ = (char)octet;
	}
	*ret = '\0';
	return true;
}

static bool naive_normal(const char *path)
{
	char decoded[TEXT_MAX];

	return path[0] == '/' && naive_decode(path, '/', decoded) && !strstr(path, "//") && !strchr(decoded, '\\') &&
	       !matches_regex("(.*/)?\\.\\.?(;[^/]*)?(/.*)?", decoded);
}

/* Cuts each `;` off with what follows before the next slash. */
static void naive_cut(char *path)
{
	char *to = path;
	bool cut = false;

	for (; *path; path++) {
		cut = *path != '/' && (cut || *path == ';');
		if (!cut)
			*to++ = *path;
	}
	*to = '\0';
}

static void naive_merge(char *path)
{
	char *to = path;

	for (; *path; path++) {
		if (path[0] != '/' || path[1] != '/')
			*to++ = *path;
	}
	*to = '\0';
}

/* The expression with something in place of encoded slashes and of `*` in the middle. */
static void naive_expression(const char *path, char slash, const char *star, const char *tail, char *ret)
{
	strcpy(ret, "(");
	for (; *path; path++) {
		char c[2] = { *path == '\001' ? slash : *path, '\0' };

		append(ret, *path == MIDDLE_STAR[0] ? star : c);
	}
	append(ret, ")");
	append(ret, tail);
}

/* Step by step, as a server may take each or not. */
static bool naive_reading_matches(const struct naive_rule *rule, const char *path, unsigned int reading)
{
	char slash = reading & 1 ? '/' : '\001';
	char text[TEXT_MAX], decoded[TEXT_MAX], expression[TEXT_MAX];

	strcpy(text, path);
	if (reading & 2)
		naive_cut(text);
	ck_assert(naive_decode(text, slash, decoded));
	if (reading & 4)
		naive_cut(decoded);
	if (reading & 8)
		naive_merge(decoded);
	naive_expression(rule->path, slash, "[^/]*", "/?", expression);
	return matches_regex(expression, decoded);
}

static bool naive_path_matches(const struct naive_rule *rule, enum rule_action action, const char *path)
{
	char decoded[TEXT_MAX], expression[TEXT_MAX];

	if (!naive_normal(path))
		return action == RULE_DENY && path[0] == '/';
	if (action == RULE_ALLOW) {
		naive_expression(rule->path, '\001', "[^/;\001][^/\001]*", "", expression);
		return naive_decode(path, '\001', decoded) && matches_regex(expression, decoded);
	}
	for (unsigned int reading = 0; reading < 16; reading++) {
		if (naive_reading_matches(rule, path, reading))
			return true;
	}
	return false;
}

static bool naive_method_matches(const struct naive_rule *rule, enum rule_action action, const char *method)
{
	char folded[TEXT_MAX];
	size_t length = strlen(method);

	if (matches_regex(rule->method, method))
		return true;
	if (action == RULE_ALLOW)
		return false;
	for (size_t i = 0; i <= length; i++)
		folded[i] = (char)toupper((unsigned char)method[i]);
	return matches_regex(rule->method, folded) ||
	       (strcmp(folded, "GET") == 0 && matches_regex(rule->method, "get"));
}

static bool naive_matches(const struct naive_rule *rule, enum rule_action action, const struct rule_request *request)
{
	struct ip_address own;
	bool literal = ip_address_parse(request->host, strlen(request->host), &own) == 0;
	const struct ip_address *address = request->address ? request->address : literal ? &own : NULL;

	if (rule->domain[0] && !matches_regex(rule->domain, request->host))
		return false;
	if (rule->method[0] && !naive_method_matches(rule, action, request->method))
		return false;
	if (rule->port_first && (request->port < rule->port_first || request->port > rule->port_last))
		return false;
	if (rule->scheme >= 0 && rule->scheme != (int)request->scheme)
		return false;
	if (rule->has_ip &&
	    (address ? !ip_prefix_contains(&rule->ip, address) : action == RULE_DENY || !rule->domain[0]))
		return false;
	if (!rule->has_ip && action == RULE_ALLOW && (literal || (address && !ip_address_is_global(address))))
		return false;
	return !rule->path[0] || naive_path_matches(rule, action, request->path);
}

struct random_request {
	char host[TEXT_MAX], path[TEXT_MAX];
	struct ip_address address;
	struct rule_request request;
};

static void random_request(struct random_request *ret)
{
	static const char *const methods[] = { "GET", "PUT", "get", "DELETE", "M-SEARCH" };
	static const char *const addresses[] = { "10.0.0.1", "192.0.2.1", "127.0.0.1", "2606:4700::1", "fd00::1" };
	const char *address = pick(addresses);

	random_host(ret->host);
	random_path(ret->path);
	ck_assert_int_eq(ip_address_parse(address, strlen(address), &ret->address), 0);
	ret->request = (struct rule_request){
		.method = pick(methods),
		.scheme = random_below(2) ? RULE_HTTPS : RULE_HTTP,
		.host = ret->host,
		.port = (uint16_t)(440 + random_below(6)),
		.path = ret->path,
		.address = host_is_literal(ret->host) || random_below(2) ? NULL : &ret->address,
	};
}

/* The first rule that matches, from 1; 0 if none does. */
static size_t naive_first(const struct naive_rule *rules, size_t n, enum rule_action action,
			  const struct rule_request *request)
{
	for (size_t i = 0; i < n; i++) {
		if (naive_matches(&rules[i], action, request))
			return i + 1;
	}
	return 0;
}

struct tally {
	unsigned int allowed, denied, unmatched;
};

static void compare(const struct rule_set *set, struct naive_rule rules[2][RULES_MAX], const size_t n[2],
		    const struct rule_request *request, struct tally *tally)
{
	struct rule_decision decision;
	size_t deny = naive_first(rules[RULE_DENY], n[RULE_DENY], RULE_DENY, request);
	size_t allow = deny ? 0 : naive_first(rules[RULE_ALLOW], n[RULE_ALLOW], RULE_ALLOW, request);
	size_t number = deny ? deny : allow;
	const char *text = deny ? rules[RULE_DENY][deny - 1].text : allow ? rules[RULE_ALLOW][allow - 1].text : NULL;

	rule_set_decide(set, request, &decision);
	ck_assert_msg(decision.number == number && decision.allowed == (allow > 0),
		      "%s %s%s: rule %zu '%s', expected %zu '%s'", request->method, request->host, request->path,
		      decision.number, decision.rule ? decision.rule : "-", number, text ? text : "-");
	ck_assert_int_eq(decision.rule == NULL, text == NULL);
	if (text)
		ck_assert_str_eq(decision.rule, text);
	tally->allowed += allow > 0;
	tally->denied += deny > 0;
	tally->unmatched += !allow && !deny;
}

START_TEST(matcher_agrees_with_naive_one)
{
	static struct naive_rule rules[2][RULES_MAX];
	struct tally tally = { 0 };

	for (int round = 0; round < 300; round++) {
		size_t n[2] = { 1 + random_below(RULES_MAX), random_below(3) };
		struct rule_set *set;
		struct random_request random;
		struct error e;

		ck_assert_int_eq(rule_set_new(&set), 0);
		for (int action = RULE_ALLOW; action <= RULE_DENY; action++) {
			for (size_t i = 0; i < n[action]; i++) {
				random_rule(&rules[action][i]);
				ck_assert_msg(rule_set_add(set, action, rules[action][i].text, "random", &e) == 0, "%s",
					      e.text);
			}
		}
		for (int i = 0; i < 40; i++) {
			random_request(&random);
			compare(set, rules, n, &random.request, &tally);
		}
		rule_set_free(set);
	}
	/* The generator must reach all outcomes, or the comparison says little. */
	ck_assert_uint_gt(tally.allowed, 1000);
	ck_assert_uint_gt(tally.denied, 500);
	ck_assert_uint_gt(tally.unmatched, 1000);
}
END_TEST

/* '/' and octets that mean something to the rule language or to nobody. */
static void odd_path(char *path)
{
	static const char octets[] = "/a%2*,;?#. \\\001\xc3\x7f+&=";
	unsigned int n = random_below(12);

	path[0] = '/';
	for (unsigned int i = 1; i <= n; i++)
		path[i] = octets[random_below(sizeof(octets) - 1)];
	path[n + 1] = '\0';
}

START_TEST(suggestion_permits_the_request)
{
	for (int round = 0; round < 20000; round++) {
		static const char *const odd_hosts[] = {
			"_a.example.com", "a._b.example.com", "a._b._c",           "-x.y",     "x-.y",
			"[::1]",          "127.0.0.1",        "_a._b.example.com", "localhost"
		};
		struct rule_set *set;
		struct random_request random;
		struct rule_decision decision;
		struct error e;
		char text[1024];
		size_t size = random_below(4) ? sizeof(text) : 70 + random_below(60);
		size_t length;

		random_request(&random);
		if (random_below(3) == 0)
			strcpy(random.host, pick(odd_hosts));
		if (random_below(2) == 0)
			odd_path(random.path);
		length = rule_suggest(&random.request, text, size);
		ck_assert_uint_eq(length, strlen(text));
		ck_assert_uint_lt(length, size);
		ck_assert_uint_gt(length, 0);
		ck_assert_int_eq(rule_set_new(&set), 0);
		ck_assert_msg(rule_set_add(set, RULE_ALLOW, text, "suggestion", &e) == 0, "%s: %s", text, e.text);
		rule_set_decide(set, &random.request, &decision);
		ck_assert_msg(decision.allowed, "%s does not permit %s %s%s", text, random.request.method, random.host,
			      random.path);
		rule_set_free(set);
	}
}
END_TEST

static void spoil(char *text)
{
	static const char octets[] = "=,*./ \t\n-_:%[]ax19\001\177\200\303\251\377";
	size_t length = strlen(text);

	for (unsigned int n = 1 + random_below(3); n > 0 && length > 0; n--)
		text[random_below((unsigned int)length)] = octets[random_below(sizeof(octets) - 1)];
	if (random_below(4) == 0)
		text[random_below((unsigned int)length + 1)] = '\0';
}

START_TEST(spoiled_rules_are_refused_at_a_place)
{
	unsigned int accepted = 0, refused = 0;

	for (int round = 0; round < 30000; round++) {
		static struct naive_rule rule;
		struct rule_set *set;
		struct error e = { .code = 0 };
		unsigned int column;
		int r;

		random_rule(&rule);
		spoil(rule.text);
		ck_assert_int_eq(rule_set_new(&set), 0);
		r = rule_set_add(set, RULE_ALLOW, rule.text, "src", &e);
		ck_assert_uint_eq(rule_set_count(set, RULE_ALLOW), r == 0);
		accepted += r == 0;
		refused += r < 0;
		if (r < 0) {
			ck_assert_int_eq(r, -EINVAL);
			ck_assert_msg(sscanf(e.text, "src: column %u: expected", &column) == 1 &&
					      strstr(e.text, ", found "),
				      "%s", e.text);
			ck_assert_uint_ge(column, 1);
			ck_assert_uint_le(column, strlen(rule.text) + 1);
		}
		rule_set_free(set);
	}
	ck_assert_uint_gt(accepted, 1000);
	ck_assert_uint_gt(refused, 1000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rules, random");
	TCase *tcase = tcase_create("random");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, matcher_agrees_with_naive_one);
	tcase_add_test(tcase, suggestion_permits_the_request);
	tcase_add_test(tcase, spoiled_rules_are_refused_at_a_place);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
