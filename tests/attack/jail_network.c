/*
 * The ways out of a jail's network that must be closed, each tried. What was sent can only be judged from outside, by a
 * capture; what comes back is judged here. Usage: jail_network [ADDRESS PORT]..., services of the host (TCP and UDP)
 * that answer a request with BOUNDARY_ATTACK_BANNER. README.md names the other variables.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/attack/jail_dns.h"
#include "tests/attack/jail_reach.h"
#include "tests/attack/tap.h"

#define SERVICES_MAX 8
#define DEFAULT_PORT 8088
#define ORIGIN_DEFAULT "192.0.2.80" /* of TEST-NET-1 (RFC 5737): no packet to it may be seen anywhere */
#define ORIGIN_6_DEFAULT "2001:db8::80"
#define NO_SUCH_NAME_SERVER "192.0.2.53"

struct world {
	struct {
		char address[64];
		uint16_t port;
	} services[SERVICES_MAX];
	size_t n_services;
	const char *banner;
	const char *origin;
	const char *origin_6;
	char gateway[INET_ADDRSTRLEN]; /* the host's end of the cable; empty if there is no default route */
	char interface[IF_NAMESIZE];   /* the jail's end */
};

static const char http_request[] = "GET / HTTP/1.1\r\nHost: denied.example\r\nConnection: close\r\n\r\n";
static const char garbage[] = "\x01\x02\x03\xff\xfe no protocol\r\n\r\n";

static const char *variable(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && *value ? value : otherwise;
}

static void add_service(struct world *world, const char *address, const char *port)
{
	if (!address || world->n_services == SERVICES_MAX)
		return;
	snprintf(world->services[world->n_services].address, sizeof(world->services[0].address), "%s", address);
	world->services[world->n_services++].port = (uint16_t)strtoul(port, NULL, 10);
}

/* The default route's gateway and interface, from /proc/net/route (proc(5)). */
static void find_cable(struct world *world)
{
	FILE *file = fopen("/proc/net/route", "re");
	char line[256];

	while (file && !world->gateway[0] && fgets(line, sizeof(line), file)) {
		unsigned int destination, gateway, flags;

		if (sscanf(line, "%15s %x %x %x", world->interface, &destination, &gateway, &flags) == 4 &&
		    destination == 0 && flags & 2 /* RTF_GATEWAY */)
			inet_ntop(AF_INET, &gateway, world->gateway, sizeof(world->gateway));
	}
	if (file)
		fclose(file);
	if (!world->gateway[0])
		world->interface[0] = '\0';
}

static void read_world(struct world *world, int argc, char **argv)
{
	const char *port = variable("BOUNDARY_ATTACK_HOST_PORT", "8088");

	memset(world, 0, sizeof(*world));
	for (int i = 1; i + 1 < argc; i += 2)
		add_service(world, argv[i], argv[i + 1]);
	add_service(world, getenv("BOUNDARY_ATTACK_HOST"), port);
	add_service(world, getenv("BOUNDARY_ATTACK_HOST_6"), port);
	world->banner = variable("BOUNDARY_ATTACK_BANNER", "HOST SERVICE");
	world->origin = variable("BOUNDARY_ATTACK_ORIGIN", ORIGIN_DEFAULT);
	world->origin_6 = variable("BOUNDARY_ATTACK_ORIGIN_6", ORIGIN_6_DEFAULT);
	find_cable(world);
}

static uint16_t service_port(const struct world *world)
{
	return world->n_services > 0 ? world->services[0].port : DEFAULT_PORT;
}

/* The service's banner must not come back, whatever is said to whoever accepts the connection. */
static void tcp_without_banner(const struct world *world, const char *address, uint16_t port)
{
	char proxied[160], connect_request[160], name[96], what[160];
	const char *requests[] = { "", garbage, http_request, proxied, connect_request };
	struct reach_target target;
	struct reach_answer answer = { 0 };

	if (!reach_parse(address, port, &target))
		return;
	snprintf(proxied, sizeof(proxied), "GET http://127.0.0.1:%u/ HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", port,
		 port);
	snprintf(connect_request, sizeof(connect_request),
		 "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\nGET / HTTP/1.0\r\n\r\n", port, port);
	snprintf(what, sizeof(what), "the service on %s cannot be reached by TCP", reach_format(&target, name));
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		reach_tcp(-1, &target, requests[i], &answer);
		if (!answer.connected || strstr(answer.text, world->banner))
			break;
	}
	tap_check(!strstr(answer.text, world->banner), what, "it answered");
}

