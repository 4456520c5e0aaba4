/* What the attacks on the helper share: starting it, saying anything to it, hearing what it answers; jails to offer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/helper_protocol.h"

/* A helper that was started, and our end of its socket. */
struct helper_peer {
	pid_t pid;
	int socket;
	int its_end; /* a copy of descriptor 3 of the helper, if kept; else -1 */
};

/* How to start it: with all zero, as boundary-launch does. */
struct helper_start {
	void (*before_exec)(int its_end); /* called in the child; may be NULL */
	bool keep_its_end;
};

/* Starts the helper at `path`. Exits with a message if that is impossible: no attack can be tried then. */
struct helper_peer helper_start(const char *path, const struct helper_start *how);

/* What to send: header and payload can contradict each other. */
struct helper_packet {
	uint32_t magic;   /* 0: the right one */
	uint16_t version; /* 0: the right one */
	uint16_t type;
	uint32_t surplus_length; /* added to the length that the header claims */
	size_t cut;              /* octets left out at the end of the packet */
	const void *payload;
	size_t size;
	const int *fds;
	size_t n_fds;
};

/* Sends one packet. Returns 0 or -errno. */
int helper_say(const struct helper_peer *peer, const struct helper_packet *packet);

/* What it answered. */
struct helper_answer {
	int type; /* enum helper_message; 0 for the end of file, -1 for silence */
	size_t size;
	union {
		struct helper_attached attached;
		struct helper_failed failed;
	};
};

/* Waits at most `timeout_ms` for the next answer. */
struct helper_answer helper_hear(const struct helper_peer *peer, int timeout_ms);

/* Sends ATTACH with this network namespace, or REDIRECT to two ports, and waits for the answer. */
struct helper_answer helper_attach(const struct helper_peer *peer, int netns);
struct helper_answer helper_redirect(const struct helper_peer *peer);

/*
 * Waits at most `timeout_ms` for the helper's end. Returns its wait(2) status; -1 if it still runs, and then kills it.
 * Closes the descriptors of *peer in any case.
 */
int helper_ended(struct helper_peer *peer, int timeout_ms);

/* A jail to offer: a process in namespaces of its own. */
struct helper_jail {
	pid_t pid;
	int netns;   /* of the process */
	int control; /* a byte makes it delete its eth0 and answer with a byte */
};

/*
 * Makes one as `user` (0: as whoever we are): with `flags` of unshare(2); if `outer_flags` are not 0, in namespaces
 * within those. Ids are mapped to themselves. Exits with a message if that is impossible.
 */
struct helper_jail helper_jail_new(uid_t user, int outer_flags, int flags);

/* Enters new namespaces, with flags of unshare(2); ids are mapped to themselves. Exits with a message if it cannot. */
void helper_enter(int flags);

/* Deletes eth0 inside the jail. Returns 0 or -1. */
int helper_jail_cut(const struct helper_jail *jail);

/* Kills the process, and with it, when nobody else holds them, its namespaces. */
void helper_jail_end(struct helper_jail *jail);

/* Becomes this user for good, with no other group and no capability, dumpable. Exits with a message if it cannot. */
void helper_become(uid_t user);
