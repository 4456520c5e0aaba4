/*
 * Names to addresses: see resolver.h. One `struct entry` a host: under way with those who wait for it, or settled and
 * cached. Whatever becomes known goes to the `ready` queue, and from there to its caller by a fed event, one at a time,
 * so that callbacks never run inside resolver_lookup() or c-ares and may do anything, resolver_free() included.
 */
#include "policy/proxy/resolver_internal.h"

#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "policy/proxy/keyed_hash.h"
#include "policy/rules/host.h"
#include "shared/cleanup.h"

#define BUCKETS 1024 /* a power of two */
#define CACHE_MAX 1024
#define UNDER_WAY_MAX 512
#define TTL_MIN_MS 1000
#define TTL_MAX_MS 60000
#define NEGATIVE_MS 5000
#define FAILURE_MS 1000 /* RFC 9520 section 3.2: failures are remembered, at least this long */
#define TIMEOUT_MS 1000 /* 1 + 2 + 4 s with one nameserver; late answers to earlier tries count */
#define TRIES 3
#define NETWORK_ADVICE                                                                                   \
	"the nameservers are those that resolv.conf named when the session started: if the network has " \
	"changed since, start the session again"

TAILQ_HEAD(query_queue, resolver_query);
TAILQ_HEAD(entry_queue, entry);
LIST_HEAD(entry_list, entry);
LIST_HEAD(socket_list, socket_watch);

struct answer {
	int status;
	const char *reason;  /* static */
	int64_t lifetime_ms; /* 0: not to be cached */
	size_t n_addresses;
	struct ip_address addresses[RESOLVER_ADDRESSES_MAX];
};

struct resolver_query {
	struct resolver *resolver;
	struct query_queue *queue; /* the one it is in */
	TAILQ_ENTRY(resolver_query) link;
	resolver_done *done;
	void *user;
	struct answer answer; /* once ready */
};

struct entry {
	struct resolver *resolver;
	LIST_ENTRY(entry) chain;
	TAILQ_ENTRY(entry) age; /* while settled */
	bool settled;
	int64_t expires; /* ms */
	struct query_queue waiting;
	struct answer answer;
	char host[];
};

struct socket_watch {
	struct ev_io io;
	LIST_ENTRY(socket_watch) link;
};