/* Nothing may accept the connection at all. */
static void tcp_refused(const char *address, uint16_t port)
{
	char name[96], what[160];
	struct reach_target target;
	struct reach_answer answer;

	if (!reach_parse(address, port, &target))
		return;
	reach_tcp(-1, &target, http_request, &answer);
	snprintf(what, sizeof(what), "no TCP connection to %s", reach_format(&target, name));
	tap_check(!answer.connected, what, "connected; it said: %.60s", answer.text);
}

/* No answer, and no error from the network either: that would be an answer of sorts. */
static void udp_silence(const char *address, uint16_t port)
{
	char name[96], what[160];
	struct reach_target target;
	struct reach_answer answer;

	if (!reach_parse(address, port, &target))
		return;
	reach_udp(-1, &target, garbage, &answer);
	snprintf(what, sizeof(what), "no answer by UDP from %s", reach_format(&target, name));
	tap_check(!answer.sent || answer.error == ETIMEDOUT, what, "%s %.60s",
		  answer.error ? strerror(answer.error) : "it said", answer.text);
	tap_note("%s %s: %s", answer.sent ? "sent a datagram to" : "could not send to", name, strerror(answer.error));
}

/* The jail's own loopback: the host's service is not there, so its port is closed. */
static void udp_refused(const char *address, uint16_t port)
{
	char name[96], what[160];
	struct reach_target target;
	struct reach_answer answer;

	if (!reach_parse(address, port, &target))
		return;
	reach_udp(-1, &target, garbage, &answer);
	snprintf(what, sizeof(what), "nothing listens by UDP on %s", reach_format(&target, name));
	tap_check(answer.error != 0, what, "it said %.60s", answer.text);
}

static void attack_services(const struct world *world)
{
	const uint16_t port = service_port(world);

	if (world->n_services == 0)
		tap_skip("the host's services cannot be reached", "none was named");
	for (size_t i = 0; i < world->n_services; i++) {
		char mapped[80];

		tcp_without_banner(world, world->services[i].address, world->services[i].port);
		udp_silence(world->services[i].address, world->services[i].port);
		if (strchr(world->services[i].address, ':'))
			continue;
		snprintf(mapped, sizeof(mapped), "::ffff:%s", world->services[i].address);
		tcp_without_banner(world, mapped, world->services[i].port);
		udp_silence(mapped, world->services[i].port);
	}
	tcp_refused("127.0.0.1", port);
	tcp_refused("127.0.0.2", port);
	tcp_refused("0.0.0.0", port);
	tcp_refused("::1", port);
	udp_refused("127.0.0.1", port);
	udp_refused("::1", port);
}

static void attack_cable(const struct world *world)
{
	uint16_t first;
	unsigned int accepted;

	if (!world->gateway[0]) {
		tap_skip("the host's end of the cable accepts nothing", "there is no cable");
		return;
	}
	tcp_refused(world->gateway, service_port(world));
	udp_silence(world->gateway, service_port(world));
	accepted = reach_scan(world->gateway, &first);
	tap_check(accepted == 0, "no TCP port of the host's end of the cable is open, of all",
		  "%u are, the first is %u", accepted, first);
}

static void attack_many_at_once(const struct world *world)
{
	char scoped[64];

	udp_silence("255.255.255.255", service_port(world));
	udp_silence("224.0.0.1", service_port(world));
	udp_silence("224.0.0.251", 5353);
	tcp_refused("255.255.255.255", 53);
	tcp_refused("224.0.0.1", service_port(world));
	for (const char *const *at = (const char *const[]){ "ff02::1", "ff02::fb", "fe80::1", NULL }; *at; at++) {
		snprintf(scoped, sizeof(scoped), "%s%%%s", *at, world->interface[0] ? world->interface : "lo");
		udp_silence(scoped, service_port(world));
		tcp_refused(scoped, service_port(world));
	}
}

/* Anything but DNS goes nowhere. */
static void attack_by_udp(const struct world *world)
{
	static const uint16_t ports[] = { 1, 67, 123, 443, 853, 5353, 51820 };

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		udp_silence(world->origin, ports[i]);
	udp_silence("169.254.169.254", 80);
}

