/*
 * Synthetic addresses: one address of NAMES_NETWORK for each name the jail asks for, for the life of the session.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define NAMES_MAX 65534u /* 198.19.0.1 to 198.19.255.254; a name takes up to some 290 octets */

struct names;

/* Returns 0 or -ENOMEM. */
int names_new(struct names **ret);

/* Accepts NULL. */
void names_free(struct names *names);

/*
 * The address of `host` (canonical: host_normalise()), assigned at the first call; host byte order.
 * Returns 0; -ENOSPC when all addresses of the network are taken; -ENOMEM.
 */
int names_assign(struct names *names, const char *host, uint32_t *ret_address);

/* No address is left for a name that has none. */
bool names_are_used_up(const struct names *names);

/* The name that `address` (host byte order) stands for, owned by `names`; NULL if none. */
const char *names_find(const struct names *names, uint32_t address);
