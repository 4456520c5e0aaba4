/*
 * Names to addresses as the host sees them (its hosts file, its nameservers), through c-ares; with a short cache.
 */
#pragma once

#include <ev.h>
#include <stddef.h>

#include "policy/rules/address.h"
#include "shared/error.h"

#define RESOLVER_ADDRESSES_MAX 16

struct resolver;
struct resolver_query;

/*
 * Called once, never from within resolver_lookup(). `status` 0 with at least one address, in the order to try (RFC
 * 6724); -ENOENT the name does not exist or has no address; -ETIMEDOUT; -EIO anything else. `reason` is for people,
 * NULL when status is 0.
 */
typedef void resolver_done(void *user, int status, const struct ip_address *addresses, size_t n_addresses,
			   const char *reason);

/* Reads resolv.conf and the like now. `loop` must outlive it. Returns 0 or -errno with *e. */
int resolver_new(struct ev_loop *loop, struct resolver **ret, struct error *e);

/* Cancels what is under way without calling back. Accepts NULL. */
void resolver_free(struct resolver *resolver);

/*
 * Starts a lookup of `host` (canonical and complete: no search domain is tried; a literal answers itself). *ret stays
 * valid until `done` is called. Returns 0 or -ENOMEM.
 */
int resolver_lookup(struct resolver *resolver, const char *host, resolver_done *done, void *user,
		    struct resolver_query **ret);

/* Makes sure `done` is not called; the query is gone afterwards. */
void resolver_cancel(struct resolver_query *query);
