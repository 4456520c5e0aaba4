/*
 * A session's network: its claim, a table of nf_tables that belongs to the helper's socket and goes with it (owner
 * flag, Linux 5.13); the cable, a veth pair (veth(4)) with one end here and the other, eth0, made directly inside the
 * jail; the guard at its ingress, before everything else of the host, which stays as long as the cable and lets in what
 * the gate before it has marked; the redirect, which hands that to the proxy. Gate and redirect go with the claim.
 * Functions return 0 or, if nothing else is said, -errno.
 */
#pragma once

#include <sys/types.h>

#include "helper/config.h"
#include "shared/netlink.h"
#include "shared/helper_protocol.h"

struct cable {
	struct helper_attached names; /* host_ifindex is 0 while there is none */
	uid_t user;                   /* the real one */
	uint64_t claim;               /* handle of the table, 0 while there is none */
	char table[32], guard[32];    /* names of the tables */
};

/*
 * Checks that `fd` is a network namespace, not the helper's own, and owned by a user namespace that `user`, the real
 * user id, made directly below the helper's own; for user 0 it may also be owned by the helper's own. `socket` is any
 * socket; CAP_NET_ADMIN must be in effect. Needs no /proc. Returns 0, or -errno with *ret_failure set.
 */
int netns_check(int fd, int socket, uid_t user, enum helper_failure *ret_failure);

/*
 * Claims a session of cable->user, if he and all together may have one more, and makes its cable, of the lowest free
 * index, into the network namespace `netns`: with its /31 address, no forwarding, no IPv6, and down, for nothing guards
 * it yet. On failure *failed says why, and what is in *cable is to be undone.
 */
int cable_create(struct netlink *n, const struct config *config, int netns, struct cable *cable,
		 struct helper_failed *failed);

/* Sets the host's end up or down, or deletes the pair, if it is still there. */
enum cable_state { CABLE_DOWN, CABLE_UP, CABLE_GONE };
int cable_set(struct netlink *n, uint32_t ifindex, enum cable_state state);

/* The sessions there are. */
struct claims {
	uid_t user;
	uint32_t of_user, of_all;
	uint8_t indexes[CABLE_INDEX_MAX / 8]; /* a bit each */
};

/* Claims the index: -EEXIST or -EPERM if somebody has; see nft_begin() for `generation`. Counts, as netlink_send(). */
int claim_make(struct netlink *n, struct cable *cable, uint32_t generation);
int claims_count(struct netlink *n, uid_t user, struct claims *ret);

/* Installs the guard in the netdev table boundary_guard_NNNNN, in place of what a killed session left. */
int guard_install(struct netlink *n, const struct cable *cable);

/* Opens the gate, and redirects TCP, and UDP to port 53, to these ports of the host address; nobody can change it. */
int redirect_install(struct netlink *n, const struct cable *cable, const struct helper_redirect *ports);

/* Removes what is tracked of connections, and all tables, the claim's as well, at once; for a cable that is down. */
int tables_remove(struct netlink *n, const struct cable *cable);
