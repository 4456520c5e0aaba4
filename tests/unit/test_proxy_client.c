/* What connections can cost: their number, their time, the lines they cause; and nothing leaves that is not on record.
 */
#include <sys/resource.h>

#include "tests/unit/proxy_session.h"

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
	ck_assert_int_eq(wait_end(silent), 0);
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

#define NO_BODY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* One whole exchange by a new connection to the origin. Returns the origin's end. */
static int serve_first(int client)
{
	int server;

	request(client, "GET /first", "");
	server = accepted();
	wait_text(server, "GET /first ");
	say_text(server, NO_BODY);
	wait_text(client, "200 OK");
	return server;
}

/* A body that is longer than it said: the response that may still be on its way is not taken back by a reset. */
START_TEST(what_follows_a_response_is_answered)
{
	int fd = connect_with(0), server = serve_first(fd);

	say_text(fd, "nonsense\r\n\r\n");
	wait_text(fd, " 400 ");
	ck_assert_int_eq(wait_end(fd), 0);
	ck_assert_uint_eq(log_captured_lines("neither TLS nor HTTP"), 0);
	close(fd);
	close(server);
}
END_TEST

/* RFC 9112 section 2.2: empty lines before a request do not count, in whatever pieces they come. */
START_TEST(an_empty_line_in_two_pieces)
{
	int fd = connect_with(0), server;

	say_text(fd, "\r");
	turns(4);
	say_text(fd, "\n");
	server = serve_first(fd);
	say_text(fd, "\r");
	turns(4);
	say_text(fd, "\n");
	request(fd, "GET /second", "");
	wait_text(server, "GET /second ");
	close(fd);
	close(server);
}
END_TEST

static unsigned count_answers(int fd)
{
	static char octets[1 << 20];
	ssize_t got = recv(fd, octets, sizeof(octets) - 1, 0);
	unsigned n = 0;

	octets[got > 0 ? got : 0] = '\0';
	for (const char *at = octets; (at = strstr(at, "HTTP/1.1 403 ")); at++)
		n++;
	return n;
}

/* Requests that cost nothing but answers, one after the other: others have their turn in between. */
START_TEST(pipelined_requests_take_turns)
{
	const unsigned sent = 200;
	struct error error = { 0 };
	unsigned answered;
	int fd = connect_with(0);

	ck_assert_int_eq(rule_set_add(session.rules, RULE_DENY, "path=/denied", "test", &error), 0);
	wait_clients(1);
	for (unsigned i = 0; i < sent; i++)
		request(fd, "GET /denied", "");
	turn();
	answered = count_answers(fd);
	ck_assert_uint_gt(answered, 0);
	ck_assert_uint_lt(answered, 30);
	for (int i = 0; i < WAIT_TURNS && answered < sent; i++) {
		turn();
		answered += count_answers(fd);
	}
	ck_assert_uint_eq(answered, sent);
	close(fd);
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
	/* What was never judged costs nothing to send: such a record has a limit of its own. */
	ck_assert_uint_lt(log_captured_lines(" DENY method=GET url=http://127.0.0.1"), 120);
	ck_assert_uint_eq(log_captured_lines("kind=\"record of a refused request\" count="), 1);
	ck_assert_uint_eq(log_captured_lines(" WARN test: ") - 3 - 120 + log_captured_sum("count="), 360);
}
END_TEST

static const struct {
	const char *octets, *answer, *record; /* the port comes between the record's halves, divided by '#' */
} declined[] = {
	{ "GET /a?b HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", " 400 ",
	  "method=GET url=http://127.0.0.1:#/a?b host=127.0.0.1 reason=\"cannot be read\"" },
	{ "POST /bare HTTP/1.1\nHost: a\n\n", " 400 ",
	  "method=POST url=http://127.0.0.1:#/bare host=127.0.0.1 reason=\"cannot be read\"" },
	{ "GET /\xc3\xbc HTTP/1.1\r\nHost: a\r\n\r\n", " 400 ",
	  "method=GET url=http://127.0.0.1:# host=127.0.0.1 reason=\"cannot be read\"" },
	{ "G(T /x HTTP/1.1\r\nHost: a\r\n\r\n", " 400 ",
	  "method=- url=http://127.0.0.1:# host=127.0.0.1 reason=\"cannot be read\"" },
	{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", " 400 ",
	  "method=GET url=http://127.0.0.1:#/ host=127.0.0.1 reason=\"cannot be read\"" },
	{ "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", " 405 ",
	  "method=CONNECT url=\"http://127.0.0.1:# a.example:443\" host=127.0.0.1 reason=\"CONNECT is not taken\"" },
	{ "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", " 501 ",
	  "method=PUT url=http://127.0.0.1:#/ host=127.0.0.1 reason=\"transfer coding not supported\"" },
	{ NULL, " 431 ", "method=GET url=http://127.0.0.1:#/long host=127.0.0.1 reason=\"head too large\"" },
};

START_TEST(what_is_never_judged_is_on_record)
{
	const char *record = declined[_i].record, *port = strchr(record, '#');
	int client = connect_with(0);
	char line[256];

	if (declined[_i].octets) {
		say_text(client, declined[_i].octets);
	} else {
		static char filler[HTTP1_HEAD_MAX];

		memset(filler, 'x', sizeof(filler));
		say_text(client, "GET /long HTTP/1.1\r\nX: ");
		say(client, filler, sizeof(filler));
	}
	wait_text(client, declined[_i].answer);
	ck_assert_int_eq(wait_end(client), 0);
	snprintf(line, sizeof(line), " DENY %.*s%u%s", (int)(port - record), record, ntohs(origin.sin_port), port + 1);
	ck_assert_msg(log_captured_lines(line) == 1, "no \"%s\" in\n%s", line, log_captured());
	ck_assert_uint_eq(log_captured_lines(" DENY "), 1);
	close(client);
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
	tcase_add_test(tests, lines_about_connections_are_limited);
	tcase_add_test(tests, what_follows_a_response_is_answered);
	tcase_add_test(tests, an_empty_line_in_two_pieces);
	tcase_add_test(tests, pipelined_requests_take_turns);
	tcase_add_test(tests, lines_about_requests_are_limited_and_records_are_not);
	tcase_add_loop_test(tests, what_is_never_judged_is_on_record, 0, 8);
	tcase_add_test(tests, nothing_leaves_without_a_record);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
