/*
 * Standard input, output and error are the only descriptors the command inherits. A socket stays in the network
 * namespace it was made in, and so would lead out of the jail.
 */
#pragma once

#include "shared/error.h"

/*
 * Checks what descriptors 0 to 2 are. Refused are: sockets, but for those of AF_UNIX that are connected and cannot be
 * connected to anything else; devices that carry packets (tun(4), ppp, vhost); and objects without a file, such as an
 * io_uring(7), that can make sockets. Returns 0, or -EPERM with *e, which says what to do.
 */
int stdio_check(struct error *e);
