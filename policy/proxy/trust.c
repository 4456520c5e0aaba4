/* TLS towards the origins: see trust.h. */
#include "policy/proxy/trust.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/proxy/tls.h"
#include "policy/rules/address.h"
#include "policy/rules/host.h"
#include "shared/cleanup.h"
#include "shared/log.h"

#define BUNDLE_MAX (64 << 20)

struct trust {
	SSL_CTX *context; /* NULL until it is needed: it takes OpenSSL a few milliseconds */
	int system_fd;    /* -1 once read */
	bool has_extra;   /* certificates of --upstream-ca */
	trust_session *on_session;
};

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct trust *trust = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	return trust->on_session ? trust->on_session(SSL_get_app_data(ssl), session) : 0;
}

/* The whole file in *ret, for the caller to free. Returns its length, or -errno. */
static ssize_t read_file(int fd, char **ret)
{
	_cleanup_free_ char *octets = NULL;
	struct stat status;
	size_t length = 0;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size > BUNDLE_MAX)
		return -EFBIG;
	octets = malloc((size_t)status.st_size + 1);
	if (!octets)
		return -ENOMEM;
	while (length < (size_t)status.st_size) {
		ssize_t got = pread(fd, octets + length, (size_t)status.st_size - length, (off_t)length);

		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		length += (size_t)got;
	}
	*ret = take_ptr(octets);
	return (ssize_t)length;
}

/*
 * Adds the certificates of the PEM text to the store. Returns how many there are; *n_bad is how many more cannot be
 * read, *e names the first of those.
 */
static int add_certificates(SSL_CTX *context, BIO *text, const char *what, int *n_bad, struct error *e)
{
	int n = 0;

	*n_bad = 0;
	for (;;) {
		int left = BIO_pending(text);
		X509 *certificate;
		const char *reason;

		ERR_clear_error();
		certificate = PEM_read_bio_X509_AUX(text, NULL, NULL, (void *)"");
		if (certificate) {
			/* Fails for duplicates only, which bundles do have. */
			X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
			X509_free(certificate);
			n++;
			continue;
		}
		/* What takes nothing out of the text would go on for ever. */
		if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE || BIO_pending(text) == left)
			break;
		reason = ERR_reason_error_string(ERR_peek_last_error());
		if ((*n_bad)++ == 0)
			error_set(e, EINVAL, "%s: certificate %d cannot be read: %s", what, n + 1,
				  reason ? reason : "not PEM");
	}
	ERR_clear_error();
	return n;
}

/*
 * Adds the certificates of the bundle to the store. Returns how many others cannot be read, *e naming the first, or
 * -errno with *e; without any certificate it is an error.
 */
static int load_bundle(SSL_CTX *context, int fd, const char *what, struct error *e)
{
	_cleanup_free_ char *octets = NULL;
	ssize_t length = read_file(fd, &octets);
	int n, n_bad;
	BIO *bio;

	if (length < 0)
		return error_errno(e, (int)-length, "cannot read %s", what);
	bio = BIO_new_mem_buf(octets, (int)length);
	if (!bio)
		return error_errno(e, ENOMEM, "%s", what);
	n = add_certificates(context, bio, what, &n_bad, e);
	BIO_free(bio);
	if (n > 0)
		return n_bad;
	return n_bad > 0 ? -EINVAL : error_set(e, EINVAL, "%s: there is no certificate in it", what);
}

/*
 * Reads the system's bundle, if there is one that has not been read. A certificate more or less is not worth every
 * connection; having none is, and the next one will look again.
 */
static int load_system(struct trust *trust, struct error *e)
{
	struct error bad = { 0 };
	int status;

	if (trust->system_fd < 0)
		return 0;
	status = load_bundle(trust->context, trust->system_fd, "the system's CA bundle", &bad);
	if (status < 0 && !trust->has_extra)
		return error_set(e, bad.code, "%s", bad.text);
	if (status > 1)
		log_line(LOG_LEVEL_WARN, "%s; %d certificates are left out", bad.text, status);
	else if (status != 0)
		log_line(LOG_LEVEL_WARN, "%s; it is left out", bad.text);
	close_fd(&trust->system_fd);
	return 0;
}

