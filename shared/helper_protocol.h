/*
 * Launcher ↔ helper: two requests in fixed order, each answered by one message of the same type plus
 * HELPER_REPLY, or by HELPER_FAILED and the end of the connection. Payloads are these structs, exactly.
 *
 *   state      request           fds        next state
 *   initial    HELPER_ATTACH     1 (netns)  attached
 *   attached   HELPER_REDIRECT   0          serving
 *   serving    HELPER_DETACH     0          (the jail is gone: cable down, all rules removed; exits)
 *   any        end of file                  (removes all, then exits)
 *
 * Descriptor 3 of the helper is its end of the socketpair. Addresses and ports are in host byte order.
 */
#pragma once

#include <stdint.h>

#define HELPER_CONFIG_PATH "/etc/boundary/helper.conf"
#define HELPER_SOCKET_FD 3
#define HELPER_REQUEST_TIMEOUT_MS 5000

enum helper_message {
	HELPER_ATTACH = 1,   /* no payload */
	HELPER_REDIRECT = 2, /* struct helper_redirect */
	HELPER_DETACH = 3,   /* no payload */
	HELPER_REPLY = 0x80, /* added to the request's type */
	HELPER_FAILED = 0xff /* struct helper_failed */
};

struct helper_attached {
	uint32_t index;        /* of the session: names and addresses derive from it (shared/addresses.h) */
	uint32_t host_address; /* of the host's end of the cable, a /31 */
	uint32_t jail_address;
	uint32_t host_ifindex;
	char host_interface[16]; /* "bndNNNNN", NUL-terminated (IFNAMSIZ) */
	uint32_t config_ignored; /* 1 if HELPER_CONFIG_PATH is not root's alone, and defaults are in force */
};
_Static_assert(sizeof(struct helper_attached) == 36, "no padding on the wire");

struct helper_redirect {
	uint16_t tcp_port; /* of the proxy's listener on host_address; not 0 */
	uint16_t dns_port; /* of its DNS socket (UDP) there; not 0 */
};
_Static_assert(sizeof(struct helper_redirect) == 4, "no padding on the wire");

/* Where it failed; with errno the launcher makes a sentence of it. Says nothing about other users' objects. */
enum helper_failure {
	HELPER_FAILURE_PROTOCOL = 1,  /* unexpected message, size, descriptor count, or silence */
	HELPER_FAILURE_CAPABILITY,    /* CAP_NET_ADMIN is not in the permitted set */
	HELPER_FAILURE_NOT_A_NETNS,   /* the descriptor is no network namespace */
	HELPER_FAILURE_FOREIGN_NETNS, /* a network namespace that is not the caller's jail */
	HELPER_FAILURE_NO_FREE_INDEX, /* all of the pool taken; detail: how many it has */
	HELPER_FAILURE_LINK,          /* veth could not be made or configured */
	HELPER_FAILURE_GUARD,         /* nf_tables netdev table refused */
	HELPER_FAILURE_REDIRECT,      /* nf_tables owner table with nat refused */
	HELPER_FAILURE_CONFINEMENT,   /* the helper could not drop privileges or confine itself */
	HELPER_FAILURE_CONFIG_FILE,   /* HELPER_CONFIG_PATH exists and cannot be read */
	HELPER_FAILURE_CONFIG_LINE,   /* an error in it; detail: the line */
	HELPER_FAILURE_GROUP,         /* the caller is not of the allowed group */
	HELPER_FAILURE_USER_SESSIONS, /* the caller has as many sessions as a user may; detail: how many */
	HELPER_FAILURE_ALL_SESSIONS,  /* there are as many as there may be; detail: how many */
	HELPER_FAILURE_POOL           /* the host has an address, or a route to, `detail`, which is of the pool */
};

struct helper_failed {
	uint32_t failure; /* enum helper_failure */
	int32_t code;     /* positive errno value, 0 if none */
	uint32_t detail;  /* 0 if none */
};
_Static_assert(sizeof(struct helper_failed) == 12, "no padding on the wire");
