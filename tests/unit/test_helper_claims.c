/* Which index a session gets, and how many there may be: cable_create() in helper/cable.c, on the kernel. */
#include <check.h>
#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "helper/cable.h"
#include "shared/cleanup.h"
#include "tests/unit/test_helper_sessions.h"

static struct netlink others = NETLINK_NONE; /* of another helper */

/* What another helper does while ours looks for an interface of this name, just before, or just after. */
static const char *moment;
static bool after;
static void (*meanwhile)(void);

int __real_ioctl(int fd, unsigned long number, void *argument);
int __wrap_ioctl(int fd, unsigned long number, void *argument);
int __wrap_ioctl(int fd, unsigned long number, void *argument)
{
	bool now = meanwhile && number == SIOCGIFINDEX && strcmp(((struct ifreq *)argument)->ifr_name, moment) == 0;
	void (*act)(void) = meanwhile;
	int r;

	if (now)
		meanwhile = NULL;
	if (now && !after)
		act();
	r = __real_ioctl(fd, number, argument);
	if (now && after)
		act();
	return r;
}

static void setup(void)
{
	config = (struct config)DEFAULTS;
	enter_host();
	ck_assert_int_eq(netlink_allocate(&others), 0);
	ck_assert_int_eq(netlink_open(&others), 0);
}

/* Numbers of sessions --------------------------------------------------------------------------------------------- */

/* Requirement: a user has his number, whatever the others have; what was refused leaves no claim. */
START_TEST(quota_of_a_user)
{
	struct cable first, second, another;

	config.per_user = 2;
	ck_assert_int_eq(create(&host, 1000, &first), 0);
	ck_assert_int_eq(create(&others, 1000, &second), 0);
	check_refused(&host, 1000, HELPER_FAILURE_USER_SESSIONS, 2);
	check_refused(&others, 1000, HELPER_FAILURE_USER_SESSIONS, 2);
	ck_assert_int_eq(create(&host, 1001, &another), 0);
	ck_assert_uint_eq(another.names.index, 2);
	undo(&host, &first);
	ck_assert_int_eq(create(&host, 1000, &first), 0);
	ck_assert_uint_eq(first.names.index, 0);
	check_refused(&host, 1000, HELPER_FAILURE_USER_SESSIONS, 2);
}
END_TEST

START_TEST(quota_of_all)
{
	struct cable cables[3];

	config.in_total = 3;
	for (uint32_t i = 0; i < array_size(cables); i++)
		ck_assert_int_eq(create(i == 1 ? &others : &host, i == 2 ? 0 : 1000 + i, &cables[i]), 0);
	check_refused(&host, 1003, HELPER_FAILURE_ALL_SESSIONS, 3);
	check_refused(&others, 0, HELPER_FAILURE_ALL_SESSIONS, 3);
	undo(&others, &cables[1]);
	ck_assert_int_eq(create(&host, 1003, &cables[1]), 0);
}
END_TEST

/* Requirement: the numbers in force are those of this helper's file; users are told apart by all bits of their ids. */
START_TEST(user_ids)
{
	static const uid_t users[] = { 0, 1, 256, 65536, 0x01000000, 0x80000000, 4294967294 };
	struct cable cable;

	config.per_user = 1;
	for (uint32_t i = 0; i < array_size(users); i++) {
		ck_assert_int_eq(create(&host, users[i], &cable), 0);
		ck_assert_uint_eq(cable.names.index, i);
	}
	for (uint32_t i = 0; i < array_size(users); i++)
		check_refused(&others, users[i], HELPER_FAILURE_USER_SESSIONS, 1);
	config.in_total = 7;
	check_refused(&host, 1234, HELPER_FAILURE_ALL_SESSIONS, 7);
	config.in_total = 8;
	ck_assert_int_eq(create(&host, 1234, &cable), 0);
}
END_TEST

/* Requirement: all claims count, whoever made them and in whatever order. */
START_TEST(counting)
{
	struct cable first = { .user = 1000 }, second = { .user = 1000, .names.index = 5 };
	static struct claims claims;

	ck_assert_int_eq(claim_make(&others, &first, 0), 0);
	ck_assert_int_eq(claim_make(&host, &second, 0), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(claims_count(i ? &host : &others, 1000, &claims), 0);
		ck_assert_uint_eq(claims.of_user, 2);
		ck_assert_uint_eq(claims.of_all, 2);
		ck_assert_uint_eq(claims.indexes[0], 1 << 0 | 1 << 5);
	}
	ck_assert_int_eq(claims_count(&host, 1001, &claims), 0);
	ck_assert_uint_eq(claims.of_user, 0);
	ck_assert_uint_eq(claims.of_all, 2);
}
END_TEST

