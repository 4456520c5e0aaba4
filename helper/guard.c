/* Guard and redirect: see cable.h. */
#include "helper/cable.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter_ipv4.h>
#include <stdio.h>

#include "helper/netlink.h"
#include "shared/cleanup.h"

/* clang-format off */

/* Attributes: values, as packets have them (network byte order) or the kernel its own numbers; and parameters. */
#define OCTET(x)  1, { .octets = { (x) } }
#define NET16(x)  2, { .octets = { (x) >> 8, (x) & 0xff } }
#define NET32(x)  4, { .octets = { (x) >> 24, (x) >> 16 & 0xff, (x) >> 8 & 0xff, (x) & 0xff } }
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

/* Checksums are over 16-bit words: TTL and protocol, octets 8 and 9 of the IPv4 header (RFC 791), are one. */
#define SET_TTL(ttl) HEADER(NETWORK, 8, 2), \
	{ "bitwise", { REGISTER(NFTA_BITWISE_SREG), REGISTER(NFTA_BITWISE_DREG), WITH(NFTA_BITWISE_LEN, 2), \
		       { NFTA_BITWISE_MASK, NET16(0x00ff) }, { NFTA_BITWISE_XOR, NET16((ttl) << 8) } } }, \
	{ "payload", { REGISTER(NFTA_PAYLOAD_SREG), WITH(NFTA_PAYLOAD_BASE, NETWORK), WITH(NFTA_PAYLOAD_OFFSET, 8), \
		       WITH(NFTA_PAYLOAD_LEN, 2), WITH(NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET), \
		       WITH(NFTA_PAYLOAD_CSUM_OFFSET, 10) } }
#define REDIRECT_TO(port) IMMEDIATE(NFT_REG_1, NET16(port)), \
	{ "redir", { REGISTER(NFTA_REDIR_REG_PROTO_MIN), WITH(NFTA_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED) } }

#define NETWORK          NFT_PAYLOAD_NETWORK_HEADER
#define ARP_SENDER       HEADER(NETWORK, 14, 4) /* RFC 826, IPv4 on Ethernet */
#define ARP_TARGET       HEADER(NETWORK, 24, 4)
#define SOURCE_ADDRESS   HEADER(NETWORK, 12, 4) /* RFC 791 */
#define DESTINATION      HEADER(NETWORK, 16, 4)
#define UDP_PORT         HEADER(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
#define PROTOCOL         META(NFT_META_PROTOCOL)
#define TRANSPORT        META(NFT_META_L4PROTO)
#define INTERFACE        META(NFT_META_IIF)
#define DESTINATION_TYPE { "fib", { REGISTER(NFTA_FIB_DREG), WITH(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE), \
	WITH(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR) } }
#define DNS              53

static void add_guard(struct netlink *n, const char *table, uint32_t flags, const struct helper_attached *cable)
{
	const uint32_t host = cable->host_address, jail = cable->jail_address;
	const struct nft_chain chain = { NFPROTO_NETDEV, table, flags, "ingress", "filter", cable->host_interface,
					 NF_NETDEV_INGRESS, 0, NF_DROP };
	const struct nft_expression rules[][NFT_EXPRESSIONS_MAX] = {
		/* Neighbour resolution between the two ends, and of nothing else. */
		{ PROTOCOL, EQUALS(NET16(ETH_P_ARP)), ARP_SENDER, EQUALS(NET32(jail)), ARP_TARGET, EQUALS(NET32(host)),
		  VERDICT(NF_ACCEPT) },
		/* IPv6, VLAN tags, other ARP, whatever is not IPv4. */
		{ PROTOCOL, DIFFERS(NET16(ETH_P_IP)), VERDICT(NF_DROP) },
		{ PROTOCOL, EQUALS(NET16(ETH_P_IP)), SOURCE_ADDRESS, DIFFERS(NET32(jail)), VERDICT(NF_DROP) },
		/* Every address of the host, loopback and the cable's included; broadcast and multicast. */
		{ DESTINATION_TYPE, DIFFERS(HOST32(RTN_UNICAST)), VERDICT(NF_DROP) },
		/* No hop further: what nobody redirects dies here even where somebody turned forwarding on. */
		{ PROTOCOL, EQUALS(NET16(ETH_P_IP)), SET_TTL(1) },
		{ TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), VERDICT(NF_ACCEPT) },
		{ TRANSPORT, EQUALS(OCTET(IPPROTO_UDP)), UDP_PORT, EQUALS(NET16(DNS)), VERDICT(NF_ACCEPT) },
	};

	nft_chain(n, &chain, rules, array_size(rules));
}

