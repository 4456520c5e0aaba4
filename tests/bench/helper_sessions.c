/*
 * helper_sessions HELPER ROUNDS LIVE...: what a session costs while others live. For each LIVE, ascending, brings the
 * number of live sessions to it, then makes and ends ROUNDS more, one after the other, as boundary-launch does; and
 * then sends over the loopback interface, as anybody on the host does. Prints a line of JSON for each LIVE, and one for
 * the end of all.
 *
 * Run it as a user, in the network namespace where the helper is to work. A process of its own keeps the live sessions,
 * so that the one that measures has few descriptors to pass on when it forks.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "shared/wire.h"
#include "tests/attack/helper_peer.h"

#define LIVE_MAX 4000
#define ANSWER_MS 15000 /* helpers end by then, whatever happens (alarm(2) in helper/request.c) */
#define DATAGRAMS 2000
#define CONNECTIONS 300

enum step { STEP_START, STEP_ATTACH, STEP_REDIRECT, STEP_DETACH, STEP_EXIT, STEP_ALL, STEPS };

static const char *const step_names[STEPS] = { "start", "attach", "redirect", "detach", "exit", "all" };

struct live_session {
	struct helper_peer helper;
	int netns;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* A network namespace owned by a user namespace directly below ours, which lives by the descriptor alone. */
static int make_jail(void)
{
	struct helper_jail jail = helper_jail_new(0, 0, CLONE_NEWUSER | CLONE_NEWNET);
	int netns = take_fd(&jail.netns);

	helper_jail_end(&jail);
	return netns;
}

/* Sets the jail's end of the cable up, as jail init does: what carries is taken down in another way than what does not.
 */
static void raise_jail_end(int netns)
{
	struct ifreq request = { .ifr_name = "eth0", .ifr_flags = IFF_UP | IFF_RUNNING };
	int status, userns;
	pid_t pid = fork();

	if (pid < 0)
		err(2, "fork");
	if (pid == 0) {
		userns = ioctl(netns, NS_GET_USERNS);
		if (setns(userns, CLONE_NEWUSER) < 0 || setns(netns, CLONE_NEWNET) < 0)
			_exit(1);
		_exit(ioctl(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), SIOCSIFFLAGS, &request) < 0);
	}
	if (waitpid(pid, &status, 0) < 0 || status != 0)
		errx(2, "eth0 of a jail could not be set up");
}

static void must_be(struct helper_answer answer, int request, const char *what)
{
	if (answer.type == HELPER_FAILED)
		errx(2, "%s: failure %u, %s, detail %u", what, answer.failed.failure, strerror(answer.failed.code),
		     answer.failed.detail);
	if (answer.type != (request | HELPER_REPLY))
		errx(2, "%s: answer %d", what, answer.type);
}

static void attach(struct helper_peer *helper, int netns)
{
	must_be(helper_attach(helper, netns), HELPER_ATTACH, "ATTACH");
}

static void redirect(struct helper_peer *helper)
{
	must_be(helper_redirect(helper), HELPER_REDIRECT, "REDIRECT");
}

static void detach(struct helper_peer *helper)
{
	helper_say(helper, &(struct helper_packet){ .type = HELPER_DETACH });
	must_be(helper_hear(helper, ANSWER_MS), HELPER_DETACH, "DETACH");
}

static void must_end(struct helper_peer *helper)
{
	int status = helper_ended(helper, ANSWER_MS);

	if (status != 0)
		errx(2, "the helper's end: status %d", status);
}

static struct live_session sessions[LIVE_MAX];

static void begin(const char *path, struct live_session *s)
{
	s->netns = make_jail();
	s->helper = helper_start(path, NULL);
	attach(&s->helper, s->netns);
	redirect(&s->helper);
	raise_jail_end(s->netns);
}

static size_t change(const char *path, size_t live, size_t wanted)
{
	while (live < wanted)
		begin(path, &sessions[live++]);
	for (size_t i = wanted; i < live; i++)
		close_fd(&sessions[i].netns);
	while (live > wanted) {
		detach(&sessions[--live].helper);
		must_end(&sessions[live].helper);
	}
	return live;
}

/* The keeper: has as many sessions as it is told, none after the end of file; answers with the milliseconds it took. */
static void keep(const char *path, int control)
{
	size_t live = 0, wanted;
	double took;

	while (recv(control, &wanted, sizeof(wanted), 0) == sizeof(wanted)) {
		took = now_ms();
		live = change(path, live, wanted);
		took = now_ms() - took;
		if (send(control, &took, sizeof(took), MSG_NOSIGNAL) < 0)
			break;
	}
	change(path, live, 0);
	_exit(0);
}

static int start_keeper(const char *path, pid_t *ret_pid)
{
	int pair[2];

	if (wire_pair(pair) < 0)
		err(2, "socketpair");
	*ret_pid = fork();
	if (*ret_pid < 0)
		err(2, "fork");
	if (*ret_pid == 0) {
		close(pair[0]);
		keep(path, pair[1]);
	}
	close(pair[1]);
	return pair[0];
}

static double tell_keeper(int control, size_t live)
{
	double took;

	if (send(control, &live, sizeof(live), MSG_NOSIGNAL) < 0 ||
	    recv(control, &took, sizeof(took), 0) != sizeof(took))
		errx(2, "the keeper of %zu sessions ended", live);
	return took;
}

/*
 * Until the helper waits for its first request, so that the time of ATTACH is the request's alone. Nothing announces
 * that, and the process may not be looked into: but it sleeps (proc(5) stat), under the name that exec gave it.
 */
