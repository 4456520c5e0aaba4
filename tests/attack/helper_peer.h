/* What the attacks on the helper share: starting it, saying anything to it, hearing what it answers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/helper_protocol.h"
#include "shared/wire.h"

/* The kernel's limit of descriptors in a packet (SCM_MAX_FD, net/scm.h). */
#define HELPER_FDS_MAX 253

/* Longer than anything takes that is not kept waiting, on a machine that is busy. */
#define HELPER_SOON_MS 20000

/* A helper that was started, and our end of its socket. */
struct helper_peer {
	pid_t pid;
	int socket;
	int its_end; /* a copy of descriptor 3 of the helper, if kept; else -1 */
};

/* How to start it: with all zero, as boundary-launch does. */
struct helper_start {
	void (*before_exec)(void); /* called last, in the child, which has descriptor 3; may be NULL */
	bool keep_its_end;
	int third;                      /* descriptor 3 instead of the socket; < 0: none; 0: the socket */
	const char *const *arguments;   /* NULL: its path and nothing else */
	const char *const *environment; /* NULL: ours */
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

/* True if it is HELPER_FAILED, whole, with this failure. */
bool helper_answer_failed(const struct helper_answer *answer, enum helper_failure failure);

/* What to send for each request, as it has to be; of `fd` the address is kept. Ports of the redirect are 40001, 40002.
 */
struct helper_packet helper_request(enum helper_message type, const int *fd);

/* Sends a request as it has to be and waits for the answer. `netns` is for HELPER_ATTACH. */
struct helper_answer helper_ask(const struct helper_peer *peer, enum helper_message type, int netns);

/* The same for the first two. */
struct helper_answer helper_attach(const struct helper_peer *peer, int netns);
struct helper_answer helper_redirect(const struct helper_peer *peer);

/*
 * Waits at most `timeout_ms` for the helper's end. Returns its wait(2) status; -1 if it still runs, and then kills it.
 * Closes the descriptors of *peer in any case.
 */
int helper_ended(struct helper_peer *peer, int timeout_ms);

/* Becomes this user for good, with no other group and no capability, dumpable. Exits with a message if it cannot. */
void helper_become(uid_t user);

/* Enters new namespaces, with flags of unshare(2); ids are mapped to themselves. Exits with a message if it cannot. */
void helper_enter(int flags);

/* A jail to offer to the helper: a process in namespaces of its own. */
struct helper_jail {
	pid_t pid;
	int netns;   /* of the process */
	int control; /* a socket; at its end of file the process ends */
};

/*
 * Makes one as `user` (0: as whoever we are): with `flags` of unshare(2); if `outer_flags` are not 0, in namespaces
 * within those. Ids are mapped to themselves. Exits with a message if that is impossible.
 */
struct helper_jail helper_jail_new(uid_t user, int outer_flags, int flags);

/* The same, of a process that does something meanwhile: until `live` returns. */
struct helper_jail helper_jail_start(uid_t user, int outer_flags, int flags, void (*live)(int control));

/* Kills the process, and with it, when nobody else holds them, its namespaces. Closes what is open; may come twice. */
void helper_jail_end(struct helper_jail *jail);
