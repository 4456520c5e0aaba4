/* Which addresses are this host's own: asked of the kernel's routing tables (rtnetlink(7)), which know them all. */
#pragma once

#include <stdbool.h>

#include "policy/rules/address.h"
#include "shared/error.h"

/* Opens the socket to ask. Returns it, or -errno with *e. */
int routes_open(struct error *e);

/*
 * Would a packet to `address` stay on this host (or be no unicast)? Asks over the socket of routes_open(), the kernel
 * answers at once. True as well when it cannot be found out.
 */
bool routes_is_own(int socket, const struct ip_address *address);
