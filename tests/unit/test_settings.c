/* The merge of flags, environment and files; what is refused and how it is said; the log file; the usage texts. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "launcher/options.h"
#include "launcher/settings.h"
#include "launcher/usage.h"
#include "shared/cleanup.h"

#define WORDS_MAX 16

static char base[64], system_config[128], user_config[128], coder_config[128], extra_config[128];
static struct settings settings;
static struct error problem;
static char *environment[WORDS_MAX];
static char *words[WORDS_MAX];

static void put(const char *path, const char *text)
{
	_cleanup_file_ FILE *file = fopen(path, "we");

	ck_assert_msg(file != NULL, "%s", path);
	fputs(text, file);
}

static void setup(void)
{
	char path[96];

	strcpy(base, "/tmp/boundary-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	snprintf(system_config, sizeof(system_config), "%s/system.yaml", base);
	snprintf(extra_config, sizeof(extra_config), "%s/extra.yaml", base);
	snprintf(path, sizeof(path), "%s/.config", base);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/.config/boundary", base);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(user_config, sizeof(user_config), "%s/config.yaml", path);
	snprintf(path, sizeof(path), "%s/.config/coder_boundary", base);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(coder_config, sizeof(coder_config), "%s/config.yaml", path);
	memset(environment, 0, sizeof(environment));
	memset(&settings, 0, sizeof(settings));
	memset(&problem, 0, sizeof(problem));
}

static void teardown(void)
{
	char command[256];

	settings_clear(&settings);
	snprintf(command, sizeof(command), "chmod -R u+rwX %s; rm -rf %s", base, base);
	ck_assert_int_eq(system(command), 0);
}

/* Loads with the words of `line` (split at '|') as arguments. */
static int load(const char *line)
{
	static char copy[1024];
	struct settings_input input = {
		.argv = words, .environment = environment, .system_config = system_config, .home = base
	};
	char *rest = copy;

	settings_clear(&settings);
	problem = (struct error){ 0 };
	memset(words, 0, sizeof(words));
	snprintf(copy, sizeof(copy), "%s", line);
	words[input.argc++] = (char[]){ "boundary-launch" };
	while (line[0] && rest)
		words[input.argc++] = strsep(&rest, "|");
	return settings_load(&input, &settings, &problem);
}

static void accepted(const char *line)
{
	ck_assert_msg(load(line) == 0, "%s: %s", line, problem.text);
}

/* `expected` begins the error text; "@" in it stands for the temporary directory. */
static void refused(const char *line, int code, const char *expected)
{
	const char *at = strchr(expected, '@');
	char full[512];
	int r = load(line);

	snprintf(full, sizeof(full), "%.*s%s%s", at ? (int)(at - expected) : (int)strlen(expected), expected,
		 at ? base : "", at ? at + 1 : "");
	ck_assert_msg(r == -code, "%s: %d (%s)", line, r, problem.text);
	ck_assert_msg(strncmp(problem.text, full, strlen(full)) == 0, "%s\nexpected %s", problem.text, full);
	ck_assert_ptr_null(settings.command);
}

static void rules(const struct settings_rules *got, const char *expected)
{
	char all[1024] = "";

	for (size_t i = 0; i < got->count; i++) {
		const char *source = got->items[i].source;
		size_t used = strlen(all);

		if (strncmp(source, base, strlen(base)) == 0)
			source += strlen(base) + 1;
		snprintf(all + used, sizeof(all) - used, "%s<%s> ", got->items[i].text, source);
	}
	ck_assert_str_eq(all, expected);
}

START_TEST(defaults)
{
	accepted("true");
	ck_assert_str_eq(settings.command[0], "true");
	ck_assert_ptr_null(settings.command[1]);
	ck_assert_uint_eq(settings.allow.count + settings.deny.count, 0);
	ck_assert_int_eq(settings.log_level, LOG_LEVEL_WARN);
	ck_assert_int_eq(settings.log_format, LOG_FORMAT_TEXT);
	ck_assert_ptr_null(settings.log_dir);
	ck_assert_ptr_null(settings.upstream_ca);
	ck_assert_ptr_null(settings.explain);
	ck_assert_ptr_null(settings.warning);
	ck_assert_uint_eq(settings.proxy_port, 0);
	ck_assert(!settings.no_user_namespace && !settings.require && !settings.help && !settings.version);
}
END_TEST

