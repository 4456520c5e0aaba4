/* TLS towards the command: see tls.h. */
#include "policy/proxy/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#define READ_AHEAD 32768 /* two records for one system call */

void tls_common(SSL_CTX *context)
{
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
}

/*
 * The host name of the server_name extension: a list with one entry of type host_name. Returns its length, 0 if there
 * is no extension, -1 if it is malformed.
 */
static int server_name(SSL *ssl, const unsigned char **ret)
{
	const unsigned char *at;
	size_t length, list, name;

	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &at, &length))
		return 0;
	if (length < 5)
		return -1;
	list = (size_t)at[0] << 8 | at[1];
	name = (size_t)at[3] << 8 | at[4];
	if (list != length - 2 || at[2] != TLSEXT_NAMETYPE_host_name || name != length - 5 || name == 0)
		return -1;
	*ret = at + 5;
	return (int)name;
}

static int on_client_hello(SSL *ssl, int *alert, void *user)
{
	struct tls_hello *hello = SSL_get_app_data(ssl);
	const unsigned char *name = NULL;
	int length = server_name(ssl, &name);

	(void)user;
	*alert = SSL_AD_ILLEGAL_PARAMETER;
	if (length < 0) {
		error_set(&hello->error, EPROTO, "malformed server name (SNI)");
		return SSL_CLIENT_HELLO_ERROR;
	}
	if (length > 0) {
		*alert = SSL_AD_UNRECOGNIZED_NAME;
		if (host_normalise((const char *)name, (size_t)length, hello->name, &hello->error) < 0) {
			error_prefix(&hello->error, "server name (SNI)");
			return SSL_CLIENT_HELLO_ERROR;
		}
		hello->named = true;
	}
	*alert = SSL_AD_INTERNAL_ERROR;
	if (ca_present(hello->ca, ssl, hello->named ? hello->name : hello->fallback, &hello->error) < 0)
		return SSL_CLIENT_HELLO_ERROR;
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in,
		   unsigned int in_length, void *user)
{
	static const unsigned char http1[] = "http/1.1";
	struct tls_hello *hello = SSL_get_app_data(ssl);

	(void)user;
	for (unsigned int at = 0; at < in_length; at += 1 + in[at]) {
		if (in[at] == sizeof(http1) - 1 && at + sizeof(http1) <= in_length &&
		    memcmp(in + at + 1, http1, sizeof(http1) - 1) == 0) {
			*out = in + at + 1;
			*out_length = in[at];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	error_set(&hello->error, EPROTO, "the client offers no protocol (ALPN) but others than http/1.1");
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int tls_server_new(SSL_CTX **ret, struct error *e)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (!context)
		return error_errno(e, ENOMEM, "TLS server");
	tls_common(context);
	SSL_CTX_set_client_hello_cb(context, on_client_hello, NULL);
	SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
	/* Tickets alone: their key lives in the context, and nothing is kept for each client. */
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(context, 1);
	*ret = context;
	return 0;
}

int tls_server_accept(SSL_CTX *context, struct tls_hello *hello, SSL **ret)
{
	SSL *ssl = SSL_new(context);

	if (!ssl) {
		ERR_clear_error();
		return -ENOMEM;
	}
	SSL_set_app_data(ssl, hello);
	SSL_set_accept_state(ssl);
	*ret = ssl;
	return 0;
}
