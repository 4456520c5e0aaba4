/* Connections of the command: see client.h. */
#include "policy/proxy/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "policy/proxy/clock.h"
#include "policy/proxy/exchange.h"
#include "policy/proxy/socket.h"
#include "shared/addresses.h"
#include "shared/cleanup.h"
#include "shared/log.h"

#define TLS_HANDSHAKE_RECORD 0x16 /* RFC 8446 section 5.1 */
#define DNS_PORT 53
#define DETECT_SECONDS 10.0
#define HANDSHAKE_SECONDS 30.0
#define HEAD_SECONDS 60.0
#define IDLE_SECONDS 600.0
#define LINGER_SECONDS 30.0 /* in all */
#define LINGER_SILENT_SECONDS 5.0
#define LINGER_READS 16  /* before other connections get their turn */
#define EXCHANGES_MAX 16 /* likewise */
#define PAUSE_SECONDS 0.1

static void client_free(struct client *client)
{
	struct session *session = client->session;

	exchange_free(client->exchange);
	ev_timer_stop(session->loop, &client->timer);
	stream_close(&client->stream);
	buffer_drop(&session->buffers, &client->in);
	buffer_drop(&session->buffers, &client->out);
	free(client->hello);
	*(client->previous ? &client->previous->next : &session->clients) = client->next;
	if (client->next)
		client->next->previous = client->previous;
	if (session->n_clients-- == session->max_clients)
		ev_io_start(session->loop, &session->accept);
	free(client);
}

static void client_abort(struct client *client)
{
	stream_abort(&client->stream);
	client_free(client);
}

void client_expect(struct client *client, double seconds)
{
	struct ev_loop *loop = client->session->loop;

	client->deadline = seconds > 0 ? clock_monotonic() + seconds : 0;
	/* A timer that fires too early looks again; only one that would fire too late has to be touched. */
	if (seconds > 0 && (!ev_is_active(&client->timer) || ev_timer_remaining(loop, &client->timer) > seconds)) {
		ev_timer_stop(loop, &client->timer);
		ev_timer_set(&client->timer, seconds, 0);
		ev_timer_start(loop, &client->timer);
	}
}

/* A connection that is refused as a whole, and reset. It is on record as far as the limit allows: it is no request. */
static void refuse_protocol(struct client *client)
{
	struct session *session = client->session;
	const char *host = client->destination ? client->destination : client->literal;
	char url[HOST_NAME_MAX_LENGTH + 32];
	struct audit_record record = { .method = "TCP", .url = url, .host = host, .reason = "neither TLS nor HTTP" };

	snprintf(url, sizeof(url), "tcp://%s:%u", host, client->port);
	if (diagnostics_allow(&session->diagnostics, DIAGNOSTIC_PROTOCOL))
		audit_request(session->audit, &record);
	client_abort(client);
}

/* There clients connect ahead of need, and may never have one. */
static bool is_port_of_http(const struct client *client)
{
	return client->port == 80 || client->port == 443;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct client *client = timer->data;
	double left = client->deadline - clock_monotonic();
	char octet;

	(void)events;
	if (client->deadline == 0)
		return;
	if (left > 0) {
		ev_timer_set(timer, left, 0);
		ev_timer_start(loop, timer);
		return;
	}
	/* This process may have been stopped meanwhile. */
	if (client->state == CLIENT_DETECT && recv(client->stream.fd, &octet, 1, MSG_PEEK) > 0) {
		client_run(client);
		return;
	}
	/* Both sides wait for the other: protocols in which the server speaks first (SMTP, MySQL). */
	if (client->state == CLIENT_DETECT && !is_port_of_http(client)) {
		refuse_protocol(client);
		return;
	}
	if (client->exchange && exchange_is_awaited(client->exchange)) {
		client_expect(client, EXCHANGE_STALL_SECONDS);
		return;
	}
	if (diagnostics_wants(&client->session->diagnostics, DIAGNOSTIC_TIMEOUT, LOG_LEVEL_DEBUG))
		log_line(LOG_LEVEL_DEBUG, "connection to %s port %u: timed out",
			 client->destination ? client->destination : client->literal, client->port);
	/* What has not been read must not look as if it had been all. */
	if (client->out.data)
		client_abort(client);
	else
		client_free(client);
}

