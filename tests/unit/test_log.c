/* Log lines: what they look like, what is cut and how that is said, who waits
 * for whom. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "shared/log.h"

/* What one log call writes, without its timestamp when it is text. */
static char *logged(enum log_format format, const char *message, const struct log_field *fields, size_t n)
{
	static char line[16384];
	int pair[2];
	ssize_t length;

	ck_assert_int_eq(pipe(pair), 0);
	log_open(pair[1], LOG_LEVEL_INFO, format, "test");
	log_event(LOG_LEVEL_INFO, message, fields, n);
	close(pair[1]);
	length = read(pair[0], line, sizeof(line) - 1);
	ck_assert_int_ge(length, 0);
	close(pair[0]);
	line[length] = '\0';
	return format == LOG_FORMAT_TEXT && length > 0 ? strchr(line, ' ') + 1 : line;
}

START_TEST(text_quotes_and_escapes)
{
	const struct log_field fields[] = {
		{ "plain", "GET" },
		{ "blank", "a b" },
		{ "injected", "x\n2026 ERROR fake: line" },
		{ "quoted", "say \"hi\" \\" },
		{ "empty", "" },
		{ "absent", NULL },
		{ "utf8", "h\xc3\xa9" },
		{ "broken", "\xff\xc2\x9b" },
	};

	ck_assert_str_eq(logged(LOG_FORMAT_TEXT, "it's \"so\"", fields, array_size(fields)),
			 "INFO test: it's \"so\" plain=GET blank=\"a b\" injected=\"x\\u000a2026 "
			 "ERROR fake: line\" "
			 "quoted=\"say \\\"hi\\\" \\\\\" empty=\"\" utf8=\"h\xc3\xa9\" "
			 "broken=\"\\ufffd\\ufffd\\ufffd\"\n");
}
END_TEST

START_TEST(json_is_one_object_a_line)
{
	const struct log_field fields[] = { { "url", "http://x/\"\n" }, { "absent", NULL } };
	const char *line = logged(LOG_FORMAT_JSON, "ALLOW", fields, array_size(fields));

	ck_assert_ptr_nonnull(strstr(line, ",\"level\":\"info\",\"program\":\"test\",\"message\":"
					   "\"ALLOW\",\"url\":\"http://x/\\\"\\u000a\"}\n"));
	ck_assert_int_eq(strncmp(line, "{\"time\":\"20", 11), 0);
}
END_TEST

/* `n` times `octet`, for the caller to free. */
static char *many(char octet, size_t n)
{
	char *text = malloc(n + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, octet, n);
	text[n] = '\0';
	return text;
}

/* How often `octet` occurs in a line. */
static size_t count(const char *line, char octet)
{
	size_t n = 0;

	for (; *line; line++)
		n += *line == octet;
	return n;
}

static size_t number_after(const char *line, const char *key)
{
	const char *at = strstr(line, key);

	ck_assert_msg(at != NULL, "no %s in %s", key, line);
	return strtoul(at + strlen(key), NULL, 10);
}

/* What is missing is said, to the octet, and what comes after it is there. */
START_TEST(says_what_it_cuts)
{
	char *method = many('M', 60000), *url = many('"', 50000);
	const struct log_field fields[] = {
		{ "method", method },
		{ "url", url },
		{ "absent", NULL },
		{ "host", "a.example" },
		{ "reason", "no rule matches" },
	};

	for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
		const char *equals = format == LOG_FORMAT_TEXT ? "=" : "\":";
		const char *line = logged((enum log_format)format, "DENY", fields, array_size(fields));
		char key[32];

		ck_assert_uint_le(strlen(line), LOG_LINE_MAX);
		ck_assert_uint_eq(count(line, '\n'), 1);
		snprintf(key, sizeof(key), "method_cut%s", equals);
		/* Text: "DENY" and the level have none of it. */
		ck_assert_uint_eq(count(line, 'M') + number_after(line, key), 60000);
		ck_assert_uint_gt(count(line, 'M'), 1000);
		snprintf(key, sizeof(key), "url_cut%s", equals);
		ck_assert_uint_eq(count(line, '\\') + number_after(line, key), 50000);
		ck_assert_uint_gt(count(line, '\\'), 100);
		ck_assert_ptr_nonnull(strstr(line, "a.example"));
		ck_assert_ptr_nonnull(strstr(line, format == LOG_FORMAT_TEXT ? " reason=\"no rule matches\"\n"
									     : ",\"reason\":\"no rule matches\"}\n"));
	}
	free(method);
	free(url);
}
END_TEST

