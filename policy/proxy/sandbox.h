/*
 * What the proxy gives up before it talks to the command: every capability, new privileges, files (Landlock), and all
 * system calls but those it serves with (seccomp).
 */
#pragma once

#include <stdbool.h>

#include "shared/error.h"

/* As many descriptors as the hard limit allows, for thousands of connections. Returns that number. */
unsigned long sandbox_raise_descriptors(void);

/*
 * Confines the process for good. Afterwards it can read below /etc (the resolver looks at hosts there) and open no
 * other file, and exec nothing. Without Landlock in the kernel the files stay as the user's permissions have them:
 * *ret_landlock is false then. Returns 0, or -errno with *e.
 */
int sandbox_enter(bool *ret_landlock, struct error *e);