static void add_redirect(struct netlink *n, const char *table, const struct helper_attached *cable,
			 const struct helper_redirect *ports)
{
	const uint32_t host = cable->host_address, ifindex = cable->host_ifindex;
	/* The proxy is for the jail: other users of this host, who may bind to any device, do not reach it. */
	const struct nft_chain local = { NFPROTO_IPV4, table, NFT_TABLE_F_OWNER, "closed", "filter", NULL,
					 NF_INET_LOCAL_IN, NF_IP_PRI_FILTER, NF_ACCEPT };
	const struct nft_expression closed[][NFT_EXPRESSIONS_MAX] = {
		{ INTERFACE, DIFFERS(HOST32(ifindex)), DESTINATION, EQUALS(NET32(host)), VERDICT(NF_DROP) },
	};
	/* Before the usual place of destination NAT: a connection is translated once, and this one is ours. */
	const struct nft_chain chain = { NFPROTO_IPV4, table, NFT_TABLE_F_OWNER, "prerouting", "nat", NULL,
					 NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST - 10, NF_ACCEPT };
	const struct nft_expression rules[][NFT_EXPRESSIONS_MAX] = {
		{ INTERFACE, EQUALS(HOST32(ifindex)), TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), REDIRECT_TO(ports->tcp_port) },
		{ INTERFACE, EQUALS(HOST32(ifindex)), TRANSPORT, EQUALS(OCTET(IPPROTO_UDP)), UDP_PORT,
		  EQUALS(NET16(DNS)), REDIRECT_TO(ports->dns_port) },
	};

	nft_chain(n, &local, closed, array_size(closed));
	nft_chain(n, &chain, rules, array_size(rules));
}

/* clang-format on */

int guard_install(int socket, const struct helper_attached *cable, uint64_t *ret_handle)
{
	struct netlink n = { 0 };
	char table[32];

	snprintf(table, sizeof(table), "boundary_guard_%05u", cable->index);
	nft_begin(&n);
	nft_delete_name(&n, NFPROTO_NETDEV, table);
	add_guard(&n, table, 0, cable);
	return nft_commit(socket, &n, ret_handle);
}

/* An interface's number is not used again, a session's is: a helper whose cable is gone is in nobody's way. */
static void name_own_tables(const struct helper_attached *cable, char ret[32])
{
	snprintf(ret, 32, "boundary_%05u_%u", cable->index, cable->host_ifindex);
}

int redirect_install(int socket, const struct helper_attached *cable, const struct helper_redirect *ports)
{
	struct netlink n = { 0 };
	char table[32];

	name_own_tables(cable, table);
	nft_begin(&n);
	add_redirect(&n, table, cable, ports);
	/* The guard once more, where an administrator's `nft flush ruleset` does not reach it. */
	add_guard(&n, table, NFT_TABLE_F_OWNER, cable);
	return nft_commit(socket, &n, NULL);
}

int tables_remove(int socket, const struct helper_attached *cable, uint64_t guard)
{
	struct netlink n = { 0 };
	char table[32];
	int r;

	name_own_tables(cable, table);
	nft_begin(&n);
	nft_delete_name(&n, NFPROTO_IPV4, table);
	nft_delete_name(&n, NFPROTO_NETDEV, table);
	nft_delete_handle(&n, NFPROTO_NETDEV, guard);
	r = nft_commit(socket, &n, NULL);
	return r == -ENOENT ? 0 : r; /* the guard of the next session with this index took its place */
}
