/*
 * What guard, gate and redirect do to packets, on the kernel: helper/guard.c, between a jail that does what it likes
 * and a host of the test's own. What frames of all kinds do is the attack helper_packets' matter.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include "launcher/link.h"
#include "tests/attack/helper_connections.h"
#include "tests/attack/helper_inside.h"
#include "tests/unit/test_helper_sessions.h"

#define BEYOND 0xc0000208 /* of TEST-NET-1 (RFC 5737): nobody's */
#define SHORT_MS 300
#define LONG_MS 10000 /* SYN is sent again after a second, if the other end's link is late */

static const struct helper_redirect ports = { 4000, 4001 };
static int proxy, dns;

static int service(int type, uint16_t port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert(type == SOCK_DGRAM || listen(fd, 100) == 0);
	return fd;
}

static void setup(void)
{
	enter_host();
	run("ip link set lo up");
	proxy = service(SOCK_STREAM, ports.tcp_port);
	dns = service(SOCK_DGRAM, ports.dns_port);
}

struct side {
	struct helper_jail jail;
	struct cable cable;
};

static struct side begin(bool redirected)
{
	struct side s = { .jail = inside_jail() };

	s.cable = cable_into(s.jail.netns);
	ck_assert_int_eq(guard_install(&host, &s.cable), 0);
	ck_assert_int_eq(cable_set(&host, s.cable.names.host_ifindex, CABLE_UP), 0);
	ck_assert_int_eq(inside_do(&s.jail, inside_configure, &s.cable.names, sizeof(s.cable.names)), 0);
	link_wake(dns, s.cable.names.host_interface);
	if (redirected)
		ck_assert_int_eq(redirect_install(&host, &s.cable, &ports), 0);
	return s;
}

/* How many of these connections are made; while as many as are expected are not, it waits for longer. */
static int connect_from(const struct side *s, uint16_t port, unsigned int count, unsigned int wait_ms)
{
	const struct inside_connect order = { BEYOND, 80, port, count, wait_ms };

	return inside_do(&s->jail, inside_connect, &order, sizeof(order));
}

/* True if a datagram to port 53 of so many octets comes to the proxy within this time. */
static bool asks(const struct side *s, size_t size, int wait_ms)
{
	const struct inside_datagram order = { BEYOND, 53, size };
	struct pollfd wait = { .fd = dns, .events = POLLIN };
	char octets[8192];

	ck_assert_int_eq(inside_do(&s->jail, inside_datagram, &order, sizeof(order)), 0);
	return poll(&wait, 1, wait_ms) == 1 && recv(dns, octets, sizeof(octets), 0) == (ssize_t)size;
}

/* A connection's end at the proxy, which has it when the jail's acknowledgement is in, and so later than the jail. */
static int accepted(void)
{
	struct pollfd wait = { .fd = proxy, .events = POLLIN };

	ck_assert_int_eq(poll(&wait, 1, LONG_MS), 1);
	return accept(proxy, NULL, NULL);
}

/* Requirement: what a jail is for: the proxy gets it, and the jail the answer from the address it asked. */
START_TEST(what_passes)
{
	struct side s = begin(true);

	ck_assert_int_eq(connect_from(&s, 0, 3, LONG_MS), 3);
	ck_assert_int_ge(accepted(), 0);
	ck_assert(asks(&s, 100, LONG_MS));
}
END_TEST

/* Requirement: nothing passes before the redirect. */
START_TEST(too_early)
{
	struct side s = begin(false);

	ck_assert_int_eq(connect_from(&s, 0, 1, SHORT_MS), 0);
	ck_assert(!asks(&s, 100, SHORT_MS));
}
END_TEST

/* Requirement: no datagram in fragments, and no port that others take for root's. */
START_TEST(what_does_not)
{
	struct side s = begin(true);

	ck_assert(!asks(&s, 4000, SHORT_MS));
	ck_assert_int_eq(connect_from(&s, 700, 1, SHORT_MS), 0);
	ck_assert_int_eq(connect_from(&s, 1023, 1, SHORT_MS), 0);
	ck_assert_int_eq(connect_from(&s, 1024, 1, LONG_MS), 1);
}
END_TEST

static int count_packets(void)
{
	FILE *nft = popen("nft list table inet watch | sed -n 's/.*counter packets \\([0-9]*\\).*/\\1/p'", "r");
	int n = -1;

	ck_assert_int_eq(fscanf(nft, "%d", &n), 1);
	pclose(nft);
	return n;
}

/*
 * Requirement: with the helper's socket gone, killed at any point, nothing comes in, whatever rules of others would do
 * with it; with the guard flushed by others, the gate stands for it.
 */