/* Each step returns true if the next one can be tried at once, and is the last to touch the client if it ends it. */
static bool step_detect(struct client *client)
{
	struct session *session = client->session;
	unsigned char octet;
	ssize_t got = recv(client->stream.fd, &octet, 1, MSG_PEEK);
	SSL *ssl;

	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		client->stream.readable = false;
		stream_want(&client->stream, true, false);
		return false;
	}
	if (got <= 0) {
		client_free(client);
		return false;
	}
	if (octet != TLS_HANDSHAKE_RECORD) {
		client->state = CLIENT_HEAD;
		client_expect(client, HEAD_SECONDS);
		return true;
	}
	client->hello = calloc(1, sizeof(*client->hello));
	if (!client->hello || (!session->client_tls && tls_server_new(&session->client_tls, NULL) < 0) ||
	    tls_server_accept(session->client_tls, client->hello, &ssl) < 0 ||
	    stream_start_tls(&client->stream, ssl) < 0) {
		client_abort(client);
		return false;
	}
	client->hello->ca = session->ca;
	client->hello->fallback = client->destination ? client->destination : client->literal;
	client->state = CLIENT_HANDSHAKE;
	client_expect(client, HANDSHAKE_SECONDS);
	return true;
}

static void explain_handshake(struct client *client, int status, const char *text)
{
	const struct tls_hello *hello = client->hello;
	/* A client that goes away is nothing; one that does not trust our CA says so, and somebody will look for it. */
	enum log_level level = status == -ECONNRESET ? LOG_LEVEL_INFO : LOG_LEVEL_WARN;
	bool distrusted = strstr(text, "unknown ca") || strstr(text, "certificate");

	if (diagnostics_wants(&client->session->diagnostics, DIAGNOSTIC_HANDSHAKE, level))
		log_line(level, "TLS connection for %s port %u failed: %s%s",
			 hello->named ? hello->name : hello->fallback, client->port, text,
			 distrusted ? " (does this client use the CA bundle of its environment? see boundary-launch(1))"
				    : "");
}

static bool step_handshake(struct client *client)
{
	struct error error = { 0 };
	int status = stream_handshake(&client->stream, &error);

	if (status == 0) {
		client->state = CLIENT_HEAD;
		client_expect(client, HEAD_SECONDS);
		return true;
	}
	if (status == -EAGAIN) {
		stream_want(&client->stream, true, false);
		return false;
	}
	if (client->hello->error.code) {
		error = client->hello->error;
		status = -EPROTO;
	}
	explain_handshake(client, status, error.text);
	client_free(client);
	return false;
}

/*
 * False once the first line shows that this is not HTTP. Clients of other protocols (ssh, say) would wait for an answer
 * that a 400 is not. One that has had a response, which a reset might still take away, gets that.
 */
static bool may_be_http(const struct client *client)
{
	const struct buffer *in = &client->in;
	const char *end = memchr(buffer_head(in), '\n', buffer_length(in));

	return client->served || !end || memmem(buffer_head(in), (size_t)(end - buffer_head(in)), " HTTP/", 6);
}

/* Begins an exchange once a whole head, or a broken one, is there. Returns false if the client is gone or more must be
 * read. */
static bool try_head(struct client *client, bool *gone)
{
	struct buffer *in = &client->in;
	int length;

	*gone = false;
	if (client->scanned == 0) {
		buffer_consume(in, http1_skip_empty_lines(buffer_head(in), buffer_length(in)));
		/* Half of an empty line. */
		if (buffer_length(in) == 1 && *buffer_head(in) == '\r')
			return false;
	}
	length = http1_head_end(buffer_head(in), buffer_length(in), &client->scanned);
	if (length <= 0 && !may_be_http(client)) {
		refuse_protocol(client);
		*gone = true;
		return false;
	}
	if (length == 0)
		return false;
	client->scanned = 0;
	client_expect(client, 0);
	client->exchange = exchange_new(client, length);
	client->state = CLIENT_EXCHANGE;
	if (!client->exchange) {
		client_abort(client);
		*gone = true;
	}
	return !*gone;
}

