/*
 * What the helper says of claim, guard, gate and redirect, and what it makes of the answers: helper/guard.c,
 * shared/nft.c.
 * The expressions are those that nft(8) makes of the same rules written for it: test_helper_kernel.c compares them.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/cable.h"
#include "shared/cleanup.h"
#include "tests/unit/test_helper_answers.h"

static struct cable cable = {
	{ 7, 0xc612000e, 0xc612000f, 42, "bnd00007", 0 }, 1000, 0x99, "boundary_00007", "boundary_guard_00007"
};

static char text[16384];

static void append(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void append(const char *format, ...)
{
	size_t used = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + used, sizeof(text) - used, format, arguments);
	va_end(arguments);
}

static const struct rtattr *find(const void *bytes, int left, int type)
{
	const struct rtattr *at = bytes;

	for (; RTA_OK(at, left); at = RTA_NEXT(at, left))
		if ((at->rta_type & NLA_TYPE_MASK) == type)
			return at;
	return NULL;
}

/* "name attribute=octets …": nested values in brackets. */
static void describe_attributes(const void *bytes, int left)
{
	const struct rtattr *at = bytes;

	for (; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		append(" %d=", at->rta_type & NLA_TYPE_MASK);
		if (at->rta_type & NLA_F_NESTED) {
			append("[");
			describe_attributes(RTA_DATA(at), (int)RTA_PAYLOAD(at));
			append("]");
			continue;
		}
		for (size_t i = 0; i < RTA_PAYLOAD(at); i++)
			append("%02x", ((const unsigned char *)RTA_DATA(at))[i]);
	}
}

static void describe_rule(const void *bytes, int left)
{
	const struct rtattr *list = find(bytes, left, NFTA_RULE_EXPRESSIONS), *at;

	ck_assert_ptr_nonnull(list);
	append("rule\n");
	left = (int)RTA_PAYLOAD(list);
	for (at = RTA_DATA(list); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		const struct rtattr *name = find(RTA_DATA(at), (int)RTA_PAYLOAD(at), NFTA_EXPR_NAME);
		const struct rtattr *data = find(RTA_DATA(at), (int)RTA_PAYLOAD(at), NFTA_EXPR_DATA);

		append(" %s", (const char *)RTA_DATA(name));
		describe_attributes(RTA_DATA(data), (int)RTA_PAYLOAD(data));
		append("\n");
	}
}

static void describe_request(void)
{
	const struct nlmsghdr *message = (const void *)request;
	unsigned int left = (unsigned int)request_length;

	text[0] = '\0';
	for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
		const struct nfgenmsg *family = NLMSG_DATA(message);
		const char *attributes = (const char *)family + NLMSG_ALIGN(sizeof(*family));
		int length = (int)NLMSG_PAYLOAD(message, sizeof(*family));

		if (message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE)) {
			ck_assert_uint_eq(message->nlmsg_flags,
					  NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND);
			describe_rule(attributes, length);
			continue;
		}
		append("%#x %#x family %d", message->nlmsg_type, message->nlmsg_flags, family->nfgen_family);
		describe_attributes(attributes, length);
		append("\n");
	}
	ck_assert_uint_eq(left, 0);
}

/* clang-format off */
#define IPV4 " meta 1=00000001 2=00000001\n cmp 1=00000001 2=00000000 3=[ 1=0800]\n"
#define WHOLE \
	" payload 1=00000001 2=00000001 3=00000006 4=00000002\n" \
	" bitwise 1=00000001 2=00000001 3=00000002 4=[ 1=3fff] 5=[ 1=0000]\n" \
	" cmp 1=00000001 2=00000000 3=[ 1=0000]\n"
