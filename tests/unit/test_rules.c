/* policy/rules/rules.h: the language, what it matches and how it complains. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/rules.h"
#include "shared/cleanup.h"

static struct rule_set *set_of(const char *allow, const char *deny)
{
	struct rule_set *set;
	struct error e = { .code = 0 };

	ck_assert_int_eq(rule_set_new(&set), 0);
	if (allow)
		ck_assert_msg(rule_set_add(set, RULE_ALLOW, allow, "--allow 1", &e) == 0, "%s", e.text);
	if (deny)
		ck_assert_msg(rule_set_add(set, RULE_DENY, deny, "--deny 1", &e) == 0, "%s", e.text);
	return set;
}

static bool allows(const char *rule, const char *host, const char *method, const char *path)
{
	struct rule_set *set = set_of(rule, NULL);
	struct rule_request request = {
		.method = method, .scheme = RULE_HTTPS, .host = host, .port = 443, .path = path
	};
	struct rule_decision decision;

	rule_set_decide(set, &request, &decision);
	rule_set_free(set);
	return decision.allowed;
}

static const struct {
	const char *rule;
	const char *host;
	bool match;
} domain_cases[] = {
	{ "domain=github.com", "github.com", true },
	{ "domain=github.com", "api.github.com", false },
	{ "domain=github.com", "xgithub.com", false },
	{ "domain=github.com", "github.com.evil", false },
	{ "domain=GitHub.COM", "github.com", true },
	{ "domain=github.com.", "github.com", true },
	{ "domain=*.github.com", "github.com", false },
	{ "domain=*.github.com", "api.github.com", true },
	{ "domain=*.github.com", "a.b.c.github.com", true },
	{ "domain=*.github.com", "xgithub.com", false },
	{ "domain=api.*.com", "api.github.com", true },
	{ "domain=api.*.com", "api.a.b.com", false },
	{ "domain=api.*.com", "api.com", false },
	{ "domain=*.*.com", "a.b.com", true },
	{ "domain=*.*.com", "a.b.c.com", true },
	{ "domain=*.*.com", "b.com", false },
	{ "domain=*.x.*.com", "a.b.x.y.com", true },
	{ "domain=*.x.*.com", "x.y.com", false },
	{ "domain=*", "anything.at.all", true },
	{ "domain=*", "localhost", true },
	{ "method=GET", "anything.at.all", true },
	{ "domain=a.example,b.example", "b.example", true },
	{ "domain=a.example,b.example", "c.example", false },
	{ "domain=b\xc3\xbc"
	  "cher.example",
	  "xn--bcher-kva.example", true },
	{ "domain=*.B\xc3\x9c"
	  "CHER.example",
	  "www.xn--bcher-kva.example", true },
	{ "domain=*.fa\xc3\x9f.*.example", "a.xn--fa-hia.b.example", true },
	{ "domain=xn--bcher-kva.example", "xn--bcher-kva.example", true },
	{ "domain=*.example", "_srv.example", true },
	{ "domain=*.example", "example", false },
	{ "domain=localhost", "localhost", true },
	/* Address literals need ip=. */
	{ "domain=192.0.2.1", "192.0.2.1", false },
	{ "domain=*", "192.0.2.1", false },
	{ "domain=192.0.2.1 ip=192.0.2.1", "192.0.2.1", true },
	{ "domain=192.0.2.1 ip=192.0.2.2", "192.0.2.1", false },
	{ "ip=10.0.0.0/8", "10.1.2.3", true },
	{ "ip=10.0.0.0/8", "11.1.2.3", false },
	{ "ip=::1", "[::1]", true },
	{ "domain=* ip=::1", "[::1]", true },
	{ "domain=*.1 ip=0.0.0.0/0,::/0", "[::1]", false },
	{ "method=GET", "[2606:4700::1111]", false },
};

START_TEST(domains)
{
	ck_assert_msg(allows(domain_cases[_i].rule, domain_cases[_i].host, "GET", "/") == domain_cases[_i].match,
		      "%s, host %s", domain_cases[_i].rule, domain_cases[_i].host);
}
END_TEST

