/*
 * The jail's DNS server: see dns_server.h; what it says is in dns_answer.c. Clients are hostile: each wake-up does a
 * bounded amount of work, each connection has fixed buffers, a deadline and at most one reply buffer waiting, and there
 * are only so many connections.
 */
#include "policy/proxy/dns_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "policy/proxy/dns_answer.h"
#include "shared/cleanup.h"
#include "shared/log.h"

#define QUERY_MAX 4096 /* octets; queries are under 512 but for EDNS padding (RFC 7830) */
#define DATAGRAMS_PER_WAKE 32
#define ACCEPTS_PER_WAKE 16
#define IDLE_SECONDS 10.0  /* without a whole query, or without the replies being taken (RFC 7766 section 6.2.3) */
#define PAUSE_SECONDS 0.25 /* of accepting, when the process has no descriptor or memory left */
#define PREFIX_LENGTH 2    /* of a message over TCP (RFC 1035 section 4.2.2) */

struct endpoint {
	struct ev_io io;
	struct dns_server *server;
	struct endpoint *next;
	bool listener;
};

struct connection {
	struct ev_io io;
	struct ev_timer idle;
	struct dns_server *server;
	struct connection *older, *newer; /* by last use */
	bool ended;                       /* the client sends no more */
	size_t in_used, out_used, out_sent;
	uint8_t in[PREFIX_LENGTH + QUERY_MAX];
	uint8_t out[8 * (PREFIX_LENGTH + DNS_REPLY_MAX)];
};

struct dns_server {
	struct ev_loop *loop;
	struct names *names;
	struct endpoint *endpoints;
	struct connection *oldest, *newest;
	size_t n_connections;
	struct ev_timer resume; /* runs while accepting is paused */
	bool told;              /* that the names are used up */
};

static int set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

static void resume_accepting(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct dns_server *server = timer->data;

	(void)events;
	for (struct endpoint *e = server->endpoints; e; e = e->next)
		if (e->listener)
			ev_io_start(loop, &e->io);
}

static void pause_accepting(struct dns_server *server)
{
	for (struct endpoint *e = server->endpoints; e; e = e->next)
		if (e->listener)
			ev_io_stop(server->loop, &e->io);
	ev_timer_stop(server->loop, &server->resume);
	ev_timer_set(&server->resume, PAUSE_SECONDS, 0.);
	ev_timer_start(server->loop, &server->resume);
}

int dns_server_new(struct ev_loop *loop, struct names *names, struct dns_server **ret)
{
	struct dns_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->loop = loop;
	server->names = names;
	ev_timer_init(&server->resume, resume_accepting, PAUSE_SECONDS, 0.);
	server->resume.data = server;
	*ret = server;
	return 0;
}

static void connection_unlink(struct connection *c)
{
	struct dns_server *server = c->server;

	*(c->older ? &c->older->newer : &server->oldest) = c->newer;
	*(c->newer ? &c->newer->older : &server->newest) = c->older;
}

static void connection_link_newest(struct connection *c)
{
	struct dns_server *server = c->server;

	c->older = server->newest;
	c->newer = NULL;
	*(server->newest ? &server->newest->newer : &server->oldest) = c;
	server->newest = c;
}

static void connection_close(struct connection *c)
{
	struct dns_server *server = c->server;

	ev_io_stop(server->loop, &c->io);
	ev_timer_stop(server->loop, &c->idle);
	connection_unlink(c);
	server->n_connections--;
	close(c->io.fd);
	free(c);
}

static void connection_used(struct connection *c)
{
	connection_unlink(c);
	connection_link_newest(c);
	ev_timer_again(c->server->loop, &c->idle);
}

static void idle_event(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	connection_close(timer->data);
}

static int connection_read(struct connection *c)
{
	ssize_t got = recv(c->io.fd, c->in + c->in_used, sizeof(c->in) - c->in_used, 0);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	c->ended = got == 0;
	c->in_used += (size_t)got;
	return 0;
}

static size_t answer(struct dns_server *server, const uint8_t *packet, size_t length, uint8_t ret[DNS_REPLY_MAX])
{
	size_t reply = dns_answer(server->names, packet, length, ret);

	if (names_are_used_up(server->names) && !server->told) {
		server->told = true;
		log_line(LOG_LEVEL_WARN,
			 "all %u synthetic addresses of this session are given out: "
			 "names that have none cannot be resolved any more",
			 NAMES_MAX);
	}
	return reply;
}

/* Answers the whole queries in `in` while there is room in `out`. Returns how many, or -EBADMSG for what has no answer.
 */
static int connection_answer(struct connection *c)
{
	size_t at = 0;
	int n = 0;

	while (c->in_used - at >= PREFIX_LENGTH && sizeof(c->out) - c->out_used >= PREFIX_LENGTH + DNS_REPLY_MAX) {
		size_t length = (size_t)c->in[at] << 8 | c->in[at + 1], reply;

		if (length > QUERY_MAX)
			return -EBADMSG;
		if (c->in_used - at - PREFIX_LENGTH < length)
			break;
		at += PREFIX_LENGTH;
		reply = answer(c->server, c->in + at, length, c->out + c->out_used + PREFIX_LENGTH);
		if (reply == 0)
			return -EBADMSG;
		c->out[c->out_used] = (uint8_t)(reply >> 8);
		c->out[c->out_used + 1] = (uint8_t)reply;
		c->out_used += PREFIX_LENGTH + reply;
		at += length;
		n++;
	}
	memmove(c->in, c->in + at, c->in_used - at);
	c->in_used -= at;
	return n;
}

