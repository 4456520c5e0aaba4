/*
 * A session of the proxy with its loop in the test program: what the command does at one end, what an origin does at
 * the other. Include it in one file of a program, which is linked with --wrap=getsockopt.
 */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "policy/proxy/client.h"
#include "tests/unit/clock.h"
#include "tests/unit/log_capture.h"

#define WAIT_TURNS 4000 /* of about half a millisecond */

static struct session session;
static struct sockaddr_in proxy, origin;
static int origin_listener;

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length);

/* Every connection was on its way to `origin`. */
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	if (level != SOL_IP || name != SO_ORIGINAL_DST)
		return __real_getsockopt(fd, level, name, value, length);
	memcpy(value, &origin, sizeof(origin));
	return 0;
}

static inline int listener(struct sockaddr_in *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(*ret);

	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)ret, length), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)ret, &length), 0);
	ck_assert_int_eq(listen(fd, 1024), 0);
	return fd;
}

static inline void set_up(void)
{
	struct error error = { 0 };

	clock_slow_down();
	signal(SIGPIPE, SIG_IGN);
	log_capture_begin(LOG_LEVEL_INFO);
	session = (struct session){ .listener = -1, .routes = -1, .max_clients = 1000 };
	ck_assert_int_eq(rule_set_new(&session.rules), 0);
	ck_assert_int_eq(rule_set_add(session.rules, RULE_ALLOW, "ip=127.0.0.1", "test", &error), 0);
	ck_assert_msg(session_prepare(&session, -1, -1, &error) == 0, "%s", error.text);
	session.listener = listener(&proxy);
	origin_listener = listener(&origin);
	client_listen(&session);
}

static inline void tear_down(void)
{
	session_clear(&session);
	close(origin_listener);
	log_capture_end();
	clock_catch_up();
}

static inline void turn(void)
{
	ev_run(session.loop, EVRUN_NOWAIT);
	usleep(500);
}

static inline void turns(unsigned n)
{
	while (n-- > 0)
		turn();
}

static inline void skip(time_t seconds)
{
	clock_skipped += seconds;
	turns(4);
}

/* `room` > 0: the client takes only about so many octets before it reads. */
static inline int connect_with(int room)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	if (room > 0)
		ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&proxy, sizeof(proxy)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static inline void say(int fd, const char *octets, size_t length)
{
	ck_assert_int_eq(send(fd, octets, length, MSG_NOSIGNAL), (ssize_t)length);
}

static inline void say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

/* A request's head; `fields` end in CRLF each. */
static inline void request(int fd, const char *line, const char *fields)
{
	char text[512];

	snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", line, ntohs(origin.sin_port),
		 fields);
	say_text(fd, text);
}

static inline bool is_open(int fd)
{
	char octet;

	turns(4);
	return recv(fd, &octet, 1, MSG_PEEK) > 0 || errno == EAGAIN;
}

/* Waits until the peer ends the connection, throwing octets away: 0, or -ECONNRESET. */
static inline int wait_end(int fd)
{
	static char octets[65536];

	for (int i = 0; i < WAIT_TURNS; i++) {
		ssize_t got = recv(fd, octets, sizeof(octets), 0);

		if (got == 0 || (got < 0 && errno != EAGAIN))
			return got == 0 ? 0 : -errno;
		if (got < 0)
			turn();
	}
	ck_abort_msg("the connection has not been ended");
}

/* Waits for `text` from the peer. */
static inline void wait_text(int fd, const char *text)
{
	static char octets[65536];
	size_t length = 0;

	for (int i = 0; i < WAIT_TURNS; i++) {
		ssize_t got = recv(fd, octets + length, sizeof(octets) - 1 - length, 0);

		length += got > 0 ? (size_t)got : 0;
		octets[length] = '\0';
		if (strstr(octets, text))
			return;
		turn();
	}
	ck_abort_msg("\"%s\" does not come; what came: %.200s", text, octets);
}

/* Reads so many octets. */
static inline void take(int fd, size_t length)
{
	static char octets[65536];

	for (int i = 0; i < WAIT_TURNS && length > 0; i++) {
		ssize_t got = recv(fd, octets, length < sizeof(octets) ? length : sizeof(octets), 0);

		length -= got > 0 ? (size_t)got : 0;
		turn();
	}
	ck_assert_uint_eq(length, 0);
}

static inline void wait_clients(size_t n)
{
	for (int i = 0; i < WAIT_TURNS && session.n_clients != n; i++)
		turn();
	ck_assert_uint_eq(session.n_clients, n);
}

/* The origin's end of the next connection to it. */
static inline int accepted(void)
{
	for (int i = 0; i < WAIT_TURNS; i++) {
		int fd = accept4(origin_listener, NULL, NULL, SOCK_NONBLOCK);

		if (fd >= 0)
			return fd;
		turn();
	}
	ck_abort_msg("nothing reaches the origin");
}
