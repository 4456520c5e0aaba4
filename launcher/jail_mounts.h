/* What the command sees of the file system beyond the user's own: a /proc of its namespace, private hosts and CA
 * bundles. */
#pragma once

#include <stdbool.h>

/* Called for each protection that cannot be had, with a sentence. */
typedef void jail_mounts_warn(void *user, const char *text);

struct jail_mounts {
	bool pid_namespace; /* there is one: mount its /proc */
	const char *hosts;  /* file to show as /etc/hosts; NULL: none */
	const char *bundle; /* file to show in the place of the system's CA bundles; NULL: none */
};

/*
 * Inside a mount namespace of our own: stops propagation to the host, then mounts. Nothing outside changes.
 * Returns false, after a warning, if nothing can be mounted (a container's seccomp profile may refuse mount(2)); else
 * true, whatever else it warned of. *ret_own_proc: /proc shows the processes of the jail alone.
 */
bool jail_mounts_set_up(const struct jail_mounts *mounts, bool *ret_own_proc, jail_mounts_warn *warn, void *user);

/*
 * Makes those parts of /proc, with all mounts in them, read-only that act on the whole machine and whose files ask for
 * a user id rather than for a capability; and /sys, where uid 0, or the owner of a cgroup, ends processes (cgroup.kill
 * of cgroups(7)). After jail_mounts_set_up(), when nothing there is to be written any more.
 */
void jail_mounts_protect(jail_mounts_warn *warn, void *user);

/* The system's CA bundle files by distribution; ends with NULL. */
extern const char *const jail_mounts_bundles[];
