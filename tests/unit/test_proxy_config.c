/* The launcher's first message: only exactly that is accepted, and nothing leaks when it is not. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy/proxy/config.h"
#include "shared/proxy_protocol.h"

#define ALL_FDS 15u

static struct session session;
static struct wire_message message;
static struct config config;
static struct error error;

static int memory(const char *octets, size_t length)
{
	int fd = memfd_create("config", MFD_CLOEXEC);

	ck_assert_int_eq(write(fd, octets, length), (ssize_t)length);
	return fd;
}

/* A message with the configuration `octets` and a descriptor for each bit of `fds` but `missing` of them. */
static void compose(const char *octets, size_t length, uint32_t fds, size_t missing)
{
	struct proxy_configure configure = { .fds = fds, .log_level = LOG_LEVEL_INFO, .log_format = LOG_FORMAT_JSON };

	memset(&message, 0, sizeof(message));
	message.type = PROXY_CONFIGURE;
	message.length = sizeof(configure);
	memcpy(message.payload, &configure, sizeof(configure));
	for (uint32_t left = fds; left; left &= left - 1)
		message.fds[message.n_fds++] = memory(octets, length);
	for (; missing > 0; missing--)
		close(message.fds[--message.n_fds]);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void tear_down(void)
{
	rule_set_free(session.rules);
	search_domains_clear(&session.search);
}

#define TEXT "allow=domain=a.example\0allow=domain=b.example method=GET\0deny=domain=c.example\0search=corp.example\0"

START_TEST(accepted)
{
	compose(TEXT, sizeof(TEXT) - 1, ALL_FDS, 0);
	ck_assert_msg(config_read(&message, &session, &config, &error) == 0, "%s", error.text);
	ck_assert_uint_eq(rule_set_count(session.rules, RULE_ALLOW), 2);
	ck_assert_uint_eq(rule_set_count(session.rules, RULE_DENY), 1);
	ck_assert_uint_eq(session.search.n, 1);
	ck_assert_str_eq(session.search.names[0], "corp.example");
	ck_assert_int_ge(config.log_fd, 0);
	ck_assert_int_ge(config.system_ca, 0);
	ck_assert_int_ge(config.extra_ca, 0);
	ck_assert_int_eq(config.log_level, LOG_LEVEL_INFO);
	ck_assert_int_eq(config.log_format, LOG_FORMAT_JSON);
}
END_TEST

START_TEST(no_rules_and_no_authorities)
{
	compose("", 0, 3, 0);
	ck_assert_int_eq(config_read(&message, &session, &config, &error), 0);
	ck_assert_uint_eq(rule_set_count(session.rules, RULE_ALLOW), 0);
	ck_assert_int_eq(config.system_ca, -1);
	ck_assert_int_eq(config.extra_ca, -1);
}
END_TEST

/* Refused, with all descriptors of the message closed. */
static void refused(void)
{
	int before = count_fds() - (int)message.n_fds;

	ck_assert_int_lt(config_read(&message, &session, &config, &error), 0);
	ck_assert_str_ne(error.text, "");
	wire_message_clear(&message);
	ck_assert_int_eq(count_fds(), before);
}

START_TEST(wrong_messages)
{
	struct proxy_configure configure = { .fds = 3, .log_level = 9 };

	compose(TEXT, sizeof(TEXT) - 1, 3, 0);
	switch (_i) {
	case 0:
		message.type = PROXY_SERVE;
		break;
	case 1:
		message.length--;
		break;
	case 2:
		memcpy(message.payload, &configure, sizeof(configure));
		break;
	case 3: /* no log */
		wire_message_clear(&message);
		compose(TEXT, sizeof(TEXT) - 1, 5, 0);
		break;
	case 4: /* fewer descriptors than announced */
		wire_message_clear(&message);
		compose(TEXT, sizeof(TEXT) - 1, ALL_FDS, 1);
		break;
	case 5: /* more */
		message.fds[message.n_fds++] = memory("", 0);
		break;
	case 6: /* an unknown kind */
		wire_message_clear(&message);
		compose(TEXT, sizeof(TEXT) - 1, 19, 0);
		break;
	}
	refused();
}
END_TEST

START_TEST(wrong_records)
{
	static const struct {
		const char *octets;
		size_t length;
	} records[] = {
		{ "allow=domain=a.example", 22 }, /* no NUL */
		{ "allow\0", 6 },
		{ "what=ever\0", 10 },
		{ "\0", 1 },
		{ "allow=domain=\0", 14 },
		{ "allow=domain=a.example\0deny=nonsense=1\0", 39 },
	};

	compose(records[_i].octets, records[_i].length, 3, 0);
	refused();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proxy_config");
	TCase *tests = tcase_create("config");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, NULL, tear_down);
	tcase_add_test(tests, accepted);
	tcase_add_test(tests, no_rules_and_no_authorities);
	tcase_add_loop_test(tests, wrong_messages, 0, 7);
	tcase_add_loop_test(tests, wrong_records, 0, 6);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
