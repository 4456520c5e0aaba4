/* Which addresses a session gets, and what of the host is in their way: cable_create() in helper/cable.c, on the
 * kernel. */
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "tests/unit/test_helper_sessions.h"

static void setup(void)
{
	config = (struct config)DEFAULTS;
	enter_host();
}

START_TEST(another_pool)
{
	struct ifreq request = { .ifr_name = "bnd00001" };
	struct cable cable;

	config.pool = 0x0a630000;
	config.indexes = 32768;
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_int_eq(create(&host, 1000, &cable), 0);
		ck_assert_uint_eq(cable.names.host_address, 0x0a630000 + 2 * i);
		ck_assert_uint_eq(cable.names.jail_address, 0x0a630001 + 2 * i);
	}
	ck_assert_int_eq(ioctl(host.route, SIOCGIFHWADDR, &request), 0);
	ck_assert_mem_eq(request.ifr_hwaddr.sa_data, "\x02\x00\x0a\x63\x00\x02", 6);
	run("ip -4 address show dev bnd00001 | grep -q 'inet 10.99.0.2/31 scope link'");
	run("ip neighbour show dev bnd00001 nud permanent | grep -q '^10.99.0.3 lladdr 02:00:0a:63:00:03'");
}
END_TEST

static const struct {
	const char *what; /* `ip` is told */
	bool collides;
} uses[] = {
	{ "address add 10.99.0.0/32 dev lan", true },
	{ "address add 10.99.0.1/32 dev lan", true },
	{ "address add 10.99.1.1/16 dev lan", true },
	{ "address add 10.99.0.0/31 dev lan", true },
	{ "route add 10.99.0.0/24 dev lan", true },
	{ "route add 10.99.0.1/32 dev lan", true },
	{ "route add 10.0.0.0/8 dev lan", true },
	{ "route add 10.0.0.0/8 dev lan table local", true },
	{ "address add 10.99.0.2/31 dev lan", false },
	{ "address add 192.0.2.1/24 dev lan", false },
	{ "route add 11.0.0.0/8 dev lan", false },
	/* Default routes, and the halves of one. */
	{ "route add default dev lan", false },
	{ "route add 0.0.0.0/1 dev lan", false },
	{ "route add 10.0.0.0/7 dev lan", false },
	/* What keeps such addresses from the provider's router. */
	{ "route add blackhole 10.0.0.0/8", false },
	{ "route add unreachable 10.0.0.0/8", false },
	{ "route add prohibit 10.99.0.0/16", false },
};

/* Requirement: nobody's addresses are taken; the answer says which. */
START_TEST(pool_in_use)
{
	struct cable cable;

	config.pool = 0x0a630000;
	run("ip link add lan type veth peer name wan && ip link set lan up && ip link set wan up");
	run("ip %s", uses[_i].what);
	if (uses[_i].collides) {
		check_refused(&host, 1000, HELPER_FAILURE_POOL, 0x0a630000);
		ck_assert(!has_table(NULL));
		ck_assert_uint_eq(if_nametoindex("bnd00000"), 0);
	} else {
		ck_assert_int_eq(create(&host, 1000, &cable), 0);
	}
}
END_TEST

/* The address that is told is the session's. */
START_TEST(pool_in_use_further_on)
{
	struct cable cable;

	run("ip link add lan type veth peer name wan && ip link set lan up && ip link set wan up");
	run("ip address add 198.18.0.3/32 dev lan");
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	check_refused(&host, 1000, HELPER_FAILURE_POOL, 0xc6120002);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper_pool");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failures;

	if (!namespaces_possible()) {
		puts("helper_pool: skipped, no user namespaces here");
		srunner_free(runner);
		return EXIT_SUCCESS;
	}
	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, another_pool);
	tcase_add_loop_test(all, pool_in_use, 0, (int)array_size(uses));
	tcase_add_test(all, pool_in_use_further_on);
	tcase_set_timeout(all, 180);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
