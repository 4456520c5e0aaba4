/*
 * The merge of all sources into struct settings: each source hands its values to settings_assign() in order of rank, so
 * that later ones replace earlier ones and lists add up.
 */
#include "launcher/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "launcher/config.h"
#include "launcher/options.h"
#include "shared/cleanup.h"

/* What is learnt on the way and not part of the result. */
struct merge {
	struct settings settings;
	char *config;              /* --config or BOUNDARY_CONFIG */
	char *inert[OPTION_COUNT]; /* source of each setting that differs from its default and has no effect */
	const char *temporary_dir; /* TMPDIR, for a default */
};

static int replace_string(char **place, const char *value, const char *source, struct error *e)
{
	char *copy = strdup(value);

	if (!copy)
		return error_errno(e, ENOMEM, "%s", source);
	free(*place);
	*place = copy;
	return 0;
}

static int assign_boolean(bool *place, const char *value, const char *source, struct error *e)
{
	static const char *const yes[] = { "true", "yes", "1" }, *const no[] = { "false", "no", "0" };

	for (size_t i = 0; i < array_size(yes); i++) {
		if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
			*place = strcasecmp(value, yes[i]) == 0;
			return 0;
		}
	}
	return error_set(e, EINVAL, "%s: '%s' is neither true nor false", source, value);
}

static int assign_port(uint16_t *place, const char *value, const char *source, struct error *e)
{
	unsigned int port = 0;

	for (const char *at = value; *at; at++) {
		if (*at < '0' || *at > '9' || at - value >= 5)
			port = UINT16_MAX + 1u;
		else
			port = 10 * port + (unsigned int)(*at - '0');
		if (port > UINT16_MAX)
			break;
	}
	if (value[0] == '\0' || port > UINT16_MAX)
		return error_set(e, EINVAL, "%s: '%s' is not a TCP port: use a number from 0 to 65535", source, value);
	*place = (uint16_t)port;
	return 0;
}

static int assign_path(char **place, const char *value, const char *source, struct error *e)
{
	if (value[0] == '\0')
		return error_set(e, EINVAL, "%s: an empty path", source);
	if (value[0] == '~')
		return error_set(e, EINVAL, "%s: '%s': only the shell knows '~': write the path out", source, value);
	if (strlen(value) >= PATH_MAX)
		return error_set(e, ENAMETOOLONG, "%s: a path of more than %d bytes", source, PATH_MAX - 1);
	return replace_string(place, value, source, e);
}

static int assign_jail_type(const char *value, const char *source, struct error *e)
{
	if (strcmp(value, "nsjail") == 0)
		return 0;
	if (strcmp(value, "landjail") == 0)
		return error_set(
			e, EINVAL,
			"%s: the jail type 'landjail' is not available in this version: leave it out or use 'nsjail', "
			"which needs user namespaces",
			source);
	return error_set(e, EINVAL, "%s: '%s' is not a jail type: use nsjail", source, value);
}

static int add_rule(struct settings_rules *rules, const char *text, const char *source, struct error *e)
{
	struct settings_rule rule;

	if (rules->count == rules->capacity) {
		size_t capacity = rules->capacity ? 2 * rules->capacity : 8;
		struct settings_rule *grown = reallocarray(rules->items, capacity, sizeof(*grown));

		if (!grown)
			return error_errno(e, ENOMEM, "%s", source);
		rules->items = grown;
		rules->capacity = capacity;
	}
	rule = (struct settings_rule){ .text = strdup(text), .source = strdup(source) };
	if (!rule.text || !rule.source) {
		free(rule.text);
		free(rule.source);
		return error_errno(e, ENOMEM, "%s", source);
	}
	rules->items[rules->count++] = rule;
	return 0;
}

/* True if `value` of a setting without effect is what would be there anyway. */
static int inert_is_default(const struct merge *merge, const struct option_spec *spec, const char *value,
			    const char *source, bool *ret, struct error *e)
{
	char path[PATH_MAX];
	uint16_t port = 0;
	bool set = false;
	int r = 0;

	switch (spec->id) {
	case OPTION_SESSION_ID_INJECT_TARGET:
		*ret = false;
		return 0;
	case OPTION_LOG_PROXY_SOCKET_PATH:
		snprintf(path, sizeof(path), "%s/boundary-audit.sock", merge->temporary_dir);
		*ret = strcmp(value, path) == 0;
		return 0;
	case OPTION_PPROF_PORT:
		r = assign_port(&port, value, source, e);
		*ret = port == 6060;
		return r;
	default:
		r = assign_boolean(&set, value, source, e);
		*ret = !set;
		return r;
	}
}

