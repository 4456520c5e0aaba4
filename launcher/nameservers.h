/* Which name servers and search domains a program on this machine uses: resolv.conf(5). */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/rules/host.h"
#include "shared/error.h"

#define NAMESERVERS_MAX 3 /* MAXNS of <resolv.h>; more are ignored, as libc does */
#define NAMESERVERS_SEARCH_MAX 32
#define NAMESERVERS_PATH "/etc/resolv.conf"

struct nameserver {
	int family; /* AF_INET or AF_INET6 */
	union {
		struct in_addr ipv4;
		struct in6_addr ipv6;
	};
	uint32_t scope_id; /* IPv6 with "%INTERFACE", else 0 */
};

struct nameservers {
	struct nameserver servers[NAMESERVERS_MAX];
	size_t n_servers;                                              /* at least 1 */
	char search[NAMESERVERS_SEARCH_MAX][HOST_NAME_MAX_LENGTH + 1]; /* canonical: host_normalise() */
	size_t n_search;
};

/*
 * Reads `path`. Lines that are not understood are skipped; no usable `nameserver` line, or a file that is missing or
 * may not be read, means 127.0.0.1. The last `search` or `domain` line wins; without any, the domain of `hostname`
 * (gethostname(2); may be NULL) is searched. Returns 0, or -errno with *e for other errors of reading.
 */
int nameservers_read(const char *path, const char *hostname, struct nameservers *ret, struct error *e);

/* True for 127.0.0.0/8 and ::1, and for 0.0.0.0 and ::, by which Linux reaches the machine itself. */
bool nameserver_is_loopback(const struct nameserver *server);

/* True for fe80::/10 (RFC 4291 section 2.5.6), which means something together with an interface only. */
bool nameserver_is_link_local(const struct nameserver *server);

/* True if both are reached by the same address; 0.0.0.0 and :: stand for the loopback addresses. */
bool nameserver_is_same(const struct nameserver *a, const struct nameserver *b);