static const struct {
	const char *rule;
	const char *path;
	bool match;
} path_cases[] = {
	{ "path=/api/*", "/api/", true },
	{ "path=/api/*", "/api/v1/x", true },
	{ "path=/api/*", "/api", false },
	{ "path=/api/*", "/apix/y", false },
	{ "path=api/*", "/api/x", true },
	{ "path=/api/users", "/api/users", true },
	{ "path=/api/users", "/api/users/", false },
	{ "path=/api/users/", "/api/users", true },
	{ "path=/api/users/", "/api/users/", false },
	{ "path=/api/users", "/api/users/1", false },
	{ "path=/api/users", "/API/users", false },
	{ "path=/a/*/c", "/a/b/c", true },
	{ "path=/a/*/c", "/a/b/b/c", false },
	{ "path=/a/*/c", "/a/c", false },
	{ "path=/a/*/*", "/a/b/", true },
	{ "path=/a/*/*", "/a/b", false },
	{ "path=/*/", "/x/y", true },
	{ "path=*", "/", true },
	{ "path=/*", "/x", true },
	{ "path=/", "/", true },
	{ "path=/", "/a/b/c", true },
	{ "path=", "/a/b/c", true },
	{ "path= method=GET", "/a/b/c", true },
	{ "path=/a,/b/*", "/b/x", true },
	{ "path=/a,/b/*", "/a", true },
	{ "path=/a path=/b", "/b", true },
	{ "path=/a/b", "/a%2Fb", false },
	{ "path=/a%2fb", "/a%2Fb", true },
	{ "path=/a%2fb", "/a/b", false },
	{ "path=/%61", "/a", true },
	{ "path=/a", "/%61", true },
	{ "path=/a%20b", "/a%20b", true },
	{ "path=/a+b", "/a%20b", false },
	{ "path=/%2A", "/*", true },
	{ "path=/%2A", "/x", false },
	{ "path=/\xc3\xa9", "/%C3%A9", true },
	{ "path=/a%2Cb", "/a,b", true },
	{ "path=/a%252e", "/a%252E", false }, /* decoded once: "%2e" and "%2E" differ */
	{ "path=/a=b&c", "/a=b&c", true },
	{ "path=/a;b", "/a;b", true },
	{ "path=/a/*", "/a/..x", true },
	{ "path=/a/*", "/a/...", true },
	{ "path=/a/*", "/a/;..", true },
	/* Not in normal form. */
	{ "path=/", "/a/./b", false },
	{ "path=/a/*", "/a/../b", false },
	{ "path=/a/*", "/a/..", false },
	{ "path=/a/*", "/a/.", false },
	{ "path=/a/*", "/a/%2e%2E/b", false },
	{ "path=/a/*", "/a/.%2e/b", false },
	{ "path=/a/*", "/a/..%2Fb", false },
	{ "path=/a/*", "/a/x%2f..%2fb", false },
	{ "path=/a/*", "/a/..;/b", false },
	{ "path=/a/*", "/a/.;v=1/b", false },
	{ "path=/a/*", "/a//b", false },
	{ "path=*", "//", false },
	{ "path=/a/*", "/a/b\\c", false },
	{ "path=/a/*", "/a/b%5cc", false },
	{ "path=/a/*", "/a/b%00", false },
	{ "path=/a/*", "/a/%", false },
	{ "path=/a/*", "/a/%4", false },
	{ "path=/a/*", "/a/%zz", false },
	{ "path=/a/*", "/a/b c", false },
	{ "path=", "*", false },
	/* They still match rules without path. */
	{ "method=GET", "/a/../b", true },
	{ "method=GET", "//", true },
	{ "method=GET", "/%zz", true },
	{ "method=GET", "*", true },
};

START_TEST(paths)
{
	ck_assert_msg(allows(path_cases[_i].rule, "example.com", "GET", path_cases[_i].path) == path_cases[_i].match,
		      "%s, path %s", path_cases[_i].rule, path_cases[_i].path);
}
END_TEST

START_TEST(methods)
{
	ck_assert(allows("method=GET", "a.example", "GET", "/"));
	ck_assert(!allows("method=GET", "a.example", "get", "/"));
	ck_assert(!allows("method=GET", "a.example", "GETX", "/"));
	ck_assert(!allows("method=GET", "a.example", "HEAD", "/"));
	ck_assert(allows("method=GET,HEAD", "a.example", "HEAD", "/"));
	ck_assert(allows("method=GET method=HEAD", "a.example", "HEAD", "/"));
	ck_assert(allows("method=GET method=HEAD", "a.example", "GET", "/"));
	ck_assert(allows("method=*", "a.example", "PROPFIND", "/"));
	ck_assert(allows("method=GET,*", "a.example", "PROPFIND", "/"));
	ck_assert(allows("domain=a.example", "a.example", "PROPFIND", "/"));
	ck_assert(allows("method=a!#$%&'*+-.^_`|~9", "a.example", "a!#$%&'*+-.^_`|~9", "/"));
}
END_TEST

