/* DNS messages: what is read, what is refused, and what is answered to a query (dns_codec.c, dns_answer.c). */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/proxy/dns_answer.h"
#include "tests/unit/dns_packet.h"

enum { A = 1, NS = 2, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33, SVCB = 64, HTTPS = 65, ANY = 255 };

static struct names *names;
static struct packet query, reply;

static void setup(void)
{
	ck_assert_int_eq(names_new(&names), 0);
}

static void teardown(void)
{
	names_free(names);
}

/* Answers `query` from a block of exactly its size, so that a sanitizer sees every read past its end. */
static void ask(void)
{
	uint8_t *exact = malloc(query.length + (query.length == 0));

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, query.bytes, query.length);
	memset(reply.bytes, 0xee, sizeof(reply.bytes));
	reply.length = dns_answer(names, exact, query.length, reply.bytes);
	ck_assert_uint_le(reply.length, 512);
	free(exact);
}

static unsigned rcode(void)
{
	ck_assert_uint_ge(reply.length, 12);
	return reply.bytes[3] & 0xf;
}

static unsigned n_answers(void)
{
	return packet_get_u16(reply.bytes, 6);
}

static void ask_name(const char *name, unsigned type)
{
	packet_query(&query, 0x1234, name, type);
	ask();
}

/* The record begins after header and question: pointer, type, class, TTL, length, data. */
static const uint8_t *answer_data(unsigned type, size_t length)
{
	const uint8_t *record = reply.bytes + query.length;

	ck_assert_uint_eq(n_answers(), 1);
	ck_assert_uint_ge(reply.length, query.length + 12 + length);
	ck_assert_uint_eq(packet_get_u16(record, 0), 0xc00c);
	ck_assert_uint_eq(packet_get_u16(record, 2), type);
	ck_assert_uint_eq(packet_get_u16(record, 4), 1);
	ck_assert_uint_eq(packet_get_u16(record, 6), 0);
	ck_assert_uint_eq(packet_get_u16(record, 8), 60);
	ck_assert_uint_eq(packet_get_u16(record, 10), length);
	return record + 12;
}

static void assert_address(const char *name, unsigned a, unsigned b, unsigned c, unsigned d)
{
	const uint8_t expected[4] = { (uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d };

	ask_name(name, A);
	ck_assert_uint_eq(rcode(), 0);
	ck_assert_mem_eq(answer_data(A, 4), expected, 4);
}

START_TEST(an_address_whole)
{
	static const uint8_t expected[] = {
		0x12, 0x34, 0x81, 0x80, 0,  1, 0, 1, 0, 0, 0, 0, 1,  'a', 2, 'B', 'c', 0, 0,
		1,    0,    1,    0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0,   4, 198, 19,  0, 1
	};

	ask_name("a.Bc", A);
	ck_assert_uint_eq(reply.length, sizeof(expected));
	ck_assert_mem_eq(reply.bytes, expected, sizeof(expected));
}
END_TEST

START_TEST(case_does_not_matter_and_is_echoed)
{
	assert_address("api.example", 198, 19, 0, 1);
	assert_address("ApI.eXaMpLe", 198, 19, 0, 1);
	ck_assert_mem_eq(reply.bytes + 12, "\3ApI\7eXaMpLe", 12);
	assert_address("other.example", 198, 19, 0, 2);
	assert_address("_srv.under_score.example", 198, 19, 0, 3);
	ck_assert_str_eq(names_find(names, 0xc6130001u), "api.example");
}
END_TEST

START_TEST(flags_are_ours)
{
	/* RD clear and CD set come back; QR and RA set; AA, TC, AD, Z and the rcode of the query do not. */
	packet_query(&query, 0xffff, "a.example", A);
	query.bytes[2] = 0x06;
	query.bytes[3] = 0x7f;
	ask();
	ck_assert_uint_eq(packet_get_u16(reply.bytes, 0), 0xffff);
	ck_assert_uint_eq(packet_get_u16(reply.bytes, 2), 0x8090);
}
END_TEST

START_TEST(other_types_are_empty)
{
	static const unsigned types[] = { NS, MX, TXT, AAAA, SRV, SVCB, HTTPS, 251, 252, ANY, PTR, 0, 65535 };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		ask_name("a.example", types[i]);
		ck_assert_uint_eq(rcode(), 0);
		ck_assert_uint_eq(n_answers(), 0);
		ck_assert_uint_eq(reply.length, query.length);
	}
	/* None of them took an address. */
	ck_assert_ptr_null(names_find(names, 0xc6130001u));
}
END_TEST

