/*
 * The addresses Boundary uses: IPv4, if the administrator has chosen no other pool for the cables (boundary-helper(8)),
 * from 198.18.0.0/15, the block for device tests that no network routes (RFC 2544, RFC 6890), in host byte order;
 * Ethernet.
 */
#pragma once

#include <stdint.h>

#define CABLE_NETWORK 0xc6120000u /* 198.18.0.0/16: a /31 (RFC 3021) for each session's cable */
#define CABLE_INDEX_COUNT 32768u
#define CABLE_INDEX_MAX 65536u    /* of the largest pool, a /15 */
#define NAMES_NETWORK 0xc6130000u /* 198.19.0.0/16: synthetic addresses, one for each name a session asks for */
#define NAMES_MASK 0xffff0000u

/*
 * The Ethernet address of the end of a cable that has this IPv4 address: locally administered (IEEE 802), so that both
 * ends know their neighbour without asking.
 */
struct ethernet_address {
	uint8_t octets[6];
};

static inline struct ethernet_address cable_ethernet_address(uint32_t address)
{
	return (struct ethernet_address){ { 0x02, 0x00, (uint8_t)(address >> 24), (uint8_t)(address >> 16),
					    (uint8_t)(address >> 8), (uint8_t)address } };
}