static bool allows_port(const char *rule, enum rule_scheme scheme, uint16_t port)
{
	struct rule_set *set = set_of(rule, NULL);
	struct rule_request request = {
		.method = "GET", .scheme = scheme, .host = "a.example", .port = port, .path = "/"
	};
	struct rule_decision decision;

	rule_set_decide(set, &request, &decision);
	rule_set_free(set);
	return decision.allowed;
}

START_TEST(ports_and_protocols)
{
	ck_assert(allows_port("port=443", RULE_HTTPS, 443));
	ck_assert(!allows_port("port=443", RULE_HTTPS, 442));
	ck_assert(!allows_port("port=443", RULE_HTTPS, 444));
	ck_assert(allows_port("port=80,8000-8999", RULE_HTTP, 8000));
	ck_assert(allows_port("port=80,8000-8999", RULE_HTTP, 8999));
	ck_assert(!allows_port("port=80,8000-8999", RULE_HTTP, 9000));
	ck_assert(!allows_port("port=80,8000-8999", RULE_HTTP, 7999));
	ck_assert(allows_port("port=1-65535", RULE_HTTP, 65535));
	ck_assert(allows_port("port=5 port=6", RULE_HTTP, 6));
	ck_assert(allows_port("domain=a.example", RULE_HTTP, 1234));
	ck_assert(allows_port("proto=http", RULE_HTTP, 80));
	ck_assert(!allows_port("proto=http", RULE_HTTPS, 443));
	ck_assert(allows_port("proto=https", RULE_HTTPS, 443));
	ck_assert(!allows_port("proto=https", RULE_HTTP, 80));
	ck_assert(allows_port("proto=http,https", RULE_HTTP, 80));
	ck_assert(allows_port("proto=http proto=https", RULE_HTTPS, 80));
	ck_assert(allows_port("tls=inspect domain=a.example", RULE_HTTPS, 443));
	ck_assert(allows_port("tls=inspect port=443", RULE_HTTPS, 443));
	ck_assert(!allows_port("tls=inspect port=443", RULE_HTTPS, 444));
}
END_TEST

static struct rule_decision decide_at(const struct rule_set *set, const char *host, const char *address)
{
	struct ip_address parsed;
	struct rule_request request = { .method = "GET",
					.scheme = RULE_HTTPS,
					.host = host,
					.port = 443,
					.path = "/",
					.address = address ? &parsed : NULL };
	struct rule_decision decision;

	if (address)
		ck_assert_int_eq(ip_address_parse(address, strlen(address), &parsed), 0);
	rule_set_decide(set, &request, &decision);
	return decision;
}

START_TEST(allow_and_addresses)
{
	struct rule_set *set = set_of("domain=a.example", NULL);

	ck_assert(decide_at(set, "a.example", NULL).allowed);
	ck_assert(decide_at(set, "a.example", "192.0.2.1").allowed);
	ck_assert(!decide_at(set, "a.example", "192.0.2.1").by_address);
	ck_assert(!decide_at(set, "a.example", "10.0.0.1").allowed);
	ck_assert(!decide_at(set, "a.example", "169.254.169.254").allowed);
	ck_assert(!decide_at(set, "a.example", "::1").allowed);
	ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, "domain=a.example ip=10.0.0.0/8,192.0.2.1", "t", NULL), 0);
	ck_assert(decide_at(set, "a.example", "10.0.0.1").allowed);
	ck_assert_uint_eq(decide_at(set, "a.example", "10.0.0.1").number, 2);
	ck_assert(decide_at(set, "a.example", "10.0.0.1").by_address);
	ck_assert(!decide_at(set, "a.example", "127.0.0.1").allowed);
	/* Rule 1 is reported, but rule 2 names the address. */
	ck_assert_uint_eq(decide_at(set, "a.example", "192.0.2.1").number, 1);
	ck_assert(decide_at(set, "a.example", "192.0.2.1").by_address);
	ck_assert(!decide_at(set, "a.example", "192.0.2.2").by_address);
	rule_set_free(set);
}
END_TEST

