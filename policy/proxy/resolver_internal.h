/* The resolver's knobs that only its tests turn. */
#pragma once

#include <ev.h>

#include "policy/proxy/resolver.h"

struct resolver_settings {
	const char *servers; /* "127.0.0.1:5300,…"; NULL: those of resolv.conf */
	const char *lookups; /* as ares_init_options(3): "fb" hosts file first, "b" DNS only; NULL: as the host says */
	int timeout_ms;      /* of the first try; doubled at each round of the servers */
	int tries;
};

/* resolver_new() with other settings. */
int resolver_new_with(struct ev_loop *loop, const struct resolver_settings *settings, struct resolver **ret,
		      struct error *e);

/* Answers held at the moment, and lookups under way. */
size_t resolver_cached(const struct resolver *resolver);
size_t resolver_under_way(const struct resolver *resolver);