START_TEST(rules_of_all_sources)
{
	put(system_config, "allowlist:\n- domain=s\ndenylist:\n- domain=ds\n");
	put(user_config, "allowlist: [domain=u1, domain=u2]\n");
	environment[0] = (char[]){ "BOUNDARY_ALLOW=domain=e" };
	environment[1] = (char[]){ "BOUNDARY_DENY=domain=de" };
	accepted("--allow|domain=f1|--allow=domain=f2|--deny|domain=df|--|cmd|--allow|x");
	rules(&settings.allow, "domain=s<system.yaml:2:3> domain=u1<.config/boundary/config.yaml:1:13> "
			       "domain=u2<.config/boundary/config.yaml:1:24> domain=e<BOUNDARY_ALLOW> "
			       "domain=f1<--allow 1> domain=f2<--allow 2> ");
	rules(&settings.deny, "domain=ds<system.yaml:4:3> domain=de<BOUNDARY_DENY> domain=df<--deny 1> ");
	ck_assert_str_eq(settings.command[0], "cmd");
	ck_assert_str_eq(settings.command[1], "--allow");
}
END_TEST

/* Each value setting, set by each source in turn; the stronger one wins over all weaker ones. */
START_TEST(precedence)
{
	put(system_config, "log_level: error\nlog_dir: /s\nlog_format: json\nproxy_port: 1\nupstream_ca: /s.pem\n"
			   "require: true\nno_user_namespace: true\njail_type: nsjail\n");
	accepted("true");
	ck_assert_int_eq(settings.log_level, LOG_LEVEL_ERROR);
	ck_assert_str_eq(settings.log_dir, "/s");
	ck_assert_int_eq(settings.log_format, LOG_FORMAT_JSON);
	ck_assert_uint_eq(settings.proxy_port, 1);
	ck_assert_str_eq(settings.upstream_ca, "/s.pem");
	ck_assert(settings.require && settings.no_user_namespace);

	put(user_config, "log_level: info\nlog_dir: /u\nlog_format: text\nproxy_port: 2\nupstream_ca: /u.pem\n"
			 "require: false\nno_user_namespace: no\n");
	accepted("true");
	ck_assert_int_eq(settings.log_level, LOG_LEVEL_INFO);
	ck_assert_str_eq(settings.log_dir, "/u");
	ck_assert_int_eq(settings.log_format, LOG_FORMAT_TEXT);
	ck_assert_uint_eq(settings.proxy_port, 2);
	ck_assert_str_eq(settings.upstream_ca, "/u.pem");
	ck_assert(!settings.require && !settings.no_user_namespace);

	environment[0] = (char[]){ "BOUNDARY_LOG_LEVEL=warn" };
	environment[1] = (char[]){ "BOUNDARY_LOG_DIR=/e" };
	environment[2] = (char[]){ "BOUNDARY_LOG_FORMAT=json" };
	environment[3] = (char[]){ "PROXY_PORT=3" };
	environment[4] = (char[]){ "BOUNDARY_UPSTREAM_CA=/e.pem" };
	environment[5] = (char[]){ "BOUNDARY_REQUIRE=1" };
	environment[6] = (char[]){ "BOUNDARY_NO_USER_NAMESPACE=yes" };
	environment[7] = (char[]){ "BOUNDARY_JAIL_TYPE=nsjail" };
	accepted("true");
	ck_assert_int_eq(settings.log_level, LOG_LEVEL_WARN);
	ck_assert_str_eq(settings.log_dir, "/e");
	ck_assert_int_eq(settings.log_format, LOG_FORMAT_JSON);
	ck_assert_uint_eq(settings.proxy_port, 3);
	ck_assert_str_eq(settings.upstream_ca, "/e.pem");
	ck_assert(settings.require && settings.no_user_namespace);

	accepted("--log-level|debug|--log-dir=/f|--log-format|text|--proxy-port|65535|--upstream-ca|/f.pem|"
		 "--require=false|--no-user-namespace=0|--jail-type|nsjail|true");
	ck_assert_int_eq(settings.log_level, LOG_LEVEL_DEBUG);
	ck_assert_str_eq(settings.log_dir, "/f");
	ck_assert_int_eq(settings.log_format, LOG_FORMAT_TEXT);
	ck_assert_uint_eq(settings.proxy_port, 65535);
	ck_assert_str_eq(settings.upstream_ca, "/f.pem");
	ck_assert(!settings.require && !settings.no_user_namespace);
	ck_assert_str_eq(settings.command[0], "true");
}
END_TEST

