/*
 * DNS messages (RFC 1035 section 4, EDNS: RFC 6891) as far as a server needs them that answers from what it knows: one
 * question in, at most one record out. No allocation, no input or output; see dns_answer.h for what is answered.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_TEXT_MAX 253 /* octets of a name of 255 wire octets, as text without the final dot */
#define DNS_NAME_WIRE_MAX 255
#define DNS_REPLY_MAX 576     /* header, the longest question, the longest record here, OPT */
#define DNS_EDNS_PAYLOAD 1232 /* what we say we take over UDP */

enum dns_type { DNS_TYPE_A = 1, DNS_TYPE_PTR = 12, DNS_TYPE_AAAA = 28, DNS_TYPE_OPT = 41 };
enum dns_class { DNS_CLASS_IN = 1 };

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16
};

struct dns_query {
	uint16_t id;
	uint16_t flags; /* as sent */
	const uint8_t *
		question; /* name, type and class as sent, inside the packet; NULL when the packet was not understood */
	size_t question_length;
	uint16_t type;
	uint16_t class;
	bool plain; /* every label is of letters, digits, '-' and '_' only: `name` means what the wire says */
	char name[DNS_NAME_TEXT_MAX +
		  1]; /* labels joined by dots, case as sent, no final dot; "" for the root; only if plain */
	bool edns;
	bool dnssec_ok; /* the DO bit (RFC 3225), to be copied */
};

struct dns_record {
	uint16_t type;
	uint32_t ttl; /* seconds */
	uint16_t length;
	uint8_t data[DNS_NAME_WIRE_MAX];
};

/*
 * Reads a query: QR = 0, opcode QUERY, exactly one question without compression, nothing in the answer and authority
 * sections, well-formed additional records with at most one OPT, no octet after them.
 * Returns DNS_NOERROR, or the rcode (FORMERR, NOTIMP, BADVERS) to reply with; -EBADMSG for what must not be answered at
 * all (shorter than a header, or itself a response). *ret borrows from `packet`.
 */
int dns_query_parse(const uint8_t *packet, size_t length, struct dns_query *ret);

/*
 * Writes the reply: ID, opcode, RD, CD (RFC 4035 section 3.2.2) and question as sent, QR and RA set, AA never; an OPT
 * record if the query had one. `answer` (NULL: none) is for the name in the question. Returns the length, at most
 * DNS_REPLY_MAX.
 */
size_t dns_reply_write(const struct dns_query *query, enum dns_rcode rcode, const struct dns_record *answer,
		       uint8_t ret[DNS_REPLY_MAX]);

/*
 * Writes a host name ("a.example", no final dot) in wire form to ret[]. Returns its length; 0 for an empty label, one
 * over 63 octets or a name that is too long.
 */
size_t dns_name_write(const char *host, uint8_t ret[DNS_NAME_WIRE_MAX]);
