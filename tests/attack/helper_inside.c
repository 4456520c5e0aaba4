/* See helper_inside.h. */
#include "tests/attack/helper_inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/addresses.h"
#include "shared/cleanup.h"

#define CONNECTIONS_MAX 900
#define GUARD_MARK 0x626e64
#define IP_AT 14 /* in a frame without tags */
#define MORE_FRAGMENTS 0x2000

struct order {
	inside_act *act;
	_Alignas(8) unsigned char in[2048];
};

static void live(int control)
{
	struct order order;

	while (recv(control, &order, sizeof(order), 0) == sizeof(order)) {
		int r = order.act(order.in);

		send(control, &r, sizeof(r), MSG_NOSIGNAL);
	}
}

struct helper_jail inside_jail(void)
{
	return helper_jail_start(0, 0, CLONE_NEWUSER | CLONE_NEWNET, live);
}

int inside_do(const struct helper_jail *jail, inside_act *act, const void *in, size_t size)
{
	struct order order = { .act = act };
	int r;

	if (size > sizeof(order.in))
		return -EMSGSIZE;
	if (size > 0)
		memcpy(order.in, in, size);
	if (send(jail->control, &order, sizeof(order), MSG_NOSIGNAL) < 0 ||
	    recv(jail->control, &r, sizeof(r), 0) != sizeof(r))
		return -EPIPE;
	return r;
}

/* Configuration: netdevice(7), arp(7), rtnetlink's forerunner -------------------------------------------------------
 */

static struct sockaddr_in at(uint32_t address, uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(address),
				     .sin_port = htons(port) };
}

static void put_address(struct sockaddr *ret, uint32_t address)
{
	const struct sockaddr_in in = at(address, 0);

	memcpy(ret, &in, sizeof(in));
}

static int set_state(int any, short flags)
{
	struct ifreq request = { .ifr_name = "eth0", .ifr_flags = flags };

	return ioctl(any, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

int inside_configure(const void *in)
{
	_cleanup_fd_ int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct helper_attached *cable = in;
	const struct ethernet_address host = cable_ethernet_address(cable->host_address);
	struct ifreq address = { .ifr_name = "eth0" }, mask = { .ifr_name = "eth0" };
	struct arpreq neighbour = { .arp_flags = ATF_COM | ATF_PERM, .arp_dev = "eth0" };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };

	put_address(&address.ifr_addr, cable->jail_address);
	put_address(&mask.ifr_netmask, 0xfffffffe);
	put_address(&neighbour.arp_pa, cable->host_address);
	neighbour.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(neighbour.arp_ha.sa_data, &host, sizeof(host));
	put_address(&route.rt_dst, 0);
	put_address(&route.rt_genmask, 0);
	put_address(&route.rt_gateway, cable->host_address);
	if (ioctl(any, SIOCSIFADDR, &address) < 0 || ioctl(any, SIOCSIFNETMASK, &mask) < 0 ||
	    set_state(any, IFF_UP) < 0 || ioctl(any, SIOCSARP, &neighbour) < 0 || ioctl(any, SIOCADDRT, &route) < 0)
		return -errno;
	return 0;
}

int inside_down(const void *in)
{
	_cleanup_fd_ int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)in;
	return set_state(any, 0);
}

/* Frames ----------------------------------------------------------------------------------------------------------- */

/* What the socket sends has the mark that lets packets pass the guard: it is not to get to the other end. */
static void disguise(int fd)
{
	setsockopt(fd, SOL_SOCKET, SO_MARK, &(int){ GUARD_MARK }, sizeof(int));
}

static int packet_socket(void)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_IP),
				       .sll_ifindex = (int)if_nametoindex("eth0") };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	disguise(fd);
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		close_fd(&fd);
	return fd;
}

static int transmit(int fd, const struct frame *frame)
{
	return send(fd, frame->octets, frame->length, 0) < 0 ? -errno : 0;
}