#define FROM_JAIL " payload 1=00000001 2=00000001 3=0000000c 4=00000004\n cmp 1=00000001 2=00000000 3=[ 1=c612000f]\n"
#define TO_OTHERS " fib 1=00000001 2=00000003 3=00000002\n cmp 1=00000001 2=00000000 3=[ 1=UNICAST]\n"
#define BY_ANYBODY " payload 1=00000001 2=00000002 3=00000000 4=00000002\n cmp 1=00000001 2=00000005 3=[ 1=0400]\n"
#define PASSABLE IPV4 WHOLE FROM_JAIL TO_OTHERS BY_ANYBODY
#define PROTOCOL(number) " meta 1=00000001 2=00000010\n cmp 1=00000001 2=00000000 3=[ 1=" number "]\n"
#define SYN \
	" payload 1=00000001 2=00000002 3=0000000d 4=00000001\n" \
	" bitwise 1=00000001 2=00000001 3=00000001 4=[ 1=02] 5=[ 1=00]\n" \
	" cmp 1=00000001 2=00000000 3=[ 1=02]\n"
#define TO_DNS " payload 1=00000001 2=00000002 3=00000002 4=00000002\n cmp 1=00000001 2=00000000 3=[ 1=0035]\n"
#define SET_TTL \
	" payload 1=00000001 2=00000001 3=00000008 4=00000002\n" \
	" bitwise 1=00000001 2=00000001 3=00000002 4=[ 1=00ff] 5=[ 1=0100]\n" \
	" payload 5=00000001 2=00000001 3=00000008 4=00000002 6=00000001 7=0000000a\n"
#define SET_MARK(word) " immediate 1=00000001 2=[ 1=" word "]\n meta 3=00000001 2=00000003\n"
#define MARKED " meta 1=00000001 2=00000003\n cmp 1=00000001 2=00000000 3=[ 1=MARK]\n"
#define FROM_CABLE(op) " meta 1=00000001 2=00000004\n cmp 1=00000001 2=0000000" op " 3=[ 1=IFINDEX]\n"
#define BEYOND_RATE(number, burst) " limit 1=00000000" number " 2=0000000000000001 3=" burst " 4=00000000 5=00000001\n"
#define BEYOND(number) " connlimit 1=" number " 2=00000001\n"
#define TIMEOUTS " objref 1=00000007 2=627269656600\n" /* "brief" */
#define REDIRECT_TO(port) " immediate 1=00000001 2=[ 1=" port "]\n redir 1=00000001 3=00000002\n"
#define VERDICT(number) " immediate 1=00000000 2=[ 2=[ 1=0000000" number "]]\n"

#define GUARD_RULES "rule\n" MARKED SET_MARK("00000000") VERDICT("1")

#define GATE_RULES \
	"rule\n" PROTOCOL("06") SYN BEYOND_RATE("00000200", "00001000") VERDICT("0") \
	"rule\n" PASSABLE PROTOCOL("06") SET_TTL SET_MARK("MARK") VERDICT("1") \
	"rule\n" PASSABLE PROTOCOL("11") TO_DNS SET_TTL SET_MARK("MARK") VERDICT("1")

#define EGRESS_RULES \
	"rule\n" IPV4 " fib 1=00000001 2=00000003 3=00000001\n cmp 1=00000001 2=00000000 3=[ 1=LOCAL]\n" VERDICT("0")

#define TIMED_RULE "rule\n" FROM_CABLE("0") PROTOCOL("06") TIMEOUTS
#define REDIRECT_RULES \
	"rule\n" FROM_CABLE("1") VERDICT("1") \
	"rule\n" BEYOND_RATE("00000400", "00002000") VERDICT("0") \
	"rule\n" PROTOCOL("06") BEYOND("00000400") VERDICT("0") \
	"rule\n" PROTOCOL("06") REDIRECT_TO("0fa0") \
	"rule\n" TO_DNS BEYOND("00000800") VERDICT("0") \
	"rule\n" TO_DNS REDIRECT_TO("0fa1")
/* clang-format on */

/* Words of the texts above that are numbers as this machine has them in memory. */
static const struct {
	const char *word;
	uint32_t number;
} words[] = { { "UNICAST", RTN_UNICAST }, { "LOCAL", RTN_LOCAL }, { "IFINDEX", 42 }, { "MARK", 0x626e64 } };

