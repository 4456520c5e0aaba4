/* Jails whose owner does with his end of the cable what he likes. */
#pragma once

#include "tests/attack/helper_peer.h"

/* Makes one as boundary-launch does, of a user and a network namespace. Exits with a message if that is impossible. */
struct helper_jail helper_jail_plain(void);

/* What it can be told to do in its namespace. */
enum helper_jail_act {
	JAIL_EMPTY,  /* remove every interface but lo, and end what CHURN and MOVE started */
	JAIL_CUT,    /* delete eth0 */
	JAIL_RENAME, /* call eth0 "taken" */
	JAIL_MOVE,   /* move eth0 to a network namespace within */
	JAIL_OCCUPY, /* make an eth0 of its own */
	JAIL_CHURN,  /* make an eth0 of its own and delete the one there is, over and over, until EMPTY */
	JAIL_DOWN,   /* the state and other attributes of eth0 */
	JAIL_UP,
	JAIL_MTU,
	JAIL_ADDRESS,
	JAIL_ALIAS,
	JAIL_ALTERNATIVE_NAME,
	JAIL_GROUP,
	JAIL_QUEUE,
	JAIL_ACTS
};

/* Has it done. Returns 0 or -errno: -ENODEV if there is no eth0. */
int helper_jail_do(const struct helper_jail *jail, enum helper_jail_act act);

/* The same in two steps, for many of them, or for not waiting. */
void helper_jail_tell(const struct helper_jail *jail, enum helper_jail_act act);
int helper_jail_told(const struct helper_jail *jail);
