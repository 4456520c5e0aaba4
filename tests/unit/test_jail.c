/* launcher/: namespaces, giving up privileges, mounts and the network inside, each looked at from within. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/jail_drop.h"
#include "launcher/jail_mounts.h"
#include "launcher/jail_network.h"
#include "launcher/namespaces.h"
#include "shared/cleanup.h"

/* Fails with the line's number as the exit status, which the parent prints. */
#define inside_check(condition)                \
	do {                                   \
		if (!(condition))              \
			_exit(__LINE__ % 251); \
	} while (0)

static int go[2]; /* the parent says when the maps are written */

static int run_inside(int (*run)(void *), int *ret_namespaces)
{
	struct jail_process process;
	struct error why = { 0 };
	int status;

	ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
	ck_assert_msg(namespaces_clone(false, run, NULL, &process, &why) == 0, "%s", why.text);
	ck_assert_msg(namespaces_map_identity(process.pid, &why) == 0, "%s", why.text);
	ck_assert_int_eq(write(go[1], "g", 1), 1);
	ck_assert_int_eq(waitpid(process.pid, &status, 0), process.pid);
	close(go[0]);
	close(go[1]);
	close(process.pidfd);
	if (ret_namespaces)
		*ret_namespaces = process.namespaces;
	ck_assert_msg(WIFEXITED(status), "wait status 0x%x", status);
	return WEXITSTATUS(status);
}

static void await_maps(void)
{
	char byte;

	inside_check(read(go[0], &byte, 1) == 1);
}

/* The line of /proc/self/status that begins with `key`, without it. */
static bool status_is(const char *key, const char *value)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/status", "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		return strcmp(line + strlen(key) + strspn(line + strlen(key), ":\t "), value) == 0;
	}
	return false;
}

static int identity(void *argument)
{
	(void)argument;
	await_maps();
	inside_check(getuid() == geteuid() && getpid() == 1);
	inside_check(status_is("CapEff", "000001ffffffffff") || !status_is("CapEff", "0000000000000000"));
	return 0;
}

START_TEST(all_namespaces_and_own_identity)
{
	int namespaces;

	ck_assert_int_eq(run_inside(identity, &namespaces), 0);
	ck_assert_int_eq(namespaces,
			 CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS);
}
END_TEST

START_TEST(each_optional_namespace_has_its_loss)
{
	for (size_t i = 0; namespaces_optional[i]; i++)
		ck_assert_int_gt((int)strlen(namespaces_loss(namespaces_optional[i])), 10);
}
END_TEST

static int drop(void *argument)
{
	(void)argument;
	await_maps();
	inside_check(jail_drop_capabilities(NULL) == 0);
	/* The status of this process, whose pid in the mounted /proc is another: /proc/self follows the mount. */
	inside_check(status_is("CapEff", "0000000000000000"));
	inside_check(status_is("CapPrm", "0000000000000000"));
	inside_check(status_is("CapInh", "0000000000000000"));
	inside_check(status_is("CapBnd", "0000000000000000"));
	inside_check(status_is("CapAmb", "0000000000000000"));
	inside_check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	inside_check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0);
	inside_check(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) < 0);
	return 0;
}

START_TEST(no_capability_is_left)
{
	ck_assert_int_eq(run_inside(drop, NULL), 0);
}
END_TEST

START_TEST(landlock_keeps_signals_inside)
{
	int status;
	pid_t victim = fork(), attacker;

	if (victim == 0) {
		poll(NULL, 0, 10000);
		_exit(0);
	}
	attacker = fork();
	if (attacker == 0) {
		inside_check(kill(victim, 0) == 0);
		inside_check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		inside_check(jail_drop_reach(jail_reach_version()) == 0);
		inside_check(kill(victim, SIGKILL) < 0 && errno == EPERM);
		inside_check(kill(getppid(), 0) < 0 && errno == EPERM);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(attacker, &status, 0), attacker);
	ck_assert_int_eq(waitpid(victim, NULL, WNOHANG), 0);
	kill(victim, SIGKILL);
	waitpid(victim, NULL, 0);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status 0x%x", status);
}
END_TEST

/*
 * Requirement: a command may rename and link between directories, whatever version of Landlock there is; and where that
 * allows it, processes outside cannot be traced.
 */
