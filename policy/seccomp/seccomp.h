/*
 * The seccomp(2) filters: one for the command, default-allow with what a jail must not have taken away; and a
 * default-deny one made from a list of system calls, for our own processes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/error.h"

struct seccomp_program; /* a compiled BPF program, ready to load */

/*
 * Compiles the command's filter for the machine's architecture and its 32-bit sibling. Refused: socket families
 * other than unix, inet, inet6 and NETLINK_ROUTE; socket types other than stream and datagram on inet; io_uring;
 * namespaces (clone flags, unshare, setns; clone3 gives ENOSYS so that callers fall back to clone); TIOCSTI and
 * TIOCLINUX; mounts, keyrings, bpf, perf, modules, kexec, userfaultfd, open_by_handle_at, raw I/O; 32-bit socketcall;
 * x32. Returns 0 with *ret to be freed by seccomp_program_free(), or -errno with *e.
 */
int seccomp_command_new(struct seccomp_program **ret, struct error *e);

/* In a list of names: socket(2), but only of the families AF_INET and AF_INET6. */
#define SECCOMP_INET_SOCKETS "socket:inet"
/* In a list of names: ioctl(2), but only for a terminal's modes and its foreground process group (ioctl_tty(2)). */
#define SECCOMP_TERMINAL_CONTROL "ioctl:terminal"

/*
 * Compiles a filter that allows exactly the named system calls (names of syscalls(2); those the architecture
 * does not have are skipped). Everything else fails with EPERM, or kills the process if `kill`.
 * In a sanitizer build everything else is logged by the kernel and allowed instead.
 */
int seccomp_allowlist_new(const char *const *names, size_t n_names, bool kill, struct seccomp_program **ret,
			  struct error *e);

/* Loads the program into the calling thread (needs no_new_privs). Async-signal-safe. Returns 0 or -errno. */
int seccomp_program_load(const struct seccomp_program *program);

/* Accepts NULL. */
void seccomp_program_free(struct seccomp_program *program);
