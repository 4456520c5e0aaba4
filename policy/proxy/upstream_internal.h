/* What the pool and the making of connections share; for upstream*.c only. */
#pragma once

#include "policy/proxy/upstream.h"

#define UPSTREAM_BUCKETS 256

struct upstream_host {
	struct upstream_host *next; /* in the bucket */
	struct upstream *idle;
	size_t n_users;       /* connections and dials */
	SSL_SESSION *session; /* to resume (RFC 8446 section 2.2); NULL if none */
	bool tls;
	uint16_t port;
	char name[];
};

struct upstream_pool {
	struct ev_loop *loop;
	struct buffer_pool *buffers;
	struct trust *trust;
	struct upstream_host *buckets[UPSTREAM_BUCKETS];
	size_t n_hosts;
	struct upstream *youngest, *oldest; /* idle */
	size_t n_idle;
	ev_timer sweep; /* runs while there are idle connections */
	size_t n_extra; /* attempts to connect beyond the first of each dial */
};

/* The entry for a host with one more user, made if need be; NULL without memory. */
struct upstream_host *upstream_host_use(struct upstream_pool *pool, bool tls, const char *name, uint16_t port);

/* One user less. */
void upstream_host_leave(struct upstream_pool *pool, struct upstream_host *host);

/* A connection in use on the connected `stream` socket. Takes over `fd` and one use of `host`, also when it returns
 * NULL. */
struct upstream *upstream_new(struct upstream_pool *pool, struct upstream_host *host, int fd,
			      const struct ip_address *address);
