/*
 * The helper's work on the kernel: helper/netns.c, cable.c, guard.c, in a user and network namespace of the test's own,
 * where it has the capability without being root. What is there afterwards is asked of the kernel by other means.
 */
#include <check.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/cable.h"
#include "shared/cleanup.h"
#include "tests/unit/test_helper_host.h"

static void read_setting(const char *name, const char *setting, char *ret, size_t size)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", name, setting);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(ret, (int)size, file));
	fclose(file);
}

/* Network namespaces ------------------------------------------------------------------------------------------- */

static void check_namespace(int fd, uid_t user, int expected, enum helper_failure failure)
{
	enum helper_failure got = 0;

	ck_assert_int_eq(netns_check(fd, host.route, user, &got), expected);
	if (expected < 0)
		ck_assert_int_eq(got, failure);
}

START_TEST(own_jail_is_accepted)
{
	check_namespace(own_jail(), getuid(), 0, 0);
}
END_TEST

START_TEST(other_namespaces)
{
	check_namespace(own_jail(), getuid() + 1, -EPERM, HELPER_FAILURE_FOREIGN_NETNS);
	check_namespace(jail(CLONE_NEWUSER | CLONE_NEWNET, true), getuid(), -EPERM, HELPER_FAILURE_FOREIGN_NETNS);
	check_namespace(open("/proc/self/ns/net", O_RDONLY), getuid(), -EPERM, HELPER_FAILURE_FOREIGN_NETNS);
	/* Of our own user namespace: user 0 may, for --no-user-namespace, others may not; not even user 0 his own. */
	check_namespace(jail(CLONE_NEWNET, false), 1000, -EPERM, HELPER_FAILURE_FOREIGN_NETNS);
	check_namespace(jail(CLONE_NEWNET, false), 0, 0, 0);
	check_namespace(open("/proc/self/ns/net", O_RDONLY), 0, -EPERM, HELPER_FAILURE_FOREIGN_NETNS);
}
END_TEST

START_TEST(no_namespaces)
{
	static const char *const paths[] = { "/proc/self/ns/user", "/proc/self/ns/mnt", "/dev/null", "/",
					     "/proc/self/status" };

	for (size_t i = 0; i < array_size(paths); i++)
		check_namespace(open(paths[i], O_RDONLY), getuid(), -EINVAL, HELPER_FAILURE_NOT_A_NETNS);
	check_namespace(open("/proc/self/ns/net", O_PATH), getuid(), -EINVAL, HELPER_FAILURE_NOT_A_NETNS);
	check_namespace(-1, getuid(), -EINVAL, HELPER_FAILURE_NOT_A_NETNS);
}
END_TEST

/* Requirement: the capability must be one over the network namespace the helper is in. */
START_TEST(capability_elsewhere)
{
	int netns = own_jail();

	ck_assert(enter(CLONE_NEWUSER));
	check_namespace(netns, getuid(), -EPERM, HELPER_FAILURE_CAPABILITY);
}
END_TEST

/* Cables ------------------------------------------------------------------------------------------------------- */

START_TEST(settings)
{
	struct cable cable;
	struct ifaddrs *list;
	char value[16], alias[96] = "", path[64];
	bool found = false;
	FILE *file;

	write_file("/proc/sys/net/ipv4/conf/default/forwarding", "1");
	write_file("/proc/sys/net/ipv4/conf/default/accept_source_route", "1");
	cable = cable_into(own_jail());
	ck_assert_str_eq(cable.names.host_interface, "bnd00000");
	ck_assert_uint_eq(cable.names.host_address, 0xc6120000);
	ck_assert_uint_eq(cable.names.jail_address, 0xc6120001);
	ck_assert_uint_eq(cable.names.host_ifindex, if_nametoindex("bnd00000"));
	read_setting("bnd00000", "forwarding", value, sizeof(value));
	ck_assert_str_eq(value, "0\n");
	read_setting("bnd00000", "accept_source_route", value, sizeof(value));
	ck_assert_str_eq(value, "0\n");

	ck_assert_int_eq(getifaddrs(&list), 0);
	for (struct ifaddrs *a = list; a; a = a->ifa_next) {
		if (strcmp(a->ifa_name, "bnd00000") != 0)
			continue;
		ck_assert(!(a->ifa_flags & IFF_UP));
		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET)
			continue;
		found = true;
		ck_assert_uint_eq(((struct sockaddr_in *)a->ifa_addr)->sin_addr.s_addr, htonl(0xc6120000));
		ck_assert_uint_eq(((struct sockaddr_in *)a->ifa_netmask)->sin_addr.s_addr, htonl(0xfffffffe));
	}
	ck_assert(found);
	freeifaddrs(list);

	file = popen("ip link show bnd00000 | sed -n 's/.*alias //p'", "r");
	ck_assert_ptr_nonnull(fgets(alias, sizeof(alias), file));
	pclose(file);
	snprintf(path, sizeof(path), "boundary uid=%u pid=%d\n", getuid(), getppid());
	ck_assert_str_eq(alias, path);
}
END_TEST

