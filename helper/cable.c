/* The veth pair of a session: see cable.h. Messages: rtnetlink(7), linux/if_link.h, drivers/net/veth.c. */
#include "helper/cable.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ip.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <unistd.h>

#include "helper/netlink.h"
#include "shared/addresses.h"
#include "shared/cleanup.h"

/* Starts a message about the host's end, which is to be made, changed or deleted. */
static void link_message(struct netlink *n, uint16_t type, uint16_t flags, uint32_t ifindex, unsigned int set)
{
	const struct ifinfomsg header = { .ifi_index = (int)ifindex, .ifi_flags = set, .ifi_change = IFF_UP };

	netlink_message(n, type, NLM_F_ACK | flags, &header, sizeof(header));
}

static int create_pair(int socket, int netns, const char *name)
{
	const struct ifinfomsg peer = { .ifi_family = AF_UNSPEC };
	struct netlink n = { 0 };

	link_message(&n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, 0);
	netlink_put_string(&n, IFLA_IFNAME, name);
	netlink_nest(&n, IFLA_LINKINFO);
	netlink_put_string(&n, IFLA_INFO_KIND, "veth");
	netlink_nest(&n, IFLA_INFO_DATA);
	netlink_nest(&n, VETH_INFO_PEER);
	netlink_append(&n, &peer, sizeof(peer));
	netlink_put_string(&n, IFLA_IFNAME, "eth0");
	netlink_put_u32(&n, IFLA_NET_NS_FD, (uint32_t)netns);
	netlink_nest_end(&n, 3);
	return netlink_send(socket, &n, NULL, NULL);
}

/*
 * Takes the first name that is free. If one exists that nobody has, it is the jail's eth0 that does, or its owner went
 * just now: so it is tried once more, and no other.
 */
static int claim_name(int socket, int netns, struct helper_attached *ret)
{
	bool again = false;
	int r = -EEXIST;

	for (uint32_t index = 0; r == -EEXIST && index < CABLE_INDEX_COUNT; index += !again) {
		snprintf(ret->host_interface, sizeof(ret->host_interface), "bnd%05u", index);
		ret->index = index;
		ret->host_address = cable_host_address(index);
		ret->jail_address = cable_jail_address(index);
		r = create_pair(socket, netns, ret->host_interface);
		if (again)
			break;
		again = r == -EEXIST && if_nametoindex(ret->host_interface) == 0;
	}
	if (r < 0)
		return r == -EEXIST && !again ? -ENOSPC : r;
	ret->host_ifindex = if_nametoindex(ret->host_interface);
	return ret->host_ifindex == 0 ? -errno : 0;
}

/*
 * Whose it is; and of this one interface, whatever the host's defaults are (linux/ip.h, ip-sysctl), that nothing is
 * routed from it and that the host has no IPv6 address on it. What the jail sends is the guard's matter.
 */
static int configure(int socket, const struct helper_attached *cable, uid_t user, bool ipv6)
{
	const uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
	struct netlink n = { 0 };
	char alias[64];

	snprintf(alias, sizeof(alias), "boundary uid=%u pid=%d", user, getppid());
	link_message(&n, RTM_NEWLINK, 0, cable->host_ifindex, 0);
	netlink_put_string(&n, IFLA_IFALIAS, alias);
	netlink_nest(&n, IFLA_AF_SPEC);
	netlink_nest(&n, AF_INET);
	netlink_nest(&n, IFLA_INET_CONF);
	netlink_put_u32(&n, IPV4_DEVCONF_FORWARDING, 0);
	netlink_put_u32(&n, IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0);
	netlink_nest_end(&n, 2);
	if (ipv6) {
		netlink_nest(&n, AF_INET6);
		netlink_put(&n, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
		netlink_nest_end(&n, 1);
	}
	netlink_nest_end(&n, 1);
	return netlink_send(socket, &n, NULL, NULL);
}

/* What the kernel would still send by itself, where /proc/sys can be written. The guard does not depend on it. */
static void silence_ipv6(const struct helper_attached *cable)
{
	_cleanup_fd_ int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", cable->host_interface);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	(void)!write(fd, "1", 1);
}

/* A /31 (RFC 3021) of scope link: never the source address of what the host sends by other interfaces. */
static int add_address(int socket, const struct helper_attached *cable)
{
	const struct ifaddrmsg header = {
		.ifa_family = AF_INET, .ifa_prefixlen = 31, .ifa_scope = RT_SCOPE_LINK, .ifa_index = cable->host_ifindex
	};
	struct netlink n = { 0 };

	netlink_message(&n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &header, sizeof(header));
	netlink_put_u32(&n, IFA_LOCAL, htonl(cable->host_address));
	return netlink_send(socket, &n, NULL, NULL);
}

int cable_create(int socket, int netns, uid_t user, struct helper_attached *ret)
{
	int r = claim_name(socket, netns, ret);

	if (r < 0)
		return r;
	r = configure(socket, ret, user, true);
	if (r == -EAFNOSUPPORT) /* a kernel, or an interface, without IPv6 */
		r = configure(socket, ret, user, false);
	silence_ipv6(ret);
	return r < 0 ? r : add_address(socket, ret);
}

int cable_set(int socket, const struct helper_attached *cable, enum cable_state state)
{
	struct netlink n = { 0 };
	int r;

	link_message(&n, state == CABLE_GONE ? RTM_DELLINK : RTM_NEWLINK, 0, cable->host_ifindex,
		     state == CABLE_UP ? IFF_UP : 0);
	r = netlink_send(socket, &n, NULL, NULL);
	return r == -ENODEV && state != CABLE_UP ? 0 : r; /* it goes with the jail's namespace, too */
}