START_TEST(without_gate)
{
	struct side s = begin(true);
	int before;

	if (_i) {
		run("nft flush ruleset");
		ck_assert_int_eq(connect_from(&s, 0, 1, LONG_MS), 1);
		ck_assert_int_eq(connect_from(&s, 700, 1, SHORT_MS), 0);
		ck_assert(!asks(&s, 4000, SHORT_MS));
		return;
	}
	run("nft 'table inet watch { chain packets { type filter hook prerouting priority -450; "
	    "iifname bnd00000 counter; }; }'");
	run("nft 'table ip others { chain packets { type nat hook prerouting priority dstnat; "
	    "tcp dport 80 redirect to :4000; udp dport 53 redirect to :4001; }; }'");
	ck_assert_int_eq(connect_from(&s, 0, 1, LONG_MS), 1);
	before = count_packets();
	ck_assert_int_gt(before, 0);
	close(host.netfilter);
	ck_assert(has_table("table netdev boundary_guard_00000\n"));
	ck_assert_int_eq(connect_from(&s, 0, 1, SHORT_MS), 0);
	ck_assert(!asks(&s, 100, SHORT_MS));
	ck_assert_int_eq(count_packets(), before);
}
END_TEST

/* Requirement: no packet of the host's own reaches a jail. Before the redirect no session is there to be reached. */
START_TEST(from_the_host)
{
	struct side s = begin(_i);
	const struct inside_datagram order = { s.cable.names.jail_address, 5000, 10 };
	int seen = 0;

	/* A link that was set up carries nothing until the kernel has found time to notice. */
	if (_i)
		ck_assert_int_eq(connect_from(&s, 0, 1, LONG_MS), 1);
	ck_assert_int_eq(inside_do(&s.jail, inside_watch, NULL, 0), 0);
	for (int i = 0; i < (_i ? 1 : 30) && seen == 0; i++) {
		ck_assert_int_eq(inside_datagram(&order), 0);
		seen = inside_do(&s.jail, inside_seen, NULL, 0);
	}
	ck_assert(_i ? seen == 0 : seen > 0);
}
END_TEST

static struct connections tracked(const struct side *s)
{
	struct connections found;

	ck_assert_int_eq(connections_list(s->cable.names.jail_address, &found), 0);
	return found;
}

/* Requirement: a connection that ended without a word is forgotten within an hour, one that was closed within seconds.
 */
START_TEST(timeouts)
{
	struct side s = begin(true);
	int fd;

	if (system("nft list table ip boundary_00000 | grep -q 'ct timeout'") != 0)
		return;
	ck_assert_int_eq(connect_from(&s, 0, 1, LONG_MS), 1);
	fd = accepted();
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(tracked(&s).count, 1);
	ck_assert_uint_gt(tracked(&s).longest, 3500);
	ck_assert_uint_le(tracked(&s).longest, 3600);
	/* Reset. */
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger)), 0);
	close(fd);
	ck_assert_uint_le(tracked(&s).longest, 2);
}
END_TEST

/* Requirement: at both ends of a session connections of its address are forgotten, and no others. */
START_TEST(forgetting)
{
	struct side s = begin(true), other = begin(true);

	ck_assert_int_eq(connect_from(&s, 0, 5, LONG_MS), 5);
	ck_assert_int_eq(connect_from(&other, 0, 3, LONG_MS), 3);
	ck_assert_uint_eq(tracked(&s).count, 5);
	if (_i) {
		ck_assert_int_eq(cable_set(&host, s.cable.names.host_ifindex, CABLE_DOWN), 0);
		ck_assert_int_eq(tables_remove(&host, &s.cable), 0);
	} else {
		ck_assert_int_eq(guard_install(&host, &s.cable), 0);
	}
	/* Before Linux 6.8 it cannot be said. */
	if (netlink_forget_connections(&host, s.cable.names.jail_address) != -EINVAL)
		ck_assert_uint_eq(tracked(&s).count, 0);
	ck_assert_uint_eq(tracked(&other).count, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper_packets");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failures;

	if (!namespaces_possible()) {
		puts("helper_packets: skipped, no user namespaces here");
		srunner_free(runner);
		return EXIT_SUCCESS;
	}
	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, what_passes);
	tcase_add_test(all, too_early);
	tcase_add_test(all, what_does_not);
	tcase_add_loop_test(all, without_gate, 0, 2);
	tcase_add_loop_test(all, from_the_host, 0, 2);
	tcase_add_test(all, timeouts);
	tcase_add_loop_test(all, forgetting, 0, 2);
	tcase_set_timeout(all, 180);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
