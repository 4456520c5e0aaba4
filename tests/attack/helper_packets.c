/*
 * helper_packets HELPER [PID]: what the owner of a jail, with every capability in it, sends down his cable, and what
 * others send him. Of all that only whole packets of TCP, and of UDP to port 53, to addresses that are not the host's
 * reach its stack, and those only while the helper lives. Root counts what does: without him all is skipped.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/link.h"
#include "shared/cleanup.h"
#include "tests/attack/helper_connections.h"
#include "tests/attack/helper_inside.h"
#include "tests/attack/helper_link.h"
#include "tests/attack/helper_scene.h"

/* The ports of helper_redirect(), and of a service that is not the session's. */
#define TCP_PORT 40001
#define DNS_PORT 40002
#define OTHER_PORT 3128

#define BEYOND 0xc0000208 /* of TEST-NET-1 (RFC 5737): nobody's */
#define SHORT_MS 300
#define LONG_MS 10000 /* SYN is sent again after a second, if the other end's link is late */

static const struct scene *scene;
static struct helper_jail jail;
static struct helper_peer peer;
static struct helper_attached cable;

/* The session ------------------------------------------------------------------------------------------------------ */

static bool begin_session(void)
{
	_cleanup_fd_ int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct helper_answer answer;
	int r;

	jail = inside_jail();
	scene_adopt(jail.pid);
	peer = helper_start(scene->helper, NULL);
	answer = helper_attach(&peer, jail.netns);
	cable = answer.attached;
	r = answer.type == (HELPER_ATTACH | HELPER_REPLY) ? inside_do(&jail, inside_configure, &cable, sizeof(cable))
							  : -ENOTCONN;
	/* Or the first SYN's answer is lost, and sent again while packets are counted that must not come. */
	if (r == 0)
		link_wake(any, cable.host_interface);
	if (r == 0 && helper_redirect(&peer).type == (HELPER_REDIRECT | HELPER_REPLY))
		return true;
	tap_check(false, "a session to send packets from", "answer %d, configuration %d", answer.type, r);
	return false;
}

/* In an orderly way, if the helper is still there; what a killed one could not remove goes with the next session. */
static void end_session(const char *what)
{
	bool orderly = peer.socket >= 0;

	if (orderly) {
		close_fd(&peer.socket);
		helper_ended(&peer, HELPER_SOON_MS);
	}
	helper_jail_end(&jail);
	if (!orderly && scene_links_settled())
		sessions_heal(1);
	scene_check(true, what, "%s", "");
}

/* A socket of ours, as the proxy has it: `type` at this port of all addresses. */
static int service(int type, uint16_t port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 1024) < 0))
		close_fd(&fd);
	return fd;
}

/* How many connections, or datagrams, there are for it, or are within a moment. */
static int arrived(int fd, int wait_ms)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char octets[4096];
	int n = 0;

	while (poll(&wait, 1, n ? 0 : wait_ms) == 1) {
		int one = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (one < 0 && recv(fd, octets, sizeof(octets), 0) < 0)
			break;
		close_fd(&one);
		n++;
	}
	return n;
}

/* Root ------------------------------------------------------------------------------------------------------------- */

/* nft(8) executes this. */
static void change_rules(const void *in, void *out)
{
	FILE *nft = popen("nft -f - 2>&1", "w");
	int r = -1;

	if (nft) {
		fputs(in, nft);
		r = pclose(nft);
	}
	memcpy(out, &r, sizeof(r));
}

/* The sum of all counters of the tables that watch. */
static void count_packets(const void *in, void *out)
{
	FILE *nft = popen("nft list table inet watch 2>&1; nft list table arp watch 2>&1", "r");
	int n = nft ? 0 : -1, one;
	char line[512];

	(void)in;
	while (nft && fgets(line, sizeof(line), nft)) {
		const char *at = strstr(line, "counter packets ");

		if (at && sscanf(at, "counter packets %d", &one) == 1)
			n += one;
	}
	if (nft)
		pclose(nft);
	memcpy(out, &n, sizeof(n));
}

static bool rules(const char *text)
{
	int r = -1;

	return scene_as_root(change_rules, text, strlen(text) + 1, &r, sizeof(r)) && r == 0;
}

static int packets(void)
{
	int n = -1;

	scene_as_root(count_packets, NULL, 0, &n, sizeof(n));
	return n;
}

