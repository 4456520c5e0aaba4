/* The veth pair of a session: see cable.h. Messages: rtnetlink(7), linux/if_link.h, drivers/net/veth.c. */
#include "helper/cable.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shared/addresses.h"
#include "shared/cleanup.h"

#define HAS(claims, index) ((claims).indexes[(index) / 8] & 1 << (index) % 8)
#define ORPHANS_MAX 64    /* cables without a helper: about to go, with their jail, or kept there by somebody */
#define ATTEMPTS_MAX 1000 /* to claim an index; each time another transaction was faster */

/* Starts a message about the host's end, which is to be made, changed or deleted. */
static void link_message(struct netlink *n, uint16_t type, uint16_t flags, uint32_t ifindex, unsigned int set)
{
	const struct ifinfomsg header = { .ifi_index = (int)ifindex, .ifi_flags = set, .ifi_change = IFF_UP };

	netlink_message(n, type, NLM_F_ACK | flags, &header, sizeof(header));
}

static int create_pair(struct netlink *n, int netns, const struct helper_attached *names)
{
	const struct ethernet_address here = cable_ethernet_address(names->host_address);
	const struct ethernet_address there = cable_ethernet_address(names->jail_address);
	const struct ifinfomsg peer = { .ifi_family = AF_UNSPEC };

	link_message(n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, 0);
	netlink_put_string(n, IFLA_IFNAME, names->host_interface);
	netlink_put(n, IFLA_ADDRESS, &here, sizeof(here));
	netlink_nest(n, IFLA_LINKINFO);
	netlink_put_string(n, IFLA_INFO_KIND, "veth");
	netlink_nest(n, IFLA_INFO_DATA);
	netlink_nest(n, VETH_INFO_PEER);
	(void)nlmsg_append(n->request, (void *)&peer, sizeof(peer), NLMSG_ALIGNTO);
	netlink_put_string(n, IFLA_IFNAME, "eth0");
	netlink_put(n, IFLA_ADDRESS, &there, sizeof(there));
	netlink_put_u32(n, IFLA_NET_NS_FD, (uint32_t)netns);
	netlink_nest_end(n, 3);
	return netlink_send(n, n->route, NULL, NULL);
}

/* The number of bndNNNNN, which is also put there, or 0. */
static uint32_t find_interface(const struct netlink *n, uint32_t index, char ret_name[IFNAMSIZ])
{
	struct ifreq request = { 0 };

	snprintf(ret_name, IFNAMSIZ, "bnd%05u", index);
	memcpy(request.ifr_name, ret_name, IFNAMSIZ);
	return ioctl(n->route, SIOCGIFINDEX, &request) < 0 ? 0 : (uint32_t)request.ifr_ifindex;
}

/*
 * Claims the first index that neither a helper nor an interface has. A claim comes before its cable: one that is not
 * claimed is nobody's, and goes with its jail, if that is not kept. If many are, the next of them is the one to claim.
 * Whatever has the name of a claimed index is ours to delete, also what a helper that was killed left there just now.
 */
static int claim_lowest(struct netlink *n, const struct config *config, const struct claims *claims,
			uint32_t generation, struct cable *cable)
{
	struct helper_attached *names = &cable->names;
	uint32_t orphans = 0;
	int r = -EEXIST;

	for (uint32_t i = 0; r == -EEXIST && i < config->indexes; i++) {
		names->index = i;
		if (!HAS(*claims, i) && (!find_interface(n, i, names->host_interface) || orphans++ >= ORPHANS_MAX))
			r = claim_make(n, cable, generation);
		r = r == -EPERM ? -EEXIST : r;
	}
	names->host_ifindex = r == 0 ? find_interface(n, names->index, names->host_interface) : 0;
	return r;
}

/* May he, and may all, have one more? */
static int check_numbers(const struct config *config, const struct claims *claims, struct helper_failed *failed)
{
	if (claims->of_user >= config->per_user)
		*failed = (struct helper_failed){ HELPER_FAILURE_USER_SESSIONS, 0, config->per_user };
	else if (claims->of_all >= config->in_total)
		*failed = (struct helper_failed){ HELPER_FAILURE_ALL_SESSIONS, 0, config->in_total };
	else
		return 0;
	return -EDQUOT;
}

/*
 * Counts, and claims if nothing has changed since: of helpers started at once one does, and the others count again. One
 * that is one too many, or is stopped in between, holds nothing.
 */
static int take_index(struct netlink *n, const struct config *config, struct cable *cable, struct helper_failed *failed)
{
	static struct claims claims;
	uint32_t generation;
	int r = -ERESTART;

	failed->failure = HELPER_FAILURE_GUARD;
	for (int attempts = ATTEMPTS_MAX; r == -ERESTART && attempts > 0; attempts--)
		r = nft_generation(n, &generation) ?: claims_count(n, cable->user, &claims) ?:
		    check_numbers(config, &claims, failed) ?: claim_lowest(n, config, &claims, generation, cable);
	if (r == -EEXIST)
		*failed = (struct helper_failed){ HELPER_FAILURE_NO_FREE_INDEX, 0, config->indexes };
	return r == -ERESTART ? -EAGAIN : r;
}

