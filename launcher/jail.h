/*
 * Jail init: the first process in the jail. Stages: initial (a copy of the launcher, in new namespaces), set-up
 * (configures its side with the capabilities of its user namespace), confined (holds nothing, runs the command in a
 * child, reaps, reports).
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "launcher/nameservers.h"
#include "launcher/session_dir.h"
#include "policy/seccomp/seccomp.h"

/* Everything jail init needs, complete before the clone: its memory is a copy. Borrowed. */
struct jail {
	int socket; /* its end of the SOCK_SEQPACKET pair (jail_protocol.h) */

	const struct nameserver *dns_servers; /* those to be answered inside the jail */
	size_t n_dns_servers;

	struct session_dir directory; /* to be removed if the launcher cannot any more */
	const char *hosts;            /* paths for jail_mounts.h */
	const char *bundle;

	const struct seccomp_program *filter;     /* for the command */
	const struct seccomp_program *own_filter; /* for jail init, once the command runs */
	char *const *command;     /* argv, NULL-terminated; command[0] is looked up in the PATH of `environment` */
	char *const *environment; /* for the command */
	sigset_t signal_mask;     /* for the command: as the launcher inherited it */
	bool child_ignored;       /* the launcher inherited SIGCHLD ignored */
	int landlock;             /* ABI version to use, from jail_reach_version() */
	bool require;             /* after a warning the command is not run */
};

/* Runs jail init on a `struct jail`; for clone(2). Returns its exit status, which says nothing: reports go over the
 * socket. */
int jail_main(void *jail);
