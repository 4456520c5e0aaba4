/* How messages to the kernel are built and its answers read: shared/netlink.c. */
#include <errno.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/test_helper_answers.h"

static void small_message(void)
{
	const struct ifinfomsg header = { .ifi_index = 3 };

	netlink_message(&n, RTM_GETLINK, NLM_F_ACK, &header, sizeof(header));
	netlink_put_string(&n, IFLA_IFNAME, "abc12");
	netlink_nest(&n, IFLA_LINKINFO);
	netlink_put_u32(&n, IFLA_INFO_DATA, 0x01020304);
	netlink_nest(&n, IFLA_INFO_SLAVE_DATA);
	netlink_put(&n, 1, "x", 1);
	netlink_nest_end(&n, 2);
}

START_TEST(layout)
{
	const struct nlmsghdr *message = (const void *)request;
	const struct rtattr *at = (const void *)(request + NLMSG_SPACE(sizeof(struct ifinfomsg)));

	small_message();
	answer(0);
	ck_assert_int_eq(send_messages(), 0);
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

/* Requirement: the buffer is reused, and of several messages each has its own length. */
START_TEST(several)
{
	const struct nlmsghdr *message = (const void *)request;
	unsigned int left;

	for (int round = 1; round <= 3; round++) {
		for (int i = 0; i < round; i++)
			small_message();
		answers(round);
		ck_assert_int_eq(send_messages(), 0);
		hear_request();
		left = (unsigned int)request_length;
		message = (const void *)request;
		for (int i = 0; i < round; i++, message = NLMSG_NEXT(message, left)) {
			ck_assert(NLMSG_OK(message, left));
			ck_assert_uint_eq(message->nlmsg_len, request_length / round);
		}
		ck_assert_uint_eq(left, 0);
	}
}
END_TEST

START_TEST(first_error_counts)
{
	small_message();
	small_message();
	small_message();
	answer(0);
	answer(-EEXIST);
	answer(-EBUSY);
	ck_assert_int_eq(send_messages(), -EEXIST);
	/* Nothing is left over for the next request. */
	small_message();
	answer(0);
	ck_assert_int_eq(send_messages(), 0);
}
END_TEST

START_TEST(missing_acknowledgement)
{
	small_message();
	small_message();
	answers(_i);
	ck_assert_int_eq(send_messages(), _i == 2 ? 0 : -EPROTO);
}
END_TEST

START_TEST(kernel_gone)
{
	signal(SIGPIPE, SIG_IGN);
	close(kernel);
	small_message();
	ck_assert_int_lt(send_messages(), 0);
	small_message();
	ck_assert_int_eq(netlink_send(&n, -1, NULL, NULL), -EBADF);
}
END_TEST

/* Requirement: after an error of the socket (ENOBUFS) what is queued does not stay for the next request; but it ends.
 */
START_TEST(socket_error)
{
	small_message();
	answer(0);
	errors_to_come = _i ? 100 : 1;
	ck_assert_int_eq(send_messages(), -ENOBUFS);
	if (_i) {
		ck_assert_uint_le(n_received, 16);
		return;
	}
	small_message();
	ck_assert_int_eq(send_messages(), -EPROTO);
}
END_TEST

/* Requirement: an interrupted dump is read to its end, and is to be begun again. */
START_TEST(interrupted_dump)
{
	const struct nfgenmsg header = { 0 };

	netlink_message(&n, NEW_TABLE, NLM_F_DUMP, &header, sizeof(header));
	answer_table(NEW_TABLE, 0, "a", 1, NULL, 0);
	answer_table(NEW_TABLE, _i ? NLM_F_DUMP_INTR : 0, "b", 2, NULL, 0);
	answer_table(NEW_TABLE, 0, "c", 3, NULL, 0);
	answer_done(0);
	ck_assert_int_eq(send_messages(), _i ? -ERESTART : 0);
	small_message();
	answer(0);
	ck_assert_int_eq(send_messages(), 0);
	netlink_message(&n, NEW_TABLE, NLM_F_DUMP, &header, sizeof(header));
	answer_done(-ENOMEM);
	ck_assert_int_eq(send_messages(), -ENOMEM);
}
END_TEST

/* Requirement: a message that lacks an attribute for want of room is never sent. */
START_TEST(no_room)
{
	char big[100] = { 0 };

	small_message();
	for (int i = 0; _i == 0 && i < 400; i++)
		netlink_put(&n, 1, big, sizeof(big));
	for (int i = 0; _i == 1 && i < 1000; i++)
		small_message();
	answer(0);
	ck_assert_int_eq(send_messages(), -EMSGSIZE);
	ck_assert_uint_eq(n_sent, 0);
	/* And the buffer is empty again. */
	small_message();
	ck_assert_int_eq(send_messages(), 0);
}
END_TEST

/* Requirement: one address, and the filter that says that it is all there is: without, all connections would go. */
START_TEST(forgetting)
{
	static const unsigned char attributes[] = { 0xc6, 0x12, 0x00, 0x01 };
	const struct nlmsghdr *message = (const void *)request;
	const unsigned char *at = request + NLMSG_SPACE(sizeof(struct nfgenmsg));

	answer(_i ? -EINVAL : 0);
	ck_assert_int_eq(netlink_forget_connections(&n, 0xc6120001), _i ? -EINVAL : 0);
	hear_request();
	ck_assert_uint_eq(message->nlmsg_type, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE);
	ck_assert_uint_eq(message->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	ck_assert_int_eq(message->nlmsg_len, request_length);
	ck_assert_uint_eq(((const struct nfgenmsg *)NLMSG_DATA(message))->nfgen_family, AF_INET);
	/* CTA_TUPLE_ORIG, CTA_TUPLE_IP, CTA_IP_V4_SRC; CTA_FILTER, CTA_FILTER_ORIG_FLAGS: four octets of header each.
	 */
	ck_assert_int_eq(request_length, at - request + 16 + 12);
	ck_assert_uint_eq(((const struct nlattr *)at)->nla_type, CTA_TUPLE_ORIG | NLA_F_NESTED);
	ck_assert_uint_eq(((const struct nlattr *)(at + 4))->nla_type, CTA_TUPLE_IP | NLA_F_NESTED);
	ck_assert_uint_eq(((const struct nlattr *)(at + 8))->nla_type, CTA_IP_V4_SRC);
	ck_assert_mem_eq(at + 12, attributes, sizeof(attributes));
	ck_assert_uint_eq(((const struct nlattr *)(at + 16))->nla_type, CTA_FILTER | NLA_F_NESTED);
	ck_assert_uint_eq(((const struct nlattr *)(at + 20))->nla_type, CTA_FILTER_ORIG_FLAGS);
	ck_assert_uint_eq(*(const uint32_t *)(at + 24), 1);
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
	tcase_add_test(all, several);
	tcase_add_test(all, first_error_counts);
	tcase_add_loop_test(all, missing_acknowledgement, 0, 3);
	tcase_add_test(all, kernel_gone);
	tcase_add_loop_test(all, socket_error, 0, 2);
	tcase_add_loop_test(all, interrupted_dump, 0, 2);
	tcase_add_loop_test(all, no_room, 0, 2);
	tcase_add_loop_test(all, forgetting, 0, 2);
	tcase_set_timeout(all, 60);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
