/* Giving up every privilege for good; each of these can only be followed by less. */
#pragma once

#include "shared/error.h"

/*
 * Empties the bounding, ambient, inheritable, effective and permitted sets, locks all securebits (capabilities(7)) and
 * sets no_new_privs. Returns 0, or -errno with *e.
 */
int jail_drop_capabilities(struct error *e);

/* Versions of Landlock's ABI, which tell what jail_drop_reach() can do. */
#define JAIL_REACH_TRACE 2  /* Linux 5.19: no ptrace(2), no memory of other processes */
#define JAIL_REACH_SIGNAL 6 /* Linux 6.12: no signals, no abstract sockets of other processes either */

/* The version of this kernel's Landlock; 0 if it has none, or it is turned off or refused. */
int jail_reach_version(void);

/*
 * Puts the calling process and its children into a Landlock domain of their own (landlock(7)): they cannot reach
 * processes outside it, as far as `version` goes. File access stays as it is; so below JAIL_REACH_TRACE nothing is
 * done, as any domain would refuse to move files between directories. Returns 0 or -errno.
 */
int jail_drop_reach(int version);
