/*
 * What the process may do: CAP_NET_ADMIN (capabilities(7)), permitted until nothing is left to remove, in effect only
 * while a request is executed; at the end of set-up a handful of system calls.
 */
#pragma once

enum privileges { PRIVILEGES_NONE, PRIVILEGES_PERMITTED, PRIVILEGES_EFFECTIVE };

/*
 * Returns for good to the real user and group id, and leaves of all capabilities CAP_NET_ADMIN, permitted if it is: the
 * same for a file capability, a set-user-ID root file and root. No new privileges. Returns 0 or -errno.
 */
int privileges_reduce(void);

/* Sets all capability sets; what is left out of the permitted set is gone. Returns 0; -EPERM if it is not permitted. */
int privileges_set(enum privileges privileges);

/*
 * Loads the seccomp(2) filter of a helper that serves: what waiting, undoing and exiting take. Anything else ends the
 * process, or is logged in a sanitizer build. Returns 0 or -errno.
 */
int privileges_confine(void);
