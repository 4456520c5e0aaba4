/* The session's CA: what its certificates say, that they verify, that the cache is bounded. */
#include <check.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "policy/proxy/ca.h"

static struct ca *ca;
static SSL_CTX *context;

static void set_up(void)
{
	struct error error = { 0 };

	ck_assert_msg(ca_new(&ca, &error) == 0, "%s", error.text);
	context = SSL_CTX_new(TLS_server_method());
	ck_assert_ptr_nonnull(context);
}

static void tear_down(void)
{
	SSL_CTX_free(context);
	ca_free(ca);
	ca_free(NULL);
}

static X509 *authority(void)
{
	size_t length;
	const char *pem = ca_certificate_pem(ca, &length);
	BIO *bio = BIO_new_mem_buf(pem, (int)length);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	ck_assert_ptr_nonnull(certificate);
	return certificate;
}

/* The certificate presented for `host`; the SSL keeps it alive. */
static X509 *leaf_of(SSL *ssl, const char *host)
{
	struct error error = { 0 };

	ck_assert_msg(ca_present(ca, ssl, host, &error) == 0, "%s", error.text);
	return SSL_get_certificate(ssl);
}

static int verify(X509 *leaf, const char *host)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *verification = X509_STORE_CTX_new();
	X509 *root = authority();
	X509_VERIFY_PARAM *parameters;
	int result;

	ck_assert_int_eq(X509_STORE_add_cert(store, root), 1);
	ck_assert_int_eq(X509_STORE_CTX_init(verification, store, leaf, NULL), 1);
	parameters = X509_STORE_CTX_get0_param(verification);
	X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_SERVER);
	if (strspn(host, "0123456789.:[]abcdef") == strlen(host) && strpbrk(host, "0123456789"))
		ck_assert_int_eq(X509_VERIFY_PARAM_set1_ip_asc(parameters, host), 1);
	else
		X509_VERIFY_PARAM_set1_host(parameters, host, 0);
	X509_verify_cert(verification);
	result = X509_STORE_CTX_get_error(verification);
	X509_STORE_CTX_free(verification);
	X509_STORE_free(store);
	X509_free(root);
	return result;
}

