/*
 * The command's filter: everything is allowed but what this page lists, for the machine's own ABI and for its 32-bit
 * sibling. It is the second fence: the command has no capability either. Arguments that the kernel reads as
 * int are compared so that bits above the 32nd, which the kernel ignores, change nothing.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "policy/seccomp/program.h"
#include "shared/cleanup.h"

#define LOW_32 0xffffffffu
#define SOCK_KIND 0xfu /* the kernel's SOCK_TYPE_MASK: the type without SOCK_NONBLOCK and SOCK_CLOEXEC */

/*
 * EPERM says that the jail refuses; ENOSYS is for calls with an older twin that callers fall back to (clone3 to
 * clone, io_uring to read and write), or that cannot be judged (clone3's flags and socketcall's arguments are in
 * memory).
 */
static const struct {
	int number;
	int error;
} refused_calls[] = {
	{ SCMP_SYS(clone3), ENOSYS },
	{ SCMP_SYS(socketcall), ENOSYS },
	{ SCMP_SYS(io_uring_setup), ENOSYS },
	{ SCMP_SYS(io_uring_enter), ENOSYS },
	{ SCMP_SYS(io_uring_register), ENOSYS },
	/* other namespaces and other processes' descriptors */
	{ SCMP_SYS(setns), EPERM },
	{ SCMP_SYS(pidfd_getfd), EPERM },
	/* mounts and roots */
	{ SCMP_SYS(mount), EPERM },
	{ SCMP_SYS(umount), EPERM },
	{ SCMP_SYS(umount2), EPERM },
	{ SCMP_SYS(pivot_root), EPERM },
	{ SCMP_SYS(chroot), EPERM },
	{ SCMP_SYS(open_tree), EPERM },
	{ SCMP_SYS(move_mount), EPERM },
	{ SCMP_SYS(fsopen), EPERM },
	{ SCMP_SYS(fsconfig), EPERM },
	{ SCMP_SYS(fsmount), EPERM },
	{ SCMP_SYS(fspick), EPERM },
	{ SCMP_SYS(mount_setattr), EPERM },
	{ SCMP_SYS(open_by_handle_at), EPERM },
	{ SCMP_SYS(quotactl), EPERM },
	{ SCMP_SYS(quotactl_fd), EPERM },
	{ SCMP_SYS(swapon), EPERM },
	{ SCMP_SYS(swapoff), EPERM },
	{ SCMP_SYS(nfsservctl), EPERM },
	/* keyrings: not part of any namespace the jail has */
	{ SCMP_SYS(keyctl), EPERM },
	{ SCMP_SYS(add_key), EPERM },
	{ SCMP_SYS(request_key), EPERM },
	/* the kernel's own machinery */
	{ SCMP_SYS(bpf), EPERM },
	{ SCMP_SYS(perf_event_open), EPERM },
	{ SCMP_SYS(userfaultfd), EPERM },
	{ SCMP_SYS(lookup_dcookie), EPERM },
	{ SCMP_SYS(syslog), EPERM },
	{ SCMP_SYS(init_module), EPERM },
	{ SCMP_SYS(finit_module), EPERM },
	{ SCMP_SYS(delete_module), EPERM },
	{ SCMP_SYS(kexec_load), EPERM },
	{ SCMP_SYS(kexec_file_load), EPERM },
	{ SCMP_SYS(reboot), EPERM },
	{ SCMP_SYS(acct), EPERM },
	{ SCMP_SYS(iopl), EPERM },
	{ SCMP_SYS(ioperm), EPERM },
	{ SCMP_SYS(vhangup), EPERM },
	{ SCMP_SYS(settimeofday), EPERM },
	{ SCMP_SYS(clock_settime), EPERM },
	{ SCMP_SYS(clock_settime64), EPERM },
	{ SCMP_SYS(stime), EPERM },
};

/* The families below the highest permitted one, AF_NETLINK, that are not permitted. */
static const uint64_t refused_families[] = {
	AF_UNSPEC, AF_AX25, AF_IPX,    AF_APPLETALK, AF_NETROM,   AF_BRIDGE, AF_ATMPVC,
	AF_X25,    AF_ROSE, AF_DECnet, AF_NETBEUI,   AF_SECURITY, AF_KEY,
};

static const uint64_t inet_families[] = { AF_INET, AF_INET6 };

/* All kinds but SOCK_STREAM (1) and SOCK_DGRAM (2): 0; 3, 7, 11, 15; those with bit 2; those with bit 3. */
static const struct scmp_arg_cmp refused_kinds[] = {
	{ 1, SCMP_CMP_MASKED_EQ, SOCK_KIND, 0 },
	{ 1, SCMP_CMP_MASKED_EQ, 3, 3 },
	{ 1, SCMP_CMP_MASKED_EQ, 4, 4 },
	{ 1, SCMP_CMP_MASKED_EQ, 8, 8 },
};

/* All protocols but 0, TCP (6, 00110) and UDP (17, 10001), by their bits: ping sockets, SCTP, UDP-Lite, MPTCP, SMC … */
static const struct scmp_arg_cmp refused_protocols[] = {
	{ 2, SCMP_CMP_GT, IPPROTO_UDP, 0 },    { 2, SCMP_CMP_EQ, 16, 0 },
	{ 2, SCMP_CMP_MASKED_EQ, 0x08, 0x08 }, /* 8 to 15 */
	{ 2, SCMP_CMP_MASKED_EQ, 0x11, 0x01 }, /* 1, 3, 5, 7 */
	{ 2, SCMP_CMP_MASKED_EQ, 0x16, 0x02 }, /* 2 */
	{ 2, SCMP_CMP_MASKED_EQ, 0x16, 0x04 }, /* 4 */
};

