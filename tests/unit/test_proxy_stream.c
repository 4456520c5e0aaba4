/* Plain and TLS streams over a socketpair, and the TLS that both sides of the proxy speak. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/proxy/stream.h"
#include "policy/proxy/tls.h"
#include "policy/proxy/trust.h"

static struct ev_loop *loop;
static struct stream client, server;
static struct ca *ca, *other_ca;
static struct trust *trust;
static SSL_CTX *context;
static struct tls_hello hello;
static unsigned int n_ready;

static void on_ready(void *user)
{
	(void)user;
	n_ready++;
}

static int bundle_of(const struct ca *from)
{
	size_t length;
	const char *pem = ca_certificate_pem(from, &length);
	int fd = memfd_create("bundle", MFD_CLOEXEC);

	ck_assert_int_eq(write(fd, pem, length), (ssize_t)length);
	return fd;
}

static void set_up(void)
{
	struct error error = { 0 };
	int pair[2];

	loop = ev_loop_new(EVBACKEND_EPOLL);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	stream_open(&client, loop, pair[0], on_ready, NULL);
	stream_open(&server, loop, pair[1], on_ready, NULL);
	ck_assert_int_eq(ca_new(&ca, &error), 0);
	ck_assert_int_eq(ca_new(&other_ca, &error), 0);
	ck_assert_int_eq(tls_server_new(&context, &error), 0);
	ck_assert_msg(trust_new(bundle_of(other_ca), bundle_of(ca), &trust, &error) == 0, "%s", error.text);
	hello = (struct tls_hello){ .ca = ca, .fallback = "fallback.example" };
	n_ready = 0;
}

static void tear_down(void)
{
	stream_close(&client);
	stream_close(&server);
	stream_close(&server); /* again: nothing happens */
	trust_free(trust);
	SSL_CTX_free(context);
	ca_free(ca);
	ca_free(other_ca);
	ev_loop_destroy(loop);
}

/* Both handshakes to their ends; *e is the client's. Returns the client's status. */
static int shake_hands(const char *host, struct error *e)
{
	SSL *ssl;
	int status[2] = { -EAGAIN, -EAGAIN };
	struct error server_error = { 0 };

	ck_assert_int_eq(trust_connect(trust, host, NULL, &ssl, e), 0);
	ck_assert_int_eq(stream_start_tls(&client, ssl), 0);
	ck_assert_int_eq(tls_server_accept(context, &hello, &ssl), 0);
	ck_assert_int_eq(stream_start_tls(&server, ssl), 0);
	for (int i = 0; i < 10 && (status[0] == -EAGAIN || status[1] == -EAGAIN); i++) {
		if (status[0] == -EAGAIN)
			status[0] = stream_handshake(&client, e);
		if (status[1] == -EAGAIN)
			status[1] = stream_handshake(&server, &server_error);
	}
	return status[0];
}

static ssize_t read_when_readable(struct stream *stream, void *buffer, size_t size)
{
	stream_want(stream, true, false);
	ev_run(loop, EVRUN_NOWAIT);
	stream_want(stream, false, false);
	return stream_read(stream, buffer, size);
}

/* The same octets come out, whichever kind; a half close ends one direction only. */
static void converse(void)
{
	char text[16];

	ck_assert_int_eq(stream_read(&server, text, sizeof(text)), -EAGAIN);
	ck_assert_int_eq(stream_write(&client, "hello", 5), 5);
	ck_assert_int_eq(read_when_readable(&server, text, sizeof(text)), 5);
	ck_assert_mem_eq(text, "hello", 5);
	stream_end(&client);
	ck_assert_int_eq(read_when_readable(&server, text, sizeof(text)), 0);
	ck_assert_int_eq(stream_read(&server, text, sizeof(text)), 0);
	ck_assert_int_eq(stream_write(&server, "bye", 3), 3);
	ck_assert_int_eq(read_when_readable(&client, text, sizeof(text)), 3);
}

START_TEST(plain)
{
	converse();
}
END_TEST

START_TEST(tls)
{
	struct error error = { 0 };
	const unsigned char *protocol;
	unsigned int length;

	ck_assert_msg(shake_hands("a.example", &error) == 0, "%s", error.text);
	ck_assert(hello.named);
	ck_assert_str_eq(hello.name, "a.example");
	SSL_get0_alpn_selected(server.ssl, &protocol, &length);
	ck_assert_uint_eq(length, 8);
	converse();
}
END_TEST

