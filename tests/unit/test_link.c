/* The moment in which both ends of a cable have come up: launcher/link.c, on the kernel. */
#include "launcher/link.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "tests/attack/helper_inside.h"
#include "tests/unit/test_helper_sessions.h"

/* Of so many a few come late without link_wake(). */
#define LINKS 60
#define LONG_MS 20000

/* Others keep the kernel busy with links of theirs, as long as the test lives. */
static void busy(pid_t parent)
{
	struct cable cable;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	host = (struct netlink)NETLINK_NONE;
	if (getppid() != parent || netlink_allocate(&host) < 0 || netlink_open(&host) < 0)
		_exit(1);
	cable = cable_into(own_jail());
	for (;;) {
		cable_set(&host, cable.names.host_ifindex, CABLE_UP);
		cable_set(&host, cable.names.host_ifindex, CABLE_DOWN);
	}
}

static void setup(void)
{
	pid_t test = getpid();

	enter_host();
	if (fork() == 0)
		busy(test);
}

/* Requirement: what the host sends to the jail from then on arrives; nobody being there, the jail's kernel says so. */
START_TEST(carries_at_once)
{
	const struct helper_jail jail = inside_jail();
	const struct cable cable = cable_into(jail.netns);
	const struct sockaddr_in there = { .sin_family = AF_INET,
					   .sin_port = htons(5000),
					   .sin_addr.s_addr = htonl(cable.names.jail_address) };
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct pollfd wait = { .fd = fd };

	ck_assert_int_eq(cable_set(&host, cable.names.host_ifindex, CABLE_UP), 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&there, sizeof(there)), 0);
	ck_assert_int_eq(inside_do(&jail, inside_configure, &cable.names, sizeof(cable.names)), 0);
	link_wake(fd, cable.names.host_interface);
	ck_assert_int_eq(send(fd, "", 1, 0), 1);
	ck_assert_int_eq(poll(&wait, 1, LONG_MS), 1);
}
END_TEST

/* Requirement: what it cannot do it lets be. */
START_TEST(no_such_link)
{
	link_wake(-1, "lo");
	link_wake(host.route, "nobody's");
	link_wake(host.route, "a name that is longer than any interface's");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failures;

	if (!namespaces_possible()) {
		puts("link: skipped, no user namespaces here");
		srunner_free(runner);
		return EXIT_SUCCESS;
	}
	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_loop_test(all, carries_at_once, 0, LINKS);
	tcase_add_test(all, no_such_link);
	tcase_set_timeout(all, 60);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
