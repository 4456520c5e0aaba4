/*
 * System calls of a jail's command that its filter must refuse, made for real and each in a child. Outside a jail
 * nearly every line is "not ok". Arguments are such that a call that gets through does no harm.
 */
#include "tests/attack/jail_attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/attack/tap.h"

#define X32_BIT 0x40000000
#define KILLED 255 /* exit status of no attempt */

int attempt_errno(long result)
{
	return result < 0 ? errno : 0;
}

/* The attempt's result, or KILLED. */
static int in_child(int (*try)(void))
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		_exit(try());
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return KILLED;
	return WEXITSTATUS(status);
}

void attempt_all(const struct attempt *attempts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int result = in_child(attempts[i].try);
		const char *outcome = result == 0        ? "it got through"
				      : result == KILLED ? "the child died"
							 : strerror(result);

		tap_check(result == attempts[i].expected, attempts[i].what, "%s; wanted %s", outcome,
			  strerror(attempts[i].expected));
	}
}

/* The slave end of a new pseudo-terminal, made the controlling terminal; -1 on failure. */
static int own_terminal(void)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char *name;
	int slave;

	if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0 || setsid() < 0)
		return -1;
	name = ptsname(terminal);
	slave = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	if (slave >= 0)
		ioctl(slave, TIOCSCTTY, 0);
	return slave;
}

static int terminal_request(uint64_t request)
{
	char byte = 'x';

	return attempt_errno(syscall(SYS_ioctl, own_terminal(), request, &byte));
}

static int type_into_terminal(void)
{
	return terminal_request(TIOCSTI);
}

static int type_with_high_bit(void)
{
	return terminal_request(TIOCSTI | ATTEMPT_HIGH_BIT);
}

static int type_with_highest_bit(void)
{
	return terminal_request(TIOCSTI | ATTEMPT_HIGH_BIT << 31);
}

static int type_into_stdin(void)
{
	char byte = 'x';

	return attempt_errno(syscall(SYS_ioctl, STDIN_FILENO, TIOCSTI, &byte));
}

static int paste_into_console(void)
{
	return terminal_request(TIOCLINUX);
}

static int paste_with_high_bit(void)
{
	return terminal_request(TIOCLINUX | ATTEMPT_HIGH_BIT);
}

static int unshare_user(void)
{
	return attempt_errno(unshare(CLONE_NEWUSER));
}

static int unshare_network(void)
{
	return attempt_errno(unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS));
}

static int unshare_time(void)
{
	return attempt_errno(unshare(CLONE_NEWTIME));
}

static int clone_with(uint64_t flags)
{
	long child = syscall(SYS_clone, flags, 0, 0, 0, 0);

	if (child == 0)
		_exit(0);
	return attempt_errno(child);
}

static int clone_user(void)
{
	return clone_with(CLONE_NEWUSER | SIGCHLD);
}

static int clone_user_high_bit(void)
{
	return clone_with(CLONE_NEWUSER | SIGCHLD | ATTEMPT_HIGH_BIT << 20);
}

static int clone_network(void)
{
	return clone_with(CLONE_NEWNET | SIGCHLD);
}

static int clone_3(void)
{
	struct clone_args arguments = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	long child = syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (child == 0)
		_exit(0);
	return attempt_errno(child);
}

static int join_namespace(void)
{
	return attempt_errno(setns(open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC), 0));
}

static int join_network_of_init(void)
{
	return attempt_errno(setns((int)syscall(SYS_pidfd_open, 1, 0), CLONE_NEWNET));
}

static int ring(void)
{
	char parameters[120] = { 0 };

	return attempt_errno(syscall(SYS_io_uring_setup, 4, parameters));
}

static int ring_enter(void)
{
	return attempt_errno(syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0));
}

static int ring_register(void)
{
	return attempt_errno(syscall(SYS_io_uring_register, -1, 0, NULL, 0));
}

static int keyring(void)
{
	return attempt_errno(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
}

static int key_add(void)
{
	return attempt_errno(syscall(SYS_add_key, "user", "attack", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

static int key_request(void)
{
	return attempt_errno(syscall(SYS_request_key, "user", "attack", NULL, 0));
}

static int load_bpf(void)
{
	union bpf_attr attributes = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
	};

	return attempt_errno(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)));
}

static int measure(void)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_SOFTWARE,
					      .size = sizeof(attributes),
					      .exclude_kernel = 1 };

	return attempt_errno(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

static int fault_handler(void)
{
	return attempt_errno(syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */));
}

static int mount_something(void)
{
	return attempt_errno(mount("none", "/nonexistent", "tmpfs", 0, NULL));
}

static int unmount_something(void)
{
	return attempt_errno(umount2("/nonexistent", MNT_DETACH));
}

static int new_filesystem(void)
{
	return attempt_errno(syscall(SYS_fsopen, "nonexistent", 0));
}

static int copy_tree(void)
{
	return attempt_errno(syscall(SYS_open_tree, AT_FDCWD, "/nonexistent", 0));
}

static int move_tree(void)
{
	return attempt_errno(syscall(SYS_move_mount, -1, "", -1, "", 0));
}

static int change_mount(void)
{
	return attempt_errno(syscall(SYS_mount_setattr, -1, "", 0, NULL, 0));
}

static int pivot(void)
{
	return attempt_errno(syscall(SYS_pivot_root, "/nonexistent", "/nonexistent"));
}