static void is_specific(struct nlmsghdr *answer, void *context)
{
	const struct rtmsg *route = nlmsg_data(answer);

	*(bool *)context |= answer->nlmsg_type == RTM_NEWROUTE && route->rtm_dst_len >= 8;
}

/*
 * Does the host use this address otherwise? Its own addresses are routes, too (RTN_LOCAL). Default routes are not
 * meant, nor the halves of one that VPNs install.
 */
static bool is_routed(struct netlink *n, uint32_t address)
{
	const struct rtmsg header = { .rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = RTM_F_FIB_MATCH };
	bool routed = false;

	netlink_message(n, RTM_GETROUTE, NLM_F_ACK, &header, sizeof(header));
	netlink_put_u32(n, RTA_DST, htonl(address));
	(void)netlink_send(n, n->route, is_specific, &routed); /* an error says that there is no route */
	return routed;
}

/*
 * Whose it is; and of this one interface, whatever the host's defaults are (linux/ip.h, ip-sysctl), that nothing is
 * routed from it and that the host has no IPv6 address on it. What the jail sends is the guard's matter.
 */
static int configure(struct netlink *n, const struct cable *cable, bool ipv6)
{
	char alias[64];

	snprintf(alias, sizeof(alias), "boundary uid=%u pid=%d", cable->user, getppid());
	link_message(n, RTM_NEWLINK, 0, cable->names.host_ifindex, 0);
	netlink_put_string(n, IFLA_IFALIAS, alias);
	netlink_nest(n, IFLA_AF_SPEC);
	netlink_nest(n, AF_INET);
	netlink_nest(n, IFLA_INET_CONF);
	netlink_put_u32(n, IPV4_DEVCONF_FORWARDING, 0);
	netlink_put_u32(n, IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0);
	netlink_nest_end(n, 2);
	if (ipv6) {
		netlink_nest(n, AF_INET6);
		(void)nla_put_u8(n->request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
		netlink_nest_end(n, 1);
	}
	netlink_nest_end(n, 1);
	return netlink_send(n, n->route, NULL, NULL);
}

/* What the kernel would still send by itself, where /proc/sys can be written. The guard does not depend on it. */
static void silence_ipv6(const struct cable *cable)
{
	_cleanup_fd_ int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", cable->names.host_interface);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	(void)!write(fd, "1", 1);
}

/*
 * A /31 (RFC 3021) of scope link: never the source address of what the host sends by other interfaces. The neighbour is
 * known: no ARP, and no entry of the one table for all network namespaces, which holds 1,024 (gc_thresh3 in arp(7)).
 */
static int add_addresses(struct netlink *n, const struct helper_attached *names)
{
	const struct ifaddrmsg address = {
		.ifa_family = AF_INET, .ifa_prefixlen = 31, .ifa_scope = RT_SCOPE_LINK, .ifa_index = names->host_ifindex
	};
	const struct ndmsg neighbour = { .ndm_family = AF_INET,
					 .ndm_ifindex = (int)names->host_ifindex,
					 .ndm_state = NUD_PERMANENT };
	const struct ethernet_address there = cable_ethernet_address(names->jail_address);

	netlink_message(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &address, sizeof(address));
	netlink_put_u32(n, IFA_LOCAL, htonl(names->host_address));
	netlink_message(n, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &neighbour, sizeof(neighbour));
	netlink_put_u32(n, NDA_DST, htonl(names->jail_address));
	netlink_put(n, NDA_LLADDR, &there, sizeof(there));
	return netlink_send(n, n->route, NULL, NULL);
}

int cable_create(struct netlink *n, const struct config *config, int netns, struct cable *cable,
		 struct helper_failed *failed)
{
	struct helper_attached *names = &cable->names;
	int r = take_index(n, config, cable, failed);

	names->host_address = config->pool + 2 * names->index;
	names->jail_address = names->host_address + 1;
	if (r < 0)
		return r;
	failed->failure = HELPER_FAILURE_LINK;
	r = names->host_ifindex != 0 ? cable_set(n, names->host_ifindex, CABLE_GONE) : 0;
	r = r ?: create_pair(n, netns, names);
	names->host_ifindex = find_interface(n, names->index, names->host_interface); /* also if the answer is lost */
	if (r < 0)
		return r;
	/* Not earlier: now the kernel has removed the routes of the one that had this name before. */
	if (is_routed(n, names->host_address) || is_routed(n, names->jail_address)) {
		*failed = (struct helper_failed){ HELPER_FAILURE_POOL, 0, names->host_address };
		return -EADDRINUSE;
	}
	r = configure(n, cable, true);
	if (r == -EAFNOSUPPORT) /* a kernel, or an interface, without IPv6 */
		r = configure(n, cable, false);
	silence_ipv6(cable);
	return r < 0 ? r : add_addresses(n, names);
}

int cable_set(struct netlink *n, uint32_t ifindex, enum cable_state state)
{
	int r;

	link_message(n, state == CABLE_GONE ? RTM_DELLINK : RTM_NEWLINK, 0, ifindex, state == CABLE_UP ? IFF_UP : 0);
	r = netlink_send(n, n->route, NULL, NULL);
	return r == -ENODEV && state != CABLE_UP ? 0 : r; /* it goes with the jail's namespace, too */
}
