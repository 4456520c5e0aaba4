/* What connections can cost: their number, their time, the lines they cause; and nothing leaves that is not on record.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/netfilter_ipv4.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "policy/proxy/client.h"
#include "policy/proxy/exchange.h"
#include "policy/proxy/upstream.h"
#include "tests/unit/clock.h"
#include "tests/unit/log_capture.h"

#define WAIT_TURNS 4000 /* of about half a millisecond */
#define OCTETS_MAX (64u << 20)

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

static int listener(struct sockaddr_in *ret)
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

static void set_up(void)
{
	struct error error = { 0 };

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

static void tear_down(void)
{
	session_clear(&session);
	close(origin_listener);
	log_capture_end();
}

static void turn(void)
{
	ev_run(session.loop, EVRUN_NOWAIT);
	usleep(500);
}

static void turns(unsigned n)
{
	while (n-- > 0)
		turn();
}

static void skip(time_t seconds)
{
	clock_skipped += seconds;
	turns(4);
}

/* `room` > 0: the client takes only about so many octets before it reads. */
static int connect_with(int room)
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

static void say(int fd, const char *octets, size_t length)
{
	ck_assert_int_eq(send(fd, octets, length, MSG_NOSIGNAL), (ssize_t)length);
}

static void say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

/* A request's head; `fields` end in CRLF each. */
static void request(int fd, const char *line, const char *fields)
{
	char text[512];

	snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", line, ntohs(origin.sin_port),
		 fields);
	say_text(fd, text);
}

static bool is_open(int fd)
{
	char octet;

	turns(4);
	return recv(fd, &octet, 1, MSG_PEEK) > 0 || errno == EAGAIN;
}

/* Waits until the peer ends the connection, throwing octets away: 0, or -ECONNRESET. */
static int wait_end(int fd)
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
static void wait_text(int fd, const char *text)
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
static void take(int fd, size_t length)
{
	static char octets[65536];

	for (int i = 0; i < WAIT_TURNS && length > 0; i++) {
		ssize_t got = recv(fd, octets, length < sizeof(octets) ? length : sizeof(octets), 0);

		length -= got > 0 ? (size_t)got : 0;
		turn();
	}
	ck_assert_uint_eq(length, 0);
}

static void wait_clients(size_t n)
{
	for (int i = 0; i < WAIT_TURNS && session.n_clients != n; i++)
		turn();
	ck_assert_uint_eq(session.n_clients, n);
}

/* The origin's end of the next connection to it. */
static int accepted(void)
{
	for (int i = 0; i < WAIT_TURNS; i++) {
		int fd = accept4(origin_listener, NULL, NULL, SOCK_NONBLOCK);

		if (fd >= 0)
			return fd;
		turn();
	}
	ck_abort_msg("nothing reaches the origin");
}

/* Sends until nobody takes anything more. */
static void pour(int fd)
{
	static const char block[65536];
	size_t poured = 0;

	for (int idle = 0; idle < 40 && poured < OCTETS_MAX; idle++) {
		ssize_t sent = send(fd, block, sizeof(block), MSG_NOSIGNAL);

		if (sent > 0) {
			poured += (size_t)sent;
			idle = 0;
		}
		turn();
	}
	ck_assert_uint_gt(poured, 0);
	ck_assert_uint_lt(poured, OCTETS_MAX);
}

START_TEST(only_so_many_are_served_and_the_others_wait)
{
	int fds[12];

	session.max_clients = 8;
	for (int i = 0; i < 12; i++)
		fds[i] = connect_with(0);
	wait_clients(8);
	turns(20);
	ck_assert_uint_eq(session.n_clients, 8);
	ck_assert(!ev_is_active(&session.accept));
	/* Those that wait are not lost: each one that goes lets the next one in. */
	for (int i = 0; i < 4; i++) {
		close(fds[i]);
		turns(20);
		ck_assert_uint_eq(session.n_clients, 8);
		say_text(fds[8 + i], "nonsense\r\n");
		ck_assert_int_eq(wait_end(fds[8 + i]), -ECONNRESET);
		close(fds[8 + i]);
		fds[8 + i] = connect_with(0);
	}
	for (int i = 4; i < 12; i++)
		close(fds[i]);
	wait_clients(0);
	ck_assert(ev_is_active(&session.accept));
}
END_TEST

