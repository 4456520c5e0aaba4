/*
 * The jail's DNS server (RFC 1035, RFC 7766): synthetic addresses for A, empty answers for the rest; asks nobody.
 */
#pragma once

#include <ev.h>

#include "policy/proxy/names.h"

#define DNS_CONNECTIONS_MAX 64 /* over TCP; the one that has been idle longest goes first */

struct dns_server;

/* `loop` and `names` must outlive the server. Returns 0 or -ENOMEM. */
int dns_server_new(struct ev_loop *loop, struct names *names, struct dns_server **ret);

/* Closes all its sockets and connections. Accepts NULL. */
void dns_server_free(struct dns_server *server);

/* Answers on a bound UDP socket / a listening TCP socket. The server owns `fd` from here, also on error. Return 0 or
 * -errno. */
int dns_server_add_udp(struct dns_server *server, int fd);
int dns_server_add_listener(struct dns_server *server, int fd);

/* Serves an accepted TCP connection (one that the redirect caught on its way to port 53). Owns `fd`, also on error.
 * Returns 0 or -errno. */
int dns_server_adopt(struct dns_server *server, int fd);
