/* The jail's side of the network, configured in process by netlink while the capabilities of its user namespace last.
 */
#pragma once

#include <stdint.h>

#include "launcher/nameservers.h"
#include "shared/error.h"

/*
 * Brings up lo; gives eth0 the address `jail_address`/31 (host byte order) without IPv6, brings it up and sets the
 * default route to `host_address`. Returns 0, or -errno with *e.
 */
int jail_network_configure(uint32_t host_address, uint32_t jail_address, struct error *e);

/*
 * Binds port 53 of the nameserver's address inside the jail, after adding the address to lo unless it is a loopback
 * one. *ret_udp and *ret_tcp (listening) are the caller's; both non-blocking. Returns 0, or -errno with *e.
 */
int jail_network_bind_dns(const struct nameserver *server, int *ret_udp, int *ret_tcp, struct error *e);

/*
 * Makes the kernel give up connections without an owner after seconds rather than minutes (ip-sysctl,
 * tcp_orphan_retries): until then they keep the network namespace, and with it the cable, of a jail whose proxy is
 * gone. Returns 0, or -errno where /proc/sys is read-only.
 */
int jail_network_limit_orphans(void);
