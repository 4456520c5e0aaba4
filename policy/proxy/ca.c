/* The session's certificate authority: see ca.h. */
#include "policy/proxy/ca.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/rules/address.h"
#include "policy/rules/host.h"
#include "shared/cleanup.h"

#define BUCKETS 1024
#define DAY 86400L
#define VALID_BEFORE (-1 * DAY) /* the command's clock may be behind, as in a container or a test */
#define LEAF_VALID_AFTER (7 * DAY)
#define LEAF_REUSED (6 * DAY)
#define CA_VALID_AFTER (365 * DAY) /* longer than any session; the key is gone with it */
#define COMMON_NAME_MAX 64         /* ub-common-name, RFC 5280 appendix A.1 */

struct leaf {
	struct leaf *next_in_bucket;
	struct leaf *next_younger;
	X509 *certificate;
	time_t made;
	char host[];
};

struct ca {
	EVP_PKEY *key;
	EVP_PKEY *leaf_key; /* one for all hosts: it protects nothing that the CA's key does not */
	X509 *certificate;
	STACK_OF(X509) * chain;
	char *pem;
	size_t pem_length;
	struct leaf *buckets[BUCKETS];
	struct leaf *oldest;
	struct leaf *youngest;
	size_t n_leaves;
};

static void x509_cleanup(X509 **x)
{
	X509_free(*x);
}

static void extension_cleanup(X509_EXTENSION **x)
{
	X509_EXTENSION_free(*x);
}

static void names_cleanup(GENERAL_NAMES **x)
{
	GENERAL_NAMES_free(*x);
}

static int openssl_error(struct error *e, const char *what)
{
	unsigned long code = ERR_get_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return error_set(e, EIO, "%s: %s", what, reason ? reason : "out of memory");
}

static int set_serial(X509 *certificate)
{
	unsigned char octets[16];
	BIGNUM *number;
	bool done;

	if (RAND_bytes(octets, sizeof(octets)) != 1)
		return -EIO;
	octets[0] = (octets[0] & 0x7f) | 0x40; /* positive and of full length */
	number = BN_bin2bn(octets, sizeof(octets), NULL);
	done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	BN_free(number);
	return done ? 0 : -ENOMEM;
}

static int add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	_cleanup_(extension_cleanup) X509_EXTENSION *extension = NULL;
	X509V3_CTX context;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	return extension && X509_add_ext(certificate, extension, -1) ? 0 : -EIO;
}

/* A certificate with all that CA and leaf have in common. `issuer` NULL: itself. */
static X509 *certificate_new(EVP_PKEY *key, const char *common_name, X509 *issuer, long valid)
{
	_cleanup_(x509_cleanup) X509 *certificate = X509_new();
	X509_NAME *name;

	if (!certificate || !X509_set_version(certificate, X509_VERSION_3) || set_serial(certificate) < 0 ||
	    !X509_gmtime_adj(X509_getm_notBefore(certificate), VALID_BEFORE) ||
	    !X509_gmtime_adj(X509_getm_notAfter(certificate), valid) || !X509_set_pubkey(certificate, key))
		return NULL;
	name = X509_get_subject_name(certificate);
	if (common_name &&
	    !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0))
		return NULL;
	if (!X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : name))
		return NULL;
	return take_ptr(certificate);
}

static int make_authority(struct ca *ca)
{
	char name[48];
	unsigned char octets[4];
	X509 *certificate;

	/* A name of its own for each session: a client that knows several must not mix them up. */
	if (RAND_bytes(octets, sizeof(octets)) != 1)
		return -EIO;
	snprintf(name, sizeof(name), "Boundary session CA %02x%02x%02x%02x", octets[0], octets[1], octets[2],
		 octets[3]);
	certificate = ca->certificate = certificate_new(ca->key, name, NULL, CA_VALID_AFTER);
	if (!certificate ||
	    add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") < 0 ||
	    add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") < 0 ||
	    add_extension(certificate, certificate, NID_subject_key_identifier, "hash") < 0 ||
	    !X509_sign(certificate, ca->key, EVP_sha256()))
		return -EIO;
	ca->chain = sk_X509_new_null();
	if (!ca->chain || !X509_up_ref(certificate) || !sk_X509_push(ca->chain, certificate))
		return -ENOMEM;
	return 0;
}

