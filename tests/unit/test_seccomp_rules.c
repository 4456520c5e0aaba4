/* The filters judged by an interpreter of their BPF: whole ranges of arguments, and ABIs this kernel may not have. */
#include <check.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "policy/seccomp/program.h"
#include "shared/cleanup.h"

#define HIGH_BIT (UINT64_C(1) << 32)
#define ALLOWED 0
#define UNKNOWN_RESULT 250 /* of an interpreted program: neither allowed nor an errno */
#define X32_BIT 0x40000000

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#define SIBLING AUDIT_ARCH_I386
#define SIBLING_SCMP SCMP_ARCH_X86
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#define SIBLING AUDIT_ARCH_ARM
#define SIBLING_SCMP SCMP_ARCH_ARM
#endif

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

static bool jump_taken(const struct sock_filter *in, uint32_t a)
{
	switch (BPF_OP(in->code)) {
	case BPF_JA:
		return true;
	case BPF_JEQ:
		return a == in->k;
	case BPF_JGT:
		return a > in->k;
	case BPF_JGE:
		return a >= in->k;
	case BPF_JSET:
		return a & in->k;
	default:
		ck_abort_msg("jump %#x is not interpreted", in->code);
	}
}

/* What the program returns for `data` (seccomp(2)); as the kernel runs it: jumps go forward only, so it ends. */
static uint32_t run(const struct seccomp_program *program, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < program->bpf.len; pc++) {
		const struct sock_filter *in = &program->bpf.filter[pc];

		if (in->code == (BPF_LD | BPF_W | BPF_ABS)) {
			ck_assert_uint_le(in->k + sizeof(a), sizeof(*data));
			memcpy(&a, (const char *)data + in->k, sizeof(a));
		} else if (in->code == (BPF_ALU | BPF_AND | BPF_K)) {
			a &= in->k;
		} else if (in->code == (BPF_RET | BPF_K)) {
			return in->k;
		} else if (in->code == (BPF_JMP | BPF_JA)) {
			pc += in->k;
		} else if (BPF_CLASS(in->code) == BPF_JMP) {
			pc += jump_taken(in, a) ? in->jt : in->jf;
		} else {
			ck_abort_msg("instruction %#x is not interpreted", in->code);
		}
	}
	ck_abort_msg("the program runs off its end");
}