static uint32_t generation_of(struct netlink *n)
{
	uint32_t generation;

	ck_assert_int_eq(nft_generation(n, &generation), 0);
	return generation;
}

/* Requirement: one that is one too many has never held anything: what it asks changes no table. */
START_TEST(refused_without_a_claim)
{
	struct cable cable;
	uint32_t generation;

	config.per_user = config.in_total = 1;
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	generation = generation_of(&host);
	config.in_total = _i ? 1 : 2;
	ck_assert_int_eq(create(&others, _i ? 1001 : 1000, &cable), -EDQUOT);
	ck_assert_uint_eq(failed.failure, _i ? HELPER_FAILURE_ALL_SESSIONS : HELPER_FAILURE_USER_SESSIONS);
	ck_assert_uint_eq(cable.claim, 0);
	ck_assert_uint_eq(generation_of(&host), generation);
}
END_TEST

static void look_for_claims(void)
{
	ck_assert(!has_table(NULL));
}

/* Requirement: nor does one that is stopped before it has been counted: the claim comes after. */
START_TEST(nothing_held_meanwhile)
{
	struct cable cable;

	moment = "bnd00000";
	after = _i;
	meanwhile = look_for_claims;
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	ck_assert_ptr_null(meanwhile);
}
END_TEST

static void many_come(void)
{
	struct cable cable = { .user = 1000 };

	for (cable.names.index = 10; cable.names.index < 20; cable.names.index++)
		ck_assert_int_eq(claim_make(&others, &cable, 0), 0);
}

/* Requirement: the claims that come between ours being thought possible and being made count. */
START_TEST(counted_in_a_race)
{
	struct cable cable;

	config.per_user = _i;
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	moment = "bnd00001";
	after = true;
	meanwhile = many_come;
	if (_i < 12) {
		ck_assert_int_eq(create(&host, 1000, &cable), -EDQUOT);
		ck_assert_uint_eq(failed.failure, HELPER_FAILURE_USER_SESSIONS);
		ck_assert_uint_eq(failed.detail, (uint32_t)_i);
		ck_assert_uint_eq(cable.claim, 0);
		ck_assert(!has_table("table ip boundary_00001\n"));
	} else {
		ck_assert_int_eq(create(&host, 1000, &cable), 0);
		check_refused(&host, 1000, HELPER_FAILURE_USER_SESSIONS, 12);
	}
	ck_assert_ptr_null(meanwhile);
}
END_TEST

/* Requirement: a claim for tables as they were before another transaction is none. */
START_TEST(claim_of_another_generation)
{
	uint32_t generation = generation_of(&host);
	struct cable first = { .user = 1000 }, second = { .user = 1000, .names.index = 1 };

	ck_assert_uint_ne(generation, 0);
	ck_assert_int_eq(claim_make(&others, &first, generation), 0);
	ck_assert_uint_ne(generation_of(&host), generation);
	ck_assert_int_eq(claim_make(&host, &second, generation), -ERESTART);
	ck_assert_uint_eq(second.claim, 0);
	ck_assert_int_eq(claim_make(&host, &second, generation_of(&host)), 0);
}
END_TEST

static unsigned int disturbances, disturbances_max;

static void disturb(void)
{
	struct cable cable = { .user = 1001, .names.index = 500 + disturbances };

	ck_assert_int_eq(claim_make(&others, &cable, 0), 0);
	if (++disturbances < disturbances_max)
		meanwhile = disturb;
}

/*
 * Requirement: however often another is faster, a session is made in the end; if one is each time, that is answered,
 * and nothing is left.
 */
START_TEST(always_late)
{
	struct cable cable;

	config.in_total = 10000;
	moment = "bnd00000";
	after = true;
	meanwhile = disturb;
	disturbances_max = _i ? 10000 : 200;
	ck_assert_int_eq(create(&host, 1000, &cable), _i ? -EAGAIN : 0);
	ck_assert_uint_eq(disturbances, _i ? 1000 : 200);
	ck_assert_uint_eq(cable.names.index, 0);
	if (_i)
		ck_assert_uint_eq(failed.failure, HELPER_FAILURE_GUARD);
	ck_assert_int_eq(cable.claim != 0, !_i);
	ck_assert_int_eq(has_table("table ip boundary_00000\n"), !_i);
}
END_TEST

/* Requirement: a claim is as long as its helper: killed, its descriptors are closed. */
START_TEST(end_of_a_helper)
{
	struct cable cable;

	config.per_user = 1;
	ck_assert_int_eq(create(&others, 1000, &cable), 0);
	check_refused(&host, 1000, HELPER_FAILURE_USER_SESSIONS, 1);
	close(others.netfilter);
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	ck_assert_uint_eq(cable.names.index, 1); /* the cable of 0 is there, though nobody's */
}
END_TEST