/* Requirement: no IPv6 address of the host's on the cable, up or down. */
START_TEST(no_ipv6)
{
	struct cable cable = cable_into(own_jail());
	char line[256];
	FILE *file;

	/* The kernel makes an address once there is a carrier, which takes the jail. */
	ck_assert_int_eq(system("ip -d link show bnd00000 | grep -q 'addrgenmode none'"), 0);
	ck_assert_int_eq(cable_set(&host, cable.names.host_ifindex, CABLE_UP), 0);
	file = fopen("/proc/net/if_inet6", "re");
	while (file && fgets(line, sizeof(line), file))
		ck_assert_ptr_null(strstr(line, "bnd"));
	if (file)
		fclose(file);
}
END_TEST

/*
 * Requirement: both ends know each other's Ethernet address: nobody asks, and the neighbour table, one for all network
 * namespaces, is not filled.
 */
START_TEST(ethernet)
{
	struct cable cable = cable_into(own_jail());
	struct ifreq request = { 0 };

	memcpy(request.ifr_name, "bnd00000", 9);
	ck_assert_int_eq(ioctl(host.route, SIOCGIFHWADDR, &request), 0);
	ck_assert_mem_eq(request.ifr_hwaddr.sa_data, "\x02\x00\xc6\x12\x00\x00", 6);
	ck_assert_int_eq(cable_set(&host, cable.names.host_ifindex, CABLE_UP), 0);
	ck_assert_int_eq(system("test \"$(ip neighbour show dev bnd00000)\" = "
				"'198.18.0.1 lladdr 02:00:c6:12:00:01 PERMANENT '"),
			 0);
}
END_TEST

START_TEST(jail_end)
{
	int netns = own_jail();

	cable_into(netns);
	ck_assert_int_eq(setns(netns, CLONE_NEWNET), 0);
	ck_assert_int_eq(system("ip link show eth0 | grep -q 'link/ether 02:00:c6:12:00:01'"), 0);
}
END_TEST

START_TEST(jail_with_eth0)
{
	int netns = own_jail();
	static const struct config defaults = DEFAULTS;
	struct cable cable = { .user = getuid() };
	struct helper_failed failed = { 0 };

	cable_into(netns);
	ck_assert_int_eq(cable_create(&host, &defaults, netns, &cable, &failed), -EEXIST);
	ck_assert_uint_eq(failed.failure, HELPER_FAILURE_LINK);
	ck_assert_uint_eq(cable.names.host_ifindex, 0);
	/* What is in it is to undo. */
	ck_assert_uint_ne(cable.claim, 0);
	ck_assert_int_eq(tables_remove(&host, &cable), 0);
	ck_assert(!has_table("table ip boundary_00001\n"));
	ck_assert(has_table("table ip boundary_00000\n"));
}
END_TEST

START_TEST(states)
{
	struct cable cable = cable_into(own_jail());
	uint32_t ifindex = cable.names.host_ifindex;
	struct ifreq request = { 0 };
	_cleanup_fd_ int any = socket(AF_INET, SOCK_DGRAM, 0);

	memcpy(request.ifr_name, "bnd00000", 9);
	for (enum cable_state state = CABLE_UP;; state = CABLE_DOWN) {
		ck_assert_int_eq(cable_set(&host, ifindex, state), 0);
		ck_assert_int_eq(ioctl(any, SIOCGIFFLAGS, &request), 0);
		ck_assert_int_eq(request.ifr_flags & IFF_UP, state == CABLE_UP ? IFF_UP : 0);
		if (state == CABLE_DOWN)
			break;
	}
	ck_assert_int_eq(cable_set(&host, ifindex, CABLE_GONE), 0);
	ck_assert_uint_eq(if_nametoindex("bnd00000"), 0);
	/* It may have gone with the jail: that is what was wanted. Up it can only be if it is there. */
	ck_assert_int_eq(cable_set(&host, ifindex, CABLE_GONE), 0);
	ck_assert_int_eq(cable_set(&host, ifindex, CABLE_DOWN), 0);
	ck_assert_int_eq(cable_set(&host, ifindex, CABLE_UP), -ENODEV);
}
END_TEST

/* Rules -------------------------------------------------------------------------------------------------------- */

static const struct helper_redirect ports = { 4000, 4001 };

