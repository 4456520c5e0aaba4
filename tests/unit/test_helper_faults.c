/*
 * The helper with every call that can fail failing in turn, on the real kernel, in namespaces of the test's own: whole
 * sessions, and sessions that end early. Either the session is as if nothing had happened, or the failure is answered
 * and nothing is left; only where the deletion itself fails may something remain, which then passes nothing.
 *
 * The sessions run first, many at once, for each waits on the kernel most of its time; the suite reports them, each as
 * a check of its own.
 */
#include <check.h>
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/request.h"
#include "shared/cleanup.h"
#include "shared/wire.h"
#include "tests/attack/helper_link.h"
#include "tests/attack/helper_peer.h"
#include "tests/attack/helper_tables.h"
#include "tests/unit/helper_faults.h"

#define WORKERS 10
#define POINTS_MAX 8192
#define TIMEOUT_MS 20000

/* How far the peer goes before it closes its end. */
enum ending { AT_ONCE, ATTACHED, SERVING, DETACHED, ENDINGS };

/* One session with one fault, and what was wrong with it. */
struct point {
	struct fault fault;
	enum ending ending;
	bool in_teardown; /* no request is executed any more when it strikes */
	size_t n_answers; /* how many requests succeeded */
	bool left_link, left_guard, injected, complete;
	char call[24];
	char wrong[160]; /* empty if all was right */
};

static struct shared {
	struct fault_record whole[ENDINGS]; /* sessions without a fault */
	struct point points[POINTS_MAX];
	unsigned int n_points, next;
	unsigned int first[FAULT_KINDS + 1];
} * shared;

static void wrong(struct point *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct point *p, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (!p->wrong[0])
		vsnprintf(p->wrong, sizeof(p->wrong), format, arguments);
	va_end(arguments);
}

/* What is there ------------------------------------------------------------------------------------------------------
 */

struct host {
	bool link, up;
	unsigned int guards, own_tables;
};

static struct host look(void)
{
	struct host host = { 0 };
	char text[4096];

	if (link_list(text, sizeof(text)) < 0)
		abort();
	host.link = text[0] != '\0';
	host.up = strstr(text, " up ") != NULL;
	if (tables_list(text, sizeof(text)) < 0)
		abort();
	for (const char *at = text; (at = strstr(at, " boundary_")); at++) {
		host.guards += strncmp(at, " boundary_guard_", 16) == 0;
		host.own_tables += strncmp(at, " boundary_guard_", 16) != 0;
	}
	return host;
}

/* One session --------------------------------------------------------------------------------------------------------
 */

static struct helper_peer start(const struct fault *fault, struct fault_record *record)
{
	struct helper_peer peer = { .its_end = -1 };
	int pair[2];

	if (wire_pair(pair) < 0)
		abort();
	peer.socket = pair[0];
	peer.pid = fork();
	if (peer.pid < 0)
		abort();
	if (peer.pid == 0) {
		int r;

		close(pair[0]);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* as privileges_reduce() has it */
		faults_begin(fault, record, pair[1]);
		r = request_serve(pair[1]);
		faults_end();
		_exit(r < 0);
	}
	close(pair[1]);
	return peer;
}

/* After an answer. The helper may fail by itself then, but only when the conversation does. */
static void check_serving(struct point *p, size_t n_answers)
{
	struct host host;

	if (p->fault.kind == FAULT_MESSAGE && p->fault.error != EINTR)
		return;
	host = look();
	if (n_answers < 3 && (!host.link || !host.up || host.guards != 1))
		wrong(p, "after answer %zu: link %d up %d guard %u", n_answers, host.link, host.up, host.guards);
	/* The claim; then the redirect in it, and the gate. */
	if (n_answers < 3 && host.own_tables != n_answers)
		wrong(p, "after answer %zu: %u tables of its own", n_answers, host.own_tables);
	if (n_answers == 3 && (host.up || host.guards > 0 || host.own_tables > 0))
		wrong(p, "after HELPER_DETACH: up %d, guard %u, tables %u", host.up, host.guards, host.own_tables);
}

