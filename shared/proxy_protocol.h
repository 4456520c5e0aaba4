/*
 * Launcher ↔ proxy: PROXY_CONFIGURE → PROXY_CONFIGURED, PROXY_SERVE → PROXY_SERVING, then silence until the
 * launcher's end of file, at which the proxy exits. At any time the proxy may answer PROXY_FAILED and exit.
 * Descriptor 3 of the proxy is its end of the socketpair. Addresses and ports in host byte order.
 */
#pragma once

#include <stdint.h>

#define PROXY_SOCKET_FD 3
#define PROXY_NAMESERVERS_MAX 8

/*
 * The ports tried first on the host's end of the cable. The address is the session's own, so that any would do; but
 * what the kernel's connection tracking remembers of an earlier session with the same addresses (UDP: for half a
 * minute) still leads to a socket of ours if the port is the same.
 */
#define PROXY_TCP_PORT 18080
#define PROXY_DNS_PORT 18053

enum proxy_message {
	PROXY_CONFIGURE = 1,  /* struct proxy_configure; fds: those of enum proxy_fd whose bit is set, in order */
	PROXY_CONFIGURED = 2, /* struct proxy_configured, then the two byte strings it measures */
	PROXY_SERVE = 3,      /* struct proxy_serve; fds: TCP listener, DNS UDP sockets, DNS TCP listeners */
	PROXY_SERVING = 4,    /* struct proxy_serving */
	PROXY_FAILED = 0xff   /* text for the user, no NUL */
};

enum proxy_fd {
	PROXY_FD_CONFIG,    /* memfd: records, see below; always present */
	PROXY_FD_LOG,       /* where log lines go; always present */
	PROXY_FD_SYSTEM_CA, /* the system's bundle, PEM, opened for reading; absent if there is none */
	PROXY_FD_EXTRA_CA   /* --upstream-ca, PEM */
};

/*
 * The config memfd: records "KEY=VALUE\0". Keys: `allow`, `deny` (a rule; already checked by the launcher),
 * `search` (a search domain of resolv.conf, lower case, no trailing dot).
 */
struct proxy_configure {
	uint32_t fds;        /* bit 1 << enum proxy_fd for each descriptor sent */
	uint32_t log_level;  /* enum log_level */
	uint32_t log_format; /* enum log_format */
};
_Static_assert(sizeof(struct proxy_configure) == 12, "no padding on the wire");

struct proxy_configured {
	uint32_t certificate_length; /* the session CA's certificate, PEM */
	uint32_t truststore_length;  /* the same as a PKCS#12 trust store for Java, password "changeit" */
};
_Static_assert(sizeof(struct proxy_configured) == 8, "no padding on the wire");

struct proxy_serve {
	uint32_t host_address; /* of the cable */
	uint32_t jail_address;
	uint32_t n_dns_udp; /* descriptors that follow the TCP listener */
	uint32_t n_dns_tcp; /* descriptors that follow those */
};
_Static_assert(sizeof(struct proxy_serve) == 16, "no padding on the wire");

struct proxy_serving {
	uint32_t keeps_off_files; /* 1 if Landlock does */
};
_Static_assert(sizeof(struct proxy_serving) == 4, "no padding on the wire");
