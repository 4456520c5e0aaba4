/* The filter of our own processes: what is not on the list does not happen. */
#include <asm/ioctls.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "policy/seccomp/program.h"
#include "shared/cleanup.h"

/*
 * The sanitizers' runtimes make system calls of their own, at any time: in such a build the filter only reports.
 */
static uint32_t refusal(bool kill)
{
#ifdef BOUNDARY_SANITIZED
	(void)kill;
	return SCMP_ACT_LOG;
#else
	return kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM);
#endif
}

/* A proxy that is taken over must not talk to the sockets in its user's file system. */
static int allow_inet_sockets(scmp_filter_ctx filter)
{
	static const uint64_t families[] = { AF_INET, AF_INET6 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < array_size(families); i++)
		r = seccomp_rule_add_exact(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
					   SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffffu, families[i]));
	return r;
}

static int allow_terminal_control(scmp_filter_ctx filter)
{
	static const uint64_t requests[] = { TIOCGPGRP, TIOCSPGRP, TCGETS, TCSETS };
	int r = 0;

	for (size_t i = 0; r == 0 && i < array_size(requests); i++)
		r = seccomp_rule_add_exact(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
					   SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, requests[i]));
	return r;
}

/* Negative numbers are names that libseccomp does not know or that this architecture does not have. */
static int allow(scmp_filter_ctx filter, const char *name, struct error *e)
{
	int number = seccomp_syscall_resolve_name(name);
	int r;

	if (strcmp(name, SECCOMP_INET_SOCKETS) == 0)
		r = allow_inet_sockets(filter);
	else if (strcmp(name, SECCOMP_TERMINAL_CONTROL) == 0)
		r = allow_terminal_control(filter);
	else if (number < 0)
		return 0;
	else
		r = seccomp_rule_add_exact(filter, SCMP_ACT_ALLOW, number, 0);
	if (r < 0)
		return error_errno(e, -r, "cannot allow the system call %s in a filter", name);
	return 0;
}

int seccomp_allowlist_new(const char *const *names, size_t n_names, bool kill, struct seccomp_program **ret,
			  struct error *e)
{
	_cleanup_(seccomp_filter_release) scmp_filter_ctx filter = seccomp_init(refusal(kill));
	int r;

	if (!filter)
		return error_errno(e, ENOMEM, "cannot start a system call filter");
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, refusal(kill));
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r < 0)
		return error_errno(e, -r, "cannot set up a system call filter");
	for (size_t i = 0; i < n_names; i++) {
		r = allow(filter, names[i], e);
		if (r < 0)
			return r;
	}
	return seccomp_program_from_filter(filter, ret, e);
}
