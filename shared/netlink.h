/*
 * Messages to the kernel by netlink(7), built with libnl in one buffer, sent with one sendto(2), each acknowledged; and
 * those of nf_tables (linux/netfilter/nf_tables.h): `nft --debug=netlink list ruleset` prints the same.
 */
#pragma once

#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stddef.h>
#include <stdint.h>

/* The way to the kernel. Start with NETLINK_NONE. */
struct netlink {
	int route, netfilter;     /* sockets */
	int away[2];              /* a pair of them: see netlink_leave() */
	struct nl_msg *request;   /* the messages under construction, one after the other */
	struct nlmsghdr *message; /* the last of them */
	struct nlattr *nests[8];  /* its open nested attributes */
	size_t depth, expected;   /* of nests; acknowledgements and ends of dumps */
};
#define NETLINK_NONE ((struct netlink){ .route = -1, .netfilter = -1, .away = { -1, -1 } })

/* Takes all the memory there will ever be. Opens the sockets, with the capabilities in effect. Return 0 or -errno. */
int netlink_allocate(struct netlink *n);
int netlink_open(struct netlink *n);

/*
 * Closes and frees what there is. After rules were removed, closing the socket of nf_tables waits until the kernel has
 * freed them, a grace period of RCU or two (nft_rcv_nl_event()). A process that ends has nothing to wait for: with
 * netlink_leave() the socket is closed by the kernel, a moment later.
 */
void netlink_close(struct netlink *n);
void netlink_leave(struct netlink *n);

/* Starts a message with this header of its family; adds an attribute; opens a nest of them; closes `count` nests. */
void netlink_message(struct netlink *n, uint16_t type, uint16_t flags, const void *header, size_t length);
#define netlink_put(n, attribute, value, length) ((void)nla_put((n)->request, attribute, (int)(length), value))
#define netlink_put_u32(n, attribute, value) ((void)nla_put_u32((n)->request, attribute, value))
#define netlink_put_string(n, attribute, value) ((void)nla_put_string((n)->request, attribute, value))
void netlink_nest(struct netlink *n, uint16_t attribute);
void netlink_nest_end(struct netlink *n, int count);

/* Called for each answer that is no acknowledgement. */
typedef void netlink_answer(struct nlmsghdr *message, void *context);

/*
 * Sends the messages. The kernel executes such requests within these calls: nothing waits. `answer` may be NULL.
 * Returns 0 when every message with NLM_F_ACK was acknowledged and every dump came to its end; -errno of the first
 * refused one, or of the socket; -ERESTART for a dump of what changed meanwhile; -EMSGSIZE if they may not have had
 * room; -EPROTO without acknowledgement.
 */
int netlink_send(struct netlink *n, int socket, netlink_answer *answer, void *context);

/*
 * Forgets the connections tracked (linux/netfilter/nfnetlink_conntrack.h) that this IPv4 address, in host byte order,
 * began. Returns as netlink_send(); before Linux 6.8 -EINVAL.
 */
int netlink_forget_connections(struct netlink *n, uint32_t address);

/* A base chain of a table of nf_tables. */
struct nft_chain {
	uint8_t family; /* NFPROTO_… */
	const char *table;
	uint32_t table_flags;             /* NFT_TABLE_F_… */
	const char *name, *type, *device; /* `device` for the netdev family, else NULL */
	uint32_t hook;
	int32_t priority;
	uint32_t policy;
};

/* One expression of a rule. Its attributes end with number 0. */
struct nft_expression {
	const char *name;
	struct {
		uint16_t attribute, length; /* of a value in a register, its octets as they are in memory; or: */
#define NFT_NUMBER 0x104                    /* a parameter, of 32 bits */
#define NFT_NUMBER64 0x108                  /* or 64 */
#define NFT_TEXT 0x110                      /* or a name */
#define NFT_VERDICT 0x100
		union {
			uint32_t number;
			uint8_t octets[4];
			const char *text;
		};
	} attributes[7];
};
#define NFT_EXPRESSIONS_MAX 24 /* of a rule; fewer end with one without a name */

/*
 * The number of the last transaction in this network namespace, not 0. One that begins with a number does nothing and
 * returns -ERESTART if there was another since. That costs nothing, while for a transaction that fails later the kernel
 * waits for a grace period of RCU, and everybody for the kernel. Returns as netlink_send().
 */
int nft_generation(struct netlink *n, uint32_t *ret);

/*
 * Parts of a transaction: its begin, with such a number, or 0; a message about a table, to which attributes may be
 * added; deletes a table by its name, if there is one; deletes exactly the table with this handle; adds a table, if
 * there is none, with a chain and its rules, in order; adds timeouts of connections, by a name, to a chain's table,
 * with the value of attribute k (CTA_TIMEOUT_TCP_…, CTA_TIMEOUT_UDP_…) in seconds[k], 0 for the kernel's own; commits:
 * all of it happens, or nothing, with the handle of the last table if `ret_handle` is not NULL. Returns as
 * netlink_send().
 */
void nft_begin(struct netlink *n, uint32_t generation);
void nft_table(struct netlink *n, uint16_t type, uint16_t flags, uint8_t family, const char *table);
void nft_delete_name(struct netlink *n, uint8_t family, const char *table);
void nft_delete_handle(struct netlink *n, uint8_t family, uint64_t handle);
void nft_chain(struct netlink *n, const struct nft_chain *chain,
	       const struct nft_expression rules[][NFT_EXPRESSIONS_MAX], size_t n_rules);
void nft_timeouts(struct netlink *n, const struct nft_chain *chain, const char *name, uint8_t protocol,
		  const uint32_t *seconds, size_t count);
int nft_commit(struct netlink *n, uint64_t *ret_handle);
