/* System calls that remain to the launcher and to jail init: see confine.h. */
#include "launcher/confine.h"

#include "shared/cleanup.h"

int confine_new(struct seccomp_program **ret, struct error *e)
{
	static const char *const names[] = {
		/* waiting, messages, signals */
		"poll", "ppoll", "read", "write", "close", "sendmsg", "recvmsg", "wait4", "waitid", "kill", "getpid",
		"getpgid", "gettid", "tgkill", "fcntl", "rt_sigpending", "rt_sigtimedwait", "rt_sigprocmask",
		"rt_sigaction", "rt_sigreturn", "restart_syscall",
		/* what the C library needs to free memory, tell the time and end */
		"brk", "mmap", "munmap", "mremap", "madvise", "futex", "clock_gettime", "exit", "exit_group",
		/* the list of children below /proc, where there is no pid namespace */
		"openat", "newfstatat", "fstat", "lseek",
		/* removing the session's directory */
		"unlinkat",
		/* giving the terminal back */
		SECCOMP_TERMINAL_CONTROL
	};

	return seccomp_allowlist_new(names, array_size(names), false, ret, e);
}