START_TEST(landlock_restricts_no_files)
{
	char directory[] = "/tmp/boundary-jail-XXXXXX", from[64], to[64], link_to[64], sub_directory[64];
	int status;
	pid_t child;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(sub_directory, sizeof(sub_directory), "%s/d", directory);
	snprintf(from, sizeof(from), "%s/f", directory);
	snprintf(to, sizeof(to), "%s/d/f", directory);
	snprintf(link_to, sizeof(link_to), "%s/l", directory);
	ck_assert_int_eq(mkdir(sub_directory, 0700), 0);
	child = fork();
	if (child == 0) {
		int fd = open(from, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		inside_check(fd >= 0);
		inside_check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		inside_check(jail_drop_reach(_i) == 0);
		inside_check(rename(from, to) == 0);
		inside_check(link(to, link_to) == 0);
		inside_check(open("/etc/hostname", O_RDONLY | O_CLOEXEC) >= 0);
		inside_check(_i < JAIL_REACH_TRACE || ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) < 0);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	unlink(to);
	unlink(link_to);
	rmdir(sub_directory);
	rmdir(directory);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status 0x%x", status);
}
END_TEST

static int warnings;

static void count_warning(void *user, const char *text)
{
	(void)user;
	fprintf(stderr, "%s\n", text);
	warnings++;
}

/* All mounts at or below the path are read-only (proc(5), mountinfo: number, parent, device, root, place, options). */
static bool nothing_writable(const char *path)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], place[1024], options[1024];
	bool any = false;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%*s %*s %*s %*s %1023s %1023s", place, options) != 2 ||
		    strncmp(place, path, strlen(path)) != 0)
			continue;
		any = true;
		if (strncmp(options, "ro", 2) != 0)
			return false;
	}
	return any;
}

static int mounts(void *argument)
{
	const struct jail_mounts all = { true, "/etc/hostname", "/etc/hostname" };
	struct stat shown, source;
	bool own_proc;

	(void)argument;
	await_maps();
	inside_check(jail_mounts_set_up(&all, &own_proc, count_warning, NULL) && own_proc);
	inside_check(jail_network_limit_orphans() == 0);
	jail_mounts_protect(count_warning, NULL);
	inside_check(jail_network_limit_orphans() == -EROFS);
	inside_check(warnings == 0);
	inside_check(stat("/etc/hosts", &shown) == 0 && stat("/etc/hostname", &source) == 0);
	inside_check(shown.st_ino == source.st_ino && shown.st_dev == source.st_dev);
	inside_check(access("/proc/1", F_OK) == 0 && access("/proc/2", F_OK) < 0);
	inside_check(open("/proc/sys/kernel/hostname", O_WRONLY) < 0 && (errno == EROFS || errno == EACCES));
	inside_check(nothing_writable("/sys"));
	return 0;
}

START_TEST(mounts_are_private)
{
	struct stat before, after;

	ck_assert_int_eq(stat("/etc/hosts", &before), 0);
	ck_assert_int_eq(run_inside(mounts, NULL), 0);
	ck_assert_int_eq(stat("/etc/hosts", &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
}
END_TEST

static int network_without_cable(void *argument)
{
	struct error why = { 0 };

	(void)argument;
	await_maps();
	inside_check(jail_network_configure(0xc6120000, 0xc6120001, &why) < 0);
	inside_check(strstr(why.text, "eth0"));
	return 0;
}

START_TEST(a_missing_cable_is_named)
{
	ck_assert_int_eq(run_inside(network_without_cable, NULL), 0);
}
END_TEST

static int dns_sockets(void *argument)
{
	struct nameserver servers[4] = {
		{ .family = AF_INET }, { .family = AF_INET6 }, { .family = AF_INET }, { .family = AF_INET }
	};

	(void)argument;
	await_maps();
	/* Fails for want of a cable, after it has brought lo up. */
	inside_check(jail_network_configure(0xc6120000, 0xc6120001, NULL) < 0);
	inet_pton(AF_INET, "127.0.0.53", &servers[0].ipv4);
	inet_pton(AF_INET6, "fd00::53", &servers[1].ipv6);
	inet_pton(AF_INET, "10.1.2.3", &servers[2].ipv4);
	for (size_t i = 0; i < array_size(servers); i++) {
		struct error why = { 0 };
		int udp = -1, tcp = -1;

		inside_check(jail_network_bind_dns(&servers[i], &udp, &tcp, &why) == 0);
		inside_check(udp >= 0 && tcp >= 0);
		inside_check(fcntl(udp, F_GETFL) & O_NONBLOCK);
	}
	/* A second time the port is taken: an error, not a crash. */
	inside_check(jail_network_bind_dns(&servers[0], &(int){ -1 }, &(int){ -1 }, NULL) == -EADDRINUSE);
	return 0;
}

START_TEST(dns_sockets_of_every_kind_of_nameserver)
{
	ck_assert_int_eq(run_inside(dns_sockets, NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("jail");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(all, all_namespaces_and_own_identity);
	tcase_add_test(all, each_optional_namespace_has_its_loss);
	tcase_add_test(all, no_capability_is_left);
	tcase_add_test(all, landlock_keeps_signals_inside);
	tcase_add_loop_test(all, landlock_restricts_no_files, 0, jail_reach_version() + 1);
	tcase_add_test(all, mounts_are_private);
	tcase_add_test(all, a_missing_cable_is_named);
	tcase_add_test(all, dns_sockets_of_every_kind_of_nameserver);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
