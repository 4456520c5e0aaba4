/*
 * boundary-launch: runs one command in a network jail. Stages: settings and rules are read and checked before anything
 * is started; session.c sets up; supervise.c watches; everything of the session is removed at the end.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/session.h"
#include "launcher/settings.h"
#include "launcher/stdio.h"
#include "launcher/usage.h"
#include "policy/rules/rules.h"
#include "shared/cleanup.h"
#include "shared/log.h"
#include "shared/process.h"

#define EXIT_DENIED 3 /* of --explain */

static void print_error(const struct error *e)
{
	fprintf(stderr, "boundary-launch: %s\n", e->text);
}

static void free_rules(struct rule_set **rules)
{
	rule_set_free(*rules);
}

static int explain(const struct settings *settings, const struct rule_set *rules)
{
	char report[4096];
	struct error why = { 0 };
	int r = rule_set_explain(rules, settings->explain, report, sizeof(report), &why);

	if (r < 0) {
		print_error(&why);
		return SESSION_EXIT_FAILED;
	}
	puts(report);
	return r > 0 ? 0 : EXIT_DENIED;
}

static int run(const struct settings *settings)
{
	_cleanup_(free_rules) struct rule_set *rules = NULL;
	_cleanup_fd_ int log = -1;
	struct error why = { 0 };
	int code;

	if (settings_compile(settings, &rules, &why) < 0) {
		print_error(&why);
		return SESSION_EXIT_FAILED;
	}
	if (settings->explain)
		return explain(settings, rules);
	if (stdio_check(&why) < 0)
		signal(SIGPIPE, SIG_IGN); /* of a standard error that is such a socket */
	else
		log = settings_open_log(settings, &why);
	if (log < 0) {
		print_error(&why);
		return SESSION_EXIT_FAILED;
	}
	log_open(log, settings->log_level, settings->log_format, "boundary-launch");
	if (settings->warning)
		log_line(LOG_LEVEL_WARN, "%s", settings->warning);
	code = session_run(settings, log, &why);
	if (why.code)
		print_error(&why);
	return code;
}

int main(int argc, char *argv[])
{
	const struct settings_input input = { .argc = argc, .argv = argv, .environment = environ };
	struct settings settings = { 0 };
	struct error why = { 0 };
	int code = 0;
	int r;

	if (process_fill_stdio() < 0)
		return SESSION_EXIT_FAILED;
	r = settings_load(&input, &settings, &why);
	if (r < 0) {
		print_error(&why);
		if (r == -EBADR)
			usage_hint(stderr);
		return SESSION_EXIT_FAILED;
	}
	if (settings.help)
		usage_help(stdout);
	else if (settings.version)
		usage_version(stdout);
	else
		code = run(&settings);
	settings_clear(&settings);
	return code;
}