static int assign_inert(struct merge *merge, const struct option_spec *spec, const char *value, const char *source,
			struct error *e)
{
	bool is_default = true;
	int r = inert_is_default(merge, spec, value, source, &is_default, e);

	if (r < 0)
		return r;
	if (!is_default)
		return replace_string(&merge->inert[spec->id], source, source, e);
	free(take_ptr(merge->inert[spec->id]));
	return 0;
}

/* An option_sink; `context` is the struct merge. */
static int settings_assign(void *context, const struct option_spec *spec, const char *value, const char *source,
			   struct error *e)
{
	struct merge *merge = context;
	struct settings *settings = &merge->settings;

	switch (spec->id) {
	case OPTION_ALLOW:
		return add_rule(&settings->allow, value, source, e);
	case OPTION_DENY:
		return add_rule(&settings->deny, value, source, e);
	case OPTION_EXPLAIN:
		return replace_string(&settings->explain, value, source, e);
	case OPTION_LOG_LEVEL:
		if (!log_level_parse(value, &settings->log_level))
			return error_set(e, EINVAL, "%s: '%s' is not a log level: use error, warn, info or debug",
					 source, value);
		return 0;
	case OPTION_LOG_FORMAT:
		if (!log_format_parse(value, &settings->log_format))
			return error_set(e, EINVAL, "%s: '%s' is not a log format: use text or json", source, value);
		return 0;
	case OPTION_LOG_DIR:
		return assign_path(&settings->log_dir, value, source, e);
	case OPTION_UPSTREAM_CA:
		return assign_path(&settings->upstream_ca, value, source, e);
	case OPTION_PROXY_PORT:
		return assign_port(&settings->proxy_port, value, source, e);
	case OPTION_JAIL_TYPE:
		return assign_jail_type(value, source, e);
	case OPTION_NO_USER_NAMESPACE:
		return assign_boolean(&settings->no_user_namespace, value, source, e);
	case OPTION_REQUIRE:
		return assign_boolean(&settings->require, value, source, e);
	case OPTION_CONFIG:
	case OPTION_HELP:
	case OPTION_VERSION:
		return 0; /* taken by settings_assign_first() */
	default:
		return assign_inert(merge, spec, value, source, e);
	}
}

/* An option_sink for what must be known before the files are read. */
static int settings_assign_first(void *context, const struct option_spec *spec, const char *value, const char *source,
				 struct error *e)
{
	struct merge *merge = context;

	switch (spec->id) {
	case OPTION_CONFIG:
		return assign_path(&merge->config, value, source, e);
	case OPTION_HELP:
		merge->settings.help = true;
		return 0;
	case OPTION_VERSION:
		merge->settings.version = true;
		return 0;
	default:
		return 0;
	}
}

/* A file that nobody named need not exist. *ret_found says whether it did. */
static int read_default_config(const char *path, struct merge *merge, bool *ret_found, struct error *e)
{
	struct error problem = { 0 };
	int r = config_read(path, settings_assign, merge, &problem);

	*ret_found = r != -ENOENT && r != -ENOTDIR;
	if (!*ret_found)
		return 0;
	if (r < 0 && e)
		*e = problem;
	return r;
}

/* The home directory into ret[], "" if there is none to be found. */
static void find_home(const struct settings_input *input, char ret[PATH_MAX])
{
	const char *home = input->home ? input->home : options_environment_value(input->environment, "HOME");
	char buffer[4096];
	struct passwd entry, *found = NULL;

	if (!home || home[0] != '/') {
		home = "";
		if (getpwuid_r(getuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found)
			home = found->pw_dir;
	}
	snprintf(ret, PATH_MAX, "%s", home);
}

static int read_user_config(const struct settings_input *input, struct merge *merge, struct error *e)
{
	static const char *const names[] = { "boundary", "coder_boundary" };
	char home[PATH_MAX];
	bool found = false;
	int r = 0;

	find_home(input, home);
	for (size_t i = 0; i < array_size(names) && !found && home[0] == '/'; i++) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s/.config/%s/config.yaml", home, names[i]) < 0) {
			path = NULL;
			return error_errno(e, ENOMEM, "cannot read the config file");
		}
		r = read_default_config(path, merge, &found, e);
	}
	if (r == -EACCES && e) {
		const struct error why = *e;

		/* As of a program that was started as another user. */
		error_set(e, EACCES, "%s. If HOME is another user's, set it, or name a file by --config", why.text);
	}
	return r;
}