static size_t fill_word(const char *at, char *ret)
{
	for (size_t i = 0; i < array_size(words); i++) {
		unsigned char octets[4];

		if (strncmp(at, words[i].word, strlen(words[i].word)) != 0)
			continue;
		memcpy(octets, &words[i].number, sizeof(octets));
		sprintf(ret, "%02x%02x%02x%02x", octets[0], octets[1], octets[2], octets[3]);
		return strlen(words[i].word);
	}
	return 0;
}

static void expect(const char *expected)
{
	static char filled[sizeof(text)];
	char *end = filled;

	while (*expected && end < filled + sizeof(filled) - 9) {
		size_t length = fill_word(expected, end);

		if (length == 0)
			*end = *expected;
		end += length ? 8 : 1;
		expected += length ? length : 1;
	}
	*end = '\0';
	ck_assert_str_eq(text, filled);
}

/* What the kernel answers to each of two requests: so many acknowledgements, an error if it is not 0, others. */
static struct {
	int before, error, after;
} replies[2];

static void reply(void)
{
	ck_assert_uint_le(n_sent, array_size(replies));
	answers(replies[n_sent - 1].before);
	if (replies[n_sent - 1].error != 0)
		answer(replies[n_sent - 1].error);
	answers(replies[n_sent - 1].after);
}

/* The parts of `text` before the first rule of a chain, and its rules, up to what follows them. */
static void split(const char *chain, const char *next, char *ret_before, size_t size)
{
	char *first = strstr(text, chain), *after;

	ck_assert_ptr_nonnull(first);
	first = strstr(first, "rule\n");
	ck_assert_ptr_nonnull(first);
	after = strstr(first, next);
	ck_assert_ptr_nonnull(after);
	snprintf(ret_before, size, "%.*s", (int)(first - text), text);
	memmove(text, first, (size_t)(after - first));
	text[after - first] = '\0';
}

/* The connections that 198.18.0.15 began: CTA_TUPLE_ORIG of the source address alone, CTA_FILTER of that. */
static void expect_forgetting(void)
{
	hear_request();
	describe_request();
	ck_assert_str_eq(text, htonl(1) == 1 ? "0x102 0x5 family 2 1=[ 1=[ 1=c612000f]] 25=[ 1=00000001]\n"
					     : "0x102 0x5 family 2 1=[ 1=[ 1=c612000f]] 25=[ 1=01000000]\n");
}

/* nft: table netdev …; chain: type filter hook ingress device "bnd00007" priority 0; policy drop; and the rule. */
START_TEST(guard)
{
	/* Begin, add, delete, add with echo, chain: "boundary_guard_00007", "ingress", "filter". */
	static const char start[] =
		"0x10 0x1 family 0\n"
		"0xa00 0x405 family 5 1=626f756e646172795f67756172645f303030303700\n"
		"0xa02 0x5 family 5 1=626f756e646172795f67756172645f303030303700\n"
		"0xa00 0x40d family 5 1=626f756e646172795f67756172645f303030303700 2=00000000\n"
		"0xa03 0x405 family 5 1=626f756e646172795f67756172645f303030303700 3=696e677265737300 "
		"7=66696c74657200 5=00000000 4=[ 1=00000000 2=00000000 3=626e64303030303700]\n";
	char before[1024];

	/* Whether connections can be forgotten does not matter. */
	replies[0].error = _i ? -EINVAL : 0;
	replies[0].before = !_i;
	replies[1].before = 5;
	on_send = reply;
	ck_assert_int_eq(guard_install(&n, &cable), 0);
	expect_forgetting();
	hear_request();
	describe_request();
	ck_assert_ptr_nonnull(strstr(text, "]]\n0x11 0x1 family 0\n"));
	split("696e677265737300", "0x11", before, sizeof(before));
	ck_assert_str_eq(before, start);
	expect(GUARD_RULES);
}
END_TEST

static const struct helper_redirect ports = { 4000, 4001 };

/* Hears a request of redirect_install(): the next, which is the first or the second. */
static void hear_redirect(void)
{
	hear_request();
	describe_request();
}

/* Of the same request, over and over. */
static void part(const char *chain, const char *next, char *ret_before, size_t size)
{
	describe_request();
	split(chain, next, ret_before, size);
}

