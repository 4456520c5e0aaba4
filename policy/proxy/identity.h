/*
 * One identity: everything on a request that names its host must name the same one, so that what the policy judges is
 * what is dialled.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/rules/host.h"
#include "shared/error.h"

struct search_domains {
	char **names; /* canonical; owned by the struct */
	size_t n;
};

/* What a request says about its host. Hosts are canonical (host_normalise()) or NULL where nothing is said; ports are 0
 * then. */
struct identity_claims {
	bool synthetic; /* the original destination is in NAMES_NETWORK */
	const char *
		destination; /* the name that stands for it, NULL if it was never given out; else the literal address */
	uint16_t port;       /* original destination */
	bool tls;
	const char *sni;
	const char *authority; /* of an absolute-form target */
	uint16_t authority_port;
	bool absolute_https; /* the absolute-form target's scheme, if there is an authority */
	const char *host;    /* the Host field */
	uint16_t host_port;
};

/*
 * Finds the one host the claims are about, which is the one to judge, record and dial. *ret_host points to one of the
 * claims' strings. Returns 0, or -EXDEV with *e: which two differ and how.
 *
 * A synthetic name may be HOST "." SEARCH-DOMAIN: resolvers with `ndots` (resolv.conf(5)) ask for that first and get an
 * answer. If HOST is a single label, that is the name it stands for; one with dots was most likely meant as it is. A
 * literal original destination says nothing about a host given by name (the proxy looks the name up itself), but must
 * be equal to a host given as an address.
 */
int identity_judge(const struct identity_claims *claims, const struct search_domains *search, const char **ret_host,
		   struct error *e);

/* Adds a canonical domain. Returns 0 or -ENOMEM. */
int search_domains_add(struct search_domains *search, const char *domain);

/* Frees what it holds. */
void search_domains_clear(struct search_domains *search);