/* Counts what the stack gets of this cable: before it is reassembled or tracked. */
static bool watch(void)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "table inet watch { chain packets { type filter hook prerouting priority -450; iif %u counter; }; }\n"
		 "table arp watch { chain packets { type filter hook input priority -450; iif %u counter; }; }\n",
		 cable.host_ifindex, cable.host_ifindex);
	return rules(text);
}

/* As on every host: or 127.0.0.1 would not be its address. */
static void set_loopback_up(const void *in, void *out)
{
	int r = link_up("lo", true);

	(void)in;
	memcpy(out, &r, sizeof(r));
}

static void list_connections(const void *in, void *out)
{
	struct connections found;
	uint32_t address;
	int r;

	memcpy(&address, in, sizeof(address));
	r = connections_list(address, &found);
	r = r < 0 ? r : (int)found.count;
	memcpy(out, &r, sizeof(r));
}

/* How many connections of the jail's are tracked, or -errno. */
static int tracked(void)
{
	int n = -EPERM;

	scene_as_root(list_connections, &cable.jail_address, sizeof(cable.jail_address), &n, sizeof(n));
	return n;
}

/* Single frames ---------------------------------------------------------------------------------------------------- */

enum content { DNS, NTP, LOW_PORT, SYN, LOW_SYN, HALF_SYN, ECHO };

enum { HOST_END = 1 }; /* as destination: the host's end of the cable */

#define TAGS(text) .tags = (text), .n_tags = sizeof(text) - 1

static const struct attempt {
	const char *what;
	struct frame_packet packet; /* 0: UDP from the jail to an address beyond */
	enum content content;
	size_t cut;       /* octets left out at the end */
	bool passes;      /* it is what a jail may send */
	bool undelivered; /* it may come in, but no further than to the checks of IP */
} attempts[] = {
	{ "a datagram to port 53", { 0 }, .content = DNS, .passes = true },
	{ "a SYN", { .protocol = IPPROTO_TCP }, .content = SYN, .passes = true },
	{ "a datagram to port 53, once more", { 0 }, .content = DNS, .passes = true },
	{ "a datagram to port 123", { 0 }, .content = NTP },
	{ "a datagram from port 700", { 0 }, .content = LOW_PORT },
	{ "a SYN from port 700", { .protocol = IPPROTO_TCP }, .content = LOW_SYN },
	{ "a foreign source address", { .from = 0x0a000001 }, .content = DNS },
	{ "the host's own source address", { .from = HOST_END }, .content = DNS },
	{ "to the host's end of the cable", { .to = HOST_END }, .content = DNS },
	{ "a SYN to the host's end", { .to = HOST_END, .protocol = IPPROTO_TCP }, .content = SYN },
	{ "to 127.0.0.1", { .to = 0x7f000001 }, .content = DNS },
	{ "to 224.0.0.1", { .to = 0xe0000001 }, .content = DNS },
	{ "to 255.255.255.255", { .to = 0xffffffff }, .content = DNS },
	{ "an echo request", { .protocol = IPPROTO_ICMP }, .content = ECHO },
	{ "SCTP to port 53", { .protocol = IPPROTO_SCTP }, .content = DNS },
	{ "UDP-Lite to port 53", { .protocol = IPPROTO_UDPLITE }, .content = DNS },
	{ "as IPv6", { TAGS("\x86\xdd") }, .content = DNS },
	{ "as ARP",
	  { TAGS("\x08\x06\0\1\x08\0\6\4\0\1\2\2\2\2\2\2\xc6\x12\0\1\0\0\0\0\0\0\xc6\x12\0\0") },
	  .content = DNS },
	{ "in VLAN 5", { TAGS("\x81\x00\x00\x05\x08\x00") }, .content = DNS },
	{ "in VLAN 0, to port 123", { TAGS("\x81\x00\x00\x00\x08\x00") }, .content = NTP },
	{ "in two VLANs", { TAGS("\x88\xa8\0\0\x81\0\0\0\x08\0") }, .content = DNS },
	{ "in two VLANs, to the host's end", { TAGS("\x88\xa8\0\0\x81\0\0\0\x08\0"), .to = HOST_END }, .content = DNS },
	{ "with a source route",
	  { .options = "\x83\x07\x04\x08\x08\x04\x04\x00", .n_options = 8 },
	  .content = DNS,
	  .undelivered = true },
	{ "the first fragment of a datagram", { .fragment = 0x2000, .id = 99 }, .content = DNS },
	{ "another fragment of a datagram", { .fragment = 3, .id = 99 }, .content = DNS },
	{ "the first fragment of a SYN", { .fragment = 0x2000, .id = 98, .protocol = IPPROTO_TCP }, .content = SYN },
	{ "eight octets of a SYN", { .fragment = 0x2000, .id = 97, .protocol = IPPROTO_TCP }, .content = HALF_SYN },
	{ "another fragment of a SYN", { .fragment = 1, .id = 97, .protocol = IPPROTO_TCP }, .content = SYN },
	{ "a header cut short", { 0 }, .content = DNS, .cut = 26 },
	{ "a length beyond the frame", { .surplus = 1400 }, .content = DNS },
};

