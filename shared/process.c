/* First steps of our processes: see process.h. */
#include "shared/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int process_fill_stdio(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		int opened;

		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* Kept across exec, as the other two are. NOLINTNEXTLINE(android-cloexec-open) */
		opened = open("/dev/null", O_RDWR);
		if (opened != fd) /* the lowest that is free, as those below are open */
			return opened < 0 ? -errno : -EBADF;
	}
	return 0;
}

int process_close_from(unsigned int first)
{
	struct rlimit limit;

	if (syscall(SYS_close_range, first, ~0u, 0) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM)
		return -errno;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_max > 1u << 20)
		limit.rlim_max = 1u << 20;
	for (rlim_t fd = first; fd < limit.rlim_max; fd++)
		close((int)fd);
	return 0;
}

void process_reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int process_hide_memory(void)
{
	struct rlimit no_core = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/* The frame must end before the caller goes on: its room is what is reserved. */
__attribute__((noinline)) void process_reserve_stack(void)
{
	volatile char room[64 * 1024];

	/* At its lower end: the kernel makes the stack reach an address that is touched (mmap(2), MAP_GROWSDOWN). */
	room[0] = 0;
	(void)room[0];
}
