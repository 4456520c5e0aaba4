/* DNS messages: see dns_codec.h. The reader moves a cursor that knows its end; nothing else touches the packet. */
#include "policy/proxy/dns_codec.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define HEADER_LENGTH 12
#define LABEL_MAX 63

#define FLAG_QR 0x8000u
#define FLAGS_OPCODE 0x7800u
#define FLAG_RD 0x0100u
#define FLAG_RA 0x0080u
#define FLAG_CD 0x0010u
#define OPT_FLAG_DO 0x8000u

struct cursor {
	const uint8_t *at;
	size_t left;
};

static bool take(struct cursor *cursor, size_t length, const uint8_t **ret)
{
	if (cursor->left < length)
		return false;
	*ret = cursor->at;
	cursor->at += length;
	cursor->left -= length;
	return true;
}

static bool take_u8(struct cursor *cursor, uint8_t *ret)
{
	const uint8_t *at;

	if (!take(cursor, 1, &at))
		return false;
	*ret = at[0];
	return true;
}

static bool take_u16(struct cursor *cursor, uint16_t *ret)
{
	const uint8_t *at;

	if (!take(cursor, 2, &at))
		return false;
	*ret = (uint16_t)(at[0] << 8 | at[1]);
	return true;
}

/* A byte that, inside a label, can mean nothing but itself in a host's text form. */
static bool is_plain(uint8_t c)
{
	return c < 0x80 && (isalnum(c) || c == '-' || c == '_');
}

/* The question's name (RFC 1035 section 3.1): no pointers, there is nothing before it to point to. */
static bool take_question_name(struct cursor *cursor, struct dns_query *ret)
{
	size_t wire = 1, text = 0;
	const uint8_t *label;
	uint8_t length;

	ret->plain = true;
	for (;;) {
		if (!take_u8(cursor, &length) || length > LABEL_MAX)
			return false;
		if (length == 0)
			break;
		wire += 1u + length;
		if (wire > DNS_NAME_WIRE_MAX || !take(cursor, length, &label))
			return false;
		if (text > 0)
			ret->name[text++] = '.';
		memcpy(ret->name + text, label, length);
		text += length;
		for (size_t i = 0; i < length; i++)
			ret->plain = ret->plain && is_plain(label[i]);
	}
	ret->name[ret->plain ? text : 0] = '\0';
	return true;
}

/* Steps over a name that may end in a pointer; where that points to does not matter. */
static bool skip_name(struct cursor *cursor, bool *ret_root)
{
	size_t wire = 1;
	const uint8_t *label;
	uint8_t length;

	for (;;) {
		if (!take_u8(cursor, &length))
			return false;
		*ret_root = length == 0 && wire == 1;
		if (length == 0)
			return true;
		if ((length & 0xc0) == 0xc0)
			return take(cursor, 1, &label);
		wire += 1u + length;
		if (length > LABEL_MAX || wire > DNS_NAME_WIRE_MAX || !take(cursor, length, &label))
			return false;
	}
}

/* One additional record. Only OPT (RFC 6891 section 6.1) means anything to us. */
static int take_additional(struct cursor *cursor, struct dns_query *ret, uint8_t *version)
{
	uint16_t type, class, ttl_high, ttl_low, length;
	const uint8_t *data;
	bool root;

	if (!skip_name(cursor, &root) || !take_u16(cursor, &type) || !take_u16(cursor, &class) ||
	    !take_u16(cursor, &ttl_high) || !take_u16(cursor, &ttl_low) || !take_u16(cursor, &length) ||
	    !take(cursor, length, &data))
		return DNS_FORMERR;
	if (type != DNS_TYPE_OPT)
		return DNS_NOERROR;
	if (!root || ret->edns)
		return DNS_FORMERR;
	ret->edns = true;
	ret->dnssec_ok = (ttl_low & OPT_FLAG_DO) != 0;
	*version = ttl_high & 0xff;
	return DNS_NOERROR;
}

