/* One request in many spellings: servers fold them, so no deny rule is escaped and no allow rule fooled by another. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/host.h"
#include "policy/rules/rules.h"
#include "shared/cleanup.h"

static struct rule_decision decide(const char *allow, const char *deny, const struct rule_request *request)
{
	struct rule_set *set;
	struct rule_decision decision;
	struct error e = { .code = 0 };

	ck_assert_int_eq(rule_set_new(&set), 0);
	ck_assert_msg(rule_set_add(set, RULE_ALLOW, allow, "allow", &e) == 0, "%s", e.text);
	if (deny)
		ck_assert_msg(rule_set_add(set, RULE_DENY, deny, "deny", &e) == 0, "%s", e.text);
	rule_set_decide(set, request, &decision);
	rule_set_free(set);
	return decision;
}

static struct rule_request request_for(const char *method, const char *path)
{
	return (struct rule_request){
		.method = method, .scheme = RULE_HTTPS, .host = "files.example", .port = 443, .path = path
	};
}

static const struct {
	const char *deny;
	const char *path;
	bool denied;
} path_cases[] = {
	/* An encoded slash separates segments for servers that decode first. */
	{ "path=/upload/*", "/upload/x", true },
	{ "path=/upload/*", "/upload%2Fx", true },
	{ "path=/upload/*", "/upload%2fx", true },
	{ "path=/upload/*", "/upload%2Fx/y", true },
	{ "path=/upload/*", "/upload%2F", true },
	{ "path=/upload/*", "/%2Fupload/x", true },
	{ "path=/upload/*", "/%2Fupload%2Fx", true },
	{ "path=/upload/*", "/%75pload%2F%78", true },
	{ "path=/upload/*", "/upload%2F%2Fx", true },
	{ "path=/a/*/c", "/a%2Fb%2Fc", true },
	{ "path=/a/*/c", "/a/b%2Fc", true },
	{ "path=/a/*/c", "/a/b%2Fx/c", true }, /* as RULES.md splits */
	{ "path=/a/b/c", "/a%2F%2Fb/c", true },
	{ "path=/@scope%2Fname", "/@scope%2fname", true },
	{ "path=/@scope%2Fname", "/@scope/name", true },
	{ "path=/@scope%2Fname", "/%40scope%2Fname/", true },
	{ "path=/@scope%2Fname/-/*", "/@scope/name%2F-/x", true },
	{ "path=/%2Fa", "/a", true },
	{ "path=/a%2F", "/a", true },
	/* But not each encoded slash is a denied one. */
	{ "path=/upload/*", "/@scope%2Fname", false },
	{ "path=/upload/*", "/x%2Fupload/y", false },
	{ "path=/upload/*", "/uploads%2Fx", false },
	{ "path=/upload/*", "/%2Fx", false },
	{ "path=/@scope/*", "/@other%2Fname", false },
	{ "path=/a/*/c", "/a%2Fb/x", false },
	{ "path=/@scope%2Fname", "/@scope", false },
	{ "path=/@scope%2Fname", "/@scope/other", false },
	{ "path=/proxy/x", "/proxy/https%3A%2F%2Fa.example%2Fx", false },
	/* Parameters are dropped by servlet containers, before or after decoding. */
	{ "path=/upload/*", "/upload;a=b/x", true },
	{ "path=/upload/*", "/upload;/x", true },
	{ "path=/upload/*", "/upload%3Ba=b/x", true },
	{ "path=/upload/*", "/upload;a;b/x;c", true },
	{ "path=/upload/*", "/;a/upload/x", true },
	{ "path=/upload/*", "/;/;/upload;/;", true },
	{ "path=/upload", "/upload;a=b", true },
	{ "path=/upload", "/;a/upload;b/;c", true },
	{ "path=/a;b", "/a;b", true },
	{ "path=/a%3Bb", "/a%3Bb;c", true }, /* cut before decoding: "a;b" is a name */
	{ "path=/upload/*", "/uploads;/x", false },
	{ "path=/upload/*", "/x;upload/y", false },
	{ "path=/upload/*", "/x;/upload", false },
	{ "path=/a;b", "/a", false },
	/* Both, in any order. */
	{ "path=/upload/*", "/upload;a%2Fx", true },
	{ "path=/upload/*", "/upload;a=b%2Fc/x", true },
	{ "path=/upload/*", "/x;/%2e%2e;/upload/y", true },
	{ "path=/upload/*", "/%2F;a/upload%3Bb%2Fx", true },
	{ "path=/a/b/c", "/a%2Fb;x%2Fy/c", true },
	{ "path=/a/b", "/a;%2F;x/b", true },
	{ "path=/q/up/z", "/q%2Fup%3Ba;x%2Fy/z", true },
	{ "path=/a/b", "/a;x%2Fc/d", false },
	/* A final slash changes nothing for most. */
	{ "path=/upload", "/upload/", true },
	{ "path=/upload/", "/upload/", true },
	{ "path=/upload", "/upload%2F", true },
	{ "path=/upload", "/upload%2F%2F", true },
	{ "path=/upload", "/upload/;a", true },
	{ "path=/upload", "/upload/x", false },
	{ "path=/upload/*", "/upload", false },
	{ "path=/upload", "/", false },
	/* Decoded once, letter case counts. */
	{ "path=/upload/*", "/upload%252Fx", false },
	{ "path=/upload/*", "/%2575pload/x", false },
	{ "path=/upload/*", "/Upload/x", false },
	{ "path=/upload%252Fx", "/upload%252Fx", true },
	/* What is not in normal form may be anything. */
	{ "path=/upload/*", "//upload/x", true },
	{ "path=/upload/*", "/x//", true },
	{ "path=/upload/*", "/./x", true },
	{ "path=/upload/*", "/x/..", true },
	{ "path=/upload/*", "/x/%2e%2E/y", true },
	{ "path=/upload/*", "/x/.%2e", true },
	{ "path=/upload/*", "/x%2F..%2Fy", true },
	{ "path=/upload/*", "/x%2F.", true },
	{ "path=/upload/*", "/..;a/x", true },
	{ "path=/upload/*", "/%2e%2e%3ba/x", true },
	{ "path=/upload/*", "/x\\y", true },
	{ "path=/upload/*", "/x%5Cy", true },
	{ "path=/upload/*", "/x%5cy", true },
	{ "path=/upload/*", "/x%00", true },
	{ "path=/upload/*", "/x%", true },
	{ "path=/upload/*", "/x%2", true },
	{ "path=/upload/*", "/x%zz", true },
	{ "path=/upload/*", "/x%u002f", true },
	{ "path=/upload/*", "/x y", true },
	{ "path=/upload/*", "/x\ty", true },
	{ "path=/upload/*", "/x\x7f", true },
	/* Overlong UTF-8, of slashes, dots, letters, in all lengths, encoded or not. */
	{ "path=/upload/*", "/upload%C0%AFx", true },
	{ "path=/upload/*", "/x/%c0%ae%c0%ae/upload/y", true },
	{ "path=/upload/*", "/%C1%B5pload/x", true },
	{ "path=/upload/*", "/upload%E0%80%AFx", true },
	{ "path=/upload/*", "/upload%F0%80%80%AFx", true },
	{ "path=/upload/*", "/upload%F8%80%80%80%AFx", true },
	{ "path=/upload/*", "/upload%FC%80%80%80%80%AFx", true },
	{ "path=/upload/*", "/upload\xc0\xafx", true },
	{ "path=/upload/*", "/upload%C0\xafx", true },
	{ "path=/upload/*", "/caf%C3%A9", false },
	{ "path=/upload/*", "/%E0%A0%80%E2%82%AC%F0%90%80%80", false },
	{ "path=/upload/*", "/caf%E9", false },
	{ "path=/upload/*", "/%C0x", false },
};

