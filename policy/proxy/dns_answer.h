/*
 * What the jail's DNS server says to a query: synthetic addresses for A, empty answers for the rest. Asks nobody.
 */
#pragma once

#include "policy/proxy/dns_codec.h"
#include "policy/proxy/names.h"

#define DNS_ANSWER_TTL \
	60 /* seconds. A name keeps its address while the session lasts; a short TTL helps what outlives it */

/*
 * Answers the message packet[0..length) into ret[]. A for a host name gets the address that `names` assigns (SERVFAIL
 * when they are used up), "localhost" and what is below it 127.0.0.1 and ::1 (RFC 6761 section 6.3), a PTR below
 * in-addr.arpa or ip6.arpa the name assigned to the address (NXDOMAIN if none), any other type an empty answer;
 * NXDOMAIN for a name that is no host name or is an address literal, REFUSED for a class other than IN. Returns the
 * reply's length, at most 512; 0 if there must be none.
 */
size_t dns_answer(struct names *names, const uint8_t *packet, size_t length, uint8_t ret[DNS_REPLY_MAX]);