/* 0 if the command may make the call, else the errno it sees. */
static int verdict(uint32_t arch, int number, uint64_t a0, uint64_t a1, uint64_t a2)
{
	const struct seccomp_data data = { .nr = number, .arch = arch, .args = { a0, a1, a2 } };
	uint32_t result = run(command, &data);

	if (result == SECCOMP_RET_ALLOW)
		return ALLOWED;
	if ((result & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
		return (int)(result & SECCOMP_RET_DATA);
	return UNKNOWN_RESULT;
}

/* The two ABIs a command can use; registers of the second have 32 bits. */
struct abi {
	uint32_t arch;
	uint32_t scmp;
	uint64_t high; /* set above an int argument to evade a comparison */
};

static const struct abi abis[] = {
	{ NATIVE, SCMP_ARCH_NATIVE, 0 },
	{ NATIVE, SCMP_ARCH_NATIVE, HIGH_BIT },
	{ NATIVE, SCMP_ARCH_NATIVE, ~(uint64_t)UINT32_MAX },
	{ SIBLING, SIBLING_SCMP, 0 },
};

/* Negative if the ABI lacks the call. libseccomp gives i386's direct socket calls numbers of its own. */
static int number_of(const struct abi *abi, const char *name)
{
	if (abi->scmp == SCMP_ARCH_X86 && strcmp(name, "socket") == 0)
		return 359;
	if (abi->scmp == SCMP_ARCH_X86 && strcmp(name, "socketpair") == 0)
		return 360;
	return seccomp_syscall_resolve_name_arch(abi->scmp, name);
}

static int socket_verdict(const struct abi *abi, const char *call, unsigned int family, unsigned int type,
			  unsigned int protocol)
{
	int number = number_of(abi, call);

	ck_assert_int_ge(number, 0);
	return verdict(abi->arch, number, family | abi->high, type | abi->high, protocol | abi->high);
}

static bool family_permitted(unsigned int family)
{
	return family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
}

START_TEST(only_four_families)
{
	const struct abi *abi = &abis[_i];

	for (unsigned int family = 0; family < 4096; family++) {
		int expected = family_permitted(family) ? ALLOWED : EAFNOSUPPORT;

		if (abi->high)
			expected = EAFNOSUPPORT;
		ck_assert_int_eq(socket_verdict(abi, "socket", family, SOCK_DGRAM, 0), expected);
		ck_assert_int_eq(socket_verdict(abi, "socketpair", family, SOCK_DGRAM, 0),
				 family == AF_UNIX && !abi->high ? ALLOWED : EAFNOSUPPORT);
	}
	for (unsigned int bit = 5; bit < 32; bit++) {
		ck_assert_int_eq(socket_verdict(abi, "socket", 1u << bit | AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT);
		ck_assert_int_eq(socket_verdict(abi, "socket", 1u << bit | AF_INET, SOCK_STREAM, 0), EAFNOSUPPORT);
	}
}
END_TEST

START_TEST(only_streams_and_datagrams)
{
	static const unsigned int families[] = { AF_INET, AF_INET6 };
	static const unsigned int flags[] = { 0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC,
					      0x7fffff00 };
	const struct abi *abi = &abis[_i];
	int number = number_of(abi, "socket");

	for (size_t i = 0; i < array_size(families); i++) {
		for (size_t j = 0; j < array_size(flags); j++) {
			for (unsigned int type = 0; type < 16; type++) {
				bool permitted = type == SOCK_STREAM || type == SOCK_DGRAM;

				ck_assert_int_eq(
					verdict(abi->arch, number, families[i], type | flags[j] | abi->high, 0),
					permitted ? ALLOWED : EPERM);
			}
		}
	}
}
END_TEST

START_TEST(only_tcp_and_udp)
{
	const struct abi *abi = &abis[_i];
	int number = number_of(abi, "socket");

	for (unsigned int protocol = 0; protocol < 1024; protocol++) {
		bool permitted = protocol == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
		int expected = permitted && !abi->high ? ALLOWED : EPROTONOSUPPORT;

		ck_assert_int_eq(verdict(abi->arch, number, AF_INET, SOCK_STREAM, protocol | abi->high), expected);
		ck_assert_int_eq(verdict(abi->arch, number, AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, protocol | abi->high),
				 expected);
	}
	for (unsigned int bit = 5; bit < 32; bit++)
		ck_assert_int_eq(verdict(abi->arch, number, AF_INET, SOCK_DGRAM, 1u << bit | IPPROTO_UDP),
				 EPROTONOSUPPORT);
}
END_TEST

START_TEST(only_routing_netlink)
{
	const struct abi *abi = &abis[_i];
	int number = number_of(abi, "socket");

	for (unsigned int protocol = 0; protocol < 1024; protocol++) {
		int expected = protocol == NETLINK_ROUTE && !abi->high ? ALLOWED : EPROTONOSUPPORT;

		ck_assert_int_eq(verdict(abi->arch, number, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol | abi->high),
				 expected);
	}
	ck_assert_int_eq(verdict(abi->arch, number, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0), ALLOWED);
}
END_TEST

START_TEST(no_namespaces)
{
	static const uint64_t flags[] = { CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
					  CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET };
	const struct abi *abi = &abis[_i];
	int clone_number = number_of(abi, "clone");
	int unshare_number = number_of(abi, "unshare");
	const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
				CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

	for (size_t i = 0; i < array_size(flags); i++) {
		ck_assert_int_eq(verdict(abi->arch, clone_number, flags[i] | SIGCHLD | abi->high, 0, 0), EPERM);
		ck_assert_int_eq(verdict(abi->arch, clone_number, flags[i] | thread | abi->high, 0, 0), EPERM);
		ck_assert_int_eq(verdict(abi->arch, unshare_number, flags[i] | abi->high, 0, 0), EPERM);
	}
	ck_assert_int_eq(verdict(abi->arch, unshare_number, CLONE_NEWTIME | abi->high, 0, 0), EPERM);
	for (uint64_t signal_number = 0; signal_number < 256; signal_number++)
		ck_assert_int_eq(verdict(abi->arch, clone_number, signal_number | abi->high, 0, 0), ALLOWED);
	ck_assert_int_eq(verdict(abi->arch, clone_number, thread, 0, 0), ALLOWED);
	ck_assert_int_eq(verdict(abi->arch, clone_number, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0), ALLOWED);
	ck_assert_int_eq(verdict(abi->arch, unshare_number, CLONE_FILES | CLONE_FS, 0, 0), ALLOWED);
	ck_assert_int_eq(verdict(abi->arch, number_of(abi, "clone3"), 0, 0, 0), ENOSYS);
}
END_TEST

START_TEST(no_typing_into_terminals)
{
	static const uint64_t permitted[] = { TCGETS,    TCSETS,   TIOCGWINSZ, TIOCSWINSZ,
					      TIOCSPGRP, FIONREAD, TIOCSCTTY,  TIOCNOTTY };
	const struct abi *abi = &abis[_i];
	int number = number_of(abi, "ioctl");

	ck_assert_int_eq(verdict(abi->arch, number, 0, TIOCSTI | abi->high, 0), EPERM);
	ck_assert_int_eq(verdict(abi->arch, number, 0, TIOCLINUX | abi->high, 0), EPERM);
	for (size_t i = 0; i < array_size(permitted); i++)
		ck_assert_int_eq(verdict(abi->arch, number, 0, permitted[i] | abi->high, 0), ALLOWED);
}
END_TEST

static const struct {
	const char *name;
	int error;
} refused[] = {
	{ "io_uring_setup", ENOSYS },
	{ "io_uring_enter", ENOSYS },
	{ "io_uring_register", ENOSYS },
	{ "clone3", ENOSYS },
	{ "socketcall", ENOSYS },
	{ "setns", EPERM },
	{ "bpf", EPERM },
	{ "perf_event_open", EPERM },
	{ "keyctl", EPERM },
	{ "add_key", EPERM },
	{ "request_key", EPERM },
	{ "userfaultfd", EPERM },
	{ "kexec_load", EPERM },
	{ "kexec_file_load", EPERM },
	{ "init_module", EPERM },
	{ "finit_module", EPERM },
	{ "delete_module", EPERM },
	{ "reboot", EPERM },
	{ "swapon", EPERM },
	{ "swapoff", EPERM },
	{ "acct", EPERM },
	{ "quotactl", EPERM },
	{ "quotactl_fd", EPERM },
	{ "iopl", EPERM },
	{ "ioperm", EPERM },
	{ "open_by_handle_at", EPERM },
	{ "lookup_dcookie", EPERM },
	{ "syslog", EPERM },
	{ "mount", EPERM },
	{ "umount", EPERM },
	{ "umount2", EPERM },
	{ "pivot_root", EPERM },
	{ "open_tree", EPERM },
	{ "move_mount", EPERM },
	{ "fsopen", EPERM },
	{ "fsconfig", EPERM },
	{ "fsmount", EPERM },
	{ "fspick", EPERM },
	{ "mount_setattr", EPERM },
	{ "chroot", EPERM },
	{ "pidfd_getfd", EPERM },
	{ "vhangup", EPERM },
	{ "nfsservctl", EPERM },
	{ "settimeofday", EPERM },
	{ "clock_settime", EPERM },
	{ "clock_settime64", EPERM },
	{ "stime", EPERM },
};

START_TEST(refused_whatever_the_arguments)
{
	const struct abi *abi = &abis[_i];

	for (size_t i = 0; i < array_size(refused); i++) {
		int number = number_of(abi, refused[i].name);

		if (number < 0)
			continue; /* this ABI never had it */
		ck_assert_msg(verdict(abi->arch, number, 0, 0, 0) == refused[i].error, "%s", refused[i].name);
		ck_assert_msg(verdict(abi->arch, number, ~0ull, ~0ull, ~0ull) == refused[i].error, "%s",
			      refused[i].name);
	}
}
END_TEST

START_TEST(ordinary_calls_stay)
{
	static const char *const names[] = {
		"read",
		"write",
		"openat",
		"close",
		"execve",
		"execveat",
		"vfork",
		"fork",
		"wait4",
		"waitid",
		"mmap",
		"mprotect",
		"futex",
		"epoll_wait",
		"epoll_pwait",
		"ptrace",
		"process_vm_readv",
		"personality",
		"prctl",
		"seccomp",
		"landlock_create_ruleset",
		"memfd_create",
		"pidfd_open",
		"pidfd_send_signal",
		"inotify_init1",
		"getrandom",
		"statx",
		"rseq",
		"sendmsg",
		"recvmsg",
		"connect",
		"bind",
		"listen",
		"accept4",
		"adjtimex",
		"kill",
		"tgkill",
		"setsid",
		"setpgid",
		"sched_setaffinity",
		"chmod",
		"fchownat",
		"close_range",
		"copy_file_range",
	};
	const struct abi *abi = &abis[_i];

	for (size_t i = 0; i < array_size(names); i++) {
		int number = number_of(abi, names[i]);

		if (number >= 0)
			ck_assert_msg(verdict(abi->arch, number, abi->high, abi->high, abi->high) == ALLOWED, "%s",
				      names[i]);
	}
}
END_TEST

START_TEST(other_abis_do_not_exist)
{
#if defined(__x86_64__)
	for (int number = 0; number < 600; number++)
		ck_assert_int_eq(verdict(NATIVE, number | X32_BIT, AF_INET, SOCK_STREAM, 0), ENOSYS);
#endif
	ck_assert_int_eq(verdict(AUDIT_ARCH_PPC64, 3, 0, 0, 0), ENOSYS);
	ck_assert_int_eq(verdict(0, 0, 0, 0, 0), ENOSYS);
}
END_TEST

static struct seccomp_program *allowlist(const char *const *names, size_t n, bool kill_process)
{
	struct seccomp_program *program = NULL;
	struct error e = { 0 };

	ck_assert_msg(seccomp_allowlist_new(names, n, kill_process, &program, &e) == 0, "%s", e.text);
	return program;
}

START_TEST(allowlist_knows_one_abi)
{
	static const char *const exit_only[] = { "exit_group" };
	struct seccomp_program *program = allowlist(exit_only, array_size(exit_only), true);
	const struct seccomp_data own = { .nr = SYS_exit_group, .arch = NATIVE };
	const struct seccomp_data foreign = { .nr = 252, .arch = SIBLING }; /* i386's exit_group */

	ck_assert_uint_eq(run(program, &own), SECCOMP_RET_ALLOW);
#ifdef BOUNDARY_SANITIZED
	ck_assert_uint_eq(run(program, &foreign), SECCOMP_RET_LOG);
#else
	ck_assert_uint_eq(run(program, &foreign), SECCOMP_RET_KILL_PROCESS);
#endif
	seccomp_program_free(program);
}
END_TEST

START_TEST(an_empty_allowlist_allows_nothing)
{
	struct seccomp_program *program = allowlist(NULL, 0, true);

	for (int number = 0; number < 600; number++) {
		const struct seccomp_data data = { .nr = number, .arch = NATIVE };

		ck_assert_uint_ne(run(program, &data), SECCOMP_RET_ALLOW);
	}
	seccomp_program_free(program);
}
END_TEST

static Suite *rules_suite(void)
{
	Suite *suite = suite_create("seccomp_rules");
	TCase *rules = tcase_create("command");
	TCase *lists = tcase_create("allowlist");
	const int n_abis = (int)array_size(abis);

	tcase_add_checked_fixture(rules, set_up_command, tear_down_command);
	tcase_add_loop_test(rules, only_four_families, 0, n_abis);
	tcase_add_loop_test(rules, only_streams_and_datagrams, 0, n_abis);
	tcase_add_loop_test(rules, only_tcp_and_udp, 0, n_abis);
	tcase_add_loop_test(rules, only_routing_netlink, 0, n_abis);
	tcase_add_loop_test(rules, no_namespaces, 0, n_abis);
	tcase_add_loop_test(rules, no_typing_into_terminals, 0, n_abis);
	tcase_add_loop_test(rules, refused_whatever_the_arguments, 0, n_abis);
	tcase_add_loop_test(rules, ordinary_calls_stay, 0, n_abis);
	tcase_add_test(rules, other_abis_do_not_exist);
	suite_add_tcase(suite, rules);
	tcase_add_test(lists, allowlist_knows_one_abi);
	tcase_add_test(lists, an_empty_allowlist_allows_nothing);
	suite_add_tcase(suite, lists);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(rules_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
