/*
 * Making a connection to an origin server: see upstream.h. Addresses are tried as in RFC 8305: one after the other, but
 * without waiting for long, and the first that answers is it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/proxy/socket.h"
#include "policy/proxy/upstream_internal.h"
#include "shared/cleanup.h"

#define DELAY_SECONDS 0.25   /* until the next address is tried as well (RFC 8305 section 5) */
#define CONNECT_SECONDS 30.0 /* all addresses together */
#define HANDSHAKE_SECONDS 30.0

struct attempt {
	struct upstream_dial *dial;
	struct ip_address address;
	int fd; /* while under way */
	ev_io io;
};

struct upstream_dial {
	struct upstream_pool *pool;
	struct upstream_host *host;
	struct upstream *upstream; /* once connected, during the TLS handshake */
	upstream_dialled *done;
	void *user;
	ev_timer next;  /* begins another attempt */
	ev_timer limit; /* of connecting, then of the handshake */
	int status;     /* of the attempts that failed */
	struct error error;
	size_t n_begun;
	size_t n_under_way;
	size_t n_attempts;
	struct attempt attempts[UPSTREAM_ADDRESSES_MAX];
};

static void set_timer(struct upstream_dial *dial, ev_timer *timer, double seconds)
{
	ev_timer_stop(dial->pool->loop, timer);
	ev_timer_set(timer, seconds, 0);
	ev_timer_start(dial->pool->loop, timer);
}

/* Ends the attempt. Returns its socket, the caller's from here. */
static int attempt_take(struct attempt *attempt)
{
	struct upstream_dial *dial = attempt->dial;

	ev_io_stop(dial->pool->loop, &attempt->io);
	if (--dial->n_under_way > 0)
		dial->pool->n_extra--;
	return take_fd(&attempt->fd);
}

static void end_attempts(struct upstream_dial *dial)
{
	for (size_t i = 0; i < dial->n_begun; i++)
		if (dial->attempts[i].fd >= 0)
			close(attempt_take(&dial->attempts[i]));
}

void upstream_dial_cancel(struct upstream_dial *dial)
{
	end_attempts(dial);
	ev_timer_stop(dial->pool->loop, &dial->next);
	ev_timer_stop(dial->pool->loop, &dial->limit);
	if (dial->upstream)
		upstream_close(dial->upstream, true);
	upstream_host_leave(dial->pool, dial->host);
	free(dial);
}

static void finish(struct upstream_dial *dial, int status)
{
	upstream_dialled *done = dial->done;
	void *user = dial->user;
	struct error error = dial->error;
	struct upstream *upstream = NULL;

	if (status == 0)
		upstream = take_ptr(dial->upstream);
	upstream_dial_cancel(dial);
	if (upstream)
		upstream->ready = NULL;
	done(user, status, upstream, status == 0 ? NULL : error.text);
}

static void on_tls_ready(void *user)
{
	struct upstream_dial *dial = user;
	struct stream *stream = &dial->upstream->stream;
	int status = stream_handshake(stream, &dial->error);

	if (status == -EAGAIN) {
		stream_want(stream, true, false);
		return;
	}
	if (status < 0)
		trust_explain(stream->ssl, dial->host->name, &dial->error);
	finish(dial, status == 0 ? 0 : -EPROTO);
}

static void start_tls(struct upstream_dial *dial)
{
	SSL *ssl;
	int status = trust_connect(dial->pool->trust, dial->host->name, dial->upstream, &ssl, &dial->error);

	if (status == 0) {
		if (dial->host->session)
			SSL_set_session(ssl, dial->host->session);
		status = stream_start_tls(&dial->upstream->stream, ssl);
	}
	if (status < 0) {
		finish(dial, -EPROTO);
		return;
	}
	dial->upstream->ready = on_tls_ready;
	dial->upstream->user = dial;
	set_timer(dial, &dial->limit, HANDSHAKE_SECONDS);
	on_tls_ready(dial);
}

static void connected(struct upstream_dial *dial, struct attempt *attempt)
{
	int fd = attempt_take(attempt);

	end_attempts(dial);
	ev_timer_stop(dial->pool->loop, &dial->next);
	ev_timer_stop(dial->pool->loop, &dial->limit);
	socket_tune(fd);
	dial->host->n_users++;
	dial->upstream = upstream_new(dial->pool, dial->host, fd, &attempt->address);
	if (!dial->upstream) {
		error_errno(&dial->error, ENOMEM, "connect to %s", dial->host->name);
		finish(dial, -ENOMEM);
		return;
	}
	if (dial->host->tls)
		start_tls(dial);
	else
		finish(dial, 0);
}

/* Keeps why an address failed. That this host has no way to a family of addresses must not hide what another said. */
static void note_failure(struct upstream_dial *dial, const struct attempt *attempt, int code)
{
	bool no_way = code == ENETUNREACH || code == EADDRNOTAVAIL || code == EAFNOSUPPORT;
	char text[46];

	if (dial->status == 0 || !no_way)
		dial->status = error_errno(&dial->error, code, "cannot connect to %s port %u at %s", dial->host->name,
					   dial->host->port, ip_address_format(&attempt->address, text));
}

