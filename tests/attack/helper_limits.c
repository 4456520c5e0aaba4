/*
 * helper_limits HELPER [PID]: a helper that is short of something: descriptors, memory, stack, processor time, whatever
 * setrlimit(2) and, while it runs, prlimit(2) can take away. It serves, or it ends and has undone what it had done.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_scene.h"

#define KIB 1024ul

static const char instrumented[] = "an instrumented program needs more of it than the helper";
static const struct scene *scene;

/* At its start ------------------------------------------------------------------------------------------------- */

static int resource;
static rlim_t amount;

static void limit(void)
{
	setrlimit((__rlimit_resource_t)resource, &(struct rlimit){ amount, amount });
}

static void limit_everything(void)
{
	static const int all[] = { RLIMIT_FSIZE, RLIMIT_NPROC,  RLIMIT_SIGPENDING, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE,
				   RLIMIT_LOCKS, RLIMIT_RTPRIO, RLIMIT_RTTIME,     RLIMIT_CORE,    RLIMIT_RSS };

	for (size_t i = 0; i < array_size(all); i++)
		setrlimit((__rlimit_resource_t)all[i], &(struct rlimit){ 0, 0 });
}

/* How far it came before it ended, having been asked for a whole session. */
struct attempt {
	struct session session;
	rlim_t amount;
	struct helper_answer answer; /* the last */
	int last;                    /* type of the last right one */
	int status;
};

/*
 * That of a helper that has been there: served to the end; failed, and said so; or could not even be executed. A
 * program without room for its stack or its libraries is ended by the kernel or the loader, before it says anything.
 */
static bool fair(const struct attempt *a)
{
	if (a->last == HELPER_DETACH)
		return a->status == 0;
	if (a->answer.type == HELPER_FAILED)
		return a->answer.size == sizeof(a->answer.failed) && a->status == 1 << 8;
	if (WIFSIGNALED(a->status))
		return a->last == 0 && (WTERMSIG(a->status) == SIGKILL || WTERMSIG(a->status) == SIGSEGV);
	return a->last == 0 && WEXITSTATUS(a->status) != 0;
}

static void ask_all(struct attempt *attempts, size_t n, enum helper_message type)
{
	for (size_t i = 0; i < n; i++) {
		struct session *s = &attempts[i].session;
		struct helper_packet packet = helper_request(type, &s->jail->netns);

		if (attempts[i].last == (int)type - 1)
			helper_say(&s->peer, &packet);
	}
	for (size_t i = 0; i < n; i++) {
		struct attempt *a = &attempts[i];

		if (a->last != (int)type - 1)
			continue;
		a->answer = helper_hear(&a->session.peer, HELPER_SOON_MS);
		if (a->answer.type == ((int)type | HELPER_REPLY))
			a->last = type;
	}
}

/* As many at once as there are jails. The helpers are started, with their limits. */
static void attempt_all(struct attempt *attempts, size_t n)
{
	for (int type = HELPER_ATTACH; type <= HELPER_DETACH; type++)
		ask_all(attempts, n, (enum helper_message)type);
	for (size_t i = 0; i < n; i++) {
		attempts[i].status = helper_ended(&attempts[i].session.peer, HELPER_SOON_MS);
		/* Only DETACH leaves the cable to the jail. */
		if (attempts[i].last == HELPER_DETACH)
			helper_jail_do(attempts[i].session.jail, JAIL_EMPTY);
	}
}

/* From `least` to `most` in steps: each must be fair, and the last be served. */
static void sweep(const char *what, int which, rlim_t least, rlim_t most, rlim_t step)
{
	const struct helper_start how = { .before_exec = limit };
	char title[128], detail[256] = "";
	size_t served = 0, tried = 0;
	bool last = false;

	resource = which;
	for (amount = least; amount <= most;) {
		struct attempt attempts[SCENE_JAILS] = { 0 };
		size_t n = 0;

		for (; n < SCENE_JAILS && amount <= most; n++, amount += step) {
			attempts[n].session.peer = helper_start(scene->helper, &how);
			attempts[n].session.jail = &scene_get()->jails[n];
			attempts[n].amount = amount;
		}
		attempt_all(attempts, n);
		for (size_t i = 0; i < n; i++) {
			const struct attempt *a = &attempts[i];

			last = a->last == HELPER_DETACH;
			served += last;
			tried++;
			if (!fair(a))
				snprintf(detail, sizeof(detail), "at %lu: answer %d, failure %u, errno %d, status %#x",
					 (unsigned long)a->amount, a->answer.type, a->answer.failed.failure,
					 a->answer.failed.code, (unsigned int)a->status);
		}
	}
	snprintf(title, sizeof(title), "%s from %lu to %lu (%zu tried)", what, (unsigned long)least,
		 (unsigned long)most, tried);
	tap_note("%s: %zu served", title, served);
	scene_check(detail[0] == '\0' && last, title, "%s", detail[0] ? detail : "the last is not served");
}

/* With this limit it must serve. */
static void serves(const char *what, void (*before_exec)(void))
{
	const struct helper_start how = { .before_exec = before_exec };
	struct attempt attempt = { .session = { .peer = helper_start(scene->helper, &how),
						.jail = &scene_get()->jails[0] } };

	attempt_all(&attempt, 1);
	scene_check(attempt.last == HELPER_DETACH && attempt.status == 0, what,
		    "answer %d, failure %u, errno %d, status %#x", attempt.answer.type, attempt.answer.failed.failure,
		    attempt.answer.failed.code, (unsigned int)attempt.status);
}

