/*
 * Connections of the command: accepted, told apart (TLS or HTTP), read request by request.
 *
 *	detect → handshake (TLS only) → head ⇄ exchange → linger → closed
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/proxy/session.h"
#include "policy/proxy/stream.h"
#include "policy/proxy/tls.h"

/*
 * Connections served at once, if there are descriptors for them; more wait in the listener's backlog. With what one can
 * hold (README.md) this bounds the process's memory.
 */
#define CLIENTS_MAX 512

struct exchange;

enum client_state { CLIENT_DETECT, CLIENT_HANDSHAKE, CLIENT_HEAD, CLIENT_EXCHANGE, CLIENT_LINGER };

struct client {
	struct session *session;
	struct client *next, *previous;
	struct stream stream;
	enum client_state state;

	bool synthetic;          /* the original destination is in NAMES_NETWORK */
	const char *destination; /* its name, or the literal address; NULL: an address that was never given out */
	char literal[16];
	uint16_t port;           /* original destination */
	struct tls_hello *hello; /* NULL: not TLS */

	struct buffer in;
	struct buffer out;
	size_t scanned; /* of the head that `in` begins with: http1_head_end() */
	bool served;    /* it has had a response */
	struct exchange *exchange;
	double lingers_until; /* by clock_monotonic() */

	ev_timer timer;
	double deadline;       /* by clock_monotonic(); 0: none */
	size_t unacknowledged; /* when that was last asked; SIZE_MAX: not since something moved */
};

/* Takes connections from `session->listener` from here on. */
void client_listen(struct session *session);

/* Ends listening and all connections. */
void client_stop(struct session *session);

/* Goes on with whatever the connection can do now. It may be gone afterwards. */
void client_run(struct client *client);

/* The connection is ended unless something happens within `seconds`; 0: it may take for ever. */
void client_expect(struct client *client, double seconds);