START_TEST(config_files)
{
	put(coder_config, "allowlist: [coder]\n");
	accepted("true");
	rules(&settings.allow, "coder<.config/coder_boundary/config.yaml:1:13> ");
	put(user_config, "allowlist: [own]\n");
	accepted("true");
	rules(&settings.allow, "own<.config/boundary/config.yaml:1:13> ");

	put(system_config, "allowlist: [system]\n");
	put(extra_config, "allowlist: [extra]\n");
	environment[0] = malloc(256);
	snprintf(environment[0], 256, "BOUNDARY_CONFIG=%s", extra_config);
	accepted("true");
	rules(&settings.allow, "system<system.yaml:1:13> extra<extra.yaml:1:13> ");
	free(environment[0]);
	environment[0] = (char[]){ "BOUNDARY_CONFIG=/nonexistent.yaml" };
	refused("true", ENOENT, "cannot open the config file /nonexistent.yaml: No such file");
	{
		char line[256];

		snprintf(line, sizeof(line), "--config|%s|true", extra_config);
		accepted(line);
		rules(&settings.allow, "system<system.yaml:1:13> extra<extra.yaml:1:13> ");
	}
	refused("--config|/nonexistent/2.yaml|true", ENOENT, "cannot open the config file /nonexistent/2.yaml");
	refused("--config=|true", EINVAL, "--config: an empty path");
	environment[0] = (char[]){ "BOUNDARY_CONFIG=" };
	accepted("true");
	rules(&settings.allow, "system<system.yaml:1:13> own<.config/boundary/config.yaml:1:13> ");
}
END_TEST