static void install_redirect(void)
{
	replies[0].before = 18;
	on_send = reply;
	ck_assert_int_eq(redirect_install(&n, &cable, &ports), 0);
	ck_assert_uint_eq(n_sent, 1);
	hear_redirect();
}

/* nft: flags owner; ct timeout tcp …; chain: type nat hook prerouting priority -110; and its rules. */
START_TEST(redirect)
{
	/*
	 * "boundary_00007"; "brief", for IPv4 and TCP: established (3) 3600 s, time_wait (7) and close (8) 2 s. Owned;
	 * "prerouting", "nat".
	 */
	static const char start[] = "0x10 0x1 family 0\n"
				    "0xa12 0x405 family 2 1=626f756e646172795f303030303700 2=627269656600 3=00000007 "
				    "4=[ 1=0002 2=06 3=[ 3=00000e10 7=00000002 8=00000002]]\n"
				    "0xa00 0x40d family 2 1=626f756e646172795f303030303700 2=00000002\n"
				    "0xa03 0x405 family 2 1=626f756e646172795f303030303700 3=707265726f7574696e6700 "
				    "7=6e617400 5=00000001 4=[ 1=00000000 2=ffffff92]\n";
	char before[1024];

	install_redirect();
	part("707265726f7574696e6700", "0xa00", before, sizeof(before));
	ck_assert_str_eq(before, start);
	expect(TIMED_RULE REDIRECT_RULES);
}
END_TEST

/* nft: flags owner; chain: type filter hook ingress device "bnd00007" priority -10; policy drop; before the guard. */
START_TEST(gate)
{
	char before[8192];

	install_redirect();
	part("3=696e677265737300", "0xa00", before, sizeof(before));
	ck_assert_ptr_nonnull(strstr(before, "0xa00 0x40d family 5 1=626f756e646172795f303030303700 2=00000002\n"
					     "0xa03 0x405 family 5 1=626f756e646172795f303030303700 "
					     "3=696e677265737300 7=66696c74657200 5=00000000 "
					     "4=[ 1=00000000 2=fffffff6 3=626e64303030303700]\n"));
	expect(GATE_RULES);
}
END_TEST

/* nft: chain: type filter hook egress device "bnd00007" priority 0; policy accept; in the same table. */
START_TEST(egress)
{
	char before[8192];

	install_redirect();
	part("3=65677265737300", "0x11 0x1 family 0\n", before, sizeof(before));
	ck_assert_ptr_nonnull(strstr(before, "0xa00 0x40d family 5 1=626f756e646172795f303030303700 2=00000002\n"
					     "0xa03 0x405 family 5 1=626f756e646172795f303030303700 "
					     "3=65677265737300 7=66696c74657200 5=00000001 "
					     "4=[ 1=00000001 2=00000000 3=626e64303030303700]\n"));
	expect(EGRESS_RULES);
}
END_TEST

/* Requirement: a kernel that lacks timeouts, or the egress hook, gets the rest; the gate is never less. */
START_TEST(redirect_of_an_old_kernel)
{
	char before[8192];

	replies[0].error = _i ? -ENOENT : -EOPNOTSUPP;
	replies[0].after = 17;
	replies[1].before = 13;
	on_send = reply;
	ck_assert_int_eq(redirect_install(&n, &cable, &ports), 0);
	ck_assert_uint_eq(n_sent, 2);
	hear_request();
	hear_redirect();
	ck_assert_ptr_null(strstr(text, "0xa12"));
	ck_assert_ptr_null(strstr(text, "objref"));
	ck_assert_ptr_null(strstr(text, "65677265737300"));
	part("707265726f7574696e6700", "0xa00", before, sizeof(before));
	expect(REDIRECT_RULES);
	part("3=696e677265737300", "0x11 0x1 family 0\n", before, sizeof(before));
	expect(GATE_RULES);
}
END_TEST