START_TEST(localhost_is_here)
{
	static const uint8_t v6[16] = { [15] = 1 };

	assert_address("localhost", 127, 0, 0, 1);
	assert_address("x.LocalHost", 127, 0, 0, 1);
	ask_name("localhost", AAAA);
	ck_assert_mem_eq(answer_data(AAAA, 16), v6, 16);
	ask_name("a.b.localhost", AAAA);
	ck_assert_mem_eq(answer_data(AAAA, 16), v6, 16);
	ask_name("localhost", TXT);
	ck_assert_uint_eq(rcode(), 0);
	ck_assert_uint_eq(n_answers(), 0);
	assert_address("notlocalhost", 198, 19, 0, 1);
	assert_address("localhost.example", 198, 19, 0, 2);
}
END_TEST

START_TEST(no_host_names)
{
	static const char *const bad[] = { "10.0.0.1", "127.0.0.1",   "198.19.0.1",  "1",           "127.1",
					   "0x7f.1",   "a b.example", "a/b.example", "[::1]",       "::1",
					   "a@b",      "a:80",        "*.example",   "a%00.example" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ask_name(bad[i], A);
		ck_assert_msg(rcode() == 3, "%s", bad[i]);
		ck_assert_uint_eq(n_answers(), 0);
		ask_name(bad[i], TXT);
		ck_assert_msg(rcode() == 3, "%s", bad[i]);
	}
	ck_assert_ptr_null(names_find(names, 0xc6130001u));
}
END_TEST

/* Bytes that would make another name of the text form. */
START_TEST(labels_with_odd_bytes)
{
	static const struct {
		const char *label;
		size_t length;
	} bad[] = { { "a.b", 3 }, { "a\0b", 3 }, { "\0", 1 },  { "caf\303\251", 5 }, { "\377", 1 },        { ".", 1 },
		    { "a.", 2 },  { "\\", 1 },   { "a\n", 2 }, { " ", 1 },           { "\343\200\202", 3 } };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		packet_begin(&query, 1, 0x0100, (const unsigned[4]){ 1, 0, 0, 0 });
		packet_label(&query, bad[i].label, bad[i].length);
		packet_name(&query, "example");
		packet_u16(&query, A);
		packet_u16(&query, 1);
		ask();
		ck_assert_uint_eq(rcode(), 3);
		ck_assert_mem_eq(reply.bytes + 12, query.bytes + 12, query.length - 12);
	}
	ck_assert_ptr_null(names_find(names, 0xc6130001u));
}
END_TEST

START_TEST(the_root_exists)
{
	ask_name("", NS);
	ck_assert_uint_eq(rcode(), 0);
	ck_assert_uint_eq(n_answers(), 0);
	ask_name("", A);
	ck_assert_uint_eq(rcode(), 0);
	ck_assert_uint_eq(n_answers(), 0);
}
END_TEST

/* `length` octets of text, in labels of at most 63. */
static void long_name(char *ret, size_t length)
{
	for (size_t i = 0; i < length; i++)
		ret[i] = i % 64 == 63 ? '.' : 'x';
	ret[length] = '\0';
}

START_TEST(the_longest_name)
{
	char name[300];

	long_name(name, 253);
	ask_name(name, A);
	ck_assert_uint_eq(rcode(), 0);
	answer_data(A, 4);
	ck_assert_str_eq(names_find(names, 0xc6130001u), name);

	long_name(name, 254);
	ask_name(name, A);
	ck_assert_uint_eq(rcode(), 1);
	long_name(name, 280);
	ask_name(name, A);
	ck_assert_uint_eq(rcode(), 1);
}
END_TEST

START_TEST(other_classes_are_refused)
{
	static const unsigned classes[] = { 0, 3, 4, 254, 255 };

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		packet_query(&query, 1, "a.example", A);
		query.bytes[query.length - 1] = (uint8_t)classes[i];
		ask();
		ck_assert_uint_eq(rcode(), 5);
		ck_assert_uint_eq(reply.length, query.length);
	}
}
END_TEST

