/*
 * Words for the rules of a struct nft_chain (netlink.h), each an expression of nf_tables with its attributes, or some:
 * { TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), VERDICT(NF_DROP) } is the rule of the nft tool, `meta l4proto tcp drop`.
 */
#pragma once

#include <netinet/in.h> /* before the kernel's own */

#include <linux/netfilter/nf_nat.h>

#include "shared/netlink.h"

/* clang-format off */

/* Attributes: values, as packets have them (network byte order) or the kernel its own numbers; and parameters. */
#define OCTET(x)  1, { .octets = { (x) } }
#define NET16(x)  2, { .octets = { (uint8_t)((x) >> 8), (uint8_t)(x) } }
#define NET32(x)  4, { .octets = { (uint8_t)((x) >> 24), (uint8_t)((x) >> 16), (uint8_t)((x) >> 8), (uint8_t)(x) } }
#define HOST32(x) 4, { .number = (x) }
#define WITH(attribute, x) { attribute, NFT_NUMBER, { .number = (x) } }
#define REGISTER(attribute) WITH(attribute, NFT_REG_1)

/* Expressions: load something into the register; go on with the rule if it is, is not, or is not below a value; act. */
#define META(key) { "meta", { REGISTER(NFTA_META_DREG), WITH(NFTA_META_KEY, key) } }
#define HEADER(base, offset, length) { "payload", { REGISTER(NFTA_PAYLOAD_DREG), WITH(NFTA_PAYLOAD_BASE, base), \
	WITH(NFTA_PAYLOAD_OFFSET, offset), WITH(NFTA_PAYLOAD_LEN, length) } }
#define COMPARE(op, ...) { "cmp", { REGISTER(NFTA_CMP_SREG), WITH(NFTA_CMP_OP, op), { NFTA_CMP_DATA, __VA_ARGS__ } } }
#define EQUALS(...) COMPARE(NFT_CMP_EQ, __VA_ARGS__)
#define DIFFERS(...) COMPARE(NFT_CMP_NEQ, __VA_ARGS__)
#define IS_AT_LEAST(...) COMPARE(NFT_CMP_GTE, __VA_ARGS__)
#define IMMEDIATE(target, ...) { "immediate", { WITH(NFTA_IMMEDIATE_DREG, target), { NFTA_IMMEDIATE_DATA, __VA_ARGS__ } } }
#define SET_MARK(mark) IMMEDIATE(NFT_REG_1, HOST32(mark)), \
	{ "meta", { WITH(NFTA_META_SREG, NFT_REG_1), WITH(NFTA_META_KEY, NFT_META_MARK) } }
#define TIMEOUTS(name) { "objref", { WITH(NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_CT_TIMEOUT), \
	{ NFTA_OBJREF_IMM_NAME, NFT_TEXT, { .text = (name) } } } }
#define VERDICT(x) IMMEDIATE(NFT_REG_VERDICT, NFT_VERDICT, { .number = (x) })

#define BITWISE(length, mask, xor) { "bitwise", { REGISTER(NFTA_BITWISE_SREG), REGISTER(NFTA_BITWISE_DREG), \
	WITH(NFTA_BITWISE_LEN, length), { NFTA_BITWISE_MASK, mask }, { NFTA_BITWISE_XOR, xor } } }
/* True for what comes beyond this rate, and for a new connection beyond this number of open ones (conntrack entries). */
#define BEYOND_RATE(per_second, at_once) { "limit", { { NFTA_LIMIT_RATE, NFT_NUMBER64, { .number = (per_second) } }, \
	{ NFTA_LIMIT_UNIT, NFT_NUMBER64, { .number = 1 } }, WITH(NFTA_LIMIT_BURST, at_once), \
	WITH(NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS), WITH(NFTA_LIMIT_FLAGS, NFT_LIMIT_F_INV) } }
#define BEYOND_OPEN(n) { "connlimit", { WITH(NFTA_CONNLIMIT_COUNT, n), WITH(NFTA_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV) } }

/* Checksums are over 16-bit words: TTL and protocol, octets 8 and 9 of the IPv4 header (RFC 791), are one. */
#define SET_TTL(ttl) HEADER(NETWORK, 8, 2), BITWISE(2, NET16(0x00ff), NET16((ttl) << 8)), \
	{ "payload", { REGISTER(NFTA_PAYLOAD_SREG), WITH(NFTA_PAYLOAD_BASE, NETWORK), WITH(NFTA_PAYLOAD_OFFSET, 8), \
		       WITH(NFTA_PAYLOAD_LEN, 2), WITH(NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET), \
		       WITH(NFTA_PAYLOAD_CSUM_OFFSET, 10) } }
#define REDIRECT_TO(port) IMMEDIATE(NFT_REG_1, NET16(port)), \
	{ "redir", { REGISTER(NFTA_REDIR_REG_PROTO_MIN), WITH(NFTA_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED) } }

#define NETWORK          NFT_PAYLOAD_NETWORK_HEADER
#define FRAGMENT         HEADER(NETWORK, 6, 2), BITWISE(2, NET16(0x3fff), NET16(0)) /* RFC 791: 0 in a whole packet */
#define SOURCE_ADDRESS   HEADER(NETWORK, 12, 4)
#define SOURCE_PORT      HEADER(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2)
#define DESTINATION_PORT HEADER(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
#define TCP_FLAGS        HEADER(NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1) /* RFC 9293: SYN is 2 */
#define PROTOCOL         META(NFT_META_PROTOCOL)
#define TRANSPORT        META(NFT_META_L4PROTO)
#define ADDRESS_TYPE(of) { "fib", { REGISTER(NFTA_FIB_DREG), WITH(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE), \
	WITH(NFTA_FIB_FLAGS, of) } }

/* clang-format on */