START_TEST(home_directory)
{
	struct settings_input input = { .argv = words, .environment = environment, .system_config = system_config };
	char home[128];

	put(user_config, "allowlist: [own]\n");
	words[0] = (char[]){ "boundary-launch" };
	words[1] = (char[]){ "true" };
	input.argc = 2;
	snprintf(home, sizeof(home), "HOME=%s", base);
	environment[0] = home;
	ck_assert_int_eq(settings_load(&input, &settings, &problem), 0);
	rules(&settings.allow, "own<.config/boundary/config.yaml:1:13> ");
	settings_clear(&settings);

	/* A relative one would let the current directory configure us. */
	ck_assert_int_eq(chdir(base), 0);
	environment[0] = (char[]){ "HOME=." };
	ck_assert_int_eq(settings_load(&input, &settings, &problem), 0);
	ck_assert_uint_eq(settings.allow.count, 0);
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(unreadable_default_files)
{
	ck_assert_int_eq(mkdir(system_config, 0700), 0);
	refused("true", EISDIR, "cannot read the config file @/system.yaml: Is a directory");
	ck_assert_int_eq(rmdir(system_config), 0);
	ck_assert_int_eq(symlink(user_config, user_config), 0);
	refused("true", ELOOP, "cannot open the config file @/.config/boundary/config.yaml");
	ck_assert_int_eq(unlink(user_config), 0);
	if (geteuid() != 0) {
		put(user_config, "");
		chmod(user_config, 0);
		refused("true", EACCES,
			"cannot open the config file @/.config/boundary/config.yaml: Permission denied");
	}
}
END_TEST

START_TEST(wrong_values_by_flag)
{
	refused("--log-level|loud|true", EINVAL,
		"--log-level: 'loud' is not a log level: use error, warn, info or debug");
	refused("--log-format|xml|true", EINVAL, "--log-format: 'xml' is not a log format: use text or json");
	refused("--proxy-port|65536|true", EINVAL, "--proxy-port: '65536' is not a TCP port: use a number from 0 to");
	refused("--proxy-port|-1|true", EINVAL, "--proxy-port: '-1' is not a TCP port");
	refused("--proxy-port||true", EINVAL, "--proxy-port: '' is not a TCP port");
	refused("--proxy-port|0000080|true", EINVAL, "--proxy-port: '0000080' is not a TCP port");
	refused("--proxy-port|4294967376|true", EINVAL, "--proxy-port: '4294967376' is not a TCP port");
	refused("--require=maybe|true", EINVAL, "--require: 'maybe' is neither true nor false");
	refused("--require=|true", EINVAL, "--require: '' is neither true nor false");
	refused("--jail-type|landjail|true", EINVAL, "--jail-type: the jail type 'landjail' is not available in this");
	refused("--jail-type|x|true", EINVAL, "--jail-type: 'x' is not a jail type: use nsjail");
	refused("--log-dir|~/logs|true", EINVAL, "--log-dir: '~/logs': only the shell knows '~'");
	refused("--upstream-ca||true", EINVAL, "--upstream-ca: an empty path");
	refused("--use-real-dns=2|true", EINVAL, "--use-real-dns: '2' is neither true nor false");
	refused("--pprof-port|x|true", EINVAL, "--pprof-port: 'x' is not a TCP port");
}
END_TEST

START_TEST(wrong_values_elsewhere)
{
	environment[0] = (char[]){ "BOUNDARY_LOG_LEVEL=loud" };
	refused("--log-level|info|true", EINVAL, "BOUNDARY_LOG_LEVEL: 'loud' is not a log level");
	environment[0] = (char[]){ "PROXY_PORT=tcp://1.2.3.4:80" };
	refused("true", EINVAL, "PROXY_PORT: 'tcp://1.2.3.4:80' is not a TCP port");
	environment[0] = (char[]){ "BOUNDARY_REQUIRE=on" };
	refused("true", EINVAL, "BOUNDARY_REQUIRE: 'on' is neither true nor false");
	environment[0] = (char[]){ "BOUNDARY_REQUIRE=" };
	accepted("true");
	put(user_config, "require: true\nlog_level: loud\n");
	refused("true", EINVAL, "@/.config/boundary/config.yaml:2:12: 'loud' is not a log level");
	put(system_config, "alow_list: []\n");
	refused("true", EINVAL, "@/system.yaml:1:1: unknown key 'alow_list' (did you mean 'allowlist'?)");
}
END_TEST

START_TEST(bad_command_lines)
{
	refused("", EBADR, "no command to run");
	refused("--", EBADR, "no command to run");
	refused("--allow|domain=a", EBADR, "no command to run");
	refused("--alow|domain=a|true", EBADR, "unknown flag '--alow' (did you mean '--allow'?)");
	refused("--allo|domain=a|true", EBADR, "unknown flag '--allo' (did you mean '--allow'?)");
	refused("--allo=domain=a|true", EBADR, "unknown flag '--allo' (did you mean '--allow'?)");
	refused("--log|x|true", EBADR, "unknown flag '--log'");
	refused("--qqqqqqqqqq|true", EBADR, "unknown flag '--qqqqqqqqqq'");
	refused("--explain|x|--=|true", EBADR, "unknown flag '--'");
	refused("-x|true", EBADR, "unknown flag '-x'");
	refused("--allow", EBADR, "'--allow' needs a value: --allow RULE");
	refused("--help=yes", EBADR, "'--help' takes no value");
	refused("--allow|x|--unknown|--help", EBADR, "unknown flag '--unknown'");
}
END_TEST

START_TEST(help_and_version_need_nothing_else)
{
	put(user_config, "not: [valid\n");
	environment[0] = (char[]){ "BOUNDARY_LOG_LEVEL=loud" };
	accepted("--help");
	ck_assert(settings.help);
	accepted("-h|--log-level|x|cmd");
	ck_assert(settings.help);
	accepted("--version");
	ck_assert(settings.version && !settings.help);
	accepted("-V");
	ck_assert(settings.version);
	ck_assert_int_ne(load("cmd|--help"), 0);
}
END_TEST

START_TEST(explain)
{
	accepted("--allow|domain=a|--explain|GET https://a/");
	ck_assert_str_eq(settings.explain, "GET https://a/");
	ck_assert_ptr_null(settings.command);
	accepted("--explain=https://a/|--|cmd");
	ck_assert_str_eq(settings.explain, "https://a/");
}
END_TEST

START_TEST(settings_without_effect)
{
	put(user_config, "use_real_dns: false\npprof_enabled: true\npprof_port: 6060\nsession_id_inject_targets: []\n"
			 "session_correlation_enabled: true\n");
	environment[0] = (char[]){ "CODER_AGENT_BOUNDARY_LOG_PROXY_SOCKET_PATH=/x.sock" };
	environment[1] = (char[]){ "DISABLE_AUDIT_LOGS=true" };
	accepted("--enable-session-correlation=false|--session-id-inject-target|domain=x|true");
	ck_assert_ptr_nonnull(settings.warning);
	ck_assert_msg(strncmp(settings.warning, "these settings have no effect in this version: ", 47) == 0, "%s",
		      settings.warning);
	ck_assert_ptr_nonnull(strstr(settings.warning, "pprof_enabled ("));
	ck_assert_ptr_nonnull(strstr(settings.warning, "config.yaml:2:16)"));
	ck_assert_ptr_nonnull(
		strstr(settings.warning, "log_proxy_socket_path (CODER_AGENT_BOUNDARY_LOG_PROXY_SOCKET_PATH)"));
	ck_assert_ptr_nonnull(strstr(settings.warning, "disable_audit_logs (DISABLE_AUDIT_LOGS)"));
	ck_assert_ptr_nonnull(strstr(settings.warning, "session_id_inject_targets (--session-id-inject-target 1)"));
	ck_assert_ptr_null(strstr(settings.warning, "use_real_dns"));
	ck_assert_ptr_null(strstr(settings.warning, "pprof_port"));
	ck_assert_ptr_null(strstr(settings.warning, "session_correlation_enabled"));

	put(user_config, "");
	environment[0] = (char[]){ "TMPDIR=/var/tmp" };
	environment[1] = (char[]){ "CODER_AGENT_BOUNDARY_LOG_PROXY_SOCKET_PATH=/var/tmp/boundary-audit.sock" };
	accepted("--pprof=false|--use-real-dns=no|true");
	ck_assert_ptr_null(settings.warning);
}
END_TEST

START_TEST(compiling)
{
	struct rule_set *set = NULL;
	struct error e = { 0 };

	put(user_config, "allowlist:\n- domain=a.example\n- method=GET domain=b.example\n");
	accepted("--allow|domain=c.example|--deny|domain=d.example|true");
	ck_assert_msg(settings_compile(&settings, &set, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(rule_set_count(set, RULE_ALLOW), 3);
	ck_assert_uint_eq(rule_set_count(set, RULE_DENY), 1);
	rule_set_free(set);

	set = NULL;
	accepted("--allow|domain=c.example|--allow|what=ever|true");
	ck_assert_int_eq(settings_compile(&settings, &set, &e), -EINVAL);
	ck_assert_ptr_null(set);
	ck_assert_msg(strncmp(e.text, "--allow 2", 9) == 0, "%s", e.text);
	put(user_config, "denylist:\n- domain=a.example\n- ''\n");
	accepted("true");
	ck_assert_int_eq(settings_compile(&settings, &set, &e), -EINVAL);
	ck_assert_msg(strstr(e.text, "config.yaml:3:3"), "%s", e.text);
}
END_TEST

START_TEST(hundred_thousand_rules)
{
	struct rule_set *set = NULL;
	struct error e = { 0 };

	{
		_cleanup_file_ FILE *file = fopen(user_config, "we");

		fputs("allowlist:\n", file);
		for (int i = 0; i < 100000; i++)
			fprintf(file, "  - domain=host%d.example method=GET path=/v1/*\n", i);
	}
	accepted("true");
	ck_assert_uint_eq(settings.allow.count, 100000);
	ck_assert_str_eq(settings.allow.items[99999].text, "domain=host99999.example method=GET path=/v1/*");
	ck_assert_msg(settings_compile(&settings, &set, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(rule_set_count(set, RULE_ALLOW), 100000);
	rule_set_free(set);
}
END_TEST

START_TEST(log_file)
{
	char line[256], pattern[256];
	struct error e = { 0 };
	struct stat st;
	glob_t found;
	int fd, again;

	snprintf(line, sizeof(line), "--log-dir|%s/logs/deep|true", base);
	accepted(line);
	umask(0);
	fd = settings_open_log(&settings, &e);
	umask(022);
	ck_assert_msg(fd >= 0, "%s", e.text);
	snprintf(pattern, sizeof(pattern),
		 "%s/logs/deep/boundary-20[0-9][0-9]-[01][0-9]-[0-3][0-9]_[0-2][0-9]-[0-5][0-9]-[0-6][0-9]-%d.log",
		 base, getpid());
	ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
	ck_assert_uint_eq(found.gl_pathc, 1);
	ck_assert_int_eq(lstat(found.gl_pathv[0], &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	snprintf(pattern, sizeof(pattern), "%s/logs", base);
	ck_assert_int_eq(stat(pattern, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);

	/* Within the same second the name is taken; the file that is there is not reused. */
	again = settings_open_log(&settings, &e);
	ck_assert(again >= 0 || again == -EEXIST);
	close_fd(&again);
	close(fd);
	globfree(&found);
}
END_TEST

START_TEST(log_to_stderr_or_nowhere)
{
	struct stat one, two;
	struct error e = { 0 };
	char line[256];
	int fd;

	accepted("true");
	fd = settings_open_log(&settings, &e);
	ck_assert_int_ge(fd, 3);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	fstat(fd, &one);
	fstat(STDERR_FILENO, &two);
	ck_assert_uint_eq(one.st_ino, two.st_ino);
	close(fd);

	put(extra_config, "");
	snprintf(line, sizeof(line), "--log-dir|%s/below|true", extra_config);
	accepted(line);
	ck_assert_int_eq(settings_open_log(&settings, &e), -ENOTDIR);
	ck_assert_ptr_nonnull(strstr(e.text, "/below: Not a directory"));
	accepted("--log-dir|/proc/nonexistent/x|true");
	ck_assert_int_lt(settings_open_log(&settings, &e), 0);
	ck_assert_ptr_nonnull(strstr(e.text, "/proc/nonexistent/x"));
}
END_TEST

static void print(void (*usage)(FILE *out), char *ret, size_t size)
{
	FILE *out = fmemopen(ret, size, "w");

	usage(out);
	fclose(out);
}

START_TEST(usage_texts)
{
	char text[16384];

	print(usage_help, text, sizeof(text));
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_spec *spec = &option_specs[i];
		char flag[64];

		ck_assert_uint_eq(spec->id, i);
		snprintf(flag, sizeof(flag), "--%s", spec->flag);
		ck_assert_msg(strstr(text, flag) != NULL, "%s is not in the help", flag);
		if (spec->help && spec->environment)
			ck_assert_msg(strstr(text, spec->environment) != NULL, "%s is missing", spec->environment);
	}
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
		ck_assert_msg(strlen(line) <= 100, "too long: %s", line);
	print(usage_version, text, sizeof(text));
	ck_assert_str_eq(text, "boundary-launch " BOUNDARY_VERSION "\n");
	print(usage_hint, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "Usage: boundary-launch [flags] -- command"));
	ck_assert_ptr_nonnull(strstr(text, "boundary-launch --help"));
}
END_TEST

/* Run from the top of the tree, as make does. */
START_TEST(manual_page)
{
	_cleanup_file_ FILE *file = fopen("packaging/man/boundary-launch.1", "re");
	static char text[65536];

	ck_assert_msg(file != NULL, "packaging/man/boundary-launch.1: not there");
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_spec *spec = &option_specs[i];
		char flag[64];

		snprintf(flag, sizeof(flag), "Fl -%s", spec->flag);
		ck_assert_msg(strstr(text, flag) || (spec->letter && strstr(text, spec->flag)),
			      "--%s is not in the manual page", spec->flag);
		ck_assert_msg(!spec->environment || strstr(text, spec->environment), "%s is not in the manual page",
			      spec->environment);
		ck_assert_msg(!spec->key || strstr(text, spec->key), "%s is not in the manual page", spec->key);
	}
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("settings");
	Suite *suite = suite_create("settings");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, defaults);
	tcase_add_test(tcase, rules_of_all_sources);
	tcase_add_test(tcase, precedence);
	tcase_add_test(tcase, config_files);
	tcase_add_test(tcase, home_directory);
	tcase_add_test(tcase, unreadable_default_files);
	tcase_add_test(tcase, wrong_values_by_flag);
	tcase_add_test(tcase, wrong_values_elsewhere);
	tcase_add_test(tcase, bad_command_lines);
	tcase_add_test(tcase, help_and_version_need_nothing_else);
	tcase_add_test(tcase, explain);
	tcase_add_test(tcase, settings_without_effect);
	tcase_add_test(tcase, compiling);
	tcase_add_test(tcase, hundred_thousand_rules);
	tcase_add_test(tcase, log_file);
	tcase_add_test(tcase, log_to_stderr_or_nowhere);
	tcase_add_test(tcase, usage_texts);
	tcase_add_test(tcase, manual_page);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
