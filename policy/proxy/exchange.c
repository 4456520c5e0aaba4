/* One request and its response, the moving of octets: see exchange.h. */
#include "policy/proxy/exchange.h"

#include <errno.h>
#include <stdlib.h>

#include "policy/proxy/exchange_internal.h"
#include "shared/cleanup.h"

#define ROUNDS_MAX 16  /* before other connections get their turn */
#define ROOM_MIN 16384 /* less room than this in a buffer is made more by moving what is in use to the front */

struct exchange *exchange_new(struct client *client, int head_length)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	if (!exchange)
		return NULL;
	exchange->client = client;
	exchange->session = client->session;
	exchange_begin(exchange, head_length);
	return exchange;
}

void exchange_free(struct exchange *exchange)
{
	if (!exchange)
		return;
	/* Allowed, and the client gave up before it could be carried out: still on record. */
	if (exchange->method && !exchange->audited)
		exchange_audit(exchange, true, exchange->rule, NULL);
	if (exchange->query)
		resolver_cancel(exchange->query);
	if (exchange->dial)
		upstream_dial_cancel(exchange->dial);
	if (exchange->upstream)
		upstream_close(exchange->upstream, true);
	buffer_drop(&exchange->session->buffers, &exchange->to_upstream);
	free(exchange->method);
	free(exchange);
}

/* Reads octets into a buffer that has a block. Returns their number, 0 at the end, -EAGAIN also when there is no room,
 * -errno. */
static ssize_t read_some(struct stream *stream, struct buffer *buffer, size_t limit)
{
	size_t room;
	ssize_t got;

	if (buffer_room(buffer) < ROOM_MIN)
		buffer_compact(buffer);
	room = buffer_room(buffer);
	if (room > limit)
		room = limit;
	if (room == 0)
		return -EAGAIN;
	got = stream_read(stream, buffer_tail(buffer), room);
	if (got > 0)
		buffer->end += (size_t)got;
	return got;
}

/*
 * The sender of a body has ended its side. Returns 1 if the body is complete, -EAGAIN if what is said about its end has
 * no room yet, or -ECONNRESET.
 */
static int end_body(struct body *body, struct buffer *out)
{
	int status = body_end(body, out);

	return status == 0 ? 1 : status;
}

/*
 * One step of a body from `stream` through `in` to `out` (NULL: thrown away). Returns 1 if octets were moved, 0 at the
 * sender's end, -EAGAIN, -EBADMSG or another -errno.
 */
static int move_body(struct session *session, struct body *body, struct stream *stream, struct buffer *in,
		     struct buffer *out)
{
	size_t waiting = in->data ? buffer_length(in) : 0;
	size_t direct = out ? body_direct(body) : 0;
	ssize_t got;
	int status;

	if (out && buffer_hold(&session->buffers, out) < 0)
		return -ENOMEM;
	if (waiting > 0) {
		if (out && buffer_room(out) < ROOM_MIN)
			buffer_compact(out);
		status = body_move(body, in, out);
		if (status < 0)
			return status;
		got = (ssize_t)(waiting - buffer_length(in));
		buffer_drop_empty(&session->buffers, in);
		return got > 0 || body->done ? 1 : -EAGAIN;
	}
	if (direct > 0) {
		got = read_some(stream, out, direct);
		if (got > 0)
			body_took(body, (size_t)got);
		return got > 0 ? 1 : (int)got;
	}
	if (buffer_hold(&session->buffers, in) < 0)
		return -ENOMEM;
	got = read_some(stream, in, BUFFER_SIZE);
	buffer_drop_empty(&session->buffers, in);
	return got > 0 ? 1 : (int)got;
}

/* Writes what is in `buffer`. Returns 1 if octets were written, -EAGAIN (also when there are none), or another -errno.
 */
static int flush(struct exchange *exchange, struct stream *stream, struct buffer *buffer, bool keep)
{
	ssize_t sent;

	if (!buffer->data || buffer_length(buffer) == 0)
		return -EAGAIN;
	sent = stream_write(stream, buffer_head(buffer), buffer_length(buffer));
	if (sent < 0)
		return (int)sent;
	if (buffer == &exchange->to_upstream)
		exchange->given += (size_t)sent;
	if (keep) {
		buffer->start += (size_t)sent;
	} else {
		buffer_consume(buffer, (size_t)sent);
		buffer_drop_empty(&exchange->session->buffers, buffer);
	}
	return 1;
}

static bool is_empty(const struct buffer *buffer)
{
	return !buffer->data || buffer_length(buffer) == 0;
}

