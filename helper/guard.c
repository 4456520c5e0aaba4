/* Claim, guard and redirect: see cable.h. */
#include "helper/cable.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/cleanup.h"

/* What a jail may cost the host: TCP connections begun a second, at once; connections tracked that are not closed. */
#define SYN_PER_SECOND 512 /* closed ones are tracked for two minutes more (nf_conntrack-sysctl, time_wait) */
#define SYN_AT_ONCE 8192
#define TCP_OPEN 1024
#define UDP_OPEN 2048

/* clang-format off */

/* Attributes: values, as packets have them (network byte order) or the kernel its own numbers; and parameters. */
#define OCTET(x)  1, { .octets = { (x) } }
#define NET16(x)  2, { .octets = { (uint8_t)((x) >> 8), (uint8_t)(x) } }
#define NET32(x)  4, { .octets = { (uint8_t)((x) >> 24), (uint8_t)((x) >> 16), (uint8_t)((x) >> 8), (uint8_t)(x) } }
#define HOST32(x) 4, { .number = (x) }
#define WITH(attribute, x) { attribute, NFT_NUMBER, { .number = (x) } }
#define REGISTER(attribute) WITH(attribute, NFT_REG_1)

/* Expressions: load something into the register; go on with the rule if it equals, or differs from, a value; act. */
#define META(key) { "meta", { REGISTER(NFTA_META_DREG), WITH(NFTA_META_KEY, key) } }
#define HEADER(base, offset, length) { "payload", { REGISTER(NFTA_PAYLOAD_DREG), WITH(NFTA_PAYLOAD_BASE, base), \
	WITH(NFTA_PAYLOAD_OFFSET, offset), WITH(NFTA_PAYLOAD_LEN, length) } }
#define COMPARE(op, ...) { "cmp", { REGISTER(NFTA_CMP_SREG), WITH(NFTA_CMP_OP, op), { NFTA_CMP_DATA, __VA_ARGS__ } } }
#define EQUALS(...) COMPARE(NFT_CMP_EQ, __VA_ARGS__)
#define DIFFERS(...) COMPARE(NFT_CMP_NEQ, __VA_ARGS__)
#define IMMEDIATE(target, ...) { "immediate", { WITH(NFTA_IMMEDIATE_DREG, target), { NFTA_IMMEDIATE_DATA, __VA_ARGS__ } } }
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
#define SOURCE_ADDRESS   HEADER(NETWORK, 12, 4) /* RFC 791 */
#define UDP_PORT         HEADER(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
#define TCP_FLAGS        HEADER(NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1) /* RFC 9293: SYN is 2 */
#define TRANSPORT        META(NFT_META_L4PROTO)
#define DESTINATION_TYPE { "fib", { REGISTER(NFTA_FIB_DREG), WITH(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE), \
	WITH(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR) } }
#define DNS              53

/* What is IPv4, from the jail, and for no address of the host (loopback and the cable's included), broadcast or multicast. */
#define PASSABLE(cable) META(NFT_META_PROTOCOL), EQUALS(NET16(ETH_P_IP)), SOURCE_ADDRESS, EQUALS(NET32((cable)->jail_address)), \
	DESTINATION_TYPE, EQUALS(HOST32(RTN_UNICAST))

static void add_guard(struct netlink *n, const char *table, uint32_t flags, const struct helper_attached *cable)
{
	const struct nft_chain chain = {
		NFPROTO_NETDEV, table, flags, "ingress", "filter", cable->host_interface, NF_NETDEV_INGRESS, 0, NF_DROP };
	/* No hop further: what nobody redirects dies here even where somebody turned forwarding on. */
	const struct nft_expression rules[][NFT_EXPRESSIONS_MAX] = {
		{ TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), TCP_FLAGS, BITWISE(1, OCTET(2), OCTET(0)), EQUALS(OCTET(2)),
		  BEYOND_RATE(SYN_PER_SECOND, SYN_AT_ONCE), VERDICT(NF_DROP) },
		{ PASSABLE(cable), TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), SET_TTL(1), VERDICT(NF_ACCEPT) },
		{ PASSABLE(cable), TRANSPORT, EQUALS(OCTET(IPPROTO_UDP)), UDP_PORT, EQUALS(NET16(DNS)), SET_TTL(1),
		  VERDICT(NF_ACCEPT) },
	};

	nft_chain(n, &chain, rules, array_size(rules));
}

