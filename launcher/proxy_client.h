/* The launcher's side of shared/proxy_protocol.h. */
#pragma once

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "launcher/nameservers.h"
#include "launcher/service.h"
#include "launcher/settings.h"
#include "shared/error.h"
#include "shared/proxy_protocol.h"
#include "shared/wire.h"

/* What the proxy made for the command; borrowed from the message it came in. */
struct proxy_certificates {
	struct wire_message message;
	const char *certificate; /* PEM */
	size_t certificate_length;
	const unsigned char *truststore; /* PKCS#12 */
	size_t truststore_length;
};

/* Sockets for proxy_client_serve(): all -1 or empty at first. */
struct proxy_sockets {
	int listener;
	int udp[PROXY_NAMESERVERS_MAX];
	size_t n_udp;
	int tcp[PROXY_NAMESERVERS_MAX];
	size_t n_tcp;
};

#define PROXY_SOCKETS_NONE     \
	{                      \
		.listener = -1 \
	}

/* Closes them all. */
void proxy_sockets_close(struct proxy_sockets *sockets);

/*
 * Sends rules, search domains, log and trust anchors. `log` and `system_bundle` (-1: none) stay the caller's. Does not
 * wait. Returns 0, or -errno with *e (also when --upstream-ca cannot be read).
 */
int proxy_client_configure(const struct service *proxy, const struct settings *settings,
			   const struct nameservers *nameservers, int log, int system_bundle, struct error *e);

/* Waits for the session CA. Returns 0, or -errno with *e. */
int proxy_client_await_certificates(const struct service *proxy, struct proxy_certificates *ret, struct error *e);

/*
 * Hands the sockets over and waits until the proxy serves, confined; *ret_keeps_off_files says whether by Landlock,
 * too. Returns 0, or -errno with *e.
 */
int proxy_client_serve(const struct service *proxy, uint32_t host_address, uint32_t jail_address,
		       const struct proxy_sockets *sockets, bool *ret_keeps_off_files, struct error *e);

/*
 * A TCP listener and a UDP socket for DNS on `address` (host byte order) and `interface` only, at `tcp_port` (0:
 * PROXY_TCP_PORT, or any if that is taken); close-on-exec and non-blocking. Returns 0 with the chosen ports, or -errno
 * with *e.
 */
int proxy_sockets_bind(struct proxy_sockets *sockets, uint32_t address, const char *interface, uint16_t tcp_port,
		       uint16_t *ret_tcp_port, uint16_t *ret_dns_port, struct error *e);
