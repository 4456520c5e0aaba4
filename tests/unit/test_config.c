/* The reading of config files: what is handed on, and where each kind of mistake is said to be. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/config.h"
#include "shared/cleanup.h"

static char path[64];

/* What the sink got: "flag=value@LINE:COLUMN;" for each value. */
static char got[4096];
static size_t n_got;
static int sink_answer;

static void setup(void)
{
	int fd;

	strcpy(path, "/tmp/boundary-test-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	got[0] = '\0';
	n_got = 0;
	sink_answer = 0;
}

static void teardown(void)
{
	unlink(path);
}

static int record(void *context, const struct option_spec *spec, const char *value, const char *source, struct error *e)
{
	size_t used = strlen(got);
	const char *place = source + strlen(path);

	ck_assert_ptr_eq(context, got);
	ck_assert_msg(strncmp(source, path, strlen(path)) == 0 && *place == ':', "source '%s'", source);
	n_got++;
	if (used < sizeof(got) - 256)
		snprintf(got + used, sizeof(got) - used, "%s=%.200s@%s;", spec->flag, value, place + 1);
	return sink_answer ? error_set(e, -sink_answer, "refused by the sink") : 0;
}

static void put(const char *text, size_t length)
{
	_cleanup_file_ FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, length, file), length);
}

static int read_text(const char *text, size_t length, struct error *e)
{
	put(text, length);
	return config_read(path, record, got, e);
}

static void accepted(const char *text, const char *expected)
{
	struct error e = { 0 };

	got[0] = '\0';
	ck_assert_msg(read_text(text, strlen(text), &e) == 0, "%s: %s", text, e.text);
	ck_assert_str_eq(got, expected);
}

/* Refused with -EINVAL, and the text is PATH:`expected`. */
static void refuse_bytes(const char *text, size_t length, const char *expected)
{
	struct error e = { 0 };
	int r = read_text(text, length, &e);

	ck_assert_msg(r == -EINVAL, "%s: %d", text, r);
	ck_assert_int_eq(e.code, EINVAL);
	ck_assert_msg(strncmp(e.text, path, strlen(path)) == 0, "%s", e.text);
	ck_assert_msg(strncmp(e.text + strlen(path) + 1, expected, strlen(expected)) == 0, "%s\nexpected %s", e.text,
		      expected);
}

static void refused(const char *text, const char *expected)
{
	refuse_bytes(text, strlen(text), expected);
}

START_TEST(values_with_places)
{
	accepted(
		"log_level: info\nallowlist:\n  - domain=a.example\n  - \"method=GET path=/x\"\ndenylist: [domain=b]\n",
		"log-level=info@1:12;allow=domain=a.example@3:5;allow=method=GET path=/x@4:5;deny=domain=b@5:12;");
	accepted("proxy_port: '8080'\nrequire: yes\n", "proxy-port=8080@1:13;require=yes@2:10;");
	accepted("{allowlist: [a, b], log_dir: /x}", "allow=a@1:14;allow=b@1:17;log-dir=/x@1:30;");
	accepted("\xef\xbb\xbflog_level: info\n", "log-level=info@1:13;");
	accepted("allowlist:\n- \"domain=b\xc3\xbc.example\"\n", "allow=domain=b\xc3\xbc.example@2:3;");
	accepted("log_dir: |\n  /x\n", "log-dir=/x\n@1:10;");
}
END_TEST

START_TEST(nothing_set)
{
	accepted("", "");
	accepted("# only a comment\n", "");
	accepted("---\n", "");
	accepted("---\n...\n", "");
	accepted("{}", "");
	accepted("allowlist:\n#  - domain=a\nlog_dir: ~\nlog_level: null\n", "");
	accepted("allowlist: []\n", "");
	/* Quoted, it is an empty string and not nothing. */
	accepted("log_dir: ''\n", "log-dir=@1:10;");
}
END_TEST

START_TEST(unknown_and_duplicate_keys)
{
	refused("log_level: info\n\nalow_list: []\n", "3:1: unknown key 'alow_list' (did you mean 'allowlist'?)");
	refused("log-level: info\n", "1:1: unknown key 'log-level' (did you mean 'log_level'?)");
	refused("wholly_different_thing: 1\n", "1:1: unknown key 'wholly_different_thing'");
	refused("config: /x\n", "1:1: unknown key 'config'");
	refused("log_dir: /a\nrequire: true\nlog_dir: /b\n", "3:1: key 'log_dir' is already set at line 1");
	refused("? {a: b}\n: c\n", "1:3: keys and values here are plain words, not mappings");
	refused("? [a]\n: c\n", "1:3: a list where one value is expected");
	refused("<<: {log_dir: /x}\n", "1:1: unknown key '<<'");
}
END_TEST

