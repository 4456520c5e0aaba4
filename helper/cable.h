/*
 * A session's network: the cable, a veth pair (veth(4)) with one end here and the other, eth0, made directly inside the
 * jail; the guard at its ingress, before everything else of the host, which says what comes in at all and stays as long
 * as the cable; the redirect, which hands that to the proxy and goes with the helper.
 */
#pragma once

#include <sys/types.h>

#include "shared/helper_protocol.h"

/*
 * Checks that `fd` is a network namespace, not the helper's own, and owned by a user namespace that `user`, the real
 * user id, made directly below the helper's own; for user 0 it may also be owned by the helper's own. `socket` is any
 * socket; CAP_NET_ADMIN must be in effect. Needs no /proc. Returns 0, or -errno with *ret_failure set.
 */
int netns_check(int fd, int socket, uid_t user, enum helper_failure *ret_failure);

/*
 * Makes a cable with the lowest free index into the network namespace `netns`, by a NETLINK_ROUTE socket: the host's
 * end with its /31 address, no forwarding, no IPv6, and down, for nothing guards it yet. `user` is for its alias.
 * Returns 0; -ENOSPC when no index is free; -errno of the kernel, with a cable to delete if ret->host_ifindex is set.
 */
int cable_create(int socket, int netns, uid_t user, struct helper_attached *ret);

enum cable_state { CABLE_DOWN, CABLE_UP, CABLE_GONE };

/* Sets the host's end up or down, or deletes the pair, if it is still there. Returns 0 or -errno. */
int cable_set(int socket, const struct helper_attached *cable, enum cable_state state);

/*
 * Installs the guard in the netdev table boundary_guard_NNNNN, in place of what a killed session left, by a
 * NETLINK_NETFILTER socket. Returns 0 with the table's handle, or -errno.
 */
int guard_install(int socket, const struct helper_attached *cable, uint64_t *ret_handle);

/*
 * Redirects the cable's TCP and its UDP to port 53 to these ports of its host address, as long as `socket` is open: the
 * tables belong to it (NFT_TABLE_F_OWNER, Linux 5.13), nobody else can change them. Returns 0 or -errno.
 */
int redirect_install(int socket, const struct helper_attached *cable, const struct helper_redirect *ports);

/* Removes redirect, if there is one, and guard at once; for a cable that is down or gone. Returns 0 or -errno. */
int tables_remove(int socket, const struct helper_attached *cable, uint64_t guard);
