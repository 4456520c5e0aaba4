/* IP addresses and prefixes: see address.h. Everything is kept as IPv6, with IPv4 in its mapped form. */
#include "policy/rules/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define MAPPED_BITS 96 /* length of ::ffff:0:0/96, the prefix of all IPv4 addresses */

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static bool is_mapped(const struct ip_address *address)
{
	return memcmp(address->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static void set_ipv4(struct ip_address *address, const void *four_bytes)
{
	memcpy(address->bytes, mapped_prefix, sizeof(mapped_prefix));
	memcpy(address->bytes + sizeof(mapped_prefix), four_bytes, 4);
}

int ip_address_parse(const char *text, size_t length, struct ip_address *ret)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr six;
	struct in_addr four;
	bool brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';

	if (brackets) {
		text++;
		length -= 2;
	}
	if (length == 0 || length >= sizeof(copy) || memchr(text, '\0', length))
		return -EINVAL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (inet_pton(AF_INET6, copy, &six) == 1) {
		memcpy(ret->bytes, six.s6_addr, sizeof(ret->bytes));
		return 0;
	}
	if (!brackets && inet_pton(AF_INET, copy, &four) == 1) {
		set_ipv4(ret, &four);
		return 0;
	}
	return -EINVAL;
}

int ip_address_from_sockaddr(const struct sockaddr *address, struct ip_address *ret)
{
	/* Copied, not cast: the caller's pointer may be less aligned than the wider structs. */
	if (address->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, address, sizeof(in));
		set_ipv4(ret, &in.sin_addr);
		return 0;
	}
	if (address->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, address, sizeof(in6));
		memcpy(ret->bytes, in6.sin6_addr.s6_addr, sizeof(ret->bytes));
		return 0;
	}
	return -EAFNOSUPPORT;
}

socklen_t ip_address_to_sockaddr(const struct ip_address *address, uint16_t port, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (is_mapped(address)) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

		memcpy(&in.sin_addr, address->bytes + sizeof(mapped_prefix), sizeof(in.sin_addr));
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memcpy(in6.sin6_addr.s6_addr, address->bytes, sizeof(address->bytes));
	memcpy(ret, &in6, sizeof(in6));
	return sizeof(in6);
}

const char *ip_address_format(const struct ip_address *address, char ret[46])
{
	bool mapped = is_mapped(address);
	const uint8_t *bytes = mapped ? address->bytes + sizeof(mapped_prefix) : address->bytes;

	return inet_ntop(mapped ? AF_INET : AF_INET6, bytes, ret, INET6_ADDRSTRLEN);
}

/* One to three digits without a leading zero. */
static int parse_prefix_length(const char *text, size_t length, unsigned int *ret)
{
	unsigned int value = 0;

	if (length == 0 || length > 3 || (length > 1 && text[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (unsigned int)(text[i] - '0');
	}
	*ret = value;
	return 0;
}

static bool bits_after_are_zero(const struct ip_address *address, unsigned int length)
{
	for (unsigned int bit = length; bit < 128; bit++) {
		if (address->bytes[bit / 8] & (0x80 >> bit % 8))
			return false;
	}
	return true;
}

int ip_prefix_parse(const char *text, size_t length, struct ip_prefix *ret)
{
	const char *slash = memchr(text, '/', length);
	size_t address_length = slash ? (size_t)(slash - text) : length;
	struct ip_prefix prefix = { .length = 128 };
	unsigned int bits;

	if (ip_address_parse(text, address_length, &prefix.address) < 0)
		return -EINVAL;
	if (slash) {
		bool four = !memchr(text, ':', address_length);

		if (parse_prefix_length(slash + 1, length - address_length - 1, &bits) < 0 || bits > (four ? 32 : 128))
			return -EINVAL;
		prefix.length = (uint8_t)(four ? bits + MAPPED_BITS : bits);
		if (!bits_after_are_zero(&prefix.address, prefix.length))
			return -EINVAL;
	}
	*ret = prefix;
	return 0;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int whole = bits / 8;
	unsigned int rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

bool ip_prefix_contains(const struct ip_prefix *prefix, const struct ip_address *address)
{
	if (prefix->length < MAPPED_BITS && is_mapped(address))
		return false;
	return bits_equal(prefix->address.bytes, address->bytes, prefix->length);
}

struct block {
	uint8_t bytes[16];
	uint8_t length;
};

/* IANA IPv4 Special-Purpose Address Registry, without the TEST-NETs; 192.0.0.0/24 and 192.88.99.0/24 whole. */
static const struct block ipv4_special[] = {
	{ { 0 }, 8 },                 /* this network */
	{ { 10 }, 8 },                /* private */
	{ { 100, 64 }, 10 },          /* shared, CGNAT */
	{ { 127 }, 8 },               /* loopback */
	{ { 168, 63, 129, 16 }, 32 }, /* Azure's host, for each of its guests, as 169.254.169.254 is */
	{ { 169, 254 }, 16 },         /* link-local */
	{ { 172, 16 }, 12 },          /* private */
	{ { 192, 0, 0 }, 24 },        /* IETF protocol assignments */
	{ { 192, 88, 99 }, 24 },      /* 6to4 relay anycast */
	{ { 192, 168 }, 16 },         /* private */
	{ { 198, 18 }, 15 },          /* benchmarking; ours */
	{ { 224 }, 4 },               /* multicast */
	{ { 240 }, 4 },               /* reserved, broadcast */
};

/* What IANA's registry takes out of 2000::/3, the global unicast space of RFC 4291. */
static const struct block ipv6_special[] = {
	{ { 0x20, 0x01 }, 23 },             /* IETF protocol assignments: Teredo, benchmarking, ORCHID */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
	{ { 0x3f, 0xff }, 20 },             /* documentation */
};

static const struct block ipv6_global_unicast = { { 0x20 }, 3 };
static const struct block ipv6_6to4 = { { 0x20, 0x02 }, 16 };              /* RFC 3056 */
static const struct block ipv6_nat64 = { { 0x00, 0x64, 0xff, 0x9b }, 96 }; /* RFC 6052 */

static bool in_block(const struct block *block, const uint8_t *bytes)
{
	return bits_equal(block->bytes, bytes, block->length);
}

static bool ipv4_is_global(const uint8_t bytes[4])
{
	for (size_t i = 0; i < sizeof(ipv4_special) / sizeof(ipv4_special[0]); i++) {
		if (in_block(&ipv4_special[i], bytes))
			return false;
	}
	return true;
}

bool ip_address_embedded(const struct ip_address *address, struct ip_address *ret)
{
	if (in_block(&ipv6_nat64, address->bytes))
		set_ipv4(ret, address->bytes + 12);
	else if (in_block(&ipv6_6to4, address->bytes))
		set_ipv4(ret, address->bytes + 2);
	else
		return false;
	return true;
}

bool ip_address_is_global(const struct ip_address *address)
{
	const uint8_t *bytes = address->bytes;
	struct ip_address embedded;

	if (ip_address_embedded(address, &embedded))
		address = &embedded;
	if (is_mapped(address))
		return ipv4_is_global(address->bytes + sizeof(mapped_prefix));
	if (!in_block(&ipv6_global_unicast, bytes))
		return false;
	for (size_t i = 0; i < sizeof(ipv6_special) / sizeof(ipv6_special[0]); i++) {
		if (in_block(&ipv6_special[i], bytes))
			return false;
	}
	return true;
}