static size_t fill(const struct attempt *a, const struct frame_packet *packet, unsigned char *ret)
{
	static const unsigned char echo[] = { 8, 0, 0xf7, 0xff, 0, 0, 0, 0 };

	switch (a->content) {
	case SYN:
	case LOW_SYN:
		return frame_tcp(packet->from, packet->to, a->content == SYN ? 5555 : 700, 80, 2, ret);
	case HALF_SYN:
		(void)frame_tcp(packet->from, packet->to, 5555, 80, 2, ret);
		return 8;
	case ECHO:
		memcpy(ret, echo, sizeof(echo));
		return sizeof(echo);
	default:
		return frame_udp(a->content == LOW_PORT ? 700 : 5555, a->content == NTP ? 123 : 53, 16, ret);
	}
}

/* What passes comes in soon, and is not to be taken for the next one; what does not is given one look. */
#define PASSING_TRIES 50

static void try(const struct attempt *a, int dns)
{
	unsigned char payload[64];
	struct frame_packet packet = a->packet;
	struct inside_frames frames = { 0 };
	int before = packets(), tries = a->passes ? PASSING_TRIES : 1, came, delivered = 0, r;

	packet.from = packet.from == HOST_END ? cable.host_address : packet.from ?: cable.jail_address;
	packet.to = packet.to == HOST_END ? cable.host_address : packet.to ?: BEYOND;
	packet.protocol = packet.protocol ?: IPPROTO_UDP;
	packet.size = fill(a, &packet, payload);
	packet.payload = payload;
	frame_make(&cable, &packet, &frames.frame);
	frames.frame.length -= a->cut;
	r = inside_do(&jail, inside_send, &frames, sizeof(frames));
	do {
		delivered += arrived(dns, 20);
		came = packets() - before;
	} while (--tries > 0 && (came == 0 || (a->content == DNS && delivered == 0)));
	if (a->undelivered)
		came = 0;
	tap_check(r == 0 && before >= 0 &&
			  (a->passes ? came > 0 && (a->content != DNS || delivered > 0) : came == 0 && delivered == 0),
		  a->what, "sent %d; %d came in, %d were delivered", r, came, delivered);
}

static void single_frames(void)
{
	int proxy, dns;

	if (!watch()) {
		tap_skip("frames of all kinds", "nft(8) is not there to count them");
		return;
	}
	proxy = service(SOCK_STREAM, TCP_PORT);
	dns = service(SOCK_DGRAM, DNS_PORT);
	for (size_t i = 0; i < array_size(attempts); i++)
		try(&attempts[i], dns);
	close_fd(&proxy);
	close_fd(&dns);
	rules("delete table inet watch; delete table arp watch");
}

/* Fragments -------------------------------------------------------------------------------------------------------- */

/* A neighbour of the host's by another interface, in a namespace of root's. The process that stays root has its own
 * scene. */
static void make_neighbour(const void *in, void *out)
{
	char command[512];
	int r;

	(void)in;
	snprintf(command, sizeof(command),
		 "ip link add near type veth peer name far && ip link set far netns /proc/%d/fd/%d && "
		 "ip address add 10.9.0.1/24 dev near && ip link set near up",
		 getpid(), scene_get()->netns_of_root);
	r = system(command);
	memcpy(out, &r, sizeof(r));
}

