/*
 * Messages to the kernel by netlink(7), built with libnl, sent with one sendto(2), each acknowledged; and those of
 * nf_tables (linux/netfilter/nf_tables.h), whose rules guard.c has: `nft --debug=netlink list ruleset` prints the same.
 */
#pragma once

#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Messages under construction; start with a zeroed one. A failure is kept: what misses an attribute is never sent. */
struct netlink {
	struct nl_msg *messages[32];
	size_t count;            /* the last of them is being built */
	struct nlattr *nests[8]; /* its open nested attributes */
	size_t depth;
	size_t expected; /* acknowledgements */
	bool failed;
};

/* Called for each answer that is no acknowledgement. */
typedef void netlink_answer(const struct nlmsghdr *message, void *context);

/* Starts a message with this header of its family; adds bytes, padded; adds an attribute; opens a nest; closes some. */
void netlink_message(struct netlink *n, uint16_t type, uint16_t flags, const void *header, size_t length);
void netlink_append(struct netlink *n, const void *bytes, size_t length);
void netlink_put(struct netlink *n, uint16_t attribute, const void *value, size_t length);
#define netlink_put_u32(n, attribute, value) netlink_put(n, attribute, &(uint32_t){ value }, sizeof(uint32_t))
#define netlink_put_string(n, attribute, value) netlink_put(n, attribute, value, strlen(value) + 1)
void netlink_nest(struct netlink *n, uint16_t attribute);
void netlink_nest_end(struct netlink *n, int count);

/*
 * Sends and frees the messages. The kernel executes such requests within the sending call, so all answers are there
 * when it returns: nothing waits. `answer` may be NULL. Returns 0 when every message with NLM_F_ACK was acknowledged;
 * -errno of the first refused one, or of the socket; -EMSGSIZE for a lack of room or memory; -EPROTO without
 * acknowledgement.
 */
int netlink_send(int socket, struct netlink *n, netlink_answer *answer, void *context);

/* A table of nf_tables with one base chain. */
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
		uint16_t attribute;
		uint16_t length; /* of a value in a register, its octets as they are in memory; or: */
#define NFT_NUMBER 0x100         /* a parameter, sent in network byte order */
#define NFT_VERDICT 0x101
		union {
			uint32_t number;
			uint8_t octets[4];
		};
	} attributes[7];
};

#define NFT_EXPRESSIONS_MAX 8 /* of a rule; fewer end with one without a name */

/*
 * Parts of a transaction, which begins with an empty *n: deletes a table by its name, if there is one; deletes exactly
 * the table with this handle; adds a table with a chain and its rules, in order.
 */
void nft_begin(struct netlink *n);
void nft_delete_name(struct netlink *n, uint8_t family, const char *table);
void nft_delete_handle(struct netlink *n, uint8_t family, uint64_t handle);
void nft_chain(struct netlink *n, const struct nft_chain *chain,
	       const struct nft_expression rules[][NFT_EXPRESSIONS_MAX], size_t n_rules);

/*
 * Sends it by a NETLINK_NETFILTER socket: all of it happens, or nothing. Returns 0, with the handle of the table last
 * added if `ret_handle` is not NULL, or -errno as netlink_send().
 */
int nft_commit(int socket, struct netlink *n, uint64_t *ret_handle);
