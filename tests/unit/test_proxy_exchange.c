/* Octets on their way: who waits for whom, for how long, and how it ends. */
#include "policy/proxy/exchange.h"
#include "policy/proxy/upstream.h"
#include "tests/unit/proxy_session.h"

#define OCTETS_MAX (64u << 20)

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

static void end_side(int fd)
{
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	turns(20);
}

/* `printf … | nc -N`, and any client that knows what it will ask. */
START_TEST(requests_before_an_end_are_answered)
{
	int client = connect_with(0), server;

	request(client, "GET /first", "");
	request(client, "GET /second", _i ? "Connection: close\r\n" : "");
	end_side(client);
	server = accepted();
	wait_text(server, "GET /first");
	say_text(server, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
	wait_text(client, "Content-Length: 1\r\n\r\n1");
	wait_text(server, "GET /second");
	say_text(server, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
	/* No third can follow. */
	wait_text(client, "Connection: close\r\nContent-Length: 1\r\n\r\n2");
	ck_assert_int_eq(wait_end(client), 0);
	wait_clients(0);
	close(client);
	close(server);
}
END_TEST

START_TEST(a_body_before_an_end_is_passed_on)
{
	int client = connect_with(0), server;

	request(client, "POST /whole", "Content-Length: 5\r\n");
	say_text(client, "whole");
	end_side(client);
	server = accepted();
	wait_text(server, "\r\n\r\nwhole");
	say_text(server, "HTTP/1.1 204 None\r\n\r\n");
	wait_text(client, " 204 None\r\nConnection: close\r\n");
	ck_assert_int_eq(wait_end(client), 0);
	close(client);
	close(server);
}
END_TEST

START_TEST(an_end_within_a_body_aborts)
{
	int client = connect_with(0), server;

	request(client, "POST /half", "Content-Length: 10\r\n");
	say_text(client, "half");
	end_side(client);
	ck_assert_int_eq(wait_end(client), -ECONNRESET);
	server = accepted();
	ck_assert_int_eq(wait_end(server), -ECONNRESET);
	close(client);
	close(server);
}
END_TEST

/* As long as it may be there it is waited for; what is known to be gone does not keep its place. */
START_TEST(a_client_that_has_ended_its_side_may_be_gone)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	int client = connect_with(0), server;

	request(client, "GET /slow", "");
	end_side(client);
	server = accepted();
	wait_text(server, "GET /slow");
	for (int i = 0; i < 4; i++) {
		skip(301);
		ck_assert_uint_eq(session.n_clients, 1);
	}
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	turns(4);
	skip(301);
	wait_clients(0);
	ck_assert_int_eq(wait_end(server), -ECONNRESET);
	close(server);
}
END_TEST

static SSL *secured(int fd)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(context);
	int status = 0;

	ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
	for (int i = 0; i < WAIT_TURNS && status != 1; i++) {
		status = SSL_connect(ssl);
		turn();
	}
	ck_assert_int_eq(status, 1);
	SSL_CTX_free(context);
	return ssl;
}

/* In TLS close_notify tells an end from one that somebody on the way has made. */
START_TEST(an_end_of_tls_is_told_from_truncation)
{
	int client = connect_with(0), got = -1, server, length;
	SSL *ssl = secured(client);
	char text[512];

	length = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", ntohs(origin.sin_port));
	ck_assert_int_eq(SSL_write(ssl, text, length), length);
	if (_i == 1)
		SSL_shutdown(ssl);
	end_side(client);
	server = accepted();
	if (_i == 1) {
		/* There is a response to wait for, if only that the server takes no TLS. */
		close(server);
		for (int i = 0; i < WAIT_TURNS && got <= 0; i++) {
			got = SSL_read(ssl, text, sizeof(text));
			turn();
		}
		ck_assert(got > 12 && memcmp(text, "HTTP/1.1 502", 12) == 0);
	} else {
		wait_clients(0);
		close(server);
	}
	SSL_free(ssl);
	close(client);
	wait_clients(0);
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

int main(void)
{
	Suite *suite = suite_create("proxy_exchange");
	TCase *tests = tcase_create("proxy_exchange");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, a_client_must_read);
	tcase_add_test(tests, the_end_of_a_response_waits_for_room);
	tcase_add_test(tests, a_client_must_read_our_pages_too);
	tcase_add_test(tests, a_silent_server_is_waited_for);
	tcase_add_loop_test(tests, requests_before_an_end_are_answered, 0, 2);
	tcase_add_test(tests, a_body_before_an_end_is_passed_on);
	tcase_add_test(tests, an_end_within_a_body_aborts);
	tcase_add_test(tests, a_client_that_has_ended_its_side_may_be_gone);
	tcase_add_loop_test(tests, an_end_of_tls_is_told_from_truncation, 0, 2);
	tcase_add_test(tests, the_page_survives_an_upload);
	tcase_add_test(tests, lingering_is_limited);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
