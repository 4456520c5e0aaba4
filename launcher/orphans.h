/* Processes that became ours because we are their subreaper (prctl(2), PR_SET_CHILD_SUBREAPER). */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Those that are not to be killed: children from before a program of ours was executed (`daemon & exec …`). */
struct orphans {
	pid_t *spared; /* the caller's to free(3) */
	size_t n_spared;
};

/* The children of the calling process at this time. Without /proc, or memory, there are none in it. */
struct orphans orphans_before(void);

/*
 * Kills and reaps all children of the calling process but the spared ones, also those that come to it while it does so.
 * For the end of a jail without a pid namespace, whose remaining processes nobody else ends. Needs /proc; does nothing
 * without.
 */
void orphans_kill(const struct orphans *orphans);