/* Requirement: what a process leaves to the kernel goes as well, if later, and with it what belongs to it. */
START_TEST(a_socket_that_is_left)
{
	static struct claims claims = { .of_all = 1 };
	struct cable cable;

	ck_assert_int_eq(create(&others, 1000, &cable), 0);
	netlink_leave(&others);
	ck_assert_int_eq(others.netfilter, -1);
	for (int i = 0; i < 600 && claims.of_all > 0; i++) {
		usleep(50000);
		ck_assert_int_eq(claims_count(&host, 1000, &claims), 0);
	}
	ck_assert_uint_eq(claims.of_all, 0);
}
END_TEST

/* Indexes ---------------------------------------------------------------------------------------------------------- */

START_TEST(lowest_free_index)
{
	struct cable cables[4];

	for (uint32_t i = 0; i < array_size(cables); i++) {
		ck_assert_int_eq(create(&host, 1000, &cables[i]), 0);
		ck_assert_uint_eq(cables[i].names.index, i);
	}
	undo(&host, &cables[1]);
	undo(&host, &cables[2]);
	for (uint32_t i = 1; i < 3; i++) {
		ck_assert_int_eq(create(&others, 1000, &cables[i]), 0);
		ck_assert_uint_eq(cables[i].names.index, i);
	}
	/* A cable that was deleted from inside: the index is still claimed. */
	ck_assert_int_eq(cable_set(&host, cables[0].names.host_ifindex, CABLE_GONE), 0);
	ck_assert_int_eq(create(&others, 1000, &cables[0]), 0);
	ck_assert_uint_eq(cables[0].names.index, 4);
}
END_TEST

START_TEST(all_taken)
{
	struct cable cable;

	config.indexes = 2;
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	check_refused(&host, 1000, HELPER_FAILURE_NO_FREE_INDEX, 2);
	close(others.netfilter);
	ck_assert_int_eq(netlink_open(&others), 0);
	check_refused(&others, 1000, HELPER_FAILURE_NO_FREE_INDEX, 2);
	config.indexes = 3;
	ck_assert_int_eq(create(&others, 1000, &cable), 0);
}
END_TEST

/* Requirement: it is not the pool that is blamed for what nf_tables refuses. */
START_TEST(no_nf_tables)
{
	struct cable cable;

	close(host.netfilter);
	ck_assert_int_eq(create(&host, 1000, &cable), -EBADF);
	ck_assert_uint_ne(failed.failure, HELPER_FAILURE_NO_FREE_INDEX);
	ck_assert_uint_eq(failed.detail, 0);
	ck_assert_uint_eq(cable.claim, 0);
}
END_TEST

static uint32_t contested;

static void claim_contested(void)
{
	struct cable cable = { .user = 2000, .names.index = contested };

	ck_assert_int_eq(claim_make(&others, &cable, 0), 0);
}

/* Requirement: who comes too late for an index takes the next. */
START_TEST(lost_race)
{
	struct cable cable;

	moment = "bnd00000";
	after = true;
	meanwhile = claim_contested;
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	ck_assert_uint_eq(cable.names.index, 1);
	ck_assert_ptr_null(meanwhile);
}
END_TEST

/* Cables that nobody claims: bndNNNNN from `first` on. */
static void make_orphans(int first, int count)
{
	FILE *ip = popen("ip -batch -", "w");

	for (int i = first; i < first + count; i++)
		fprintf(ip, "link add bnd%05d type veth peer name peer%05d\n", i, i);
	ck_assert_int_eq(pclose(ip), 0);
}

static bool exists(uint32_t index)
{
	char name[IFNAMSIZ];

	snprintf(name, sizeof(name), "bnd%05u", index);
	return if_nametoindex(name) != 0;
}

/* Is it the one that make_orphans() made, with its other end? */
static bool is_orphan(uint32_t index)
{
	char name[IFNAMSIZ];

	snprintf(name, sizeof(name), "peer%05u", index);
	return exists(index) && if_nametoindex(name) != 0;
}

/*
 * Requirement: cables without a helper are left to their jails; beyond 64, a new session gets the index of the next,
 * which goes.
 */
