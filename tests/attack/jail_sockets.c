/* Sockets that could reach around the cable, or the kernel's rarely used corners. */
#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/attack/jail_attempt.h"
#include "tests/attack/tap.h"

#define FAMILIES_END 64 /* AF_MAX is below */
#define NETLINK_END 32  /* MAX_LINKS */
#define PROTOCOL_MPTCP 262
#define PROTOCOL_SMC 256
#define PROTOCOL_L2TP 115

static int open_socket(uint64_t family, uint64_t type, uint64_t protocol)
{
	return attempt_errno(syscall(SYS_socket, family, type, protocol));
}

#define SOCKET_ATTEMPT(name, family, type, protocol)        \
	static int name(void)                               \
	{                                                   \
		return open_socket(family, type, protocol); \
	}

SOCKET_ATTEMPT(vsock_stream, AF_VSOCK, SOCK_STREAM, 0)
SOCKET_ATTEMPT(vsock_datagram, AF_VSOCK, SOCK_DGRAM | SOCK_CLOEXEC, 0)
SOCKET_ATTEMPT(vsock_high_bits, AF_VSOCK | ATTEMPT_HIGH_BIT, SOCK_STREAM | ATTEMPT_HIGH_BIT, 0)
SOCKET_ATTEMPT(packet_raw, AF_PACKET, SOCK_RAW, 0x0300)
SOCKET_ATTEMPT(packet_datagram, AF_PACKET, SOCK_DGRAM, 0x0300)
SOCKET_ATTEMPT(packet_high_bits, AF_PACKET | ATTEMPT_HIGH_BIT << 31, SOCK_RAW, 0x0300)
SOCKET_ATTEMPT(algorithm, AF_ALG, SOCK_SEQPACKET, 0)
SOCKET_ATTEMPT(bluetooth, 31 /* AF_BLUETOOTH */, SOCK_RAW, 1)
SOCKET_ATTEMPT(xdp, 44 /* AF_XDP */, SOCK_RAW, 0)
SOCKET_ATTEMPT(tipc, 30 /* AF_TIPC */, SOCK_SEQPACKET, 0)
SOCKET_ATTEMPT(can, 29 /* AF_CAN */, SOCK_RAW, 1)
SOCKET_ATTEMPT(key, AF_KEY, SOCK_RAW, 2)
SOCKET_ATTEMPT(netfilter, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)
SOCKET_ATTEMPT(uevent, AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT)
SOCKET_ATTEMPT(generic_netlink, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC)
SOCKET_ATTEMPT(socket_diagnosis, AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG)
SOCKET_ATTEMPT(netfilter_high_bits, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER | ATTEMPT_HIGH_BIT)
SOCKET_ATTEMPT(raw, AF_INET, SOCK_RAW, 0)
SOCKET_ATTEMPT(raw_tcp, AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_TCP)
SOCKET_ATTEMPT(raw_6, AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP)
SOCKET_ATTEMPT(raw_high_bits, AF_INET, SOCK_RAW | ATTEMPT_HIGH_BIT, 0)
SOCKET_ATTEMPT(socket_packet, AF_INET, SOCK_PACKET, 0)
SOCKET_ATTEMPT(dccp, AF_INET, SOCK_DCCP, 0)
SOCKET_ATTEMPT(sctp_seqpacket, AF_INET, SOCK_SEQPACKET, 0)
SOCKET_ATTEMPT(ping, AF_INET, SOCK_DGRAM, IPPROTO_ICMP)
SOCKET_ATTEMPT(ping_6, AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6)
SOCKET_ATTEMPT(sctp, AF_INET, SOCK_STREAM, IPPROTO_SCTP)
SOCKET_ATTEMPT(udplite, AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE)
SOCKET_ATTEMPT(udplite_6, AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDPLITE)
SOCKET_ATTEMPT(mptcp, AF_INET, SOCK_STREAM, PROTOCOL_MPTCP)
SOCKET_ATTEMPT(smc, AF_INET, SOCK_STREAM, PROTOCOL_SMC)
SOCKET_ATTEMPT(l2tp, AF_INET6, SOCK_DGRAM, PROTOCOL_L2TP)

static int pair(int family)
{
	int fds[2];

	return attempt_errno(socketpair(family, SOCK_STREAM, 0, fds));
}

