/* The table of settings and the readers of flags and environment: see options.h. */
#include "launcher/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"

#define WORD_MAX_LENGTH 48 /* no key or flag is longer */

const struct option_spec option_specs[OPTION_COUNT] = {
	[OPTION_CONFIG] = { OPTION_CONFIG, OPTION_VALUE, "config", 0, "BOUNDARY_CONFIG", NULL, "FILE",
			    "config file to read instead of the user's own" },
	[OPTION_ALLOW] = { OPTION_ALLOW, OPTION_LIST, "allow", 0, "BOUNDARY_ALLOW", "allowlist", "RULE",
			   "permit the requests RULE matches (repeatable)" },
	[OPTION_DENY] = { OPTION_DENY, OPTION_LIST, "deny", 0, "BOUNDARY_DENY", "denylist", "RULE",
			  "refuse them, whatever is allowed (repeatable)" },
	[OPTION_EXPLAIN] = { OPTION_EXPLAIN, OPTION_VALUE, "explain", 0, NULL, NULL, "REQUEST",
			     "say what the rules decide on 'METHOD URL'; run nothing" },
	[OPTION_LOG_LEVEL] = { OPTION_LOG_LEVEL, OPTION_VALUE, "log-level", 0, "BOUNDARY_LOG_LEVEL", "log_level",
			       "LEVEL", "error, warn, info or debug; default warn" },
	[OPTION_LOG_DIR] = { OPTION_LOG_DIR, OPTION_VALUE, "log-dir", 0, "BOUNDARY_LOG_DIR", "log_dir", "DIR",
			     "write the log to a new file in DIR; default stderr" },
	[OPTION_LOG_FORMAT] = { OPTION_LOG_FORMAT, OPTION_VALUE, "log-format", 0, "BOUNDARY_LOG_FORMAT", "log_format",
				"FORMAT", "text or json; default text" },
	[OPTION_JAIL_TYPE] = { OPTION_JAIL_TYPE, OPTION_VALUE, "jail-type", 0, "BOUNDARY_JAIL_TYPE", "jail_type",
			       "TYPE", "nsjail, the only one in this version" },
	[OPTION_NO_USER_NAMESPACE] = { OPTION_NO_USER_NAMESPACE, OPTION_BOOLEAN, "no-user-namespace", 0,
				       "BOUNDARY_NO_USER_NAMESPACE", "no_user_namespace", NULL,
				       "make no user namespace (needs CAP_SYS_ADMIN)" },
	[OPTION_REQUIRE] = { OPTION_REQUIRE, OPTION_BOOLEAN, "require", 0, "BOUNDARY_REQUIRE", "require", NULL,
			     "fail where a protection is refused, don't warn" },
	[OPTION_PROXY_PORT] = { OPTION_PROXY_PORT, OPTION_VALUE, "proxy-port", 0, "PROXY_PORT", "proxy_port", "PORT",
				"TCP port of the proxy; default 0: 18080 or a free one" },
	[OPTION_UPSTREAM_CA] = { OPTION_UPSTREAM_CA, OPTION_VALUE, "upstream-ca", 0, "BOUNDARY_UPSTREAM_CA",
				 "upstream_ca", "FILE", "trust the CAs in FILE (PEM) as well as the system's" },
	[OPTION_HELP] = { OPTION_HELP, OPTION_ACTION, "help", 'h', NULL, NULL, NULL, "print this text" },
	[OPTION_VERSION] = { OPTION_VERSION, OPTION_ACTION, "version", 'V', NULL, NULL, NULL, "print the version" },
	[OPTION_USE_REAL_DNS] = { OPTION_USE_REAL_DNS, OPTION_BOOLEAN, "use-real-dns", 0, "BOUNDARY_USE_REAL_DNS",
				  "use_real_dns", NULL, NULL },
	[OPTION_DISABLE_AUDIT_LOGS] = { OPTION_DISABLE_AUDIT_LOGS, OPTION_BOOLEAN, "disable-audit-logs", 0,
					"DISABLE_AUDIT_LOGS", "disable_audit_logs", NULL, NULL },
	[OPTION_LOG_PROXY_SOCKET_PATH] = { OPTION_LOG_PROXY_SOCKET_PATH, OPTION_VALUE, "log-proxy-socket-path", 0,
					   "CODER_AGENT_BOUNDARY_LOG_PROXY_SOCKET_PATH", "log_proxy_socket_path",
					   "PATH", NULL },
	[OPTION_SESSION_CORRELATION] = { OPTION_SESSION_CORRELATION, OPTION_BOOLEAN, "enable-session-correlation", 0,
					 "BOUNDARY_SESSION_CORRELATION_ENABLED", "session_correlation_enabled", NULL,
					 NULL },
	[OPTION_SESSION_ID_INJECT_TARGET] = { OPTION_SESSION_ID_INJECT_TARGET, OPTION_LIST, "session-id-inject-target",
					      0, "BOUNDARY_SESSION_ID_INJECT_TARGET", "session_id_inject_targets",
					      "RULE", NULL },
	[OPTION_PPROF] = { OPTION_PPROF, OPTION_BOOLEAN, "pprof", 0, "BOUNDARY_PPROF", "pprof_enabled", NULL, NULL },
	[OPTION_PPROF_PORT] = { OPTION_PPROF_PORT, OPTION_VALUE, "pprof-port", 0, "BOUNDARY_PPROF_PORT", "pprof_port",
				"PORT", NULL },
};

