/* Ending what is left of a jail: see orphans.h. */
#include "launcher/orphans.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "shared/cleanup.h"

/* Each round finds what the last one's dead left behind; a process that forks faster than it is killed runs out of
 * processes first. */
#define ROUNDS_MAX 1000

#define CHILDREN_PATH "/proc/thread-self/children"

struct orphans orphans_before(void)
{
	_cleanup_file_ FILE *file = fopen(CHILDREN_PATH, "re");
	struct orphans ret = { 0 };
	int pid;

	while (file && fscanf(file, "%d", &pid) == 1) {
		pid_t *grown = reallocarray(ret.spared, ret.n_spared + 1, sizeof(*grown));

		if (!grown)
			break;
		ret.spared = grown;
		ret.spared[ret.n_spared++] = pid;
	}
	return ret;
}

static bool is_spared(const struct orphans *orphans, pid_t pid)
{
	for (size_t i = 0; i < orphans->n_spared; i++)
		if (orphans->spared[i] == pid)
			return true;
	return false;
}

static bool kill_children(const struct orphans *orphans)
{
	_cleanup_file_ FILE *file = fopen(CHILDREN_PATH, "re");
	bool any = false;
	int pid;

	while (file && fscanf(file, "%d", &pid) == 1)
		if (!is_spared(orphans, pid) && kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid)
			any = true;
	return any;
}

void orphans_kill(const struct orphans *orphans)
{
	for (int round = 0; round < ROUNDS_MAX && kill_children(orphans); round++)
		;
}
