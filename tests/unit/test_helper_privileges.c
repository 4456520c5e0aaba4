/*
 * What the helper keeps and may do: helper/privileges.c. The capabilities are looked at in a user namespace, where the
 * test has all; of every system call there is a number for, in each stage, that it is the end of the process or not.
 */
#include <check.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "helper/privileges.h"
#include "shared/cleanup.h"
#include "tests/unit/test_helper_host.h"

/* Capabilities ------------------------------------------------------------------------------------------------------
 */

/* A line of /proc/self/status, as a number. */
static unsigned long long status(const char *key)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/status", "re");
	char line[256];

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
			return strtoull(line + strlen(key) + 1, NULL, 16);
	ck_abort_msg("no %s", key);
	return 0;
}

static const unsigned long long net_admin = 1ull << CAP_NET_ADMIN;

static void check_sets(unsigned long long permitted, unsigned long long effective)
{
	ck_assert_uint_eq(status("CapPrm"), permitted);
	ck_assert_uint_eq(status("CapEff"), effective);
	ck_assert_uint_eq(status("CapInh"), 0);
	ck_assert_uint_eq(status("CapAmb"), 0);
}

START_TEST(reduced)
{
	ck_assert(enter(CLONE_NEWUSER));
	ck_assert_uint_ne(status("CapEff"), 0);
	ck_assert_int_eq(privileges_reduce(), 0);
	check_sets(net_admin, 0);
	ck_assert_uint_eq(status("CapBnd"), 0);
	ck_assert_uint_eq(status("NoNewPrivs"), 1);
	ck_assert_int_eq(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 0);
}
END_TEST

START_TEST(changed)
{
	ck_assert(enter(CLONE_NEWUSER));
	ck_assert_int_eq(privileges_reduce(), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(privileges_set(PRIVILEGES_EFFECTIVE), 0);
		check_sets(net_admin, net_admin);
		ck_assert_int_eq(privileges_set(PRIVILEGES_PERMITTED), 0);
		check_sets(net_admin, 0);
	}
	ck_assert_int_eq(privileges_set(PRIVILEGES_NONE), 0);
	check_sets(0, 0);
	ck_assert_int_eq(privileges_set(PRIVILEGES_EFFECTIVE), -EPERM);
	ck_assert_int_eq(privileges_set(PRIVILEGES_PERMITTED), -EPERM);
	check_sets(0, 0);
}
END_TEST

/* Requirement: the ids are the real ones for good, and without the capability that is no failure yet. */
START_TEST(returned_ids)
{
	uid_t ids[3];

	ck_assert_int_eq(setresgid(12345, 0, 0), 0);
	ck_assert_int_eq(setresuid(12345, 0, 0), 0);
	ck_assert_int_eq(privileges_reduce(), 0);
	ck_assert_int_eq(getresuid(&ids[0], &ids[1], &ids[2]), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(ids[i], 12345);
	ck_assert_int_eq(getresgid(&ids[0], &ids[1], &ids[2]), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(ids[i], 12345);
	ck_assert_uint_eq(status("CapPrm") & ~net_admin, 0);
	ck_assert_int_lt(setuid(0), 0);
	ck_assert_int_eq(privileges_set(PRIVILEGES_NONE), 0);
	ck_assert_int_eq(privileges_reduce(), 0);
	check_sets(0, 0);
}
END_TEST

/* System calls ------------------------------------------------------------------------------------------------------
 */

#define UP STAGE_SET_UP
#define SERVE STAGE_SERVING
#define DOWN STAGE_TEARDOWN

#ifndef BOUNDARY_SANITIZED

/* All that a stage may use. A call that is missing in the filter would end the attacks and the end-to-end tests. */
static const struct {
	long number;
	unsigned int stages;
} allowed[] = {
	{ SYS_getuid, UP },
	{ SYS_getgid, UP },
	{ SYS_getgroups, UP },
	{ SYS_getppid, UP },
	{ SYS_socket, UP },
	{ SYS_socketpair, UP },
	{ SYS_ioctl, UP },
	{ SYS_fstat, UP },
	{ SYS_fstatfs, UP },
	{ SYS_newfstatat, UP },
	{ SYS_openat, UP },
	{ SYS_write, UP },
	{ SYS_ppoll, UP },
#ifdef SYS_poll
	{ SYS_poll, UP },
#endif
	{ SYS_recvmsg, UP | SERVE },
	{ SYS_setitimer, UP | SERVE },
	{ SYS_sendto, UP | SERVE | DOWN },
	{ SYS_recvfrom, UP | SERVE | DOWN },
	{ SYS_sendmsg, UP | SERVE | DOWN },
	{ SYS_close, UP | SERVE | DOWN },
	{ SYS_capset, UP | SERVE | DOWN },
	{ SYS_seccomp, UP | SERVE | DOWN },
	{ SYS_restart_syscall, UP | SERVE | DOWN },
	{ SYS_brk, UP | SERVE | DOWN },
	{ SYS_rt_sigreturn, UP | SERVE | DOWN },
	{ SYS_brk, UP | SERVE | DOWN },
	{ SYS_exit_group, UP | SERVE | DOWN },
};

#define NUMBERS 512 /* more than there are */

/* The stages one after the other, as a session goes through them; the last is a failed attach. */
static const unsigned int courses[] = { UP, UP | SERVE, UP | SERVE | DOWN, UP | DOWN };

static bool is_allowed(long number, unsigned int last)
{
	for (size_t i = 0; i < array_size(allowed); i++)
		if (allowed[i].number == number)
			return allowed[i].stages & last;
	return false;
}

/* Calls of the kernel's own probes, in pages it makes: no filter is asked, and by others they do nothing but harm. */
static bool is_never_filtered(long number)
{
#ifdef __x86_64__
	return number == 335 || number == 336; /* uretprobe(2), uprobe(2) */
#else
	return number < 0;
#endif
}

/* Enters the stages, makes the call with nonsense, and exits with 0. */
static void try(unsigned int stages, long number)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(101);
	for (unsigned int stage = UP; stage <= DOWN; stage <<= 1)
		if ((stages & stage) && privileges_confine(stage) < 0)
			_exit(102);
	syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
	_exit(0);
}

static int outcome(unsigned int stages, long number)
{
	int result;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		try(stages, number);
	ck_assert_int_eq(waitpid(pid, &result, 0), pid);
	return result;
}

/* Requirement: in each stage everything but what it takes ends the process; none allows what an earlier one did not. */
START_TEST(system_calls)
{
	unsigned int course = courses[_i], last = course & DOWN ? DOWN : course & SERVE ? SERVE : UP;

	for (long number = 0; number < NUMBERS; number++) {
		int result = outcome(course, number);

		if (is_never_filtered(number))
			continue;
		if (!is_allowed(number, last))
			ck_assert_msg(WIFSIGNALED(result) && WTERMSIG(result) == SIGSYS,
				      "call %ld, stages %u: status 0x%x", number, course, result);
		else if (number == SYS_rt_sigreturn) /* without a frame of a signal */
			ck_assert(WIFSIGNALED(result) && WTERMSIG(result) == SIGSEGV);
		else
			ck_assert_msg(WIFEXITED(result) && WEXITSTATUS(result) == (number == SYS_exit_group ? 255 : 0),
				      "call %ld, stages %u: status 0x%x", number, course, result);
	}
}
END_TEST

#ifdef __x86_64__
/* A system call by the gate of i386: number 3, read(2) there, close(2) here, where every stage allows it. */
static int outcome_as_i386(bool filtered)
{
	int result = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || (filtered && privileges_confine(UP) < 0))
			_exit(101);
		__asm__ volatile("int $0x80" : "=a"(result) : "a"(3), "b"(-1) : "memory");
		_exit(0);
	}
	waitpid(pid, &result, 0);
	return result;
}