START_TEST(deny_paths)
{
	struct rule_request request = request_for("POST", path_cases[_i].path);
	struct rule_decision decision = decide("domain=files.example", path_cases[_i].deny, &request);

	ck_assert_msg(decision.allowed != path_cases[_i].denied, "deny %s, path %s", path_cases[_i].deny,
		      path_cases[_i].path);
}
END_TEST

/* The other keys of the deny rule count as ever. */
START_TEST(deny_paths_and_other_keys)
{
	struct rule_request request = request_for("POST", "/upload%2Fx");

	ck_assert(!decide("domain=*", "path=/upload/* method=POST", &request).allowed);
	ck_assert(decide("domain=*", "path=/upload/* method=GET", &request).allowed);
	ck_assert(decide("domain=*", "path=/upload/* domain=other.example", &request).allowed);
	ck_assert(decide("domain=*", "path=/upload/* port=80", &request).allowed);
	request.path = "*";
	ck_assert(decide("domain=*", "path=/upload/*", &request).allowed);
}
END_TEST

static const struct {
	const char *allow;
	const char *path;
	bool allowed;
} allow_cases[] = {
	/* A `*` in the middle takes what is one segment for all servers. */
	{ "path=/v1/*/read", "/v1/a/read", true },
	{ "path=/v1/*/read", "/v1/a%2fadmin/read", false },
	{ "path=/v1/*/read", "/v1/a%2Fadmin/read", false },
	{ "path=/v1/*/read", "/v1/%2F/read", false },
	{ "path=/v1/*/read", "/v1/a%252Fadmin/read", true },
	{ "path=/v1/*/read", "/v1/a;b=c/read", true },
	{ "path=/v1/*/read", "/v1/;b=c/read", false },
	{ "path=/v1/*/read", "/v1/%3Bb=c/read", false },
	{ "path=*/read", "/a%2Fb/read", false },
	{ "path=/*/*", "/a%2Fb/c", false },
	{ "path=/*/b/*", "/a/b/c%2Fd", true },
	{ "path=/v1/*/read,/v1/a%2Fb/*", "/v1/a%2Fb/read", true },
	/* As the last segment it takes any number, and one that is written out says what it is. */
	{ "path=/*", "/@scope%2fname", true },
	{ "path=/@scope%2Fname", "/@scope%2fname", true },
	{ "path=/@scope/name", "/@scope%2fname", false },
	{ "path=/@scope%2Fname", "/@scope/name", false },
	{ "path=/pub/*", "/pub/a%2Fb;c", true },
	{ "path=/a", "/a;b", false },
	{ "path=/a", "/a/", false },
	/* Overlong UTF-8 is not in normal form. */
	{ "path=/pub/*", "/pub/%C0%AE%C0%AE/x", false },
	{ "path=/pub/*", "/pub/caf%C3%A9", true },
	{ "method=GET", "/pub/%C0%AE%C0%AE/x", true },
};