START_TEST(wrong_types)
{
	refused("allowlist: domain=a\n", "1:12: 'allowlist' is a list");
	refused("allowlist:\n  - domain: a\n", "2:5: 'allowlist' is a list of strings");
	refused("allowlist:\n  - [a]\n", "2:5: a list where one value is expected");
	refused("allowlist:\n  -\n  - domain=a\n", "2:4: an empty item in the list 'allowlist'");
	refused("log_level: [info]\n", "1:12: a list where one value is expected");
	refused("log_level: {a: b}\n", "1:12: keys and values here are plain words");
	refused("- a\n- b\n", "1:1: the file must consist of keys with values");
	refused("just words\n", "1:1: the file must consist of keys with values");
	refused("log_dir: \"/a\\0b\"\n", "1:10: 'log_dir': a NUL character");
}
END_TEST

START_TEST(beyond_plain_yaml)
{
	refused("log_dir: &a /x\nupstream_ca: *a\n", "2:14: aliases are not supported");
	refused("allowlist: &a [*a]\n", "1:16: aliases are not supported");
	refused("log_level: info\n---\nlog_dir: /x\n", "2:1: a second document");
	refused("log_level: info\n\tlog_dir: /x\n", "");
	refused("allowlist: [a, b\n", "2:1: not valid YAML: ");
	refused("log_level: 'info\n", "");
	refused("a: b: c\n", "");
	refused("%YAML 2.0\n---\n{}\n", "1:1: not valid YAML: found incompatible YAML document");
}
END_TEST

START_TEST(not_utf8)
{
	refused("log_level: info\nlog_dir: /\xff\n", "2:11: not text in UTF-8: ");
	refused("log_dir: /\xc3\n", "1:12: not text in UTF-8: ");
	refuse_bytes("log_dir: \0/x\n", 13, "1:10: not text in UTF-8: control characters are not allowed");
	refuse_bytes("\xff\xfel\0o\0", 6, "1:1: not text in UTF-8: ");
}
END_TEST

START_TEST(sink_ends_the_reading)
{
	struct error e = { 0 };

	sink_answer = -EDOM;
	ck_assert_int_eq(read_text("allowlist: [a, b, c]", 20, &e), -EDOM);
	ck_assert_uint_eq(n_got, 1);
	ck_assert_str_eq(e.text, "refused by the sink");
	sink_answer = 0;
	ck_assert_int_eq(read_text("unknown: 1", 10, NULL), -EINVAL);
}
END_TEST

START_TEST(size_and_depth)
{
	_cleanup_free_ char *text = malloc(CONFIG_SIZE_MAX + 2);
	struct error e = { 0 };

	ck_assert_ptr_nonnull(text);
	memset(text, ' ', CONFIG_SIZE_MAX + 2);
	memcpy(text, "log_level: info\n#", 17);
	ck_assert_int_eq(read_text(text, CONFIG_SIZE_MAX, &e), 0);
	ck_assert_int_eq(read_text(text, CONFIG_SIZE_MAX + 1, &e), -EFBIG);
	ck_assert_msg(strstr(e.text, "more than 8 MiB"), "%s", e.text);

	memset(text, '[', CONFIG_SIZE_MAX);
	memcpy(text, "allowlist: ", 11);
	refuse_bytes(text, CONFIG_SIZE_MAX, "1:13: a list where one value is expected");
	memset(text, '{', CONFIG_SIZE_MAX);
	refuse_bytes(text, CONFIG_SIZE_MAX, "");
}
END_TEST

START_TEST(hundred_thousand_rules)
{
	struct error e = { 0 };

	{
		_cleanup_file_ FILE *file = fopen(path, "we");

		fputs("allowlist:\n", file);
		for (int i = 0; i < 100000; i++)
			fprintf(file, "  - domain=host%d.example method=GET path=/v1/*\n", i);
	}
	ck_assert_msg(config_read(path, record, got, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(n_got, 100000);
}
END_TEST

START_TEST(unreadable)
{
	struct error e = { 0 };
	char link[80];

	ck_assert_int_eq(config_read("/nonexistent/config.yaml", record, got, &e), -ENOENT);
	ck_assert_str_eq(e.text, "cannot open the config file /nonexistent/config.yaml: No such file or directory");
	ck_assert_int_eq(config_read("/tmp", record, got, &e), -EISDIR);
	ck_assert_int_eq(config_read("/dev/zero", record, got, &e), -EFBIG);
	snprintf(link, sizeof(link), "%s.loop", path);
	ck_assert_int_eq(symlink(link, link), 0);
	ck_assert_int_eq(config_read(link, record, got, &e), -ELOOP);
	unlink(link);
	if (geteuid() != 0) {
		chmod(path, 0);
		ck_assert_int_eq(config_read(path, record, got, &e), -EACCES);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { values_with_places,     nothing_set, unknown_and_duplicate_keys, wrong_types,
				       beyond_plain_yaml,      not_utf8,    sink_ends_the_reading,      size_and_depth,
				       hundred_thousand_rules, unreadable };
	TCase *tcase = tcase_create("config");
	Suite *suite = suite_create("config");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	for (size_t i = 0; i < array_size(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