START_TEST(rules_come_and_go)
{
	struct cable cable = cable_into(own_jail());

	ck_assert(has_table("table ip boundary_00000\n"));
	ck_assert_int_eq(guard_install(&host, &cable), 0);
	ck_assert(has_table("table netdev boundary_guard_00000\n"));
	ck_assert(!has_table("table netdev boundary_00000\n"));
	ck_assert_int_eq(redirect_install(&host, &cable, &ports), 0);
	ck_assert(has_table("table netdev boundary_00000\n"));
	ck_assert_int_eq(tables_remove(&host, &cable), 0);
	ck_assert(!has_table(NULL));
}
END_TEST

/* The expressions of a table's rules, as nft(8) prints them when it reads them from the kernel. */
static void read_expressions(const char *table, char *ret, size_t size)
{
	char command[128], line[512];
	FILE *nft;

	snprintf(command, sizeof(command), "nft --debug=netlink list table %s", table);
	nft = popen(command, "r");
	ret[0] = '\0';
	while (fgets(line, sizeof(line), nft))
		if (strncmp(line + strspn(line, " "), "[ ", 2) == 0)
			snprintf(ret + strlen(ret), size - strlen(ret), "%s", line + strspn(line, " "));
	ck_assert_int_eq(pclose(nft), 0);
}

static void check_same(const char *a, const char *b)
{
	static const char is_udp[] = "[ meta load l4proto => reg 1 ]\n[ cmp eq reg 1 0x00000011 ]\n";
	char ours[8192], theirs[8192];

	read_expressions(a, ours, sizeof(ours));
	read_expressions(b, theirs, sizeof(theirs));
	/* It wants to be told the protocol where ports are mapped. Ours is UDP by then: all of TCP was redirected. */
	for (char *at; strncmp(b, "ip ", 3) == 0 && (at = strstr(theirs, is_udp));)
		memmove(at, at + sizeof(is_udp) - 1, strlen(at + sizeof(is_udp) - 1) + 1);
	ck_assert_uint_gt(strlen(theirs), 100);
	ck_assert_str_eq(ours, theirs);
}

/* The lines of a list that have one of these words. */
static void read_lines(const char *command, const char *const *wanted, char *ret, size_t size)
{
	char line[512];
	FILE *nft = popen(command, "r");

	ret[0] = '\0';
	while (fgets(line, sizeof(line), nft))
		for (const char *const *word = wanted; *word; word++)
			if (strstr(line, *word))
				snprintf(ret + strlen(ret), size - strlen(ret), "%s", line);
	ck_assert_int_eq(pclose(nft), 0);
}

/* Hooks, priorities and policies of chains, and the timeouts. */
static void check_same_chains(const char *a, const char *b)
{
	static const char *const wanted[] = { "type ", "protocol tcp", "policy = ", NULL };
	char command[128], ours[1024], theirs[1024];

	snprintf(command, sizeof(command), "nft list table %s | grep -v 'fib\\|flags'", a);
	read_lines(command, wanted, ours, sizeof(ours));
	snprintf(command, sizeof(command), "nft list table %s | grep -v 'fib\\|flags'", b);
	read_lines(command, wanted, theirs, sizeof(theirs));
	ck_assert_ptr_nonnull(strstr(theirs, "priority"));
	ck_assert_str_eq(ours, theirs);
}

static const char by_nft[] =
	"table netdev guard_by_nft {\n"
	"  chain ingress {\n"
	"    type filter hook ingress device bnd00000 priority 0; policy drop;\n"
	"    meta mark 0x626e64 meta mark set 0 accept\n"
	"  }\n"
	"}\n"
	"table netdev by_nft {\n"
	"  chain ingress {\n"
	"    type filter hook ingress device bnd00000 priority -10; policy drop;\n"
	"    tcp flags & syn == syn limit rate over 512/second burst 4096 packets drop\n"
	"    meta protocol ip ip frag-off & 0x3fff == 0 ip saddr 198.18.0.1 fib daddr type unicast th sport >= 1024 "
	"\\\n"
	"      meta l4proto tcp ip ttl set 1 meta mark set 0x626e64 accept\n"
	"    meta protocol ip ip frag-off & 0x3fff == 0 ip saddr 198.18.0.1 fib daddr type unicast th sport >= 1024 "
	"\\\n"
	"      udp dport 53 ip ttl set 1 meta mark set 0x626e64 accept\n"
	"  }\n"
	"  chain egress {\n"
	"    type filter hook egress device bnd00000 priority 0; policy accept;\n"
	"    meta protocol ip fib saddr type local drop\n"
	"  }\n"
	"}\n"
	"table ip by_nft {\n"
	"  ct timeout brief {\n"
	"    protocol tcp; l3proto ip; policy = { established : 3600, time_wait : 2, close : 2 };\n"
	"  }\n"
	"  chain prerouting {\n"
	"    type nat hook prerouting priority -110; policy accept;\n"
	"    iif bnd00000 meta l4proto tcp ct timeout set \"brief\"\n"
	"    iif != bnd00000 accept\n"
	"    limit rate over 1024/second burst 8192 packets drop\n"
	"    meta l4proto tcp ct count over 1024 drop\n"
	"    meta l4proto tcp redirect to :4000\n"
	"    udp dport 53 ct count over 2048 drop\n"
	"    udp dport 53 redirect to :4001\n"
	"  }\n"
	"}\n";

