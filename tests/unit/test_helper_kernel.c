/*
 * The helper's work on the kernel: helper/netns.c, cable.c, guard.c, in a user and network namespace of the test's own,
 * where it has the capability without being root. What is there afterwards is asked of the kernel by other means.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/cable.h"
#include "shared/cleanup.h"
#include "shared/wire.h"

static int route, netfilter;

static void write_file(const char *path, const char *text)
{
	_cleanup_fd_ int file = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_msg(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s", path,
		      strerror(errno));
}

/* As user 0 there, so that programs the test asks have their capabilities. */
static bool enter(int flags)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(flags) < 0)
		return false;
	if (!(flags & CLONE_NEWUSER))
		return true;
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	write_file("/proc/self/gid_map", map);
	return true;
}

/* The host. */
static void setup(void)
{
	ck_assert(enter(CLONE_NEWUSER | CLONE_NEWNET));
	route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	netfilter = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	ck_assert_int_ge(route, 0);
	ck_assert_int_ge(netfilter, 0);
}

/* A network namespace that a process makes with these flags, below another user namespace if `nested`. */
static int jail(int flags, bool nested)
{
	struct wire_message message;
	int pair[2], netns;
	pid_t pid;

	ck_assert_int_eq(wire_pair(pair), 0);
	pid = fork();
	if (pid == 0) {
		if (nested)
			enter(CLONE_NEWUSER);
		enter(flags);
		netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		_exit(wire_send(pair[1], 1, NULL, 0, &netns, 1) < 0);
	}
	ck_assert_int_eq(wire_receive(pair[0], &message, 1, 5000), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(pair[0]);
	close(pair[1]);
	return message.fds[0];
}

static int own_jail(void)
{
	return jail(CLONE_NEWUSER | CLONE_NEWNET, false);
}

/* True if `nft list tables` has this line, or, with NULL, anything. */
static bool has_table(const char *wanted)
{
	char line[256];
	FILE *nft = popen("nft list tables", "r");
	bool found = false;

	while (fgets(line, sizeof(line), nft))
		found |= !wanted || strncmp(line, wanted, strlen(wanted)) == 0;
	ck_assert_int_eq(pclose(nft), 0);
	return found;
}

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

static struct helper_attached cable_into(int netns)
{
	struct helper_attached cable = { 0 };

	ck_assert_int_eq(cable_create(route, netns, getuid(), &cable), 0);
	return cable;
}

/* Network namespaces ------------------------------------------------------------------------------------------- */

static void check_namespace(int fd, uid_t user, int expected, enum helper_failure failure)
{
	enum helper_failure got = 0;

	ck_assert_int_eq(netns_check(fd, route, user, &got), expected);
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
	struct helper_attached cable;
	struct ifaddrs *list;
	char value[16], alias[96] = "", path[64];
	bool found = false;
	FILE *file;

	write_file("/proc/sys/net/ipv4/conf/default/forwarding", "1");
	write_file("/proc/sys/net/ipv4/conf/default/accept_source_route", "1");
	cable = cable_into(own_jail());
	ck_assert_str_eq(cable.host_interface, "bnd00000");
	ck_assert_uint_eq(cable.host_address, 0xc6120000);
	ck_assert_uint_eq(cable.jail_address, 0xc6120001);
	ck_assert_uint_eq(cable.host_ifindex, if_nametoindex("bnd00000"));
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
	struct helper_attached cable = cable_into(own_jail());
	char line[256];
	FILE *file;

	/* The kernel makes an address once there is a carrier, which takes the jail. */
	ck_assert_int_eq(system("ip -d link show bnd00000 | grep -q 'addrgenmode none'"), 0);
	ck_assert_int_eq(cable_set(route, &cable, CABLE_UP), 0);
	file = fopen("/proc/net/if_inet6", "re");
	while (file && fgets(line, sizeof(line), file))
		ck_assert_ptr_null(strstr(line, "bnd"));
	if (file)
		fclose(file);
}
END_TEST

START_TEST(lowest_free_index)
{
	struct helper_attached cables[3];

	for (uint32_t i = 0; i < array_size(cables); i++) {
		cables[i] = cable_into(own_jail());
		ck_assert_uint_eq(cables[i].index, i);
	}
	ck_assert_int_eq(cable_set(route, &cables[1], CABLE_GONE), 0);
	cables[1] = cable_into(own_jail());
	ck_assert_uint_eq(cables[1].index, 1);
}
END_TEST

START_TEST(jail_with_eth0)
{
	int netns = own_jail();
	struct helper_attached cable = { 0 };

	cable_into(netns);
	ck_assert_int_eq(cable_create(route, netns, getuid(), &cable), -EEXIST);
	ck_assert_uint_eq(cable.host_ifindex, 0);
}
END_TEST

START_TEST(states)
{
	struct helper_attached cable = cable_into(own_jail());
	struct ifreq request = { 0 };
	_cleanup_fd_ int any = socket(AF_INET, SOCK_DGRAM, 0);

	memcpy(request.ifr_name, "bnd00000", 9);
	for (enum cable_state state = CABLE_UP;; state = CABLE_DOWN) {
		ck_assert_int_eq(cable_set(route, &cable, state), 0);
		ck_assert_int_eq(ioctl(any, SIOCGIFFLAGS, &request), 0);
		ck_assert_int_eq(request.ifr_flags & IFF_UP, state == CABLE_UP ? IFF_UP : 0);
		if (state == CABLE_DOWN)
			break;
	}
	ck_assert_int_eq(cable_set(route, &cable, CABLE_GONE), 0);
	ck_assert_uint_eq(if_nametoindex("bnd00000"), 0);
	/* It may have gone with the jail: that is what was wanted. Up it can only be if it is there. */
	ck_assert_int_eq(cable_set(route, &cable, CABLE_GONE), 0);
	ck_assert_int_eq(cable_set(route, &cable, CABLE_DOWN), 0);
	ck_assert_int_eq(cable_set(route, &cable, CABLE_UP), -ENODEV);
}
END_TEST

/* Rules -------------------------------------------------------------------------------------------------------- */

START_TEST(rules_come_and_go)
{
	const struct helper_redirect ports = { 4000, 4001 };
	struct helper_attached cable = cable_into(own_jail());
	char own[64];
	uint64_t guard = 0;

	ck_assert_int_eq(guard_install(netfilter, &cable, &guard), 0);
	ck_assert_uint_ne(guard, 0);
	ck_assert(has_table("table netdev boundary_guard_00000\n"));
	ck_assert_int_eq(redirect_install(netfilter, &cable, &ports), 0);
	snprintf(own, sizeof(own), "table ip boundary_00000_%u\n", cable.host_ifindex);
	ck_assert(has_table(own));
	snprintf(own, sizeof(own), "table netdev boundary_00000_%u\n", cable.host_ifindex);
	ck_assert(has_table(own));
	ck_assert_int_eq(tables_remove(netfilter, &cable, guard), 0);
	ck_assert(!has_table(NULL));
}
END_TEST

/* Requirement: the redirect goes with the socket, the guard does not; flushing takes the guard, but not its copy. */
START_TEST(owned_rules)
{
	const struct helper_redirect ports = { 4000, 4001 };
	struct helper_attached cable = cable_into(own_jail());
	uint64_t guard;
	char own[64];

	ck_assert_int_eq(guard_install(netfilter, &cable, &guard), 0);
	ck_assert_int_eq(redirect_install(netfilter, &cable, &ports), 0);
	if (_i == 0) {
		close(netfilter);
		ck_assert(has_table("table netdev boundary_guard_00000\n"));
		ck_assert(!has_table("table ip "));
		return;
	}
	ck_assert_int_eq(system("nft flush ruleset"), 0);
	ck_assert(!has_table("table netdev boundary_guard_00000\n"));
	ck_assert(has_table("table ip "));
	snprintf(own, sizeof(own), "table netdev boundary_00000_%u\n", cable.host_ifindex);
	ck_assert(has_table(own));
}
END_TEST

/* Requirement: a guard that a killed session left is replaced, and its late deletion does not hit its successor. */
START_TEST(stale_guard)
{
	struct helper_attached first = cable_into(own_jail()), second;
	uint64_t old, new;

	ck_assert_int_eq(guard_install(netfilter, &first, &old), 0);
	ck_assert_int_eq(cable_set(route, &first, CABLE_GONE), 0);
	second = cable_into(own_jail());
	ck_assert_uint_eq(second.index, first.index);
	ck_assert_int_eq(guard_install(netfilter, &second, &new), 0);
	ck_assert_uint_ne(old, new);
	ck_assert_int_eq(tables_remove(netfilter, &first, old), 0);
	ck_assert(has_table("table netdev boundary_guard_00000\n"));
	ck_assert_int_eq(tables_remove(netfilter, &second, new), 0);
	ck_assert(!has_table(NULL));
}
END_TEST

/* Requirement: a helper whose cable was deleted from inside does not keep others from its index. */
START_TEST(redirect_of_a_lost_cable)
{
	const struct helper_redirect ports = { 4000, 4001 };
	_cleanup_fd_ int other = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct helper_attached first = cable_into(own_jail()), second;
	uint64_t guard;

	ck_assert_int_eq(redirect_install(netfilter, &first, &ports), 0);
	ck_assert_int_eq(cable_set(route, &first, CABLE_GONE), 0);
	second = cable_into(own_jail());
	ck_assert_uint_eq(second.index, first.index);
	ck_assert_int_eq(guard_install(other, &second, &guard), 0);
	ck_assert_int_eq(redirect_install(other, &second, &ports), 0);
}
END_TEST

/* User namespaces may be off: then the attacks and the end-to-end tests, as root, are what there is. */
static bool possible(void)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0);
	waitpid(pid, &status, 0);
	return status == 0;
}

int main(void)
{
	Suite *suite = suite_create("helper_kernel");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (!possible()) {
		puts("helper_kernel: skipped, no user namespaces here");
		srunner_free(runner);
		return EXIT_SUCCESS;
	}
	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, own_jail_is_accepted);
	tcase_add_test(all, other_namespaces);
	tcase_add_test(all, no_namespaces);
	tcase_add_test(all, capability_elsewhere);
	tcase_add_test(all, settings);
	tcase_add_test(all, no_ipv6);
	tcase_add_test(all, lowest_free_index);
	tcase_add_test(all, jail_with_eth0);
	tcase_add_test(all, states);
	tcase_add_test(all, rules_come_and_go);
	tcase_add_loop_test(all, owned_rules, 0, 2);
	tcase_add_test(all, stale_guard);
	tcase_add_test(all, redirect_of_a_lost_cable);
	tcase_set_timeout(all, 20);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