static SSL_CTX *make_context(struct trust *trust)
{
	static const unsigned char protocols[] = "\x08http/1.1";
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context)
		return NULL;
	tls_common(context);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	/* Each certificate of the bundles is an anchor, whoever has signed it. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set_alpn_protos(context, protocols, sizeof(protocols) - 1);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, on_new_session);
	SSL_CTX_set_app_data(context, trust);
	return context;
}

static int ensure_context(struct trust *trust, struct error *e)
{
	if (!trust->context)
		trust->context = make_context(trust);
	return trust->context ? 0 : error_errno(e, ENOMEM, "TLS client");
}

int trust_new(int system_fd, int extra_fd, struct trust **ret, struct error *e)
{
	_cleanup_fd_ int extra = extra_fd;
	struct trust *trust = calloc(1, sizeof(*trust));
	int status = 0;

	if (!trust) {
		close_fd(&system_fd);
		return error_errno(e, ENOMEM, "TLS client");
	}
	trust->system_fd = system_fd;
	if (extra >= 0)
		status = ensure_context(trust, e);
	/* Somebody has named this file for this session: what is wrong with it is said before anything begins. */
	if (status == 0 && extra >= 0)
		status = load_bundle(trust->context, extra, "the file of --upstream-ca", e);
	if (status != 0) {
		trust_free(trust);
		return status < 0 ? status : -EINVAL;
	}
	trust->has_extra = extra >= 0;
	*ret = trust;
	return 0;
}

void trust_free(struct trust *trust)
{
	if (!trust)
		return;
	SSL_CTX_free(trust->context);
	close_fd(&trust->system_fd);
	free(trust);
}

void trust_on_session(struct trust *trust, trust_session *function)
{
	trust->on_session = function;
}

static int expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);
	struct ip_address address;

	X509_VERIFY_PARAM_set_hostflags(parameters,
					X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (!host_is_literal(host))
		return X509_VERIFY_PARAM_set1_host(parameters, host, 0) && SSL_set_tlsext_host_name(ssl, host)
			       ? 0
			       : -ENOMEM;
	if (ip_address_parse(host, strlen(host), &address) < 0)
		return -EINVAL;
	if (host[0] == '[')
		return X509_VERIFY_PARAM_set1_ip(parameters, address.bytes, 16) ? 0 : -ENOMEM;
	return X509_VERIFY_PARAM_set1_ip(parameters, address.bytes + 12, 4) ? 0 : -ENOMEM;
}

int trust_connect(struct trust *trust, const char *host, void *user, SSL **ret, struct error *e)
{
	SSL *ssl;
	int status = ensure_context(trust, e);

	if (status < 0)
		return status;
	status = load_system(trust, e);
	if (status < 0)
		return status;
	ssl = SSL_new(trust->context);
	status = ssl ? expect_host(ssl, host) : -ENOMEM;
	if (status < 0) {
		SSL_free(ssl);
		ERR_clear_error();
		return error_errno(e, -status, "TLS client for %s", host);
	}
	SSL_set_app_data(ssl, user);
	SSL_set_connect_state(ssl);
	*ret = ssl;
	return 0;
}

void trust_explain(SSL *ssl, const char *host, struct error *e)
{
	long result = SSL_get_verify_result(ssl);
	const char *advice = "";

	if (result == X509_V_OK) {
		error_prefix(e, "TLS handshake with %s", host);
		return;
	}
	if (result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY || result == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
	    result == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT || result == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE)
		advice = "; if its CA is to be trusted, name it with --upstream-ca";
	error_set(e, EPROTO, "the certificate of %s is not valid: %s%s", host, X509_verify_cert_error_string(result),
		  advice);
}
