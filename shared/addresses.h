/*
 * The IPv4 addresses Boundary uses, all from 198.18.0.0/15, the block for device tests that no network routes
 * (RFC 2544, RFC 6890). Host byte order.
 */
#pragma once

#include <stdint.h>

#define CABLE_NETWORK 0xc6120000u /* 198.18.0.0/16: a /31 (RFC 3021) for each session's cable */
#define CABLE_INDEX_COUNT 32768u
#define NAMES_NETWORK 0xc6130000u /* 198.19.0.0/16: synthetic addresses, one for each name a session asks for */
#define NAMES_MASK 0xffff0000u

/* The host's and the jail's end of the cable of session `index` (< CABLE_INDEX_COUNT). */
static inline uint32_t cable_host_address(uint32_t index)
{
	return CABLE_NETWORK + 2 * index;
}

static inline uint32_t cable_jail_address(uint32_t index)
{
	return CABLE_NETWORK + 2 * index + 1;
}
