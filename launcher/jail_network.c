/* Network inside the jail: see jail_network.h. */
#include "launcher/jail_network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/addresses.h"
#include "shared/cleanup.h"

#define DNS_PORT 53
#define DNS_BACKLOG 16
#define LOOPBACK_IFINDEX 1 /* the first interface of every network namespace */

static void free_socket(struct nl_sock **s)
{
	if (*s)
		nl_socket_free(*s);
}

static void put_link(struct rtnl_link **l)
{
	if (*l)
		rtnl_link_put(*l);
}

static void put_addr(struct rtnl_addr **a)
{
	if (*a)
		rtnl_addr_put(*a);
}

static void put_nl_addr(struct nl_addr **a)
{
	if (*a)
		nl_addr_put(*a);
}

static void put_neighbour(struct rtnl_neigh **n)
{
	if (*n)
		rtnl_neigh_put(*n);
}

static void put_route(struct rtnl_route **r)
{
	if (*r)
		rtnl_route_put(*r);
}

/* libnl's error numbers as errno values; only those with a meaning of their own matter to the user. */
static int code_of(int nl_error)
{
	switch (nl_error < 0 ? -nl_error : nl_error) {
	case NLE_PERM:
	case NLE_NOACCESS:
		return EPERM;
	case NLE_NOMEM:
		return ENOMEM;
	case NLE_EXIST:
		return EEXIST;
	case NLE_NODEV:
	case NLE_OBJ_NOTFOUND:
		return ENODEV;
	case NLE_OPNOTSUPP:
		return EOPNOTSUPP;
	default:
		return EINVAL;
	}
}

static int explain(struct error *e, int nl_error, const char *what)
{
	int code = code_of(nl_error);

	if (code == EPERM)
		return error_set(e, code,
				 "%s in the jail: %s. A security module takes the capabilities of new user namespaces "
				 "away; on Ubuntu 23.10 and later: "
				 "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or install an "
				 "AppArmor profile with `userns,` for boundary-launch",
				 what, nl_geterror(nl_error));
	return error_set(e, code, "%s in the jail: %s", what, nl_geterror(nl_error));
}

static int route_socket(struct nl_sock **ret, struct error *e)
{
	struct nl_sock *s = nl_socket_alloc();
	int r;

	if (!s)
		return error_errno(e, ENOMEM, "netlink socket");
	r = nl_connect(s, NETLINK_ROUTE);
	if (r < 0) {
		nl_socket_free(s);
		return explain(e, r, "netlink socket");
	}
	*ret = s;
	return 0;
}

static int change_link(struct nl_sock *s, int ifindex, struct rtnl_link *changes)
{
	_cleanup_(put_link) struct rtnl_link *link = rtnl_link_alloc();

	if (!link)
		return -NLE_NOMEM;
	rtnl_link_set_ifindex(link, ifindex);
	return rtnl_link_change(s, link, changes, 0);
}

static int link_up(struct nl_sock *s, int ifindex)
{
	_cleanup_(put_link) struct rtnl_link *changes = rtnl_link_alloc();

	if (!changes)
		return -NLE_NOMEM;
	rtnl_link_set_flags(changes, IFF_UP);
	return change_link(s, ifindex, changes);
}

/* Without a link-local address nothing of IPv6 can be sent over the cable. A kernel without IPv6 refuses, which is as
 * good. */
static void link_without_ipv6(struct nl_sock *s, int ifindex)
{
	_cleanup_(put_link) struct rtnl_link *changes = rtnl_link_alloc();

	if (changes && rtnl_link_inet6_set_addr_gen_mode(changes, IN6_ADDR_GEN_MODE_NONE) == 0)
		change_link(s, ifindex, changes);
}

static int add_address(struct nl_sock *s, int ifindex, int family, const void *bytes, size_t length, int prefix)
{
	_cleanup_(put_nl_addr) struct nl_addr *local = nl_addr_build(family, bytes, length);
	_cleanup_(put_addr) struct rtnl_addr *address = rtnl_addr_alloc();
	int r;

	if (!local || !address)
		return -NLE_NOMEM;
	nl_addr_set_prefixlen(local, prefix);
	rtnl_addr_set_ifindex(address, ifindex);
	/* Duplicate address detection would leave an IPv6 address unusable for a second. */
	if (family == AF_INET6)
		rtnl_addr_set_flags(address, IFA_F_NODAD);
	r = rtnl_addr_set_local(address, local);
	return r < 0 ? r : rtnl_addr_add(s, address, NLM_F_EXCL);
}

int jail_network_limit_orphans(void)
{
	_cleanup_fd_ int fd = open("/proc/sys/net/ipv4/tcp_orphan_retries", O_WRONLY | O_CLOEXEC);

	/* Two retransmissions, some 1.4 s in all: a process may leave a few octets behind for a peer that is only slow.
	 */
	return fd < 0 || write(fd, "2", 1) < 0 ? -errno : 0;
}

