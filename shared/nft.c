/* Messages of nf_tables: see netlink.h. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>

#include "shared/netlink.h"

/* The type of a message of the batch itself has no subsystem; its resource is the one the batch is for. */
static void message(struct netlink *n, uint16_t type, uint16_t flags, uint8_t family, uint16_t resource)
{
	const struct nfgenmsg header = { .nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource) };

	netlink_message(n, type, flags, &header, sizeof(header));
}

void nft_table(struct netlink *n, uint16_t type, uint16_t flags, uint8_t family, const char *table)
{
	/* The number of the attribute is 1 with every type of message (NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, …). */
	message(n, NFNL_SUBSYS_NFTABLES << 8 | type, NLM_F_ACK | flags, family, 0);
	if (table)
		netlink_put_string(n, NFTA_TABLE_NAME, table);
}

static void read_generation(struct nlmsghdr *answer, void *context)
{
	struct nlattr *id = nlmsg_find_attr(answer, sizeof(struct nfgenmsg), NFTA_GEN_ID);

	if (id)
		*(uint32_t *)context = ntohl(nla_get_u32(id));
}

int nft_generation(struct netlink *n, uint32_t *ret)
{
	int r;

	*ret = 0;
	message(n, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, NLM_F_ACK, AF_UNSPEC, 0);
	r = netlink_send(n, n->netfilter, read_generation, ret);
	return r == 0 && *ret == 0 ? -EPROTO : r;
}

void nft_begin(struct netlink *n, uint32_t generation)
{
	message(n, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	if (generation != 0)
		netlink_put_u32(n, NFNL_BATCH_GENID, htonl(generation));
}

void nft_delete_name(struct netlink *n, uint8_t family, const char *table)
{
	/* Within a transaction, what may not exist is made first. */
	nft_table(n, NFT_MSG_NEWTABLE, NLM_F_CREATE, family, table);
	nft_table(n, NFT_MSG_DELTABLE, 0, family, table);
}

void nft_delete_handle(struct netlink *n, uint8_t family, uint64_t handle)
{
	const uint64_t value = htobe64(handle);

	nft_table(n, NFT_MSG_DELTABLE, 0, family, NULL);
	netlink_put(n, NFTA_TABLE_HANDLE, &value, sizeof(value));
}

static void put_expression(struct netlink *n, const struct nft_expression *e)
{
	netlink_nest(n, NFTA_LIST_ELEM);
	netlink_put_string(n, NFTA_EXPR_NAME, e->name);
	netlink_nest(n, NFTA_EXPR_DATA);
	for (size_t i = 0; e->attributes[i].attribute != 0; i++) {
		const uint16_t attribute = e->attributes[i].attribute, length = e->attributes[i].length;
		const uint32_t number = e->attributes[i].number;

		if (length == NFT_NUMBER)
			netlink_put_u32(n, attribute, htonl(number));
		if (length == NFT_NUMBER64)
			(void)nla_put_u64(n->request, attribute, htobe64(number));
		if (length == NFT_TEXT)
			netlink_put_string(n, attribute, e->attributes[i].text);
		if (length > NFT_VERDICT)
			continue;
		netlink_nest(n, attribute);
		if (length == NFT_VERDICT) {
			netlink_nest(n, NFTA_DATA_VERDICT);
			netlink_put_u32(n, NFTA_VERDICT_CODE, htonl(number));
			netlink_nest_end(n, 1);
		} else {
			netlink_put(n, NFTA_DATA_VALUE, e->attributes[i].octets, length);
		}
		netlink_nest_end(n, 1);
	}
	netlink_nest_end(n, 2);
}

void nft_chain(struct netlink *n, const struct nft_chain *chain,
	       const struct nft_expression rules[][NFT_EXPRESSIONS_MAX], size_t n_rules)
{
	nft_table(n, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ECHO, chain->family, chain->table);
	netlink_put_u32(n, NFTA_TABLE_FLAGS, htonl(chain->table_flags));

	nft_table(n, NFT_MSG_NEWCHAIN, NLM_F_CREATE, chain->family, chain->table);
	netlink_put_string(n, NFTA_CHAIN_NAME, chain->name);
	netlink_put_string(n, NFTA_CHAIN_TYPE, chain->type);
	netlink_put_u32(n, NFTA_CHAIN_POLICY, htonl(chain->policy));
	netlink_nest(n, NFTA_CHAIN_HOOK);
	netlink_put_u32(n, NFTA_HOOK_HOOKNUM, htonl(chain->hook));
	netlink_put_u32(n, NFTA_HOOK_PRIORITY, htonl((uint32_t)chain->priority));
	if (chain->device)
		netlink_put_string(n, NFTA_HOOK_DEV, chain->device);
	netlink_nest_end(n, 1);

	for (size_t i = 0; i < n_rules; i++) {
		nft_table(n, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, chain->family, chain->table);
		netlink_put_string(n, NFTA_RULE_CHAIN, chain->name);
		netlink_nest(n, NFTA_RULE_EXPRESSIONS);
		for (size_t k = 0; k < NFT_EXPRESSIONS_MAX && rules[i][k].name; k++)
			put_expression(n, &rules[i][k]);
		netlink_nest_end(n, 1);
	}
}

void nft_timeouts(struct netlink *n, const struct nft_chain *chain, const char *name, uint8_t protocol,
		  const uint32_t *seconds, size_t count)
{
	nft_table(n, NFT_MSG_NEWOBJ, NLM_F_CREATE, chain->family, chain->table);
	netlink_put_string(n, NFTA_OBJ_NAME, name);
	netlink_put_u32(n, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_CT_TIMEOUT));
	netlink_nest(n, NFTA_OBJ_DATA);
	(void)nla_put_u16(n->request, NFTA_CT_TIMEOUT_L3PROTO, htons(AF_INET));
	(void)nla_put_u8(n->request, NFTA_CT_TIMEOUT_L4PROTO, protocol);
	netlink_nest(n, NFTA_CT_TIMEOUT_DATA);
	for (size_t k = 0; k < count; k++)
		if (seconds[k] != 0)
			netlink_put_u32(n, (int)k, htonl(seconds[k]));
	netlink_nest_end(n, 2);
}

static void read_handle(struct nlmsghdr *answer, void *context)
{
	struct nlattr *handle;

	if (answer->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE))
		return;
	handle = nlmsg_find_attr(answer, sizeof(struct nfgenmsg), NFTA_TABLE_HANDLE);
	if (handle)
		*(uint64_t *)context = be64toh(nla_get_u64(handle));
}

int nft_commit(struct netlink *n, uint64_t *ret_handle)
{
	message(n, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	return netlink_send(n, n->netfilter, ret_handle ? read_handle : NULL, ret_handle);
}
