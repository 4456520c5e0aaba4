/* Making a connection to an origin server: see upstream.h. */
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

#define ADDRESS_SECONDS 10.0
#define CONNECT_SECONDS 30.0 /* all addresses together */
#define HANDSHAKE_SECONDS 30.0

struct upstream_dial {
	struct upstream_pool *pool;
	struct upstream_host *host;
	struct upstream *upstream; /* once connected, during the TLS handshake */
	upstream_dialled *done;
	void *user;
	int fd; /* being connected, or -1 */
	ev_io io;
	ev_timer timer;
	ev_tstamp deadline; /* for connecting */
	int status;         /* of the last address */
	struct error error;
	size_t at;
	size_t n_addresses;
	struct ip_address addresses[UPSTREAM_ADDRESSES_MAX];
};

static void try_address(struct upstream_dial *dial);

static void set_timer(struct upstream_dial *dial, double seconds)
{
	ev_timer_stop(dial->pool->loop, &dial->timer);
	ev_timer_set(&dial->timer, seconds, 0);
	ev_timer_start(dial->pool->loop, &dial->timer);
}

void upstream_dial_cancel(struct upstream_dial *dial)
{
	ev_io_stop(dial->pool->loop, &dial->io);
	ev_timer_stop(dial->pool->loop, &dial->timer);
	close_fd(&dial->fd);
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
	set_timer(dial, HANDSHAKE_SECONDS);
	on_tls_ready(dial);
}

static void connected(struct upstream_dial *dial)
{
	const struct ip_address *address = &dial->addresses[dial->at];

	ev_timer_stop(dial->pool->loop, &dial->timer);
	socket_tune(dial->fd);
	dial->host->n_users++;
	dial->upstream = upstream_new(dial->pool, dial->host, take_fd(&dial->fd), address);
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

/* This address does not answer: the next one, or the end of it. */
static void next_address(struct upstream_dial *dial, int code)
{
	char text[46];

	ev_io_stop(dial->pool->loop, &dial->io);
	close_fd(&dial->fd);
	dial->status = error_errno(&dial->error, code, "cannot connect to %s port %u at %s", dial->host->name,
				   dial->host->port, ip_address_format(&dial->addresses[dial->at], text));
	dial->at++;
	if (dial->at < dial->n_addresses && ev_now(dial->pool->loop) < dial->deadline)
		try_address(dial);
	else
		finish(dial, dial->status);
}

static void on_connect(struct ev_loop *loop, ev_io *io, int events)
{
	struct upstream_dial *dial = io->data;
	int code = 0;
	socklen_t length = sizeof(code);

	(void)events;
	if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
		code = errno;
	ev_io_stop(loop, io);
	if (code)
		next_address(dial, code);
	else
		connected(dial);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct upstream_dial *dial = timer->data;

	(void)loop;
	(void)events;
	if (dial->upstream) {
		error_set(&dial->error, ETIMEDOUT, "TLS handshake with %s: no answer within %.0f seconds",
			  dial->host->name, HANDSHAKE_SECONDS);
		finish(dial, -ETIMEDOUT);
	} else if (dial->fd < 0) {
		try_address(dial); /* the first round */
	} else {
		next_address(dial, ETIMEDOUT);
	}
}

static void try_address(struct upstream_dial *dial)
{
	struct sockaddr_storage address;
	socklen_t length = ip_address_to_sockaddr(&dial->addresses[dial->at], dial->host->port, &address);
	double left = dial->deadline - ev_now(dial->pool->loop);

	dial->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (dial->fd < 0 || (connect(dial->fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS)) {
		next_address(dial, errno);
		return;
	}
	ev_io_init(&dial->io, on_connect, dial->fd, EV_WRITE);
	dial->io.data = dial;
	ev_io_start(dial->pool->loop, &dial->io);
	set_timer(dial, left < ADDRESS_SECONDS ? left : ADDRESS_SECONDS);
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
	dial->fd = -1;
	dial->done = done;
	dial->user = user;
	dial->n_addresses = n_addresses < UPSTREAM_ADDRESSES_MAX ? n_addresses : UPSTREAM_ADDRESSES_MAX;
	memcpy(dial->addresses, addresses, dial->n_addresses * sizeof(*addresses));
	dial->deadline = ev_now(pool->loop) + CONNECT_SECONDS;
	ev_init(&dial->io, on_connect);
	ev_timer_init(&dial->timer, on_timer, 0, 0);
	dial->timer.data = dial;
	/* In the next round, so that `done` is never called from here. */
	ev_timer_start(pool->loop, &dial->timer);
	*ret = dial;
	return 0;
}