static int parse_sections(struct cursor *cursor, const uint16_t counts[4], struct dns_query *ret)
{
	const uint8_t *start = cursor->at;
	uint8_t version = 0;

	if (counts[0] != 1 || counts[1] != 0 || counts[2] != 0)
		return DNS_FORMERR;
	if (!take_question_name(cursor, ret) || !take_u16(cursor, &ret->type) || !take_u16(cursor, &ret->class))
		return DNS_FORMERR;
	ret->question_length = (size_t)(cursor->at - start);
	for (unsigned i = 0; i < counts[3]; i++)
		if (take_additional(cursor, ret, &version) != DNS_NOERROR)
			return DNS_FORMERR;
	if (cursor->left > 0)
		return DNS_FORMERR;
	ret->question = start;
	return version > 0 ? DNS_BADVERS : DNS_NOERROR;
}

int dns_query_parse(const uint8_t *packet, size_t length, struct dns_query *ret)
{
	struct cursor cursor = { packet, length };
	uint16_t counts[4];
	int rcode;

	memset(ret, 0, sizeof(*ret));
	if (!take_u16(&cursor, &ret->id) || !take_u16(&cursor, &ret->flags))
		return -EBADMSG;
	for (size_t i = 0; i < 4; i++)
		if (!take_u16(&cursor, &counts[i]))
			return -EBADMSG;
	if (ret->flags & FLAG_QR)
		return -EBADMSG;
	if (ret->flags & FLAGS_OPCODE)
		return DNS_NOTIMP;
	rcode = parse_sections(&cursor, counts, ret);
	if (rcode == DNS_FORMERR)
		ret->edns = false;
	return rcode;
}

static uint8_t *put_u16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return at + 2;
}

/* The owner is a pointer (RFC 1035 section 4.1.4) to the question's name. */
static uint8_t *put_answer(uint8_t *at, const struct dns_record *answer)
{
	at = put_u16(at, 0xc000 | HEADER_LENGTH);
	at = put_u16(at, answer->type);
	at = put_u16(at, DNS_CLASS_IN);
	at = put_u16(at, (uint16_t)(answer->ttl >> 16));
	at = put_u16(at, (uint16_t)answer->ttl);
	at = put_u16(at, answer->length);
	memcpy(at, answer->data, answer->length);
	return at + answer->length;
}

/* The upper eight bits of the rcode live here (RFC 6891 section 6.1.3). */
static uint8_t *put_opt(uint8_t *at, const struct dns_query *query, enum dns_rcode rcode)
{
	*at++ = 0;
	at = put_u16(at, DNS_TYPE_OPT);
	at = put_u16(at, DNS_EDNS_PAYLOAD);
	at = put_u16(at, (uint16_t)(rcode >> 4 << 8));
	at = put_u16(at, query->dnssec_ok ? OPT_FLAG_DO : 0);
	return put_u16(at, 0);
}

size_t dns_reply_write(const struct dns_query *query, enum dns_rcode rcode, const struct dns_record *answer,
		       uint8_t ret[DNS_REPLY_MAX])
{
	uint16_t copied = query->flags & (FLAGS_OPCODE | FLAG_RD | FLAG_CD);
	uint8_t *at = ret;

	if (!query->question)
		answer = NULL;
	at = put_u16(at, query->id);
	at = put_u16(at, (uint16_t)(FLAG_QR | FLAG_RA | copied | (rcode & 0xf)));
	at = put_u16(at, query->question ? 1 : 0);
	at = put_u16(at, answer ? 1 : 0);
	at = put_u16(at, 0);
	at = put_u16(at, query->edns ? 1 : 0);
	if (query->question) {
		memcpy(at, query->question, query->question_length);
		at += query->question_length;
	}
	if (answer)
		at = put_answer(at, answer);
	if (query->edns)
		at = put_opt(at, query, rcode);
	return (size_t)(at - ret);
}

size_t dns_name_write(const char *host, uint8_t ret[DNS_NAME_WIRE_MAX])
{
	uint8_t *at = ret;

	for (;;) {
		size_t length = strcspn(host, ".");

		if (length == 0 || length > LABEL_MAX || (size_t)(at - ret) + length + 2 > DNS_NAME_WIRE_MAX)
			return 0;
		*at++ = (uint8_t)length;
		memcpy(at, host, length);
		at += length;
		host += length;
		if (*host++ == '\0')
			break;
	}
	*at++ = 0;
	return (size_t)(at - ret);
}
