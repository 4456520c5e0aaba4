/* shared/: errors, messages with descriptors, and what a process does first. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/addresses.h"
#include "shared/cleanup.h"
#include "shared/error.h"
#include "shared/process.h"
#include "shared/wire.h"

START_TEST(error_keeps_code_text_and_errno)
{
	struct error e = { 0 };

	errno = EBADF;
	ck_assert_int_eq(error_errno(&e, ENOENT, "opening %s", "x"), -ENOENT);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_str_eq(e.text, "opening x: No such file or directory");
	ck_assert_int_eq(error_prefix(&e, "rule %d", 2), -ENOENT);
	ck_assert_str_eq(e.text, "rule 2: opening x: No such file or directory");
	ck_assert_int_eq(error_set(NULL, EPERM, "nobody listens"), -EPERM);
}
END_TEST

START_TEST(error_cuts_what_is_too_long)
{
	struct error e = { 0 };
	char big[2 * ERROR_TEXT_MAX];

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	error_errno(&e, EIO, "%s", big);
	ck_assert_uint_eq(strlen(e.text), ERROR_TEXT_MAX - 1);
	error_prefix(&e, "%s", big);
	ck_assert_uint_eq(strlen(e.text), ERROR_TEXT_MAX - 1);
}
END_TEST

static int pair[2];

static void make_pair(void)
{
	ck_assert_int_eq(wire_pair(pair), 0);
}

static void close_pair(void)
{
	close(pair[0]);
	close(pair[1]);
}

/* Sends raw octets and `n` descriptors (of standard input) as one packet. */
static void send_raw(const void *bytes, size_t length, size_t n)
{
	char control[CMSG_SPACE(64 * sizeof(int))] = { 0 };
	struct iovec part = { (void *)bytes, length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (n > 0) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (size_t i = 0; i < n; i++)
			((int *)(void *)CMSG_DATA(c))[i] = STDIN_FILENO;
	}
	ck_assert_int_eq(sendmsg(pair[0], &message, 0), (int)length);
}

static int open_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

START_TEST(wire_carries_payload_and_fds)
{
	const int fds[2] = { pair[0], pair[1] };
	struct wire_message message;
	static char big[WIRE_PAYLOAD_MAX];

	memset(big, 'b', sizeof(big));
	ck_assert_int_eq(wire_send(pair[0], 7, big, sizeof(big), fds, 2), 0);
	ck_assert_int_eq(wire_receive(pair[1], &message, 2, 1000), 0);
	ck_assert_uint_eq(message.type, 7);
	ck_assert_uint_eq(message.length, sizeof(big));
	ck_assert_mem_eq(message.payload, big, sizeof(big));
	ck_assert_uint_eq(message.n_fds, 2);
	ck_assert_int_eq(fcntl(message.fds[0], F_GETFD), FD_CLOEXEC);
	wire_message_clear(&message);
	ck_assert_int_eq(wire_send(pair[0], 8, NULL, 0, NULL, 0), 0);
	ck_assert_int_eq(wire_receive(pair[1], &message, 0, 1000), 0);
	ck_assert_uint_eq(message.length, 0);
}
END_TEST

START_TEST(wire_refuses_to_send_too_much)
{
	static char big[WIRE_PAYLOAD_MAX + 1];
	int fds[WIRE_FDS_MAX + 1] = { 0 };

	ck_assert_int_eq(wire_send(pair[0], 1, big, sizeof(big), NULL, 0), -EMSGSIZE);
	ck_assert_int_eq(wire_send(pair[0], 1, NULL, 0, fds, WIRE_FDS_MAX + 1), -EINVAL);
}
END_TEST

