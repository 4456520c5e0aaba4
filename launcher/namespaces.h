/*
 * The jail's namespaces: one clone(2) with all flags, a ladder for those that are refused, identity maps, and an
 * explanation when nothing goes.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "shared/error.h"

struct jail_process {
	pid_t pid;
	int pidfd;
	int namespaces; /* CLONE_NEW* flags that were granted */
};

/*
 * Starts `run(argument)` as a child in new namespaces: network always, user unless `keep_user_namespace`, and of pid,
 * mount, ipc and uts as many as the system grants. The child has a copy of this process's memory (no CLONE_VM); its
 * exit status is what `run` returns. The caller is one thread. Returns 0 with *ret, or -errno with *e, which says what
 * refused and how to get it.
 */
int namespaces_clone(bool keep_user_namespace, int (*run)(void *), void *argument, struct jail_process *ret,
		     struct error *e);

/* What is lost without the namespaces in `missing` (one CLONE_NEW* flag): a sentence for the user. */
const char *namespaces_loss(int flag);

/* The optional namespaces: CLONE_NEW* flags, ends with 0. */
extern const int namespaces_optional[];

/*
 * Writes uid and gid maps of the new user namespace of `pid`: identity. A caller with CAP_SETUID and CAP_SETGID maps
 * all ids it has itself, any other its own uid and gid alone (user_namespaces(7)). Returns 0, or -errno with *e.
 */
int namespaces_map_identity(pid_t pid, struct error *e);