static bool step_head(struct client *client)
{
	struct buffer_pool *pool = &client->session->buffers;
	struct buffer *in = &client->in;
	bool begun = in->data && buffer_length(in) > 0;
	bool gone;
	ssize_t got = -ENOMEM;

	if (begun && client->scanned == 0) {
		/* What was sent together with the last request. */
		if (try_head(client, &gone))
			return true;
		if (gone)
			return false;
		begun = in->data && buffer_length(in) > 0;
	}
	if (buffer_hold(pool, in) == 0) {
		buffer_compact(in);
		got = stream_read(&client->stream, buffer_tail(in), buffer_room(in));
	}
	if (got == -EAGAIN) {
		buffer_drop_empty(pool, in);
		stream_want(&client->stream, true, false);
		return false;
	}
	if (got <= 0) {
		client_free(client);
		return false;
	}
	in->end += (size_t)got;
	if (try_head(client, &gone))
		return true;
	/* Empty lines, which are gone by now, do not begin a request. */
	if (!gone && !begun && buffer_length(in) > 0)
		client_expect(client, HEAD_SECONDS);
	return !gone;
}

static void start_lingering(struct client *client)
{
	stream_end(&client->stream);
	client->state = CLIENT_LINGER;
	client->lingers_until = clock_monotonic() + LINGER_SECONDS;
	client_expect(client, LINGER_SILENT_SECONDS);
}

static bool step_exchange(struct client *client)
{
	enum exchange_result result = exchange_advance(client->exchange);

	if (result == EXCHANGE_RUNNING)
		return false;
	exchange_free(client->exchange);
	client->exchange = NULL;
	buffer_drop_empty(&client->session->buffers, &client->in);
	buffer_drop(&client->session->buffers, &client->out);
	if (result == EXCHANGE_ABORT) {
		client_abort(client);
		return false;
	}
	if (result == EXCHANGE_CLOSE) {
		start_lingering(client);
	} else {
		client->served = true;
		client->state = CLIENT_HEAD;
		client_expect(client, client->in.data ? HEAD_SECONDS : IDLE_SECONDS);
	}
	return true;
}

/*
 * Reads what the client still sends, so that the kernel does not answer it with a reset before the response has been
 * read. Many send all of a body before they look whether it was wanted: how long it is does not matter, only the time.
 */
static bool step_linger(struct client *client)
{
	struct buffer *in = &client->in;
	double left = client->lingers_until - clock_monotonic();
	ssize_t got = -ENOMEM;
	int reads = 0;

	if (buffer_hold(&client->session->buffers, in) == 0) {
		do
			got = stream_read(&client->stream, in->data, BUFFER_SIZE);
		while (got > 0 && ++reads < LINGER_READS);
	}
	if (got <= 0 && got != -EAGAIN) {
		client_free(client);
		return false;
	}
	buffer_drop(&client->session->buffers, in);
	if (reads > 0 && left > 0)
		client_expect(client, left < LINGER_SILENT_SECONDS ? left : LINGER_SILENT_SECONDS);
	stream_want(&client->stream, true, false);
	return false;
}

void client_run(struct client *client)
{
	static bool (*const steps[])(struct client *) = {
		[CLIENT_DETECT] = step_detect,     [CLIENT_HANDSHAKE] = step_handshake, [CLIENT_HEAD] = step_head,
		[CLIENT_EXCHANGE] = step_exchange, [CLIENT_LINGER] = step_linger,
	};

	int exchanges = 0;

	while (steps[client->state](client)) {
		/* Others are served in between, whatever one sends and takes. */
		if (client->state == CLIENT_HEAD && client->served && ++exchanges == EXCHANGES_MAX) {
			stream_again(&client->stream);
			return;
		}
	}
}

static void on_ready(void *user)
{
	client_run(user);
}

/* Where the connection was going before the redirect (ports in network order). Returns 0, or -errno if it was not
 * redirected. */