static int change_root(void)
{
	return attempt_errno(chroot("/nonexistent"));
}

static int open_by_handle(void)
{
	struct file_handle handle = { .handle_bytes = 0 };

	return attempt_errno(open_by_handle_at(-1, &handle, O_RDONLY));
}

static int take_descriptor(void)
{
	return attempt_errno(syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, getpid(), 0), 0, 0));
}

static int load_module(void)
{
	return attempt_errno(syscall(SYS_finit_module, -1, "", 0));
}

static int unload_module(void)
{
	return attempt_errno(syscall(SYS_delete_module, "nonexistent", O_NONBLOCK));
}

static int replace_kernel(void)
{
	return attempt_errno(syscall(SYS_kexec_load, 0, ~0ul, NULL, ~0ul));
}

static int restart(void)
{
	return attempt_errno(syscall(SYS_reboot, 0, 0, 0, NULL));
}

static int swap(void)
{
	return attempt_errno(syscall(SYS_swapon, "/nonexistent", 0));
}

static int account(void)
{
	return attempt_errno(acct("/nonexistent"));
}

static int read_kernel_log(void)
{
	return attempt_errno(syscall(SYS_syslog, 10 /* SYSLOG_ACTION_SIZE_BUFFER */, NULL, 0));
}

static int set_clock(void)
{
	const struct timespec invalid = { .tv_nsec = -1 };

	return attempt_errno(syscall(SYS_clock_settime, CLOCK_REALTIME, &invalid)); /* the C library checks first */
}

#if defined(__x86_64__)

static int port_permission(void)
{
	return attempt_errno(syscall(SYS_ioperm, 0x80, 1, 0));
}

static int port_level(void)
{
	return attempt_errno(syscall(SYS_iopl, 0));
}

static int x32_call(void)
{
	return attempt_errno(syscall(SYS_getpid | X32_BIT));
}

static int x32_socket(void)
{
	return attempt_errno(syscall(SYS_socket | X32_BIT, AF_VSOCK, SOCK_STREAM, 0));
}

static int x32_ioctl(void)
{
	char byte = 'x';

	return attempt_errno(syscall(514 | X32_BIT, own_terminal(), TIOCSTI, &byte));
}

static const struct attempt x86_calls[] = {
	{ "ioperm", port_permission, EPERM },  { "iopl", port_level, EPERM },
	{ "x32: getpid", x32_call, ENOSYS },   { "x32: AF_VSOCK socket", x32_socket, ENOSYS },
	{ "x32: TIOCSTI", x32_ioctl, ENOSYS },
};

#endif

static const struct attempt calls[] = {
	{ "TIOCSTI on an own terminal", type_into_terminal, EPERM },
	{ "TIOCSTI with a bit above the int", type_with_high_bit, EPERM },
	{ "TIOCSTI with the highest bit", type_with_highest_bit, EPERM },
	{ "TIOCSTI on standard input", type_into_stdin, EPERM },
	{ "TIOCLINUX", paste_into_console, EPERM },
	{ "TIOCLINUX with a bit above the int", paste_with_high_bit, EPERM },
	{ "unshare of a user namespace", unshare_user, EPERM },
	{ "unshare of user, network and mount namespace", unshare_network, EPERM },
	{ "unshare of a time namespace", unshare_time, EPERM },
	{ "clone into a user namespace", clone_user, EPERM },
	{ "clone into a user namespace with a bit above the int", clone_user_high_bit, EPERM },
	{ "clone into a network namespace", clone_network, EPERM },
	{ "clone3", clone_3, ENOSYS },
	{ "setns to the own user namespace", join_namespace, EPERM },
	{ "setns to the network of process 1", join_network_of_init, EPERM },
	{ "io_uring_setup", ring, ENOSYS },
	{ "io_uring_enter", ring_enter, ENOSYS },
	{ "io_uring_register", ring_register, ENOSYS },
	{ "keyctl", keyring, EPERM },
	{ "add_key", key_add, EPERM },
	{ "request_key", key_request, EPERM },
	{ "bpf", load_bpf, EPERM },
	{ "perf_event_open", measure, EPERM },
	{ "userfaultfd", fault_handler, EPERM },
	{ "mount", mount_something, EPERM },
	{ "umount2", unmount_something, EPERM },
	{ "fsopen", new_filesystem, EPERM },
	{ "open_tree", copy_tree, EPERM },
	{ "move_mount", move_tree, EPERM },
	{ "mount_setattr", change_mount, EPERM },
	{ "pivot_root", pivot, EPERM },
	{ "chroot", change_root, EPERM },
	{ "open_by_handle_at", open_by_handle, EPERM },
	{ "pidfd_getfd", take_descriptor, EPERM },
	{ "finit_module", load_module, EPERM },
	{ "delete_module", unload_module, EPERM },
	{ "kexec_load", replace_kernel, EPERM },
	{ "reboot", restart, EPERM },
	{ "swapon", swap, EPERM },
	{ "acct", account, EPERM },
	{ "syslog", read_kernel_log, EPERM },
	{ "clock_settime", set_clock, EPERM },
};

int main(void)
{
	attempt_all(calls, sizeof(calls) / sizeof(calls[0]));
#if defined(__x86_64__)
	attempt_all(x86_calls, sizeof(x86_calls) / sizeof(x86_calls[0]));
#endif
	attempt_sockets();
	attempt_i386();
	return tap_end();
}