START_TEST(leaves_whole_what_fits)
{
	char *url = many('u', 2000);
	const struct log_field fields[] = { { "method", "GET" }, { "url", url }, { "host", "a.example" } };
	const char *line = logged(LOG_FORMAT_TEXT, "ALLOW", fields, array_size(fields));

	ck_assert_ptr_null(strstr(line, "cut"));
	ck_assert_uint_eq(count(line, 'u'), 2000 + 1);
	free(url);
}
END_TEST

/* The worst of everything: the most fields, all of them too long, all of it to
 * be escaped. */
START_TEST(lines_have_an_end)
{
	static const char octets[] = { '\1', '"', '\xff', 'x' };
	struct log_field fields[LOG_FIELDS_MAX];

	for (size_t o = 0; o < array_size(octets); o++) {
		char *big = many(octets[o], 100000);

		for (size_t i = 0; i < array_size(fields); i++)
			fields[i] = (struct log_field){ "key", big };
		for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
			const char *line = logged((enum log_format)format, big, fields, array_size(fields));
			size_t length = strlen(line), said = 0;

			ck_assert_uint_le(length, LOG_LINE_MAX);
			ck_assert_uint_eq(count(line, '\n'), 1);
			ck_assert_str_eq(line + length - 1, "\n");
			ck_assert_ptr_nonnull(strstr(line, "message_cut"));
			for (const char *at = line; (at = strstr(at, "key_cut")); at++)
				said++;
			ck_assert_uint_eq(said, LOG_FIELDS_MAX);
		}
		free(big);
	}
}
END_TEST

