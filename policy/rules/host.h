/*
 * Host names and ports as one canonical string: what the rules judge is what the proxy dials.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"

#define HOST_NAME_MAX_LENGTH 253 /* RFC 1035 section 2.3.4, without the final dot */

/*
 * Writes the canonical form of the host in text[0..length) to ret[]: IPv4 dotted decimal or IPv6 in brackets
 * ("[::1]", RFC 5952) for address literals, else lower-case A-labels (IDNA 2008 by libidn2) without the
 * final dot. No port, no userinfo. Underscores are let through (names in use have them), control characters,
 * blanks, empty labels, labels over 63 octets, and IPv4 in other notations ("127.1", "0x7f000001") are not.
 * Returns 0, or -EINVAL with *e.
 */
int host_normalise(const char *text, size_t length, char ret[HOST_NAME_MAX_LENGTH + 1], struct error *e);

/*
 * Splits "HOST" or "HOST:PORT" (RFC 3986 authority without userinfo) and normalises the host.
 * *ret_port is 0 when there is none. Returns 0, or -EINVAL with *e (userinfo, bad port, bad host).
 */
int host_port_parse(const char *text, size_t length, char ret_host[HOST_NAME_MAX_LENGTH + 1], uint16_t *ret_port,
		    struct error *e);

/* True if the canonical `host` is an address literal. */
bool host_is_literal(const char *host);