/* The client's octets that belong to no body yet: later requests, or the end. Returns 1 if there was something. */
static int read_ahead(struct exchange *exchange)
{
	struct client *client = exchange->client;
	ssize_t got;

	if (buffer_hold(&exchange->session->buffers, &client->in) < 0)
		return -ENOMEM;
	got = read_some(&client->stream, &client->in, BUFFER_SIZE);
	buffer_drop_empty(&exchange->session->buffers, &client->in);
	return got > 0 ? 1 : (int)got;
}

/* From the client. Returns 1 on progress, -EAGAIN, or -ECONNRESET for an exchange to be given up. */
static int pump_request(struct exchange *exchange)
{
	struct client *client = exchange->client;
	bool forwards = exchange->state == EXCHANGE_FORWARDING || exchange->state == EXCHANGE_TUNNEL;
	bool moves = forwards && !exchange->send_failed;
	int moved = -EAGAIN, sent = -EAGAIN;

	if (exchange->state == EXCHANGE_LOCAL && exchange->keep_client && !exchange->request.done) {
		moved = move_body(exchange->session, &exchange->request, &client->stream, &client->in, NULL);
	} else if (moves && !exchange->request.done) {
		moved = move_body(exchange->session, &exchange->request, &client->stream, &client->in,
				  &exchange->to_upstream);
		if (moved == 0 && exchange->state == EXCHANGE_TUNNEL)
			moved = end_body(&exchange->request, &exchange->to_upstream);
	} else if (exchange->state != EXCHANGE_TUNNEL && !client->stream.ended) {
		/* No more requests come then; whether anybody waits for the response, writing it will show. */
		moved = read_ahead(exchange);
		if (moved == 0)
			moved = -EAGAIN;
	}
	if (moved == -EBADMSG && !exchange->head_done) {
		exchange_refuse(exchange, 400, "Bad Request", "The request body's chunked coding is malformed.");
		return 1;
	}
	if (moved == 0 || (moved < 0 && moved != -EAGAIN))
		return -ECONNRESET;
	if (moves)
		sent = flush(exchange, &exchange->upstream->stream, &exchange->to_upstream, exchange->replayable);
	if (sent < 0 && sent != -EAGAIN) {
		/* What it said before it stopped listening may still be there to be read. */
		exchange->send_failed = true;
		exchange->to_upstream.start = exchange->to_upstream.end;
		return 1;
	}
	return moved == 1 || sent == 1 ? 1 : -EAGAIN;
}

/* Reads more of the response's head. */
static int pump_head(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	ssize_t got;

	if (buffer_hold(&exchange->session->buffers, &upstream->in) < 0)
		return -ECONNRESET;
	got = read_some(&upstream->stream, &upstream->in, BUFFER_SIZE);
	if (got > 0)
		return exchange_response_head(exchange) == -EAGAIN ? -EAGAIN : 1;
	if (got == -EAGAIN) {
		buffer_drop_empty(&exchange->session->buffers, &upstream->in);
		return -EAGAIN;
	}
	exchange_upstream_gone(exchange, (int)got);
	return 1;
}

static int pump_response_body(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	struct buffer *out = &exchange->client->out;
	int moved;

	if (exchange->response.done)
		return -EAGAIN;
	moved = move_body(exchange->session, &exchange->response, &upstream->stream, &upstream->in, out);
	if (moved == 0)
		moved = end_body(&exchange->response, out);
	if (moved < 0 && moved != -EAGAIN) {
		/* The client learns it by a reset, and that only. */
		if (exchange->state == EXCHANGE_FORWARDING)
			exchange_explain(exchange, DIAGNOSTIC_FAILURE,
					 moved == -EBADMSG ? "The server's response is not well-formed in its body"
							   : "The server's response ended before its body did");
		return -ECONNRESET;
	}
	return moved;
}

/* From the server or, where the proxy itself answers, from the buffer alone. */
static int pump_response(struct exchange *exchange)
{
	struct client *client = exchange->client;
	int moved = -EAGAIN, sent;

	if (exchange->state == EXCHANGE_FORWARDING && !exchange->head_done)
		moved = pump_head(exchange);
	if ((exchange->state == EXCHANGE_FORWARDING && exchange->head_done) || exchange->state == EXCHANGE_TUNNEL) {
		int body = pump_response_body(exchange);

		moved = body == -EAGAIN ? moved : body;
	}
	if (moved == -ECONNRESET)
		return moved;
	sent = flush(exchange, &client->stream, &client->out, false);
	if (sent < 0 && sent != -EAGAIN)
		return -ECONNRESET;
	return moved == 1 || sent == 1 ? 1 : -EAGAIN;
}

/* Nothing has come after the response: a connection with more in it would give the next request a false answer. */
static bool is_clean(struct upstream *upstream)
{
	char octet;

	if (!is_empty(&upstream->in))
		return false;
	return !upstream->stream.readable || stream_read(&upstream->stream, &octet, 1) == -EAGAIN;
}

