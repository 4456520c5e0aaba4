/* Connections to servers: which address is tried when, which one wins, and what a connection kept for later is worth.
 */
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "policy/proxy/clock.h"
#include "policy/proxy/tls.h"
#include "policy/proxy/upstream_internal.h"
#include "tests/unit/clock.h"
#include "tests/unit/proxy_bundle.h"

#define TURNS_MAX 8000 /* of about half a millisecond */
#define CONNECTS_MAX 256

/* What becomes of a connection, by the address's last octet. */
enum { GOOD, SILENT, REFUSED, NO_WAY, N_KINDS };

static struct sockaddr_in places[N_KINDS];
static int listeners[N_KINDS], filling;
static struct {
	char text[46];
	double when;
} connects[CONNECTS_MAX];
static size_t n_connects;
static unsigned int n_ready; /* of servers */

static struct ev_loop *loop;
static struct buffer_pool buffers;
static struct ca *ca;
static struct trust *trust;
static struct upstream_pool *pool;

struct outcome {
	unsigned int n_calls;
	int status;
	struct upstream *upstream;
	char reason[ERROR_TEXT_MAX];
	struct upstream_dial *dial;
};

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);

/* All addresses, IPv6 too, are places on the loopback device. */
int __wrap_socket(int family, int type, int protocol)
{
	return __real_socket(family == AF_INET6 ? AF_INET : family, type, protocol);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	struct ip_address ip;
	int kind;

	(void)length;
	ck_assert_uint_lt(n_connects, CONNECTS_MAX);
	ck_assert_int_eq(ip_address_from_sockaddr(address, &ip), 0);
	ip_address_format(&ip, connects[n_connects].text);
	connects[n_connects++].when = clock_monotonic();
	kind = ip.bytes[15] % N_KINDS;
	if (kind == NO_WAY) {
		errno = ENETUNREACH;
		return -1;
	}
	return __real_connect(fd, (const struct sockaddr *)&places[kind], sizeof(places[kind]));
}

static int bound(struct sockaddr_in *ret, int backlog)
{
	int fd = __real_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(*ret);

	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)ret, length), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)ret, &length), 0);
	if (backlog >= 0)
		ck_assert_int_eq(listen(fd, backlog), 0);
	return fd;
}

static void set_up(void)
{
	struct error error = { 0 };

	signal(SIGPIPE, SIG_IGN);
	n_connects = n_ready = 0;
	listeners[GOOD] = bound(&places[GOOD], 1024);
	listeners[SILENT] = bound(&places[SILENT], 0);
	listeners[REFUSED] = bound(&places[REFUSED], -1);
	/* Where the backlog is full, the kernel drops what comes. */
	filling = __real_socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(__real_connect(filling, (struct sockaddr *)&places[SILENT], sizeof(places[SILENT])), 0);
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	ck_assert_int_eq(ca_new(&ca, &error), 0);
	ck_assert_msg(trust_new(-1, bundle_of(ca), &trust, &error) == 0, "%s", error.text);
	ck_assert_int_eq(upstream_pool_new(loop, &buffers, trust, &pool), 0);
}

static void tear_down(void)
{
	ck_assert_uint_eq(pool->n_extra, 0);
	upstream_pool_free(pool);
	trust_free(trust);
	ca_free(ca);
	buffer_pool_clear(&buffers);
	ev_loop_destroy(loop);
	clock_catch_up();
	close(filling);
	for (int kind = 0; kind <= REFUSED; kind++)
		close(listeners[kind]);
}

static void turns(unsigned int n)
{
	while (n-- > 0) {
		ev_run(loop, EVRUN_NOWAIT);
		usleep(500);
	}
}

static void skip(time_t seconds)
{
	clock_skipped += seconds;
	turns(4);
}

static void on_dialled(void *user, int status, struct upstream *upstream, const char *reason)
{
	struct outcome *outcome = user;

	outcome->n_calls++;
	outcome->status = status;
	outcome->upstream = upstream;
	snprintf(outcome->reason, sizeof(outcome->reason), "%s", reason ? reason : "");
}

static void dial_to(struct outcome *ret, bool tls, size_t n, const char *const *texts)
{
	struct ip_address addresses[UPSTREAM_ADDRESSES_MAX];

	*ret = (struct outcome){ 0 };
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(ip_address_parse(texts[i], strlen(texts[i]), &addresses[i]), 0);
	ck_assert_int_eq(upstream_dial(pool, tls, "a.test", 443, addresses, n, on_dialled, ret, &ret->dial), 0);
	ck_assert_uint_eq(ret->n_calls, 0);
}
#define dial(ret, tls, ...)                                                                    \
	dial_to(ret, tls, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *), \
		(const char *const[]){ __VA_ARGS__ })

