/* NETLINK_ROUTE of the fake kernel: interfaces, addresses, routes (rtnetlink(7), net/core/rtnetlink.c). */
#include "tests/fuzz/fake_kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

/* Requirement: what passes the checks is the caller's own jail, or for user 0 a neighbour. */
static bool may_have_cable(enum fake_object object)
{
	return object == FAKE_JAIL || (object == FAKE_HOST_NEIGHBOUR && fake.user == 0);
}

/* Requirement: up is only what is guarded, has its address, and does not forward. */
static void check_link(const struct fake_link *link)
{
	require(!link->up || !link->made || fake.lied ||
		((fake_link_is_guarded(link) || fake.flushed) && link->address != 0 && !link->forwards));
}

static int change_link(struct fake_link *link, const struct ifinfomsg *header, struct fake_attributes attributes)
{
	struct fake_attributes family = fake_nested(attributes, IFLA_AF_SPEC), settings;
	const char *alias = fake_string(attributes, IFLA_IFALIAS);

	if (family.at && fake_nested(family, AF_INET6).at && !fake.ipv6)
		return -EAFNOSUPPORT;
	if (family.at && fake_nested(family, AF_INET).at) {
		settings = fake_nested(fake_nested(family, AF_INET), IFLA_INET_CONF);
		require(settings.at);
		link->forwards = fake_number(settings, IPV4_DEVCONF_FORWARDING, link->forwards);
	}
	if (alias)
		snprintf(link->alias, sizeof(link->alias), "%s", alias);
	if (header->ifi_change & IFF_UP)
		link->up = header->ifi_flags & IFF_UP;
	check_link(link);
	return 0;
}

static int create_link(const struct nlmsghdr *message, const struct ifinfomsg *header,
		       struct fake_attributes attributes)
{
	struct fake_attributes info = fake_nested(attributes, IFLA_LINKINFO), peer = fake_nested(info, IFLA_INFO_DATA);
	const char *name = fake_string(attributes, IFLA_IFNAME), *kind = fake_string(info, IFLA_INFO_KIND);
	struct fake_link *link;
	enum fake_object object;

	/* Requirement: a cable is made once, on a request in its state, into a namespace of the caller's. */
	require(fake.may_attach && fake.n_created <= 1);
	require(name && kind && strcmp(kind, "veth") == 0 && (message->nlmsg_flags & NLM_F_EXCL));
	peer = fake_nested(peer, VETH_INFO_PEER);
	require(peer.length > sizeof(struct ifinfomsg));
	peer.at += sizeof(struct ifinfomsg);
	peer.length -= sizeof(struct ifinfomsg);
	require(strcmp(fake_string(peer, IFLA_IFNAME), "eth0") == 0);
	object = fake_object_of((int)fake_number(peer, IFLA_NET_NS_FD, UINT32_MAX));
	require(may_have_cable(object));
	if (fake_link_by_name(name) || (object == FAKE_JAIL && fake.jail_has_eth0))
		return -EEXIST;
	link = fake_link_add(name);
	if (!link)
		return -ENFILE;
	link->made = true;
	link->peer = object;
	fake.jail_has_eth0 |= object == FAKE_JAIL;
	fake.n_created++;
	return change_link(link, header, attributes);
}

/* RTM_NEWLINK, RTM_SETLINK, RTM_DELLINK. */
static int handle_link(const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = NLMSG_DATA(message);
	struct fake_attributes attributes = fake_behind(message, sizeof(*header));
	struct fake_link *link = fake_link_by_index((uint32_t)header->ifi_index);

	/* Requirement: the capability is in effect for a request of the kernel, and not before (see fake_calls.c). */
	require(fake.privileges == PRIVILEGES_EFFECTIVE);
	if (message->nlmsg_flags & NLM_F_CREATE)
		return create_link(message, header, attributes);
	if (!link && header->ifi_index == 0 && fake_string(attributes, IFLA_IFNAME))
		link = fake_link_by_name(fake_string(attributes, IFLA_IFNAME));
	if (!link)
		return -ENODEV;
	/* Requirement: no interface is touched but the session's own, and what had the name of the index it claimed. */
	require(link->made || fake.lied || (message->nlmsg_type == RTM_DELLINK && fake_is_claimed(link)));
	if (message->nlmsg_type != RTM_DELLINK)
		return change_link(link, header, attributes);
	link->index = 0;
	fake.jail_has_eth0 &= link->peer != FAKE_JAIL;
	return 0;
}