START_TEST(ip_while_unknown)
{
	struct rule_set *set = set_of("domain=a.example ip=10.0.0.0/8", NULL);

	ck_assert(decide_at(set, "a.example", NULL).allowed);
	ck_assert(!decide_at(set, "a.example", NULL).by_address);
	rule_set_free(set);
	set = set_of("domain=a.example", "ip=192.0.2.0/24");
	ck_assert(decide_at(set, "a.example", NULL).allowed);
	ck_assert(!decide_at(set, "a.example", "192.0.2.9").allowed);
	ck_assert(decide_at(set, "a.example", "198.51.100.1").allowed);
	rule_set_free(set);
	/* A rule without a domain lets no name be looked up, but one that is may lead where it says. */
	set = set_of("ip=10.0.0.0/8", NULL);
	ck_assert(!decide_at(set, "a.example", NULL).allowed);
	ck_assert(decide_at(set, "10.0.0.1", NULL).allowed);
	ck_assert(decide_at(set, "a.example", "10.0.0.1").allowed);
	rule_set_free(set);
}
END_TEST

START_TEST(deny_wins)
{
	struct rule_set *set = set_of("domain=*.example", "domain=bad.example");
	struct rule_decision decision = decide_at(set, "bad.example", NULL);

	ck_assert(!decision.allowed);
	ck_assert_int_eq(decision.action, RULE_DENY);
	ck_assert_str_eq(decision.rule, "domain=bad.example");
	ck_assert_uint_eq(decision.number, 1);
	ck_assert(decide_at(set, "good.example", NULL).allowed);
	rule_set_free(set);
	/* Deny rules need no ip= to reach address literals and special addresses. */
	set = set_of("ip=0.0.0.0/0", "domain=10.0.0.1");
	ck_assert(!decide_at(set, "10.0.0.1", NULL).allowed);
	ck_assert(decide_at(set, "10.0.0.2", NULL).allowed);
	rule_set_free(set);
	set = set_of("domain=a.example ip=10.0.0.1", "method=GET");
	ck_assert(!decide_at(set, "a.example", "10.0.0.1").allowed);
	rule_set_free(set);
}
END_TEST

static bool allows_despite(const char *deny, const char *path)
{
	struct rule_set *set = set_of("domain=a.example", deny);
	struct rule_request request = {
		.method = "GET", .scheme = RULE_HTTP, .host = "a.example", .port = 80, .path = path
	};
	struct rule_decision decision;

	rule_set_decide(set, &request, &decision);
	rule_set_free(set);
	return decision.allowed;
}

START_TEST(deny_is_not_escaped_by_odd_paths)
{
	ck_assert(!allows_despite("path=/admin/*", "/admin/x"));
	ck_assert(allows_despite("path=/admin/*", "/public"));
	ck_assert(!allows_despite("path=/admin/*", "/%61dmin/x"));
	ck_assert(!allows_despite("path=/admin/*", "//admin/x"));
	ck_assert(!allows_despite("path=/admin/*", "/./admin/x"));
	ck_assert(!allows_despite("path=/admin/*", "/public/..%2fadmin/x"));
	ck_assert(!allows_despite("path=/admin/*", "/\\admin/x"));
	ck_assert(allows_despite("path=/admin/* domain=other.example", "//admin/x"));
	ck_assert(allows_despite("path=/admin/*", "*"));
}
END_TEST

START_TEST(first_match_is_reported)
{
	static const char *const rules[] = { "domain=x.example",   "method=PUT", "domain=*.b.example",
					     "domain=a.*.example", "method=GET", "domain=a.b.example" };
	struct rule_set *set;

	ck_assert_int_eq(rule_set_new(&set), 0);
	ck_assert(!decide_at(set, "a.b.example", NULL).allowed);
	ck_assert_ptr_null(decide_at(set, "a.b.example", NULL).rule);
	for (size_t i = array_size(rules); i-- > 0;)
		ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, rules[i], "t", NULL), 0);
	ck_assert_uint_eq(rule_set_count(set, RULE_ALLOW), array_size(rules));
	ck_assert_uint_eq(rule_set_count(set, RULE_DENY), 0);
	ck_assert_uint_eq(decide_at(set, "a.b.example", NULL).number, 1);
	ck_assert_str_eq(decide_at(set, "a.b.example", NULL).rule, "domain=a.b.example");
	ck_assert_str_eq(decide_at(set, "z.b.example", NULL).rule, "method=GET");
	rule_set_free(set);

	ck_assert_int_eq(rule_set_new(&set), 0);
	for (size_t i = 0; i < array_size(rules); i++)
		ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, rules[i], "t", NULL), 0);
	ck_assert_uint_eq(decide_at(set, "a.b.example", NULL).number, 3);
	ck_assert_uint_eq(decide_at(set, "a.c.example", NULL).number, 4);
	ck_assert_uint_eq(decide_at(set, "other.test", NULL).number, 5);
	rule_set_free(set);
}
END_TEST

