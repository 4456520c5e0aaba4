/*
 * What the process may do: CAP_NET_ADMIN (capabilities(7)), permitted until nothing is left to remove, in effect only
 * while a request is executed; and in each stage the system calls it takes (seccomp(2)).
 */
#pragma once

enum privileges { PRIVILEGES_NONE, PRIVILEGES_PERMITTED, PRIVILEGES_EFFECTIVE };
enum stage { STAGE_SET_UP = 1, STAGE_SERVING = 2, STAGE_TEARDOWN = 4 };

/*
 * Returns for good to the real user and group id, and leaves of all capabilities CAP_NET_ADMIN, permitted if it is: the
 * same for a file capability, a set-user-ID root file and root. No new privileges. Returns 0 or -errno.
 */
int privileges_reduce(void);

/* Sets all capability sets; what is left out of the permitted set is gone. Returns 0; -EPERM if it is not permitted. */
int privileges_set(enum privileges privileges);

/* Adds the filter of a stage. What is not in it ends the process; sanitizer builds log it. Returns 0 or -errno. */
int privileges_confine(enum stage stage);
