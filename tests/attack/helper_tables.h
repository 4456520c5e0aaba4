/* The tables of nf_tables that are Boundary's, as the kernel lists them (linux/netfilter/nf_tables.h). */
#pragma once

#include <stddef.h>

/*
 * Writes one line "FAMILY NAME HANDLE" for each table of this network namespace whose name begins with "boundary_",
 * then one with the number of their chains and rules and a digest of all of it. Needs CAP_NET_ADMIN. Returns 0 or
 * -errno.
 */
int tables_list(char *ret, size_t size);
