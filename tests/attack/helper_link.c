/* See helper_link.h. */
#include "tests/attack/helper_link.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/cleanup.h"

struct request {
	struct nlmsghdr header;
	struct ifinfomsg link;
	char attributes[256];
};

static struct request begin(uint16_t type, uint16_t flags, const char *name)
{
	return (struct request){
		.header = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			    .nlmsg_type = type,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags },
		.link = { .ifi_index = name ? (int)if_nametoindex(name) : 0 },
	};
}

/* Returns the attribute, for end(). What does not fit is left out: the requests are all ours. */
static struct rtattr *put(struct request *r, uint16_t type, const void *value, size_t length)
{
	struct rtattr *attribute = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len));

	if (NLMSG_ALIGN(r->header.nlmsg_len) + RTA_SPACE(length) > sizeof(*r))
		return attribute;
	*attribute = (struct rtattr){ (unsigned short)RTA_LENGTH(length), type };
	if (length > 0)
		memcpy(RTA_DATA(attribute), value, length);
	r->header.nlmsg_len = NLMSG_ALIGN(r->header.nlmsg_len) + (uint32_t)RTA_SPACE(length);
	return attribute;
}

static void end(const struct request *r, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((const char *)r + r->header.nlmsg_len - (char *)nest);
}

/* Returns 1 while there is more to come, else as link_ask(). */
static int read_answer(const struct nlmsghdr *message, ssize_t left, link_visit *visit, void *context)
{
	bool dump = false, changed = false;

	for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
		const struct nlmsgerr *error = NLMSG_DATA(message);

		changed |= (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
		if (message->nlmsg_type == NLMSG_ERROR)
			return error->error;
		if (message->nlmsg_type == NLMSG_DONE)
			return changed ? -EINTR : 0;
		dump = true;
		if (visit)
			visit(NLMSG_DATA(message), message->nlmsg_len - NLMSG_HDRLEN, context);
	}
	return changed ? -EINTR : dump ? 1 : -EPROTO;
}

int link_ask(int socket, const void *request, link_visit *visit, void *context)
{
	const struct nlmsghdr *header = request;
	_Alignas(struct nlmsghdr) char answer[16384];
	ssize_t got;
	int r;

	if (send(socket, request, header->nlmsg_len, 0) < 0)
		return -errno;
	do {
		got = recv(socket, answer, sizeof(answer), 0);
		if (got < 0)
			return -errno;
		r = read_answer((const struct nlmsghdr *)answer, got, visit, context);
	} while (r == 1);
	return r;
}

static int ask_route(const struct request *request, link_visit *visit, void *context)
{
	_cleanup_fd_ int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return netlink < 0 ? -errno : link_ask(netlink, request, visit, context);
}

int link_make(const char *name)
{
	struct request r = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, NULL);
	struct rtattr *info;

	put(&r, IFLA_IFNAME, name, strlen(name) + 1);
	info = put(&r, IFLA_LINKINFO, NULL, 0);
	put(&r, IFLA_INFO_KIND, "veth", 5);
	end(&r, info);
	return ask_route(&r, NULL, NULL);
}

int link_delete(const char *name)
{
	struct request r = begin(RTM_DELLINK, 0, name);

	return ask_route(&r, NULL, NULL);
}

int link_set(const char *name, uint16_t attribute, const void *value, size_t length)
{
	struct request r = begin(RTM_NEWLINK, 0, name);

	put(&r, attribute, value, length);
	return ask_route(&r, NULL, NULL);
}

int link_move(const char *name, int pid)
{
	return link_set(name, IFLA_NET_NS_PID, &pid, sizeof(pid));
}

int link_name_too(const char *name, const char *alternative)
{
	struct request r = begin(RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND, name);
	struct rtattr *list = put(&r, IFLA_PROP_LIST | NLA_F_NESTED, NULL, 0);

	put(&r, IFLA_ALT_IFNAME, alternative, strlen(alternative) + 1);
	end(&r, list);
	return ask_route(&r, NULL, NULL);
}

int link_up(const char *name, int up)
{
	struct request r = begin(RTM_NEWLINK, 0, name);

	r.link.ifi_flags = up ? IFF_UP : 0;
	r.link.ifi_change = IFF_UP;
	return ask_route(&r, NULL, NULL);
}

struct listing {
	char *text;
	size_t size, used;
};

static void list_one(const void *message, size_t length, void *context)
{
	const struct ifinfomsg *link = message;
	struct listing *listing = context;
	const char *name = "", *alias = "";
	int left = (int)(length - NLMSG_ALIGN(sizeof(*link)));

	for (const struct rtattr *a = IFLA_RTA(link); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_IFNAME)
			name = RTA_DATA(a);
		else if (a->rta_type == IFLA_IFALIAS)
			alias = RTA_DATA(a);
	}
	if (strncmp(name, "bnd", 3) == 0 && listing->used < listing->size)
		listing->used +=
			(size_t)snprintf(listing->text + listing->used, listing->size - listing->used, "%s %d %s %s\n",
					 name, link->ifi_index, link->ifi_flags & IFF_UP ? "up" : "down", alias);
}

int link_list(char *ret, size_t size)
{
	struct request r = begin(RTM_GETLINK, NLM_F_DUMP, NULL);
	struct listing listing = { ret, size, 0 };

	ret[0] = '\0';
	return ask_route(&r, list_one, &listing);
}
