/* What root does for the attacks on limits and settings: the helper's configuration, and sessions of other users. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "tests/attack/helper_peer.h"

/* Writes HELPER_CONFIG_PATH in the scene's own /etc, root's and 0644; NULL removes it. */
void conf_set(const char *text);

/* Odd ones: what is there instead of a regular file of root's alone. `text` is in it where it can be. */
enum conf_kind {
	CONF_OF_ATTACKER,
	CONF_OF_GROUP, /* writable by it */
	CONF_OF_ALL,   /* writable by them */
	CONF_SYMLINK,  /* to a file of the attacker's */
	CONF_FIFO,
	CONF_DEVICE,
	CONF_DIRECTORY,
	CONF_UNREADABLE, /* but root's: 0600 */
	CONF_KINDS
};
void conf_set_odd(enum conf_kind kind, const char *text);

/* Has `user` ask for `n` sessions, one after the other, up to the first that is refused, and end them all. */
struct conf_sessions {
	unsigned int n;            /* how many he got */
	struct helper_answer last; /* the answer to the last */
};
struct conf_sessions conf_sessions_of(uid_t user, unsigned int n);

/* Gives lo an address, /32, or takes it away. */
void conf_address(uint32_t address, int there);