/* The helper has given both ends the Ethernet addresses that follow from these: nobody asks by ARP. */
static int add_neighbour(struct nl_sock *s, int ifindex, uint32_t address)
{
	const uint32_t octets = htonl(address);
	const struct ethernet_address ethernet = cable_ethernet_address(address);
	_cleanup_(put_nl_addr) struct nl_addr *to = nl_addr_build(AF_INET, &octets, sizeof(octets));
	_cleanup_(put_nl_addr) struct nl_addr *at = nl_addr_build(AF_LLC, ethernet.octets, sizeof(ethernet.octets));
	_cleanup_(put_neighbour) struct rtnl_neigh *neighbour = rtnl_neigh_alloc();

	if (!to || !at || !neighbour)
		return -NLE_NOMEM;
	rtnl_neigh_set_ifindex(neighbour, ifindex);
	rtnl_neigh_set_state(neighbour, NUD_PERMANENT);
	rtnl_neigh_set_lladdr(neighbour, at);
	rtnl_neigh_set_dst(neighbour, to);
	return rtnl_neigh_add(s, neighbour, NLM_F_CREATE | NLM_F_REPLACE);
}

static int add_default_route(struct nl_sock *s, int ifindex, uint32_t gateway)
{
	_cleanup_(put_nl_addr) struct nl_addr *via = nl_addr_build(AF_INET, &gateway, sizeof(gateway));
	_cleanup_(put_nl_addr) struct nl_addr *any = nl_addr_build(AF_INET, NULL, 0);
	_cleanup_(put_route) struct rtnl_route *route = rtnl_route_alloc();
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();

	if (!via || !any || !route || !hop) {
		if (hop)
			rtnl_route_nh_free(hop);
		return -NLE_NOMEM;
	}
	rtnl_route_nh_set_ifindex(hop, ifindex);
	rtnl_route_nh_set_gateway(hop, via);
	rtnl_route_add_nexthop(route, hop);
	rtnl_route_set_family(route, AF_INET);
	rtnl_route_set_scope(route, RT_SCOPE_UNIVERSE);
	rtnl_route_set_dst(route, any);
	return rtnl_route_add(s, route, NLM_F_EXCL);
}

int jail_network_configure(uint32_t host_address, uint32_t jail_address, struct error *e)
{
	_cleanup_(free_socket) struct nl_sock *s = NULL;
	const uint32_t local = htonl(jail_address);
	int eth0;
	int r;

	r = route_socket(&s, e);
	if (r < 0)
		return r;
	r = link_up(s, LOOPBACK_IFINDEX);
	if (r < 0)
		return explain(e, r, "bringing up lo");
	eth0 = (int)if_nametoindex("eth0");
	if (eth0 == 0)
		return error_errno(e, errno, "the cable's end eth0 did not arrive in the jail");
	link_without_ipv6(s, eth0);
	r = add_address(s, eth0, AF_INET, &local, sizeof(local), 31);
	if (r < 0)
		return explain(e, r, "adding eth0's address");
	r = link_up(s, eth0);
	if (r < 0)
		return explain(e, r, "bringing up eth0");
	r = add_neighbour(s, eth0, host_address);
	if (r < 0)
		return explain(e, r, "adding the host's end as a neighbour");
	r = add_default_route(s, eth0, htonl(host_address));
	return r < 0 ? explain(e, r, "adding the default route") : 0;
}

/* The socket address of port 53 of `server`; 0.0.0.0 and :: stand for the loopback addresses. Returns its length. */
static socklen_t dns_sockaddr(const struct nameserver *server, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	if (server->family == AF_INET) {
		*v4 = (struct sockaddr_in){ .sin_family = AF_INET,
					    .sin_port = htons(DNS_PORT),
					    .sin_addr = server->ipv4 };
		if (v4->sin_addr.s_addr == htonl(INADDR_ANY))
			v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*v4);
	}
	*v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(DNS_PORT), .sin6_addr = server->ipv6 };
	if (IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		v6->sin6_addr = in6addr_loopback;
	return sizeof(*v6);
}

static int add_to_loopback(const struct nameserver *server, struct error *e)
{
	_cleanup_(free_socket) struct nl_sock *s = NULL;
	const bool ipv4 = server->family == AF_INET;
	int r;

	r = route_socket(&s, e);
	if (r < 0)
		return r;
	r = add_address(s, LOOPBACK_IFINDEX, server->family, ipv4 ? (const void *)&server->ipv4 : &server->ipv6,
			ipv4 ? sizeof(server->ipv4) : sizeof(server->ipv6), ipv4 ? 32 : 128);
	return r < 0 && r != -NLE_EXIST ? explain(e, r, "adding a nameserver's address to lo") : 0;
}

static int bind_socket(const struct sockaddr_storage *address, socklen_t length, int type, int *ret)
{
	_cleanup_fd_ int fd = socket(address->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)address, length) < 0)
		return -errno;
	if (type == SOCK_STREAM && listen(fd, DNS_BACKLOG) < 0)
		return -errno;
	*ret = take_fd(&fd);
	return 0;
}

int jail_network_bind_dns(const struct nameserver *server, int *ret_udp, int *ret_tcp, struct error *e)
{
	struct sockaddr_storage local;
	socklen_t length = dns_sockaddr(server, &local);
	_cleanup_fd_ int udp = -1;
	int tcp = -1;
	int r;

	if (!nameserver_is_loopback(server)) {
		r = add_to_loopback(server, e);
		if (r < 0)
			return r;
	}
	r = bind_socket(&local, length, SOCK_DGRAM, &udp);
	if (r == 0)
		r = bind_socket(&local, length, SOCK_STREAM, &tcp);
	if (r < 0) {
		char address[INET6_ADDRSTRLEN] = "";

		inet_ntop(server->family, &server->ipv4, address, sizeof(address));
		return error_errno(e, -r, "the name server %s of " NAMESERVERS_PATH " is not there in the jail",
				   address);
	}
	*ret_udp = take_fd(&udp);
	*ret_tcp = tcp;
	return 0;
}
