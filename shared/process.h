/* What each of our programs does to itself first, whoever started it. */
#pragma once

/* Why clone(2) says EAGAIN or ENOMEM, and what to do about it. */
#define PROCESS_SHORTAGE                                                                                            \
	"there are as many processes as may be, or too little memory. Raise the limit: ulimit -u, pids.max of the " \
	"cgroup (docker: --pids-limit), memory"

/*
 * Opens /dev/null on each of descriptors 0, 1 and 2 that is closed, so that no later open lands there.
 * Returns 0 or -errno.
 */
int process_fill_stdio(void);

/*
 * Closes every descriptor from `first` on, by close_range(2), or one by one up to RLIMIT_NOFILE where the
 * kernel or a filter refuses that call. Returns 0 or -errno.
 */
int process_close_from(unsigned int first);

/*
 * Signals as a fresh process has them: all dispositions default, none blocked. Cannot fail for signals that
 * can be changed; the others are left.
 */
void process_reset_signals(void);

/* No core dumps and not dumpable: no ptrace, no /proc/PID/mem by the same user (prctl(2), core(5)). Returns 0 or
 * -errno. */
int process_hide_memory(void);

/*
 * Makes the stack as deep as a process of ours ever needs it, 64 KiB below the caller's frame. Where RLIMIT_STACK
 * (setrlimit(2)), which is the caller's to set, does not allow that, the kernel ends the process here, by SIGSEGV,
 * while it has nothing to lose.
 */
void process_reserve_stack(void);