START_TEST(allow_paths)
{
	struct rule_request request = request_for("GET", allow_cases[_i].path);

	ck_assert_msg(decide(allow_cases[_i].allow, NULL, &request).allowed == allow_cases[_i].allowed,
		      "allow %s, path %s", allow_cases[_i].allow, allow_cases[_i].path);
}
END_TEST

START_TEST(methods)
{
	struct rule_request request = request_for("delete", "/a");

	ck_assert(!decide("domain=*", "method=DELETE", &request).allowed);
	ck_assert(!decide("domain=*", "method=GET,dElEtE", &request).allowed);
	ck_assert(decide("domain=*", "method=DELET", &request).allowed);
	ck_assert(decide("domain=*", "method=DELETES", &request).allowed);
	ck_assert(!decide("method=DELETE", NULL, &request).allowed);
	request.method = "Delete";
	ck_assert(!decide("domain=*", "method=DELETE", &request).allowed);
	/* Only letters have a case: '^' and '~', '@' and '`' do not differ by it. */
	request.method = "A~";
	ck_assert(!decide("domain=*", "method=a~", &request).allowed);
	ck_assert(decide("domain=*", "method=a^", &request).allowed);
}
END_TEST

/* What a client may write for one host: canonical before any rule sees it. */
static const struct {
	const char *deny;
	const char *host; /* as a client names it */
	bool denied;
} host_cases[] = {
	{ "domain=files.example", "FILES.Example", true },
	{ "domain=files.example", "files.example.", true },
	{ "domain=FILES.example.", "files.example", true },
	{ "domain=b\xc3\xbc"
	  "cher.example",
	  "B\xc3\x9c"
	  "CHER.example",
	  true },
	{ "domain=b\xc3\xbc"
	  "cher.example",
	  "XN--BCHER-KVA.example.", true },
	{ "domain=files.example", "\xef\xbd\x86iles.example", true }, /* full-width f */
	{ "domain=files.example",
	  "fi\xc2\xadles\xe3\x80\x82" /* soft hyphen, ideographic stop */
	  "example",
	  true },
	{ "domain=*.example", "a.b.example", true },
	{ "domain=*.example", "example", false },
	{ "domain=127.0.0.1", "127.0.0.1", true },
	{ "ip=127.0.0.0/8", "127.0.0.1.", true },
	{ "ip=127.0.0.0/8", "[::ffff:127.0.0.1]", true },
	{ "ip=127.0.0.0/8", "[::ffff:7f00:1]", true },
	{ "domain=127.0.0.1", "[::FFFF:127.0.0.1]", true },
	{ "ip=::1", "[0:0::0001]", true },
	{ "ip=8.8.8.0/24", "[64:ff9b::8.8.8.8]", true }, /* NAT64 */
	{ "ip=8.8.8.0/24", "[64:ff9b::808:808]", true },
	{ "ip=8.8.8.0/24", "[2002:808:808::1]", true }, /* 6to4 */
	{ "ip=8.8.8.0/24", "[64:ff9b::8.8.9.8]", false },
	{ "ip=8.8.8.0/24", "[2606:808:808::1]", false },
	{ "ip=64:ff9b::/96", "[64:ff9b::808:808]", true },
	{ "domain=*", "[::1]", true },
};

