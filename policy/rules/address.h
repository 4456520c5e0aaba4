/* IP addresses and prefixes as the policy sees them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct ip_address {
	uint8_t bytes[16]; /* network order; IPv4 as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2) */
};

struct ip_prefix {
	struct ip_address address;
	uint8_t length; /* 0..128, of the mapped form: an IPv4 /8 is 104 */
};

/* Parses "192.0.2.1", "2001:db8::1" or "[2001:db8::1]" (inet_pton(3) notation only). Returns 0 or -EINVAL. */
int ip_address_parse(const char *text, size_t length, struct ip_address *ret);

/* From AF_INET or AF_INET6. Returns 0, or -EAFNOSUPPORT. */
int ip_address_from_sockaddr(const struct sockaddr *address, struct ip_address *ret);

/*
 * Fills *ret for connect(2): AF_INET for mapped addresses, else AF_INET6. `port` in host byte order.
 * Returns the length.
 */
socklen_t ip_address_to_sockaddr(const struct ip_address *address, uint16_t port, struct sockaddr_storage *ret);

/* Presentation form, IPv6 without brackets, into ret[46]. Returns ret. */
const char *ip_address_format(const struct ip_address *address, char ret[46]);

/* Parses "ADDRESS" or "ADDRESS/LENGTH"; bits beyond the length must be 0. Returns 0 or -EINVAL. */
int ip_prefix_parse(const char *text, size_t length, struct ip_prefix *ret);

/* True if `address` lies in `prefix`. IPv4 addresses lie in IPv4 prefixes only: ::/0 is all of IPv6, not of both. */
bool ip_prefix_contains(const struct ip_prefix *prefix, const struct ip_address *address);

/*
 * The IPv4 address that packets to an IPv6 address go to by translation (NAT64's well-known prefix 64:ff9b::/96, RFC
 * 6052) or in a tunnel (6to4, RFC 3056). Returns false if there is none. A mapped address is no such: it is IPv4.
 */
bool ip_address_embedded(const struct ip_address *address, struct ip_address *ret);

/*
 * True if a rule without `ip=` may lead there: a global unicast address (IANA special-purpose registries, RFC 6890):
 * not private, loopback, link-local, shared (CGNAT), multicast, reserved, benchmarking (our own), nor an IPv6
 * form that embeds such an IPv4 address (mapped, NAT64 64:ff9b::/96, 6to4). TEST-NET-1 to -3 count as global: they
 * are unused on the Internet and nothing local lives there by definition.
 * Addresses of the host itself are not known here: the proxy checks those.
 */
bool ip_address_is_global(const struct ip_address *address);