static int original_destination(int fd, in_port_t listener_port, struct sockaddr_in *ret)
{
	struct sockaddr_in self;
	socklen_t length = sizeof(*ret);

	if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, ret, &length) < 0)
		return -errno;
	if (ret->sin_port != listener_port)
		return 0;
	length = sizeof(self);
	if (getsockname(fd, (struct sockaddr *)&self, &length) < 0)
		return -errno;
	return self.sin_addr.s_addr == ret->sin_addr.s_addr ? -ENOTCONN : 0;
}

static int client_new(struct session *session, int fd, const struct sockaddr_in *destination)
{
	struct client *client = calloc(1, sizeof(*client));
	uint32_t address = ntohl(destination->sin_addr.s_addr);

	if (!client) {
		close_fd(&fd);
		return -ENOMEM;
	}
	client->session = session;
	client->port = ntohs(destination->sin_port);
	inet_ntop(AF_INET, &destination->sin_addr, client->literal, sizeof(client->literal));
	client->synthetic = (address & NAMES_MASK) == NAMES_NETWORK;
	client->destination = client->synthetic ? names_find(session->names, address) : client->literal;
	ev_timer_init(&client->timer, on_timer, 0, 0);
	client->timer.data = client;
	stream_open(&client->stream, session->loop, fd, on_ready, client);
	client->next = session->clients;
	if (client->next)
		client->next->previous = client;
	session->clients = client;
	if (++session->n_clients == session->max_clients)
		ev_io_stop(session->loop, &session->accept);
	/* Who waits for a greeting is to learn soon that nobody will speak. */
	client_expect(client, is_port_of_http(client) ? HEAD_SECONDS : DETECT_SECONDS);
	client_run(client);
	return 0;
}

static void explain_stray(struct session *session, const char *text)
{
	if (diagnostics_wants(&session->diagnostics, DIAGNOSTIC_STRAY, LOG_LEVEL_WARN))
		log_line(LOG_LEVEL_WARN, "%s", text);
}

static void admit(struct session *session, int fd, const struct sockaddr_in *peer)
{
	_cleanup_fd_ int own = fd;
	struct sockaddr_in destination;

	if (session->jail_address && ntohl(peer->sin_addr.s_addr) != session->jail_address) {
		explain_stray(session, "connection from an address that is not the jail's: closed");
		return;
	}
	if (original_destination(fd, session->listener_port, &destination) < 0) {
		explain_stray(session, "connection to the proxy itself: closed");
		return;
	}
	if (ntohs(destination.sin_port) == DNS_PORT)
		dns_server_adopt(session->dns, take_fd(&own));
	else
		client_new(session, take_fd(&own), &destination);
}

static void on_accept_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct session *session = timer->data;

	(void)events;
	if (session->n_clients < session->max_clients)
		ev_io_start(loop, &session->accept);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
	struct session *session = io->data;

	(void)events;
	for (int i = 0; i < 64 && session->n_clients < session->max_clients; i++) {
		struct sockaddr_in peer;
		socklen_t length = sizeof(peer);
		int fd = accept4(session->listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(session, fd, &peer);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			if (diagnostics_wants(&session->diagnostics, DIAGNOSTIC_SHORTAGE, LOG_LEVEL_WARN))
				log_line(LOG_LEVEL_WARN, "cannot accept connections for a while: %s", strerror(errno));
			ev_io_stop(loop, io);
			ev_timer_set(&session->accept_pause, PAUSE_SECONDS, 0);
			ev_timer_start(loop, &session->accept_pause);
			return;
		}
	}
}

void client_listen(struct session *session)
{
	struct sockaddr_in self = { 0 };
	socklen_t length = sizeof(self);

	socket_tune(session->listener);
	if (getsockname(session->listener, (struct sockaddr *)&self, &length) == 0)
		session->listener_port = self.sin_port;
	ev_io_init(&session->accept, on_accept, session->listener, EV_READ);
	session->accept.data = session;
	ev_timer_init(&session->accept_pause, on_accept_pause, 0, 0);
	session->accept_pause.data = session;
	ev_io_start(session->loop, &session->accept);
}

void client_stop(struct session *session)
{
	while (session->clients)
		client_abort(session->clients);
	if (session->listener >= 0 && session->accept.cb) {
		ev_io_stop(session->loop, &session->accept);
		ev_timer_stop(session->loop, &session->accept_pause);
	}
	close_fd(&session->listener);
}
