/* The part of jail_network that abuses DNS. */
#pragma once

#include <stddef.h>

/*
 * Asks the jail's name servers and each of `servers` (addresses as text, port 53) for names and types that carry data
 * out or in, by UDP and TCP. Nothing but synthetic addresses (shared/addresses.h) and empty answers may come back.
 */
void attack_dns(const char *const *servers, size_t n);