/* Says one request after the other until one fails. */
static void converse(struct point *p, const struct helper_peer *peer, int netns)
{
	size_t n = 0;

	for (; n < (size_t)p->ending; n++) {
		struct helper_answer answer;

		answer = helper_ask(peer, HELPER_ATTACH + n, netns);
		if (answer.type == HELPER_FAILED && answer.failed.failure == 0)
			wrong(p, "request %zu: HELPER_FAILED without a failure", n + 1);
		if (answer.type != HELPER_FAILED && answer.type != (int)(HELPER_ATTACH + n + HELPER_REPLY) &&
		    !(answer.type == 0 && p->fault.kind == FAULT_MESSAGE))
			wrong(p, "request %zu: answer %d", n + 1, answer.type);
		if (answer.type != (int)(HELPER_ATTACH + n + HELPER_REPLY))
			break;
		check_serving(p, n + 1);
	}
	p->n_answers = n;
	p->complete = n == (size_t)p->ending;
}

/*
 * Where the deletion failed: it passes nothing. Else there is nothing. What HELPER_DETACH has set down goes with the
 * jail, whether or not it could be answered.
 */
static void check_remains(struct point *p)
{
	struct host host = look();

	if (p->ending == DETACHED && p->n_answers >= 2 && host.guards == 0)
		host.link = host.up;
	p->left_link = host.link;
	p->left_guard = host.guards > 0;
	if (host.own_tables > 0)
		wrong(p, "%u tables that belonged to the helper are left", host.own_tables);
	if (host.up && host.guards != 1)
		wrong(p, "the cable is up without its guard");
	if (!p->in_teardown && (host.link || host.guards > 0))
		wrong(p, "left: link %d, guard %u", host.link, host.guards);
}

/* It may fail without being asked. The exit status says so, too. */
static void check_end(struct point *p, struct helper_peer *peer)
{
	struct helper_answer answer;
	int status;

	shutdown(peer->socket, SHUT_WR);
	answer = p->complete ? helper_hear(peer, TIMEOUT_MS) : (struct helper_answer){ 0 };
	p->complete = p->complete && answer.type != HELPER_FAILED;
	status = helper_ended(peer, TIMEOUT_MS);
	if (status < 0 || !WIFEXITED(status))
		wrong(p, "the helper ended with wait status %#x", (unsigned int)status);
	else if ((WEXITSTATUS(status) == 0) != p->complete)
		wrong(p, "%zu requests succeeded, exit status %d", p->n_answers, WEXITSTATUS(status));
}

static void check_record(struct point *p, const struct fault_record *record)
{
	const struct fault_record *whole = &shared->whole[p->ending];

	p->injected = record->injected;
	memcpy(p->call, record->call, sizeof(p->call));
	if (!p->injected && !p->complete)
		wrong(p, "failed without a fault");
	if (!p->injected && p->fault.number > 0 && p->fault.error != ENODEV &&
	    p->fault.number <= record->points[p->fault.kind])
		wrong(p, "no fault at call %u", p->fault.number);
	if (p->fault.kind == FAULT_MESSAGE && p->fault.error == EINTR && !p->complete)
		wrong(p, "an interrupted call was not repeated");
	if (record->open_descriptors > 0)
		wrong(p, "%d descriptors left open", record->open_descriptors);
	if (record->strange_closes > 0)
		wrong(p, "closes what is not open");
	if (record->live_blocks > (whole->points[0] > 0 ? whole->live_blocks : 1000))
		wrong(p, "%d blocks not freed, %d without a fault", record->live_blocks, whole->live_blocks);
}

/* Runs it; the record of its calls goes to *record. */
static void run_session(struct point *p, struct fault_record *record)
{
	static const char *const names[] = { "bnd00000", "bnd00001", NULL };
	struct helper_jail jail = helper_jail_new(0, 0, CLONE_NEWUSER | CLONE_NEWNET);
	struct helper_peer peer = start(&p->fault, record);

	converse(p, &peer, jail.netns);
	check_end(p, &peer);
	check_remains(p);
	check_record(p, record);
	/* All are in the pool's first places: see enter_host(). */
	for (const char *const *name = names; look().link && *name; name++)
		(void)link_delete(*name);
	helper_jail_end(&jail);
}

/* After what a failed deletion left, the next session has everything, and leaves nothing. */
static void run_next(struct point *p, struct fault_record *record)
{
	struct point next = { .ending = DETACHED };

	run_session(&next, record);
	if (next.wrong[0])
		wrong(p, "next session: %s", next.wrong);
	if (look().link || look().guards > 0)
		wrong(p, "left after the next session");
}

