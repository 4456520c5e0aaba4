/* Plain and TLS sockets alike: see stream.h. */
#include "policy/proxy/stream.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void watch(struct stream *stream)
{
	int events = 0;

	if (stream->want_read)
		events |= stream->read_blocked_on_write ? EV_WRITE : EV_READ;
	if (stream->want_write)
		events |= stream->write_blocked_on_read ? EV_READ : EV_WRITE;
	if (ev_is_active(&stream->io)) {
		if ((stream->io.events & (EV_READ | EV_WRITE)) == events)
			return;
		ev_io_stop(stream->loop, &stream->io);
	}
	if (events) {
		/* ev_io_set() would force an epoll_ctl(2) even where the mask comes back to what the kernel has. */
		ev_io_modify(&stream->io, events);
		ev_io_start(stream->loop, &stream->io);
	}
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	struct stream *stream = io->data;

	(void)loop;
	if (events & EV_READ || stream->read_blocked_on_write)
		stream->readable = true;
	stream->ready(stream->user);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct stream *stream = timer->data;

	(void)loop;
	(void)events;
	stream->ready(stream->user);
}

void stream_open(struct stream *stream, struct ev_loop *loop, int fd, stream_ready *ready, void *user)
{
	*stream = (struct stream){ .loop = loop, .fd = fd, .ready = ready, .user = user, .readable = true };
	ev_io_init(&stream->io, on_io, fd, EV_READ);
	stream->io.data = stream;
	ev_timer_init(&stream->again, on_again, 0, 0);
	stream->again.data = stream;
}

int stream_start_tls(struct stream *stream, SSL *ssl)
{
	if (SSL_set_fd(ssl, stream->fd) != 1) {
		SSL_free(ssl);
		return -ENOMEM;
	}
	stream->ssl = ssl;
	stream->readable = true;
	return 0;
}

/* Maps the outcome of an SSL call; *blocked_on_other says that it waits for the other direction. */
static int tls_status(struct stream *stream, int result, bool reading, bool *blocked_on_other)
{
	int saved = errno;
	int status;

	switch (SSL_get_error(stream->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		*blocked_on_other = !reading;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		*blocked_on_other = reading;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		stream->broken = true;
		status = saved > 0 && saved != EAGAIN ? -saved : -ECONNRESET;
		break;
	default:
		stream->broken = true;
		status = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? -ECONNRESET : -EPROTO;
	}
	return status;
}

int stream_handshake(struct stream *stream, struct error *e)
{
	bool on_other = false;
	unsigned long code;
	int result, status;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(stream->ssl);
	if (result == 1) {
		stream->read_blocked_on_write = false;
		stream->readable = SSL_has_pending(stream->ssl);
		return 0;
	}
	status = tls_status(stream, result, true, &on_other);
	stream->read_blocked_on_write = on_other;
	stream->readable = false;
	if (status == -EAGAIN)
		return status;
	code = ERR_peek_error();
	if (status == -EPROTO && code && ERR_reason_error_string(code))
		error_set(e, EPROTO, "%s", ERR_reason_error_string(code));
	else if (status == 0 || status == -ECONNRESET)
		error_set(e, ECONNRESET, "the peer closed the connection during the TLS handshake");
	else
		error_errno(e, -status, "TLS handshake");
	ERR_clear_error();
	return status ? status : -ECONNRESET;
}

static ssize_t read_tls(struct stream *stream, void *buffer, size_t size)
{
	int result, status;

	if (size > INT_MAX)
		size = INT_MAX;
	/* The queue is empty here: every failing call below clears it. */
	errno = 0;
	result = SSL_read(stream->ssl, buffer, (int)size);
	stream->read_blocked_on_write = false;
	if (result > 0) {
		stream->readable = SSL_has_pending(stream->ssl);
		return result;
	}
	status = tls_status(stream, result, true, &stream->read_blocked_on_write);
	ERR_clear_error();
	return status;
}

ssize_t stream_read(struct stream *stream, void *buffer, size_t size)
{
	ssize_t got;

	if (stream->ended)
		return 0;
	if (!stream->readable)
		return -EAGAIN;
	if (stream->ssl) {
		got = read_tls(stream, buffer, size);
	} else {
		do
			got = recv(stream->fd, buffer, size, 0);
		while (got < 0 && errno == EINTR);
		if (got < 0)
			got = errno == EWOULDBLOCK ? -EAGAIN : -errno;
		else
			stream->readable = (size_t)got == size;
	}
	if (got == -EAGAIN)
		stream->readable = false;
	else if (got == 0)
		stream->ended = true;
	return got;
}

ssize_t stream_write(struct stream *stream, const void *buffer, size_t size)
{
	ssize_t sent;
	int status;

	if (stream->ssl) {
		if (size > INT_MAX)
			size = INT_MAX;
		errno = 0;
		sent = SSL_write(stream->ssl, buffer, (int)size);
		stream->write_blocked_on_read = false;
		if (sent > 0)
			return sent;
		status = tls_status(stream, (int)sent, false, &stream->write_blocked_on_read);
		ERR_clear_error();
		return status ? status : -EPIPE;
	}
	do
		sent = send(stream->fd, buffer, size, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return sent;
}

void stream_want(struct stream *stream, bool read, bool write)
{
	/* What is known to be readable already will not be announced again, or only by a level-triggered detour. */
	bool held = read && stream->readable && !stream->read_blocked_on_write;

	stream->want_read = read && !stream->ended;
	stream->want_write = write;
	watch(stream);
	if (held && !stream->ended)
		stream_again(stream);
}

void stream_again(struct stream *stream)
{
	if (ev_is_active(&stream->again))
		return;
	ev_timer_set(&stream->again, 0, 0);
	ev_timer_start(stream->loop, &stream->again);
}

size_t stream_unacknowledged(const struct stream *stream)
{
	int octets;

	return ioctl(stream->fd, SIOCOUTQ, &octets) < 0 ? 0 : (size_t)octets;
}

bool stream_is_gone(const struct stream *stream)
{
	struct pollfd state = { .fd = stream->fd };

	return poll(&state, 1, 0) == 1 && state.revents & (POLLERR | POLLHUP);
}

bool stream_holds_input(const struct stream *stream)
{
	return stream->ssl && SSL_has_pending(stream->ssl);
}

void stream_end(struct stream *stream)
{
	if (stream->fd < 0 || stream->writing_ended)
		return;
	stream->writing_ended = true;
	if (stream->ssl && !stream->broken && SSL_is_init_finished(stream->ssl)) {
		ERR_clear_error();
		SSL_shutdown(stream->ssl);
		ERR_clear_error();
	}
	shutdown(stream->fd, SHUT_WR);
}

static void release(struct stream *stream)
{
	ev_io_stop(stream->loop, &stream->io);
	ev_timer_stop(stream->loop, &stream->again);
	SSL_free(stream->ssl);
	stream->ssl = NULL;
	close(stream->fd);
	stream->fd = -1;
}

void stream_close(struct stream *stream)
{
	if (stream->fd < 0)
		return;
	if (stream->ssl && !stream->broken && !stream->writing_ended && SSL_is_init_finished(stream->ssl)) {
		ERR_clear_error();
		SSL_shutdown(stream->ssl);
		ERR_clear_error();
	}
	release(stream);
}

void stream_abort(struct stream *stream)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (stream->fd < 0)
		return;
	setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (stream->ssl)
		SSL_set_quiet_shutdown(stream->ssl, 1);
	release(stream);
}
