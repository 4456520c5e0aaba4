/*
 * What the helper says to the kernel, and what it makes of the answers: helper/netlink.c, nft.c, guard.c. The kernel is
 * the other end of a unix socket, with its answers already in the queue, as netlink has them when sendmsg(2) returns.
 * The rules are compared with what `nft --debug=netlink` prints for the same rules written for nft(8).
 */
#include <arpa/inet.h>
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/cable.h"
#include "helper/netlink.h"
#include "shared/cleanup.h"
#include "shared/wire.h"

static const struct helper_attached cable = { 7, 0xc612000e, 0xc612000f, 42, "bnd00007" };

static int ours, kernel;
static _Alignas(NLMSG_ALIGNTO) unsigned char request[32768];
static ssize_t request_length;

static void setup(void)
{
	int pair[2];

	ck_assert_int_eq(wire_pair(pair), 0);
	ours = pair[0];
	kernel = pair[1];
}

static void answer(int error)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr status;
	} message = { .header = { .nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_ERROR },
		      .status = { .error = error } };

	ck_assert_int_eq(send(kernel, &message, sizeof(message), 0), sizeof(message));
}

static void answers(int count)
{
	while (count-- > 0)
		answer(0);
}

static void answer_handle(uint16_t type, uint64_t handle)
{
	struct {
		struct nlmsghdr header;
		struct nfgenmsg family;
		struct nlattr name;
		char text[4];
		struct nlattr handle;
		uint64_t value;
	} __attribute__((packed)) message = {
		.header = { .nlmsg_len = sizeof(message), .nlmsg_type = type },
		.name = { sizeof(struct nlattr) + 2, NFTA_TABLE_NAME },
		.text = "t",
		.handle = { sizeof(struct nlattr) + sizeof(uint64_t), NFTA_TABLE_HANDLE },
		.value = htobe64(handle),
	};

	ck_assert_int_eq(send(kernel, &message, sizeof(message), 0), sizeof(message));
}

static void hear_request(void)
{
	request_length = recv(kernel, request, sizeof(request), MSG_DONTWAIT);
	ck_assert_int_gt(request_length, 0);
}

/* Messages ------------------------------------------------------------------------------------------------------- */

static void small_message(struct netlink *n)
{
	const struct ifinfomsg header = { .ifi_index = 3 };

	netlink_message(n, RTM_GETLINK, NLM_F_ACK, &header, sizeof(header));
	netlink_put_string(n, IFLA_IFNAME, "abc12");
	netlink_nest(n, IFLA_LINKINFO);
	netlink_put_u32(n, IFLA_INFO_DATA, 0x01020304);
	netlink_nest(n, IFLA_INFO_SLAVE_DATA);
	netlink_put(n, 1, "x", 1);
	netlink_nest_end(n, 2);
}

