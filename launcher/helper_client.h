/* The launcher's side of shared/helper_protocol.h: stubs for the helper's requests, and sentences for its failures. */
#pragma once

#include <stdint.h>

#include "launcher/service.h"
#include "shared/error.h"
#include "shared/helper_protocol.h"

/*
 * Asks for a cable into the network namespace `netns` (a descriptor, stays the caller's): the helper's request_attach.
 * `program` is the helper's path, for the advice in messages. Returns 0, or -errno with *e.
 */
int helper_client_attach(const struct service *helper, const char *program, int netns, struct helper_attached *ret,
			 struct error *e);

/* Asks for the redirect to the proxy's ports: the helper's request_redirect. Returns 0, or -errno with *e. */
int helper_client_redirect(const struct service *helper, const char *program, uint16_t tcp_port, uint16_t dns_port,
			   struct error *e);

/*
 * Ends the session of a jail that is gone: nothing passes the cable any more and the helper's rules are removed; the
 * interface goes with the jail's network namespace, which the kernel takes down on its own. Waits at most the
 * protocol's time limit. Returns 0 or -errno.
 */
int helper_client_detach(const struct service *helper);
