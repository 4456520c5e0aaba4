/* The command's environment: see child_env.h. */
#include "launcher/child_env.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/cleanup.h"

#define JAVA_VARIABLE "JAVA_TOOL_OPTIONS"

/* Read by OpenSSL, curl, git, Python requests, Node, pip, cargo, the AWS tools, Deno, Nix, Bundler, Hex, gRPC, gcloud,
 * npm and Julia. */
static const char *const bundle_variables[] = {
	"SSL_CERT_FILE",
	"CURL_CA_BUNDLE",
	"GIT_SSL_CAINFO",
	"REQUESTS_CA_BUNDLE",
	"NODE_EXTRA_CA_CERTS",
	"PIP_CERT",
	"CARGO_HTTP_CAINFO",
	"AWS_CA_BUNDLE",
	"DENO_CERT",
	"NIX_SSL_CERT_FILE",
	"BUNDLE_SSL_CA_CERT",
	"HEX_CACERTS_PATH",
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
	"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
	"npm_config_cafile",
	"JULIA_SSL_CA_ROOTS_PATH",
};

static const char directory_variable[] = "SSL_CERT_DIR";

/* They would lead past the jail's own way, or nowhere. */
static const char *const proxy_variables[] = {
	"http_proxy",
	"https_proxy",
	"all_proxy",
	"ftp_proxy",
	"no_proxy",
	"npm_config_proxy",
	"npm_config_https_proxy",
	"npm_config_noproxy",
};

static bool is_named(const char *entry, const char *name, bool any_case)
{
	size_t length = strlen(name);
	int differs = any_case ? strncasecmp(entry, name, length) : strncmp(entry, name, length);

	return differs == 0 && (entry[length] == '=' || entry[length] == '\0');
}

/* True if an inherited entry does not go on as it is. npm reads its variables in any case. */
static bool is_replaced(const char *entry, bool with_truststore)
{
	for (size_t i = 0; i < array_size(proxy_variables); i++)
		if (is_named(entry, proxy_variables[i], true))
			return true;
	for (size_t i = 0; i < array_size(bundle_variables); i++)
		if (is_named(entry, bundle_variables[i], strncmp(bundle_variables[i], "npm_", 4) == 0))
			return true;
	return is_named(entry, directory_variable, false) || (with_truststore && is_named(entry, JAVA_VARIABLE, false));
}

static const char *value_of(char *const environment[], const char *name)
{
	size_t length = strlen(name);

	for (; *environment; environment++)
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	return "";
}

/* The new variables, each ended by NUL, one after the other. Returns how many. */
static size_t write_variables(FILE *out, char *const environment[], const char *bundle, const char *truststore)
{
	const char *slash = strrchr(bundle, '/');
	size_t n = 0;

	for (; n < array_size(bundle_variables); n++)
		fprintf(out, "%s=%s%c", bundle_variables[n], bundle, '\0');
	fprintf(out, "%s=%.*s%c", directory_variable, slash && slash > bundle ? (int)(slash - bundle) : 1, bundle,
		'\0');
	n++;
	if (truststore) {
		const char *own = value_of(environment, JAVA_VARIABLE);
		/* The virtual machine splits at blanks and knows quotes. */
		const char *quote = !strpbrk(truststore, " \t\n") ? "" : strchr(truststore, '\'') ? "\"" : "'";

		fprintf(out,
			"%s=%s%s-Djavax.net.ssl.trustStore=%s%s%s -Djavax.net.ssl.trustStoreType=PKCS12 "
			"-Djavax.net.ssl.trustStorePassword=changeit%c",
			JAVA_VARIABLE, own, *own ? " " : "", quote, truststore, quote, '\0');
		n++;
	}
	return n;
}

int child_env_build(char *const environment[], const char *bundle, const char *truststore, char ***ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0, n = 0;
	FILE *out = open_memstream(&text, &size);
	char **result, *at;

	if (!out)
		return -ENOMEM;
	for (char *const *entry = environment; *entry; entry++) {
		if (is_replaced(*entry, truststore != NULL))
			continue;
		fwrite(*entry, 1, strlen(*entry) + 1, out);
		n++;
	}
	n += write_variables(out, environment, bundle, truststore);
	if (fclose(out) != 0)
		return -ENOMEM;

	result = malloc((n + 1) * sizeof(*result) + size);
	if (!result)
		return -ENOMEM;
	at = memcpy(result + n + 1, text, size);
	for (size_t i = 0; i < n; i++) {
		result[i] = at;
		at += strlen(at) + 1;
	}
	result[n] = NULL;
	*ret = result;
	return 0;
}
