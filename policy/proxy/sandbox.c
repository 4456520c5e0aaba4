/* The proxy's own confinement: see sandbox.h. */
#include "policy/proxy/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/seccomp/seccomp.h"
#include "shared/cleanup.h"

/*
 * landlock(7). The constants are spelled out because the headers of the oldest supported distribution end at version 2
 * of the interface; the kernel is asked for its version at run time.
 */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define LANDLOCK_VERSION_FLAG 1u
#define LANDLOCK_PATH_BENEATH 1
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_VERSION_1 ((1ull << 13) - 1) /* execute … make symbolic link */
#define FS_REFER (1ull << 13)           /* version 2 */
#define FS_TRUNCATE (1ull << 14)        /* version 3 */
#define FS_IOCTL_DEVICE (1ull << 15)    /* version 5 */
#define NET_BIND_TCP (1ull << 0)        /* version 4 */
#define SCOPE_ALL 3ull                  /* version 6: abstract unix sockets, signals */

struct ruleset {
	uint64_t files;
	uint64_t net;
	uint64_t scopes;
};

struct beneath {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

/* What is left to do once everything is set up. */
static const char *const allowed_calls[] = {
	/* events and time */
	"epoll_wait",
	"epoll_pwait",
	"epoll_ctl",
	"clock_gettime",
	"gettimeofday",
	"time",
	"poll",
	"ppoll",
	"eventfd2",
	"timerfd_settime",
	/* sockets */
	"accept4",
	"accept",
	SECCOMP_INET_SOCKETS,
	"connect",
	"bind",
	"getsockopt",
	"setsockopt",
	"getsockname",
	"getpeername",
	"shutdown",
	"sendto",
	"sendmsg",
	"sendmmsg",
	"recvfrom",
	"recvmsg",
	"recvmmsg",
	/* descriptors and files (the trust store, /etc/hosts, the log) */
	"read",
	"readv",
	"write",
	"writev",
	"pread64",
	"lseek",
	"close",
	"fcntl",
	"openat",
	"open",
	"newfstatat",
	"fstat",
	"stat",
	"statx",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"ioctl",
	/* memory and the process itself */
	"mmap",
	"munmap",
	"mremap",
	"madvise",
	"brk",
	"mprotect",
	"futex",
	"getrandom",
	"getpid",
	"gettid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"uname",
	"sched_yield",
	"restart_syscall",
	"rt_sigreturn",
	"rt_sigprocmask",
	"rt_sigaction",
	"sigaltstack",
	"tgkill",
	"exit",
	"exit_group",
};

unsigned long sandbox_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

static int drop_capabilities(struct error *e)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* Some kernels lack this one; the effective set is what counts. */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) < 0)
		return error_errno(e, errno, "cannot drop capabilities");
	return 0;
}

/* Returns 1 if files are restricted, 0 if the kernel cannot do it, -errno with *e. */
static int restrict_files(struct error *e)
{
	_cleanup_fd_ int ruleset = -1;
	struct ruleset handled = { .files = FS_VERSION_1 };
	static const char *const readable[] = {
		"/etc",
#ifdef BOUNDARY_SANITIZED
		"/proc", /* the leak checker lists its threads */
#endif
	};
	struct beneath rule = { .allowed = FS_READ_FILE | FS_READ_DIR };
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_FLAG);
	size_t size = version >= 6 ? sizeof(handled) : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);

	if (version < 1)
		return 0;
	handled.files |=
		(version >= 2 ? FS_REFER : 0) | (version >= 3 ? FS_TRUNCATE : 0) | (version >= 5 ? FS_IOCTL_DEVICE : 0);
	handled.net = NET_BIND_TCP;
	handled.scopes = SCOPE_ALL;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, size, 0);
	if (ruleset < 0)
		return error_errno(e, errno, "cannot make a Landlock ruleset");
	for (size_t i = 0; i < array_size(readable); i++) {
		_cleanup_fd_ int directory = open(readable[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

		rule.parent = directory;
		if (directory >= 0 && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PATH_BENEATH, &rule, 0) < 0)
			return error_errno(e, errno, "cannot allow %s to Landlock", readable[i]);
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return error_errno(e, errno, "cannot restrict the process by Landlock");
	return 1;
}

static void program_cleanup(struct seccomp_program **program)
{
	seccomp_program_free(*program);
}

int sandbox_enter(bool *ret_landlock, struct error *e)
{
	_cleanup_(program_cleanup) struct seccomp_program *program = NULL;
	int status, restricted;

	status = drop_capabilities(e);
	if (status < 0)
		return status;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_errno(e, errno, "cannot set no_new_privs");
	restricted = restrict_files(e);
	if (restricted < 0)
		return restricted;
	status = seccomp_allowlist_new(allowed_calls, array_size(allowed_calls), false, &program, e);
	if (status < 0)
		return status;
	status = seccomp_program_load(program);
	if (status < 0)
		return error_errno(e, -status, "cannot load the proxy's seccomp filter");
	*ret_landlock = restricted == 1;
	return 0;
}
