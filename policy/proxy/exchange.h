/*
 * One request and its response: judged, sent on, streamed both ways.
 *
 *	resolving → dialling → forwarding → (tunnel, after 101)
 *	any before the response's head → local: the proxy itself answers
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "policy/proxy/body.h"
#include "policy/proxy/client.h"

enum exchange_state { EXCHANGE_RESOLVING, EXCHANGE_DIALLING, EXCHANGE_FORWARDING, EXCHANGE_TUNNEL, EXCHANGE_LOCAL };

enum exchange_result {
	EXCHANGE_RUNNING,
	EXCHANGE_DONE,  /* the connection is ready for the next request */
	EXCHANGE_CLOSE, /* the response is complete; nothing else can follow */
	EXCHANGE_ABORT  /* something is missing, and the client must see that */
};

struct exchange {
	struct client *client;
	struct session *session;
	enum exchange_state state;

	/* What was judged; one block, starting at `method`. NULL until the request could be read. */
	char *method;
	const char *host; /* canonical */
	const char *path; /* without the query */
	const char *url;
	bool https;
	uint16_t port;
	bool audited;
	bool audited_denied;
	const char *rule; /* that allowed it */

	struct resolver_query *query;
	struct upstream_dial *dial;
	struct upstream *upstream;

	struct buffer to_upstream; /* the head, then body octets; `client->out` is its counterpart */
	struct body request;
	struct body response;
	bool keep_client;           /* another request may follow */
	bool keep_upstream;         /* another request may follow there */
	bool http10;                /* the client speaks HTTP/1.0 */
	bool wants_keep_alive_told; /* … and must be told that the connection stays */
	bool upgrade;               /* the request asks for the websocket protocol */
	bool expects;               /* … for a 100 before its body */
	bool idempotent;            /* RFC 9110 section 9.2.2 */
	size_t given;               /* octets of the request that the connection has taken */
	bool replayable;            /* `to_upstream` still has all of the request, sent or not */
	bool send_failed;           /* the server takes no more; it may have answered nevertheless */
	bool head_done;             /* the final response's head has been moved on */
	unsigned int n_interim;     /* 1xx responses so far */
	size_t scanned;             /* of the response's head: http1_head_end() */
};

/*
 * Begins with the head of `head_length` octets at the front of `client->in`, or with http1_head_end()'s error. NULL
 * without memory.
 */
struct exchange *exchange_new(struct client *client, int head_length);

/* Accepts NULL. A connection to the server that is still held is aborted. */
void exchange_free(struct exchange *exchange);

#define EXCHANGE_STALL_SECONDS 300.0

/*
 * The time is over in which something should have moved (EXCHANGE_STALL_SECONDS, or what an answer of ours was given).
 * Has the client taken octets since this was last asked, if only from the kernel's buffer, so that it can have more?
 * Or, where there are none for it and it has ended its side: is it still there?
 */
bool exchange_is_awaited(struct exchange *exchange);

/* Moves on what can be moved. */
enum exchange_result exchange_advance(struct exchange *exchange);
