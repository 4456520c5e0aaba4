/* The part of jail_state that attacks other processes. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * Tries to signal, trace and read every process in sight but this one, and the `n` given ones in particular: pids of
 * the launcher, the proxy and the helper as they are called outside. Call before any child is started.
 */
void attack_processes(const pid_t *given, size_t n);
