/*
 * Connections to origin servers: made to the first address that answers, verified, kept for the next request to the
 * same host.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "policy/proxy/buffer.h"
#include "policy/proxy/stream.h"
#include "policy/proxy/trust.h"
#include "policy/rules/address.h"

#define UPSTREAM_ADDRESSES_MAX 16
#define UPSTREAM_IDLE_MAX 128 /* idle connections of the session; the oldest go first */
#define UPSTREAM_IDLE_SECONDS 60.0
#define UPSTREAM_EXTRA_MAX 64 /* attempts to connect that may run beside others of the same dials */

struct upstream_pool;
struct upstream_host; /* scheme, host and port, with what is kept for them */
struct upstream_dial; /* a connection being made */

/* See upstream_remind(). */
typedef void upstream_late(void *user);

struct upstream {
	struct stream stream; /* its `ready` is upstream->ready while in use */
	struct buffer in;     /* octets of the response not yet moved on */
	struct ip_address address;
	bool foreign; /* the address is known not to be this host's own */
	bool reused;  /* has served a request before: it may turn out to be closed */

	stream_ready *ready;
	void *user;

	/* The pool's own. */
	struct upstream_pool *pool;
	struct upstream_host *host;
	struct upstream *next_of_host;    /* idle ones, the latest first */
	struct upstream *younger, *older; /* idle ones of all hosts */
	double idle_since;                /* clock_monotonic() */
	ev_timer timer;
	upstream_late *late;
};

/* `loop`, `buffers` and `trust` must outlive the pool. Returns 0 or -ENOMEM. */
int upstream_pool_new(struct ev_loop *loop, struct buffer_pool *buffers, struct trust *trust,
		      struct upstream_pool **ret);

/* Closes the idle connections. Connections in use and dials must be gone. Accepts NULL. */
void upstream_pool_free(struct upstream_pool *pool);

/* May this connection be used for the request at hand? */
typedef bool upstream_usable(void *user, struct upstream *upstream);

/*
 * Takes an idle connection to (`tls`, `host`, `port`) that was used within the last `max_idle` seconds, that is usable
 * and that the server has not ended or written to in the meantime. NULL if there is none. The caller sets ready and
 * user.
 */
struct upstream *upstream_take(struct upstream_pool *pool, bool tls, const char *host, uint16_t port, double max_idle,
			       upstream_usable *usable, void *user);

/*
 * Called once, never from within upstream_dial(): status 0 with a connection that is the callee's; -ETIMEDOUT, -EPROTO
 * (TLS) or another -errno with the reason for people.
 */
typedef void upstream_dialled(void *user, int status, struct upstream *upstream, const char *reason);

/*
 * Begins to connect to the addresses (at least one) in order, but with IPv4 and IPv6 by turns: another is tried as soon
 * as one fails, or has not answered for a quarter of a second (RFC 8305). *ret stays valid until `done` is called.
 * Returns 0 or -ENOMEM.
 */
int upstream_dial(struct upstream_pool *pool, bool tls, const char *host, uint16_t port,
		  const struct ip_address *addresses, size_t n_addresses, upstream_dialled *done, void *user,
		  struct upstream_dial **ret);

/* Makes sure `done` is not called. */
void upstream_dial_cancel(struct upstream_dial *dial);

/* Calls `late` with the user of the connection after `seconds`, unless it is kept or closed before that. */
void upstream_remind(struct upstream *upstream, double seconds, upstream_late *late);

/* The server has gone without a word: closes the idle connections to it, which would not fare better. */
void upstream_distrust(struct upstream *upstream);

/* Keeps a connection for the next request; nothing of the last response may be left in it. */
void upstream_keep(struct upstream *upstream);

/* Closes a connection; `abort`: so that the server notices that something is missing. */
void upstream_close(struct upstream *upstream, bool abort);
