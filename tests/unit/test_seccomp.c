/* The filters as the kernel applies them: loaded into children that make the calls, of both ABIs where there are two.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/seccomp/seccomp.h"
#include "shared/cleanup.h"

#define HIGH_BIT (UINT64_C(1) << 32)
#define UNPREPARED 250 /* exit status of a child that could not set itself up: no errno */

static struct seccomp_program *command;

static void set_up_command(void)
{
	struct error e = { 0 };

	ck_assert_msg(seccomp_command_new(&command, &e) == 0, "%s", e.text);
}

static void tear_down_command(void)
{
	seccomp_program_free(command);
	command = NULL;
}

/* Runs `attempt` in a child under `program`; returns its wait status. */
static int status_under(const struct seccomp_program *program, int (*attempt)(void))
{
	pid_t pid;
	int status;

	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_program_load(program) < 0)
			_exit(UNPREPARED);
		_exit(attempt());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* The same for an attempt that exits with 0 or an errno. */
static int errno_under(const struct seccomp_program *program, int (*attempt)(void))
{
	int status = status_under(program, attempt);

	ck_assert_msg(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static int errno_of(long result)
{
	return result < 0 ? errno : 0;
}

static int attempt_tcp(void)
{
	return errno_of(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
}

static int attempt_netlink(void)
{
	return errno_of(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
}

static int attempt_uevent(void)
{
	return errno_of(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT));
}

static int attempt_vsock(void)
{
	return errno_of(socket(AF_VSOCK, SOCK_STREAM, 0));
}

static int attempt_raw(void)
{
	return errno_of(socket(AF_INET, SOCK_RAW, 0));
}

static int attempt_ping(void)
{
	return errno_of(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
}

static int attempt_io_uring(void)
{
	return errno_of(syscall(SYS_io_uring_setup, 1, NULL));
}

static int attempt_user_namespace(void)
{
	return errno_of(unshare(CLONE_NEWUSER));
}

/* Fails with EBADF where the filter does not look at it. */
static int attempt_tiocsti(void)
{
	return errno_of(syscall(SYS_ioctl, -1, TIOCSTI | HIGH_BIT, 0));
}

static int attempt_thread_clone(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return errno;
	return waitpid((pid_t)pid, NULL, 0) == pid ? 0 : UNPREPARED;
}

START_TEST(the_kernel_agrees)
{
	ck_assert_int_eq(errno_under(command, attempt_tcp), 0);
	ck_assert_int_eq(errno_under(command, attempt_netlink), 0);
	ck_assert_int_eq(errno_under(command, attempt_thread_clone), 0);
	ck_assert_int_eq(errno_under(command, attempt_uevent), EPROTONOSUPPORT);
	ck_assert_int_eq(errno_under(command, attempt_vsock), EAFNOSUPPORT);
	ck_assert_int_eq(errno_under(command, attempt_raw), EPERM);
	ck_assert_int_eq(errno_under(command, attempt_ping), EPROTONOSUPPORT);
	ck_assert_int_eq(errno_under(command, attempt_io_uring), ENOSYS);
	ck_assert_int_eq(errno_under(command, attempt_user_namespace), EPERM);
	ck_assert_int_eq(errno_under(command, attempt_tiocsti), EPERM);
}
END_TEST

#if defined(__x86_64__)

/* A call of the i386 ABI, which every process of a kernel with IA32 emulation can make. Returns 0 or an errno. */
static int i386_call(int number, uint32_t a0, uint32_t a1, uint32_t a2)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"((long)number), "b"((uint64_t)a0), "c"((uint64_t)a1), "d"((uint64_t)a2)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result < 0 ? -(int)result : 0;
}

static int i386_getpid(void)
{
	return i386_call(20, 0, 0, 0);
}

static int i386_socket_inet(void)
{
	return i386_call(359, AF_INET, SOCK_STREAM, 0);
}

static int i386_socket_vsock(void)
{
	return i386_call(359, AF_VSOCK, SOCK_STREAM, 0);
}

static int i386_socketcall(void)
{
	return i386_call(102, 1, 0, 0);
}

static int i386_tiocsti(void)
{
	return i386_call(54, (uint32_t)-1, TIOCSTI, 0);
}

static int i386_unshare(void)
{
	return i386_call(310, CLONE_NEWUSER, 0, 0);
}

static int i386_clone(void)
{
	return i386_call(120, CLONE_NEWUSER | SIGCHLD, 0, 0);
}

START_TEST(the_kernel_agrees_for_i386)
{
	int status = status_under(command, i386_getpid);

	if (!WIFEXITED(status))
		return; /* no IA32 emulation: no such ABI */
	ck_assert_int_eq(errno_under(command, i386_socket_inet), 0);
	ck_assert_int_eq(errno_under(command, i386_socket_vsock), EAFNOSUPPORT);
	ck_assert_int_eq(errno_under(command, i386_socketcall), ENOSYS);
	ck_assert_int_eq(errno_under(command, i386_tiocsti), EPERM);
	ck_assert_int_eq(errno_under(command, i386_unshare), EPERM);
	ck_assert_int_eq(errno_under(command, i386_clone), EPERM);
}
END_TEST

#endif

static struct seccomp_program *allowlist(const char *const *names, size_t n, bool kill_process)
{
	struct seccomp_program *program = NULL;
	struct error e = { 0 };

	ck_assert_msg(seccomp_allowlist_new(names, n, kill_process, &program, &e) == 0, "%s", e.text);
	return program;
}

static const char *const few_calls[] = { "getppid", "no_such_call", "exit_group", "getppid", "socketcall" };

static int attempt_getppid(void)
{
	return errno_of(syscall(SYS_getppid));
}

static int attempt_getuid(void)
{
	return errno_of(syscall(SYS_getuid));
}

START_TEST(allowlist_refuses_the_rest)
{
	struct seccomp_program *program = allowlist(few_calls, array_size(few_calls), false);

	ck_assert_int_eq(errno_under(program, attempt_getppid), 0);
#ifdef BOUNDARY_SANITIZED
	ck_assert_int_eq(errno_under(program, attempt_getuid), 0);
#else
	ck_assert_int_eq(errno_under(program, attempt_getuid), EPERM);
	ck_assert_int_eq(errno_under(program, attempt_tcp), EPERM);
#endif
	seccomp_program_free(program);
}
END_TEST

static int attempt_unix_stream(void)
{
	return errno_of(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
}

/* The kernel reads the family as int: bits above it must neither open nor close the door. */
static int attempt_unix_with_high_bits(void)
{
	return errno_of(syscall(SYS_socket, (1UL << 32) + AF_UNIX, SOCK_STREAM, 0));
}

static int attempt_inet_with_high_bits(void)
{
	return errno_of(syscall(SYS_socket, (1UL << 32) + AF_INET, SOCK_STREAM, 0));
}

START_TEST(allowlist_of_inet_sockets)
{
	static const char *const names[] = { SECCOMP_INET_SOCKETS, "exit_group" };
	struct seccomp_program *program = allowlist(names, array_size(names), false);

	ck_assert_int_eq(errno_under(program, attempt_tcp), 0);
	ck_assert_int_eq(errno_under(program, attempt_inet_with_high_bits), 0);
#ifndef BOUNDARY_SANITIZED
	ck_assert_int_eq(errno_under(program, attempt_unix_stream), EPERM);
	ck_assert_int_eq(errno_under(program, attempt_unix_with_high_bits), EPERM);
	ck_assert_int_eq(errno_under(program, attempt_netlink), EPERM);
#else
	ck_assert_int_eq(errno_under(program, attempt_unix_stream), 0);
	ck_assert_int_eq(errno_under(program, attempt_unix_with_high_bits), 0);
	ck_assert_int_eq(errno_under(program, attempt_netlink), 0);
#endif
	seccomp_program_free(program);
}
END_TEST

static int attempt_foreground(void)
{
	return errno_of(ioctl(STDIN_FILENO, TIOCGPGRP, NULL));
}

static int attempt_typing(void)
{
	return errno_of(ioctl(STDIN_FILENO, TIOCSTI, "x"));
}

/* Of what is not a terminal: the kernel's own refusal. */
START_TEST(allowlist_of_terminal_control)
{
	static const char *const names[] = { SECCOMP_TERMINAL_CONTROL, "exit_group" };
	struct seccomp_program *program = allowlist(names, array_size(names), false);
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	ck_assert(null >= 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO);
	ck_assert_int_eq(errno_under(program, attempt_foreground), ENOTTY);
#ifndef BOUNDARY_SANITIZED
	ck_assert_int_eq(errno_under(program, attempt_typing), EPERM);
#else
	ck_assert_int_eq(errno_under(program, attempt_typing), ENOTTY);
#endif
	close(null);
	seccomp_program_free(program);
}
END_TEST

START_TEST(allowlist_kills)
{
	struct seccomp_program *program = allowlist(few_calls, array_size(few_calls), true);
	int status;

	ck_assert_int_eq(errno_under(program, attempt_getppid), 0);
	status = status_under(program, attempt_getuid);
#ifdef BOUNDARY_SANITIZED
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#else
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
#endif
	seccomp_program_free(program);
}
END_TEST

/* Exits with the errno of a load without no_new_privs and without privilege. */
static int load_unprepared(void)
{
	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		return UNPREPARED;
	return -seccomp_program_load(command);
}

START_TEST(loading_needs_no_new_privs)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(load_unprepared());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EACCES);
}
END_TEST

START_TEST(no_descriptor_is_an_error)
{
	struct seccomp_program *program = NULL;
	struct rlimit limit;
	struct error e = { 0 };
	struct rlimit none;
	int r;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ 0, limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = seccomp_command_new(&program, &e);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(r, -EMFILE);
	ck_assert_ptr_null(program);
	ck_assert_int_eq(e.code, EMFILE);
	ck_assert_ptr_nonnull(strstr(e.text, "system call filter"));
	seccomp_program_free(NULL);
}
END_TEST

static Suite *seccomp_suite(void)
{
	Suite *suite = suite_create("seccomp");
	TCase *rules = tcase_create("command");
	TCase *lists = tcase_create("allowlist");

	tcase_add_checked_fixture(rules, set_up_command, tear_down_command);
	tcase_add_test(rules, the_kernel_agrees);
#if defined(__x86_64__)
	tcase_add_test(rules, the_kernel_agrees_for_i386);
#endif
	tcase_add_test(rules, loading_needs_no_new_privs);
	suite_add_tcase(suite, rules);
	tcase_add_test(lists, allowlist_refuses_the_rest);
	tcase_add_test(lists, allowlist_of_inet_sockets);
	tcase_add_test(lists, allowlist_of_terminal_control);
	tcase_add_test(lists, allowlist_kills);
	tcase_add_test(lists, no_descriptor_is_an_error);
	suite_add_tcase(suite, lists);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(seccomp_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