static int handle_address(const struct nlmsghdr *message)
{
	const struct ifaddrmsg *header = NLMSG_DATA(message);
	struct fake_attributes attributes = fake_behind(message, sizeof(*header));
	struct fake_link *link = fake_link_by_index(header->ifa_index);
	uint32_t address = ntohl(fake_number(attributes, IFA_LOCAL, 0));

	require(fake.privileges == PRIVILEGES_EFFECTIVE && fake.may_attach);
	if (!link)
		return -ENODEV;
	require(link->made || fake.lied);
	require(header->ifa_family == AF_INET && header->ifa_prefixlen == 31 && header->ifa_scope == RT_SCOPE_LINK);
	if (link->address != 0)
		return -EEXIST;
	link->address = address;
	return 0;
}

/* Answers -----------------------------------------------------------------------------------------------------------
 */

static void describe_route(struct fake_part *part, struct fake_socket *socket, const struct nlmsghdr *question,
			   const struct fake_prefix *prefix)
{
	const struct rtmsg header = { .rtm_family = AF_INET,
				      .rtm_dst_len = prefix->route ? prefix->length : 32,
				      .rtm_table = prefix->route ? RT_TABLE_MAIN : RT_TABLE_LOCAL,
				      .rtm_type = prefix->route ? RTN_UNICAST : RTN_LOCAL };
	uint32_t value = htonl(prefix->address), device = 1;
	size_t at = fake_begin(part, socket, question, RTM_NEWROUTE, &header, sizeof(header));

	if (header.rtm_dst_len > 0)
		fake_put(part, RTA_DST, &value, sizeof(value));
	fake_put(part, RTA_OIF, &device, sizeof(device));
	fake_end(part, at);
}

static bool contains(const struct fake_prefix *prefix, uint32_t address)
{
	unsigned int length = prefix->route ? prefix->length : 32;

	return length == 0 || (prefix->address ^ address) >> (32 - length) == 0;
}

/* The longest prefix that has the address; an address of the host's is one itself. */
static int tell_route(struct fake_socket *socket, const struct nlmsghdr *question)
{
	static struct fake_part part;
	struct fake_attributes attributes = fake_behind(question, sizeof(struct rtmsg));
	uint32_t address = ntohl(fake_number(attributes, RTA_DST, 0));
	const struct fake_prefix *best = NULL;

	for (size_t i = 0; i < fake.n_prefixes; i++) {
		const struct fake_prefix *prefix = &fake.prefixes[i];

		if (contains(prefix, address) &&
		    (!best || !prefix->route || (best->route && prefix->length > best->length)))
			best = prefix;
	}
	if (!best)
		return -ENETUNREACH;
	part.length = 0;
	describe_route(&part, socket, question, best);
	fake_answer(socket, part.bytes, part.length);
	return 0;
}

static int handle_neighbour(const struct nlmsghdr *message)
{
	const struct ndmsg *header = NLMSG_DATA(message);
	struct fake_attributes attributes = fake_behind(message, sizeof(*header));
	const struct fake_link *link = fake_link_by_index((uint32_t)header->ndm_ifindex);

	require(fake.privileges == PRIVILEGES_EFFECTIVE && fake.may_attach);
	if (!link)
		return -ENODEV;
	require((link->made || fake.lied) && fake_number(attributes, NDA_DST, 0) != 0);
	return 0;
}

static int handle(struct fake_socket *socket, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_SETLINK:
	case RTM_DELLINK:
		return handle_link(message);
	case RTM_NEWADDR:
		return handle_address(message);
	case RTM_NEWNEIGH:
		return handle_neighbour(message);
	case RTM_GETROUTE:
		return tell_route(socket, message);
	default:
		return -EOPNOTSUPP;
	}
}

void fake_execute_route(struct fake_socket *socket, const void *bytes, size_t length)
{
	const struct nlmsghdr *message;

	while ((message = fake_message(&bytes, &length))) {
		require(message->nlmsg_flags & NLM_F_REQUEST);
		fake_acknowledge(socket, message, handle(socket, message));
	}
}
