/*
 * Any datagram to the jail's DNS server (libFuzzer): the reply is short and well-formed, repeats the question octet by
 * octet, and an address in it is the one of exactly the name that was asked for.
 */
#include <ctype.h>
#include <string.h>

#include "policy/proxy/dns_answer.h"
#include "shared/addresses.h"
#include "tests/fuzz/fuzz.h"

#define NAMES_KEPT 20000 /* inputs until the names are forgotten, so that the addresses are not used up */

static unsigned u16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* Checks the question against the query and returns its length. The name as text goes to `text`. */
static size_t check_question(const uint8_t *reply, size_t left, const uint8_t *query, size_t query_length,
			     char text[256])
{
	size_t at = 0, used = 0;

	require(left >= 5);
	while (reply[at] != 0) {
		require(reply[at] <= 63 && at + reply[at] + 5u < left);
		if (used > 0)
			text[used++] = '.';
		for (unsigned i = 1; i <= reply[at]; i++)
			text[used++] = (char)tolower(reply[at + i]);
		at += 1u + reply[at];
		require(at < 255);
	}
	text[used] = '\0';
	at += 5;
	require(at <= left && query_length >= 12 + at && memcmp(reply, query + 12, at) == 0);
	return at;
}

static void check_address(const struct names *names, const uint8_t *data, const char *text)
{
	uint32_t address = (uint32_t)u16(data) << 16 | u16(data + 2);
	size_t length = strlen(text);

	if (address == 0x7f000001u) {
		require(length >= 9 && strcmp(text + length - 9, "localhost") == 0);
		require(length == 9 || text[length - 10] == '.');
		return;
	}
	require((address & NAMES_MASK) == NAMES_NETWORK);
	require(names_find(names, address) && strcmp(names_find(names, address), text) == 0);
}

static size_t check_answer(const struct names *names, const uint8_t *record, size_t left, unsigned asked,
			   const char *text)
{
	unsigned type, length;

	require(left >= 12 && u16(record) == 0xc00c && u16(record + 4) == 1);
	type = u16(record + 2);
	length = u16(record + 10);
	require(left >= 12 + length && type == asked);
	if (type == DNS_TYPE_A) {
		require(length == 4);
		check_address(names, record + 12, text);
	} else {
		require((type == DNS_TYPE_AAAA && length == 16) || (type == DNS_TYPE_PTR && length >= 3));
	}
	return 12 + length;
}

static void check_reply(const struct names *names, const uint8_t *reply, size_t length, const uint8_t *query,
			size_t query_length)
{
	unsigned rcode = reply[3] & 0xf;
	char text[256] = "";
	size_t at = 12;

	require(length >= 12 && length <= 512 && query_length >= 12);
	require(u16(reply) == u16(query));
	require((reply[2] & 0x80) && (reply[3] & 0x80) && !(reply[2] & 0x06) && !(reply[3] & 0x60));
	require((reply[2] & 0x79) == (query[2] & 0x79) && (reply[3] & 0x10) == (query[3] & 0x10));
	require(rcode <= 5);
	require(u16(reply + 4) <= 1 && u16(reply + 6) <= u16(reply + 4) && u16(reply + 8) == 0 && u16(reply + 10) <= 1);
	require(u16(reply + 6) == 0 || rcode == 0);
	if (u16(reply + 4))
		at += check_question(reply + at, length - at, query, query_length, text);
	if (u16(reply + 6))
		at += check_answer(names, reply + at, length - at, u16(reply + at - 4), text);
	if (u16(reply + 10)) {
		require(length - at == 11 && reply[at] == 0 && u16(reply + at + 1) == DNS_TYPE_OPT);
		at += 11;
	}
	require(at == length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct names *names;
	static unsigned n_inputs;
	uint8_t reply[DNS_REPLY_MAX];
	size_t length;

	if (n_inputs++ % NAMES_KEPT == 0) {
		uint32_t address;

		names_free(names);
		require(names_new(&names) == 0);
		require(names_assign(names, "first.example", &address) == 0);
	}
	length = dns_answer(names, data, size, reply);
	if (length > 0)
		check_reply(names, reply, length, data, size);
	else
		require(size < 12 || (data[2] & 0x80));
	return 0;
}