START_TEST(wire_refuses_what_is_malformed)
{
	const struct {
		struct wire_header header;
		size_t extra;
	} cases[] = {
		{ { WIRE_MAGIC + 1, WIRE_VERSION, 1, 0 }, 0 },
		{ { WIRE_MAGIC, WIRE_VERSION + 1, 1, 0 }, 0 },
		{ { WIRE_MAGIC, WIRE_VERSION, 1, 5 }, 4 },
		{ { WIRE_MAGIC, WIRE_VERSION, 1, 3 }, 4 },
		{ { WIRE_MAGIC, WIRE_VERSION, 1, WIRE_PAYLOAD_MAX + 1 }, WIRE_PAYLOAD_MAX + 1 },
		{ { WIRE_MAGIC, WIRE_VERSION, 1, 0xffffffff }, 0 },
	};
	static char packet[sizeof(struct wire_header) + WIRE_PAYLOAD_MAX + 1];
	struct wire_message message;
	const int before = open_descriptors();

	for (size_t i = 0; i < array_size(cases); i++) {
		memcpy(packet, &cases[i].header, sizeof(cases[i].header));
		send_raw(packet, sizeof(cases[i].header) + cases[i].extra, 1);
		ck_assert_msg(wire_receive(pair[1], &message, 1, 1000) == -EPROTO, "case %zu", i);
		ck_assert_uint_eq(message.n_fds, 0);
	}
	send_raw("BN", 2, 0);
	ck_assert_int_eq(wire_receive(pair[1], &message, 1, 1000), -EPROTO);
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(wire_refuses_surplus_descriptors)
{
	const struct wire_header header = { WIRE_MAGIC, WIRE_VERSION, 1, 0 };
	const size_t counts[] = { 1, 2, WIRE_FDS_MAX, WIRE_FDS_MAX + 1, 64 };
	struct wire_message message;
	const int before = open_descriptors();

	for (size_t i = 0; i < array_size(counts); i++) {
		send_raw(&header, sizeof(header), counts[i]);
		ck_assert_int_eq(wire_receive(pair[1], &message, 0, 1000), -EPROTO);
		ck_assert_int_eq(open_descriptors(), before);
	}
	send_raw(&header, sizeof(header), 1);
	ck_assert_int_eq(wire_receive(pair[1], &message, 1, 1000), 0);
	wire_message_clear(&message);
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(wire_times_out_and_sees_the_end)
{
	struct wire_message message;

	ck_assert_int_eq(wire_receive(pair[1], &message, 0, 10), -ETIMEDOUT);
	close(pair[0]);
	ck_assert_int_eq(wire_receive(pair[1], &message, 0, 1000), -ECONNRESET);
	ck_assert_int_eq(wire_send(pair[1], 1, NULL, 0, NULL, 0), -EPIPE);
	wire_message_clear(NULL);
}
END_TEST

/* Runs `check` in a child, since it changes the process for good. */
static void in_child(int (*check)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(check());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status 0x%x", status);
}

static int check_stdio(void)
{
	close(0);
	close(2);
	if (process_fill_stdio() < 0)
		return 1;
	return fcntl(0, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0;
}

static int check_close(void)
{
	int fd = fcntl(0, F_DUPFD, 100);

	if (fd < 0 || process_close_from(3) < 0)
		return 1;
	return fcntl(fd, F_GETFD) >= 0 || fcntl(2, F_GETFD) < 0;
}

static int check_signals(void)
{
	struct sigaction action;
	sigset_t all;

	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	process_reset_signals();
	sigaction(SIGPIPE, NULL, &action);
	sigprocmask(SIG_BLOCK, NULL, &all);
	return action.sa_handler != SIG_DFL || sigismember(&all, SIGTERM);
}

START_TEST(process_first_steps)
{
	in_child(check_stdio);
	in_child(check_close);
	in_child(check_signals);
}
END_TEST

START_TEST(addresses_of_the_cable)
{
	const struct ethernet_address end = cable_ethernet_address(CABLE_NETWORK + 15);

	ck_assert_mem_eq(end.octets, "\x02\x00\xc6\x12\x00\x0f", sizeof(end.octets));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shared");
	TCase *plain = tcase_create("plain");
	TCase *wire = tcase_create("wire");
	SRunner *runner;
	int failed;

	tcase_add_test(plain, error_keeps_code_text_and_errno);
	tcase_add_test(plain, error_cuts_what_is_too_long);
	tcase_add_test(plain, process_first_steps);
	tcase_add_test(plain, addresses_of_the_cable);
	tcase_add_checked_fixture(wire, make_pair, close_pair);
	tcase_add_test(wire, wire_carries_payload_and_fds);
	tcase_add_test(wire, wire_refuses_to_send_too_much);
	tcase_add_test(wire, wire_refuses_what_is_malformed);
	tcase_add_test(wire, wire_refuses_surplus_descriptors);
	tcase_add_test(wire, wire_times_out_and_sees_the_end);
	suite_add_tcase(suite, plain);
	suite_add_tcase(suite, wire);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