static int read_files(const struct settings_input *input, struct merge *merge, struct error *e)
{
	bool found;
	int r = read_default_config(input->system_config ? input->system_config : SETTINGS_SYSTEM_CONFIG, merge, &found,
				    e);

	if (r < 0)
		return r;
	if (merge->config)
		return config_read(merge->config, settings_assign, merge, e);
	return read_user_config(input, merge, e);
}

static int make_warning(struct merge *merge, struct error *e)
{
	size_t length = 0;
	_cleanup_free_ char *text = NULL;
	FILE *out = NULL;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (!merge->inert[i])
			continue;
		if (!out) {
			out = open_memstream(&text, &length);
			if (!out)
				return error_errno(e, ENOMEM, "cannot list the settings without effect");
			fputs("these settings have no effect in this version: ", out);
		} else {
			fputs(", ", out);
		}
		fprintf(out, "%s (%s)", option_specs[i].key, merge->inert[i]);
	}
	if (out && fclose(out) != 0)
		return error_errno(e, ENOMEM, "cannot list the settings without effect");
	merge->settings.warning = take_ptr(text);
	return 0;
}

static int merge_sources(const struct settings_input *input, struct merge *merge, struct error *e)
{
	int first = input->argc, r;

	r = options_read_environment(input->environment, settings_assign_first, merge, e);
	if (r == 0)
		r = options_read_arguments(input->argc, input->argv, settings_assign_first, merge, &first, e);
	if (r < 0 || merge->settings.help || merge->settings.version)
		return r;
	if (first < input->argc)
		merge->settings.command = input->argv + first;
	r = read_files(input, merge, e);
	if (r == 0)
		r = options_read_environment(input->environment, settings_assign, merge, e);
	if (r == 0)
		r = options_read_arguments(input->argc, input->argv, settings_assign, merge, &first, e);
	if (r == 0)
		r = make_warning(merge, e);
	if (r == 0 && !merge->settings.command && !merge->settings.explain)
		return error_set(e, EBADR, "no command to run");
	return r;
}

int settings_load(const struct settings_input *input, struct settings *ret, struct error *e)
{
	const char *temporary_dir = options_environment_value(input->environment, "TMPDIR");
	struct merge merge = { .settings = { .log_level = LOG_LEVEL_WARN },
			       .temporary_dir = temporary_dir ? temporary_dir : "/tmp" };
	int r = merge_sources(input, &merge, e);

	free(merge.config);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		free(merge.inert[i]);
	if (r < 0)
		settings_clear(&merge.settings);
	else
		*ret = merge.settings;
	return r;
}

static void clear_rules(struct settings_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++) {
		free(rules->items[i].text);
		free(rules->items[i].source);
	}
	free(rules->items);
}

void settings_clear(struct settings *settings)
{
	clear_rules(&settings->allow);
	clear_rules(&settings->deny);
	free(settings->explain);
	free(settings->log_dir);
	free(settings->upstream_ca);
	free(settings->warning);
	*settings = (struct settings){ 0 };
}

static int compile_rules(struct rule_set *set, enum rule_action action, const struct settings_rules *rules,
			 struct error *e)
{
	for (size_t i = 0; i < rules->count; i++) {
		int r = rule_set_add(set, action, rules->items[i].text, rules->items[i].source, e);

		if (r == -ENOMEM)
			return error_errno(e, ENOMEM, "%s", rules->items[i].source);
		if (r < 0)
			return r;
	}
	return 0;
}

int settings_compile(const struct settings *settings, struct rule_set **ret, struct error *e)
{
	struct rule_set *set;
	int r = rule_set_new(&set);

	if (r < 0)
		return error_errno(e, -r, "cannot compile the rules");
	r = compile_rules(set, RULE_ALLOW, &settings->allow, e);
	if (r == 0)
		r = compile_rules(set, RULE_DENY, &settings->deny, e);
	if (r < 0)
		rule_set_free(set);
	else
		*ret = set;
	return r;
}
