/* The answers: see dns_answer.h. */
#include "policy/proxy/dns_answer.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "policy/rules/host.h"

static bool ends_with(const char *host, const char *suffix)
{
	size_t length = strlen(host), tail = strlen(suffix);

	return length >= tail && strcmp(host + length - tail, suffix) == 0;
}

static void set_address(struct dns_record *record, uint16_t type, const void *address, uint16_t length)
{
	record->type = type;
	record->ttl = DNS_ANSWER_TTL;
	record->length = length;
	memcpy(record->data, address, length);
}

/* An octet in decimal without leading zeros, then a dot. */
static bool take_octet(const char **text, uint32_t *ret)
{
	const char *at = *text;
	uint32_t value = 0;

	if (at[0] == '0' && at[1] != '.')
		return false;
	for (; *at >= '0' && *at <= '9'; at++) {
		value = value * 10 + (uint32_t)(*at - '0');
		if (value > 255)
			return false;
	}
	if (at == *text || *at != '.')
		return false;
	*text = at + 1;
	*ret = value;
	return true;
}

/* "D.C.B.A.in-addr.arpa" (RFC 1035 section 3.5). */
static bool parse_reverse(const char *host, uint32_t *ret_address)
{
	uint32_t octet[4];

	for (size_t i = 0; i < 4; i++)
		if (!take_octet(&host, &octet[i]))
			return false;
	*ret_address = octet[3] << 24 | octet[2] << 16 | octet[1] << 8 | octet[0];
	return strcmp(host, "in-addr.arpa") == 0;
}

static enum dns_rcode answer_reverse(const struct names *names, const char *host, struct dns_record *ret)
{
	const char *name = NULL;
	uint32_t address;

	if (parse_reverse(host, &address))
		name = names_find(names, address);
	if (!name)
		return DNS_NXDOMAIN;
	ret->type = DNS_TYPE_PTR;
	ret->ttl = DNS_ANSWER_TTL;
	ret->length = (uint16_t)dns_name_write(name, ret->data);
	return ret->length > 0 ? DNS_NOERROR : DNS_NXDOMAIN;
}

static enum dns_rcode answer_localhost(uint16_t type, struct dns_record *ret)
{
	static const uint8_t loopback_v4[4] = { 127, 0, 0, 1 };
	static const uint8_t loopback_v6[16] = { [15] = 1 };

	if (type == DNS_TYPE_A)
		set_address(ret, type, loopback_v4, sizeof(loopback_v4));
	else if (type == DNS_TYPE_AAAA)
		set_address(ret, type, loopback_v6, sizeof(loopback_v6));
	return DNS_NOERROR;
}

static enum dns_rcode answer_synthetic(struct names *names, const char *host, struct dns_record *ret)
{
	uint32_t address;

	if (names_assign(names, host, &address) < 0)
		return DNS_SERVFAIL;
	address = htonl(address);
	set_address(ret, DNS_TYPE_A, &address, sizeof(address));
	return DNS_NOERROR;
}

/* Leaves ret->length 0 where there is nothing to tell. */
static enum dns_rcode decide(struct names *names, const struct dns_query *query, struct dns_record *ret)
{
	char host[HOST_NAME_MAX_LENGTH + 1];

	if (query->class != DNS_CLASS_IN)
		return DNS_REFUSED;
	if (!query->plain)
		return DNS_NXDOMAIN;
	/* The root exists: NXDOMAIN would mean that no name does (RFC 8020). */
	if (query->name[0] == '\0')
		return DNS_NOERROR;
	/* Normalising may fold case here and nothing else: the name asked for is the name judged. */
	if (host_normalise(query->name, strlen(query->name), host, NULL) < 0 || host_is_literal(host) ||
	    strcasecmp(host, query->name) != 0)
		return DNS_NXDOMAIN;
	if (query->type == DNS_TYPE_PTR && (ends_with(host, ".in-addr.arpa") || ends_with(host, ".ip6.arpa")))
		return answer_reverse(names, host, ret);
	if (strcmp(host, "localhost") == 0 || ends_with(host, ".localhost"))
		return answer_localhost(query->type, ret);
	if (query->type == DNS_TYPE_A)
		return answer_synthetic(names, host, ret);
	return DNS_NOERROR;
}

size_t dns_answer(struct names *names, const uint8_t *packet, size_t length, uint8_t ret[DNS_REPLY_MAX])
{
	struct dns_record record = { 0 };
	struct dns_query query;
	int rcode;

	rcode = dns_query_parse(packet, length, &query);
	if (rcode < 0)
		return 0;
	if (rcode == DNS_NOERROR)
		rcode = (int)decide(names, &query, &record);
	return dns_reply_write(&query, (enum dns_rcode)rcode, record.length > 0 ? &record : NULL, ret);
}