/* Without the pause the listener would be found readable over and over. */
START_TEST(without_descriptors_it_pauses)
{
	struct rlimit limit, none;
	int fd = connect_with(0);

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	for (int round = 0; round < 3; round++) {
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
		turn();
		ck_assert(!ev_is_active(&session.accept));
		ck_assert(ev_is_active(&session.accept_pause));
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		clock_skipped++;
		ev_run(session.loop, EVRUN_NOWAIT);
		ck_assert(ev_is_active(&session.accept));
	}
	wait_clients(1);
	close(fd);
}
END_TEST

START_TEST(silence_is_limited)
{
	int silent, halfway, secure, empty;

	origin.sin_port = htons(_i);
	silent = connect_with(0);
	halfway = connect_with(0);
	secure = connect_with(0);
	empty = connect_with(0);
	wait_clients(4);
	skip(20);
	say_text(halfway, "GET / HT");
	say(secure, "\x16\x03\x01\x02\x00\x01", 6);
	say_text(empty, "\r\n");
	turns(4);
	skip(29);
	ck_assert(is_open(silent) && is_open(halfway) && is_open(secure));
	/* A TLS handshake has 30 s. */
	skip(2);
	ck_assert_int_eq(wait_end(secure), 0);
	ck_assert(is_open(silent) && is_open(halfway));
	skip(10);
	ck_assert_int_eq(wait_end(silent), -ECONNRESET);
	/* Octets that complete nothing do not count. */
	say_text(halfway, "TP/1.1\r\nX: ");
	say_text(empty, "\r\n");
	ck_assert(is_open(halfway) && is_open(empty));
	skip(20);
	wait_clients(0);
	close(empty);
	close(silent);
	close(halfway);
	close(secure);
}
END_TEST

/* A client that waits for the server's greeting is told early, and it is on record what it tried. */
START_TEST(whoever_waits_for_a_greeting_is_reset)
{
	char line[64];
	int silent = connect_with(0), gone = connect_with(0);

	wait_clients(2);
	close(gone);
	wait_clients(1);
	skip(9);
	ck_assert(is_open(silent));
	skip(2);
	ck_assert_int_eq(wait_end(silent), -ECONNRESET);
	wait_clients(0);
	snprintf(line, sizeof(line), " DENY method=TCP url=tcp://127.0.0.1:%u ", ntohs(origin.sin_port));
	ck_assert_uint_eq(log_captured_lines(line), 1);
	close(silent);
}
END_TEST

/* By NTP or by hand, or after a suspended machine wakes: an hour back is no hour more. */
START_TEST(a_clock_that_is_set_moves_no_limit)
{
	int halfway = connect_with(0);

	say_text(halfway, "GET / HT");
	wait_clients(1);
	clock_stepped = -3600;
	skip(59);
	ck_assert(is_open(halfway));
	skip(2);
	wait_clients(0);
	close(halfway);
}
END_TEST

/* A client that does not read holds its share of memory for five minutes, not for ever. */
START_TEST(a_client_must_read)
{
	int client = connect_with(65536), server;

	request(client, "GET /endless", "");
	server = accepted();
	wait_text(server, "GET /endless HTTP/1.1\r\n");
	say_text(server, "HTTP/1.1 200 OK\r\n\r\n");
	pour(server);
	skip(301);
	ck_assert_uint_eq(session.n_clients, 1);
	/* Read from the kernel's buffers, too little for the proxy to have anything to do: that counts. */
	take(client, 300000);
	skip(301);
	ck_assert_uint_eq(session.n_clients, 1);
	skip(301);
	wait_clients(0);
	/* Cut off, not ended: the client must not take it for the whole. */
	ck_assert_int_eq(wait_end(client), -ECONNRESET);
	close(client);
	close(server);
}
END_TEST

/* Sends so much that the block for the client is full but for less than a chunk's framing, and nothing waits elsewhere.
 */
