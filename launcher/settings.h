/*
 * What this run is to do: flags over environment over user file over system file; the rules of all four together,
 * in the order system file, user file, environment, flags.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/rules/rules.h"
#include "shared/error.h"
#include "shared/log.h"

#define SETTINGS_SYSTEM_CONFIG "/etc/boundary/config.yaml"

struct settings_rule {
	char *text;
	char *source; /* "--allow 2", "BOUNDARY_ALLOW", "FILE:LINE:COLUMN" */
};

struct settings_rules {
	struct settings_rule *items;
	size_t count;
	size_t capacity;
};

/* Owns all its pointers but `command`: settings_clear(). */
struct settings {
	bool help;    /* --help: nothing else was read */
	bool version; /* --version: nothing else was read */
	struct settings_rules allow;
	struct settings_rules deny;
	char *explain; /* --explain: the request, else NULL */
	enum log_level log_level;
	enum log_format log_format;
	char *log_dir;       /* NULL: standard error */
	uint16_t proxy_port; /* of the proxy's listener on the cable; 0: PROXY_TCP_PORT, or any */
	bool no_user_namespace;
	bool require;         /* what is refused is an error, not a warning */
	char *upstream_ca;    /* PEM file to trust besides the system's, else NULL */
	char *warning;        /* one sentence naming the settings without effect in this version, else NULL */
	char *const *command; /* NULL-terminated, points into argv; NULL when none was given (--help, --version,
				 --explain) */
};

/* Where to look. */
struct settings_input {
	int argc;
	char *const *argv;
	char *const *environment;  /* environ(7) */
	const char *system_config; /* NULL: SETTINGS_SYSTEM_CONFIG */
	const char *home;          /* NULL: HOME of `environment`, else of passwd(5) */
};

/*
 * Reads flags, environment and files into *ret, which is written only on success. The rules' texts are not parsed yet.
 * Returns 0; -EBADR with *e when the command line is not understood or names no command (say usage_hint() as well);
 * -EINVAL and other -errno with *e for a value, a key or a file. Not reentrant (getopt's state).
 */
int settings_load(const struct settings_input *input, struct settings *ret, struct error *e);

/* Frees what *settings owns and zeroes it. */
void settings_clear(struct settings *settings);

/* Parses all rules into a new set. Returns 0; -EINVAL or -ENOMEM with *e, which begins with the rule's source. */
int settings_compile(const struct settings *settings, struct rule_set **ret, struct error *e);

/*
 * Opens the log: a new file boundary-YYYY-MM-DD_HH-MM-SS-PID.log (local time, mode 0600) in log_dir, which is made with
 * its parents (mode 0700) if it is missing; without log_dir a duplicate of standard error. Returns a close-on-exec
 * descriptor, the caller's, or -errno with *e.
 */
int settings_open_log(const struct settings *settings, struct error *e);