static const uint64_t namespace_flags[] = {
	CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET,
};

static const uint64_t refused_ioctls[] = { TIOCSTI, TIOCLINUX };

static int refuse(scmp_filter_ctx filter, int error, int number, unsigned int n, const struct scmp_arg_cmp *comparisons)
{
	/* not _exact: a call that one of the two ABIs lacks is left out there */
	return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((unsigned int)error), number, n, comparisons);
}

static int refuse_calls(scmp_filter_ctx filter)
{
	for (size_t i = 0; i < array_size(refused_calls); i++) {
		int r = refuse(filter, refused_calls[i].error, refused_calls[i].number, 0, NULL);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The comparison with the whole register makes any bit above the 32nd a family above all others. */
static int refuse_families(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp above = { 0, SCMP_CMP_GT, AF_NETLINK, 0 };
	const struct scmp_arg_cmp netlink[] = {
		{ 0, SCMP_CMP_EQ, AF_NETLINK, 0 },
		{ 2, SCMP_CMP_NE, NETLINK_ROUTE, 0 },
	};
	int r = refuse(filter, EAFNOSUPPORT, SCMP_SYS(socket), 1, &above);

	for (size_t i = 0; r == 0 && i < array_size(refused_families); i++) {
		const struct scmp_arg_cmp family = { 0, SCMP_CMP_EQ, refused_families[i], 0 };

		r = refuse(filter, EAFNOSUPPORT, SCMP_SYS(socket), 1, &family);
	}
	if (r == 0)
		r = refuse(filter, EPROTONOSUPPORT, SCMP_SYS(socket), array_size(netlink), netlink);
	return r;
}

static int refuse_inet(scmp_filter_ctx filter, uint64_t family)
{
	struct scmp_arg_cmp both[] = { { 0, SCMP_CMP_EQ, family, 0 }, { 0 } };
	int r = 0;

	for (size_t i = 0; r == 0 && i < array_size(refused_kinds); i++) {
		both[1] = refused_kinds[i];
		r = refuse(filter, EPERM, SCMP_SYS(socket), array_size(both), both);
	}
	for (size_t i = 0; r == 0 && i < array_size(refused_protocols); i++) {
		both[1] = refused_protocols[i];
		r = refuse(filter, EPROTONOSUPPORT, SCMP_SYS(socket), array_size(both), both);
	}
	return r;
}

static int refuse_sockets(scmp_filter_ctx filter)
{
	/* the only family of those permitted that can make pairs */
	const struct scmp_arg_cmp not_unix = { 0, SCMP_CMP_NE, AF_UNIX, 0 };
	int r = refuse(filter, EAFNOSUPPORT, SCMP_SYS(socketpair), 1, &not_unix);

	if (r == 0)
		r = refuse_families(filter);
	for (size_t i = 0; r == 0 && i < array_size(inet_families); i++)
		r = refuse_inet(filter, inet_families[i]);
	return r;
}

/*
 * CLONE_NEWTIME lies in the bits of clone(2)'s exit signal, so only unshare(2) knows it (and clone3, refused whole).
 * unshare(2) of descriptors or the working directory stays.
 */
static int refuse_namespaces(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp time = { 0, SCMP_CMP_MASKED_EQ, CLONE_NEWTIME, CLONE_NEWTIME };
	int r = refuse(filter, EPERM, SCMP_SYS(unshare), 1, &time);

	for (size_t i = 0; r == 0 && i < array_size(namespace_flags); i++) {
		const struct scmp_arg_cmp flag = { 0, SCMP_CMP_MASKED_EQ, namespace_flags[i], namespace_flags[i] };

		r = refuse(filter, EPERM, SCMP_SYS(clone), 1, &flag);
		if (r == 0)
			r = refuse(filter, EPERM, SCMP_SYS(unshare), 1, &flag);
	}
	return r;
}

/* The request number is an unsigned int: CVE-2019-10063 was a comparison of all 64 bits. */
static int refuse_ioctls(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < array_size(refused_ioctls); i++) {
		const struct scmp_arg_cmp request = { 1, SCMP_CMP_MASKED_EQ, LOW_32, refused_ioctls[i] };

		r = refuse(filter, EPERM, SCMP_SYS(ioctl), 1, &request);
	}
	return r;
}

/* A call of an ABI the filter has no rules for (x32) gets what a kernel without that ABI answers. */
static int set_up(scmp_filter_ctx filter)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));

	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
#if defined(__x86_64__)
	if (r == 0)
		r = seccomp_arch_add(filter, SCMP_ARCH_X86);
#elif defined(__aarch64__)
	if (r == 0)
		r = seccomp_arch_add(filter, SCMP_ARCH_ARM);
#endif
	return r;
}

int seccomp_command_new(struct seccomp_program **ret, struct error *e)
{
	_cleanup_(seccomp_filter_release) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!filter)
		return error_errno(e, ENOMEM, "cannot start the command's system call filter");
	r = set_up(filter);
	if (r == 0)
		r = refuse_calls(filter);
	if (r == 0)
		r = refuse_sockets(filter);
	if (r == 0)
		r = refuse_namespaces(filter);
	if (r == 0)
		r = refuse_ioctls(filter);
	if (r < 0)
		return error_errno(e, -r, "libseccomp refuses a rule of the command's system call filter");
	return seccomp_program_from_filter(filter, ret, e);
}