START_TEST(pointer_records)
{
	static const char *const unknown[] = { "2.0.19.198.in-addr.arpa",   "1.0.18.198.in-addr.arpa",
					       "8.8.8.8.in-addr.arpa",      "01.0.19.198.in-addr.arpa",
					       "1.0.19.in-addr.arpa",       "1.1.0.19.198.in-addr.arpa",
					       "257.0.19.198.in-addr.arpa", "x.0.19.198.in-addr.arpa",
					       "0.0.19.198.in-addr.arpa",   "1.0.0.0.ip6.arpa" };

	assert_address("api.example", 198, 19, 0, 1);
	ask_name("1.0.19.198.IN-ADDR.arpa", PTR);
	ck_assert_uint_eq(rcode(), 0);
	ck_assert_mem_eq(answer_data(PTR, 13), "\3api\7example", 13);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		ask_name(unknown[i], PTR);
		ck_assert_msg(rcode() == 3, "%s", unknown[i]);
	}
}
END_TEST

START_TEST(the_pool_used_up)
{
	uint32_t address;
	char host[32];

	for (unsigned i = 0; i < 65534; i++) {
		snprintf(host, sizeof(host), "n%u.example", i);
		ck_assert_int_eq(names_assign(names, host, &address), 0);
	}
	ask_name("late.example", A);
	ck_assert_uint_eq(rcode(), 2);
	ck_assert_uint_eq(n_answers(), 0);
	assert_address("n65533.example", 198, 19, 255, 254);
}
END_TEST

static void begin_edns(unsigned n_additional)
{
	packet_begin(&query, 9, 0x0100, (const unsigned[4]){ 1, 0, 0, n_additional });
	packet_name(&query, "a.example");
	packet_u16(&query, A);
	packet_u16(&query, 1);
}

/* A TSIG-like record with a compressed owner. */
static void add_other_record(void)
{
	packet_u16(&query, 0xc00c);
	packet_u16(&query, 250);
	packet_u16(&query, 255);
	packet_u16(&query, 0);
	packet_u16(&query, 0);
	packet_u16(&query, 3);
	packet_label(&query, "xy", 2);
}

START_TEST(edns_is_answered_in_kind)
{
	static const uint8_t opt[] = { 0, 0, 41, 1232 >> 8, 1232 & 0xff, 0, 0, 0x80, 0, 0, 0 };

	for (int place = 0; place < 2; place++) {
		begin_edns(2);
		if (place == 0)
			packet_opt(&query, 0, 0x8000);
		add_other_record();
		if (place == 1)
			packet_opt(&query, 0, 0x8000);
		ask();
		ck_assert_uint_eq(rcode(), 0);
		ck_assert_uint_eq(n_answers(), 1);
		ck_assert_uint_eq(packet_get_u16(reply.bytes, 10), 1);
		ck_assert_mem_eq(reply.bytes + reply.length - sizeof(opt), opt, sizeof(opt));
	}
	begin_edns(1);
	packet_opt(&query, 0, 0);
	ask();
	ck_assert_uint_eq(reply.bytes[reply.length - 4], 0);
}
END_TEST

START_TEST(edns_errors)
{
	begin_edns(1);
	packet_opt(&query, 1, 0);
	ask();
	/* BADVERS is 16: its low four bits are in the header, the rest in OPT. */
	ck_assert_uint_eq(rcode(), 0);
	ck_assert_uint_eq(n_answers(), 0);
	ck_assert_uint_eq(packet_get_u16(reply.bytes, 10), 1);
	ck_assert_uint_eq(reply.bytes[reply.length - 6], 1);
	ck_assert_uint_eq(reply.bytes[reply.length - 5], 0);

	begin_edns(2);
	packet_opt(&query, 0, 0);
	packet_opt(&query, 0, 0);
	ask();
	ck_assert_uint_eq(rcode(), 1);

	/* An OPT that is not the root's. */
	begin_edns(1);
	packet_label(&query, "x", 1);
	packet_opt(&query, 0, 0);
	ask();
	ck_assert_uint_eq(rcode(), 1);
}
END_TEST

static void assert_formerr(void)
{
	ask();
	ck_assert_uint_eq(reply.length, 12);
	ck_assert_uint_eq(rcode(), 1);
	ck_assert_uint_eq(packet_get_u16(reply.bytes, 0), packet_get_u16(query.bytes, 0));
	for (size_t at = 4; at < 12; at++)
		ck_assert_uint_eq(reply.bytes[at], 0);
}

