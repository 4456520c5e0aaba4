/* Our two companions, helper and proxy: started, watched, ended. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "shared/error.h"

struct service {
	const char *name; /* "boundary-helper", for messages */
	pid_t pid;        /* 0: not running */
	int pidfd;        /* readable when it has ended (pidfd_open(2)) */
	int socket;       /* our end of the SOCK_SEQPACKET pair */
};

#define SERVICE_NONE                      \
	{                                 \
		.pidfd = -1, .socket = -1 \
	}

/*
 * Starts `program` (absolute path) with its end of a new socketpair on descriptor 3, an empty environment, default
 * signals and its own session, so that the terminal's signals do not reach it. `name` is borrowed for the service's
 * life. Returns 0, or -errno with *e.
 */
int service_start(const char *program, const char *name, struct service *ret, struct error *e);

/* Closes our end of the socket: the request to clean up and exit. */
void service_hang_up(struct service *service);

/*
 * For a service that should live on: says in *e how it has ended, or that it does not answer, and what follows from it
 * (`consequence`). Waits a moment for the end to show. Returns -EPIPE.
 */
int service_explain_end(const struct service *service, const char *consequence, struct error *e);

/*
 * Waits up to `timeout_ms` for its end, then kills it, and reaps it. Does nothing for a service that is not running.
 * Returns its wait status (wait(2)), or -1 if there is none.
 */
int service_end(struct service *service, int timeout_ms);

/*
 * The path of one of our programs in libexec/boundary beside the directory of this executable, or in the configured
 * LIBEXECDIR if this executable's place is not known. Returns a heap string, or NULL without memory.
 */
char *service_path(const char *name);