/* All sessions -------------------------------------------------------------------------------------------------------
 */

static struct fault_record *new_record(void)
{
	void *memory =
		mmap(NULL, sizeof(struct fault_record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	if (!file || fputs(text, file) < 0 || fclose(file) != 0)
		err(2, "%s", path);
}

/* A machine of its own, with all settings made. Not root's, helper.conf is ignored, which is a way to go, too. */
static void enter_host(void)
{
	char conf[128];

	helper_enter(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS);
	if (mount("none", "/etc", "tmpfs", 0, NULL) < 0 || mkdir("/etc/boundary", 0755) < 0)
		err(2, "/etc");
	umask(022);
	write_file("/etc/group", "others:x:4000000:\ntesters:x:4000001:\n");
	snprintf(conf, sizeof(conf),
		 "pool = 198.18.0.0/24\nsessions-per-uid = 2\nsessions-total = 3\nallowed-group = %s\n",
		 getuid() == 0 ? "testers" : "others");
	write_file(HELPER_CONFIG_PATH, conf);
}

static void work(void)
{
	struct fault_record *record = new_record();

	enter_host();
	for (;;) {
		unsigned int i = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED);

		if (i >= shared->n_points)
			break;
		run_session(&shared->points[i], record);
		if (shared->points[i].left_link || shared->points[i].left_guard)
			run_next(&shared->points[i], record);
	}
}

/* Counts the calls of each session without a fault. */
static void measure(void)
{
	enter_host();
	for (enum ending ending = AT_ONCE; ending < ENDINGS; ending++) {
		struct point p = { .ending = ending };
		struct fault_record *record = new_record();

		/* The first allocates what is never freed. */
		run_session(&p, record);
		if (p.wrong[0])
			printf("without a fault: %s\n", p.wrong);
		shared->whole[ending] = *record;
	}
}

static bool run_in_child(void (*function)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		function();
		fflush(stdout);
		_exit(EXIT_SUCCESS);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void run_all(void)
{
	pid_t workers[WORKERS];

	for (size_t i = 0; i < WORKERS; i++) {
		workers[i] = fork();
		if (workers[i] == 0) {
			work();
			_exit(EXIT_SUCCESS);
		}
	}
	for (size_t i = 0; i < WORKERS; i++)
		waitpid(workers[i], NULL, 0);
}

/* Which errors each kind of call may come to know; what ends the list is 0. */
static const int errors[FAULT_KINDS][12] = {
	[FAULT_ALLOCATION] = { ENOMEM },
	[FAULT_REQUEST] = { EPERM, ENOMEM, ENOBUFS, EINTR, EBUSY, EEXIST, ENODEV },
	[FAULT_REFUSAL] = { EPERM, ENOMEM, ENOBUFS, EINTR, EBUSY, EEXIST, ENODEV, EOPNOTSUPP, ENOENT, ERESTART },
	[FAULT_ANSWER] = { ENOMEM, ENOBUFS, EINTR },
	[FAULT_LOSS] = { ENOBUFS },
	[FAULT_DESCRIPTOR] = { EPERM, ENOMEM, EINTR, EMFILE, ENODEV },
	[FAULT_PRIVILEGE] = { EPERM, ENOMEM, EINTR },
	[FAULT_MESSAGE] = { ENOMEM, ENOBUFS, EINTR },
};

static void add_point(enum fault_kind kind, unsigned int number, int error, enum ending ending)
{
	if (shared->n_points == POINTS_MAX)
		abort();
	shared->points[shared->n_points++] = (struct point){ .fault = { kind, number, error },
							     .ending = ending,
							     .in_teardown = ending == ATTACHED || ending == SERVING };
}

/*
 * Every call of a whole session and one more, which no session reaches; then those that only sessions that end early
 * make: at the end of file.
 */
static void add_points(enum fault_kind kind)
{
	shared->first[kind] = shared->n_points;
	for (const int *error = errors[kind]; *error; error++) {
		for (enum ending ending = AT_ONCE; ending < ENDINGS; ending++) {
			const struct fault_record *whole = &shared->whole[ending];
			bool early = ending == ATTACHED || ending == SERVING;
			unsigned int from = early ? whole->answered[ending - 1][kind] : 0;

			for (unsigned int n = from + 1; n <= whole->points[kind] + (ending == DETACHED); n++)
				add_point(kind, n, *error, ending);
		}
	}
	shared->first[kind + 1] = shared->n_points;
}

/* Reports ------------------------------------------------------------------------------------------------------------
 */

static const char *const kinds[] = { "allocation", "request",    "refusal",   "answer",
				     "loss",       "descriptor", "privilege", "message" };

static void report(enum fault_kind kind, int i)
{
	const struct point *p = &shared->points[shared->first[kind] + (unsigned int)i];

	ck_assert_msg(!p->wrong[0], "%s %u of a session that goes to state %d fails (%s: %s): %s", kinds[kind],
		      p->fault.number, p->ending, p->call, strerror(p->fault.error), p->wrong);
}

#define REPORTS(name, kind)       \
	START_TEST(name)          \
	{                         \
		report(kind, _i); \
	}                         \
	END_TEST

REPORTS(allocation, FAULT_ALLOCATION)
REPORTS(request, FAULT_REQUEST)
REPORTS(refusal, FAULT_REFUSAL)
REPORTS(answer, FAULT_ANSWER)
REPORTS(loss, FAULT_LOSS)
REPORTS(descriptor, FAULT_DESCRIPTOR)
REPORTS(privilege, FAULT_PRIVILEGE)
REPORTS(message, FAULT_MESSAGE)

/* Requirement: the suite reaches what it is about; a session that makes no call would pass every check. */
START_TEST(coverage)
{
	const struct fault_record *whole = &shared->whole[DETACHED];
	unsigned int injected = 0, complete = 0, cables = 0, bare = 0, guards = 0;

	ck_assert_uint_eq(whole->n_answers, 3);
	ck_assert_uint_ge(whole->points[FAULT_REQUEST], 14);
	ck_assert_uint_ge(whole->points[FAULT_ALLOCATION], 2);
	ck_assert_uint_ge(whole->points[FAULT_DESCRIPTOR], 12);
	ck_assert_uint_ge(whole->points[FAULT_PRIVILEGE], 6);
	ck_assert_uint_ge(whole->points[FAULT_MESSAGE], 8);
	for (unsigned int i = 0; i < shared->n_points; i++) {
		injected += shared->points[i].injected;
		complete += shared->points[i].complete;
		cables += shared->points[i].in_teardown && shared->points[i].left_link && shared->points[i].left_guard;
		bare += shared->points[i].in_teardown && shared->points[i].left_link && !shared->points[i].left_guard;
		guards += shared->points[i].in_teardown && !shared->points[i].left_link && shared->points[i].left_guard;
	}
	printf("helper_faults: %u sessions, %u with a fault, %u complete all the same or without\n", shared->n_points,
	       injected, complete);
	printf("helper_faults: of the faults in the deletion at the end of file %u left cable and guard, %u a cable "
	       "that is down, "
	       "%u a guard\n",
	       cables, bare, guards);
	ck_assert_uint_ge(injected, shared->n_points * 9 / 10);
}
END_TEST

static void add_tests(TCase *all)
{
	static const TTest *const *const tests[] = { &allocation, &request,    &refusal,   &answer,
						     &loss,       &descriptor, &privilege, &message };

	tcase_add_test(all, coverage);
	for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++)
		tcase_add_loop_test(all, *tests[kind], 0, (int)(shared->first[kind + 1] - shared->first[kind]));
}

/* It replaces malloc itself, and knows no pidfd. */
static bool under_memcheck(void)
{
	const char *preloaded = getenv("LD_PRELOAD");

	return preloaded && strstr(preloaded, "vgpreload");
}

int main(void)
{
	SRunner *runner;
	Suite *suite;
	TCase *all;
	int failed;

	if (under_memcheck()) {
		puts("helper_faults: skipped under memcheck");
		return EXIT_SUCCESS;
	}
	suite = suite_create("helper_faults");
	all = tcase_create("all");
	runner = srunner_create(suite);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || !run_in_child(measure)) {
		puts("helper_faults: skipped, no user namespaces here");
		return 77;
	}
	for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++)
		add_points(kind);
	run_all();
	srunner_set_fork_status(runner, CK_NOFORK);
	add_tests(all);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