static void await_waiting(pid_t pid)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	char path[32], text[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	do {
		nanosleep(&moment, NULL);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		length = read(fd, text, sizeof(text) - 1);
		close_fd(&fd);
		text[length > 0 ? length : 0] = 0;
		if (length <= 0 || strstr(text, ") Z"))
			errx(2, "a helper ended at once");
	} while (!strstr(text, "(boundary-helper) S"));
}

/* Milliseconds since the clock was read last. */
static double lap(double *clock)
{
	double before = *clock;

	*clock = now_ms();
	return *clock - before;
}

/* One session from its begin to its end. Making the namespace and what the jail does are not counted. */
static void measure(const char *path, double ret_ms[STEPS])
{
	int netns = make_jail();
	double clock = now_ms();
	struct helper_peer helper = helper_start(path, NULL);

	await_waiting(helper.pid);
	ret_ms[STEP_START] = lap(&clock);
	attach(&helper, netns);
	ret_ms[STEP_ATTACH] = lap(&clock);
	redirect(&helper);
	ret_ms[STEP_REDIRECT] = lap(&clock);
	raise_jail_end(netns);
	close(netns);
	clock = now_ms();
	detach(&helper);
	ret_ms[STEP_DETACH] = lap(&clock);
	must_end(&helper);
	ret_ms[STEP_EXIT] = lap(&clock);
	ret_ms[STEP_ALL] = 0;
	for (enum step step = 0; step < STEP_ALL; step++)
		ret_ms[STEP_ALL] += ret_ms[step];
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *samples, size_t count)
{
	qsort(samples, count, sizeof(*samples), compare);
	return samples[count / 2];
}

/* A socket bound to 127.0.0.1, and to what port. */
static int loopback_socket(int type, struct sockaddr_in *ret_address)
{
	socklen_t length = sizeof(*ret_address);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	*ret_address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (bind(fd, (struct sockaddr *)ret_address, length) < 0 ||
	    getsockname(fd, (struct sockaddr *)ret_address, &length) < 0)
		err(2, "a socket on 127.0.0.1");
	return fd;
}

/* Median of the microseconds from sending one datagram to having received it. */
static double time_datagrams(void)
{
	static double us[DATAGRAMS];
	struct sockaddr_in address;
	_cleanup_fd_ int in = loopback_socket(SOCK_DGRAM, &address),
			 out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char byte = 0;

	for (size_t i = 0; i < DATAGRAMS; i++) {
		us[i] = -now_ms() * 1e3;
		if (sendto(out, &byte, 1, 0, (struct sockaddr *)&address, sizeof(address)) != 1 ||
		    recv(in, &byte, 1, 0) != 1)
			err(2, "a datagram on 127.0.0.1");
		us[i] += now_ms() * 1e3;
	}
	return median(us, DATAGRAMS);
}

/* Median of the microseconds from connecting to having accepted. */
static double time_connections(void)
{
	static double us[CONNECTIONS];
	struct sockaddr_in address;
	_cleanup_fd_ int listener = loopback_socket(SOCK_STREAM, &address);

	if (listen(listener, 8) < 0)
		err(2, "listen");
	for (size_t i = 0; i < CONNECTIONS; i++) {
		_cleanup_fd_ int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), in = -1;

		us[i] = -now_ms() * 1e3;
		if (connect(out, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    (in = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
			err(2, "a connection on 127.0.0.1");
		us[i] += now_ms() * 1e3;
	}
	return median(us, CONNECTIONS);
}

static void print_level(size_t live, double took, size_t rounds, double (*ms)[STEPS])
{
	printf("{\"live\": %zu, \"took_ms\": %.1f, \"datagram_us\": %.2f, \"connection_us\": %.2f, \"ms\": {", live,
	       took, time_datagrams(), time_connections());
	for (enum step step = 0; step < STEPS; step++) {
		printf("%s\"%s\": [", step ? ", " : "", step_names[step]);
		for (size_t i = 0; i < rounds; i++)
			printf("%s%.3f", i ? ", " : "", ms[i][step]);
		printf("]");
	}
	printf("}}\n");
	fflush(stdout);
}

/* Two descriptors a session: more than the soft limit of most machines. */
static void allow_descriptors(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		err(2, "RLIMIT_NOFILE");
}

int main(int argc, char **argv)
{
	size_t rounds, live;
	double(*ms)[STEPS], took;
	int control, status;
	pid_t keeper;

	if (argc < 4)
		errx(2, "usage: helper_sessions HELPER ROUNDS LIVE...");
	rounds = strtoul(argv[2], NULL, 10);
	ms = calloc(rounds, sizeof(*ms));
	if (!ms)
		err(2, "%s rounds", argv[2]);
	allow_descriptors();
	control = start_keeper(argv[1], &keeper);
	for (char **level = argv + 3; *level; level++) {
		live = strtoul(*level, NULL, 10);
		if (live > LIVE_MAX)
			errx(2, "at most %d live sessions", LIVE_MAX);
		took = tell_keeper(control, live);
		for (size_t i = 0; i < rounds; i++)
			measure(argv[1], ms[i]);
		print_level(live, took, rounds, ms);
	}
	printf("{\"took_ms\": %.1f}\n", tell_keeper(control, 0));
	close(control);
	free(ms);
	return waitpid(keeper, &status, 0) == keeper && status == 0 ? 0 : 1;
}
