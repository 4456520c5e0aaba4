/* How a request gets to its server: over which connection, how often, to which name, and what is on record about it. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter_ipv4.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "policy/proxy/client.h"
#include "policy/proxy/names.h"
#include "policy/proxy/resolver_internal.h"
#include "policy/proxy/upstream_internal.h"
#include "tests/unit/clock.h"
#include "tests/unit/log_capture.h"
#include "tests/unit/nameserver.h"

#define WAIT_TURNS 4000 /* of about half a millisecond */
#define EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static struct session session;
static struct sockaddr_in proxy, origin, destination;
static int origin_listener;
static bool unheard; /* nothing that is sent is acknowledged */

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	if (level != SOL_IP || name != SO_ORIGINAL_DST)
		return __real_getsockopt(fd, level, name, value, length);
	memcpy(value, &destination, sizeof(destination));
	return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int status;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	status = __real_ioctl(fd, request, argument);
	if (request == SIOCOUTQ)
		*(int *)argument = unheard ? 1000 : 0;
	return status;
}

static int listener(struct sockaddr_in *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(*ret);

	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)ret, length), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)ret, &length), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

static void set_up(void)
{
	struct resolver_settings settings = { .lookups = "b", .timeout_ms = 1000, .tries = 1 };
	struct error error = { 0 };

	clock_slow_down();
	signal(SIGPIPE, SIG_IGN);
	log_capture_begin(LOG_LEVEL_INFO);
	unheard = false;
	ttl = 30;
	session = (struct session){ .listener = -1, .routes = -1, .max_clients = 100 };
	ck_assert_int_eq(rule_set_new(&session.rules), 0);
	ck_assert_int_eq(search_domains_add(&session.search, "corp.test"), 0);
	ck_assert_msg(session_prepare(&session, -1, -1, &error) == 0, "%s", error.text);
	nameserver_open(session.loop);
	resolver_free(session.resolver);
	settings.servers = servers;
	ck_assert_int_eq(resolver_new_with(session.loop, &settings, &session.resolver, &error), 0);
	session.listener = listener(&proxy);
	origin_listener = listener(&origin);
	destination = origin;
	client_listen(&session);
}

static void tear_down(void)
{
	nameserver_close(session.loop);
	session_clear(&session);
	close(origin_listener);
	log_capture_end();
	clock_catch_up();
}

static void allow(const char *rule)
{
	struct error error = { 0 };

	ck_assert_msg(rule_set_add(session.rules, RULE_ALLOW, rule, "test", &error) == 0, "%s", error.text);
}

static void turns(unsigned int n)
{
	while (n-- > 0) {
		ev_run(session.loop, EVRUN_NOWAIT);
		usleep(500);
	}
}

static void skip(time_t seconds)
{
	clock_skipped += seconds;
	turns(4);
}

