/*
 * TLS towards the origin servers: whom we trust. Certificates are always verified, for the very host the rules judged
 * (RFC 5280, RFC 9525).
 */
#pragma once

#include <openssl/ssl.h>

#include "shared/error.h"

struct trust;

/*
 * `system_fd` and `extra_fd`: PEM bundles open for reading, or -1; owned by the trust from here, also on error. The
 * extra one is read now and must be good throughout, the system's at the first connection (it takes some 15 ms), with a
 * warning in the log about what cannot be read. Returns 0, or -errno with *e.
 */
int trust_new(int system_fd, int extra_fd, struct trust **ret, struct error *e);

/* Accepts NULL. */
void trust_free(struct trust *trust);

/* Called with each session ticket a server gives, `user` as in trust_connect(); the callee owns `session` if it returns
 * 1, else returns 0. */
typedef int trust_session(void *user, SSL_SESSION *session);
void trust_on_session(struct trust *trust, trust_session *function);

/*
 * Makes *ret ready for stream_start_tls() as a client of `host` (canonical). `user` must outlive it. Returns 0, or
 * -errno with *e.
 */
int trust_connect(struct trust *trust, const char *host, void *user, SSL **ret, struct error *e);

/* Puts a sentence about why the handshake of `ssl` failed to *e, `e` holding what stream_handshake() said. */
void trust_explain(SSL *ssl, const char *host, struct error *e);
