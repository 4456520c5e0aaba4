/* Whom the proxy trusts among servers: bundles that are not all they should be, and what certificates must have. */
#include <check.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
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

struct identity {
	X509 *certificate;
	EVP_PKEY *key;
};

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

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ck_assert_ptr_nonnull(extension);
	ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* `issuer` NULL: self-signed; `names` NULL: a CA. */
static struct identity certify(const char *common_name, const char *names, const struct identity *issuer)
{
	struct identity ret = { X509_new(), EVP_EC_gen("P-256") };
	X509_NAME *name = X509_get_subject_name(ret.certificate);
	X509 *by = issuer ? issuer->certificate : ret.certificate;
	static long serial;

	X509_set_version(ret.certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(ret.certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(ret.certificate), -60);
	X509_gmtime_adj(X509_getm_notAfter(ret.certificate), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0);
	X509_set_issuer_name(ret.certificate, X509_get_subject_name(by));
	X509_set_pubkey(ret.certificate, ret.key);
	if (!names)
		add_extension(ret.certificate, by, NID_basic_constraints, "critical,CA:TRUE");
	else if (names[0])
		add_extension(ret.certificate, by, NID_subject_alt_name, names);
	ck_assert_int_gt(X509_sign(ret.certificate, issuer ? issuer->key : ret.key, EVP_sha256()), 0);
	return ret;
}

static void identity_free(struct identity *identity)
{
	X509_free(identity->certificate);
	EVP_PKEY_free(identity->key);
}

static int bundle_of_identity(const struct identity *identity)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *octets;
	long length;
	int fd;

	ck_assert_int_eq(PEM_write_bio_X509(bio, identity->certificate), 1);
	length = BIO_get_mem_data(bio, &octets);
	fd = bundle_with(octets, (size_t)length);
	BIO_free(bio);
	return fd;
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

static int connect_to(const struct identity *identity, const char *host, struct error *e)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *ssl;
	int status;

	ck_assert_int_eq(SSL_CTX_use_certificate(context, identity->certificate), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, identity->key), 1);
	ssl = SSL_new(context);
	SSL_set_accept_state(ssl);
	status = shake_hands(host, ssl, e);
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

/* Whoever is named with --upstream-ca is trusted, also where somebody else has signed for it. */
START_TEST(an_anchor_need_not_be_self_signed)
{
	struct identity root = certify("root", NULL, NULL), intermediate = certify("intermediate", NULL, &root);
	struct identity leaf = certify("leaf", "DNS:a.example", &intermediate);
	struct error error = { 0 };

	ck_assert_int_eq(trust_new(-1, bundle_of_identity(&intermediate), &trust, &error), 0);
	ck_assert_msg(connect_to(&leaf, "a.example", &error) == 0, "%s", error.text);
	trust_free(trust);
	ck_assert_int_eq(trust_new(-1, bundle_of_identity(&leaf), &trust, &error), 0);
	ck_assert_msg(connect_to(&leaf, "a.example", &error) == 0, "%s", error.text);
	/* Only that one. */
	trust_free(trust);
	ck_assert_int_eq(trust_new(-1, bundle_of(ca), &trust, &error), 0);
	ck_assert_int_eq(connect_to(&leaf, "a.example", &error), -EPROTO);
	identity_free(&leaf);
	identity_free(&intermediate);
	identity_free(&root);
}
END_TEST

/* RFC 9525 section 2: a name in the subject is no name. */
START_TEST(a_common_name_is_no_name)
{
	struct identity root = certify("root", NULL, NULL);
	struct identity nameless = certify("a.example", "", &root),
			named = certify("b.example", "DNS:a.example", &root);
	struct error error = { 0 };

	ck_assert_int_eq(trust_new(-1, bundle_of_identity(&root), &trust, &error), 0);
	ck_assert_int_eq(connect_to(&nameless, "a.example", &error), -EPROTO);
	ck_assert_msg(strstr(error.text, "hostname mismatch"), "%s", error.text);
	ck_assert_int_eq(connect_to(&named, "b.example", &error), -EPROTO);
	ck_assert_int_eq(connect_to(&named, "a.example", &error), 0);
	identity_free(&named);
	identity_free(&nameless);
	identity_free(&root);
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
	tcase_add_test(tests, an_anchor_need_not_be_self_signed);
	tcase_add_test(tests, a_common_name_is_no_name);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
