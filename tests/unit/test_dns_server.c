/* The DNS server's sockets: UDP, TCP with pipelining, partial and slow clients, limits, and no loop that spins. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "policy/proxy/dns_server.h"
#include "tests/unit/clock.h"
#include "tests/unit/dns_packet.h"
#include "tests/unit/log_capture.h"

#define WAIT_TURNS 4000 /* of about half a millisecond */

static struct ev_loop *loop;
static struct names *names;
static struct dns_server *server;
static struct sockaddr_in address;

static void setup(void)
{
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	ck_assert_ptr_nonnull(loop);
	ck_assert_int_eq(names_new(&names), 0);
	ck_assert_int_eq(dns_server_new(loop, names, &server), 0);
}

static void teardown(void)
{
	dns_server_free(server);
	names_free(names);
	ev_loop_destroy(loop);
}

static void turn(void)
{
	ev_run(loop, EVRUN_NOWAIT);
	usleep(500);
}

/* A socket on loopback for the server; its address is in `address`. */
static int bound(int type)
{
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, type, 0);

	address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, length), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 128), 0);
	return fd;
}

static int client(int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Waits for something to read: octets, 0 at the end of file, -1 for an error or nothing. */
static ssize_t wait_read(int fd, void *ret, size_t size)
{
	for (int i = 0; i < WAIT_TURNS; i++) {
		ssize_t got = recv(fd, ret, size, 0);

		if (got >= 0 || errno != EAGAIN)
			return got;
		turn();
	}
	return -1;
}

static void read_whole(int fd, uint8_t *ret, size_t size)
{
	size_t used = 0;

	while (used < size) {
		ssize_t got = wait_read(fd, ret + used, size - used);

		ck_assert_int_gt(got, 0);
		used += (size_t)got;
	}
}

static bool is_over(int fd)
{
	uint8_t byte;

	return wait_read(fd, &byte, 1) == 0 || errno == ECONNRESET;
}

/* A query with its length before it. */
static void framed_query(struct packet *p, unsigned id, const char *name)
{
	struct packet bare;

	packet_query(&bare, id, name, 1);
	p->length = 0;
	packet_u16(p, (unsigned)bare.length);
	memcpy(p->bytes + 2, bare.bytes, bare.length);
	p->length += bare.length;
}

static void assert_reply(int fd, unsigned id)
{
	uint8_t reply[600];
	size_t length;

	read_whole(fd, reply, 2);
	length = packet_get_u16(reply, 0);
	ck_assert_uint_le(length, 512);
	read_whole(fd, reply, length);
	ck_assert_uint_eq(packet_get_u16(reply, 0), id);
	ck_assert_uint_eq(packet_get_u16(reply, 2), 0x8180);
	ck_assert_uint_eq(packet_get_u16(reply, 6), 1);
}

static void assert_works(int fd, unsigned id)
{
	struct packet p;

	framed_query(&p, id, "works.example");
	ck_assert_int_eq(send(fd, p.bytes, p.length, MSG_NOSIGNAL), (ssize_t)p.length);
	assert_reply(fd, id);
}

static void assert_flags(int fd)
{
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

START_TEST(udp_answers)
{
	int fd = bound(SOCK_DGRAM), peer = client(SOCK_DGRAM);
	uint8_t reply[600];
	struct packet p;

	ck_assert_int_eq(dns_server_add_udp(server, fd), 0);
	assert_flags(fd);
	packet_query(&p, 77, "a.example", 1);
	/* Neither is answered, and neither stops the server. */
	send(peer, p.bytes, 11, 0);
	send(peer, "", 0, 0);
	send(peer, p.bytes, p.length, 0);
	ck_assert_int_eq(wait_read(peer, reply, sizeof(reply)), (ssize_t)p.length + 16);
	ck_assert_uint_eq(packet_get_u16(reply, 0), 77);
	ck_assert_uint_eq(packet_get_u16(reply, 6), 1);
	close(peer);
}
END_TEST

START_TEST(udp_flood_does_not_hold_the_loop)
{
	int fd = bound(SOCK_DGRAM), peer = client(SOCK_DGRAM);
	uint8_t reply[600];
	struct packet p;
	int n = 0, first;

	ck_assert_int_eq(dns_server_add_udp(server, fd), 0);
	for (unsigned i = 0; i < 100; i++) {
		packet_query(&p, i, "a.example", 1);
		ck_assert_int_eq(send(peer, p.bytes, p.length, 0), (ssize_t)p.length);
	}
	ev_run(loop, EVRUN_NOWAIT);
	while (recv(peer, reply, sizeof(reply), 0) > 0)
		n++;
	first = n;
	for (int i = 0; i < WAIT_TURNS && n < 100; i++) {
		turn();
		while (recv(peer, reply, sizeof(reply), 0) > 0)
			n++;
	}
	ck_assert_int_ge(first, 1);
	ck_assert_int_le(first, 32);
	ck_assert_int_eq(n, 100);
	close(peer);
}
END_TEST

START_TEST(udp_takes_long_datagrams)
{
	int peer, fd = bound(SOCK_DGRAM);
	static uint8_t big[9000];
	uint8_t reply[600];
	struct packet p;

	peer = client(SOCK_DGRAM);
	ck_assert_int_eq(dns_server_add_udp(server, fd), 0);
	packet_query(&p, 3, "a.example", 1);
	memcpy(big, p.bytes, p.length);
	send(peer, big, sizeof(big), 0);
	ck_assert_int_eq(wait_read(peer, reply, sizeof(reply)), 12);
	ck_assert_uint_eq(reply[3] & 0xf, 1);
	close(peer);
}
END_TEST

START_TEST(tcp_answers_several)
{
	int peer, fd = bound(SOCK_STREAM);
	struct packet all = { .length = 0 }, p;

	ck_assert_int_eq(dns_server_add_listener(server, fd), 0);
	assert_flags(fd);
	peer = client(SOCK_STREAM);
	assert_works(peer, 1);
	assert_works(peer, 2);
	/* Pipelined, more than one reply buffer holds. */
	for (unsigned i = 0; i < 40; i++) {
		framed_query(&p, 100 + i, "a.example");
		memcpy(all.bytes + all.length, p.bytes, p.length);
		all.length += p.length;
	}
	ck_assert_int_eq(send(peer, all.bytes, all.length, 0), (ssize_t)all.length);
	for (unsigned i = 0; i < 40; i++)
		assert_reply(peer, 100 + i);
	close(peer);
}
END_TEST

START_TEST(tcp_in_single_octets)
{
	int peer, fd = bound(SOCK_STREAM);
	struct packet p;

	ck_assert_int_eq(dns_server_add_listener(server, fd), 0);
	peer = client(SOCK_STREAM);
	framed_query(&p, 5, "a.example");
	for (size_t i = 0; i < p.length; i++) {
		ck_assert_int_eq(send(peer, p.bytes + i, 1, 0), 1);
		turn();
	}
	assert_reply(peer, 5);
	close(peer);
}
END_TEST

START_TEST(tcp_half_closed)
{
	int peer, fd = bound(SOCK_STREAM);
	struct packet p;

	ck_assert_int_eq(dns_server_add_listener(server, fd), 0);
	peer = client(SOCK_STREAM);
	framed_query(&p, 6, "a.example");
	ck_assert_int_eq(send(peer, p.bytes, p.length, 0), (ssize_t)p.length);
	ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
	assert_reply(peer, 6);
	ck_assert(is_over(peer));
	close(peer);
}
END_TEST

/* What has no answer ends the connection, after the answers before it. */
START_TEST(tcp_nonsense)
{
	static const struct {
		uint8_t bytes[16];
		size_t length;
	} bad[] = {
		{ { 0, 0 }, 2 },                        /* an empty message */
		{ { 0xff, 0xff }, 2 },                  /* longer than we take */
		{ { 0x10, 0x01 }, 2 },                  /* 4097 */
		{ { 0, 4, 1, 2, 3, 4 }, 6 },            /* no header */
		{ { 0, 12, 0, 1, 0x81, 0x80, 0 }, 14 }, /* a response */
	};
	int fd = bound(SOCK_STREAM);

	ck_assert_int_eq(dns_server_add_listener(server, fd), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int peer = client(SOCK_STREAM);
		struct packet p;

		framed_query(&p, 8, "a.example");
		memcpy(p.bytes + p.length, bad[i].bytes, bad[i].length);
		p.length += bad[i].length;
		ck_assert_int_eq(send(peer, p.bytes, p.length, 0), (ssize_t)p.length);
		assert_reply(peer, 8);
		ck_assert(is_over(peer));
		close(peer);
	}
}
END_TEST

/* A client that asks and does not read is not read from either, and gets every answer once it does read. */
START_TEST(tcp_slow_reader)
{
	int peer, fd = bound(SOCK_STREAM), small = 32768;
	struct packet p;
	size_t sent = 0;
	unsigned n;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	ck_assert_int_eq(dns_server_add_listener(server, fd), 0);
	peer = client(SOCK_STREAM);
	setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	framed_query(&p, 9, "a.example");
	for (int idle = 0; idle < 20 && sent < 64 * 1024 * 1024; idle++) {
		ssize_t r;

		while ((r = send(peer, p.bytes + sent % p.length, p.length - sent % p.length, MSG_NOSIGNAL)) > 0) {
			sent += (size_t)r;
			idle = 0;
		}
		ck_assert_int_eq(errno, EAGAIN);
		turn();
	}
	ck_assert_uint_lt(sent, 64 * 1024 * 1024);
	n = (unsigned)(sent / p.length);
	ck_assert_uint_gt(n, 100);
	for (unsigned i = 0; i < n; i++)
		assert_reply(peer, 9);
	close(peer);
}
END_TEST

START_TEST(tcp_idle_is_dropped)
{
	int idle, busy, dripping, fd = bound(SOCK_STREAM);
	uint8_t byte;

	ck_assert_int_eq(dns_server_add_listener(server, fd), 0);
	idle = client(SOCK_STREAM);
	busy = client(SOCK_STREAM);
	dripping = client(SOCK_STREAM);
	assert_works(idle, 1);
	for (int i = 0; i < 3; i++) {
		clock_skipped += 4;
		assert_works(busy, 2);
		/* Octets that are no query yet do not count. */
		send(dripping, "", 1, MSG_NOSIGNAL);
	}
	ck_assert(is_over(idle));
	ck_assert(is_over(dripping));
	ck_assert_int_eq(recv(busy, &byte, 1, 0), -1);
	ck_assert_int_eq(errno, EAGAIN);
	assert_works(busy, 3);
	close(idle);
	close(busy);
	close(dripping);
}
END_TEST

START_TEST(tcp_many_connections)
{
	int peers[70], fd = bound(SOCK_STREAM);

	ck_assert_int_eq(dns_server_add_listener(server, fd), 0);
	for (unsigned i = 0; i < 64; i++) {
		peers[i] = client(SOCK_STREAM);
		assert_works(peers[i], i);
	}
	/* The first is used again: the second is the oldest now. */
	assert_works(peers[0], 1000);
	for (unsigned i = 64; i < 70; i++) {
		peers[i] = client(SOCK_STREAM);
		assert_works(peers[i], i);
	}
	for (unsigned i = 1; i <= 6; i++)
		ck_assert(is_over(peers[i]));
	assert_works(peers[0], 1);
	for (unsigned i = 7; i < 70; i++)
		assert_works(peers[i], i);
	for (unsigned i = 0; i < 70; i++)
		close(peers[i]);
}
END_TEST

START_TEST(tcp_without_descriptors)
{
	struct rlimit limit, none;
	int first, second, fd = bound(SOCK_STREAM);
	ev_tstamp before;

	ck_assert_int_eq(dns_server_add_listener(server, fd), 0);
	first = client(SOCK_STREAM);
	ev_run(loop, EVRUN_NOWAIT);
	second = client(SOCK_STREAM);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ev_run(loop, EVRUN_NOWAIT);
	/* The oldest made room for the next try. */
	ck_assert(is_over(first));
	/* Turns block until then, instead of finding the listener readable over and over. */
	before = ev_time();
	for (int i = 0; i < 4; i++)
		ev_run(loop, EVRUN_ONCE);
	ck_assert(ev_time() - before > 0.2);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_works(second, 2);
	close(first);
	close(second);
}
END_TEST

START_TEST(adopted_connections)
{
	int peer, accepted, listener = bound(SOCK_STREAM);

	peer = client(SOCK_STREAM);
	accepted = accept(listener, NULL, NULL);
	ck_assert_int_eq(dns_server_adopt(server, accepted), 0);
	assert_flags(accepted);
	assert_works(peer, 4);
	/* Freeing the server closes it. */
	dns_server_free(server);
	server = NULL;
	ck_assert(is_over(peer));
	ck_assert_int_eq(fcntl(accepted, F_GETFD), -1);
	close(peer);
	close(listener);
}
END_TEST

/* Once there is no address left, names that have one keep it, others get SERVFAIL, and the log says so: once. */
START_TEST(names_used_up)
{
	int fd = bound(SOCK_DGRAM), peer = client(SOCK_DGRAM);
	uint8_t reply[600];
	struct packet p;
	uint32_t given;
	char host[32];

	log_capture_begin(LOG_LEVEL_WARN);
	ck_assert_int_eq(dns_server_add_udp(server, fd), 0);
	for (unsigned i = 1; i < NAMES_MAX; i++) {
		snprintf(host, sizeof(host), "n%u.example", i);
		ck_assert_int_eq(names_assign(names, host, &given), 0);
	}
	for (unsigned id = 0; id < 6; id++) {
		static const char *const hosts[] = { "n1.example", "last.example", "new.example" };

		packet_query(&p, id, hosts[id % 3], 1);
		send(peer, p.bytes, p.length, 0);
		ck_assert_int_gt(wait_read(peer, reply, sizeof(reply)), 12);
		ck_assert_uint_eq(packet_get_u16(reply, 0), id);
		ck_assert_uint_eq(reply[3] & 0xf, id % 3 == 2 ? 2 : 0);
		ck_assert_uint_eq(packet_get_u16(reply, 6), id % 3 == 2 ? 0 : 1);
		ck_assert_uint_eq(log_captured_lines("WARN test: all 65534 synthetic addresses"), id > 0);
	}
	log_capture_end();
	close(peer);
}
END_TEST

START_TEST(bad_descriptors)
{
	ck_assert_int_eq(dns_server_adopt(server, -1), -EBADF);
	ck_assert_int_eq(dns_server_add_udp(server, -1), -EBADF);
	ck_assert_int_eq(dns_server_add_listener(server, -1), -EBADF);
	dns_server_free(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_server");
	TCase *tests = tcase_create("dns_server");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, udp_answers);
	tcase_add_test(tests, udp_flood_does_not_hold_the_loop);
	tcase_add_test(tests, udp_takes_long_datagrams);
	tcase_add_test(tests, tcp_answers_several);
	tcase_add_test(tests, tcp_in_single_octets);
	tcase_add_test(tests, tcp_half_closed);
	tcase_add_test(tests, tcp_nonsense);
	tcase_add_test(tests, tcp_slow_reader);
	tcase_add_test(tests, tcp_idle_is_dropped);
	tcase_add_test(tests, tcp_many_connections);
	tcase_add_test(tests, tcp_without_descriptors);
	tcase_add_test(tests, adopted_connections);
	tcase_add_test(tests, names_used_up);
	tcase_add_test(tests, bad_descriptors);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
