/*
 * A nameserver on loopback in the test's own event loop, UDP and TCP. The beginning of the name asked for says how it
 * answers: nx, fail, six, many, empty, home (127.0.0.1), silent, garbage, long (truncated over UDP); anything else has
 * two addresses.
 */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <ev.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/dns_packet.h"

enum { A = 1, AAAA = 28 };
enum { SERVFAIL = 2, NXDOMAIN = 3 };

static struct ev_io udp_watch, tcp_watch, stream_watch;
static char servers[64];
static unsigned n_queries, n_streams;
static char last_name[256]; /* asked for, with its final dot */
static unsigned ttl;

static void add_answer(struct packet *p, unsigned type, const char *address)
{
	uint8_t bytes[16];
	size_t length = type == A ? 4 : 16;

	ck_assert_int_eq(inet_pton(type == A ? AF_INET : AF_INET6, address, bytes), 1);
	packet_u16(p, 0xc00c);
	packet_u16(p, type);
	packet_u16(p, 1);
	packet_u16(p, ttl >> 16);
	packet_u16(p, ttl & 0xffff);
	packet_u16(p, (unsigned)length);
	memcpy(p->bytes + p->length, bytes, length);
	p->length += length;
	p->bytes[7]++;
}

static bool asks_for(const char *label)
{
	return strncmp(last_name, label, strlen(label)) == 0;
}

static void add_answers(struct packet *p, unsigned type)
{
	char text[32];

	if (asks_for("nx"))
		p->bytes[3] |= NXDOMAIN;
	else if (asks_for("fail"))
		p->bytes[3] |= SERVFAIL;
	else if (asks_for("six") && type == AAAA)
		add_answer(p, AAAA, "2001:db8::6");
	else if (asks_for("many") && type == A)
		for (unsigned i = 0; i < 20; i++) {
			snprintf(text, sizeof(text), "192.0.2.%u", 100 + i);
			add_answer(p, A, text);
		}
	else if (asks_for("home") && type == A)
		add_answer(p, A, "127.0.0.1");
	else if (type == A && !asks_for("six") && !asks_for("empty")) {
		add_answer(p, A, "192.0.2.2");
		add_answer(p, A, "192.0.2.1");
		add_answer(p, A, "192.0.2.2");
	}
}

/* Makes the reply of the query in *p. Returns false if there is to be none. */
static bool reply_to(struct packet *p, bool stream)
{
	size_t at = 12;
	unsigned type;

	n_queries++;
	last_name[0] = '\0';
	while (p->bytes[at]) {
		strncat(last_name, (char *)p->bytes + at + 1, p->bytes[at]);
		strcat(last_name, ".");
		at += 1 + p->bytes[at];
	}
	type = packet_get_u16(p->bytes, at + 1);
	p->length = at + 5;
	p->bytes[2] = 0x81;
	p->bytes[3] = 0x80;
	memset(p->bytes + 6, 0, 6);
	if (asks_for("silent"))
		return false;
	if (asks_for("garbage"))
		p->length -= 3;
	else if (asks_for("long") && !stream)
		p->bytes[2] |= 0x02; /* TC */
	else
		add_answers(p, type);
	return true;
}

static void udp_event(struct ev_loop *l, struct ev_io *io, int events)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	struct packet p;
	ssize_t got = recvfrom(io->fd, p.bytes, sizeof(p.bytes), 0, (struct sockaddr *)&peer, &length);

	(void)l;
	(void)events;
	if (got > 0 && reply_to(&p, false))
		sendto(io->fd, p.bytes, p.length, 0, (struct sockaddr *)&peer, length);
}

static void stream_event(struct ev_loop *l, struct ev_io *io, int events)
{
	uint8_t prefix[2];
	struct packet p;
	ssize_t got = recv(io->fd, prefix, 2, 0);

	(void)events;
	if (got <= 0) {
		ev_io_stop(l, io);
		close(io->fd);
		return;
	}
	ck_assert_int_eq(got, 2);
	got = recv(io->fd, p.bytes, packet_get_u16(prefix, 0), MSG_WAITALL);
	ck_assert_int_eq(got, (ssize_t)packet_get_u16(prefix, 0));
	if (!reply_to(&p, true))
		return;
	prefix[0] = (uint8_t)(p.length >> 8);
	prefix[1] = (uint8_t)p.length;
	ck_assert_int_eq(send(io->fd, prefix, 2, MSG_MORE), 2);
	ck_assert_int_eq(send(io->fd, p.bytes, p.length, 0), (ssize_t)p.length);
}

static void tcp_event(struct ev_loop *l, struct ev_io *io, int events)
{
	int fd = accept(io->fd, NULL, NULL);

	(void)events;
	ck_assert_int_ge(fd, 0);
	n_streams++;
	ev_io_init(&stream_watch, stream_event, fd, EV_READ);
	ev_io_start(l, &stream_watch);
}

static inline void nameserver_open(struct ev_loop *loop)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = -1, r = -1;

	/* The port the kernel chooses for TCP may be another program's in UDP. */
	for (int i = 0; i < 100 && r < 0; i++) {
		if (tcp >= 0)
			close(tcp);
		tcp = socket(AF_INET, SOCK_STREAM, 0);
		address.sin_port = 0;
		ck_assert_int_eq(bind(tcp, (struct sockaddr *)&address, length), 0);
		ck_assert_int_eq(getsockname(tcp, (struct sockaddr *)&address, &length), 0);
		r = bind(udp, (struct sockaddr *)&address, length);
		ck_assert(r == 0 || errno == EADDRINUSE);
	}
	ck_assert_int_eq(r, 0);
	ck_assert_int_eq(listen(tcp, 8), 0);
	snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(address.sin_port));
	ev_io_init(&udp_watch, udp_event, udp, EV_READ);
	ev_io_init(&tcp_watch, tcp_event, tcp, EV_READ);
	ev_io_start(loop, &udp_watch);
	ev_io_start(loop, &tcp_watch);
}

static inline void nameserver_close(struct ev_loop *loop)
{
	ev_io_stop(loop, &udp_watch);
	ev_io_stop(loop, &tcp_watch);
	close(udp_watch.fd);
	close(tcp_watch.fd);
}