static void wait_for(const struct outcome *outcome)
{
	for (int i = 0; i < TURNS_MAX && outcome->n_calls == 0; i++)
		turns(1);
	ck_assert_uint_eq(outcome->n_calls, 1);
}

/* The order of the first ones; on a machine with much to do another may have begun. */
static void assert_connects(size_t n, const char *const *texts)
{
	ck_assert_uint_ge(n_connects, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_str_eq(connects[i].text, texts[i]);
}

static unsigned int n_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(directory))
		n++;
	closedir(directory);
	return n;
}

START_TEST(silent_addresses_do_not_hold_up_the_good_one)
{
	struct outcome outcome;
	unsigned int before = n_descriptors();

	dial(&outcome, false, "192.0.2.1", "192.0.2.5", "192.0.2.9", "192.0.2.4", "192.0.2.8");
	wait_for(&outcome);
	ck_assert_int_eq(outcome.status, 0);
	assert_connects(4, (const char *const[]){ "192.0.2.1", "192.0.2.5", "192.0.2.9", "192.0.2.4" });
	/* Each a quarter of a second after the one before. */
	for (size_t i = 1; i < 4; i++) {
		ck_assert_double_ge(connects[i].when - connects[i - 1].when, 0.24);
		ck_assert_double_le(connects[i].when - connects[i - 1].when, 5.);
	}
	/* Those that lost are closed. */
	ck_assert_uint_eq(n_descriptors(), before + 1);
	upstream_close(outcome.upstream, false);
}
END_TEST

START_TEST(families_take_turns)
{
	struct outcome outcome;

	dial(&outcome, false, "2001:db8::1", "2001:db8::5", "2001:db8::9", "192.0.2.5", "192.0.2.4", "192.0.2.8");
	wait_for(&outcome);
	ck_assert_int_eq(outcome.status, 0);
	assert_connects(4, (const char *const[]){ "2001:db8::1", "192.0.2.5", "2001:db8::5", "192.0.2.4" });
	upstream_close(outcome.upstream, false);
	/* The first family stays the first. */
	n_connects = 0;
	dial(&outcome, false, "192.0.2.4", "2001:db8::4");
	wait_for(&outcome);
	assert_connects(1, (const char *const[]){ "192.0.2.4" });
	upstream_close(outcome.upstream, false);
}
END_TEST

START_TEST(the_next_one_at_once_after_a_failure)
{
	struct outcome outcome;

	/* The quarter of a second after which the next one begins anyhow does not pass. */
	clock_slow_down();
	dial(&outcome, false, "192.0.2.2", "2001:db8::3", "192.0.2.6", "192.0.2.4");
	wait_for(&outcome);
	ck_assert_int_eq(outcome.status, 0);
	ck_assert_uint_eq(n_connects, 4);
	upstream_close(outcome.upstream, false);
}
END_TEST

/* One that has begun long ago may still win. */
START_TEST(the_first_to_answer_wins)
{
	struct outcome outcome;

	dial(&outcome, false, "192.0.2.1", "192.0.2.2", "192.0.2.5");
	for (int i = 0; i < TURNS_MAX && n_connects < 3; i++)
		turns(1);
	turns(4);
	ck_assert_uint_eq(outcome.n_calls, 0);
	/* Room in the backlog: the kernel sends again after a second. */
	close(accept(listeners[SILENT], NULL, NULL));
	wait_for(&outcome);
	ck_assert_int_eq(outcome.status, 0);
	upstream_close(outcome.upstream, false);
}
END_TEST

START_TEST(all_together_have_half_a_minute)
{
	struct outcome outcome;

	dial(&outcome, false, "2001:db8::3", "192.0.2.1", "192.0.2.5");
	for (int i = 0; i < TURNS_MAX && n_connects < 3; i++)
		turns(1);
	skip(25);
	ck_assert_uint_eq(outcome.n_calls, 0);
	skip(5);
	wait_for(&outcome);
	ck_assert_int_eq(outcome.status, -ETIMEDOUT);
	ck_assert_str_eq(outcome.reason, "cannot connect to a.test port 443 at 192.0.2.1: Connection timed out");
}
END_TEST