/* Sends what waits in `out`, as far as the socket takes it. */
static int connection_flush(struct connection *c)
{
	while (c->out_sent < c->out_used) {
		ssize_t sent = send(c->io.fd, c->out + c->out_sent, c->out_used - c->out_sent, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? 0 : -errno;
		c->out_sent += (size_t)sent;
	}
	c->out_sent = c->out_used = 0;
	return 0;
}

/* Answers and sends until the queries or the client's window are used up. Returns 0, or -errno when the connection is
 * over. */
static int connection_serve(struct connection *c)
{
	int n, r;

	do {
		n = connection_answer(c);
		r = connection_flush(c);
		if (r < 0 || n < 0)
			return r < 0 ? r : n;
		if (n > 0)
			connection_used(c);
	} while (n > 0 && c->out_used == 0);
	return c->ended && c->out_used == 0 ? -ECONNRESET : 0;
}

/* While replies wait to be taken, no more queries are read. */
static void connection_watch(struct connection *c)
{
	ev_io_stop(c->server->loop, &c->io);
	ev_io_set(&c->io, c->io.fd, c->out_used > 0 ? EV_WRITE : EV_READ);
	ev_io_start(c->server->loop, &c->io);
}

static void connection_event(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct connection *c = io->data;
	bool was_waiting = c->out_used > 0;
	int r = 0;

	(void)loop;
	if (events & EV_READ)
		r = connection_read(c);
	if (r == 0 && was_waiting)
		r = connection_flush(c);
	if (r == 0)
		r = connection_serve(c);
	if (r < 0)
		connection_close(c);
	else if (was_waiting != (c->out_used > 0))
		connection_watch(c);
}

int dns_server_adopt(struct dns_server *server, int fd)
{
	_cleanup_fd_ int owned = fd;
	struct connection *c;
	int r = set_flags(fd);

	if (r < 0)
		return r;
	/* A second reply does not wait until the first is acknowledged. Without it they are only slower. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	if (server->n_connections == DNS_CONNECTIONS_MAX)
		connection_close(server->oldest);
	c->server = server;
	c->ended = false;
	c->in_used = c->out_used = c->out_sent = 0;
	ev_io_init(&c->io, connection_event, take_fd(&owned), EV_READ);
	c->io.data = c;
	ev_timer_init(&c->idle, idle_event, 0., IDLE_SECONDS);
	c->idle.data = c;
	connection_link_newest(c);
	server->n_connections++;
	ev_io_start(server->loop, &c->io);
	ev_timer_again(server->loop, &c->idle);
	return 0;
}

static void listener_event(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct endpoint *e = io->data;

	(void)loop;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
		int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			dns_server_adopt(e->server, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		/* Most likely EMFILE: the socket stays readable, so without a pause the loop would spin. */
		if (e->server->oldest)
			connection_close(e->server->oldest);
		pause_accepting(e->server);
		return;
	}
}

static void udp_event(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct endpoint *e = io->data;
	uint8_t packet[QUERY_MAX], reply[DNS_REPLY_MAX];

	(void)loop;
	(void)events;
	for (int i = 0; i < DATAGRAMS_PER_WAKE; i++) {
		struct sockaddr_storage peer;
		socklen_t peer_length = sizeof(peer);
		ssize_t got = recvfrom(io->fd, packet, sizeof(packet), 0, (struct sockaddr *)&peer, &peer_length);
		size_t length;

		if (got < 0 && errno == EAGAIN)
			return;
		if (got < 0)
			continue;
		length = answer(e->server, packet, (size_t)got, reply);
		/* A reply that cannot be sent is lost, as datagrams may be. */
		if (length > 0)
			(void)sendto(io->fd, reply, length, MSG_NOSIGNAL, (struct sockaddr *)&peer, peer_length);
	}
}

static int add_endpoint(struct dns_server *server, int fd, bool listener)
{
	_cleanup_fd_ int owned = fd;
	struct endpoint *e;
	int r = set_flags(fd);

	if (r < 0)
		return r;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->server = server;
	e->listener = listener;
	ev_io_init(&e->io, listener ? listener_event : udp_event, take_fd(&owned), EV_READ);
	e->io.data = e;
	e->next = server->endpoints;
	server->endpoints = e;
	ev_io_start(server->loop, &e->io);
	return 0;
}

int dns_server_add_udp(struct dns_server *server, int fd)
{
	return add_endpoint(server, fd, false);
}

int dns_server_add_listener(struct dns_server *server, int fd)
{
	return add_endpoint(server, fd, true);
}

void dns_server_free(struct dns_server *server)
{
	if (!server)
		return;
	while (server->oldest)
		connection_close(server->oldest);
	while (server->endpoints) {
		struct endpoint *e = server->endpoints;

		server->endpoints = e->next;
		ev_io_stop(server->loop, &e->io);
		close(e->io.fd);
		free(e);
	}
	ev_timer_stop(server->loop, &server->resume);
	free(server);
}