/* Requirement: any other refusal is one, and a second as well. */
START_TEST(refused_redirect)
{
	replies[0].error = _i ? -ENOENT : -ENOMEM;
	replies[0].after = 17;
	replies[1].error = -ENOENT;
	replies[1].after = 12;
	on_send = reply;
	ck_assert_int_eq(redirect_install(&n, &cable, &ports), replies[0].error);
	ck_assert_uint_eq(n_sent, _i ? 2 : 1);
}
END_TEST

START_TEST(refused_guard)
{
	replies[0].before = 1;
	replies[1].before = 2;
	replies[1].error = -EOPNOTSUPP;
	replies[1].after = 2;
	on_send = reply;
	ck_assert_int_eq(guard_install(&n, &cable), -EOPNOTSUPP);
}
END_TEST

/* Requirement: all or nothing, and nothing if the very claim is not there any more: then the guard is somebody else's.
 */
START_TEST(deletion)
{
	replies[0].error = _i & 1 ? -EINVAL : 0;
	replies[0].before = !(_i & 1);
	replies[1].before = _i & 2 ? 4 : 5;
	replies[1].error = _i & 2 ? -ENOENT : 0;
	on_send = reply;
	ck_assert_int_eq(tables_remove(&n, &cable), replies[1].error);
	expect_forgetting();
	hear_request();
	describe_request();
	ck_assert_str_eq(text, "0x10 0x1 family 0\n"
			       "0xa00 0x405 family 5 1=626f756e646172795f303030303700\n"
			       "0xa02 0x5 family 5 1=626f756e646172795f303030303700\n"
			       "0xa00 0x405 family 5 1=626f756e646172795f67756172645f303030303700\n"
			       "0xa02 0x5 family 5 1=626f756e646172795f67756172645f303030303700\n"
			       "0xa02 0x5 family 2 4=0000000000000099\n"
			       "0x11 0x1 family 0\n");
}
END_TEST

/* Claims --------------------------------------------------------------------------------------------------------- */

/* With the number of a generation (NFNL_BATCH_GENID is 1) it is for the tables as they were then. */
START_TEST(claim)
{
	const uint32_t user = 1000;
	char expected[256];
	unsigned char octets[4];

	memcpy(octets, &user, sizeof(octets));
	snprintf(expected, sizeof(expected),
		 "0x10 0x1 family 0%s\n"
		 "0xa00 0x60d family 2 1=626f756e646172795f303030303700 2=00000002 6=4204%02x%02x%02x%02x\n"
		 "0x11 0x1 family 0\n",
		 _i ? " 1=01020304" : "", octets[0], octets[1], octets[2], octets[3]);
	cable.claim = 0;
	answer_table(NEW_TABLE, 0, "t", 0x1234, NULL, 0);
	answer(0);
	ck_assert_int_eq(claim_make(&n, &cable, _i ? 0x01020304 : 0), 0);
	ck_assert_uint_eq(cable.claim, 0x1234);
	hear_request();
	describe_request();
	ck_assert_str_eq(text, expected);
	cable.claim = 0;
	answer(-EEXIST);
	ck_assert_int_eq(claim_make(&n, &cable, 0), -EEXIST);
	ck_assert_uint_eq(cable.claim, 0);
}
END_TEST

static const struct owner {
	uint8_t type, length;
	uint32_t user;
} __attribute__((packed)) user_1000 = { 'B', 4, 1000 }, user_7 = { 'B', 4, 7 }, comment = { 0, 4, 1000 };

static void tell_claims(void)
{
	static const char long_user[8] = "B\4";

	answer_table(NEW_TABLE, 0, "boundary_00000", 0x10, &user_1000, 6);
	answer_table(NEW_TABLE, 0, "boundary_00009", 0x99, &user_1000, 6);
	answer_table(NEW_TABLE, 0, "boundary_65535", 0x98, &user_7, 6);
	answer_table(NEW_TABLE, 0, "boundary_00017", 0x9a, &user_1000, 6);
	/* Other people's. */
	answer_table(NEW_TABLE, 0, "boundary_00001", 1, NULL, 0);
	answer_table(NEW_TABLE, 0, "boundary_00002", 1, long_user, sizeof(long_user));
	answer_table(NEW_TABLE, 0, "boundary_00003", 1, &user_1000, 5);
	answer_table(NEW_TABLE, 0, "boundary_00004", 1, &comment, 6);
	answer_table(NEW_TABLE, 0, "filter", 1, &user_1000, 6);
	answer_table(NEW_TABLE, 0, "my_boundary_00003", 1, &user_1000, 6);
	answer_table(NEW_TABLE, 0, NULL, 1, &user_1000, 6);
	answer_done(0);
}

