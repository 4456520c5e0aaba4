/* Interfaces of the network namespace the process is in, by rtnetlink(7): to be made, changed, removed and listed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Called for each message of a dump. */
typedef void link_visit(const void *message, size_t length, void *context);

/*
 * Sends one request that begins with struct nlmsghdr by a netlink socket and reads the answer: acknowledgement, error
 * or dump. `visit` may be NULL. Returns 0, -errno, or -EINTR if what was dumped changed meanwhile.
 */
int link_ask(int socket, const void *request, link_visit *visit, void *context);

/* Makes a veth pair, both ends in this namespace, one with this name. Returns 0 or -errno. */
int link_make(const char *name);

/* Deletes an interface. Returns 0 or -errno. */
int link_delete(const char *name);

/* Moves an interface to the network namespace of a process. Returns 0 or -errno. */
int link_move(const char *name, int pid);

/* Sets one attribute (IFLA_…) of an interface. Returns 0 or -errno. */
int link_set(const char *name, uint16_t attribute, const void *value, size_t length);

/* Gives an interface an alternative name. Returns 0 or -errno. */
int link_name_too(const char *name, const char *alternative);

/* Sets an interface up or down. Returns 0 or -errno. */
int link_up(const char *name, int up);

/*
 * Writes one line "NAME INDEX up|down ALIAS" for each interface whose name begins with "bnd", in the order of their
 * numbers. Returns 0 or -errno.
 */
int link_list(char *ret, size_t size);
