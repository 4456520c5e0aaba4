/* Ending what is left of a jail: see orphans.h. */
#include "launcher/orphans.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "shared/cleanup.h"

/* Each round finds what the last one's dead left behind; a process that forks faster than it is killed runs out of
 * processes first. */
#define ROUNDS_MAX 1000

static bool kill_children(void)
{
	_cleanup_file_ FILE *file = fopen("/proc/thread-self/children", "re");
	bool any = false;
	int pid;

	while (file && fscanf(file, "%d", &pid) == 1)
		if (kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid)
			any = true;
	return any;
}

void orphans_kill(void)
{
	for (int round = 0; round < ROUNDS_MAX && kill_children(); round++)
		;
}