static int tipc_pair(void)
{
	return pair(30 /* AF_TIPC */);
}

static int vsock_pair(void)
{
	return pair(AF_VSOCK);
}

static const struct attempt sockets[] = {
	{ "AF_VSOCK stream socket", vsock_stream, EAFNOSUPPORT },
	{ "AF_VSOCK datagram socket", vsock_datagram, EAFNOSUPPORT },
	{ "AF_VSOCK with a bit above the int", vsock_high_bits, EAFNOSUPPORT },
	{ "AF_PACKET raw socket", packet_raw, EAFNOSUPPORT },
	{ "AF_PACKET datagram socket", packet_datagram, EAFNOSUPPORT },
	{ "AF_PACKET with the highest bit set", packet_high_bits, EAFNOSUPPORT },
	{ "AF_ALG socket", algorithm, EAFNOSUPPORT },
	{ "AF_BLUETOOTH socket", bluetooth, EAFNOSUPPORT },
	{ "AF_XDP socket", xdp, EAFNOSUPPORT },
	{ "AF_TIPC socket", tipc, EAFNOSUPPORT },
	{ "AF_CAN socket", can, EAFNOSUPPORT },
	{ "AF_KEY socket", key, EAFNOSUPPORT },
	{ "NETLINK_NETFILTER socket", netfilter, EPROTONOSUPPORT },
	{ "NETLINK_KOBJECT_UEVENT socket", uevent, EPROTONOSUPPORT },
	{ "NETLINK_GENERIC socket", generic_netlink, EPROTONOSUPPORT },
	{ "NETLINK_SOCK_DIAG socket", socket_diagnosis, EPROTONOSUPPORT },
	{ "NETLINK_NETFILTER with a bit above the int", netfilter_high_bits, EPROTONOSUPPORT },
	{ "raw IPv4 socket", raw, EPERM },
	{ "raw IPv4 TCP socket", raw_tcp, EPERM },
	{ "raw IPv6 socket", raw_6, EPERM },
	{ "raw IPv4 socket with a bit above the int", raw_high_bits, EPERM },
	{ "SOCK_PACKET socket", socket_packet, EPERM },
	{ "DCCP socket", dccp, EPERM },
	{ "SOCK_SEQPACKET socket of IPv4", sctp_seqpacket, EPERM },
	{ "ICMP socket", ping, EPROTONOSUPPORT },
	{ "ICMPv6 socket", ping_6, EPROTONOSUPPORT },
	{ "SCTP socket", sctp, EPROTONOSUPPORT },
	{ "UDP-Lite socket", udplite, EPROTONOSUPPORT },
	{ "UDP-Lite socket of IPv6", udplite_6, EPROTONOSUPPORT },
	{ "MPTCP socket", mptcp, EPROTONOSUPPORT },
	{ "SMC socket", smc, EPROTONOSUPPORT },
	{ "L2TP socket", l2tp, EPROTONOSUPPORT },
	{ "AF_TIPC socket pair", tipc_pair, EAFNOSUPPORT },
	{ "AF_VSOCK socket pair", vsock_pair, EAFNOSUPPORT },
};

/* Appends " NUMBER" to the list of what got through. */
static void note_through(char *list, size_t size, unsigned int number)
{
	size_t length = strlen(list);

	snprintf(list + length, size - length, " %u", number);
}

static void attempt_all_families(void)
{
	static const uint64_t types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET };
	char through[256] = "";

	for (unsigned int family = 0; family < FAMILIES_END; family++) {
		if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
			continue;
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
			if (open_socket(family, types[i], 0) != EAFNOSUPPORT)
				note_through(through, sizeof(through), family);
		}
	}
	tap_check(!through[0], "every family but unix, inet, inet6 and netlink", "other answers of%s", through);
}

static void attempt_all_netlink(void)
{
	char through[256] = "";

	for (unsigned int protocol = 1; protocol < NETLINK_END; protocol++) {
		if (open_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol) != EPROTONOSUPPORT)
			note_through(through, sizeof(through), protocol);
	}
	tap_check(!through[0], "every netlink protocol but NETLINK_ROUTE", "other answers of%s", through);
}

void attempt_sockets(void)
{
	attempt_all(sockets, sizeof(sockets) / sizeof(sockets[0]));
	attempt_all_families();
	attempt_all_netlink();
}