static void check_claims(const struct claims *claims)
{
	ck_assert_uint_eq(claims->of_user, 3);
	ck_assert_uint_eq(claims->of_all, 4);
	for (uint32_t i = 0; i < CABLE_INDEX_MAX; i++)
		ck_assert_int_eq(claims->indexes[i / 8] >> i % 8 & 1, i == 0 || i == 9 || i == 17 || i == 65535);
}

START_TEST(counting)
{
	static struct claims claims;

	memset(&claims, 0xff, sizeof(claims));
	on_send = tell_claims;
	ck_assert_int_eq(claims_count(&n, 1000, &claims), 0);
	check_claims(&claims);
	hear_request();
	describe_request();
	ck_assert_str_eq(text, "0xa01 0x301 family 2\n");
}
END_TEST

static void tell_interrupted(void)
{
	answer_table(NEW_TABLE, NLM_F_DUMP_INTR, "boundary_00003", 1, &user_1000, 6);
	answer_done(0);
}

static void tell_failure(void)
{
	answer_done(-ENOMEM);
}

/* Requirement: what was counted while somebody changed it is to be counted again, as is what changed since. */
START_TEST(counting_fails)
{
	static struct claims claims;

	on_send = tell_interrupted;
	ck_assert_int_eq(claims_count(&n, 1000, &claims), -ERESTART);
	on_send = tell_failure;
	ck_assert_int_eq(claims_count(&n, 1000, &claims), -ENOMEM);
	ck_assert_uint_eq(n_sent, 2);
}
END_TEST

static void tell_generation(void)
{
	const struct nfgenmsg header = { 0 };
	struct nl_msg *message = nlmsg_alloc();
	struct nlmsghdr *answered = nlmsg_put(message, 0, 0, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN, 0, 0);

	ck_assert_int_eq(nlmsg_append(message, (void *)&header, sizeof(header), NLMSG_ALIGNTO), 0);
	if (n_sent < 3)
		ck_assert_int_eq(nla_put_u32(message, NFTA_GEN_ID, htonl(n_sent == 1 ? 0x01020304 : 0)), 0);
	ck_assert_int_eq(send(kernel, answered, answered->nlmsg_len, 0), answered->nlmsg_len);
	nlmsg_free(message);
	answer(n_sent == 4 ? -EPERM : 0);
}

/* Requirement: without a number there is no claim for any tables: 0 is none, which the kernel would not compare. */
START_TEST(generation)
{
	static const int expected[] = { 0, -EPROTO, -EPROTO, -EPERM };
	uint32_t number;

	on_send = tell_generation;
	for (size_t i = 0; i < array_size(expected); i++) {
		ck_assert_int_eq(nft_generation(&n, &number), expected[i]);
		hear_request();
		describe_request();
		ck_assert_str_eq(text, "0xa10 0x5 family 0\n");
		ck_assert_uint_eq(number, i == 0 ? 0x01020304 : 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper_rules");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_loop_test(all, guard, 0, 2);
	tcase_add_test(all, redirect);
	tcase_add_test(all, gate);
	tcase_add_test(all, egress);
	tcase_add_loop_test(all, redirect_of_an_old_kernel, 0, 2);
	tcase_add_loop_test(all, refused_redirect, 0, 2);
	tcase_add_test(all, refused_guard);
	tcase_add_loop_test(all, deletion, 0, 4);
	tcase_add_loop_test(all, claim, 0, 2);
	tcase_add_test(all, counting);
	tcase_add_test(all, counting_fails);
	tcase_add_test(all, generation);
	tcase_set_timeout(all, 60);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