START_TEST(failures_are_named)
{
	struct outcome outcome;

	/* Not the one that says nothing about the server. */
	dial(&outcome, false, "192.0.2.2", "2001:db8::3");
	wait_for(&outcome);
	ck_assert_int_eq(outcome.status, -ECONNREFUSED);
	ck_assert_str_eq(outcome.reason, "cannot connect to a.test port 443 at 192.0.2.2: Connection refused");
	dial(&outcome, false, "2001:db8::3");
	wait_for(&outcome);
	ck_assert_int_eq(outcome.status, -ENETUNREACH);
}
END_TEST

START_TEST(attempts_at_once_are_bounded)
{
	static struct outcome outcomes[8], last;
	const char *const silent[] = { "192.0.2.1",  "192.0.2.5",  "192.0.2.9",  "192.0.2.13",
				       "192.0.2.17", "192.0.2.21", "192.0.2.25", "192.0.2.29",
				       "192.0.2.33", "192.0.2.37", "192.0.2.41" };

	for (size_t i = 0; i < 8; i++)
		dial_to(&outcomes[i], false, 11, silent);
	for (int i = 0; i < 9; i++)
		skip(1);
	ck_assert_uint_eq(n_connects, 8 + UPSTREAM_EXTRA_MAX);
	/* A first attempt is always possible, and the next after it where it failed. */
	dial(&last, false, "192.0.2.2", "192.0.2.4");
	wait_for(&last);
	ck_assert_int_eq(last.status, 0);
	upstream_close(last.upstream, false);
	/* What one leaves, others take. */
	n_connects = 0;
	upstream_dial_cancel(outcomes[0].dial);
	skip(1);
	ck_assert_uint_gt(n_connects, 0);
	for (size_t i = 1; i < 8; i++)
		upstream_dial_cancel(outcomes[i].dial);
}
END_TEST

static bool any(void *user, struct upstream *upstream)
{
	(void)user;
	(void)upstream;
	return true;
}

static void on_ready(void *user)
{
	struct stream *peer = user;

	n_ready++;
	stream_want(peer, false, false);
}

/* A connection that is kept. *peer is the server's end. */
static void keep_one(bool tls, struct stream *peer)
{
	static struct tls_hello hello;
	struct outcome outcome;
	struct error error = { 0 };
	SSL_CTX *context;
	SSL *ssl;
	int fd = -1, shaken = -EAGAIN;

	dial(&outcome, tls, "192.0.2.4");
	for (int i = 0; i < TURNS_MAX && fd < 0; i++) {
		turns(1);
		fd = accept4(listeners[GOOD], NULL, NULL, SOCK_NONBLOCK);
	}
	stream_open(peer, loop, fd, on_ready, peer);
	if (tls) {
		hello = (struct tls_hello){ .ca = ca, .fallback = "a.test" };
		ck_assert_int_eq(tls_server_new(&context, &error), 0);
		ck_assert_int_eq(tls_server_accept(context, &hello, &ssl), 0);
		ck_assert_int_eq(stream_start_tls(peer, ssl), 0);
		SSL_CTX_free(context);
		for (int i = 0; i < TURNS_MAX && shaken == -EAGAIN; i++) {
			turns(1);
			shaken = stream_handshake(peer, &error);
		}
		ck_assert_msg(shaken == 0, "%s", error.text);
	}
	wait_for(&outcome);
	ck_assert_msg(outcome.status == 0, "%s", outcome.reason);
	upstream_keep(outcome.upstream);
	turns(10);
	ck_assert_uint_eq(pool->n_idle, 1);
}

static struct upstream *take(bool tls)
{
	return upstream_take(pool, tls, "a.test", 443, UPSTREAM_IDLE_SECONDS, any, NULL);
}

/* What the server has sent has come to the kernel, and the event loop has not looked. */
static void wait_arrival(const struct upstream *upstream)
{
	struct pollfd arrival = { .fd = upstream->stream.fd, .events = POLLIN };

	ck_assert_int_eq(poll(&arrival, 1, 5000), 1);
}

/* What the server has done since the event loop last looked counts. */
START_TEST(ended_ones_are_not_taken)
{
	bool tls = _i & 1, orderly = _i & 2;
	struct stream peer;

	keep_one(tls, &peer);
	if (orderly)
		stream_close(&peer);
	else
		stream_abort(&peer);
	wait_arrival(pool->youngest);
	ck_assert_ptr_null(take(tls));
	ck_assert_uint_eq(pool->n_idle, 0);
}
END_TEST

