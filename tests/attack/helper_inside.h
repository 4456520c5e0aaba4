/* What the owner of a jail does in it with a cable that he has configured. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tests/attack/helper_frames.h"
#include "tests/attack/helper_peer.h"

/* Makes a jail (helper_jail.h), whose process calls functions. Exits with a message if that is impossible. */
struct helper_jail inside_jail(void);

/* Has a function called there with a copy of *in. Returns what it returns, or -EPIPE. */
typedef int inside_act(const void *in);
int inside_do(const struct helper_jail *jail, inside_act *act, const void *in, size_t size);

/* Gives eth0 its address, its neighbour and a default route, and sets it up: struct helper_attached. 0 or -errno. */
inside_act inside_configure;

/* Sets eth0 down. */
inside_act inside_down;

/* Sends frames by a packet socket: struct inside_frames. Returns 0 or -errno. */
struct inside_frames {
	struct frame frame;
	unsigned int count;  /* of copies, each with the next identification of IPv4; 0 is as 1 */
	unsigned int second; /* if not 0, each is cut into two fragments, the first with so many octets of payload */
	unsigned int ports;  /* nor with the same source port: added up to so many times */
};
inside_act inside_send;

/*
 * Opens connections of TCP and keeps them: struct inside_connect. Returns how many there are of these when all of them
 * are, or when the time is up, or -errno.
 */
struct inside_connect {
	uint32_t to;
	uint16_t to_port, from_port; /* 0: any */
	unsigned int count, wait_ms;
};
inside_act inside_connect;

/* Sends a datagram of UDP by a socket: struct inside_datagram. Returns 0 or -errno. */
struct inside_datagram {
	uint32_t to, to_port;
	size_t size;
};
inside_act inside_datagram;

/* Begins to watch eth0; returns how many IPv4 packets have come in since, or come in the next 200 ms. */
inside_act inside_watch, inside_seen;
