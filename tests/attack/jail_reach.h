/* Reaching for addresses: what jail_network does with each of its targets. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define REACH_TIMEOUT_MS 400 /* local answers take microseconds */
#define REACH_TEXT_MAX 512

struct reach_target {
	struct sockaddr_storage address;
	socklen_t length;
};

struct reach_answer {
	bool connected; /* TCP only */
	bool sent;      /* UDP only: an error after that came over the network (ICMP) */
	int error;      /* errno value of connect, send or receive; 0 if none */
	size_t length;
	char text[REACH_TEXT_MAX]; /* what came back, cut, NUL-terminated */
};

/* "192.0.2.1", "2001:db8::1", "fe80::1%eth0" and a port. Returns false for anything else. */
bool reach_parse(const char *address, uint16_t port, struct reach_target *ret);

/* "ADDRESS port PORT" into ret[]. Returns ret. */
const char *reach_format(const struct reach_target *target, char ret[96]);

/*
 * Connects by TCP with `socket` (closed at the end; -1: a new one), sends the request if it is not empty, and reads
 * until end of file, silence or the buffer's end.
 */
void reach_tcp(int socket, const struct reach_target *target, const char *request, struct reach_answer *ret);

/* Sends one datagram from `socket` (closed at the end; -1: a new one) and waits for an answer from anywhere. */
void reach_udp(int socket, const struct reach_target *target, const char *request, struct reach_answer *ret);

/*
 * How many of the 65,535 TCP ports of an IPv4 address accept a connection; the first in *ret_first.
 */
unsigned int reach_scan(const char *address, uint16_t *ret_first);