struct resolver {
	struct ev_loop *loop;
	ares_channel channel;
	bool closing;
	struct ev_timer timeout;
	struct ev_prepare deliver; /* never started, only fed */
	struct socket_list sockets;
	struct query_queue ready;
	struct keyed_hash hash;
	struct entry_list buckets[BUCKETS];
	struct entry_queue by_age; /* settled entries, oldest first */
	size_t n_settled, n_under_way;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void make_ready(struct resolver_query *query, const struct answer *answer)
{
	struct resolver *resolver = query->resolver;

	query->answer = *answer;
	query->queue = &resolver->ready;
	TAILQ_INSERT_TAIL(&resolver->ready, query, link);
	ev_feed_event(resolver->loop, &resolver->deliver, EV_CUSTOM);
}

static void deliver_event(struct ev_loop *loop, struct ev_prepare *watcher, int events)
{
	struct resolver *resolver = watcher->data;
	struct resolver_query *query = TAILQ_FIRST(&resolver->ready);
	struct resolver_query copy;

	(void)events;
	if (!query)
		return;
	TAILQ_REMOVE(&resolver->ready, query, link);
	if (!TAILQ_EMPTY(&resolver->ready))
		ev_feed_event(loop, watcher, EV_CUSTOM);
	copy = *query;
	free(query);
	/* Last, since it may free the resolver. */
	copy.done(copy.user, copy.answer.status, copy.answer.addresses, copy.answer.n_addresses, copy.answer.reason);
}

static void entry_forget(struct entry *entry)
{
	struct resolver *resolver = entry->resolver;

	LIST_REMOVE(entry, chain);
	if (entry->settled) {
		TAILQ_REMOVE(&resolver->by_age, entry, age);
		resolver->n_settled--;
	} else {
		resolver->n_under_way--;
	}
	free(entry);
}

static void entry_settle(struct entry *entry)
{
	struct resolver *resolver = entry->resolver;
	struct resolver_query *query;

	while ((query = TAILQ_FIRST(&entry->waiting))) {
		TAILQ_REMOVE(&entry->waiting, query, link);
		make_ready(query, &entry->answer);
	}
	if (entry->answer.lifetime_ms == 0) {
		entry_forget(entry);
		return;
	}
	entry->settled = true;
	entry->expires = now_ms() + entry->answer.lifetime_ms;
	TAILQ_INSERT_TAIL(&resolver->by_age, entry, age);
	resolver->n_under_way--;
	if (++resolver->n_settled > CACHE_MAX)
		entry_forget(TAILQ_FIRST(&resolver->by_age));
}

static bool answer_holds(const struct answer *answer, const struct ip_address *address)
{
	for (size_t i = 0; i < answer->n_addresses; i++)
		if (memcmp(&answer->addresses[i], address, sizeof(*address)) == 0)
			return true;
	return false;
}

/* The addresses in c-ares' order, each once; the time they are good for is the shortest TTL on the way. */
static void answer_from_result(struct answer *ret, const struct ares_addrinfo *result)
{
	int64_t ttl_ms = TTL_MAX_MS;

	for (const struct ares_addrinfo_cname *c = result->cnames; c; c = c->next)
		if (c->ttl < ttl_ms / 1000)
			ttl_ms = (int64_t)c->ttl * 1000;
	for (const struct ares_addrinfo_node *n = result->nodes; n; n = n->ai_next) {
		struct ip_address address;

		if (n->ai_ttl < ttl_ms / 1000)
			ttl_ms = (int64_t)n->ai_ttl * 1000;
		if (ret->n_addresses < RESOLVER_ADDRESSES_MAX && ip_address_from_sockaddr(n->ai_addr, &address) == 0 &&
		    !answer_holds(ret, &address))
			ret->addresses[ret->n_addresses++] = address;
	}
	ret->lifetime_ms = ttl_ms < TTL_MIN_MS ? TTL_MIN_MS : ttl_ms;
}

static void answer_from_failure(struct answer *ret, int status)
{
	ret->status = -EIO;
	ret->lifetime_ms = FAILURE_MS;
	switch (status) {
	case ARES_SUCCESS:
	case ARES_ENODATA:
		ret->status = -ENOENT;
		ret->reason = "the name has no address";
		ret->lifetime_ms = NEGATIVE_MS;
		break;
	case ARES_ENOTFOUND:
		ret->status = -ENOENT;
		ret->reason = "the name does not exist";
		ret->lifetime_ms = NEGATIVE_MS;
		break;
	case ARES_ETIMEOUT:
		ret->status = -ETIMEDOUT;
		ret->reason = "no nameserver answered in time; " NETWORK_ADVICE;
		break;
	case ARES_ECONNREFUSED:
		ret->reason = "no nameserver could be reached or was willing to answer; " NETWORK_ADVICE;
		break;
	case ARES_ENOMEM:
		ret->reason = "out of memory";
		ret->lifetime_ms = 0;
		break;
	default:
		ret->reason = ares_strerror(status);
		break;
	}
}

static void lookup_done(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	struct entry *entry = arg;

	(void)timeouts;
	/* From ares_destroy(): resolver_free() sees to the entry. */
	if (!entry->resolver->closing) {
		if (status == ARES_SUCCESS)
			answer_from_result(&entry->answer, result);
		if (entry->answer.n_addresses == 0)
			answer_from_failure(&entry->answer, status);
		entry_settle(entry);
	}
	if (result)
		ares_freeaddrinfo(result);
}

static void timeout_arm(struct resolver *resolver)
{
	struct timeval buffer, *left = ares_timeout(resolver->channel, NULL, &buffer);

	ev_timer_stop(resolver->loop, &resolver->timeout);
	if (!left)
		return;
	/* At least a millisecond: c-ares rounds down and would find nothing due. */
	ev_timer_set(&resolver->timeout, (double)left->tv_sec + (double)left->tv_usec / 1e6 + 1e-3, 0.);
	ev_timer_start(resolver->loop, &resolver->timeout);
}

static void timeout_event(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct resolver *resolver = timer->data;

	(void)loop;
	(void)events;
	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	timeout_arm(resolver);
}

static void socket_event(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct resolver *resolver = io->data;
	int fd = io->fd;

	(void)loop;
	/* `io` may be gone after this. */
	ares_process_fd(resolver->channel, events & EV_READ ? fd : ARES_SOCKET_BAD,
			events & EV_WRITE ? fd : ARES_SOCKET_BAD);
	timeout_arm(resolver);
}

static struct socket_watch *socket_find(const struct resolver *resolver, int fd)
{
	struct socket_watch *watch;