/* IPv6 has no route at all: even sending fails. */
static void attack_by_ipv6(const struct world *world)
{
	const char *const addresses[] = { world->origin_6, "2001:db8::1", "64:ff9b::c000:250", "2002:c000:250::1",
					  "fd00::1" };

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		char what[96];
		struct reach_target target;
		struct reach_answer answer;

		tcp_refused(addresses[i], 443);
		if (!reach_parse(addresses[i], 53, &target))
			continue;
		reach_udp(-1, &target, garbage, &answer);
		snprintf(what, sizeof(what), "no datagram can be sent to %s", addresses[i]);
		tap_check(!answer.sent, what, "it was sent");
	}
}

static bool is_denial(const struct reach_answer *answer)
{
	return answer->length == 0 || strncmp(answer->text, "HTTP/1.1 4", 10) == 0 ||
	       strncmp(answer->text, "HTTP/1.1 502", 12) == 0;
}

/* What is not local is accepted by the proxy, whose answer is a denial. */
static void attack_by_tcp(const struct world *world)
{
	static const uint16_t ports[] = { 22, 25, 80, 443, 3128, 5432, 8080 };

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		char name[96], what[160];
		struct reach_target target;
		struct reach_answer answer;

		if (!reach_parse(world->origin, ports[i], &target))
			continue;
		reach_tcp(-1, &target, http_request, &answer);
		snprintf(what, sizeof(what), "HTTP for a host that no rule allows, to %s, is denied",
			 reach_format(&target, name));
		tap_check(is_denial(&answer), what, "it said: %.80s", answer.text);
		reach_tcp(-1, &target, garbage, &answer);
		snprintf(what, sizeof(what), "what is no protocol, to %s, is denied", name);
		tap_check(is_denial(&answer), what, "it said: %.80s", answer.text);
	}
}

/* Loose source routing (RFC 791) over the cable to the service. */
static void attack_by_source_route(const struct world *world)
{
	unsigned char options[12] = { IPOPT_NOOP, IPOPT_LSRR, 11, 4 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct reach_target target;
	struct reach_answer answer = { 0 };

	if (world->n_services == 0 || !reach_parse(world->services[0].address, world->services[0].port, &target) ||
	    inet_pton(AF_INET, world->gateway[0] ? world->gateway : "127.0.0.1", options + 4) != 1 ||
	    inet_pton(AF_INET, world->services[0].address, options + 8) != 1) {
		close(fd);
		return;
	}
	if (setsockopt(fd, IPPROTO_IP, IP_OPTIONS, options, sizeof(options)) == 0)
		reach_tcp(fd, &target, http_request, &answer);
	else
		close(fd);
	tap_check(!strstr(answer.text, world->banner), "a source route does not lead to the host's service",
		  "it answered");
}

/* Data with the first packet, before anyone has decided (RFC 7413). */
static void attack_by_fast_open(const struct world *world)
{
	struct reach_target target;
	char text[REACH_TEXT_MAX] = "";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval timeout = { .tv_usec = REACH_TIMEOUT_MS * 1000 };

	if (world->n_services > 0 && !strchr(world->services[0].address, ':') &&
	    reach_parse(world->services[0].address, world->services[0].port, &target)) {
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
		if (sendto(fd, http_request, strlen(http_request), MSG_FASTOPEN | MSG_NOSIGNAL,
			   (struct sockaddr *)&target.address, target.length) > 0 &&
		    recv(fd, text, sizeof(text) - 1, MSG_WAITALL) < 0)
			text[0] = '\0';
		tap_check(!strstr(text, world->banner), "TCP Fast Open does not reach the host's service",
			  "it answered");
	}
	close(fd);
}

/* With another source address than the jail's own. */
static void attack_with_foreign_source(const struct world *world)
{
	static const char *const sources[] = { "198.18.77.1", "192.0.2.99", "127.0.0.1" };
	const int on = 1;

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		struct reach_target source, target;
		struct reach_answer answer;
		char what[96];

		setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
		if (!reach_parse(sources[i], 0, &source) || !reach_parse(world->origin, 53, &target) ||
		    bind(fd, (struct sockaddr *)&source.address, source.length) < 0) {
			close(fd);
			continue;
		}
		reach_udp(fd, &target, garbage, &answer);
		snprintf(what, sizeof(what), "no datagram with source %s can be sent", sources[i]);
		tap_check(!answer.sent, what, "it was sent");
	}
}

