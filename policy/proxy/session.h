/* What all connections of one session share. One process serves one session (main.c). */
#pragma once

#include <ev.h>
#include <netinet/in.h>
#include <openssl/ssl.h>

#include "policy/audit/audit.h"
#include "policy/proxy/buffer.h"
#include "policy/proxy/ca.h"
#include "policy/proxy/diagnostics.h"
#include "policy/proxy/dns_server.h"
#include "policy/proxy/http1.h"
#include "policy/proxy/identity.h"
#include "policy/proxy/names.h"
#include "policy/proxy/resolver.h"
#include "policy/proxy/trust.h"
#include "policy/proxy/upstream.h"
#include "policy/rules/rules.h"

struct client;

struct session {
	struct ev_loop *loop;
	struct rule_set *rules;
	struct search_domains search;
	struct audit *audit;
	struct diagnostics diagnostics;
	struct names *names;
	struct dns_server *dns;
	struct resolver *resolver;
	struct ca *ca;
	struct trust *trust;
	SSL_CTX *client_tls; /* NULL until the first TLS connection of the command */
	struct upstream_pool *upstreams;
	struct buffer_pool buffers;
	int routes;            /* routes_open() */
	uint32_t jail_address; /* the only peer there may be; 0: any */

	int listener;
	in_port_t listener_port; /* network order */
	ev_io accept;
	ev_timer accept_pause; /* after a shortage of descriptors */
	struct client *clients;
	size_t n_clients;
	size_t max_clients;

	struct http1_head head; /* the message just parsed: 5 KB that no connection needs to hold */
};

/*
 * Makes what needs no descriptor but those given: rules and search domains are added by the caller before this. Returns
 * 0, or -errno with *e. `system_ca` and `extra_ca` as for trust_new().
 */
int session_prepare(struct session *session, int system_ca, int extra_ca, struct error *e);

/* Frees all. */
void session_clear(struct session *session);
