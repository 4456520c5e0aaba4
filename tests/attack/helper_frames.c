/* See helper_frames.h. */
#include "tests/attack/helper_frames.h"

#include <netinet/in.h>
#include <string.h>

#include "shared/addresses.h"

static unsigned char *put16(unsigned char *at, uint32_t value)
{
	at[0] = (unsigned char)(value >> 8);
	at[1] = (unsigned char)value;
	return at + 2;
}

static unsigned char *put32(unsigned char *at, uint32_t value)
{
	return put16(put16(at, value >> 16), value);
}

/* The one's complement of the sum of an even number of octets (RFC 1071), and what was summed already. */
static uint16_t checksum(const unsigned char *bytes, size_t length, uint32_t sum)
{
	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void frame_make(const struct helper_attached *cable, const struct frame_packet *packet, struct frame *ret)
{
	const struct ethernet_address to = cable_ethernet_address(cable->host_address);
	const struct ethernet_address from = cable_ethernet_address(cable->jail_address);
	const size_t header = 20 + packet->n_options;
	unsigned char *at = ret->octets, *ip;

	memcpy(at, &to, sizeof(to));
	memcpy(at + sizeof(to), &from, sizeof(from));
	at += sizeof(to) + sizeof(from);
	memcpy(at, packet->tags ? packet->tags : "\x08\x00", packet->tags ? packet->n_tags : 2);
	ip = at += packet->tags ? packet->n_tags : 2;
	at = put16(at, 0x4000 | (uint32_t)(header / 4) << 8);
	at = put16(at, (uint32_t)(header + packet->size + packet->surplus));
	at = put16(at, packet->id);
	at = put16(at, packet->fragment);
	at = put16(at, 64 << 8 | packet->protocol); /* TTL */
	at = put16(at, 0);
	at = put32(put32(at, packet->from), packet->to);
	if (packet->n_options > 0)
		memcpy(at, packet->options, packet->n_options);
	put16(ip + 10, checksum(ip, header, 0));
	memcpy(ip + header, packet->payload, packet->size);
	ret->length = (size_t)(ip - ret->octets) + header + packet->size;
}

size_t frame_udp(uint16_t from_port, uint16_t to_port, size_t size, unsigned char *ret)
{
	put32(put16(put16(ret, from_port), to_port), (uint32_t)(8 + size) << 16);
	memset(ret + 8, 0, size);
	return 8 + size;
}

size_t frame_tcp(uint32_t from, uint32_t to, uint16_t from_port, uint16_t to_port, uint8_t flags, unsigned char *ret)
{
	unsigned char *at = put16(put16(ret, from_port), to_port);
	uint32_t pseudo = (from >> 16) + (from & 0xffff) + (to >> 16) + (to & 0xffff) + IPPROTO_TCP + 20;

	at = put32(put32(at, 1), flags & 0x10 ? 1 : 0); /* numbers of sequence and acknowledgement */
	put32(put16(put16(at, 0x5000 | flags), 1024), 0);
	put16(ret + 16, checksum(ret, 20, pseudo));
	return 20;
}
