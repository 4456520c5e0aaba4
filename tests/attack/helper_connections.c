/* See helper_connections.h. */
#include "tests/attack/helper_connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_link.h"

struct search {
	uint32_t address;
	struct connections *found;
};

static const struct rtattr *find(const void *bytes, size_t length, int type)
{
	int left = (int)length;

	for (const struct rtattr *a = bytes; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return a;
	return NULL;
}

static const struct rtattr *within(const struct rtattr *nest, int type)
{
	return nest ? find(RTA_DATA(nest), RTA_PAYLOAD(nest), type) : NULL;
}

static uint32_t number(const struct rtattr *attribute)
{
	uint32_t value = 0;

	if (attribute)
		memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return ntohl(value);
}

static void look(const void *message, size_t length, void *context)
{
	const char *attributes = (const char *)message + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	const struct search *search = context;
	uint32_t left;

	length -= NLMSG_ALIGN(sizeof(struct nfgenmsg));
	if (number(within(within(find(attributes, length, CTA_TUPLE_ORIG), CTA_TUPLE_IP), CTA_IP_V4_SRC)) !=
	    search->address)
		return;
	left = number(find(attributes, length, CTA_TIMEOUT));
	search->found->count++;
	if (left > search->found->longest)
		search->found->longest = left;
}

int connections_list(uint32_t address, struct connections *ret)
{
	_cleanup_fd_ int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	const struct {
		struct nlmsghdr header;
		struct nfgenmsg family;
	} request = { .header = { .nlmsg_len = sizeof(request),
				  .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
				  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		      .family = { .nfgen_family = AF_INET } };
	struct search search = { address, ret };

	*ret = (struct connections){ 0 };
	return netlink < 0 ? -errno : link_ask(netlink, &request, look, &search);
}
