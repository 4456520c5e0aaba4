/* Synthetic addresses: one for each name, both ways, bounded; and the hash that keeps hostile names apart. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/proxy/keyed_hash.h"
#include "policy/proxy/names.h"
#include "shared/addresses.h"

static uint32_t assign(struct names *names, const char *host)
{
	uint32_t address = 0;

	ck_assert_int_eq(names_assign(names, host, &address), 0);
	return address;
}

START_TEST(a_name_keeps_its_address)
{
	struct names *names;
	uint32_t a, b;

	ck_assert_int_eq(names_new(&names), 0);
	a = assign(names, "a.example");
	b = assign(names, "b.example");
	ck_assert_uint_eq(a, 0xc6130001u);
	ck_assert_uint_eq(b, 0xc6130002u);
	ck_assert_uint_eq(assign(names, "a.example"), a);
	ck_assert_str_eq(names_find(names, a), "a.example");
	ck_assert_str_eq(names_find(names, b), "b.example");
	names_free(names);
}
END_TEST

START_TEST(addresses_without_a_name)
{
	struct names *names;

	ck_assert_int_eq(names_new(&names), 0);
	assign(names, "a.example");
	ck_assert_ptr_null(names_find(names, NAMES_NETWORK));
	ck_assert_ptr_null(names_find(names, NAMES_NETWORK + 2));
	ck_assert_ptr_null(names_find(names, NAMES_NETWORK + 0xffff));
	for (unsigned i = 2; i <= 70; i++) {
		char host[16];

		snprintf(host, sizeof(host), "n%u", i);
		assign(names, host);
	}
	for (uint32_t i = 71; i < 300; i++)
		ck_assert_ptr_null(names_find(names, NAMES_NETWORK + i));
	ck_assert_ptr_null(names_find(names, CABLE_NETWORK + 1));
	ck_assert_ptr_null(names_find(names, 1));
	names_free(names);
	names_free(NULL);
}
END_TEST

/* 198.19.0.1 to 198.19.255.254, then -ENOSPC; what was assigned stays. */
START_TEST(all_addresses_then_no_more)
{
	struct names *names;
	uint32_t address = 7;
	char host[32];

	ck_assert_int_eq(names_new(&names), 0);
	for (uint32_t i = 1; i <= 65534; i++) {
		snprintf(host, sizeof(host), "n%u.example", i);
		ck_assert(!names_are_used_up(names));
		ck_assert_uint_eq(assign(names, host), NAMES_NETWORK + i);
	}
	ck_assert(names_are_used_up(names));
	ck_assert_int_eq(names_assign(names, "one-more.example", &address), -ENOSPC);
	ck_assert_uint_eq(address, 7);
	for (uint32_t i = 1; i <= 65534; i++) {
		snprintf(host, sizeof(host), "n%u.example", i);
		ck_assert_uint_eq(assign(names, host), NAMES_NETWORK + i);
		ck_assert_str_eq(names_find(names, NAMES_NETWORK + i), host);
	}
	ck_assert_ptr_null(names_find(names, NAMES_NETWORK + 65535));
	names_free(names);
}
END_TEST

/* The vectors of the SipHash paper, appendix A, and of its reference code: key 00 01 … 0f, message 00 01 …. */
START_TEST(the_hash_is_siphash)
{
	struct keyed_hash hash = { { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u } };
	unsigned char message[15];

	for (unsigned i = 0; i < sizeof(message); i++)
		message[i] = (unsigned char)i;
	ck_assert_uint_eq(keyed_hash(&hash, message, 15), 0xa129ca6149be45e5u);
	ck_assert_uint_eq(keyed_hash(&hash, message, 0), 0x726fdb47dd0e0e31u);
	ck_assert_uint_eq(keyed_hash(&hash, message, 8), 0x93f5f5799a932462u);
}
END_TEST

START_TEST(each_key_is_another)
{
	struct keyed_hash a = { { 0, 0 } }, b = { { 0, 0 } };

	ck_assert_int_eq(keyed_hash_init(&a), 0);
	ck_assert_int_eq(keyed_hash_init(&b), 0);
	ck_assert(a.key[0] != b.key[0] && a.key[1] != b.key[1]);
	ck_assert(keyed_hash(&a, "x", 1) != keyed_hash(&b, "x", 1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("names");
	TCase *tests = tcase_create("names");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, a_name_keeps_its_address);
	tcase_add_test(tests, addresses_without_a_name);
	tcase_add_test(tests, all_addresses_then_no_more);
	tcase_add_test(tests, the_hash_is_siphash);
	tcase_add_test(tests, each_key_is_another);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
