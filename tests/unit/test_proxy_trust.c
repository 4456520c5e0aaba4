/* Whom the proxy trusts among servers: bundles that are not all they should be. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "policy/proxy/stream.h"
#include "policy/proxy/tls.h"
#include "policy/proxy/trust.h"
#include "tests/unit/log_capture.h"
#include "tests/unit/proxy_bundle.h"

#define GARBAGE "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
#define CUT "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n"

static struct ev_loop *loop;
static struct ca *ca, *other_ca;
static struct trust *trust;

static void set_up(void)
{
	struct error error = { 0 };

	loop = ev_loop_new(EVBACKEND_EPOLL);
	log_capture_begin(LOG_LEVEL_INFO);
	ck_assert_int_eq(ca_new(&ca, &error), 0);
	ck_assert_int_eq(ca_new(&other_ca, &error), 0);
	trust = NULL;
}

static void tear_down(void)
{
	trust_free(trust);
	ca_free(ca);
	ca_free(other_ca);
	log_capture_end();
	ev_loop_destroy(loop);
}

/* A bundle of `first`, the text between and `second`; CAs may be NULL. */
static int bundle_around(const struct ca *first, const char *between, const struct ca *second)
{
	const char *pems[3] = { NULL, between, NULL };
	size_t lengths[3] = { 0, strlen(between), 0 };
	int fd = bundle_with("", 0);

	if (first)
		pems[0] = ca_certificate_pem(first, &lengths[0]);
	if (second)
		pems[2] = ca_certificate_pem(second, &lengths[2]);
	for (int i = 0; i < 3; i++)
		if (pems[i])
			ck_assert_int_eq(write(fd, pems[i], lengths[i]), (ssize_t)lengths[i]);
	return fd;
}

/* Connects as a client of `host` to the server `peer`, which is in accept state. Returns the client's status. */
static int shake_hands(const char *host, SSL *peer, struct error *e)
{
	struct stream client, server;
	struct error ignored = { 0 };
	int pair[2], status = -EAGAIN;
	SSL *ssl;

	ck_assert_msg(trust_connect(trust, host, NULL, &ssl, e) == 0, "%s", e->text);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	stream_open(&client, loop, pair[0], NULL, NULL);
	stream_open(&server, loop, pair[1], NULL, NULL);
	ck_assert_int_eq(stream_start_tls(&client, ssl), 0);
	ck_assert_int_eq(stream_start_tls(&server, peer), 0);
	for (int i = 0; i < 10 && status == -EAGAIN; i++) {
		status = stream_handshake(&client, e);
		if (status == -EAGAIN)
			stream_handshake(&server, &ignored);
	}
	if (status < 0)
		trust_explain(client.ssl, host, e);
	stream_close(&client);
	stream_close(&server);
	return status;
}

static int connect_to_ca(struct ca *issuer, struct error *e)
{
	struct tls_hello hello = { .ca = issuer, .fallback = "a.example" };
	SSL_CTX *context;
	SSL *ssl;
	int status;

	ck_assert_int_eq(tls_server_new(&context, e), 0);
	ck_assert_int_eq(tls_server_accept(context, &hello, &ssl), 0);
	status = shake_hands("a.example", ssl, e);
	SSL_CTX_free(context);
	return status;
}

START_TEST(an_unreadable_certificate_is_left_out)
{
	static const char *const bad[] = { GARBAGE, CUT, GARBAGE GARBAGE };
	struct error error = { 0 };

	ck_assert_int_eq(trust_new(bundle_around(ca, bad[_i], _i == 1 ? NULL : other_ca), -1, &trust, &error), 0);
	ck_assert_msg(connect_to_ca(ca, &error) == 0, "%s", error.text);
	if (_i != 1)
		ck_assert_msg(connect_to_ca(other_ca, &error) == 0, "%s", error.text);
	/* One line, not one for each connection. */
	ck_assert_uint_eq(log_captured_lines("the system's CA bundle: certificate 2 cannot be read: "), 1);
	ck_assert_uint_eq(log_captured_lines(_i == 2 ? "; 2 certificates are left out" : "; it is left out"), 1);
}
END_TEST

START_TEST(without_any_certificate_the_cause_is_named_each_time)
{
	static const char *const texts[] = { GARBAGE, "nothing of the kind\n" };
	static const char *const causes[] = { "certificate 1 cannot be read", "there is no certificate in it" };
	SSL *ssl;

	ck_assert_int_eq(trust_new(bundle_around(NULL, texts[_i], NULL), -1, &trust, NULL), 0);
	for (int i = 0; i < 3; i++) {
		struct error error = { 0 };

		ck_assert_int_eq(trust_connect(trust, "a.example", NULL, &ssl, &error), -EINVAL);
		ck_assert_msg(strstr(error.text, "the system's CA bundle") && strstr(error.text, causes[_i]), "%s",
			      error.text);
	}
}
END_TEST

START_TEST(the_extra_ones_do_without_the_systems)
{
	struct error error = { 0 };

	ck_assert_int_eq(trust_new(bundle_around(NULL, GARBAGE, NULL), bundle_of(ca), &trust, &error), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_msg(connect_to_ca(ca, &error) == 0, "%s", error.text);
	ck_assert_uint_eq(log_captured_lines("certificate 1 cannot be read"), 1);
}
END_TEST

START_TEST(the_extra_file_must_be_good_throughout)
{
	struct error error = { 0 };

	ck_assert_int_eq(trust_new(-1, bundle_around(ca, GARBAGE, other_ca), &trust, &error), -EINVAL);
	ck_assert_msg(strstr(error.text, "--upstream-ca: certificate 2 cannot be read"), "%s", error.text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_trust");
	TCase *tests = tcase_create("trust");
	SRunner *runner = srunner_create(suite);
	int failed;

	signal(SIGPIPE, SIG_IGN);
	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, an_unreadable_certificate_is_left_out, 0, 3);
	tcase_add_loop_test(tests, without_any_certificate_the_cause_is_named_each_time, 0, 2);
	tcase_add_test(tests, the_extra_ones_do_without_the_systems);
	tcase_add_test(tests, the_extra_file_must_be_good_throughout);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