static void add_redirect(struct netlink *n, const struct cable *cable, const struct helper_redirect *ports)
{
	/* Before the usual place of destination NAT: a connection is translated once, and this one is ours. */
	const struct nft_chain chain = { NFPROTO_IPV4, cable->table, NFT_TABLE_F_OWNER, "prerouting", "nat", NULL,
					 NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST - 10, NF_ACCEPT };
	const struct nft_expression rules[][NFT_EXPRESSIONS_MAX] = {
		{ META(NFT_META_IIF), DIFFERS(HOST32(cable->names.host_ifindex)), VERDICT(NF_ACCEPT) },
		{ TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), BEYOND_OPEN(TCP_OPEN), VERDICT(NF_DROP) },
		{ TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), REDIRECT_TO(ports->tcp_port) },
		{ UDP_PORT, EQUALS(NET16(DNS)), BEYOND_OPEN(UDP_OPEN), VERDICT(NF_DROP) },
		{ UDP_PORT, EQUALS(NET16(DNS)), REDIRECT_TO(ports->dns_port) },
	};

	nft_chain(n, &chain, rules, array_size(rules));
}

/* clang-format on */

#define CLAIM_PREFIX "boundary_"

/* Whose claim it is: user data of a table in the form of libnftnl/udata.h, of a type that nft(8) passes over. */
struct owner {
	uint8_t type, length;
	uint32_t user;
} __attribute__((packed));

int claim_make(struct netlink *n, struct cable *cable, uint32_t generation)
{
	const struct owner owner = { 'B', sizeof(owner.user), cable->user };

	snprintf(cable->table, sizeof(cable->table), CLAIM_PREFIX "%05u", cable->names.index);
	snprintf(cable->guard, sizeof(cable->guard), "boundary_guard_%05u", cable->names.index);
	nft_begin(n, generation);
	nft_table(n, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, NFPROTO_IPV4, cable->table);
	netlink_put_u32(n, NFTA_TABLE_FLAGS, htonl(NFT_TABLE_F_OWNER));
	netlink_put(n, NFTA_TABLE_USERDATA, &owner, sizeof(owner));
	return nft_commit(n, &cable->claim);
}

static void count_claim(struct nlmsghdr *answer, void *context)
{
	const int header = sizeof(struct nfgenmsg);
	struct nlattr *name = nlmsg_find_attr(answer, header, NFTA_TABLE_NAME);
	struct nlattr *data = nlmsg_find_attr(answer, header, NFTA_TABLE_USERDATA);
	const char *text = name ? nla_get_string(name) : "";
	const struct owner *owner = data && nla_len(data) == sizeof(*owner) ? nla_data(data) : NULL;
	struct claims *claims = context;
	unsigned long index;

	if (!owner || owner->type != 'B' || strstr(text, CLAIM_PREFIX) != text)
		return;
	index = strtoul(text + strlen(CLAIM_PREFIX), NULL, 10) % CABLE_INDEX_MAX;
	claims->indexes[index / 8] |= (uint8_t)(1 << index % 8);
	claims->of_user += owner->user == claims->user;
	claims->of_all++;
}

int claims_count(struct netlink *n, uid_t user, struct claims *ret)
{
	const struct nfgenmsg header = { .nfgen_family = NFPROTO_IPV4, .version = NFNETLINK_V0 };

	*ret = (struct claims){ .user = user };
	netlink_message(n, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, NLM_F_DUMP, &header, sizeof(header));
	return netlink_send(n, n->netfilter, count_claim, ret);
}

int guard_install(struct netlink *n, const struct cable *cable)
{
	nft_begin(n, 0);
	nft_delete_name(n, NFPROTO_NETDEV, cable->guard);
	add_guard(n, cable->guard, 0, &cable->names);
	return nft_commit(n, NULL);
}

int redirect_install(struct netlink *n, const struct cable *cable, const struct helper_redirect *ports)
{
	nft_begin(n, 0);
	add_redirect(n, cable, ports);
	/* The guard once more, where an administrator's `nft flush ruleset` does not reach it. */
	add_guard(n, cable->table, NFT_TABLE_F_OWNER, &cable->names);
	return nft_commit(n, NULL);
}

/* As long as the index is claimed, the guard of that name is ours, too. */
int tables_remove(struct netlink *n, const struct cable *cable)
{
	nft_begin(n, 0);
	nft_delete_name(n, NFPROTO_NETDEV, cable->table);
	nft_delete_name(n, NFPROTO_NETDEV, cable->guard);
	nft_delete_handle(n, NFPROTO_IPV4, cable->claim);
	return nft_commit(n, NULL);
}