START_TEST(as_nft_makes_them)
{
	struct cable cable = cable_into(own_jail());
	FILE *nft;

	ck_assert_int_eq(guard_install(&host, &cable), 0);
	ck_assert_int_eq(redirect_install(&host, &cable, &ports), 0);
	nft = popen("nft -f -", "w");
	fputs(by_nft, nft);
	ck_assert_int_eq(pclose(nft), 0);
	check_same("netdev boundary_guard_00000", "netdev guard_by_nft");
	check_same_chains("netdev boundary_guard_00000", "netdev guard_by_nft");
	check_same("netdev boundary_00000", "netdev by_nft");
	check_same_chains("netdev boundary_00000", "netdev by_nft");
	check_same("ip boundary_00000", "ip by_nft");
	check_same_chains("ip boundary_00000", "ip by_nft");
}
END_TEST

/*
 * Requirement: claim, redirect and gate go with the socket, the guard does not; flushing takes the guard, but not the
 * gate.
 */
START_TEST(owned_rules)
{
	struct cable cable = cable_into(own_jail());

	ck_assert_int_eq(guard_install(&host, &cable), 0);
	ck_assert_int_eq(redirect_install(&host, &cable, &ports), 0);
	if (_i == 0) {
		close(host.netfilter);
		ck_assert(has_table("table netdev boundary_guard_00000\n"));
		ck_assert(!has_table("table netdev boundary_00000\n"));
		ck_assert(!has_table("table ip "));
		return;
	}
	ck_assert_int_eq(system("nft flush ruleset"), 0);
	ck_assert(!has_table("table netdev boundary_guard_00000\n"));
	ck_assert(has_table("table ip boundary_00000\n"));
	ck_assert(has_table("table netdev boundary_00000\n"));
	/* Nor does anybody who may change others' rules change these. */
	ck_assert_int_ne(system("nft delete table ip boundary_00000 2>/dev/null"), 0);
	ck_assert_int_ne(system("nft delete table netdev boundary_00000 2>/dev/null"), 0);
}
END_TEST

/* Requirement: a guard that a killed session left is replaced, and its late deletion does not hit its successor. */
START_TEST(stale_guard)
{
	struct cable first = cable_into(own_jail()), second;

	ck_assert_int_eq(guard_install(&host, &first), 0);
	ck_assert_int_eq(cable_set(&host, first.names.host_ifindex, CABLE_GONE), 0);
	close(host.netfilter);
	ck_assert_int_eq(netlink_open(&host), 0);
	second = cable_into(own_jail());
	ck_assert_uint_eq(second.names.index, first.names.index);
	ck_assert_int_eq(guard_install(&host, &second), 0);
	ck_assert_uint_ne(first.claim, second.claim);
	ck_assert_int_eq(tables_remove(&host, &first), -ENOENT);
	ck_assert(has_table("table netdev boundary_guard_00000\n"));
	ck_assert_int_eq(tables_remove(&host, &second), 0);
	ck_assert(!has_table(NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper_kernel");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (!namespaces_possible()) {
		puts("helper_kernel: skipped, no user namespaces here");
		srunner_free(runner);
		return EXIT_SUCCESS;
	}
	tcase_add_checked_fixture(all, enter_host, NULL);
	tcase_add_test(all, own_jail_is_accepted);
	tcase_add_test(all, other_namespaces);
	tcase_add_test(all, no_namespaces);
	tcase_add_test(all, capability_elsewhere);
	tcase_add_test(all, settings);
	tcase_add_test(all, no_ipv6);
	tcase_add_test(all, ethernet);
	tcase_add_test(all, jail_end);
	tcase_add_test(all, jail_with_eth0);
	tcase_add_test(all, states);
	tcase_add_test(all, rules_come_and_go);
	tcase_add_test(all, as_nft_makes_them);
	tcase_add_loop_test(all, owned_rules, 0, 2);
	tcase_add_test(all, stale_guard);
	tcase_set_timeout(all, 180);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