static void send_as_neighbour(void)
{
	const struct inside_datagram large = { 0x0a090001, 9000, 4000 };

	if (setns(scene_get()->netns_of_root, CLONE_NEWNET) < 0 ||
	    system("ip address add 10.9.0.2/24 dev far 2>/dev/null; ip link set far up") != 0)
		_exit(1);
	for (int i = 0; i < 5; i++)
		inside_datagram(&large);
	_exit(0);
}

/* How many of five datagrams in fragments come from there, with those of before that waited for the neighbour's
 * hardware address. */
static void hear_neighbour(const void *in, void *out)
{
	_cleanup_fd_ int fd = service(SOCK_DGRAM, 9000);
	int n = 0, got;
	pid_t pid = fork();

	(void)in;
	if (pid == 0)
		send_as_neighbour();
	waitpid(pid, NULL, 0);
	while ((got = arrived(fd, SHORT_MS)) > 0)
		n += got;
	memcpy(out, &n, sizeof(n));
}

/* Of what is not whole the host would keep 4 MB, everybody's (ipfrag_high_thresh). */
static void fill_reassembly(void)
{
	const struct frame_packet packet = { .from = cable.jail_address,
					     .to = BEYOND,
					     .protocol = IPPROTO_TCP,
					     .fragment = 0x2000,
					     .payload = (const char[1400]){ 0 },
					     .size = 1400 };
	struct inside_frames flood = { .count = 3000 };
	int made = -1, before = 0, after = 0;

	scene_as_root(make_neighbour, NULL, 0, &made, sizeof(made));
	/* A link that was set up carries nothing until the kernel has found time to notice. */
	for (int i = 0; i < 30 && before < 5; i++)
		scene_as_root(hear_neighbour, NULL, 0, &before, sizeof(before));
	frame_make(&cable, &packet, &flood.frame);
	inside_do(&jail, inside_send, &flood, sizeof(flood));
	scene_as_root(hear_neighbour, NULL, 0, &after, sizeof(after));
	tap_check(made == 0 && before >= 5 && after == 5, "3000 first fragments leave others' fragments their memory",
		  "neighbour %d, %d of its datagrams before, %d after", made, before, after);
}

/* No fragment is all that a limit of SYNs looks for. */
static void split_syns(void)
{
	int proxy = service(SOCK_STREAM, TCP_PORT); /* a connection that is reset is forgotten at once */
	unsigned char segment[20];
	struct frame_packet packet = {
		.from = cable.jail_address, .to = BEYOND, .protocol = IPPROTO_TCP, .payload = segment
	};
	struct inside_frames flood = { .count = 2000, .second = 8, .ports = 2000 };
	int before = tracked(), after, r;

	packet.size = frame_tcp(packet.from, packet.to, 2000, 80, 2, segment);
	frame_make(&cable, &packet, &flood.frame);
	r = inside_do(&jail, inside_send, &flood, sizeof(flood));
	after = tracked();
	close_fd(&proxy);
	if (before < 0)
		tap_skip("SYNs in two fragments are no connections", "this kernel does not list connections");
	else
		/* Of those that were tracked before, some may be forgotten by now. */
		tap_check(r == 0 && after >= 0 && after <= before, "SYNs in two fragments are no connections",
			  "sent %d; %d are tracked, %d were before", r, after, before);
}

/* Connections ------------------------------------------------------------------------------------------------------ */

/* How many of these connections are made; while not all are, it waits for so long. */
static int connect_from(uint16_t port, uint16_t to_port, unsigned int count, unsigned int wait_ms)
{
	const struct inside_connect order = { BEYOND, to_port, port, count, wait_ms };

	return inside_do(&jail, inside_connect, &order, sizeof(order));
}

/* What NFS and the like take for root's. */
static void low_port(void)
{
	_cleanup_fd_ int proxy = service(SOCK_STREAM, TCP_PORT);
	int usual = connect_from(0, 2049, 1, LONG_MS), low = connect_from(700, 2049, 1, SHORT_MS),
	    n = arrived(proxy, SHORT_MS);

	tap_check(usual == 1 && low == 0 && n == 1, "a connection from port 700 is none",
		  "%d from another port, %d from this one, %d arrived", usual, low, n);
}

static bool kernel_is(int major, int minor)
{
	struct utsname name;
	int is[2] = { 0 };

	return uname(&name) == 0 && sscanf(name.release, "%d.%d", &is[0], &is[1]) == 2 &&
	       (is[0] > major || (is[0] == major && is[1] >= minor));
}