START_TEST(message_is_cut_and_says_so)
{
	char *big = many('b', 10000);
	char line[LOG_LINE_MAX + 1];
	int pipes[2];
	ssize_t length;

	ck_assert_int_eq(pipe(pipes), 0);
	log_open(pipes[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "test");
	log_line(LOG_LEVEL_INFO, "%s", big);
	length = read(pipes[0], line, sizeof(line) - 1);
	ck_assert_int_gt(length, 0);
	line[length] = '\0';
	ck_assert_uint_eq(count(line, 'b') + number_after(line, "message_cut="), 10000);
	close(pipes[0]);
	close(pipes[1]);
	free(big);
}
END_TEST

/* Fills a pipe to the last octet. */
static void fill(int fd)
{
	static const char block[4096];
	int flags = fcntl(fd, F_GETFL);

	ck_assert_int_eq(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(fcntl(fd, F_SETFL, flags), 0);
}

/* Waits until the process sleeps or has ended. */
static void wait_asleep(pid_t pid)
{
	char path[64], text[512], state = 'R';

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	while (state == 'R') {
		_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t length = read(fd, text, sizeof(text) - 1);

		ck_assert_int_gt(length, 0);
		text[length] = '\0';
		state = strrchr(text, ')')[2];
	}
}

static int log_into_full_pipe(int fd, int flags)
{
	char *long_value = many('v', 3000);
	const struct log_field field = { "key", long_value };
	int lost = 0;

	log_open(fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "test");
	fill(fd);
	fcntl(fd, F_SETFL, flags);
	for (int i = 0; i < 200; i++)
		lost += log_event(LOG_LEVEL_INFO, "line", &field, 1) != 0;
	free(long_value);
	return lost;
}

/* A full log makes the writer wait, also where the command, which shares the
 * open file, has made it non-blocking. */
START_TEST(waits_for_its_reader)
{
	static const int flags[] = { 0, O_NONBLOCK };
	static char octets[65536];
	int pipes[2], status, lines = 0;
	ssize_t got;
	pid_t pid;

	ck_assert_int_eq(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		close(pipes[0]);
		_exit(log_into_full_pipe(pipes[1], flags[_i]));
	}
	close(pipes[1]);
	wait_asleep(pid);
	while ((got = read(pipes[0], octets, sizeof(octets))) > 0)
		for (ssize_t i = 0; i < got; i++)
			lines += octets[i] == '\n';
	ck_assert_int_eq(lines, 200);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(pipes[0]);
}
END_TEST

static int waits[2]; /* ends, begins */

static void count_wait(void *user, bool begins)
{
	ck_assert_ptr_eq(user, waits);
	waits[begins]++;
}

/* A log that nobody reads must not outlive what it was waited for. Without the
 * limit this test would not end. */
START_TEST(waits_no_longer_than_it_is_told)
{
	int pipes[2], end[2];

	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(pipe(end), 0);
	log_open(pipes[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "test");
	log_wait_until(end[0]);
	log_on_wait(count_wait, waits);
	ck_assert_int_eq(log_event(LOG_LEVEL_INFO, "there is room", NULL, 0), 0);
	ck_assert(waits[0] == 0 && waits[1] == 0);
	fill(pipes[1]);
	close(end[1]);
	ck_assert_int_eq(log_event(LOG_LEVEL_INFO, "there is none", NULL, 0), -ECANCELED);
	ck_assert(waits[0] == 1 && waits[1] == 1);
	log_on_wait(NULL, NULL);
	log_line(LOG_LEVEL_INFO, "nor for this");
	close(pipes[0]);
	/* SIGPIPE is for the program to ignore; the answer is there either way. */
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(log_event(LOG_LEVEL_INFO, "nobody", NULL, 0), -EPIPE);
	log_open(-1, LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "test");
	ck_assert_int_eq(log_event(LOG_LEVEL_INFO, "nowhere", NULL, 0), -EBADF);
	log_wait_until(-1);
	close(pipes[1]);
	close(end[0]);
}
END_TEST

/* At the end, too, a reader that is only slow gets what is written. */
START_TEST(gives_a_slow_reader_time)
{
	static char octets[65536];
	int pipes[2], end[2], status;
	pid_t writer = getpid(), reader;

	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(pipe(end), 0);
	fill(pipes[1]);
	close(end[1]);
	reader = fork();
	if (reader == 0) {
		wait_asleep(writer);
		_exit(read(pipes[0], octets, sizeof(octets)) > 0 ? 0 : 1);
	}
	log_open(pipes[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "test");
	log_wait_until(end[0]);
	ck_assert_int_eq(log_event(LOG_LEVEL_INFO, "the last line", NULL, 0), 0);
	ck_assert_int_eq(waitpid(reader, &status, 0), reader);
	ck_assert_int_eq(status, 0);
	log_wait_until(-1);
	close(pipes[0]);
	close(pipes[1]);
	close(end[0]);
}
END_TEST

START_TEST(levels_and_words)
{
	enum log_level level;
	enum log_format format;

	log_open(-1, LOG_LEVEL_WARN, LOG_FORMAT_TEXT, "test");
	ck_assert(log_enabled(LOG_LEVEL_ERROR));
	ck_assert(!log_enabled(LOG_LEVEL_INFO));
	ck_assert(log_level_parse("debug", &level) && level == LOG_LEVEL_DEBUG);
	ck_assert(!log_level_parse("DEBUG", &level));
	ck_assert(log_format_parse("json", &format) && format == LOG_FORMAT_JSON);
	ck_assert(!log_format_parse("", &format));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tests = tcase_create("log");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, text_quotes_and_escapes);
	tcase_add_test(tests, json_is_one_object_a_line);
	tcase_add_test(tests, says_what_it_cuts);
	tcase_add_test(tests, leaves_whole_what_fits);
	tcase_add_test(tests, lines_have_an_end);
	tcase_add_test(tests, message_is_cut_and_says_so);
	tcase_add_loop_test(tests, waits_for_its_reader, 0, 2);
	tcase_add_test(tests, waits_no_longer_than_it_is_told);
	tcase_add_test(tests, gives_a_slow_reader_time);
	tcase_add_test(tests, levels_and_words);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