static void fill(int server)
{
	const struct buffer *out = &session.clients->out;
	static const char block[16384];

	for (int i = 0; i < WAIT_TURNS; i++) {
		size_t room = out->data ? BUFFER_SIZE - out->end : BUFFER_SIZE;

		if (room <= 64)
			return;
		say(server, block, room - 64 < sizeof(block) ? room - 64 : sizeof(block));
		turns(4);
	}
	ck_abort_msg("the client takes everything");
}

/* The last chunk has no room, and then some: neither may keep the proxy busy or count as if the client had read. */
START_TEST(the_end_of_a_response_waits_for_room)
{
	int client = connect_with(4096), small = 4096, server;

	wait_clients(1);
	setsockopt(session.clients->stream.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	request(client, "GET /endless", "");
	server = accepted();
	wait_text(server, "GET /endless");
	say_text(server, "HTTP/1.1 200 OK\r\n\r\n");
	wait_text(client, "HTTP/1.1 200 OK\r\n");
	fill(server);
	close(server);
	turns(20);
	/* Until there is a little room the server's end is not even seen. */
	for (int i = 0; i < WAIT_TURNS && !session.clients->exchange->upstream->stream.ended; i++)
		take(client, 500);
	turns(20);
	ck_assert(session.clients->exchange->upstream->stream.ended);
	ck_assert_uint_gt(buffer_length(&session.clients->out), 0);
	ck_assert(!ev_is_active(&session.clients->stream.again));
	skip(301);
	skip(301);
	wait_clients(0);
	close(client);
}
END_TEST

/* A page of our own that the client does not take, because it does not take what was before it. */
START_TEST(a_client_must_read_our_pages_too)
{
	int client = connect_with(4096), small = 4096;

	wait_clients(1);
	setsockopt(session.clients->stream.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < 2000; i++) {
		char text[128];
		int length = snprintf(text, sizeof(text), "GET /%d HTTP/1.1\r\nHost: denied.example\r\n\r\n", i);

		if (send(client, text, (size_t)length, MSG_NOSIGNAL) < length)
			break;
		turn();
	}
	skip(301);
	ck_assert_uint_eq(session.n_clients, 1);
	skip(301);
	wait_clients(0);
	close(client);
}
END_TEST

/* Long polling, server-sent events, a quiet WebSocket: nobody owes anybody anything. */
START_TEST(a_silent_server_is_waited_for)
{
	int client = connect_with(0), server;

	request(client, "GET /events", "");
	server = accepted();
	wait_text(server, "GET /events");
	skip(700);
	say_text(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
	wait_text(client, "first");
	skip(1000);
	say_text(server, "later");
	wait_text(client, "later");
	close(client);
	close(server);
}
END_TEST

/* A client that has sent the head of an upload to where it may not go and has not looked at the answer. */
static int begin_upload(void)
{
	size_t before = session.n_clients;
	int client = connect_with(0);

	wait_clients(before + 1);
	say_text(client, "POST / HTTP/1.1\r\nHost: 127.0.0.2\r\nContent-Length: 1000000000\r\n\r\n");
	for (int i = 0; i < WAIT_TURNS && session.clients->state != CLIENT_LINGER; i++)
		turn();
	ck_assert_int_eq(session.clients->state, CLIENT_LINGER);
	return client;
}

/* As many do: all of the body first. A reset would take the page away. */
START_TEST(the_page_survives_an_upload)
{
	static const char block[65536];
	int client = begin_upload();

	for (size_t left = 20u << 20; left > 0;) {
		ssize_t sent = send(client, block, left < sizeof(block) ? left : sizeof(block), MSG_NOSIGNAL);

		ck_assert_msg(sent > 0 || errno == EAGAIN, "with %zu octets left: %m", left);
		left -= sent > 0 ? (size_t)sent : 0;
		turn();
	}
	wait_text(client, "HTTP/1.1 421 ");
	ck_assert_int_eq(wait_end(client), 0);
	close(client);
	wait_clients(0);
}
END_TEST

/* It takes no octets to count, only time: 5 s of silence, or 30 s. */
START_TEST(lingering_is_limited)
{
	int silent = begin_upload(), busy = begin_upload();

	for (int seconds = 0; seconds < 28; seconds += 4) {
		skip(4);
		ck_assert_uint_eq(session.n_clients, seconds == 0 ? 2 : 1);
		say(busy, "x", 1);
		turns(4);
	}
	skip(3);
	wait_clients(0);
	close(silent);
	close(busy);
}
END_TEST

START_TEST(lines_about_connections_are_limited)
{
	unsigned denied;

	for (int i = 0; i < 200; i++) {
		int fd = connect_with(0);

		say_text(fd, "nonsense\r\n");
		ck_assert_int_eq(wait_end(fd), -ECONNRESET);
		close(fd);
	}
	denied = log_captured_lines(" DENY method=TCP url=tcp://127.0.0.1:");
	ck_assert_uint_ge(denied, 50);
	ck_assert_uint_lt(denied, 200);
	skip(11);
	ck_assert_uint_eq(log_captured_lines("kind=\"neither TLS nor HTTP\" count="), 1);
	ck_assert_uint_eq(denied + log_captured_sum("count="), 200);
}
END_TEST

START_TEST(lines_about_requests_are_limited_and_records_are_not)
{
	for (int i = 0; i < 120; i++) {
		int fd = connect_with(0);

		/* Denied; then one that names two hosts; then one that cannot be read. */
		say_text(fd, "GET / HTTP/1.1\r\nHost: 127.0.0.2\r\n\r\n");
		wait_text(fd, " 421 ");
		close(fd);
		fd = connect_with(0);
		say_text(fd, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
		wait_text(fd, " 400 ");
		close(fd);
	}
	skip(11);
	ck_assert_uint_eq(log_captured_lines(" DENY method=GET url=http://127.0.0.2"), 120);
	ck_assert_uint_eq(log_captured_lines("kind=mismatch count="), 1);
	ck_assert_uint_eq(log_captured_lines("kind=\"refused request\" count="), 1);
	ck_assert_uint_lt(log_captured_lines(" WARN test: 400 "), 120);
	ck_assert_uint_eq(log_captured_lines(" WARN test: ") - 2 - 120 + log_captured_sum("count="), 240);
}
END_TEST

/* A log that takes nothing any more: what cannot be put on record is not carried out. */
START_TEST(nothing_leaves_without_a_record)
{
	int client = connect_with(0), broken[2], server;

	request(client, "GET /first", "");
	server = accepted();
	wait_text(server, "GET /first");
	say_text(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	wait_text(client, "ok");
	ck_assert_int_eq(pipe2(broken, O_CLOEXEC), 0);
	close(broken[0]);
	log_open(broken[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "test");
	/* On the connection that is there, and on a new one. */
	request(client, "GET /second", "");
	wait_text(client, "HTTP/1.1 503 ");
	close(server);
	turns(20);
	request(client, "GET /third", "");
	wait_text(client, "cannot be put on record: Broken pipe.");
	turns(20);
	ck_assert_int_eq(accept(origin_listener, NULL, NULL), -1);
	/* Where nobody wants records of what is allowed, none can be missing. */
	log_open(broken[1], LOG_LEVEL_WARN, LOG_FORMAT_TEXT, "test");
	request(client, "GET /fourth", "");
	server = accepted();
	wait_text(server, "GET /fourth");
	close(client);
	close(server);
	close(broken[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_client");
	TCase *tests = tcase_create("proxy_client");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, only_so_many_are_served_and_the_others_wait);
	tcase_add_test(tests, without_descriptors_it_pauses);
	tcase_add_loop_test(tests, silence_is_limited, 80, 81);
	tcase_add_loop_test(tests, silence_is_limited, 443, 444);
	tcase_add_test(tests, whoever_waits_for_a_greeting_is_reset);
	tcase_add_test(tests, a_clock_that_is_set_moves_no_limit);
	tcase_add_test(tests, a_client_must_read);
	tcase_add_test(tests, the_end_of_a_response_waits_for_room);
	tcase_add_test(tests, a_client_must_read_our_pages_too);
	tcase_add_test(tests, a_silent_server_is_waited_for);
	tcase_add_test(tests, the_page_survives_an_upload);
	tcase_add_test(tests, lingering_is_limited);
	tcase_add_test(tests, lines_about_connections_are_limited);
	tcase_add_test(tests, lines_about_requests_are_limited_and_records_are_not);
	tcase_add_test(tests, nothing_leaves_without_a_record);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
