/*
 * The session's certificate authority: a P-256 key that exists only in this process's memory, and certificates for the
 * hosts the command talks to (RFC 5280, RFC 6125).
 */
#pragma once

#include <openssl/ssl.h>
#include <stddef.h>

#include "shared/error.h"

struct ca;

#define CA_LEAVES_MAX 1024 /* cached host certificates; the oldest go first */

/* Makes keys and the CA's certificate. Returns 0 with *ret, or -errno with *e. */
int ca_new(struct ca **ret, struct error *e);

/* Accepts NULL. */
void ca_free(struct ca *ca);

/* The CA's certificate as PEM, owned by `ca`. */
const char *ca_certificate_pem(const struct ca *ca, size_t *ret_length);

/*
 * The certificate alone as a PKCS#12 trust store that Java reads (password "changeit"); *ret_octets is the caller's to
 * free(). Returns 0, or -errno with *e.
 */
int ca_trust_store(const struct ca *ca, unsigned char **ret_octets, size_t *ret_length, struct error *e);

/*
 * Makes `ssl` present a certificate for `host` (canonical: host_normalise()), with key and chain. Returns 0, or -errno
 * with *e.
 */
int ca_present(struct ca *ca, SSL *ssl, const char *host, struct error *e);
