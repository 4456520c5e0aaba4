/*
 * launcher/helper_client.c: every reason of the helper's becomes a sentence that says what failed and what to do. The
 * helper is this test, at the other end of the socketpair.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/helper_client.h"
#include "shared/cleanup.h"
#include "shared/wire.h"

static struct service helper;
static int theirs;
static struct error why;

static void setup(void)
{
	int pair[2];

	ck_assert_int_eq(wire_pair(pair), 0);
	helper = (struct service){ .name = "boundary-helper", .pid = -1, .pidfd = -1, .socket = pair[0] };
	theirs = pair[1];
	why = (struct error){ 0 };
}

static void teardown(void)
{
	close_fd(&helper.socket);
	close_fd(&theirs);
}

static void will_fail(uint32_t failure, int32_t code, uint32_t detail)
{
	const struct helper_failed failed = { failure, code, detail };

	ck_assert_int_eq(wire_send(theirs, HELPER_FAILED, &failed, sizeof(failed), NULL, 0), 0);
}

static const struct {
	bool redirect; /* the request that fails */
	uint32_t failure;
	int32_t code;
	uint32_t detail;
	const char *says[3]; /* what, why, what next */
} failures[] = {
	{ false, HELPER_FAILURE_PROTOCOL, ETIMEDOUT, 0, { "another version", "5 seconds", "same build" } },
	{ false,
	  HELPER_FAILURE_CAPABILITY,
	  EPERM,
	  0,
	  { "boundary-helper", "no file capability", "sudo setcap cap_net_admin=p" } },
	{ false, HELPER_FAILURE_NOT_A_NETNS, EINVAL, 0, { "network namespace", "Invalid argument", "same user" } },
	{ false, HELPER_FAILURE_FOREIGN_NETNS, EPERM, 0, { "network namespace", "not permitted", "same user" } },
	{ false, HELPER_FAILURE_NO_FREE_INDEX, EEXIST, 16, { "used up", "larger pool", HELPER_CONFIG_PATH } },
	{ false, HELPER_FAILURE_LINK, EOPNOTSUPP, 0, { "veth pair", "not supported", "modprobe veth" } },
	{ false, HELPER_FAILURE_GUARD, EOPNOTSUPP, 0, { "guard", "not supported", "modprobe nf_tables" } },
	{ true, HELPER_FAILURE_REDIRECT, EOPNOTSUPP, 0, { "redirect", "Linux 5.13", "modprobe nft_redir" } },
	{ true, HELPER_FAILURE_REDIRECT, E2BIG, 0, { "redirect", "as many nat chains", "End other sessions" } },
	{ false, HELPER_FAILURE_CONFINEMENT, EINVAL, 0, { "confine", "Invalid argument", "" } },
	{ false, HELPER_FAILURE_CONFIG_FILE, EACCES, 0, { HELPER_CONFIG_PATH, "Permission denied", "chmod 644" } },
	{ false, HELPER_FAILURE_CONFIG_LINE, EINVAL, 7, { HELPER_CONFIG_PATH ":7", "no valid setting", "corrected" } },
	{ false, HELPER_FAILURE_GROUP, EACCES, 0, { "allowed-group", HELPER_CONFIG_PATH, "gpasswd -a" } },
	{ false, HELPER_FAILURE_USER_SESSIONS, EDQUOT, 64, { "64 sessions", "End one", "sessions-per-uid" } },
	{ false, HELPER_FAILURE_ALL_SESSIONS, EDQUOT, 1000, { "1000 sessions", "End one", "sessions-total" } },
	{ false, HELPER_FAILURE_POOL, EADDRINUSE, 0xc6120002, { "198.18.0.2", "Set pool", HELPER_CONFIG_PATH } },
	/* A helper of the future. */
	{ false, HELPER_FAILURE_POOL + 1, EPERM, 0, { "another version", "", "same build" } },
};

START_TEST(each_failure_is_explained)
{
	struct helper_attached attached;
	int r;

	will_fail(failures[_i].failure, failures[_i].code, failures[_i].detail);
	r = failures[_i].redirect ? helper_client_redirect(&helper, "/nonexistent/helper", 1, 2, &why)
				  : helper_client_attach(&helper, "/nonexistent/helper", STDIN_FILENO, &attached, &why);
	ck_assert_int_lt(r, 0);
	for (size_t i = 0; i < array_size(failures[_i].says); i++)
		ck_assert_msg(strstr(why.text, failures[_i].says[i]), "\"%s\" lacks \"%s\"", why.text,
			      failures[_i].says[i]);
}
END_TEST

START_TEST(every_failure_has_a_row)
{
	for (uint32_t failure = HELPER_FAILURE_PROTOCOL; failure <= HELPER_FAILURE_POOL; failure++) {
		bool found = false;

		for (size_t i = 0; i < array_size(failures); i++)
			found |= failures[i].failure == failure;
		ck_assert_msg(found, "failure %u", failure);
	}
}
END_TEST

START_TEST(answer)
{
	const struct helper_attached sent = { 3, 0xc6120006, 0xc6120007, 9, "bnd00003", 0 };
	struct helper_attached attached;
	struct wire_message message;

	ck_assert_int_eq(wire_send(theirs, HELPER_ATTACH | HELPER_REPLY, &sent, sizeof(sent), NULL, 0), 0);
	ck_assert_int_eq(helper_client_attach(&helper, "helper", STDIN_FILENO, &attached, &why), 0);
	ck_assert_mem_eq(&attached, &sent, sizeof(sent));
	ck_assert_int_eq(wire_receive(theirs, &message, 1, 0), 0);
	ck_assert_uint_eq(message.type, HELPER_ATTACH);
	ck_assert_uint_eq(message.n_fds, 1);
	wire_message_clear(&message);
}
END_TEST

/* An answer to something else, one that is too short, and none. */
START_TEST(no_answer)
{
	static const uint16_t types[] = { HELPER_REDIRECT | HELPER_REPLY, HELPER_ATTACH | HELPER_REPLY, HELPER_FAILED };
	struct helper_attached attached;

	if (_i < (int)array_size(types))
		ck_assert_int_eq(wire_send(theirs, types[_i], "x", 1, NULL, 0), 0);
	else
		close_fd(&theirs);
	ck_assert_int_lt(helper_client_attach(&helper, "helper", STDIN_FILENO, &attached, &why), 0);
	ck_assert_ptr_nonnull(strstr(why.text, _i < (int)array_size(types) ? "same build" : "does not answer"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launch_helper");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_loop_test(all, each_failure_is_explained, 0, (int)array_size(failures));
	tcase_add_test(all, every_failure_has_a_row);
	tcase_add_test(all, answer);
	tcase_add_loop_test(all, no_answer, 0, 4);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
