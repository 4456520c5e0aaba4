/* DNS queries and replies by hand, for the tests of the codec, the server and the resolver. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PACKET_MAX 2048

struct packet {
	uint8_t bytes[PACKET_MAX];
	size_t length;
};

static inline void packet_u8(struct packet *p, unsigned value)
{
	p->bytes[p->length++] = (uint8_t)value;
}

static inline void packet_u16(struct packet *p, unsigned value)
{
	packet_u8(p, value >> 8);
	packet_u8(p, value & 0xff);
}

/* A header with these counts. */
static inline void packet_begin(struct packet *p, unsigned id, unsigned flags, const unsigned counts[4])
{
	p->length = 0;
	packet_u16(p, id);
	packet_u16(p, flags);
	for (int i = 0; i < 4; i++)
		packet_u16(p, counts[i]);
}

static inline void packet_label(struct packet *p, const void *label, size_t length)
{
	packet_u8(p, (unsigned)length);
	memcpy(p->bytes + p->length, label, length);
	p->length += length;
}

/* A dotted name; "" is the root. */
static inline void packet_name(struct packet *p, const char *name)
{
	while (*name) {
		size_t length = strcspn(name, ".");

		packet_label(p, name, length);
		name += length + (name[length] == '.');
	}
	packet_u8(p, 0);
}

static inline void packet_opt(struct packet *p, unsigned version, unsigned flags)
{
	packet_u8(p, 0);
	packet_u16(p, 41);
	packet_u16(p, 4096);
	packet_u16(p, version);
	packet_u16(p, flags);
	packet_u16(p, 0);
}

/* An ordinary query with RD, class IN. */
static inline void packet_query(struct packet *p, unsigned id, const char *name, unsigned type)
{
	packet_begin(p, id, 0x0100, (const unsigned[4]){ 1, 0, 0, 0 });
	packet_name(p, name);
	packet_u16(p, type);
	packet_u16(p, 1);
}

static inline unsigned packet_get_u16(const uint8_t *bytes, size_t at)
{
	return (unsigned)bytes[at] << 8 | bytes[at + 1];
}
