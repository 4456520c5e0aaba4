/* Ethernet frames with IPv4 packets (RFC 791) in them, right and wrong, as a jail may send them down its cable. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shared/helper_protocol.h"

struct frame {
	size_t length;
	unsigned char octets[1514];
};

/* Numbers are in host byte order. */
struct frame_packet {
	const char *tags; /* what follows the addresses, up to the packet; NULL: the EtherType of IPv4 */
	size_t n_tags;
	uint32_t from, to;
	uint8_t protocol;
	uint16_t fragment, id; /* flags and offset as the header has them */
	uint16_t surplus;      /* added to the length that the header claims */
	const char *options;
	size_t n_options; /* octets, a multiple of 4 */
	const void *payload;
	size_t size;
};

/* Makes the frame from the jail's end of the cable to the host's. Checksums of the header are right. */
void frame_make(const struct helper_attached *cable, const struct frame_packet *packet, struct frame *ret);

/* Write a datagram of UDP without checksum, and `size` octets in it; a segment of TCP without data. Return the length.
 */
size_t frame_udp(uint16_t from_port, uint16_t to_port, size_t size, unsigned char *ret);
size_t frame_tcp(uint32_t from, uint32_t to, uint16_t from_port, uint16_t to_port, uint8_t flags, unsigned char *ret);
