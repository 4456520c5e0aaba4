/* TLS towards the command: who it asks for, and what both sides of the proxy have in common. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>

#include "policy/proxy/ca.h"
#include "policy/rules/host.h"
#include "shared/error.h"

/* What a ClientHello (RFC 8446 section 4.1.2) asked for, filled in during the handshake. */
struct tls_hello {
	struct ca *ca;
	const char *fallback; /* host of the certificate when there is no SNI (RFC 6066 section 3) */
	bool named;           /* there was one: */
	char name[HOST_NAME_MAX_LENGTH + 1];
	struct error error; /* why the handshake was refused by us */
};

/* Protocol versions, modes and buffers that both sides use. */
void tls_common(SSL_CTX *context);

/* A context for the connections of the command. Returns 0 with *ret (SSL_CTX_free()), or -errno with *e. */
int tls_server_new(SSL_CTX **ret, struct error *e);

/* A connection of it, ready for stream_start_tls(). `hello` must outlive it. Returns 0 or -ENOMEM. */
int tls_server_accept(SSL_CTX *context, struct tls_hello *hello, SSL **ret);
