/* Giving up every privilege for good; each of these can only be followed by less. */
#pragma once

#include "shared/error.h"

/*
 * Empties the bounding, ambient, inheritable, effective and permitted sets, locks all securebits (capabilities(7)) and
 * sets no_new_privs. Returns 0, or -errno with *e.
 */
int jail_drop_capabilities(struct error *e);

/*
 * Puts the calling process and its children into a Landlock domain of their own (landlock(7)): they cannot ptrace
 * processes outside it, and from Linux 6.12 on not signal them or connect to their abstract sockets. File access stays
 * as it is. Returns 0; -EOPNOTSUPP if the kernel has no Landlock; -errno.
 */
int jail_drop_reach(void);
