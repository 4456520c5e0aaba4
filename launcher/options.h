/*
 * The table of settings: one row gives a setting's flag, environment variable, key in the config file, kind and help
 * text. Flags, environment and files (config.h) are three readers that hand each value to the same sink.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/error.h"

enum option_id {
	OPTION_CONFIG,
	OPTION_ALLOW,
	OPTION_DENY,
	OPTION_EXPLAIN,
	OPTION_LOG_LEVEL,
	OPTION_LOG_DIR,
	OPTION_LOG_FORMAT,
	OPTION_JAIL_TYPE,
	OPTION_NO_USER_NAMESPACE,
	OPTION_REQUIRE,
	OPTION_PROXY_PORT,
	OPTION_UPSTREAM_CA,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_USE_REAL_DNS,
	OPTION_DISABLE_AUDIT_LOGS,
	OPTION_LOG_PROXY_SOCKET_PATH,
	OPTION_SESSION_CORRELATION,
	OPTION_SESSION_ID_INJECT_TARGET,
	OPTION_PPROF,
	OPTION_PPROF_PORT,
	OPTION_COUNT
};

enum option_kind {
	OPTION_ACTION,  /* a flag without a value */
	OPTION_BOOLEAN, /* "--flag" means true */
	OPTION_VALUE,   /* one value, the last source wins */
	OPTION_LIST     /* adds up over all sources */
};

struct option_spec {
	enum option_id id;
	enum option_kind kind;
	const char *flag;        /* without the dashes */
	char letter;             /* 0: none */
	const char *environment; /* NULL: none */
	const char *key;         /* in the config file; NULL: none */
	const char *argument;    /* its name in the help text; NULL for actions and booleans */
	const char *help;        /* NULL: known for compatibility only, without effect in this version */
};

/* Indexed by enum option_id. */
extern const struct option_spec option_specs[OPTION_COUNT];

/*
 * Takes one value. `value` is "true" for a boolean flag alone, NULL for an action; `source` names where it stands
 * ("--allow 2", "BOUNDARY_ALLOW", "FILE:LINE:COLUMN"). Both are borrowed for the call. Returns 0, or -errno with *e
 * filled, which ends the reading.
 */
typedef int (*option_sink)(void *context, const struct option_spec *spec, const char *value, const char *source,
			   struct error *e);

/* The row whose config key is key[0..length), or NULL. */
const struct option_spec *option_by_key(const char *key, size_t length);

/* The config key (or flag, if `flags`) that `word` may be a slip of, or NULL. `word` need not end in NUL. */
const char *option_suggest(const char *word, size_t length, bool flags);

/*
 * Reads the flags of argv[1..] up to the first word that is none, or "--" (getopt_long(3); abbreviated flags are
 * refused). *ret_first is the index of the command in argv. Returns 0; -EBADR with *e for an unknown flag, or one
 * with a value too many or too few; what the sink returned. Not reentrant (getopt's state).
 */
int options_read_arguments(int argc, char *const argv[], option_sink sink, void *context, int *ret_first,
			   struct error *e);

/* Reads the variables of `environment` (NULL-terminated, environ(7)); empty ones count as unset. Returns 0 or what the
 * sink returned. */
int options_read_environment(char *const environment[], option_sink sink, void *context, struct error *e);

/* The value of variable `name` in `environment` if it is there and not empty, else NULL. Borrowed. */
const char *options_environment_value(char *const environment[], const char *name);