static enum exchange_result finish_forwarding(struct exchange *exchange)
{
	struct upstream *upstream = exchange->upstream;
	bool sent = exchange->request.done && !exchange->send_failed && is_empty(&exchange->to_upstream);

	if (sent && exchange->keep_upstream && is_clean(upstream)) {
		upstream_keep(take_ptr(exchange->upstream));
	} else {
		upstream_close(upstream, !sent);
		exchange->upstream = NULL;
	}
	return exchange->keep_client && exchange->request.done ? EXCHANGE_DONE : EXCHANGE_CLOSE;
}

/* A tunnel passes each side's end on once everything before it is through. */
static enum exchange_result finish_tunnel(struct exchange *exchange)
{
	struct client *client = exchange->client;

	if (exchange->send_failed)
		return EXCHANGE_ABORT;
	if (exchange->request.done && is_empty(&exchange->to_upstream))
		stream_end(&exchange->upstream->stream);
	if (exchange->response.done && is_empty(&client->out))
		stream_end(&client->stream);
	if (!exchange->upstream->stream.writing_ended || !client->stream.writing_ended)
		return EXCHANGE_RUNNING;
	upstream_close(take_ptr(exchange->upstream), false);
	return EXCHANGE_CLOSE;
}

static enum exchange_result finish(struct exchange *exchange)
{
	if (exchange->state == EXCHANGE_TUNNEL)
		return finish_tunnel(exchange);
	if (!is_empty(&exchange->client->out))
		return EXCHANGE_RUNNING;
	if (exchange->state == EXCHANGE_LOCAL) {
		if (!exchange->keep_client)
			return EXCHANGE_CLOSE;
		return exchange->request.done ? EXCHANGE_DONE : EXCHANGE_RUNNING;
	}
	if (exchange->state == EXCHANGE_FORWARDING && exchange->head_done && exchange->response.done)
		return finish_forwarding(exchange);
	return EXCHANGE_RUNNING;
}

/*
 * Octets that the client does not take are kept for so long and no longer. For octets that nobody sends there is no
 * limit: the next event of a stream may be an hour away. An answer of the proxy's own keeps the time that it was given.
 */
static void limit_stall(struct exchange *exchange, bool moved)
{
	struct client *client = exchange->client;
	bool local = exchange->state == EXCHANGE_LOCAL;

	if (is_empty(&client->out)) {
		/* One that has ended its side may be gone and will not say so before something is written. */
		client->unacknowledged = SIZE_MAX;
		if (!local)
			client_expect(client, client->stream.ended ? EXCHANGE_STALL_SECONDS : 0);
	} else if (client->deadline == 0 || (moved && !local)) {
		client->unacknowledged = SIZE_MAX;
		client_expect(client, EXCHANGE_STALL_SECONDS);
	}
}

bool exchange_is_awaited(struct exchange *exchange)
{
	struct client *client = exchange->client;
	size_t before = client->unacknowledged;

	if (is_empty(&client->out))
		return exchange->state != EXCHANGE_LOCAL && client->stream.ended && !stream_is_gone(&client->stream);
	client->unacknowledged = stream_unacknowledged(&client->stream);
	return client->unacknowledged < before;
}

bool exchange_is_last(const struct exchange *exchange)
{
	return exchange->client->stream.ended && is_empty(&exchange->client->in);
}

static bool has_room(const struct buffer *buffer)
{
	return !buffer->data || BUFFER_SIZE - buffer_length(buffer) > 1024;
}

/* What each side has to be woken for. */
static void watch(struct exchange *exchange)
{
	struct client *client = exchange->client;
	struct upstream *upstream = exchange->upstream;
	bool forwards = upstream && exchange->state != EXCHANGE_LOCAL;
	bool read = has_room(&client->in);

	if (forwards && !exchange->request.done)
		read = read && !exchange->send_failed && has_room(&exchange->to_upstream);
	stream_want(&client->stream, read, !is_empty(&client->out));
	if (forwards)
		stream_want(&upstream->stream, !exchange->response.done && has_room(&client->out),
			    !is_empty(&exchange->to_upstream) && !exchange->send_failed);
}

enum exchange_result exchange_advance(struct exchange *exchange)
{
	enum exchange_result result;
	bool moved = true;
	int round;

	for (round = 0; round < ROUNDS_MAX && moved; round++) {
		int sent = pump_request(exchange);
		int received = sent == -ECONNRESET ? sent : pump_response(exchange);

		if (sent == -ECONNRESET || received == -ECONNRESET)
			return EXCHANGE_ABORT;
		result = finish(exchange);
		if (result != EXCHANGE_RUNNING)
			return result;
		moved = sent == 1 || received == 1;
	}
	watch(exchange);
	limit_stall(exchange, moved || round > 1);
	if (moved)
		stream_again(&exchange->client->stream);
	return EXCHANGE_RUNNING;
}