static bool option_granted(int family, int level, int option, int value)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool granted = setsockopt(fd, level, option, &value, sizeof(value)) == 0;

	close(fd);
	return granted;
}

/* Sends one rtnetlink(7) request and returns the errno value of its acknowledgement. */
static int route_request(struct nlmsghdr *request)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[512];
	} reply = { 0 };
	int result = EIO;

	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(fd, request, request->nlmsg_len, 0) > 0 && recv(fd, &reply, sizeof(reply), 0) > 0)
		result = -reply.error.error;
	close(fd);
	return result;
}

/* Loopback, which is up, is set up: no change, but the same right. */
static int set_link(void)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} request = { .header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_NEWLINK },
		      .link = { .ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP } };

	return route_request(&request.header);
}

/* A host route to an address of TEST-NET-1 that goes nowhere. */
static int change_route(int type)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg route;
		struct rtattr attribute;
		struct in_addr destination;
	} request = { .header = { .nlmsg_len = sizeof(request), .nlmsg_type = (uint16_t)type },
		      .route = { .rtm_family = AF_INET,
				 .rtm_dst_len = 32,
				 .rtm_table = RT_TABLE_MAIN,
				 .rtm_protocol = RTPROT_STATIC,
				 .rtm_type = RTN_BLACKHOLE },
		      .attribute = { .rta_len = RTA_LENGTH(sizeof(struct in_addr)), .rta_type = RTA_DST } };

	request.destination.s_addr = inet_addr("192.0.2.254");
	if (type == RTM_NEWROUTE)
		request.header.nlmsg_flags = NLM_F_CREATE;
	return route_request(&request.header);
}

static void attack_configuration(void)
{
	int route = change_route(RTM_NEWROUTE);

	if (route == 0)
		change_route(RTM_DELROUTE);
	tap_check(route == EPERM, "no route can be added", "%s", strerror(route));
	tap_check(set_link() == EPERM, "no interface can be changed", "%s", "no EPERM");
	tap_check(!option_granted(AF_INET, IPPROTO_IP, IP_TRANSPARENT, 1), "IP_TRANSPARENT is refused", "granted");
	tap_check(!option_granted(AF_INET, SOL_SOCKET, SO_MARK, 1), "SO_MARK is refused", "granted");
	tap_check(!option_granted(AF_INET, SOL_SOCKET, SO_DEBUG, 1), "SO_DEBUG is refused", "granted");
}

/* Abstract names belong to the network namespace: the host's are others. */
static void attack_abstract_socket(void)
{
	const char *name = getenv("BOUNDARY_ATTACK_ABSTRACT");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t length;

	if (name && *name) {
		length = strnlen(name, sizeof(address.sun_path) - 1);
		memcpy(address.sun_path + 1, name, length);
		tap_check(connect(fd, (struct sockaddr *)&address,
				  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) < 0,
			  "the host's abstract sockets are not there", "connected to @%s", name);
	}
	close(fd);
}

static void icmp(int type, int family, int protocol, const char *what)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	tap_check(fd < 0, what, "the socket was opened");
	if (fd >= 0)
		close(fd);
}

static void attack_by_icmp(void)
{
	icmp(SOCK_RAW, AF_INET, IPPROTO_ICMP, "no raw socket for ICMP");
	icmp(SOCK_DGRAM, AF_INET, IPPROTO_ICMP, "no datagram socket for ICMP");
	icmp(SOCK_RAW, AF_INET6, IPPROTO_ICMPV6, "no raw socket for ICMPv6");
	icmp(SOCK_DGRAM, AF_INET, IPPROTO_UDPLITE, "no socket for UDP-Lite");
	icmp(SOCK_STREAM, AF_INET, IPPROTO_SCTP, "no socket for SCTP");
}

int main(int argc, char **argv)
{
	struct world world;

	read_world(&world, argc, argv);
	attack_by_icmp();
	attack_configuration();
	attack_services(&world);
	attack_cable(&world);
	attack_many_at_once(&world);
	attack_by_udp(&world);
	attack_by_ipv6(&world);
	attack_by_tcp(&world);
	attack_by_source_route(&world);
	attack_by_fast_open(&world);
	attack_with_foreign_source(&world);
	attack_abstract_socket();
	attack_dns((const char *const[]){ NO_SUCH_NAME_SERVER, world.origin, "255.255.255.255",
					  world.gateway[0] ? world.gateway : "198.18.0.0" },
		   4);
	return tap_end();
}