START_TEST(layout)
{
	struct netlink n = { 0 };
	const struct nlmsghdr *message = (const void *)request;
	const struct rtattr *at = (const void *)(request + NLMSG_SPACE(sizeof(struct ifinfomsg)));

	small_message(&n);
	answer(0);
	ck_assert_int_eq(netlink_send(ours, &n, NULL, NULL), 0);
	hear_request();
	ck_assert_int_eq(message->nlmsg_len, request_length);
	ck_assert_uint_eq(message->nlmsg_type, RTM_GETLINK);
	ck_assert_uint_eq(message->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	ck_assert_int_eq(((const struct ifinfomsg *)NLMSG_DATA(message))->ifi_index, 3);
	ck_assert_uint_eq(at->rta_type, IFLA_IFNAME);
	ck_assert_uint_eq(RTA_PAYLOAD(at), 6);
	ck_assert_str_eq(RTA_DATA(at), "abc12");
	at = (const void *)((const char *)at + RTA_ALIGN(at->rta_len));
	ck_assert_uint_eq(at->rta_type & NLA_TYPE_MASK, IFLA_LINKINFO);
	ck_assert_uint_eq(RTA_PAYLOAD(at), 8 + 4 + 8);
	at = RTA_DATA(at);
	ck_assert_uint_eq(*(const uint32_t *)RTA_DATA(at), 0x01020304);
	at = (const void *)((const char *)at + 8);
	ck_assert_uint_eq(at->rta_type & NLA_TYPE_MASK, IFLA_INFO_SLAVE_DATA);
	ck_assert_uint_eq(((const struct rtattr *)RTA_DATA(at))->rta_len, 5);
}
END_TEST

START_TEST(first_error_counts)
{
	struct netlink n = { 0 };

	small_message(&n);
	small_message(&n);
	small_message(&n);
	answer(0);
	answer(-EEXIST);
	answer(-EBUSY);
	ck_assert_int_eq(netlink_send(ours, &n, NULL, NULL), -EEXIST);
	/* Nothing is left over for the next request. */
	small_message(&n);
	answer(0);
	n.expected = 1;
	ck_assert_int_eq(netlink_send(ours, &n, NULL, NULL), 0);
}
END_TEST

START_TEST(missing_acknowledgement)
{
	struct netlink n = { 0 };

	small_message(&n);
	small_message(&n);
	answers(_i);
	ck_assert_int_eq(netlink_send(ours, &n, NULL, NULL), _i == 2 ? 0 : -EPROTO);
}
END_TEST

START_TEST(kernel_gone)
{
	struct netlink n = { 0 };

	signal(SIGPIPE, SIG_IGN);
	close(kernel);
	small_message(&n);
	ck_assert_int_lt(netlink_send(ours, &n, NULL, NULL), 0);
}
END_TEST

/* Requirement: a message that lacks an attribute for want of room is never sent. */
START_TEST(no_room)
{
	struct netlink n = { 0 };
	char big[4000];

	memset(big, 0, sizeof(big));
	small_message(&n);
	if (_i == 0)
		for (int i = 0; i < 3; i++)
			netlink_put(&n, 1, big, sizeof(big));
	if (_i == 1)
		for (int i = 0; i < 100; i++)
			netlink_nest(&n, 1);
	if (_i == 2)
		for (int i = 0; i < 100; i++)
			small_message(&n);
	answer(0);
	ck_assert_int_eq(netlink_send(ours, &n, NULL, NULL), -EMSGSIZE);
	ck_assert_int_eq(recv(kernel, request, sizeof(request), MSG_DONTWAIT), -1);
}
END_TEST

/* Rules ---------------------------------------------------------------------------------------------------------- */

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

#define GUARD_RULES                                                                                          \
	"rule\n"                                                                                             \
	" meta 1=00000001 2=00000001\n cmp 1=00000001 2=00000000 3=[ 1=0806]\n"                              \
	" payload 1=00000001 2=00000001 3=0000000e 4=00000004\n cmp 1=00000001 2=00000000 3=[ 1=c612000f]\n" \
	" payload 1=00000001 2=00000001 3=00000018 4=00000004\n cmp 1=00000001 2=00000000 3=[ 1=c612000e]\n" \
	" immediate 1=00000000 2=[ 2=[ 1=00000001]]\n"                                                       \
	"rule\n"                                                                                             \
	" meta 1=00000001 2=00000001\n cmp 1=00000001 2=00000001 3=[ 1=0800]\n"                              \
	" immediate 1=00000000 2=[ 2=[ 1=00000000]]\n"                                                       \
	"rule\n"                                                                                             \
	" meta 1=00000001 2=00000001\n cmp 1=00000001 2=00000000 3=[ 1=0800]\n"                              \
	" payload 1=00000001 2=00000001 3=0000000c 4=00000004\n cmp 1=00000001 2=00000001 3=[ 1=c612000f]\n" \
	" immediate 1=00000000 2=[ 2=[ 1=00000000]]\n"                                                       \
	"rule\n"                                                                                             \
	" fib 1=00000001 2=00000003 3=00000002\n cmp 1=00000001 2=00000001 3=[ 1=UNICAST]\n"                 \
	" immediate 1=00000000 2=[ 2=[ 1=00000000]]\n"                                                       \
	"rule\n"                                                                                             \
	" meta 1=00000001 2=00000001\n cmp 1=00000001 2=00000000 3=[ 1=0800]\n"                              \
	" payload 1=00000001 2=00000001 3=00000008 4=00000002\n"                                             \
	" bitwise 1=00000001 2=00000001 3=00000002 4=[ 1=00ff] 5=[ 1=0100]\n"                                \
	" payload 5=00000001 2=00000001 3=00000008 4=00000002 6=00000001 7=0000000a\n"                       \
	"rule\n"                                                                                             \
	" meta 1=00000001 2=00000010\n cmp 1=00000001 2=00000000 3=[ 1=06]\n"                                \
	" immediate 1=00000000 2=[ 2=[ 1=00000001]]\n"                                                       \
	"rule\n"                                                                                             \
	" meta 1=00000001 2=00000010\n cmp 1=00000001 2=00000000 3=[ 1=11]\n"                                \
	" payload 1=00000001 2=00000002 3=00000002 4=00000002\n cmp 1=00000001 2=00000000 3=[ 1=0035]\n"     \
	" immediate 1=00000000 2=[ 2=[ 1=00000001]]\n"

/* The text, with `word` replaced by the number as this machine has it in memory. */
static void expect_with_number(const char *expected, const char *word, uint32_t number)
{
	static char filled[sizeof(text)];
	unsigned char octets[4];
	char hex[9];

	memcpy(octets, &number, sizeof(octets));
	snprintf(hex, sizeof(hex), "%02x%02x%02x%02x", octets[0], octets[1], octets[2], octets[3]);
	filled[0] = '\0';
	for (const char *at = expected, *next; at; at = next ? next + strlen(word) : NULL) {
		next = strstr(at, word);
		snprintf(filled + strlen(filled), sizeof(filled) - strlen(filled), "%.*s%s",
			 next ? (int)(next - at) : (int)strlen(at), at, next ? hex : "");
	}
	ck_assert_str_eq(text, filled);
}

/* nft: table netdev …; chain: type filter hook ingress device "bnd00007" priority 0; policy drop; and the seven rules.
 */
START_TEST(guard)
{
	/* Begin, add, delete, add with echo, chain: "boundary_guard_00007", "ingress". */
	static const char start[] =
		"0x10 0x1 family 0\n"
		"0xa00 0x405 family 5 1=626f756e646172795f67756172645f303030303700\n"
		"0xa02 0x5 family 5 1=626f756e646172795f67756172645f303030303700\n"
		"0xa00 0x40d family 5 1=626f756e646172795f67756172645f303030303700 2=00000000\n"
		"0xa03 0x405 family 5 1=626f756e646172795f67756172645f303030303700 3=696e677265737300 ";
	char *found;
	uint64_t handle;

	answer_handle(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, 0x1122334455667788);
	answers(11);
	ck_assert_int_eq(guard_install(ours, &cable, &handle), 0);
	ck_assert_uint_eq(handle, 0x1122334455667788);
	hear_request();
	describe_request();
	found = strstr(text, "rule\n");
	ck_assert_ptr_nonnull(found);
	ck_assert_int_eq(strncmp(text, start, sizeof(start) - 1), 0);
	ck_assert_ptr_nonnull(
		strstr(text, " 7=66696c74657200 5=00000000 4=[ 1=00000000 2=00000000 3=626e64303030303700]\n"));
	memmove(text, found, strlen(found) + 1);
	expect_with_number(GUARD_RULES "0x11 0x1 family 0\n", "UNICAST", RTN_UNICAST);
}
END_TEST

/*
 * nft: flags owner; chain: type filter hook input; and its rule; chain: type nat hook prerouting priority -110; and the
 * two rules; then the guard again.
 */
START_TEST(redirect)
{
	const struct helper_redirect ports = { 4000, 4001 };
	const char *second;
	char *first;

	answers(16);
	ck_assert_int_eq(redirect_install(ours, &cable, &ports), 0);
	hear_request();
	describe_request();
	/* "boundary_00007_42", owned; "prerouting", "nat". */
	ck_assert_ptr_nonnull(strstr(text, " family 2 1=626f756e646172795f30303030375f343200 2=00000002\n"));
	ck_assert_ptr_nonnull(strstr(text, " family 5 1=626f756e646172795f30303030375f343200 2=00000002\n"));
	ck_assert_ptr_nonnull(
		strstr(text, " 3=707265726f7574696e6700 7=6e617400 5=00000001 4=[ 1=00000000 2=ffffff92]\n"));
	/* "closed", "filter", input: not from the cable, and to its address: drop. */
	ck_assert_ptr_nonnull(strstr(text, " 3=636c6f73656400 7=66696c74657200 5=00000001 4=[ 1=00000001 2=00000000]\n"
					   "rule\n meta 1=00000001 2=00000004\n cmp 1=00000001 2=00000001 3=[ 1="));
	ck_assert_ptr_nonnull(strstr(text, " payload 1=00000001 2=00000001 3=00000010 4=00000004\n"
					   " cmp 1=00000001 2=00000000 3=[ 1=c612000e]\n"
					   " immediate 1=00000000 2=[ 2=[ 1=00000000]]\n"));
	first = strstr(text, "707265726f7574696e6700");
	second = strstr(text, "0xa00 0x40d family 5");
	ck_assert_ptr_nonnull(first);
	first = strstr(first, "rule\n");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(second);
	ck_assert_ptr_nonnull(strstr(second, " fib "));
	memmove(text, first, (size_t)(second - first));
	text[second - first] = '\0';
	expect_with_number(
		"rule\n"
		" meta 1=00000001 2=00000004\n cmp 1=00000001 2=00000000 3=[ 1=IFINDEX]\n"
		" meta 1=00000001 2=00000010\n cmp 1=00000001 2=00000000 3=[ 1=06]\n"
		" immediate 1=00000001 2=[ 1=0fa0]\n redir 1=00000001 3=00000002\n"
		"rule\n"
		" meta 1=00000001 2=00000004\n cmp 1=00000001 2=00000000 3=[ 1=IFINDEX]\n"
		" meta 1=00000001 2=00000010\n cmp 1=00000001 2=00000000 3=[ 1=11]\n"
		" payload 1=00000001 2=00000002 3=00000002 4=00000002\n cmp 1=00000001 2=00000000 3=[ 1=0035]\n"
		" immediate 1=00000001 2=[ 1=0fa1]\n redir 1=00000001 3=00000002\n",
		"IFINDEX", 42);
}
END_TEST

START_TEST(refused_guard)
{
	uint64_t handle = 0;

	answers(5);
	answer(-EOPNOTSUPP);
	answers(5);
	ck_assert_int_eq(guard_install(ours, &cable, &handle), -EOPNOTSUPP);
}
END_TEST

/* Requirement: it is the very table that is deleted, and that it is gone already is no failure. */
START_TEST(deletion)
{
	answers(4);
	answer(_i ? -ENOENT : 0);
	ck_assert_int_eq(tables_remove(ours, &cable, 0x1122334455667788), 0);
	hear_request();
	describe_request();
	ck_assert_ptr_nonnull(strstr(text, "0xa02 0x5 family 5 4=1122334455667788\n"));
	ck_assert_ptr_nonnull(strstr(text, "0xa02 0x5 family 2 1=626f756e646172795f30303030375f343200\n"));
	ck_assert_ptr_null(strstr(text, "67756172645f30303030"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper_netlink");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, layout);
	tcase_add_test(all, first_error_counts);
	tcase_add_loop_test(all, missing_acknowledgement, 0, 3);
	tcase_add_test(all, kernel_gone);
	tcase_add_loop_test(all, no_room, 0, 3);
	tcase_add_test(all, guard);
	tcase_add_test(all, redirect);
	tcase_add_test(all, refused_guard);
	tcase_add_loop_test(all, deletion, 0, 2);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