START_TEST(those_with_stray_octets_are_not_taken)
{
	struct stream peer;

	keep_one(_i, &peer);
	ck_assert_int_eq(stream_write(&peer, "HTTP/1.1 408 Request Timeout\r\n\r\n", 32), 32);
	wait_arrival(pool->youngest);
	ck_assert_ptr_null(take(_i));
	ck_assert_uint_eq(pool->n_idle, 0);
	stream_close(&peer);
}
END_TEST

START_TEST(quiet_ones_are_taken)
{
	struct stream peer, second;
	struct upstream *upstream;
	char octet;

	keep_one(_i, &peer);
	upstream = take(_i);
	ck_assert_ptr_nonnull(upstream);
	ck_assert(upstream->reused);
	ck_assert_ptr_null(take(_i));
	/* Of several, the one that still can be used. */
	keep_one(_i, &second);
	upstream_keep(upstream);
	stream_close(&peer);
	wait_arrival(upstream);
	upstream = take(_i);
	ck_assert_ptr_nonnull(upstream);
	ck_assert_int_eq(stream_write(&upstream->stream, "x", 1), 1);
	stream_want(&second, true, false);
	turns(10);
	ck_assert_uint_eq(n_ready, 1);
	ck_assert_int_eq(stream_read(&second, &octet, 1), 1);
	upstream_close(upstream, false);
	stream_close(&second);
}
END_TEST

START_TEST(a_ticket_is_nothing_stray)
{
	struct stream peer;
	struct upstream *upstream;
	SSL_SESSION *session;
	char octet;

	keep_one(true, &peer);
	session = pool->youngest->host->session;
	ck_assert_int_eq(SSL_new_session_ticket(peer.ssl), 1);
	ck_assert_int_eq(SSL_do_handshake(peer.ssl), 1);
	wait_arrival(pool->youngest);
	upstream = take(true);
	ck_assert_ptr_nonnull(upstream);
	ck_assert_ptr_ne(upstream->host->session, session);
	ck_assert_int_eq(recv(upstream->stream.fd, &octet, 1, MSG_PEEK), -1);
	upstream_close(upstream, false);
	stream_close(&peer);
}
END_TEST

/* Neither direction of a step makes a difference to how long a connection has been idle. */
START_TEST(the_clock_may_be_set)
{
	struct stream peer;
	struct upstream *upstream;
	double before = clock_monotonic();

	keep_one(false, &peer);
	clock_stepped += 7200;
	turns(4);
	upstream = upstream_take(pool, false, "a.test", 443, 4, any, NULL);
	ck_assert_ptr_nonnull(upstream);
	upstream_keep(upstream);
	clock_stepped -= 14400;
	turns(4);
	ck_assert_double_lt(clock_monotonic() - before, 60);
	ck_assert_double_ge(clock_monotonic(), before);
	clock_skipped += 30; /* without a round */
	ck_assert_ptr_null(upstream_take(pool, false, "a.test", 443, 4, any, NULL));
	ck_assert_uint_eq(pool->n_idle, 1);
	skip(31);
	ck_assert_uint_eq(pool->n_idle, 0);
	stream_close(&peer);
}
END_TEST

static TCase *dial_tests(void)
{
	TCase *tests = tcase_create("dial");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, silent_addresses_do_not_hold_up_the_good_one);
	tcase_add_test(tests, families_take_turns);
	tcase_add_test(tests, the_next_one_at_once_after_a_failure);
	tcase_add_test(tests, the_first_to_answer_wins);
	tcase_add_test(tests, all_together_have_half_a_minute);
	tcase_add_test(tests, failures_are_named);
	tcase_add_test(tests, attempts_at_once_are_bounded);
	return tests;
}

static TCase *pool_tests(void)
{
	TCase *tests = tcase_create("pool");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, ended_ones_are_not_taken, 0, 4);
	tcase_add_loop_test(tests, those_with_stray_octets_are_not_taken, 0, 2);
	tcase_add_loop_test(tests, quiet_ones_are_taken, 0, 2);
	tcase_add_test(tests, a_ticket_is_nothing_stray);
	tcase_add_test(tests, the_clock_may_be_set);
	return tests;
}

int main(void)
{
	Suite *suite = suite_create("proxy_upstream");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, dial_tests());
	suite_add_tcase(suite, pool_tests());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