static int make_pem(struct ca *ca)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *octets;
	long length;
	int status = -ENOMEM;

	if (bio && PEM_write_bio_X509(bio, ca->certificate)) {
		length = BIO_get_mem_data(bio, &octets);
		ca->pem = malloc((size_t)length);
		if (ca->pem) {
			memcpy(ca->pem, octets, (size_t)length);
			ca->pem_length = (size_t)length;
			status = 0;
		}
	}
	BIO_free(bio);
	return status;
}

static void ca_cleanup(struct ca **ca)
{
	ca_free(*ca);
}

int ca_new(struct ca **ret, struct error *e)
{
	_cleanup_(ca_cleanup) struct ca *ca = calloc(1, sizeof(*ca));

	if (!ca)
		return error_errno(e, ENOMEM, "session CA");
	ca->key = EVP_EC_gen("P-256");
	ca->leaf_key = EVP_EC_gen("P-256");
	if (!ca->key || !ca->leaf_key || make_authority(ca) < 0 || make_pem(ca) < 0)
		return openssl_error(e, "session CA");
	*ret = take_ptr(ca);
	return 0;
}

static void leaf_free(struct leaf *leaf)
{
	X509_free(leaf->certificate);
	free(leaf);
}

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	while (ca->oldest) {
		struct leaf *leaf = ca->oldest;

		ca->oldest = leaf->next_younger;
		leaf_free(leaf);
	}
	EVP_PKEY_free(ca->key);
	EVP_PKEY_free(ca->leaf_key);
	sk_X509_pop_free(ca->chain, X509_free);
	X509_free(ca->certificate);
	free(ca->pem);
	free(ca);
}

const char *ca_certificate_pem(const struct ca *ca, size_t *ret_length)
{
	*ret_length = ca->pem_length;
	return ca->pem;
}

/*
 * Marks the entry as trusted the way Java's PKCS12KeyStore wants it: ORACLE_TrustedKeyUsage with anyExtendedKeyUsage.
 * Integrity only, by SHA-1, which Java 8 before 8u301 insists on, with a password that everybody knows: so one
 * iteration does.
 */
static PKCS12 *make_trust_store(X509 *certificate)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
	STACK_OF(PKCS7) *safes = NULL;
	ASN1_OBJECT *any_usage = OBJ_txt2obj("2.5.29.37.0", 1);
	PKCS12_SAFEBAG *bag = PKCS12_add_cert(&bags, certificate);
	PKCS12 *store = NULL;

	if (bag && any_usage && PKCS12_add_friendlyname_utf8(bag, "boundary", -1) &&
	    PKCS12_add1_attr_by_txt(bag, "2.16.840.1.113894.746875.1.1", V_ASN1_OBJECT, (unsigned char *)any_usage,
				    -1) &&
	    PKCS12_add_safe(&safes, bags, -1, 0, NULL))
		store = PKCS12_add_safes(safes, 0);
	if (store && !PKCS12_set_mac(store, "changeit", -1, NULL, 0, 1, EVP_sha1())) {
		PKCS12_free(store);
		store = NULL;
	}
	sk_PKCS7_pop_free(safes, PKCS7_free);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	ASN1_OBJECT_free(any_usage);
	return store;
}

int ca_trust_store(const struct ca *ca, unsigned char **ret_octets, size_t *ret_length, struct error *e)
{
	PKCS12 *store = make_trust_store(ca->certificate);
	unsigned char *octets = NULL, *end;
	int length = store ? i2d_PKCS12(store, NULL) : -1;

	if (length > 0)
		octets = end = malloc((size_t)length);
	if (octets)
		length = i2d_PKCS12(store, &end);
	PKCS12_free(store);
	if (!octets || length <= 0) {
		free(octets);
		return openssl_error(e, "trust store for Java");
	}
	*ret_octets = octets;
	*ret_length = (size_t)length;
	return 0;
}