/* Requirement: an allowed number is not allowed as another architecture's, where it is another call. */
START_TEST(i386)
{
	int result = outcome_as_i386(true);

	ck_assert(WIFSIGNALED(result) && WTERMSIG(result) == SIGSYS);
}
END_TEST

START_TEST(x32)
{
	int result = outcome(UP, SYS_getuid | 0x40000000);

	ck_assert(WIFSIGNALED(result) && WTERMSIG(result) == SIGSYS);
}
END_TEST
#endif

#endif

/* In every build the filter is there; but valgrind does not know the call that loads it. */
START_TEST(filtered)
{
	int r;

	ck_assert_uint_eq(status("Seccomp"), 0);
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	r = privileges_confine(UP);
#ifdef BOUNDARY_SANITIZED
	if (r == -ENOSYS || (getenv("LD_PRELOAD") && strstr(getenv("LD_PRELOAD"), "vgpreload")))
		puts("helper_privileges: 1 skipped, no seccomp(2) here");
	else
		ck_assert_uint_eq(status("Seccomp"), 2);
#else
	ck_assert_int_eq(r, 0);
	_exit(prctl(PR_GET_SECCOMP) == 0); /* ends by the filter, as it should */
#endif
}
END_TEST

static void add_capabilities(TCase *all)
{
	if (namespaces_possible()) {
		tcase_add_test(all, reduced);
		tcase_add_test(all, changed);
	} else {
		puts("helper_privileges: 2 skipped, no user namespaces here");
	}
	if (getuid() == 0)
		tcase_add_test(all, returned_ids);
	else
		puts("helper_privileges: 1 skipped, only root has other ids");
}

static void add_filters(TCase *all)
{
#ifdef BOUNDARY_SANITIZED
	puts("helper_privileges: 6 skipped, the filters of a sanitizer build only log");
	tcase_add_test(all, filtered);
#else
	tcase_add_test_raise_signal(all, filtered, SIGSYS);
	tcase_add_loop_test(all, system_calls, 0, (int)array_size(courses));
#ifdef __x86_64__
	tcase_add_test(all, x32);
	if (WIFEXITED(outcome_as_i386(false)))
		tcase_add_test(all, i386);
	else
		puts("helper_privileges: 1 skipped, this kernel runs nothing for i386");
#endif
#endif
}

int main(void)
{
	Suite *suite = suite_create("helper_privileges");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failures;

	add_capabilities(all);
	add_filters(all);
	tcase_set_timeout(all, 180);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