START_TEST(authority_is_one)
{
	X509 *certificate = authority();

	ck_assert_int_eq(X509_check_ca(certificate), 1);
	ck_assert_int_eq(X509_get_pathlen(certificate), 0);
	ck_assert_uint_eq(X509_get_key_usage(certificate), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	ck_assert_int_lt(X509_cmp_current_time(X509_get0_notBefore(certificate)), 0);
	ck_assert_int_gt(X509_cmp_current_time(X509_get0_notAfter(certificate)), 0);
	X509_free(certificate);
}
END_TEST

START_TEST(leaves_verify_for_their_host_alone)
{
	static const char *const hosts[] = { "api.example", "xn--bcher-kva.example", "a_b.example", "192.0.2.1",
					     "[2001:db8::1]" };
	static const char *const as_checked[] = { "api.example", "xn--bcher-kva.example", "a_b.example", "192.0.2.1",
						  "2001:db8::1" };
	SSL *ssl = SSL_new(context);
	X509 *leaf = leaf_of(ssl, hosts[_i]);

	ck_assert_int_eq(verify(leaf, as_checked[_i]), X509_V_OK);
	ck_assert_int_eq(verify(leaf, "other.example"), X509_V_ERR_HOSTNAME_MISMATCH);
	ck_assert_int_eq(verify(leaf, "192.0.2.99"), X509_V_ERR_IP_ADDRESS_MISMATCH);
	ck_assert_int_eq(X509_check_ca(leaf), 0);
	SSL_free(ssl);
}
END_TEST

START_TEST(long_names_have_no_common_name)
{
	char host[201];
	SSL *ssl = SSL_new(context);
	X509 *leaf;

	for (size_t i = 0; i < 200; i++)
		host[i] = i % 50 == 49 ? '.' : 'a';
	host[199] = 'a';
	host[200] = '\0';
	leaf = leaf_of(ssl, host);
	ck_assert_int_eq(X509_NAME_entry_count(X509_get_subject_name(leaf)), 0);
	ck_assert_int_eq(verify(leaf, host), X509_V_OK);
	SSL_free(ssl);
}
END_TEST

/* A host with configuration syntax in it stays one name. */
START_TEST(names_are_not_interpreted)
{
	SSL *ssl = SSL_new(context);
	X509 *leaf = leaf_of(ssl, "a.example,DNS:b.example");

	ck_assert_int_ne(verify(leaf, "b.example"), X509_V_OK);
	SSL_free(ssl);
}
END_TEST

START_TEST(leaves_are_cached_and_differ)
{
	SSL *one = SSL_new(context), *two = SSL_new(context), *three = SSL_new(context);
	X509 *first = leaf_of(one, "a.example"), *other = leaf_of(three, "b.example");

	ck_assert_ptr_eq(first, leaf_of(two, "a.example"));
	ck_assert_int_ne(ASN1_INTEGER_cmp(X509_get0_serialNumber(first), X509_get0_serialNumber(other)), 0);
	SSL_free(one);
	SSL_free(two);
	SSL_free(three);
}
END_TEST

START_TEST(cache_is_bounded)
{
	SSL *ssl = SSL_new(context);
	X509 *first = leaf_of(ssl, "first.example"), *again;
	char host[32];

	X509_up_ref(first);
	for (int i = 0; i < CA_LEAVES_MAX; i++) {
		snprintf(host, sizeof(host), "h%d.example", i);
		leaf_of(ssl, host);
	}
	again = leaf_of(ssl, "first.example");
	ck_assert_ptr_ne(again, first);
	ck_assert_int_eq(verify(again, "first.example"), X509_V_OK);
	X509_free(first);
	SSL_free(ssl);
}
END_TEST

START_TEST(two_sessions_share_nothing)
{
	struct ca *other;
	struct error error = { 0 };
	SSL *ssl = SSL_new(context);

	ck_assert_int_eq(ca_new(&other, &error), 0);
	ck_assert_int_eq(ca_present(other, ssl, "a.example", &error), 0);
	ck_assert_int_ne(verify(SSL_get_certificate(ssl), "a.example"), X509_V_OK);
	SSL_free(ssl);
	ca_free(other);
}
END_TEST

START_TEST(trust_store_has_the_certificate_alone)
{
	unsigned char *octets;
	const unsigned char *at;
	size_t length;
	struct error error = { 0 };
	EVP_PKEY *key = NULL;
	X509 *certificate = NULL, *root = authority();
	STACK_OF(X509) *others = NULL;
	PKCS12 *store;

	ck_assert_int_eq(ca_trust_store(ca, &octets, &length, &error), 0);
	at = octets;
	store = d2i_PKCS12(NULL, &at, (long)length);
	ck_assert_ptr_nonnull(store);
	ck_assert_int_eq(PKCS12_verify_mac(store, "wrong", -1), 0);
	ck_assert_int_eq(PKCS12_parse(store, "changeit", &key, &certificate, &others), 1);
	ck_assert_ptr_null(key);
	ck_assert_int_eq(sk_X509_num(others), 1);
	ck_assert_int_eq(X509_cmp(sk_X509_value(others, 0), root), 0);
	/* ORACLE_TrustedKeyUsage: without it Java takes the entry for none of its business. */
	ck_assert_ptr_nonnull(memmem(octets, length, "\x60\x86\x48\x01\x86\xf9\x66\xad\xca\x7b\x01\x01", 12));
	sk_X509_pop_free(others, X509_free);
	PKCS12_free(store);
	X509_free(root);
	free(octets);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_ca");
	TCase *tests = tcase_create("ca");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, authority_is_one);
	tcase_add_loop_test(tests, leaves_verify_for_their_host_alone, 0, 5);
	tcase_add_test(tests, long_names_have_no_common_name);
	tcase_add_test(tests, names_are_not_interpreted);
	tcase_add_test(tests, leaves_are_cached_and_differ);
	tcase_add_test(tests, cache_is_bounded);
	tcase_add_test(tests, two_sessions_share_nothing);
	tcase_add_test(tests, trust_store_has_the_certificate_alone);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