START_TEST(malformed)
{
	static const unsigned counts[][4] = { { 0, 0, 0, 0 }, { 2, 0, 0, 0 }, { 65535, 0, 0, 0 }, { 1, 1, 0, 0 },
					      { 1, 0, 1, 0 }, { 1, 0, 0, 1 }, { 1, 0, 0, 65535 } };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		packet_begin(&query, 5, 0x0100, counts[i]);
		packet_name(&query, "a.example");
		packet_u16(&query, A);
		packet_u16(&query, 1);
		assert_formerr();
	}
	packet_query(&query, 6, "a.example", A);
	packet_u8(&query, 0);
	assert_formerr();

	/* Two questions. */
	packet_query(&query, 6, "a.example", A);
	query.bytes[5] = 2;
	packet_name(&query, "b.example");
	packet_u16(&query, A);
	packet_u16(&query, 1);
	assert_formerr();
}
END_TEST

/* Compression, to itself or to the header, and the label types that never came to be (RFC 6891 section 5); all else is
 * in order. */
START_TEST(bad_labels_in_the_question)
{
	static const uint8_t octets[256] = { 0 };

	for (unsigned first = 64; first < 256; first++) {
		packet_begin(&query, 5, 0x0100, (const unsigned[4]){ 1, 0, 0, 0 });
		packet_label(&query, "a", 1);
		if (first < 0xc0) {
			packet_label(&query, octets, first);
			packet_u8(&query, 0);
		} else {
			packet_u8(&query, first);
			packet_u8(&query, first == 0xc0 ? 12 : 0);
		}
		packet_u16(&query, A);
		packet_u16(&query, 1);
		assert_formerr();
	}
}
END_TEST

START_TEST(cut_anywhere)
{
	size_t whole;

	begin_edns(2);
	add_other_record();
	packet_opt(&query, 0, 0);
	whole = query.length;
	for (query.length = 0; query.length < 12; query.length++) {
		ask();
		ck_assert_uint_eq(reply.length, 0);
	}
	for (; query.length < whole; query.length++)
		assert_formerr();
	ask();
	ck_assert_uint_eq(rcode(), 0);
}
END_TEST

START_TEST(not_a_query)
{
	packet_query(&query, 1, "a.example", A);
	query.bytes[2] |= 0x80;
	ask();
	ck_assert_uint_eq(reply.length, 0);

	for (unsigned opcode = 1; opcode < 16; opcode++) {
		packet_query(&query, 1, "a.example", A);
		query.bytes[2] = (uint8_t)(opcode << 3);
		ask();
		ck_assert_uint_eq(reply.length, 12);
		ck_assert_uint_eq(rcode(), 4);
		ck_assert_uint_eq(reply.bytes[2], 0x80 | opcode << 3);
	}
}
END_TEST

START_TEST(names_in_wire_form)
{
	uint8_t wire[DNS_NAME_WIRE_MAX];
	char name[300];

	ck_assert_uint_eq(dns_name_write("a.bc", wire), 6);
	ck_assert_mem_eq(wire, "\1a\2bc", 6);
	long_name(name, 253);
	ck_assert_uint_eq(dns_name_write(name, wire), 255);
	long_name(name, 254);
	ck_assert_uint_eq(dns_name_write(name, wire), 0);
	ck_assert_uint_eq(dns_name_write("", wire), 0);
	ck_assert_uint_eq(dns_name_write("a..b", wire), 0);
	ck_assert_uint_eq(dns_name_write("a.", wire), 0);
	memset(name, 'x', 64);
	name[64] = '\0';
	ck_assert_uint_eq(dns_name_write(name, wire), 0);
	name[63] = '\0';
	ck_assert_uint_eq(dns_name_write(name, wire), 65);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_codec");
	TCase *tests = tcase_create("dns_codec");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, an_address_whole);
	tcase_add_test(tests, case_does_not_matter_and_is_echoed);
	tcase_add_test(tests, flags_are_ours);
	tcase_add_test(tests, other_types_are_empty);
	tcase_add_test(tests, localhost_is_here);
	tcase_add_test(tests, no_host_names);
	tcase_add_test(tests, labels_with_odd_bytes);
	tcase_add_test(tests, the_root_exists);
	tcase_add_test(tests, the_longest_name);
	tcase_add_test(tests, other_classes_are_refused);
	tcase_add_test(tests, pointer_records);
	tcase_add_test(tests, the_pool_used_up);
	tcase_add_test(tests, edns_is_answered_in_kind);
	tcase_add_test(tests, edns_errors);
	tcase_add_test(tests, malformed);
	tcase_add_test(tests, bad_labels_in_the_question);
	tcase_add_test(tests, cut_anywhere);
	tcase_add_test(tests, not_a_query);
	tcase_add_test(tests, names_in_wire_form);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
