/* Answers of the proxy's own. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/proxy/exchange_internal.h"
#include "shared/addresses.h"
#include "shared/cleanup.h"
#include "shared/log.h"

#define DRAIN_MAX 65536u /* a denied request's body up to this is read to keep the connection */
#define DRAIN_SECONDS 5.0
#define HEAD_ROOM 512

static void give_up_upstream(struct exchange *exchange)
{
	if (exchange->query)
		resolver_cancel(take_ptr(exchange->query));
	if (exchange->dial)
		upstream_dial_cancel(take_ptr(exchange->dial));
	if (exchange->upstream)
		upstream_close(take_ptr(exchange->upstream), true);
	buffer_drop(&exchange->session->buffers, &exchange->to_upstream);
}

/* May the connection stay although the request's body was not wanted? */
static bool can_drain(const struct exchange *exchange)
{
	const struct body *body = &exchange->request;

	return body->done || (!exchange->expects && body->framing == HTTP1_BODY_LENGTH && body->left <= DRAIN_MAX);
}

void exchange_reply(struct exchange *exchange, int status, const char *reason_phrase, const char *text, size_t length)
{
	struct buffer *out = &exchange->client->out;
	struct http1_writer writer;
	ssize_t head_length;

	give_up_upstream(exchange);
	exchange->state = EXCHANGE_LOCAL;
	exchange->keep_client = exchange->keep_client && can_drain(exchange) && !exchange_is_last(exchange);
	if (buffer_hold(&exchange->session->buffers, out) == 0)
		buffer_compact(out);
	if (!out->data || buffer_room(out) < length + HEAD_ROOM) {
		exchange->keep_client = false; /* it is closed without an answer */
		return;
	}
	writer = http1_writer_to(buffer_tail(out), buffer_room(out));
	http1_write_status_line(&writer, status, http1_text_of(reason_phrase));
	http1_write_field(&writer, "Content-Type", http1_text_of("text/plain; charset=utf-8"));
	http1_write_field(&writer, "Cache-Control", http1_text_of("no-store"));
	if (status == 405)
		http1_write_field(&writer, "Allow", http1_text_of("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
	if (!exchange->keep_client)
		http1_write_field(&writer, "Connection", http1_text_of("close"));
	else if (exchange->wants_keep_alive_told)
		http1_write_field(&writer, "Connection", http1_text_of("keep-alive"));
	http1_write_framing(&writer, HTTP1_BODY_LENGTH, length);
	head_length = http1_write_end(&writer);
	if (head_length < 0)
		return;
	out->end += (size_t)head_length;
	if (!exchange->method || strcmp(exchange->method, "HEAD") != 0)
		buffer_append(out, text, length);
	if (exchange->keep_client && !exchange->request.done)
		client_expect(exchange->client, DRAIN_SECONDS);
}

void exchange_explain(struct exchange *exchange, enum diagnostic kind, const char *text)
{
	const struct client *client = exchange->client;
	const char *host = client->destination ? client->destination : client->literal;
	char destination[HOST_NAME_MAX_LENGTH + 8];
	const struct log_field fields[] = {
		{ "method", exchange->method },
		{ "url", exchange->url },
		{ "destination", exchange->method ? NULL : destination },
	};

	if (!diagnostics_wants(&exchange->session->diagnostics, kind, LOG_LEVEL_WARN))
		return;
	snprintf(destination, sizeof(destination), "%s:%u", host, client->port);
	log_event(LOG_LEVEL_WARN, text, fields, array_size(fields));
}

/* Why a request is answered with `status` before anybody has judged it. */
static const char *decline_reason(int status)
{
	switch (status) {
	case 405:
		return "CONNECT is not taken";
	case 431:
		return "head too large";
	case 500:
		return "cannot be passed on";
	case 501:
		return "transfer coding not supported";
	default:
		return "cannot be read";
	}
}

/*
 * The record of a request that has no exchange_audit(): where the connection led, and what can be read of the first
 * line. These come at no cost to whoever sends them: their number is limited.
 */
static void audit_declined(struct exchange *exchange, int status)
{
	const struct client *client = exchange->client;
	const char *host = client->destination ? client->destination : client->literal;
	bool https = client->hello != NULL;
	_cleanup_free_ char *method_text = NULL, *url = NULL;
	struct audit_record record = { .host = host, .reason = decline_reason(status) };
	struct http1_text method, target;
	char port[8] = "";

	if (!diagnostics_allow(&exchange->session->diagnostics, DIAGNOSTIC_DECLINED))
		return;
	if (client->port != (https ? 443 : 80))
		snprintf(port, sizeof(port), ":%u", client->port);
	http1_glimpse_request(buffer_head(&client->in), buffer_length(&client->in), &method, &target);
	/* What a CONNECT or a proxy's client names is no path on this host: a space, which no URL has, says so. */
	if (asprintf(&url, "%s://%s%s%s%.*s", https ? "https" : "http", host, port,
		     target.length == 0 || target.at[0] == '/' ? "" : " ", (int)target.length,
		     target.length > 0 ? target.at : "") < 0)
		url = NULL;
	if (method.length > 0)
		method_text = strndup(method.at, method.length);
	record.method = method_text ? method_text : "-";
	record.url = url ? url : host;
	audit_request(exchange->session->audit, &record);
}

void exchange_refuse(struct exchange *exchange, int status, const char *reason_phrase, const char *format, ...)
{
	char text[ERROR_TEXT_MAX + 16] = "Boundary: ", line[ERROR_TEXT_MAX + 16];
	size_t prefix = strlen(text);
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text + prefix, ERROR_TEXT_MAX, format, arguments);
	va_end(arguments);
	length = length < ERROR_TEXT_MAX ? length : ERROR_TEXT_MAX - 1;
	snprintf(line, sizeof(line), "%d %s", status, text + prefix);
	if (!exchange->method && !exchange->audited) {
		exchange->audited = true;
		audit_declined(exchange, status);
	}
	exchange_explain(exchange, status < 500 ? DIAGNOSTIC_REQUEST : DIAGNOSTIC_FAILURE, line);
	text[prefix + (size_t)length] = '\n';
	exchange_reply(exchange, status, reason_phrase, text, prefix + (size_t)length + 1);
}

bool exchange_address_is_ours(const struct ip_address *address)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(address->bytes, mapped, sizeof(mapped)) == 0 && address->bytes[12] == CABLE_NETWORK >> 24 &&
	       (address->bytes[13] & 0xfe) == (CABLE_NETWORK >> 16 & 0xfe);
}

void exchange_deny(struct exchange *exchange, const struct rule_decision *decision, const struct ip_address *address)
{
	struct rule_request request = exchange_rule_request(exchange, address);
	enum page_denial denial = PAGE_BY_RULES;
	const char *reason = decision->rule ? "denied by rule" : "no rule matches";
	char page[PAGE_MAX];

	if (address && !decision->rule) {
		denial = exchange_address_is_ours(address) ? PAGE_OURS : PAGE_BY_ADDRESS;
		reason = "address not allowed";
	}
	exchange_audit(exchange, false, decision->rule, reason);
	exchange_reply(exchange, 403, "Forbidden", page, page_denied(&request, decision, denial, page));
}