/* Each text is refused; the message must hold both parts. */
static const struct {
	const char *rule;
	const char *begin;
	const char *hint; /* NULL: none */
} error_cases[] = {
	{ "", "src: column 1: expected KEY=VALUE, found the end of the rule", "write domain=*" },
	{ " \t\n ", "src: column 5: expected KEY=VALUE, found the end", NULL },
	{ "tls=inspect", "src: column 12: expected a key besides tls, found the end of the rule", "write domain=*" },
	{ "tls=inspect tls=inspect ", "src: column 25: expected a key besides tls", NULL },
	{ "github.com", "src: column 1: expected KEY=VALUE, found 'github.com'", "domain=github.com" },
	{ "/api/*", "src: column 1: expected KEY=VALUE, found '/api/*'", "path=/api/*" },
	{ "GET domain=x", "src: column 1: expected KEY=VALUE, found 'GET'", "method=GET" },
	{ "domain = x", "src: column 1: expected KEY=VALUE, found 'domain'", "blank before" },
	{ "method=GET =x", "src: column 12: expected a key before the '='", NULL },
	{ "host=x", "src: column 1: expected one of method, domain,", "write domain=" },
	{ "Method=GET", "src: column 1: expected one of method, domain,", "write method=" },
	{ "domain=x foo=1", "src: column 10: expected one of method, domain, path, port, proto, ip, tls, found 'foo'",
	  NULL },
	{ "domain=", "src: column 8: expected a value for 'domain', found the end of the rule", NULL },
	{ "domain= method=GET", "src: column 8: expected a value for 'domain', found a blank", NULL },
	{ "method=", "src: column 8: expected a value for 'method'", NULL },
	{ "port=", "src: column 6: expected a value for 'port'", NULL },
	{ "ip=", "src: column 4: expected a value for 'ip'", NULL },
	{ "proto=", "src: column 7: expected a value for 'proto'", NULL },
	{ "tls=", "src: column 5: expected inspect", NULL },
	{ "domain=a domain=b", "src: column 10: expected domain= only once in a rule, found 'domain'", "two rules" },
	{ "method=GET,", "src: column 12: expected another value after the comma, found the end", "surplus commas" },
	{ "method=GET,,PUT", "src: column 12: expected another value", NULL },
	{ "method=,GET", "src: column 8: expected another value", NULL },
	{ "domain=a,", "src: column 10: expected another value", NULL },
	{ "path=/a,", "src: column 9: expected another value", NULL },
	{ "path=,", "src: column 6: expected another value", NULL },
	{ "port=1,", "src: column 8: expected another value", NULL },
	{ "ip=::1,", "src: column 8: expected another value", NULL },
	{ "domain=a\rb", "src: column 9: expected no control characters, found '\\x0d'", NULL },
	{ "domain=a\x01", "src: column 9: expected no control characters", NULL },
	{ "domain=a\x7f", "src: column 9: expected no control characters", NULL },
	{ "path=/\xc2\x85", "src: column 7: expected no control characters", NULL },
	{ "path=/\xff", "src: column 7: expected UTF-8, found '\\xff'", "%HH" },
	{ "path=/\xc0\xaf", "src: column 7: expected UTF-8", NULL },
	{ "path=/\xed\xa0\x80", "src: column 7: expected UTF-8", NULL },
	{ "path=/\xc3\xa9 bad=1", "src: column 9: expected one of", NULL }, /* columns are characters */
	{ "method=G(T", "src: column 8: expected a method (RFC 9110 token), found 'G(T'", "like GET" },
	{ "method=\"GET\"", "src: column 8: expected a method", NULL },
	{ "domain=https://x.example/y", "src: column 8: expected a host, found 'https://x.example/y'",
	  "domain=x.example" },
	{ "domain=a.com:443", "src: column 13: expected the end of the host, found ':'", "use port=443" },
	{ "domain=a.com/x/y", "src: column 13: expected the end of the host, found '/'", "write path=/x/y" },
	{ "domain=::1", "src: column 8: expected a host", "use ip=" },
	{ "domain=[::1]", "src: column 8: expected a host", "use ip=" },
	{ "domain=a_b.com", "src: column 9: expected a letter, digit or hyphen, found '_'", "'*' as the whole label" },
	{ "domain=*a.com", "src: column 8: expected '*' only as a whole label", NULL },
	{ "domain=a*.com", "src: column 9: expected '*' only as a whole label", NULL },
	{ "domain=**.com", "src: column 8: expected '*' only as a whole label", NULL },
	{ "domain=a.*", "src: column 10: expected a host that does not end in '*', found '*'", NULL },
	{ "domain=*.*", "src: column 10: expected a host that does not end in '*'", NULL },
	{ "domain=a.*.", "src: column 10: expected a host that does not end in '*'", NULL },
	{ "domain=-a.com", "src: column 8: expected a label that does not begin with a hyphen", NULL },
	{ "domain=a-.com", "src: column 9: expected a label that does not end with a hyphen", NULL },
	{ "domain=a..com", "src: column 10: expected a label between the dots", NULL },
	{ "domain=.com", "src: column 8: expected a label", NULL },
	{ "domain=.", "src: column 8: expected a label", NULL },
	{ "domain=a..", "src: column 10: expected a label", NULL },
	{ "domain=a.b!.com", "src: column 11: expected a letter, digit, hyphen or dot in a host, found '!'", NULL },
	{ "domain=\"a.com\"", "src: column 8: expected a letter", NULL },
	{ "domain=\xef\xbc\x8a.com", "src: column 8: expected letters, digits and hyphens in a label", NULL },
	{ "domain=\xe2\x9d\xa4.com", "src: column 8: expected an internationalised label (IDNA 2008:", NULL },
	{ "domain=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.com",
	  "src: column 8: expected a label of at most 63 octets", NULL },
	{ "path=/a//b", "src: column 9: expected a segment between slashes", NULL },
	{ "path=//", "src: column 7: expected a segment between slashes", NULL },
	{ "path=/a//", "src: column 9: expected a segment between slashes", NULL },
	{ "path=/a/../b", "src: column 9: expected a segment in normal form, found '..'", NULL },
	{ "path=/a/%2e/b", "src: column 9: expected a segment in normal form, found '%2e'", NULL },
	{ "path=/a\\b", "src: column 7: expected a segment in normal form", NULL },
	{ "path=/a%00", "src: column 7: expected a segment in normal form", NULL },
	{ "path=/a%C0%AFb", "src: column 7: expected a segment in normal form", "found 'a%C0%AFb'" },
	{ "path=/a%4", "src: column 8: expected two hexadecimal digits after '%', found '%'", "%25" },
	{ "path=/a%zz", "src: column 8: expected two hexadecimal digits", NULL },
	{ "path=/a*", "src: column 8: expected '*' only as a whole segment", "%2A" },
	{ "path=/a?b=c", "src: column 8: expected the end of the path, found '?'", "query" },
	{ "path=/a#b", "src: column 8: expected the end of the path", NULL },
	{ "port=0", "src: column 6: expected a port from 1 to 65535", NULL },
	{ "port=65536", "src: column 6: expected a port", NULL },
	{ "port=443x", "src: column 6: expected a port", NULL },
	{ "port=0443", "src: column 6: expected a port", NULL },
	{ "port=-1", "src: column 6: expected a port", NULL },
	{ "port=80-", "src: column 6: expected a port from 1 to 65535 after the hyphen", NULL },
	{ "port=80-90-95", "src: column 6: expected a port from 1 to 65535 after the hyphen", NULL },
	{ "port=90-80", "src: column 6: expected a range from the smaller port to the larger", "write 80-90" },
	{ "port=https", "src: column 6: expected a port", NULL },
	{ "proto=ftp", "src: column 7: expected http or https, found 'ftp'", NULL },
	{ "proto=tcp", "src: column 7: expected http or https, found 'tcp'", "does not support proto=tcp yet" },
	{ "proto=http,tcp port=22", "src: column 12: expected http or https, found 'tcp'", "does not support" },
	{ "tls=passthrough domain=a", "src: column 5: expected inspect, found 'passthrough'",
	  "does not support tls=passthrough yet" },
	{ "tls=off", "src: column 5: expected inspect, found 'off'", NULL },
	{ "ip=10.0.0.1/8", "src: column 4: expected a prefix whose address is all zeros behind its length", NULL },
	{ "ip=10.0.0", "src: column 4: expected an IP address or prefix, found '10.0.0'", NULL },
	{ "ip=example.com", "src: column 4: expected an IP address or prefix", NULL },
	{ "ip=127.1", "src: column 4: expected an IP address or prefix", NULL },
	{ "ip=0x7f.0.0.1", "src: column 4: expected an IP address or prefix", NULL },
	{ "ip=2130706433", "src: column 4: expected an IP address or prefix", NULL },
	{ "ip=010.0.0.1", "src: column 4: expected an IP address or prefix", NULL },
	{ "ip=fe80::1%eth0", "src: column 4: expected an IP address or prefix", NULL },
};