START_TEST(orphans)
{
	int first = _i ? 3 : 0;
	struct cable cables[3], cable;

	for (int i = 0; i < first; i++)
		ck_assert_int_eq(create(&others, 1000, &cables[i]), 0);
	make_orphans(first, 64);
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	ck_assert_uint_eq(cable.names.index, (uint32_t)first + 64);
	make_orphans(first + 65, 2);
	for (uint32_t i = 65; i <= 66; i++) {
		ck_assert_int_eq(create(&host, 1000, &cable), 0);
		ck_assert_uint_eq(cable.names.index, (uint32_t)first + i);
		ck_assert(exists(cable.names.index) && !is_orphan(cable.names.index));
	}
	for (uint32_t i = 0; i < 64; i++)
		ck_assert(is_orphan((uint32_t)first + i));
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	ck_assert_uint_eq(cable.names.index, (uint32_t)first + 67);
}
END_TEST

/* Requirement: however many helpers are killed whose jails are kept, there are no more of their cables than that. */
START_TEST(orphans_are_bounded)
{
	struct cable cable;

	for (uint32_t i = 0; i < 200; i++) {
		ck_assert_int_eq(create(&others, 1000, &cable), 0);
		ck_assert_uint_eq(cable.names.index, i < 64 ? i : 64);
		netlink_close(&others);
		ck_assert_int_eq(netlink_allocate(&others) ?: netlink_open(&others), 0);
	}
}
END_TEST

/* Requirement: not even while it is being made is a claimed cable taken for one that nobody has. */
START_TEST(orphan_that_is_none)
{
	struct cable cable;

	make_orphans(0, 80);
	contested = 64;
	moment = "bnd00064";
	after = _i;
	meanwhile = claim_contested;
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	ck_assert_ptr_null(meanwhile);
	ck_assert_uint_eq(cable.names.index, 65);
	for (uint32_t i = 0; i < 80; i++)
		ck_assert_int_eq(is_orphan(i), i != 65);
}
END_TEST

static void leave_orphan(void)
{
	make_orphans(0, 1);
}

/*
 * Requirement: the cable of a helper that was killed when the index had just been found free goes before its guard
 * does; not for one that is refused, to whom it says nothing.
 */
START_TEST(orphan_of_this_moment)
{
	struct cable cable;

	moment = "bnd00000";
	after = true;
	meanwhile = leave_orphan;
	ck_assert_int_eq(create(&host, 1000, &cable), 0);
	ck_assert_ptr_null(meanwhile);
	ck_assert(exists(0) && !is_orphan(0));
	undo(&host, &cable);
	leave_orphan();
	config.per_user = 0;
	check_refused(&host, 1000, HELPER_FAILURE_USER_SESSIONS, 0);
	ck_assert(is_orphan(0));
}
END_TEST

/* Requirement: who lists the rules can read them, whatever a claim says of its user. */
START_TEST(listed_by_nft)
{
	static const uid_t users[] = { 0, 1, 256, 1000, 1024, 51200, 65536, 0x0c000400, 4294967294 };
	struct cable cable = { .user = users[_i] };
	char line[256];
	FILE *nft;

	ck_assert_int_eq(claim_make(&host, &cable, 0), 0);
	nft = popen("nft list ruleset", "r");
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), nft));
	ck_assert_int_eq(strncmp(line, "table ip boundary_00000 {", 25), 0);
	while (fgets(line, sizeof(line), nft))
		for (size_t i = 0; line[i]; i++)
			ck_assert_msg(line[i] == '\n' || line[i] == '\t' || (line[i] >= ' ' && line[i] <= '~'),
				      "not to be read: %s", line);
	ck_assert_int_eq(pclose(nft), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper_claims");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failures;

	if (!namespaces_possible()) {
		puts("helper_claims: skipped, no user namespaces here");
		srunner_free(runner);
		return EXIT_SUCCESS;
	}
	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, quota_of_a_user);
	tcase_add_test(all, quota_of_all);
	tcase_add_test(all, user_ids);
	tcase_add_test(all, counting);
	tcase_add_loop_test(all, refused_without_a_claim, 0, 2);
	tcase_add_loop_test(all, nothing_held_meanwhile, 0, 2);
	tcase_add_loop_test(all, counted_in_a_race, 2, 13);
	tcase_add_test(all, claim_of_another_generation);
	tcase_add_loop_test(all, always_late, 0, 2);
	tcase_add_test(all, end_of_a_helper);
	tcase_add_test(all, a_socket_that_is_left);
	tcase_add_test(all, lowest_free_index);
	tcase_add_test(all, all_taken);
	tcase_add_test(all, no_nf_tables);
	tcase_add_test(all, lost_race);
	tcase_add_loop_test(all, orphans, 0, 2);
	tcase_add_test(all, orphans_are_bounded);
	tcase_add_loop_test(all, orphan_that_is_none, 0, 2);
	tcase_add_test(all, orphan_of_this_moment);
	tcase_add_loop_test(all, listed_by_nft, 0, 9);
	tcase_set_timeout(all, 180);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
