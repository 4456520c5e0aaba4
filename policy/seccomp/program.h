/* Inside policy/seccomp only: the compiled program, and how libseccomp's filters become one. */
#pragma once

#include <linux/filter.h>
#include <seccomp.h>

#include "policy/seccomp/seccomp.h"
#include "shared/error.h"

struct seccomp_program {
	struct sock_fprog bpf; /* filter points behind this struct, into the same allocation */
	struct sock_filter instructions[];
};

/* Releases the filter at *filter, if any: for _cleanup_(). */
void seccomp_filter_release(scmp_filter_ctx *filter);

/*
 * Compiles `filter` (stays the caller's) into *ret. Returns 0, -errno of memfd_create(2), read(2) or
 * seccomp_export_bpf(3), or -ENOMEM, with *e.
 */
int seccomp_program_from_filter(scmp_filter_ctx filter, struct seccomp_program **ret, struct error *e);
