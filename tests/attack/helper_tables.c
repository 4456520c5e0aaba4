/* See helper_tables.h. */
#include "tests/attack/helper_tables.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_link.h"

/* NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and NFTA_RULE_TABLE are the same number. */
#define NAME NFTA_TABLE_NAME

struct listing {
	char *text;
	size_t size, used;
	uint64_t digest; /* FNV-1a */
	unsigned int objects;
	int type;
};

static void digest(struct listing *listing, const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		listing->digest = (listing->digest ^ bytes[i]) * 0x100000001b3u;
}

static void list_one(const void *message, size_t length, void *context)
{
	const struct nfgenmsg *header = message;
	const char *attributes = (const char *)message + NLMSG_ALIGN(sizeof(*header)), *name = "";
	struct listing *listing = context;
	int size = (int)(length - NLMSG_ALIGN(sizeof(*header))), left = size;
	uint64_t handle = 0;

	for (const struct rtattr *a = (const struct rtattr *)attributes; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if ((a->rta_type & NLA_TYPE_MASK) == NAME)
			name = RTA_DATA(a);
		else if (listing->type == NFT_MSG_GETTABLE && (a->rta_type & NLA_TYPE_MASK) == NFTA_TABLE_HANDLE)
			memcpy(&handle, RTA_DATA(a), sizeof(handle));
	}
	if (strncmp(name, "boundary_", 9) != 0)
		return;
	digest(listing, (const unsigned char *)attributes, (size_t)size);
	if (listing->type != NFT_MSG_GETTABLE)
		listing->objects++;
	else if (listing->used < listing->size)
		listing->used +=
			(size_t)snprintf(listing->text + listing->used, listing->size - listing->used, "%u %s %llu\n",
					 header->nfgen_family, name, (unsigned long long)be64toh(handle));
}

static int list_all(int netlink, struct listing *listing)
{
	static const int types[] = { NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE };
	int r = 0;

	for (size_t i = 0; i < array_size(types) && r == 0; i++) {
		const struct {
			struct nlmsghdr header;
			struct nfgenmsg family;
		} request = {
			.header = { .nlmsg_len = sizeof(request),
				    .nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | types[i]),
				    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		};

		listing->type = types[i];
		r = link_ask(netlink, &request, list_one, listing);
	}
	return r;
}

int tables_list(char *ret, size_t size)
{
	_cleanup_fd_ int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct listing listing;
	int r = -EINTR;

	if (netlink < 0)
		return -errno;
	for (int i = 0; i < 20 && r == -EINTR; i++) {
		listing = (struct listing){ .text = ret, .size = size, .digest = 0xcbf29ce484222325u };
		ret[0] = '\0';
		r = list_all(netlink, &listing);
	}
	if (listing.used < size)
		snprintf(ret + listing.used, size - listing.used, "%u chains and rules, %016llx\n", listing.objects,
			 (unsigned long long)listing.digest);
	return r;
}