/* The packet anew, with what may differ from one copy to the next, and whole or a part of the payload. */
static int transmit_part(int fd, const struct inside_frames *frames, const struct frame_packet *packet, size_t from,
			 size_t length)
{
	struct frame_packet part = *packet;
	struct helper_attached cable = { .jail_address = packet->from };
	struct frame frame;

	part.payload = (const char *)packet->payload + from;
	part.size = length;
	if (frames->second > 0)
		part.fragment = (uint16_t)(from / 8 | (from == 0 ? MORE_FRAGMENTS : 0));
	frame_make(&cable, &part, &frame);
	memcpy(frame.octets, frames->frame.octets, 12);
	return transmit(fd, &frame);
}

static uint32_t read32(const unsigned char *octets)
{
	uint32_t value;

	memcpy(&value, octets, sizeof(value));
	return ntohl(value);
}

static int transmit_copies(int fd, const struct inside_frames *frames)
{
	const unsigned char *ip = frames->frame.octets + IP_AT;
	unsigned char payload[sizeof(frames->frame.octets)];
	struct frame_packet packet = { .from = read32(ip + 12),
				       .to = read32(ip + 16),
				       .protocol = ip[9],
				       .fragment = (uint16_t)(ip[6] << 8 | ip[7]),
				       .payload = payload,
				       .size = frames->frame.length - IP_AT - 20 };
	int r = 0;

	memcpy(payload, ip + 20, packet.size);
	for (unsigned int i = 0; i < frames->count && r == 0; i++) {
		packet.id = (uint16_t)i;
		if (frames->ports > 0)
			frame_tcp(packet.from, packet.to, (uint16_t)(2000 + i % frames->ports), 80, 2, payload);
		r = transmit_part(fd, frames, &packet, 0, frames->second ? frames->second : packet.size);
		if (r == 0 && frames->second > 0)
			r = transmit_part(fd, frames, &packet, frames->second, packet.size - frames->second);
	}
	return r;
}

int inside_send(const void *in)
{
	_cleanup_fd_ int fd = packet_socket();
	const struct inside_frames *frames = in;

	if (fd < 0)
		return -errno;
	return frames->count > 0 ? transmit_copies(fd, frames) : transmit(fd, &frames->frame);
}

static int watching = -1;

int inside_watch(const void *in)
{
	(void)in;
	close_fd(&watching);
	watching = packet_socket();
	return watching < 0 ? -errno : 0;
}

int inside_seen(const void *in)
{
	struct pollfd wait = { .fd = watching, .events = POLLIN };
	struct sockaddr_ll from;
	socklen_t length = sizeof(from);
	char octets[64];
	int n = 0;

	(void)in;
	while (poll(&wait, 1, 200) == 1 &&
	       recvfrom(watching, octets, sizeof(octets), 0, (struct sockaddr *)&from, &length) >= 0)
		n += from.sll_pkttype != PACKET_OUTGOING;
	return n;
}

/* Sockets ---------------------------------------------------------------------------------------------------------- */

static int now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int)(now.tv_sec % 1000000 * 1000 + now.tv_nsec / 1000000);
}

static int begin_connection(const struct inside_connect *order)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const struct sockaddr_in from = at(0, order->from_port), to = at(order->to, order->to_port);

	/* When the process ends, so do they, or they would keep its network namespace for some time. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	disguise(fd);
	if (order->from_port > 0)
		(void)!bind(fd, (const struct sockaddr *)&from, sizeof(from));
	(void)!connect(fd, (const struct sockaddr *)&to, sizeof(to));
	return fd;
}

int inside_connect(const void *in)
{
	static int kept[CONNECTIONS_MAX];
	static size_t n_kept;
	const struct inside_connect *order = in;
	int end = now_ms() + (int)order->wait_ms, established = 0;
	size_t first = n_kept;

	while (n_kept < first + order->count && n_kept < CONNECTIONS_MAX)
		kept[n_kept++] = begin_connection(order);
	for (size_t i = first; i < n_kept; i++) {
		struct pollfd wait = { .fd = kept[i], .events = POLLOUT };
		int left = end - now_ms();

		established += poll(&wait, 1, left > 0 ? left : 0) == 1 && !(wait.revents & (POLLERR | POLLHUP));
	}
	return established;
}

int inside_datagram(const void *in)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct inside_datagram *order = in;
	const struct sockaddr_in to = at(order->to, order->to_port);
	static const char octets[8192];

	if (order->size > sizeof(octets))
		return -EMSGSIZE;
	return sendto(fd, octets, order->size, 0, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}