/* Left to the kernel they would be tracked for five days. */
static void open_at_the_end(void)
{
	int proxy = service(SOCK_STREAM, TCP_PORT);
	int open = connect_from(0, 80, 100, LONG_MS), during = tracked(), down, after, ended;

	down = inside_do(&jail, inside_down, NULL, 0);
	ended = helper_ask(&peer, HELPER_DETACH, -1).type;
	after = tracked();
	close_fd(&proxy);
	if (during < 0 || !kernel_is(6, 8))
		tap_skip("connections open at the end are not tracked afterwards", "not before Linux 6.8");
	else
		tap_check(open == 100 && during >= 100 && down == 0 && ended == (HELPER_DETACH | HELPER_REPLY) &&
				  after == 0,
			  "connections open at the end are not tracked afterwards",
			  "%d open, %d tracked, down %d, answer %d; %d tracked afterwards", open, during, down, ended,
			  after);
}

/* Others ----------------------------------------------------------------------------------------------------------- */

static void send_as_victim(const void *in, void *out)
{
	struct inside_datagram datagram = { 0, 5000, 16 };
	struct inside_connect syn = { 0, 5000, 0, 1, 50 };
	pid_t pid = fork();

	(void)out;
	memcpy(&datagram.to, in, sizeof(datagram.to));
	syn.to = datagram.to;
	if (pid == 0) {
		helper_become(SCENE_VICTIM);
		inside_datagram(&datagram);
		inside_connect(&syn);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void into_the_jail(void)
{
	int n, r = inside_do(&jail, inside_watch, NULL, 0);

	inside_do(&jail, inside_seen, NULL, 0); /* what is on its way from connections that were closed */
	scene_as_root(send_as_victim, &cable.jail_address, sizeof(cable.jail_address), NULL, 0);
	n = inside_do(&jail, inside_seen, NULL, 0);
	if (!kernel_is(5, 16))
		tap_skip("what another user sends to the jail does not arrive", "not before Linux 5.16");
	else
		tap_check(r == 0 && n == 0, "what another user sends to the jail does not arrive",
			  "watching %d; %d packets", r, n);
}

/* Where an administrator redirects what comes in, as a transparent proxy does, the guard was all that held. */
static void without_helper(void)
{
	_cleanup_fd_ int proxy = service(SOCK_STREAM, TCP_PORT), other = service(SOCK_STREAM, OTHER_PORT);
	int alive, killed, to_proxy, to_other, before, came;
	bool there = watch() &&
		     rules("table ip administrator { chain prerouting { type nat hook prerouting priority dstnat; "
			   "tcp dport 80 redirect to :3128; }; }");

	alive = connect_from(0, 80, 1, LONG_MS);
	to_proxy = arrived(proxy, SHORT_MS);
	to_other = arrived(other, 0);
	tap_check(there && alive == 1 && to_proxy == 1 && to_other == 0,
		  "a redirect of the administrator's does not come before the session's",
		  "rules %d; %d open, %d to the proxy, %d elsewhere", there, alive, to_proxy, to_other);
	kill(peer.pid, SIGKILL);
	helper_ended(&peer, HELPER_SOON_MS);
	before = packets();
	killed = connect_from(0, 80, 1, SHORT_MS);
	to_other = arrived(other, SHORT_MS);
	came = packets() - before;
	tap_check(there && killed == 0 && to_other == 0 && came == 0,
		  "nor does anything pass once the helper is killed",
		  "rules %d; %d open, %d arrived, %d packets came in", there, killed, to_other, came);
	rules("delete table inet watch; delete table arp watch; delete table ip administrator");
}

int main(int argc, char **argv)
{
	int loopback;

	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1); /* nft(8), ip(8) */
	scene = scene_begin(argc, argv);
	if (!scene->root) {
		tap_skip("packets of all kinds", "only root can count what comes in");
		return scene_end();
	}
	scene_as_root(set_loopback_up, NULL, 0, &loopback, sizeof(loopback));
	if (begin_session()) {
		single_frames();
		split_syns();
		fill_reassembly();
		low_port();
		into_the_jail();
		open_at_the_end();
	}
	end_session("nothing is left of the first session");
	if (begin_session())
		without_helper();
	end_session("nothing is left of the second");
	return scene_end();
}
