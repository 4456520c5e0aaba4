/* Claim, guard, gate and redirect: see cable.h. */
#include "helper/cable.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_cttimeout.h>
#include <linux/netfilter_ipv4.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/cleanup.h"
#include "shared/nft_rules.h"

/* What a jail may cost the host: TCP connections begun a second, at once; connections tracked that are not closed. */
#define SYN_PER_SECOND 512
#define SYN_AT_ONCE 4096
#define TCP_OPEN 1024
#define UDP_OPEN 2048

/* Seconds (nf_conntrack-sysctl) instead of five days, two minutes and ten. The proxy's keepalive is a minute. */
static const uint32_t timeouts[] = {
	[CTA_TIMEOUT_TCP_ESTABLISHED] = 3600, [CTA_TIMEOUT_TCP_TIME_WAIT] = 2, [CTA_TIMEOUT_TCP_CLOSE] = 2
};

#define MARK 0x626e64 /* of a packet, from the gate to the guard */
#define DNS 53
#define EGRESS 1 /* NF_NETDEV_EGRESS of Linux 5.16; headers may be older */

/* clang-format off */

/*
 * What is IPv4 and whole, from the jail, for no address of the host (loopback and the cable's included), broadcast or multicast, and
 * from no port that takes privileges elsewhere. It goes no hop further: what nobody redirects dies here, even where forwarding is on.
 */
#define PASSABLE(cable) PROTOCOL, EQUALS(NET16(ETH_P_IP)), FRAGMENT, EQUALS(NET16(0)), \
	SOURCE_ADDRESS, EQUALS(NET32((cable)->jail_address)), ADDRESS_TYPE(NFTA_FIB_F_DADDR), EQUALS(HOST32(RTN_UNICAST)), \
	SOURCE_PORT, IS_AT_LEAST(NET16(1024))
#define PASS SET_TTL(1), SET_MARK(MARK), VERDICT(NF_ACCEPT)
#define FROM_CABLE(compare) META(NFT_META_IIF), compare(HOST32(cable->names.host_ifindex))

/* The way in; and out again, where an answer comes from the address that the jail asked, not from one of the host's. */
static void add_gate(struct netlink *n, const struct cable *cable, bool egress)
{
	const struct nft_chain in = { NFPROTO_NETDEV, cable->table, NFT_TABLE_F_OWNER, "ingress", "filter",
				      cable->names.host_interface, NF_NETDEV_INGRESS, -10, NF_DROP };
	const struct nft_chain out = { NFPROTO_NETDEV, cable->table, NFT_TABLE_F_OWNER, "egress", "filter",
				       cable->names.host_interface, EGRESS, 0, NF_ACCEPT };
	const struct nft_expression in_rules[][NFT_EXPRESSIONS_MAX] = {
		{ TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), TCP_FLAGS, BITWISE(1, OCTET(2), OCTET(0)), EQUALS(OCTET(2)),
		  BEYOND_RATE(SYN_PER_SECOND, SYN_AT_ONCE), VERDICT(NF_DROP) },
		{ PASSABLE(&cable->names), TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), PASS },
		{ PASSABLE(&cable->names), TRANSPORT, EQUALS(OCTET(IPPROTO_UDP)), DESTINATION_PORT, EQUALS(NET16(DNS)), PASS },
	}, out_rules[][NFT_EXPRESSIONS_MAX] = { { PROTOCOL, EQUALS(NET16(ETH_P_IP)), ADDRESS_TYPE(NFTA_FIB_F_SADDR),
						  EQUALS(HOST32(RTN_LOCAL)), VERDICT(NF_DROP) } };

	nft_chain(n, &in, in_rules, array_size(in_rules));
	if (egress)
		nft_chain(n, &out, out_rules, array_size(out_rules));
}

static void add_redirect(struct netlink *n, const struct cable *cable, const struct helper_redirect *ports, bool timed)
{
	/* Before the usual place of destination NAT: a connection is translated once, and this one is ours. */
	const struct nft_chain chain = { NFPROTO_IPV4, cable->table, NFT_TABLE_F_OWNER, "prerouting", "nat", NULL,
					 NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST - 10, NF_ACCEPT };
	/* Only a connection's first packet comes here, whatever it is. */
	const struct nft_expression rules[][NFT_EXPRESSIONS_MAX] = {
		{ FROM_CABLE(EQUALS), TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), TIMEOUTS("brief") },
		{ FROM_CABLE(DIFFERS), VERDICT(NF_ACCEPT) },
		{ BEYOND_RATE(2 * SYN_PER_SECOND, 2 * SYN_AT_ONCE), VERDICT(NF_DROP) },
		{ TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), BEYOND_OPEN(TCP_OPEN), VERDICT(NF_DROP) },
		{ TRANSPORT, EQUALS(OCTET(IPPROTO_TCP)), REDIRECT_TO(ports->tcp_port) },
		{ DESTINATION_PORT, EQUALS(NET16(DNS)), BEYOND_OPEN(UDP_OPEN), VERDICT(NF_DROP) },
		{ DESTINATION_PORT, EQUALS(NET16(DNS)), REDIRECT_TO(ports->dns_port) },
	};

	if (timed)
		nft_timeouts(n, &chain, "brief", IPPROTO_TCP, timeouts, array_size(timeouts));
	nft_chain(n, &chain, rules + !timed, array_size(rules) - !timed);
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

/* Nothing passes but what the gate has marked, which goes with the helper. */
int guard_install(struct netlink *n, const struct cable *cable)
{
	const struct nft_chain chain = {
		NFPROTO_NETDEV, cable->guard, 0, "ingress", "filter", cable->names.host_interface, NF_NETDEV_INGRESS, 0,
		NF_DROP
	};
	const struct nft_expression rule[][NFT_EXPRESSIONS_MAX] = {
		{ META(NFT_META_MARK), EQUALS(HOST32(MARK)), SET_MARK(0), VERDICT(NF_ACCEPT) },
	};

	(void)netlink_forget_connections(n, cable->names.jail_address);
	nft_begin(n, 0);
	nft_delete_name(n, chain.family, chain.table);
	nft_chain(n, &chain, rule, array_size(rule));
	return nft_commit(n, NULL);
}

static int install(struct netlink *n, const struct cable *cable, const struct helper_redirect *ports, bool modern)
{
	nft_begin(n, 0);
	add_redirect(n, cable, ports, modern);
	add_gate(n, cable, modern);
	return nft_commit(n, NULL);
}

int redirect_install(struct netlink *n, const struct cable *cable, const struct helper_redirect *ports)
{
	int r = install(n, cable, ports, true);

	/* Before Linux 5.16, or without CONFIG_NF_CONNTRACK_TIMEOUT. */
	return r == -EOPNOTSUPP || r == -ENOENT ? install(n, cable, ports, false) : r;
}

/* As long as the index is claimed, the guard of that name is ours, too. */
int tables_remove(struct netlink *n, const struct cable *cable)
{
	(void)netlink_forget_connections(n, cable->names.jail_address);
	nft_begin(n, 0);
	nft_delete_name(n, NFPROTO_NETDEV, cable->table);
	nft_delete_name(n, NFPROTO_NETDEV, cable->guard);
	nft_delete_handle(n, NFPROTO_IPV4, cable->claim);
	return nft_commit(n, NULL);
}
