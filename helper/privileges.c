/* Ids, capabilities and system calls: see privileges.h. */
#include "helper/privileges.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/cleanup.h"

#ifdef BOUNDARY_SANITIZED
#define OTHERWISE SECCOMP_RET_LOG
#else
#define OTHERWISE SECCOMP_RET_KILL_PROCESS
#endif

/* By libcap's wrapper of the system call: cap_set_proc() takes memory, which the caller may have limited. */
int privileges_set(enum privileges privileges)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[2] = {
		{ .permitted = privileges >= PRIVILEGES_PERMITTED ? CAP_TO_MASK(CAP_NET_ADMIN) : 0,
		  .effective = privileges == PRIVILEGES_EFFECTIVE ? CAP_TO_MASK(CAP_NET_ADMIN) : 0 }
	};

	return capset(&header, sets) < 0 ? -errno : 0;
}

int privileges_reduce(void)
{
	uid_t uid = getuid();
	gid_t gid = getgid();

	/* With CAP_SETPCAP, as set-user-ID root or root. Nothing is executed that it could give anything to. */
	for (cap_value_t c = 0; cap_get_bound(c) >= 0 && cap_drop_bound(c) == 0; c++)
		continue;
	/* Leaving user id 0 must not clear the permitted set. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ||
	    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	/* The ambient set is emptied by the kernel with the inheritable one. */
	return privileges_set(PRIVILEGES_PERMITTED) == 0 ? 0 : privileges_set(PRIVILEGES_NONE);
}

enum { UP = STAGE_SET_UP, SERVE = STAGE_SERVING, DOWN = STAGE_TEARDOWN };

/* clang-format off */
static const struct { int number; unsigned int stages; } allowed[] = {
	/* config_permits(), for the real ids */
	{ SYS_getuid, UP }, { SYS_getgid, UP }, { SYS_getgroups, UP },
	/* netlink_open() */
	{ SYS_socket, UP }, { SYS_socketpair, UP },
	/* netns_check(), find_interface() */
	{ SYS_fstatfs, UP }, { SYS_fstat, UP }, { SYS_newfstatat, UP }, { SYS_ioctl, UP },
	/* cable_create(): alias, disable_ipv6 */
	{ SYS_getppid, UP }, { SYS_openat, UP }, { SYS_write, UP },
	/* wire_receive(); request_serve() limits its time */
	{ SYS_recvmsg, UP | SERVE }, { SYS_ppoll, UP }, { SYS_setitimer, UP | SERVE },
#ifdef SYS_poll
	{ SYS_poll, UP },
#endif
	/* netlink_send(), wire_send(), the descriptors of a message */
	{ SYS_sendto, UP | SERVE | DOWN }, { SYS_recvfrom, UP | SERVE | DOWN }, { SYS_sendmsg, UP | SERVE | DOWN },
	{ SYS_close, UP | SERVE | DOWN },
	/* privileges_set(), privileges_confine() */
	{ SYS_capset, UP | SERVE | DOWN }, { SYS_seccomp, UP | SERVE | DOWN },
	/* being stopped and continued; memory given back, the end */
	{ SYS_restart_syscall, UP | SERVE | DOWN }, { SYS_rt_sigreturn, UP | SERVE | DOWN },
	{ SYS_brk, UP | SERVE | DOWN }, { SYS_exit_group, UP | SERVE | DOWN },
};
/* clang-format on */

/* Written out, as libseccomp does not survive a lack of memory, and the caller may have limited that. */
int privileges_confine(enum stage stage)
{
	struct sock_filter code[2 * array_size(allowed) + 5] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_arch_native(), 1, 0),
		BPF_STMT(BPF_RET | BPF_K, OTHERWISE),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = { 4, code };

	for (size_t i = 0; i < array_size(allowed); i++) {
		if (!(allowed[i].stages & stage))
			continue;
		code[program.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i].number, 0, 1);
		code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, OTHERWISE);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