/* subjectAltName without going through the configuration syntax, in which a name could mean something. */
static int add_host(X509 *certificate, const char *host)
{
	_cleanup_(names_cleanup) GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	bool literal = host_is_literal(host);
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *value = literal ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
	struct ip_address address;
	const void *octets = host;
	int length = (int)strlen(host);

	if (literal && ip_address_parse(host, (size_t)length, &address) == 0) {
		bool mapped = host[0] != '[';

		octets = address.bytes + (mapped ? 12 : 0);
		length = mapped ? 4 : 16;
	}
	if (!names || !name || !value || !ASN1_STRING_set(value, octets, length)) {
		ASN1_STRING_free(value);
		GENERAL_NAME_free(name);
		return -ENOMEM;
	}
	GENERAL_NAME_set0_value(name, literal ? GEN_IPADD : GEN_DNS, value);
	if (!sk_GENERAL_NAME_push(names, name)) {
		GENERAL_NAME_free(name);
		return -ENOMEM;
	}
	/* Critical where there is no subject (RFC 5280 section 4.2.1.6). */
	return X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, strlen(host) > COMMON_NAME_MAX,
				 X509V3_ADD_DEFAULT) == 1
		       ? 0
		       : -EIO;
}

static X509 *make_leaf(const struct ca *ca, const char *host)
{
	_cleanup_(x509_cleanup) X509 *certificate = NULL;

	certificate = certificate_new(ca->leaf_key, strlen(host) <= COMMON_NAME_MAX ? host : NULL, ca->certificate,
				      LEAF_VALID_AFTER);
	if (!certificate || add_host(certificate, host) < 0 ||
	    add_extension(certificate, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") < 0 ||
	    add_extension(certificate, ca->certificate, NID_key_usage, "critical,digitalSignature") < 0 ||
	    add_extension(certificate, ca->certificate, NID_ext_key_usage, "serverAuth") < 0 ||
	    add_extension(certificate, ca->certificate, NID_authority_key_identifier, "keyid:always") < 0 ||
	    !X509_sign(certificate, ca->key, EVP_sha256()))
		return NULL;
	return take_ptr(certificate);
}

static struct leaf **bucket_of(struct ca *ca, const char *host)
{
	uint32_t hash = 2166136261u; /* FNV-1a; the cache is bounded, so collisions on purpose cost little */

	for (; *host; host++)
		hash = (hash ^ (unsigned char)*host) * 16777619u;
	return &ca->buckets[hash % BUCKETS];
}

static void forget_oldest(struct ca *ca)
{
	struct leaf *leaf = ca->oldest;
	struct leaf **at = bucket_of(ca, leaf->host);

	while (*at != leaf)
		at = &(*at)->next_in_bucket;
	*at = leaf->next_in_bucket;
	ca->oldest = leaf->next_younger;
	if (!ca->oldest)
		ca->youngest = NULL;
	ca->n_leaves--;
	leaf_free(leaf);
}

static X509 *add_leaf(struct ca *ca, const char *host, time_t now)
{
	struct leaf *leaf = calloc(1, sizeof(*leaf) + strlen(host) + 1);
	struct leaf **bucket = bucket_of(ca, host);

	if (!leaf)
		return NULL;
	memcpy(leaf->host, host, strlen(host) + 1);
	leaf->made = now;
	leaf->certificate = make_leaf(ca, host);
	if (!leaf->certificate) {
		free(leaf);
		return NULL;
	}
	leaf->next_in_bucket = *bucket;
	*bucket = leaf;
	if (ca->youngest)
		ca->youngest->next_younger = leaf;
	else
		ca->oldest = leaf;
	ca->youngest = leaf;
	ca->n_leaves++;
	return leaf->certificate;
}

static X509 *find_leaf(struct ca *ca, const char *host)
{
	time_t now = time(NULL);

	while (ca->oldest && (ca->n_leaves >= CA_LEAVES_MAX || now - ca->oldest->made > LEAF_REUSED))
		forget_oldest(ca);
	for (struct leaf *leaf = *bucket_of(ca, host); leaf; leaf = leaf->next_in_bucket)
		if (strcmp(leaf->host, host) == 0)
			return leaf->certificate;
	return add_leaf(ca, host, now);
}

int ca_present(struct ca *ca, SSL *ssl, const char *host, struct error *e)
{
	X509 *leaf = find_leaf(ca, host);

	if (!leaf || SSL_use_cert_and_key(ssl, leaf, ca->leaf_key, ca->chain, 1) != 1) {
		openssl_error(e, "certificate");
		return error_prefix(e, "%s", host);
	}
	return 0;
}