const struct option_spec *option_by_key(const char *key, size_t length)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const char *known = option_specs[i].key;

		if (known && strlen(known) == length && memcmp(known, key, length) == 0)
			return &option_specs[i];
	}
	return NULL;
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein's distance: insertions, deletions and substitutions that lead from one word to the other. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t row[WORD_MAX_LENGTH + 1];

	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_length];
}

const char *option_suggest(const char *word, size_t length, bool flags)
{
	const char *best = NULL;
	size_t best_distance = length / 3 < 3 ? length / 3 + 1 : 4; /* further than that is no slip */

	if (length == 0 || length > WORD_MAX_LENGTH)
		return NULL;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const char *known = flags ? option_specs[i].flag : option_specs[i].key;
		size_t d;

		if (!known)
			continue;
		d = distance(word, length, known, strlen(known));
		if (d < best_distance) {
			best = known;
			best_distance = d;
		}
	}
	return best;
}

const char *options_environment_value(char *const environment[], const char *name)
{
	size_t length = strlen(name);

	for (char *const *at = environment; at && *at; at++)
		if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
			return (*at)[length + 1] != '\0' ? *at + length + 1 : NULL;
	return NULL;
}

int options_read_environment(char *const environment[], option_sink sink, void *context, struct error *e)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_spec *spec = &option_specs[i];
		const char *value =
			spec->environment ? options_environment_value(environment, spec->environment) : NULL;
		int r;

		if (!value)
			continue;
		r = sink(context, spec, value, spec->environment, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The table as getopt_long(3) wants it; `val` is the id + 1, so that it is never 0 nor one of getopt's own answers. */
#define VAL_BASE 0x100

static void make_long_options(struct option ret[OPTION_COUNT + 1])
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_spec *spec = &option_specs[i];
		int argument = spec->kind == OPTION_ACTION    ? no_argument
			       : spec->kind == OPTION_BOOLEAN ? optional_argument
							      : required_argument;

		ret[i] = (struct option){ .name = spec->flag, .has_arg = argument, .val = VAL_BASE + (int)i };
	}
	ret[OPTION_COUNT] = (struct option){ 0 };
}

static int unknown_flag(const char *word, struct error *e)
{
	size_t length = strcspn(word + 2, "=");
	const char *meant = option_suggest(word + 2, length, true);

	return error_set(e, EBADR, "unknown flag '%.*s'%s%s%s", (int)(length + 2), word,
			 meant ? " (did you mean '--" : "", meant ? meant : "", meant ? "'?)" : "");
}

/* What getopt's '?' or ':' stands for; `word` is the element of argv it stopped at. */
static int refuse(int answer, const char *word, struct error *e)
{
	if (strncmp(word, "--", 2) != 0)
		return error_set(e, EBADR, "unknown flag '-%c'", optopt);
	if (optopt < VAL_BASE)
		return unknown_flag(word, e);
	if (answer == ':')
		return error_set(e, EBADR, "'%s' needs a value: %s %s", word, word,
				 option_specs[optopt - VAL_BASE].argument);
	return error_set(e, EBADR, "'--%s' takes no value", option_specs[optopt - VAL_BASE].flag);
}

static const struct option_spec *spec_of(int answer)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (answer == VAL_BASE + (int)i || (answer == option_specs[i].letter && answer != 0))
			return &option_specs[i];
	return NULL;
}

/* getopt_long takes any unambiguous beginning of a flag; a later version's flag would change what it means. */
static bool abbreviated(const char *word, const struct option_spec *spec)
{
	size_t length = strlen(spec->flag);

	if (strncmp(word, "--", 2) != 0)
		return false;
	return strncmp(word + 2, spec->flag, length) != 0 || (word[2 + length] != '\0' && word[2 + length] != '=');
}

static int take_flag(const struct option_spec *spec, size_t count, option_sink sink, void *context, struct error *e)
{
	const char *value = spec->kind == OPTION_BOOLEAN && !optarg ? "true" : optarg;
	char source[WORD_MAX_LENGTH + 32];

	if (spec->kind == OPTION_LIST)
		snprintf(source, sizeof(source), "--%s %zu", spec->flag, count);
	else
		snprintf(source, sizeof(source), "--%s", spec->flag);
	return sink(context, spec, value, source, e);
}

int options_read_arguments(int argc, char *const argv[], option_sink sink, void *context, int *ret_first,
			   struct error *e)
{
	struct option long_options[OPTION_COUNT + 1];
	size_t counts[OPTION_COUNT] = { 0 };

	make_long_options(long_options);
	opterr = 0;
	optind = 0; /* glibc: start anew, also after an earlier call stopped midway */
	for (;;) {
		const char *word = argv[optind > 0 ? optind : 1];
		const struct option_spec *spec;
		int answer = getopt_long(argc, argv, "+:hV", long_options, NULL);
		int r;

		if (answer == -1)
			break;
		if (answer == '?' || answer == ':')
			return refuse(answer, word, e);
		spec = spec_of(answer);
		if (abbreviated(word, spec))
			return unknown_flag(word, e);
		r = take_flag(spec, ++counts[spec->id], sink, context, e);
		if (r < 0)
			return r;
	}
	*ret_first = optind;
	return 0;
}
