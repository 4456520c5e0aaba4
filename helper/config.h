/* The administrator's settings: HELPER_CONFIG_PATH, lines of `key = value`; see boundary-helper(8). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/addresses.h"
#include "shared/helper_protocol.h"

struct config {
	uint32_t pool, indexes;      /* first address, host byte order; number of cables it has addresses for */
	uint32_t per_user, in_total; /* sessions-per-uid, sessions-total */
	bool restricted;             /* to members of: */
	gid_t group;
	bool ignored; /* the file is not root's alone, and defaults are in force */
};

/* Reads `path`; without it the defaults hold. Returns 0, or -errno with failed->failure and the bad line in detail. */
int config_read(const char *path, struct config *ret, struct helper_failed *failed);

/* May the caller, by his real ids and supplementary groups, have sessions at all? */
bool config_permits(const struct config *config, uid_t user);