static void begin_attempts(struct upstream_dial *dial);

static void on_connect(struct ev_loop *loop, ev_io *io, int events)
{
	struct attempt *attempt = io->data;
	struct upstream_dial *dial = attempt->dial;
	int code = 0;
	socklen_t length = sizeof(code);

	(void)loop;
	(void)events;
	if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
		code = errno;
	if (code == 0) {
		connected(dial, attempt);
		return;
	}
	close(attempt_take(attempt));
	note_failure(dial, attempt, code);
	begin_attempts(dial);
}

/* Returns 0, or an errno value if the address fails at once. */
static int begin_attempt(struct attempt *attempt)
{
	struct upstream_dial *dial = attempt->dial;
	struct sockaddr_storage address;
	socklen_t length = ip_address_to_sockaddr(&attempt->address, dial->host->port, &address);
	_cleanup_fd_ int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || (connect(fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS))
		return errno;
	attempt->fd = take_fd(&fd);
	if (dial->n_under_way++ > 0)
		dial->pool->n_extra++;
	ev_io_init(&attempt->io, on_connect, attempt->fd, EV_WRITE);
	attempt->io.data = attempt;
	ev_io_start(dial->pool->loop, &attempt->io);
	return 0;
}

/* Goes on to the next address that does not fail at once. None left and none under way: the end of the dial. */
static void begin_attempts(struct upstream_dial *dial)
{
	bool begun = false;

	while (!begun && dial->n_begun < dial->n_attempts &&
	       (dial->n_under_way == 0 || dial->pool->n_extra < UPSTREAM_EXTRA_MAX)) {
		struct attempt *attempt = &dial->attempts[dial->n_begun++];
		int code = begin_attempt(attempt);

		begun = code == 0;
		if (!begun)
			note_failure(dial, attempt, code);
	}
	if (dial->n_under_way == 0)
		finish(dial, dial->status);
	else if (dial->n_begun < dial->n_attempts)
		set_timer(dial, &dial->next, DELAY_SECONDS);
}

static void on_next(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	begin_attempts(timer->data);
}

static void on_limit(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct upstream_dial *dial = timer->data;
	size_t i = 0;

	(void)loop;
	(void)events;
	if (dial->upstream) {
		error_set(&dial->error, ETIMEDOUT, "TLS handshake with %s: no answer within %.0f seconds",
			  dial->host->name, HANDSHAKE_SECONDS);
	} else {
		while (i + 1 < dial->n_begun && dial->attempts[i].fd < 0)
			i++;
		note_failure(dial, &dial->attempts[i], ETIMEDOUT);
	}
	finish(dial, -ETIMEDOUT);
}

static bool same_family(const struct ip_address *one, const struct ip_address *other)
{
	struct sockaddr_storage a, b;

	ip_address_to_sockaddr(one, 0, &a);
	ip_address_to_sockaddr(other, 0, &b);
	return a.ss_family == b.ss_family;
}

/* The families by turns, beginning with that of the first address, each in the order given (RFC 8305 section 4). */
static void take_addresses(struct upstream_dial *dial, const struct ip_address *addresses, size_t n)
{
	size_t at[2] = { 0 };

	for (bool first = true; dial->n_attempts < n; first = !first) {
		size_t *i = &at[first];

		while (*i < n && same_family(&addresses[*i], &addresses[0]) != first)
			(*i)++;
		if (*i < n)
			dial->attempts[dial->n_attempts++] =
				(struct attempt){ .dial = dial, .address = addresses[(*i)++], .fd = -1 };
	}
}

int upstream_dial(struct upstream_pool *pool, bool tls, const char *host, uint16_t port,
		  const struct ip_address *addresses, size_t n_addresses, upstream_dialled *done, void *user,
		  struct upstream_dial **ret)
{
	struct upstream_dial *dial = calloc(1, sizeof(*dial));

	if (!dial)
		return -ENOMEM;
	dial->host = upstream_host_use(pool, tls, host, port);
	if (!dial->host) {
		free(dial);
		return -ENOMEM;
	}
	dial->pool = pool;
	dial->done = done;
	dial->user = user;
	take_addresses(dial, addresses, n_addresses < UPSTREAM_ADDRESSES_MAX ? n_addresses : UPSTREAM_ADDRESSES_MAX);
	ev_timer_init(&dial->next, on_next, 0, 0);
	ev_timer_init(&dial->limit, on_limit, CONNECT_SECONDS, 0);
	dial->next.data = dial->limit.data = dial;
	/* In the next round, so that `done` is never called from here. */
	ev_timer_start(pool->loop, &dial->next);
	ev_timer_start(pool->loop, &dial->limit);
	*ret = dial;
	return 0;
}
