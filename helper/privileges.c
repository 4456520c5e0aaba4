/* Ids, capabilities and system calls: see privileges.h. */
#include "helper/privileges.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "shared/cleanup.h"

#ifdef BOUNDARY_SANITIZED
#define OTHERWISE SCMP_ACT_LOG
#else
#define OTHERWISE SCMP_ACT_KILL_PROCESS
#endif

int privileges_set(enum privileges privileges)
{
	static const char *const texts[] = {
		[PRIVILEGES_NONE] = "=",
		[PRIVILEGES_PERMITTED] = "cap_net_admin=p",
		[PRIVILEGES_EFFECTIVE] = "cap_net_admin=ep",
	};
	cap_t sets = cap_from_text(texts[privileges]);
	int r = sets && cap_set_proc(sets) == 0 ? 0 : -errno;

	cap_free(sets);
	return r;
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

int privileges_confine(void)
{
	static const int allowed[] = {
		/* Messages and netlink, on sockets that are open by now: none can be made. */
		SCMP_SYS(recvmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(close),
		/* The capability for the teardown. */
		SCMP_SYS(capget), SCMP_SYS(capset),
		/* The heap, being stopped and continued, the end. */
		SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(getrandom), SCMP_SYS(restart_syscall),
		SCMP_SYS(rt_sigreturn), SCMP_SYS(exit), SCMP_SYS(exit_group)
	};
	scmp_filter_ctx filter = seccomp_init(OTHERWISE);
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < array_size(allowed); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (r == 0) /* memory, but none to execute */
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