START_TEST(deny_hosts)
{
	char host[HOST_NAME_MAX_LENGTH + 1];
	struct rule_request request = request_for("GET", "/");
	struct error e = { .code = 0 };

	ck_assert_msg(host_normalise(host_cases[_i].host, strlen(host_cases[_i].host), host, &e) == 0, "%s", e.text);
	request.host = host;
	ck_assert_msg(decide("ip=0.0.0.0/0,::/0 domain=*", host_cases[_i].deny, &request).allowed !=
			      host_cases[_i].denied,
		      "deny %s, host %s", host_cases[_i].deny, host_cases[_i].host);
}
END_TEST

/* The address behind a name counts as one in place of a name does. Only deny rules look into it. */
START_TEST(embedded_addresses)
{
	struct rule_request request = request_for("GET", "/");
	struct ip_address address;

	ck_assert_int_eq(ip_address_parse("64:ff9b::808:808", 16, &address), 0);
	request.address = &address;
	ck_assert(decide("domain=*", NULL, &request).allowed);
	ck_assert(!decide("domain=*", "ip=8.8.8.8", &request).allowed);
	ck_assert(!decide("ip=8.8.8.8", NULL, &request).allowed);
	ck_assert(decide("domain=*", "ip=8.8.4.4", &request).allowed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rules, spelling");
	TCase *tcase = tcase_create("spelling");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, deny_paths, 0, array_size(path_cases));
	tcase_add_test(tcase, deny_paths_and_other_keys);
	tcase_add_loop_test(tcase, allow_paths, 0, array_size(allow_cases));
	tcase_add_test(tcase, methods);
	tcase_add_loop_test(tcase, deny_hosts, 0, array_size(host_cases));
	tcase_add_test(tcase, embedded_addresses);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
