/* A response's head: read, checked, written anew for the client. */
#include <errno.h>
#include <string.h>

#include "policy/proxy/exchange_internal.h"
#include "policy/proxy/socket.h"
#include "shared/cleanup.h"

#define INTERIM_MAX 32

static void bad_gateway(struct exchange *exchange, const char *reason)
{
	exchange_refuse(exchange, 502, "Bad Gateway", "The answer of %s cannot be passed on: %s", exchange->host,
			reason);
}

void exchange_upstream_gone(struct exchange *exchange, int status)
{
	struct upstream *upstream = exchange->upstream;
	bool begun = buffer_length(&upstream->in) > 0 || exchange->n_interim > 0;

	if (exchange->replayable && !begun) {
		exchange->to_upstream.start = 0;
		exchange->replayable = false;
		exchange->send_failed = false;
		upstream_close(take_ptr(exchange->upstream), true);
		exchange_reach(exchange);
		return;
	}
	exchange->keep_client = exchange->keep_client && exchange->request.done;
	if (status == 0 || status == -ECONNRESET)
		bad_gateway(exchange, begun ? "it closed the connection in the middle of the response's head."
					    : "it closed the connection without an answer.");
	else
		bad_gateway(exchange, strerror(-status));
}

/* Where the body ends, as the client is told. */
static enum http1_framing output_framing(const struct exchange *exchange, const struct http1_head *head)
{
	if (head->framing == HTTP1_BODY_CHUNKED || head->framing == HTTP1_BODY_CLOSE)
		return exchange->http10 ? HTTP1_BODY_CLOSE : HTTP1_BODY_CHUNKED;
	return head->framing;
}

static void write_connection(struct exchange *exchange, struct http1_writer *writer, const struct http1_head *head)
{
	if (head->status == 101) {
		http1_write_field(writer, "Connection", http1_text_of("upgrade"));
		http1_write_field(writer, "Upgrade", head->upgrade);
	} else if (head->status >= 200 && !exchange->keep_client) {
		http1_write_field(writer, "Connection", http1_text_of("close"));
	} else if (head->status >= 200 && exchange->wants_keep_alive_told) {
		http1_write_field(writer, "Connection", http1_text_of("keep-alive"));
	}
}

/* Appends the head to `client->out`. Returns 0, or -ENOSPC or -EBADMSG. */
static int write_response(struct exchange *exchange, const struct http1_head *head, enum http1_framing framing)
{
	/* HTTP over QUIC cannot leave the jail: a client that believed in it would only lose time. */
	static const char *const skip[] = { "Alt-Svc", NULL };
	struct buffer *out = &exchange->client->out;
	struct http1_writer writer;
	ssize_t length;

	if (buffer_hold(&exchange->session->buffers, out) < 0)
		return -ENOSPC;
	buffer_compact(out);
	writer = http1_writer_to(buffer_tail(out), buffer_room(out));
	http1_write_status_line(&writer, head->status, head->reason);
	write_connection(exchange, &writer, head);
	http1_write_fields(&writer, head, skip);
	if (framing == HTTP1_BODY_NONE && head->has_content_length && head->status >= 200 && head->status != 204)
		framing = HTTP1_BODY_LENGTH; /* HEAD, 304: what a GET would have had */
	http1_write_framing(&writer, framing, head->content_length);
	length = http1_write_end(&writer);
	if (length < 0)
		return (int)length;
	out->end += (size_t)length;
	return 0;
}

/* 101: from here on the octets are none of HTTP's (RFC 9110 section 7.8). */
static int switch_protocols(struct exchange *exchange, const struct http1_head *head)
{
	if (!exchange->upgrade || !http1_text_is(head->upgrade, "websocket") || !exchange->request.done) {
		bad_gateway(exchange, "it switches to a protocol that was not asked for (101).");
		return 0;
	}
	if (write_response(exchange, head, HTTP1_BODY_NONE) < 0)
		return -ENOSPC;
	exchange->state = EXCHANGE_TUNNEL;
	exchange->head_done = true;
	exchange->keep_client = false;
	exchange->keep_upstream = false;
	body_start(&exchange->request, HTTP1_BODY_CLOSE, 0, false);
	body_start(&exchange->response, HTTP1_BODY_CLOSE, 0, false);
	return 0;
}

static int interim(struct exchange *exchange, const struct http1_head *head)
{
	if (++exchange->n_interim > INTERIM_MAX) {
		bad_gateway(exchange, "too many interim responses (1xx).");
		return 0;
	}
	if (exchange->http10)
		return 0;
	return write_response(exchange, head, HTTP1_BODY_NONE);
}

static int final(struct exchange *exchange, const struct http1_head *head)
{
	enum http1_framing framing = output_framing(exchange, head);

	/* The rest of a request that is answered already may never come: no other can follow it. */
	exchange->keep_client = exchange->keep_client && exchange->request.done && framing != HTTP1_BODY_CLOSE &&
				!exchange_is_last(exchange);
	exchange->keep_upstream = head->keep_alive;
	if (write_response(exchange, head, framing) < 0)
		return -ENOSPC;
	body_start(&exchange->response, head->framing, head->content_length, framing == HTTP1_BODY_CHUNKED);
	exchange->head_done = true;
	return 0;
}

/* One head of `length` octets. Returns 0, or -ENOSPC or -EBADMSG. */
static int take_head(struct exchange *exchange, size_t length)
{
	struct http1_head *head = &exchange->session->head;
	struct buffer *in = &exchange->upstream->in;
	struct error error = { 0 };
	int status = http1_parse_response(buffer_head(in), length, exchange->method, head, &error);

	if (status < 0) {
		bad_gateway(exchange, error.text);
		return 0;
	}
	if (head->status == 101)
		status = switch_protocols(exchange, head);
	else if (head->status < 200)
		status = interim(exchange, head);
	else
		status = final(exchange, head);
	if (!exchange->upstream)
		return status;
	buffer_consume(in, length);
	/* The first event of a stream must not wait for the acknowledgement of the head. */
	if (exchange->head_done && !exchange->response.done &&
	    (exchange->response.framing != HTTP1_BODY_LENGTH || exchange->response.left > buffer_length(in)))
		socket_acknowledge(exchange->upstream->stream.fd);
	return status;
}

int exchange_response_head(struct exchange *exchange)
{
	if (exchange->replayable) {
		exchange->replayable = false;
		buffer_drop_empty(&exchange->session->buffers, &exchange->to_upstream);
	}
	while (exchange->state == EXCHANGE_FORWARDING && !exchange->head_done) {
		struct buffer *in = &exchange->upstream->in;
		int length = http1_head_end(buffer_head(in), buffer_length(in), &exchange->scanned);

		if (length == 0)
			return -EAGAIN;
		exchange->scanned = 0;
		if (length < 0)
			bad_gateway(exchange, length == -E2BIG ? "its head is longer than 64 KiB."
							       : "it is not well-formed HTTP/1.");
		else if (take_head(exchange, (size_t)length) < 0)
			bad_gateway(exchange, "its head is too long.");
	}
	return 0;
}