START_TEST(literal_host_without_sni)
{
	struct error error = { 0 };

	hello.fallback = "192.0.2.1";
	ck_assert_msg(shake_hands("192.0.2.1", &error) == 0, "%s", error.text);
	ck_assert(!hello.named);
}
END_TEST

START_TEST(wrong_certificates_are_named)
{
	struct error error = { 0 };

	hello.ca = ca;
	hello.fallback = "192.0.2.9";
	ck_assert_int_eq(shake_hands("192.0.2.1", &error), -EPROTO);
	trust_explain(client.ssl, "192.0.2.1", &error);
	ck_assert_msg(strstr(error.text, "192.0.2.1") && strstr(error.text, "IP address mismatch"), "%s", error.text);
}
END_TEST

START_TEST(unknown_authority_is_named)
{
	struct error error = { 0 };
	struct ca *stranger;

	ck_assert_int_eq(ca_new(&stranger, &error), 0);
	hello.ca = stranger;
	ck_assert_int_eq(shake_hands("a.example", &error), -EPROTO);
	trust_explain(client.ssl, "a.example", &error);
	ck_assert_msg(strstr(error.text, "--upstream-ca"), "%s", error.text);
	ca_free(stranger);
}
END_TEST

START_TEST(system_bundle_is_read_when_needed)
{
	struct error error = { 0 };

	hello.ca = other_ca;
	ck_assert_msg(shake_hands("a.example", &error) == 0, "%s", error.text);
}
END_TEST

START_TEST(bad_bundles_are_refused)
{
	struct error error = { 0 };
	struct trust *none;
	int fd = memfd_create("bundle", MFD_CLOEXEC);

	ck_assert_int_eq(write(fd, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 59), 59);
	ck_assert_int_eq(trust_new(-1, fd, &none, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.text, "--upstream-ca"));
	ck_assert_int_eq(trust_new(-1, memfd_create("bundle", MFD_CLOEXEC), &none, &error), -EINVAL);
}
END_TEST

START_TEST(truncation_is_not_an_end)
{
	struct error error = { 0 };
	char text[16];

	ck_assert_int_eq(shake_hands("a.example", &error), 0);
	shutdown(client.fd, SHUT_WR); /* no close_notify */
	ck_assert_int_eq(read_when_readable(&server, text, sizeof(text)), -ECONNRESET);
	ck_assert_int_lt(stream_write(&server, "x", 1), 0);
}
END_TEST

/* What TLS has taken from the socket already is announced although the socket is empty. */
START_TEST(octets_held_by_tls_are_announced)
{
	struct error error = { 0 };
	char text[4];

	ck_assert_int_eq(shake_hands("a.example", &error), 0);
	ck_assert_int_eq(stream_write(&client, "12345678", 8), 8);
	ck_assert_int_eq(read_when_readable(&server, text, 4), 4);
	ck_assert(stream_holds_input(&server));
	n_ready = 0;
	stream_want(&server, true, false);
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_ge(n_ready, 1);
	ck_assert_int_eq(stream_read(&server, text, 4), 4);
	ck_assert_mem_eq(text, "5678", 4);
	ck_assert_int_eq(stream_read(&server, text, 4), -EAGAIN);
	/* And with nothing left nobody is woken: no spinning. */
	n_ready = 0;
	stream_want(&server, true, false);
	ev_run(loop, EVRUN_NOWAIT);
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_eq(n_ready, 0);
}
END_TEST

START_TEST(full_socket_says_again)
{
	static char block[1 << 16];
	ssize_t sent;
	size_t total = 0;

	do {
		sent = stream_write(&client, block, sizeof(block));
		total += sent > 0 ? (size_t)sent : 0;
	} while (sent > 0 && total < 100u << 20);
	ck_assert_int_eq(sent, -EAGAIN);
	n_ready = 0;
	stream_want(&client, false, true);
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_eq(n_ready, 0);
	while (read_when_readable(&server, block, sizeof(block)) > 0)
		;
	n_ready = 0;
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_ge(n_ready, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_stream");
	TCase *tests = tcase_create("stream");
	SRunner *runner = srunner_create(suite);
	int failed;

	signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, plain);
	tcase_add_test(tests, tls);
	tcase_add_test(tests, literal_host_without_sni);
	tcase_add_test(tests, wrong_certificates_are_named);
	tcase_add_test(tests, unknown_authority_is_named);
	tcase_add_test(tests, system_bundle_is_read_when_needed);
	tcase_add_test(tests, bad_bundles_are_refused);
	tcase_add_test(tests, truncation_is_not_an_end);
	tcase_add_test(tests, octets_held_by_tls_are_announced);
	tcase_add_test(tests, full_socket_says_again);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
