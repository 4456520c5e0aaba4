/* The pool of connections to origin servers: see upstream.h. */
#include "policy/proxy/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "policy/proxy/clock.h"
#include "policy/proxy/upstream_internal.h"

#define HOSTS_MAX 512 /* entries kept for their TLS session alone */

static struct upstream_host **bucket_of(struct upstream_pool *pool, const char *name, uint16_t port)
{
	uint32_t hash = 2166136261u ^ port; /* FNV-1a; names come from rules' decisions, entries are bounded */

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return &pool->buckets[(hash ^ hash >> 16) % UPSTREAM_BUCKETS];
}

static struct upstream_host *find_host(struct upstream_pool *pool, bool tls, const char *name, uint16_t port)
{
	struct upstream_host *host = *bucket_of(pool, name, port);

	while (host && (host->tls != tls || host->port != port || strcmp(host->name, name) != 0))
		host = host->next;
	return host;
}

static void forget_host(struct upstream_pool *pool, struct upstream_host *host)
{
	struct upstream_host **at = bucket_of(pool, host->name, host->port);

	while (*at != host)
		at = &(*at)->next;
	*at = host->next;
	pool->n_hosts--;
	SSL_SESSION_free(host->session);
	free(host);
}

struct upstream_host *upstream_host_use(struct upstream_pool *pool, bool tls, const char *name, uint16_t port)
{
	struct upstream_host *host = find_host(pool, tls, name, port);
	struct upstream_host **bucket;
	size_t length = strlen(name) + 1;

	if (!host) {
		host = calloc(1, sizeof(*host) + length);
		if (!host)
			return NULL;
		host->tls = tls;
		host->port = port;
		memcpy(host->name, name, length);
		bucket = bucket_of(pool, name, port);
		host->next = *bucket;
		*bucket = host;
		pool->n_hosts++;
	}
	host->n_users++;
	return host;
}

void upstream_host_leave(struct upstream_pool *pool, struct upstream_host *host)
{
	if (--host->n_users == 0 && (!host->session || pool->n_hosts > HOSTS_MAX))
		forget_host(pool, host);
}

/* Keeps what resumes the next connection: one session a host. */
static int on_session(void *user, SSL_SESSION *session)
{
	struct upstream *upstream = user;

	SSL_SESSION_free(upstream->host->session);
	upstream->host->session = session;
	return 1;
}

static void unlink_idle(struct upstream *upstream)
{
	struct upstream_pool *pool = upstream->pool;
	struct upstream **at = &upstream->host->idle;

	while (*at != upstream)
		at = &(*at)->next_of_host;
	*at = upstream->next_of_host;
	*(upstream->younger ? &upstream->younger->older : &pool->youngest) = upstream->older;
	*(upstream->older ? &upstream->older->younger : &pool->oldest) = upstream->younger;
	upstream->younger = upstream->older = upstream->next_of_host = NULL;
	pool->n_idle--;
	if (pool->n_idle == 0)
		ev_timer_stop(pool->loop, &pool->sweep);
}

static void end_idle(struct upstream *upstream)
{
	unlink_idle(upstream);
	upstream_close(upstream, false);
}

static void on_sweep(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct upstream_pool *pool = timer->data;

	(void)loop;
	(void)events;
	while (pool->oldest && clock_monotonic() - pool->oldest->idle_since >= UPSTREAM_IDLE_SECONDS)
		end_idle(pool->oldest);
}

/* TLS may have tickets to take in; anything else, the end included, is the end. */
static bool is_quiet(struct upstream *upstream)
{
	char octet;

	return stream_read(&upstream->stream, &octet, 1) == -EAGAIN;
}

static void on_ready(void *user)
{
	struct upstream *upstream = user;

	if (upstream->ready) {
		upstream->ready(upstream->user);
		return;
	}
	if (is_quiet(upstream))
		stream_want(&upstream->stream, true, false);
	else
		end_idle(upstream);
}

static void on_late(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct upstream *upstream = timer->data;

	(void)loop;
	(void)events;
	upstream->late(upstream->user);
}

