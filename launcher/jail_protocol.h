/*
 * Launcher ↔ jail init, over wire.h. The jail's side is trusted until it forks the command; afterwards it sends
 * only JAIL_STOPPED, JAIL_CONTINUED and JAIL_EXITED and the launcher takes nothing else.
 *
 *   launcher            jail init
 *   JAIL_GO      →                     identity maps are written; which namespaces there are
 *                ←      JAIL_NETNS     1 fd: its network namespace
 *   JAIL_NETWORK →                     the cable is plugged in
 *                ←      JAIL_SOCKETS   fds: DNS sockets on nameservers that are answered inside, UDP then TCP
 *   JAIL_RUN     →                     the proxy serves: mount, drop everything, run the command
 *                ←      JAIL_STARTED   (any number of JAIL_WARNING and JAIL_NOTICE before it)
 *   JAIL_SIGNAL  →                     at any time from here on
 *                ←      JAIL_STOPPED, JAIL_CONTINUED  at any time
 *                ←      JAIL_EXITED    last
 *   any                 JAIL_FAILED    instead of an answer, last
 */
#pragma once

#include <stdint.h>

enum jail_message {
	JAIL_GO = 1,    /* struct jail_go */
	JAIL_NETNS,     /* no payload */
	JAIL_NETWORK,   /* struct jail_network */
	JAIL_SOCKETS,   /* struct jail_sockets */
	JAIL_RUN,       /* no payload */
	JAIL_STARTED,   /* struct jail_number: 1 if connections may outlive the jail, with its netns */
	JAIL_SIGNAL,    /* struct jail_signal: for the command */
	JAIL_STOPPED,   /* struct jail_number: the signal that stopped it */
	JAIL_CONTINUED, /* struct jail_number: 0 */
	JAIL_EXITED,    /* struct jail_number: its wait status (wait(2)) */
	JAIL_NOT_RUN,   /* struct jail_number: errno of execve(2) */
	JAIL_WARNING,   /* text, no NUL: a protection that could not be had */
	JAIL_NOTICE,    /* text, no NUL: something else that could not be had */
	JAIL_FAILED,    /* text, no NUL */
};

struct jail_go {
	int32_t namespaces; /* CLONE_NEW* flags that were granted */
};

struct jail_network {
	uint32_t host_address; /* of the cable, host byte order */
	uint32_t jail_address;
};
_Static_assert(sizeof(struct jail_network) == 8, "no padding on the wire");

struct jail_sockets {
	uint32_t n_udp;
	uint32_t n_tcp;
};
_Static_assert(sizeof(struct jail_sockets) == 8, "no padding on the wire");

struct jail_number {
	int32_t value;
};

struct jail_signal {
	int32_t number;
	int32_t typed; /* 1: the terminal sent it to the process group that the command was started in */
};
_Static_assert(sizeof(struct jail_signal) == 8, "no padding on the wire");