START_TEST(errors)
{
	const char *rule = error_cases[_i].rule;
	struct rule_set *set = set_of("domain=old.example", NULL);
	struct error e = { .code = 0 };

	ck_assert_msg(rule_set_add(set, RULE_ALLOW, rule, "src", &e) == -EINVAL, "accepted: %s", rule);
	ck_assert_int_eq(e.code, EINVAL);
	ck_assert_msg(strncmp(e.text, error_cases[_i].begin, strlen(error_cases[_i].begin)) == 0, "'%s' gave: %s", rule,
		      e.text);
	if (error_cases[_i].hint)
		ck_assert_msg(strstr(e.text, error_cases[_i].hint), "'%s' gave: %s", rule, e.text);
	ck_assert_uint_eq(rule_set_count(set, RULE_ALLOW), 1);
	ck_assert_int_eq(rule_set_add(set, RULE_DENY, rule, NULL, NULL), -EINVAL);
	ck_assert_uint_eq(rule_set_count(set, RULE_DENY), 0);
	rule_set_free(set);
}
END_TEST

START_TEST(long_host_is_refused)
{
	char rule[512] = "domain=";
	struct rule_set *set = set_of(NULL, NULL);
	struct error e;

	for (int i = 0; i < 127; i++)
		strcat(rule, "a.");
	strcat(rule, "example");
	ck_assert_int_eq(rule_set_add(set, RULE_ALLOW, rule, "src", &e), -EINVAL);
	ck_assert_msg(strstr(e.text, "expected a host of at most 253 octets"), "%s", e.text);
	rule_set_free(set);
}
END_TEST