struct upstream *upstream_new(struct upstream_pool *pool, struct upstream_host *host, int fd,
			      const struct ip_address *address)
{
	struct upstream *upstream = calloc(1, sizeof(*upstream));

	if (!upstream) {
		close(fd);
		upstream_host_leave(pool, host);
		return NULL;
	}
	upstream->pool = pool;
	upstream->host = host;
	upstream->address = *address;
	stream_open(&upstream->stream, pool->loop, fd, on_ready, upstream);
	ev_timer_init(&upstream->timer, on_late, 0, 0);
	upstream->timer.data = upstream;
	return upstream;
}

int upstream_pool_new(struct ev_loop *loop, struct buffer_pool *buffers, struct trust *trust,
		      struct upstream_pool **ret)
{
	struct upstream_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->loop = loop;
	pool->buffers = buffers;
	pool->trust = trust;
	trust_on_session(trust, on_session);
	ev_timer_init(&pool->sweep, on_sweep, 5.0, 5.0);
	pool->sweep.data = pool;
	*ret = pool;
	return 0;
}

void upstream_pool_free(struct upstream_pool *pool)
{
	if (!pool)
		return;
	while (pool->oldest)
		end_idle(pool->oldest);
	for (size_t i = 0; i < UPSTREAM_BUCKETS; i++)
		while (pool->buckets[i])
			forget_host(pool, pool->buckets[i]);
	ev_timer_stop(pool->loop, &pool->sweep);
	free(pool);
}

/* What has come since the event loop last looked would only be seen after the next request had been sent. */
static bool is_alive(struct upstream *upstream)
{
	struct stream *stream = &upstream->stream;
	char octet;
	ssize_t got = recv(stream->fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN && !stream_holds_input(stream))
		return true;
	stream->readable = true;
	return got != 0 && stream->ssl && is_quiet(upstream);
}

struct upstream *upstream_take(struct upstream_pool *pool, bool tls, const char *host, uint16_t port, double max_idle,
			       upstream_usable *usable, void *user)
{
	struct upstream_host *entry = find_host(pool, tls, host, port);
	struct upstream *next, *upstream = entry ? entry->idle : NULL;

	/* The first is the latest used: if that has been idle for too long, so have all. */
	for (; upstream && clock_monotonic() - upstream->idle_since <= max_idle; upstream = next) {
		next = upstream->next_of_host;
		if (!usable(user, upstream))
			continue;
		if (is_alive(upstream)) {
			unlink_idle(upstream);
			upstream->reused = true;
			return upstream;
		}
		end_idle(upstream);
	}
	return NULL;
}

void upstream_remind(struct upstream *upstream, double seconds, upstream_late *late)
{
	upstream->late = late;
	ev_timer_set(&upstream->timer, seconds, 0);
	ev_timer_start(upstream->pool->loop, &upstream->timer);
}

void upstream_distrust(struct upstream *upstream)
{
	while (upstream->host->idle)
		end_idle(upstream->host->idle);
}

void upstream_keep(struct upstream *upstream)
{
	struct upstream_pool *pool = upstream->pool;

	buffer_drop(pool->buffers, &upstream->in);
	ev_timer_stop(pool->loop, &upstream->timer);
	upstream->ready = NULL;
	upstream->user = NULL;
	upstream->idle_since = clock_monotonic();
	upstream->next_of_host = upstream->host->idle;
	upstream->host->idle = upstream;
	upstream->older = pool->youngest;
	*(pool->youngest ? &pool->youngest->younger : &pool->oldest) = upstream;
	pool->youngest = upstream;
	pool->n_idle++;
	if (!ev_is_active(&pool->sweep)) {
		ev_timer_set(&pool->sweep, 5.0, 5.0);
		ev_timer_start(pool->loop, &pool->sweep);
	}
	stream_want(&upstream->stream, true, false);
	if (pool->n_idle > UPSTREAM_IDLE_MAX)
		end_idle(pool->oldest);
}

void upstream_close(struct upstream *upstream, bool abort)
{
	buffer_drop(upstream->pool->buffers, &upstream->in);
	ev_timer_stop(upstream->pool->loop, &upstream->timer);
	if (abort)
		stream_abort(&upstream->stream);
	else
		stream_close(&upstream->stream);
	upstream_host_leave(upstream->pool, upstream->host);
	free(upstream);
}