static void at_its_start(void)
{
	static const struct {
		const char *what;
		int resource;
		rlim_t amount;
	} needless[] = {
		{ "no octet may be written to files", RLIMIT_FSIZE, 0 },
		{ SCENE_SANITIZED ? "five seconds of processor time" : "a second of processor time", RLIMIT_CPU,
		  SCENE_SANITIZED ? 5 : 1 },
		{ "no pending signal", RLIMIT_SIGPENDING, 0 },
		{ "no locked memory", RLIMIT_MEMLOCK, 0 },
		{ "no message queue", RLIMIT_MSGQUEUE, 0 },
	};

	for (size_t i = 0; i < array_size(needless); i++) {
		resource = needless[i].resource;
		amount = needless[i].amount;
		serves(needless[i].what, limit);
	}
	if (SCENE_SANITIZED) {
		tap_skip("processes, descriptors, address space, data, stack", instrumented);
		return;
	}
	serves("none of that, and no process may be made", limit_everything);
	sweep("descriptors", RLIMIT_NOFILE, 0, 15, 1);
	sweep("octets of address space", RLIMIT_AS, 1024 * KIB, 6 * 1024 * KIB, 32 * KIB);
	sweep("octets of data", RLIMIT_DATA, 0, 1536 * KIB, 16 * KIB);
	sweep("octets of stack", RLIMIT_STACK, 0, 128 * KIB, KIB);
}

/* While it runs ------------------------------------------------------------------------------------------------ */

/* A user may set the limits of any process that has his ids (prlimit(2)), at any time. */
static const struct {
	const char *what;
	int resource;
	bool needed_to_look; /* for leaks, by an instrumented helper */
} taken[] = {
	{ "descriptors", RLIMIT_NOFILE, true },
	{ "address space", RLIMIT_AS, true },
	{ "data", RLIMIT_DATA, true },
	{ "stack", RLIMIT_STACK, true },
	{ "locked memory", RLIMIT_MEMLOCK, false },
	{ "size of files", RLIMIT_FSIZE, false },
	{ "pending signals", RLIMIT_SIGPENDING, false },
};

/* Takes it away when the helper is in each state, then asks for the rest of a session. It ends by itself, all undone.
 */
static void while_it_runs(size_t which, bool orderly)
{
	const struct rlimit nothing = { 0, 0 };
	struct attempt attempts[3] = { 0 };
	char title[128], detail[256] = "";

	for (int state = SESSION_INITIAL; state <= SESSION_SERVING; state++) {
		struct attempt *a = &attempts[state];

		a->session.peer = helper_start(scene->helper, NULL);
		a->session.jail = &scene_get()->jails[state];
		for (int type = HELPER_ATTACH; type <= state; type++)
			ask_all(a, 1, (enum helper_message)type);
		syscall(SYS_prlimit64, a->session.peer.pid, taken[which].resource, &nothing, NULL);
	}
	if (orderly) {
		attempt_all(attempts, array_size(attempts));
	} else {
		for (size_t i = 0; i < array_size(attempts); i++)
			close_fd(&attempts[i].session.peer.socket);
		for (size_t i = 0; i < array_size(attempts); i++)
			attempts[i].status = helper_ended(&attempts[i].session.peer, HELPER_SOON_MS);
	}
	for (size_t i = 0; i < array_size(attempts); i++)
		/* Without it from the start on, it may be that not even the loader comes to its end. */
		if (orderly ? !fair(&attempts[i]) : i > 0 && attempts[i].status != 0 && attempts[i].status != 1 << 8)
			snprintf(detail, sizeof(detail), "%s: answer %d, failure %u, errno %d, status %#x",
				 session_state_names[i], attempts[i].answer.type, attempts[i].answer.failed.failure,
				 attempts[i].answer.failed.code, (unsigned int)attempts[i].status);
	snprintf(title, sizeof(title), "%s taken away while it runs, %s", taken[which].what,
		 orderly ? "then asked for more" : "then left alone");
	scene_check(detail[0] == '\0', title, "%s", detail);
}

/*
 * A descriptor that comes with a request that has none, to a helper that has no room for it: the kernel keeps it back
 * and says so (MSG_CTRUNC), and that is no request.
 */
static void no_room(enum session_state state)
{
	const struct rlimit four = { HELPER_SOCKET_FD + 1, HELPER_SOCKET_FD + 1 };
	struct helper_packet packet = helper_request((enum helper_message)(state + 1), NULL);
	struct helper_answer answer;
	struct session s;
	char title[96];
	int status;

	sessions_open("no room for descriptors", &s, 1, state, NULL);
	packet.fds = &s.jail->netns;
	packet.n_fds = 1;
	syscall(SYS_prlimit64, s.peer.pid, RLIMIT_NOFILE, &four, NULL);
	helper_say(&s.peer, &packet);
	answer = helper_hear(&s.peer, HELPER_SOON_MS);
	close_fd(&s.peer.socket);
	status = helper_ended(&s.peer, HELPER_SOON_MS);
	sessions_empty(&s, 1);
	snprintf(title, sizeof(title), "a descriptor it has no room for when %s", session_state_names[state]);
	scene_check(helper_answer_failed(&answer, HELPER_FAILURE_PROTOCOL) && status == 1 << 8, title,
		    "answer %d, failure %u, status %#x", answer.type, answer.failed.failure, (unsigned int)status);
}

int main(int argc, char **argv)
{
	scene = scene_begin(argc, argv);
	at_its_start();
	for (size_t i = 0; i < array_size(taken); i++) {
		if (SCENE_SANITIZED && taken[i].needed_to_look) {
			tap_skip(taken[i].what, instrumented);
			continue;
		}
		while_it_runs(i, true);
		while_it_runs(i, false);
	}
	for (enum session_state state = SESSION_ATTACHED; state <= SESSION_SERVING && !SCENE_SANITIZED; state++)
		no_room(state);
	return scene_end();
}