static int connect_client(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&proxy, sizeof(proxy)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void get(int fd, const char *path, const char *host)
{
	char text[256];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: %s:%u\r\n\r\n", path, host, ntohs(destination.sin_port));
	say(fd, text);
}

/* Waits until what the peer has sent contains `part`, and returns it all. */
static const char *hear(int fd, const char *part)
{
	static char octets[65536];
	size_t length = 0;

	for (int i = 0; i < WAIT_TURNS; i++) {
		ssize_t got = recv(fd, octets + length, sizeof(octets) - 1 - length, 0);

		length += got > 0 ? (size_t)got : 0;
		octets[length] = '\0';
		if (strstr(octets, part))
			return octets;
		turns(1);
	}
	ck_abort_msg("\"%s\" does not come; what came: %.200s", part, octets);
}

/* The server's end of the next connection to it; -1 if there is none within `n` rounds. */
static int accepted(int n)
{
	int fd = -1;

	for (int i = 0; i < n && fd < 0; i++) {
		turns(1);
		fd = accept4(origin_listener, NULL, NULL, SOCK_NONBLOCK);
	}
	return fd;
}

/* Begins a request for which a new connection is made. Returns the server's end of that. */
static int begin(int client, const char *path)
{
	int server;

	get(client, path, "127.0.0.1");
	server = accepted(WAIT_TURNS);
	ck_assert_int_ge(server, 0);
	hear(server, path);
	return server;
}

static bool is_open(int fd)
{
	char octet;

	turns(4);
	return recv(fd, &octet, 1, MSG_PEEK) > 0 || errno == EAGAIN;
}

/* Two connections to the server with nothing to do: the one used last, and another. */
static void keep_two(int clients[2], int servers_ends[2])
{
	allow("ip=127.0.0.1");
	for (int i = 1; i >= 0; i--) {
		clients[i] = connect_client();
		servers_ends[i] = begin(clients[i], "/first");
	}
	for (int i = 1; i >= 0; i--) {
		say(servers_ends[i], EMPTY);
		hear(clients[i], "200 OK");
	}
	ck_assert_uint_eq(session.upstreams->n_idle, 2);
}

START_TEST(a_server_that_has_gone_without_a_word)
{
	int clients[2], old[2], server;

	keep_two(clients, old);
	unheard = true;
	get(clients[0], "/second", "127.0.0.1");
	hear(old[0], "/second");
	skip(9);
	ck_assert_int_lt(accepted(20), 0);
	skip(2);
	/* Not over the other one, which would cost as long again. */
	server = accepted(WAIT_TURNS);
	ck_assert_int_ge(server, 0);
	ck_assert(!is_open(old[0]) && !is_open(old[1]));
	hear(server, "GET /second HTTP/1.1\r\n");
	/* A new one may be as slow as it likes. */
	skip(100);
	say(server, EMPTY);
	hear(clients[0], "200 OK");
	ck_assert_uint_eq(log_captured_lines("ALLOW"), 3);
	for (int i = 0; i < 2; i++) {
		close(clients[i]);
		close(old[i]);
	}
	close(server);
}
END_TEST

/* What cannot be sent again gets its answer then, not when the kernel is tired. */
START_TEST(a_server_that_has_gone_before_a_post)
{
	int clients[2], old[2];

	keep_two(clients, old);
	unheard = true;
	say(clients[0], "POST /second HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nxy");
	turns(20);
	skip(9);
	ck_assert_int_eq(recv(clients[0], (char[1]){ 0 }, 1, MSG_PEEK), -1);
	skip(2);
	hear(clients[0], "HTTP/1.1 502 ");
	ck_assert_int_lt(accepted(20), 0);
	ck_assert_uint_eq(log_captured_lines("ALLOW"), 3);
	for (int i = 0; i < 2; i++) {
		close(clients[i]);
		close(old[i]);
	}
}
END_TEST

START_TEST(a_server_that_only_takes_its_time)
{
	int clients[2], ends[2];

	keep_two(clients, ends);
	get(clients[0], "/second", "127.0.0.1");
	hear(ends[0], "/second");
	skip(11);
	skip(600);
	ck_assert_int_lt(accepted(20), 0);
	ck_assert(is_open(ends[0]));
	say(ends[0], EMPTY);
	hear(clients[0], "200 OK");
	for (int i = 0; i < 2; i++) {
		close(clients[i]);
		close(ends[i]);
	}
}
END_TEST

/* An answer within the ten seconds ends the watch, also where it goes on for long. */
START_TEST(an_answer_that_has_begun)
{
	int clients[2], ends[2];

	keep_two(clients, ends);
	get(clients[0], "/second", "127.0.0.1");
	hear(ends[0], "/second");
	say(ends[0], "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
	hear(clients[0], "\r\n\r\nab");
	unheard = true;
	skip(11);
	ck_assert(is_open(ends[0]));
	say(ends[0], "cd");
	hear(clients[0], "cd");
	unheard = false;
	for (int i = 0; i < 2; i++) {
		close(clients[i]);
		close(ends[i]);
	}
}
END_TEST

/* The pool looks every five seconds; what it would close then is not used before that. */
START_TEST(a_minute_and_no_more)
{
	int clients[2], ends[2], server;

	keep_two(clients, ends);
	skip(58);
	skip(4);
	ck_assert_uint_eq(session.upstreams->n_idle, 2);
	server = begin(clients[0], "/second");
	say(server, EMPTY);
	hear(clients[0], "200 OK");
	for (int i = 0; i < 2; i++) {
		close(clients[i]);
		close(ends[i]);
	}
	close(server);
}
END_TEST

static void on_dialled(void *user, int status, struct upstream *upstream, const char *reason)
{
	(void)reason;
	ck_assert_int_eq(status, 0);
	*(int *)user = 1;
	upstream_keep(upstream);
}

/* Allowed over a connection that turns out to be of no use, then denied for where the name leads by now. */
START_TEST(a_denial_after_all_is_on_record)
{
	struct ip_address loopback;
	struct upstream_dial *dial;
	int client = connect_client(), server, dialled = 0;

	allow("domain=host.test ip=127.0.0.1");
	ck_assert_int_eq(ip_address_parse("127.0.0.1", 9, &loopback), 0);
	ck_assert_int_eq(upstream_dial(session.upstreams, false, "host.test", ntohs(origin.sin_port), &loopback, 1,
				       on_dialled, &dialled, &dial),
			 0);
	server = accepted(WAIT_TURNS);
	for (int i = 0; i < WAIT_TURNS && !dialled; i++)
		turns(1);
	get(client, "/", "host.test");
	hear(server, "GET / HTTP/1.1\r\n");
	ck_assert_uint_eq(log_captured_lines("ALLOW"), 1);
	ck_assert_uint_eq(log_captured_lines("DENY"), 0);
	close(server);
	hear(client, "HTTP/1.1 403 Forbidden\r\n");
	ck_assert_uint_eq(log_captured_lines("ALLOW"), 1);
	ck_assert_uint_eq(log_captured_lines("DENY"), 1);
	close(client);
}
END_TEST

/* Connections are to the address that stands for `name`. */
static void to_name(const char *name)
{
	uint32_t address;

	ck_assert_int_eq(names_assign(session.names, name, &address), 0);
	destination.sin_addr.s_addr = htonl(address);
}

/* A single label is judged, recorded and dialled as what it stands for. */
START_TEST(a_short_name_is_its_full_name)
{
	struct error error = { 0 };
	const char *heard;
	char expected[64];
	int client, server;

	allow("domain=* ip=127.0.0.0/8");
	ck_assert_int_eq(rule_set_add(session.rules, RULE_DENY, "domain=files.corp.test", "test", &error), 0);
	to_name("files.corp.test");
	client = connect_client();
	get(client, "/", "files");
	heard = hear(client, "HTTP/1.1 403 Forbidden\r\n");
	ck_assert_ptr_nonnull(strstr(heard, "files.corp.test"));
	ck_assert_uint_eq(log_captured_lines("DENY"), 1);
	ck_assert_uint_eq(log_captured_lines("host=files.corp.test"), 1);
	ck_assert_uint_eq(n_queries, 0);
	close(client);

	to_name("home.corp.test");
	client = connect_client();
	get(client, "/", "home");
	server = accepted(WAIT_TURNS);
	ck_assert_int_ge(server, 0);
	/* The server gets what the client wrote. */
	snprintf(expected, sizeof(expected), "\r\nHost: home:%u\r\n", ntohs(origin.sin_port));
	hear(server, expected);
	ck_assert_str_eq(last_name, "home.corp.test.");
	ck_assert_uint_eq(log_captured_lines("host=home.corp.test"), 1);
	close(server);
	close(client);
}
END_TEST

/* Where no search domain was added, none is: the host's own hosts file, say, may know the name. */
START_TEST(a_short_name_alone_is_asked_for_alone)
{
	int client = connect_client();

	allow("domain=*");
	setenv("LOCALDOMAIN", "corp.test", 1);
	get(client, "/", "nx");
	hear(client, "HTTP/1.1 502 Bad Gateway\r\n");
	ck_assert_str_eq(last_name, "nx.");
	unsetenv("LOCALDOMAIN");
	close(client);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_reach");
	TCase *tests = tcase_create("reach");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, a_server_that_has_gone_without_a_word);
	tcase_add_test(tests, a_server_that_has_gone_before_a_post);
	tcase_add_test(tests, a_server_that_only_takes_its_time);
	tcase_add_test(tests, an_answer_that_has_begun);
	tcase_add_test(tests, a_minute_and_no_more);
	tcase_add_test(tests, a_denial_after_all_is_on_record);
	tcase_add_test(tests, a_short_name_is_its_full_name);
	tcase_add_test(tests, a_short_name_alone_is_asked_for_alone);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
