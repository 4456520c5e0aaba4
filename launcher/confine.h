/* The default-deny filter of the launcher and of jail init, for the time when nothing is left to set up. */
#pragma once

#include "policy/seccomp/seccomp.h"
#include "shared/error.h"

/*
 * Compiles the filter for a process that still watches, signals, reaps, logs and removes the session's directory. *ret
 * is freed with seccomp_program_free(). Returns 0, or -errno with *e.
 */
int confine_new(struct seccomp_program **ret, struct error *e);
