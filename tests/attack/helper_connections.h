/* The connections that the kernel tracks in this network namespace (linux/netfilter/nfnetlink_conntrack.h). */
#pragma once

#include <stdint.h>

struct connections {
	unsigned int count;
	uint32_t longest; /* seconds until the last of them is forgotten, if nothing comes any more */
};

/* Looks for those that this IPv4 address began. Needs CAP_NET_ADMIN. Returns 0 or -errno. */
int connections_list(uint32_t address, struct connections *ret);
