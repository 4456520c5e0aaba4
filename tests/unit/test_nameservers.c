/* The reading of resolv.conf(5). */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/nameservers.h"
#include "shared/cleanup.h"

static char path[64];
static struct nameservers found;

static void setup(void)
{
	int fd;

	strcpy(path, "/tmp/boundary-test-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void teardown(void)
{
	unlink(path);
}

static void parse(const char *text, const char *hostname)
{
	struct error e = { 0 };

	{
		_cleanup_file_ FILE *file = fopen(path, "we");

		ck_assert_ptr_nonnull(file);
		fputs(text, file);
	}
	memset(&found, 0xa5, sizeof(found));
	ck_assert_msg(nameservers_read(path, hostname, &found, &e) == 0, "%s", e.text);
}

/* "1.2.3.4 ::1%3" */
static void servers(const char *expected)
{
	char all[256] = "";

	for (size_t i = 0; i < found.n_servers; i++) {
		const struct nameserver *server = &found.servers[i];
		char one[INET6_ADDRSTRLEN];
		size_t used = strlen(all);

		inet_ntop(server->family, &server->ipv4, one, sizeof(one));
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used ? " " : "", one);
		if (server->scope_id)
			snprintf(all + used, sizeof(all) - used, "%%%u", server->scope_id);
	}
	ck_assert_str_eq(all, expected);
}

static void search(const char *expected)
{
	char all[1024] = "";

	for (size_t i = 0; i < found.n_search; i++) {
		size_t used = strlen(all);

		snprintf(all + used, sizeof(all) - used, "%s%s", used ? " " : "", found.search[i]);
	}
	ck_assert_str_eq(all, expected);
}

START_TEST(addresses)
{
	char text[128];

	parse("nameserver 192.0.2.1\nnameserver\t2001:db8::1  \n# nameserver 192.0.2.9\n;nameserver 192.0.2.8\n", NULL);
	servers("192.0.2.1 2001:db8::1");
	parse("nameserver 192.0.2.1 # ours\nnameserver 192.0.2.2;x\nnameserver 127.0.0.53\nnameserver 192.0.2.4\n",
	      NULL);
	servers("192.0.2.1 192.0.2.2 127.0.0.53");
	parse("nameserver fe80::1%7\nnameserver fe80::2%no-such-if\n", NULL);
	servers("fe80::1%7 fe80::2");
	snprintf(text, sizeof(text), "nameserver fe80::1%%lo\n");
	parse(text, NULL);
	ck_assert_uint_eq(found.servers[0].scope_id, if_nametoindex("lo"));
}
END_TEST

/* Where the jail has none of them, or one twice. */
START_TEST(kinds)
{
	static const char *const same[] = { "127.0.0.1", "0.0.0.0", "::1", "::", "192.0.2.1", "192.0.2.1" };

	for (size_t i = 0; i < array_size(same); i += 2) {
		char text[128];

		snprintf(text, sizeof(text), "nameserver %s\nnameserver %s\nnameserver 192.0.2.7\n", same[i],
			 same[i + 1]);
		parse(text, NULL);
		ck_assert(nameserver_is_same(&found.servers[0], &found.servers[1]));
		ck_assert(!nameserver_is_same(&found.servers[0], &found.servers[2]));
		ck_assert(!nameserver_is_link_local(&found.servers[0]));
	}
	parse("nameserver fe80::1%7\nnameserver fe80::1\nnameserver 2001:db8::1\n", NULL);
	ck_assert(nameserver_is_link_local(&found.servers[0]) && nameserver_is_link_local(&found.servers[1]));
	ck_assert(!nameserver_is_link_local(&found.servers[2]));
	ck_assert(!nameserver_is_same(&found.servers[1], &found.servers[2]));
}
END_TEST

START_TEST(default_server)
{
	struct error e = { 0 };

	parse("", NULL);
	servers("127.0.0.1");
	search("");
	parse("nameserver\nnameserver 1.2.3\nnameserver example.com\n nameserver 192.0.2.1\nnameserver192.0.2.1\n",
	      NULL);
	servers("127.0.0.1");
	parse("Nameserver 192.0.2.1\noptions edns0\n", NULL);
	servers("127.0.0.1");
	ck_assert_int_eq(nameservers_read("/nonexistent/resolv.conf", NULL, &found, &e), 0);
	servers("127.0.0.1");
	ck_assert_int_eq(nameservers_read("/tmp", NULL, &found, &e), 0);
	servers("127.0.0.1");
}
END_TEST

START_TEST(search_domains)
{
	parse("search Example.COM. b\xc3\xbc"
	      "cher.example\tlan\n",
	      NULL);
	search("example.com xn--bcher-kva.example lan");
	parse("search a.example b.example\ndomain c.example d.example\n", NULL);
	search("c.example");
	parse("domain c.example\nsearch a.example\n", NULL);
	search("a.example");
	parse("search . -x..y ok.example\n", NULL);
	search("ok.example");
	parse("search a.example\nsearch\n", NULL);
	search("a.example");
}
END_TEST

START_TEST(search_of_the_hostname)
{
	parse("", "box.corp.example");
	search("corp.example");
	parse("search a.example\n", "box.corp.example");
	search("a.example");
	parse("search .\n", "box.corp.example");
	search("");
	parse("", "box");
	search("");
	parse("", "box.");
	search("");
}
END_TEST

START_TEST(limits)
{
	char text[40000] = "search";
	size_t used = strlen(text);

	for (int i = 0; i < 40; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, " d%d.example", i);
	parse(text, NULL);
	ck_assert_uint_eq(found.n_search, NAMESERVERS_SEARCH_MAX);
	ck_assert_str_eq(found.search[31], "d31.example");

	/* A name over 253 characters and a line of 30,000 of them: skipped, not cut. */
	memset(text, 'a', 30000);
	memcpy(text, "search ", 7);
	strcpy(text + 30000, " ok.example\nnameserver 192.0.2.1");
	parse(text, NULL);
	search("ok.example");
	servers("192.0.2.1");
}
END_TEST

START_TEST(loopback)
{
	parse("nameserver 127.0.0.53\nnameserver ::1\nnameserver 0.0.0.0\n", NULL);
	for (size_t i = 0; i < 3; i++)
		ck_assert(nameserver_is_loopback(&found.servers[i]));
	parse("nameserver ::\nnameserver ::ffff:127.0.0.1\n", NULL);
	for (size_t i = 0; i < 2; i++)
		ck_assert(nameserver_is_loopback(&found.servers[i]));
	parse("nameserver 128.0.0.1\nnameserver 2001:db8::1\nnameserver ::ffff:1.0.0.127\n", NULL);
	for (size_t i = 0; i < 3; i++)
		ck_assert(!nameserver_is_loopback(&found.servers[i]));
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("nameservers");
	Suite *suite = suite_create("nameservers");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, addresses);
	tcase_add_test(tcase, kinds);
	tcase_add_test(tcase, default_server);
	tcase_add_test(tcase, search_domains);
	tcase_add_test(tcase, search_of_the_hostname);
	tcase_add_test(tcase, limits);
	tcase_add_test(tcase, loopback);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