	LIST_FOREACH(watch, &resolver->sockets, link)
	if (watch->io.fd == fd)
		return watch;
	return NULL;
}

static void socket_forget(struct resolver *resolver, struct socket_watch *watch)
{
	ev_io_stop(resolver->loop, &watch->io);
	LIST_REMOVE(watch, link);
	free(watch);
}

/* c-ares tells what it waits for on its sockets; neither means that it is about to close this one. */
static void socket_state(void *user, ares_socket_t fd, int readable, int writable)
{
	struct resolver *resolver = user;
	struct socket_watch *watch = socket_find(resolver, fd);

	if (!readable && !writable) {
		if (watch)
			socket_forget(resolver, watch);
		return;
	}
	if (watch) {
		ev_io_stop(resolver->loop, &watch->io);
	} else {
		watch = calloc(1, sizeof(*watch));
		/* Without memory the socket is not watched, and the queries on it time out. */
		if (!watch)
			return;
		ev_init(&watch->io, socket_event);
		watch->io.data = resolver;
		LIST_INSERT_HEAD(&resolver->sockets, watch, link);
	}
	ev_io_set(&watch->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	ev_io_start(resolver->loop, &watch->io);
}

static int channel_open(struct resolver *resolver, const struct resolver_settings *settings, struct error *e)
{
	/*
	 * No HOSTALIASES and no search list: what the policy judged is what is looked up. In ares_getaddrinfo() c-ares
	 * 1.18 takes no notice of ARES_FLAG_NOSEARCH, so that the list has to be empty besides.
	 */
	struct ares_options options = { .flags = ARES_FLAG_NOALIASES | ARES_FLAG_NOSEARCH,
					.timeout = settings->timeout_ms,
					.tries = settings->tries,
					.sock_state_cb = socket_state,
					.sock_state_cb_data = resolver };
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS;
	int status;

	if (settings->lookups) {
		options.lookups = (char *)settings->lookups;
		mask |= ARES_OPT_LOOKUPS;
	}
	status = ares_library_init(ARES_LIB_INIT_ALL);
	if (status != ARES_SUCCESS)
		return error_set(e, EIO, "cannot initialise the resolver library c-ares: %s", ares_strerror(status));
	status = ares_init_options(&resolver->channel, &options, mask);
	if (status == ARES_SUCCESS && settings->servers)
		status = ares_set_servers_ports_csv(resolver->channel, settings->servers);
	if (status == ARES_SUCCESS)
		return 0;
	if (resolver->channel)
		ares_destroy(resolver->channel);
	ares_library_cleanup();
	return error_set(e, status == ARES_ENOMEM ? ENOMEM : EIO,
			 "cannot set up name resolution: %s; check that /etc/resolv.conf can be read and is valid",
			 ares_strerror(status));
}

int resolver_new_with(struct ev_loop *loop, const struct resolver_settings *settings, struct resolver **ret,
		      struct error *e)
{
	_cleanup_free_ struct resolver *resolver = calloc(1, sizeof(*resolver));
	int r;

	if (!resolver)
		return error_set(e, ENOMEM, "out of memory for the resolver");
	resolver->loop = loop;
	LIST_INIT(&resolver->sockets);
	TAILQ_INIT(&resolver->ready);
	TAILQ_INIT(&resolver->by_age);
	for (size_t i = 0; i < BUCKETS; i++)
		LIST_INIT(&resolver->buckets[i]);
	ev_init(&resolver->timeout, timeout_event);
	ev_prepare_init(&resolver->deliver, deliver_event);
	resolver->timeout.data = resolver->deliver.data = resolver;
	r = keyed_hash_init(&resolver->hash);
	if (r < 0)
		return error_errno(e, -r, "cannot get random bytes for the resolver");
	r = channel_open(resolver, settings, e);
	if (r < 0)
		return r;
	*ret = take_ptr(resolver);
	return 0;
}

int resolver_new(struct ev_loop *loop, struct resolver **ret, struct error *e)
{
	static const struct resolver_settings settings = { .timeout_ms = TIMEOUT_MS, .tries = TRIES };

	return resolver_new_with(loop, &settings, ret, e);
}

static void queue_free(struct query_queue *queue)
{
	struct resolver_query *query;

	while ((query = TAILQ_FIRST(queue))) {
		TAILQ_REMOVE(queue, query, link);
		free(query);
	}
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	resolver->closing = true;
	ares_destroy(resolver->channel);
	ares_library_cleanup();
	while (!LIST_EMPTY(&resolver->sockets))
		socket_forget(resolver, LIST_FIRST(&resolver->sockets));
	ev_timer_stop(resolver->loop, &resolver->timeout);
	ev_clear_pending(resolver->loop, &resolver->deliver);
	queue_free(&resolver->ready);
	for (size_t i = 0; i < BUCKETS; i++) {
		while (!LIST_EMPTY(&resolver->buckets[i])) {
			struct entry *entry = LIST_FIRST(&resolver->buckets[i]);

			queue_free(&entry->waiting);
			entry_forget(entry);
		}
	}
	free(resolver);
}

static struct entry_list *bucket_of(struct resolver *resolver, const char *host)
{
	return &resolver->buckets[keyed_hash(&resolver->hash, host, strlen(host)) & (BUCKETS - 1)];
}

/* The host's entry if it is under way or still good. */
static struct entry *entry_find(struct resolver *resolver, const char *host)
{
	struct entry *entry;

	LIST_FOREACH(entry, bucket_of(resolver, host), chain)
	if (strcmp(entry->host, host) == 0)
		break;
	if (entry && entry->settled && entry->expires <= now_ms()) {
		entry_forget(entry);
		return NULL;
	}
	return entry;
}

static struct entry *entry_new(struct resolver *resolver, const char *host)
{
	size_t length = strlen(host);
	struct entry *entry = calloc(1, sizeof(*entry) + length + 1);

	if (!entry)
		return NULL;
	entry->resolver = resolver;
	TAILQ_INIT(&entry->waiting);
	memcpy(entry->host, host, length + 1);
	LIST_INSERT_HEAD(bucket_of(resolver, host), entry, chain);
	resolver->n_under_way++;
	return entry;
}

/* Names below "localhost" are never asked of nameservers (RFC 6761 section 6.3); c-ares knows only "localhost" itself.
 */
static const char *name_to_ask(const char *host)
{
	size_t length = strlen(host), tail = strlen(".localhost");

	return length > tail && strcmp(host + length - tail, ".localhost") == 0 ? "localhost" : host;
}

static void entry_ask(struct entry *entry)
{
	static const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC };
	struct resolver *resolver = entry->resolver;

	/* The hosts file answers at once: `entry` may be settled, or gone, after this. */
	ares_getaddrinfo(resolver->channel, name_to_ask(entry->host), NULL, &hints, lookup_done, entry);
	timeout_arm(resolver);
}

/* The answer that needs no lookup: a literal, or that there are too many lookups. */
static bool answer_at_once(const struct resolver *resolver, const char *host, bool known, struct answer *ret)
{
	if (host_is_literal(host)) {
		ret->n_addresses = 1;
		if (ip_address_parse(host, strlen(host), &ret->addresses[0]) < 0)
			*ret = (struct answer){ .status = -EIO, .reason = "not a valid address" };
		return true;
	}
	if (known || resolver->n_under_way < UNDER_WAY_MAX)
		return false;
	ret->status = -EIO;
	ret->reason = "too many names are being looked up at once; try again later";
	return true;
}

int resolver_lookup(struct resolver *resolver, const char *host, resolver_done *done, void *user,
		    struct resolver_query **ret)
{
	_cleanup_free_ struct resolver_query *query = calloc(1, sizeof(*query));
	struct entry *entry = entry_find(resolver, host);
	struct answer answer = { 0 };
	bool fresh = !entry;

	if (!query)
		return -ENOMEM;
	query->resolver = resolver;
	query->done = done;
	query->user = user;
	if (answer_at_once(resolver, host, !fresh, &answer)) {
		make_ready(query, &answer);
	} else if (entry && entry->settled) {
		make_ready(query, &entry->answer);
	} else {
		if (fresh)
			entry = entry_new(resolver, host);
		if (!entry)
			return -ENOMEM;
		query->queue = &entry->waiting;
		TAILQ_INSERT_TAIL(&entry->waiting, query, link);
		if (fresh)
			entry_ask(entry);
	}
	*ret = take_ptr(query);
	return 0;
}

void resolver_cancel(struct resolver_query *query)
{
	TAILQ_REMOVE(query->queue, query, link);
	free(query);
}

size_t resolver_cached(const struct resolver *resolver)
{
	return resolver->n_settled;
}

size_t resolver_under_way(const struct resolver *resolver)
{
	return resolver->n_under_way;
}