START_TEST(blanks_separate_and_text_is_verbatim)
{
	static const char rule[] = "  domain=a.example\n\tmethod=GET   path=/x ";
	struct rule_set *set = set_of(rule, NULL);
	struct rule_request request = {
		.method = "GET", .scheme = RULE_HTTP, .host = "a.example", .port = 80, .path = "/x"
	};
	struct rule_decision decision;

	rule_set_decide(set, &request, &decision);
	ck_assert(decision.allowed);
	ck_assert_str_eq(decision.rule, rule);
	rule_set_free(set);
}
END_TEST

static TCase *matching(void)
{
	TCase *tcase = tcase_create("matching");

	tcase_add_loop_test(tcase, domains, 0, array_size(domain_cases));
	tcase_add_loop_test(tcase, paths, 0, array_size(path_cases));
	tcase_add_test(tcase, methods);
	tcase_add_test(tcase, ports_and_protocols);
	tcase_add_test(tcase, allow_and_addresses);
	tcase_add_test(tcase, ip_while_unknown);
	tcase_add_test(tcase, deny_wins);
	tcase_add_test(tcase, deny_is_not_escaped_by_odd_paths);
	tcase_add_test(tcase, first_match_is_reported);
	tcase_add_test(tcase, blanks_separate_and_text_is_verbatim);
	return tcase;
}

static TCase *parsing(void)
{
	TCase *tcase = tcase_create("parsing");

	tcase_add_loop_test(tcase, errors, 0, array_size(error_cases));
	tcase_add_test(tcase, long_host_is_refused);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("rules");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, matching());
	suite_add_tcase(suite, parsing());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
