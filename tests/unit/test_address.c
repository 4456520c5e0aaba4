/* policy/rules/address.h: addresses, prefixes, and what counts as global. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/address.h"
#include "shared/cleanup.h"

static struct ip_address address_of(const char *text)
{
	struct ip_address address;

	ck_assert_msg(ip_address_parse(text, strlen(text), &address) == 0, "%s", text);
	return address;
}

static const struct {
	const char *text;
	const char *formatted; /* NULL: refused */
} parse_cases[] = {
	{ "192.0.2.1", "192.0.2.1" },
	{ "0.0.0.0", "0.0.0.0" },
	{ "255.255.255.255", "255.255.255.255" },
	{ "::1", "::1" },
	{ "[2001:DB8::0001]", "2001:db8::1" },
	{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
	{ "::ffff:192.0.2.1", "192.0.2.1" },
	{ "[::ffff:c000:201]", "192.0.2.1" },
	{ "", NULL },
	{ "[]", NULL },
	{ "[192.0.2.1]", NULL },
	{ "[::1", NULL },
	{ "::1]", NULL },
	{ "192.0.2", NULL },
	{ "192.0.2.01", NULL },
	{ "192.0.2.256", NULL },
	{ "0x7f.0.0.1", NULL },
	{ "1.2.3.4 ", NULL },
	{ "fe80::1%eth0", NULL },
	{ "1:2:3:4:5:6:7:8:9", NULL },
	{ "aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa", NULL },
};

START_TEST(parse_and_format)
{
	const char *text = parse_cases[_i].text;
	struct ip_address address;
	char shown[46];
	int r = ip_address_parse(text, strlen(text), &address);

	if (!parse_cases[_i].formatted) {
		ck_assert_msg(r == -EINVAL, "%s", text);
		return;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_str_eq(ip_address_format(&address, shown), parse_cases[_i].formatted);
}
END_TEST

START_TEST(parse_obeys_length_and_nul)
{
	struct ip_address address;
	char shown[46];

	ck_assert_int_eq(ip_address_parse("10.0.0.12345", 8, &address), 0);
	ck_assert_str_eq(ip_address_format(&address, shown), "10.0.0.1");
	ck_assert_int_eq(ip_address_parse("10.0.0.1\0x", 10, &address), -EINVAL);
}
END_TEST

START_TEST(sockaddr_round_trip)
{
	static const struct {
		const char *text;
		int family;
		socklen_t length;
	} cases[] = { { "192.0.2.7", AF_INET, sizeof(struct sockaddr_in) },
		      { "2001:db8::7", AF_INET6, sizeof(struct sockaddr_in6) } };

	for (size_t i = 0; i < array_size(cases); i++) {
		struct ip_address address = address_of(cases[i].text);
		struct ip_address back;
		struct sockaddr_storage storage;

		ck_assert_uint_eq(ip_address_to_sockaddr(&address, 8443, &storage), cases[i].length);
		ck_assert_int_eq(storage.ss_family, cases[i].family);
		/* sin_port and sin6_port lie at the same place. */
		ck_assert_uint_eq(ntohs(((struct sockaddr_in *)&storage)->sin_port), 8443);
		ck_assert_int_eq(ip_address_from_sockaddr((struct sockaddr *)&storage, &back), 0);
		ck_assert_mem_eq(&back, &address, sizeof(back));
	}
}
END_TEST

START_TEST(sockaddr_of_other_family)
{
	struct sockaddr_storage storage = { .ss_family = AF_UNIX };
	struct ip_address address;

	ck_assert_int_eq(ip_address_from_sockaddr((struct sockaddr *)&storage, &address), -EAFNOSUPPORT);
}
END_TEST

static const struct {
	const char *prefix;
	int length; /* of the mapped form; -1: refused */
} prefix_cases[] = {
	{ "10.0.0.0/8", 104 },  { "10.0.0.1", 128 },   { "0.0.0.0/0", 96 },     { "10.0.0.1/32", 128 },
	{ "fd00::/8", 8 },      { "::/0", 0 },         { "::1/128", 128 },      { "[::1]", 128 },
	{ "10.0.0.1/8", -1 },   { "fd00::1/8", -1 },   { "10.0.0.0/33", -1 },   { "::/129", -1 },
	{ "10.0.0.0/", -1 },    { "10.0.0.0/08", -1 }, { "10.0.0.0/+8", -1 },   { "/8", -1 },
	{ "10.0.0.0/8/8", -1 }, { "example.com", -1 }, { "10.0.0.0/1000", -1 }, { "10/8", -1 },
};

START_TEST(prefix_parse)
{
	const char *text = prefix_cases[_i].prefix;
	struct ip_prefix prefix;
	int r = ip_prefix_parse(text, strlen(text), &prefix);

	if (prefix_cases[_i].length < 0) {
		ck_assert_msg(r == -EINVAL, "%s", text);
		return;
	}
	ck_assert_msg(r == 0, "%s", text);
	ck_assert_int_eq(prefix.length, prefix_cases[_i].length);
}
END_TEST

static const struct {
	const char *prefix;
	const char *address;
	bool inside;
} contain_cases[] = {
	{ "10.0.0.0/8", "10.255.255.255", true },
	{ "10.0.0.0/8", "11.0.0.0", false },
	{ "10.0.0.0/8", "9.255.255.255", false },
	{ "172.16.0.0/12", "172.31.255.255", true },
	{ "172.16.0.0/12", "172.32.0.0", false },
	{ "192.0.2.1", "192.0.2.1", true },
	{ "192.0.2.1", "192.0.2.0", false },
	{ "0.0.0.0/0", "255.1.2.3", true },
	{ "0.0.0.0/0", "2001:db8::1", false },
	{ "::/0", "2001:db8::1", true },
	{ "::/0", "10.0.0.1", false },
	{ "fe80::/10", "febf::1", true },
	{ "fe80::/10", "fec0::1", false },
	{ "2001:db8::/127", "2001:db8::1", true },
	{ "2001:db8::/127", "2001:db8::2", false },
	{ "::ffff:10.0.0.0/104", "10.1.1.1", true },
};

START_TEST(prefix_contains)
{
	struct ip_address address = address_of(contain_cases[_i].address);
	struct ip_prefix prefix;

	ck_assert_int_eq(ip_prefix_parse(contain_cases[_i].prefix, strlen(contain_cases[_i].prefix), &prefix), 0);
	ck_assert_msg(ip_prefix_contains(&prefix, &address) == contain_cases[_i].inside, "%s in %s",
		      contain_cases[_i].address, contain_cases[_i].prefix);
}
END_TEST

/* First and last addresses of each special block and their neighbours. */
static const char *const global[] = {
	"1.0.0.0",         "9.255.255.255",  "11.0.0.0",        "100.63.255.255",   "100.128.0.0",
	"126.255.255.255", "128.0.0.0",      "169.253.255.255", "169.255.0.0",      "172.15.255.255",
	"172.32.0.0",      "192.0.1.0",      "192.88.98.255",   "192.88.100.0",     "192.167.255.255",
	"192.169.0.0",     "198.17.255.255", "198.20.0.0",      "223.255.255.255",  "192.0.2.1",
	"198.51.100.1",    "203.0.113.1",    "::ffff:8.8.8.8",  "2606:4700::1111",  "2001:200::",
	"2001:db7:ffff::", "2001:db9::",     "2003::",          "64:ff9b::8.8.8.8", "2002:808:808::1",
	"3ffe:ffff::1",    "3fff:1000::",    "2000::",
};

static const char *const special[] = {
	"0.0.0.0",
	"0.255.255.255",
	"10.0.0.0",
	"10.255.255.255",
	"100.64.0.0",
	"100.127.255.255",
	"127.0.0.0",
	"127.255.255.255",
	"168.63.129.16",
	"169.254.0.0",
	"169.254.169.254",
	"169.254.255.255",
	"172.16.0.0",
	"172.31.255.255",
	"192.0.0.0",
	"192.0.0.255",
	"192.88.99.1",
	"192.168.0.0",
	"192.168.255.255",
	"198.18.0.0",
	"198.19.255.255",
	"224.0.0.0",
	"239.255.255.255",
	"240.0.0.0",
	"255.255.255.255",
	"::",
	"::1",
	"::10.0.0.1",
	"::8.8.8.8",
	"::ffff:10.0.0.1",
	"fc00::1",
	"fdff::1",
	"fe80::1",
	"fec0::1",
	"ff02::1",
	"64:ff9b::10.0.0.1",
	"64:ff9b::7f00:1",
	"64:ff9b:1::1",
	"100::1",
	"2001::1",
	"2001:2::1",
	"2001:1ff::1",
	"2001:db8::1",
	"2002:a00:1::",
	"2002:7f00:1::1",
	"2002:c612:1::1",
	"3fff::1",
	"4000::",
	"1fff::1",
	"5f00::1",
	"64:ff9b:0:0:0:1:808:808",
};

START_TEST(global_addresses)
{
	struct ip_address address = address_of(global[_i]);

	ck_assert_msg(ip_address_is_global(&address), "%s", global[_i]);
}
END_TEST

START_TEST(special_addresses)
{
	struct ip_address address = address_of(special[_i]);

	ck_assert_msg(!ip_address_is_global(&address), "%s", special[_i]);
}
END_TEST

static const struct {
	const char *text;
	const char *embedded; /* NULL: none */
} embedding_cases[] = {
	{ "64:ff9b::8.8.8.8", "8.8.8.8" },
	{ "64:ff9b::a00:1", "10.0.0.1" },
	{ "2002:808:404::1", "8.8.4.4" },
	{ "2002:a00:1:ffff:ffff:ffff:ffff:ffff", "10.0.0.1" },
	{ "8.8.8.8", NULL },
	{ "::ffff:8.8.8.8", NULL },
	{ "::8.8.8.8", NULL },
	{ "64:ff9b:0:0:0:1:808:808", NULL },
	{ "64:ff9b:1::808:808", NULL },
	{ "2003:808:808::1", NULL },
	{ "2606:4700::1111", NULL },
};

START_TEST(embedded_addresses)
{
	struct ip_address address = address_of(embedding_cases[_i].text);
	struct ip_address embedded = address_of("192.0.2.1");
	char text[46];

	ck_assert_int_eq(ip_address_embedded(&address, &embedded), embedding_cases[_i].embedded != NULL);
	ck_assert_str_eq(ip_address_format(&embedded, text),
			 embedding_cases[_i].embedded ? embedding_cases[_i].embedded : "192.0.2.1");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("address");
	TCase *tcase = tcase_create("address");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, parse_and_format, 0, array_size(parse_cases));
	tcase_add_test(tcase, parse_obeys_length_and_nul);
	tcase_add_test(tcase, sockaddr_round_trip);
	tcase_add_test(tcase, sockaddr_of_other_family);
	tcase_add_loop_test(tcase, prefix_parse, 0, array_size(prefix_cases));
	tcase_add_loop_test(tcase, prefix_contains, 0, array_size(contain_cases));
	tcase_add_loop_test(tcase, global_addresses, 0, array_size(global));
	tcase_add_loop_test(tcase, special_addresses, 0, array_size(special));
	tcase_add_loop_test(tcase, embedded_addresses, 0, array_size(embedding_cases));
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
