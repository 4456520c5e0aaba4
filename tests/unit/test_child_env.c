/* The command's environment: which variables are set, kept and dropped. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/child_env.h"
#include "shared/cleanup.h"

#define BUNDLE "/run/user/1000/boundary-session-abc123/ca-bundle.pem"
#define STORE "/run/user/1000/boundary-session-abc123/truststore.p12"
#define JAVA                                                                          \
	"-Djavax.net.ssl.trustStore=" STORE " -Djavax.net.ssl.trustStoreType=PKCS12 " \
	"-Djavax.net.ssl.trustStorePassword=changeit"

static const char *const ca_variables[] = {
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

static size_t count(char *const *environment, const char *name)
{
	size_t length = strlen(name), n = 0;

	for (; *environment; environment++)
		n += strncmp(*environment, name, length) == 0 &&
		     ((*environment)[length] == '=' || !(*environment)[length]);
	return n;
}

static const char *value(char *const *environment, const char *name)
{
	size_t length = strlen(name);

	ck_assert_msg(count(environment, name) == 1, "%s: %zu times", name, count(environment, name));
	while (strncmp(*environment, name, length) != 0 || (*environment)[length] != '=')
		environment++;
	return *environment + length + 1;
}

static size_t total(char *const *environment)
{
	size_t n = 0;

	while (environment[n])
		n++;
	return n;
}

START_TEST(from_nothing)
{
	char *empty[] = { NULL };
	_cleanup_free_ char **made = NULL;

	ck_assert_int_eq(child_env_build(empty, BUNDLE, STORE, &made), 0);
	for (size_t i = 0; i < array_size(ca_variables); i++)
		ck_assert_str_eq(value(made, ca_variables[i]), BUNDLE);
	ck_assert_str_eq(value(made, "SSL_CERT_DIR"), "/run/user/1000/boundary-session-abc123");
	ck_assert_str_eq(value(made, "JAVA_TOOL_OPTIONS"), JAVA);
	ck_assert_uint_eq(total(made), array_size(ca_variables) + 2);
}
END_TEST

START_TEST(inherited_is_kept)
{
	char *inherited[] = { (char[]){ "PATH=/bin" },
			      (char[]){ "EMPTY=" },
			      (char[]){ "A=b=c" },
			      (char[]){ "no equals sign" },
			      (char[]){ "=odd" },
			      (char[]){ "" },
			      (char[]){ "my_http_proxy=x" },
			      (char[]){ "http_proxy_backup=y" },
			      (char[]){ "SSL_CERT_FILES=z" },
			      NULL };
	_cleanup_free_ char **made = NULL;

	ck_assert_int_eq(child_env_build(inherited, BUNDLE, NULL, &made), 0);
	for (size_t i = 0; inherited[i]; i++)
		ck_assert_str_eq(made[i], inherited[i]);
	ck_assert_uint_eq(total(made), array_size(inherited) - 1 + array_size(ca_variables) + 1);
}
END_TEST

START_TEST(inherited_ca_is_replaced)
{
	char *inherited[] = { (char[]){ "SSL_CERT_FILE=/a" },     (char[]){ "SSL_CERT_FILE=/b" },
			      (char[]){ "CURL_CA_BUNDLE" },       (char[]){ "SSL_CERT_DIR=/etc/ssl/certs" },
			      (char[]){ "NPM_CONFIG_CAFILE=/c" }, NULL };
	_cleanup_free_ char **made = NULL;

	ck_assert_int_eq(child_env_build(inherited, BUNDLE, NULL, &made), 0);
	ck_assert_str_eq(value(made, "SSL_CERT_FILE"), BUNDLE);
	ck_assert_str_eq(value(made, "CURL_CA_BUNDLE"), BUNDLE);
	ck_assert_str_eq(value(made, "SSL_CERT_DIR"), "/run/user/1000/boundary-session-abc123");
	ck_assert_uint_eq(count(made, "NPM_CONFIG_CAFILE"), 0);
	ck_assert_uint_eq(total(made), array_size(ca_variables) + 1);
}
END_TEST

START_TEST(proxies_are_dropped)
{
	static const char *const names[] = { "http_proxy",        "HTTP_PROXY",
					     "Http_Proxy",        "https_proxy",
					     "HTTPS_PROXY",       "all_proxy",
					     "ALL_PROXY",         "ftp_proxy",
					     "FTP_PROXY",         "no_proxy",
					     "NO_PROXY",          "npm_config_proxy",
					     "NPM_CONFIG_PROXY",  "npm_config_https_proxy",
					     "npm_config_noproxy" };

	for (size_t i = 0; i < array_size(names); i++) {
		char entry[64];
		char *inherited[] = { entry, (char[]){ "HOME=/h" }, NULL };
		_cleanup_free_ char **made = NULL;

		snprintf(entry, sizeof(entry), "%s=http://proxy:3128", names[i]);
		ck_assert_int_eq(child_env_build(inherited, BUNDLE, STORE, &made), 0);
		ck_assert_msg(count(made, names[i]) == 0, "%s is still there", names[i]);
		ck_assert_str_eq(value(made, "HOME"), "/h");
	}
}
END_TEST

START_TEST(java_options_are_appended)
{
	char *inherited[] = { (char[]){ "JAVA_TOOL_OPTIONS=-Xmx1g -ea" }, NULL };
	char *empty_value[] = { (char[]){ "JAVA_TOOL_OPTIONS=" }, NULL };
	_cleanup_free_ char **made = NULL, **untouched = NULL, **alone = NULL;

	ck_assert_int_eq(child_env_build(inherited, BUNDLE, STORE, &made), 0);
	ck_assert_str_eq(value(made, "JAVA_TOOL_OPTIONS"), "-Xmx1g -ea " JAVA);
	ck_assert_int_eq(child_env_build(inherited, BUNDLE, NULL, &untouched), 0);
	ck_assert_str_eq(value(untouched, "JAVA_TOOL_OPTIONS"), "-Xmx1g -ea");
	ck_assert_int_eq(child_env_build(empty_value, BUNDLE, STORE, &alone), 0);
	ck_assert_str_eq(value(alone, "JAVA_TOOL_OPTIONS"), JAVA);
}
END_TEST

START_TEST(odd_paths)
{
	char *empty[] = { NULL };
	_cleanup_free_ char **made = NULL, **root = NULL;

	ck_assert_int_eq(child_env_build(empty, BUNDLE, "/a b/t.p12", &made), 0);
	ck_assert_ptr_nonnull(strstr(value(made, "JAVA_TOOL_OPTIONS"), "trustStore='/a b/t.p12' "));
	ck_assert_int_eq(child_env_build(empty, "/b.pem", NULL, &root), 0);
	ck_assert_str_eq(value(root, "SSL_CERT_DIR"), "/");
}
END_TEST

/* As large as execve(2) would take, and beyond any fixed buffer. */
START_TEST(large_environment)
{
	size_t n = 20000;
	_cleanup_free_ char **inherited = calloc(n + 1, sizeof(*inherited));
	_cleanup_free_ char *text = malloc(n * 16);
	_cleanup_free_ char **made = NULL;

	for (size_t i = 0; i < n; i++) {
		inherited[i] = text + 16 * i;
		snprintf(inherited[i], 16, "V%zu=%zu", i, i);
	}
	ck_assert_int_eq(child_env_build(inherited, BUNDLE, STORE, &made), 0);
	ck_assert_uint_eq(total(made), n + array_size(ca_variables) + 2);
	ck_assert_str_eq(made[n - 1], "V19999=19999");
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("child_env");
	Suite *suite = suite_create("child_env");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, from_nothing);
	tcase_add_test(tcase, inherited_is_kept);
	tcase_add_test(tcase, inherited_ca_is_replaced);
	tcase_add_test(tcase, proxies_are_dropped);
	tcase_add_test(tcase, java_options_are_appended);
	tcase_add_test(tcase, odd_paths);
	tcase_add_test(tcase, large_environment);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
