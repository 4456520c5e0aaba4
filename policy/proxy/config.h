/* The launcher's PROXY_CONFIGURE message, taken apart (shared/proxy_protocol.h). */
#pragma once

#include "policy/proxy/session.h"
#include "shared/log.h"
#include "shared/wire.h"

struct config {
	int log_fd;
	int system_ca; /* -1: none */
	int extra_ca;
	enum log_level log_level;
	enum log_format log_format;
};

/*
 * Takes the descriptors out of `message` and adds the rules and search domains of the config memfd to `session`.
 * Returns 0; -EPROTO or another -errno with *e, and *ret owning nothing.
 */
int config_read(struct wire_message *message, struct session *session, struct config *ret, struct error *e);
