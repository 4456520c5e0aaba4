/*
 * helper_signals HELPER [PID]: a helper is its caller's process: he may stop it, continue it and send it any signal at
 * any moment, and he may himself end at any.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_scene.h"

#define ROUNDS scene_rounds(2, 8)

static const struct scene *scene;

/* Up to what a request takes: the point within it at which something happens is not to be the same every time. */
static void some_time(void)
{
	const struct timespec time = { 0, random() % 3000000 };

	nanosleep(&time, NULL);
}

static void say_all(const struct session *sessions, size_t n, enum helper_message type)
{
	for (size_t i = 0; i < n; i++) {
		struct helper_packet packet = helper_request(type, &sessions[i].jail->netns);

		helper_say(&sessions[i].peer, &packet);
	}
}

/* A process that has ended is a zombie, which is as good as stopped. */
static void stop_all(const struct session *sessions, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		kill(sessions[i].peer.pid, SIGSTOP);
		waitid(P_PID, (id_t)sessions[i].peer.pid, NULL, WSTOPPED | WEXITED | WNOWAIT);
	}
}

static void signal_all(const struct session *sessions, size_t n, int number)
{
	for (size_t i = 0; i < n; i++)
		kill(sessions[i].peer.pid, number);
}

/* Stopped ------------------------------------------------------------------------------------------------------ */

/* In each request, at some point: what was asked is done. */
static void stop_in_requests(void)
{
	struct session sessions[SCENE_JAILS];
	char detail[256] = "";

	for (int round = 0; round < ROUNDS; round++) {
		sessions_open("stopped", sessions, SCENE_JAILS, SESSION_INITIAL, NULL);
		for (int type = HELPER_ATTACH; type <= HELPER_DETACH; type++) {
			say_all(sessions, SCENE_JAILS, (enum helper_message)type);
			some_time();
			stop_all(sessions, SCENE_JAILS);
			signal_all(sessions, SCENE_JAILS, SIGCONT);
			for (size_t i = 0; i < SCENE_JAILS; i++) {
				struct helper_answer answer = helper_hear(&sessions[i].peer, HELPER_SOON_MS);

				if (answer.type != (type | HELPER_REPLY))
					snprintf(detail, sizeof(detail), "request %d: answer %d, failure %u, errno %d",
						 type, answer.type, answer.failed.failure, answer.failed.code);
			}
		}
		for (size_t i = 0; i < SCENE_JAILS; i++)
			if (helper_ended(&sessions[i].peer, HELPER_SOON_MS) != 0)
				snprintf(detail, sizeof(detail), "it fails after DETACH");
		sessions_empty(sessions, SCENE_JAILS);
	}
	scene_check(detail[0] == '\0', "stopped and continued in each request", "%s", detail);
}

static void hang_up(struct session *s)
{
	close_fd(&s->peer.socket);
}

static void cut(struct session *s)
{
	helper_jail_do(s->jail, JAIL_CUT);
}

static void move_away(struct session *s)
{
	helper_jail_do(s->jail, JAIL_MOVE);
}

static void say_more(struct session *s)
{
	say_all(s, 1, HELPER_ATTACH);
	say_all(s, 1, HELPER_DETACH);
}

/* Its world changes while it is stopped in a request: it ends by itself, with or without success. */
static void change_while_stopped(const char *what, void (*change)(struct session *s))
{
	struct session sessions[SCENE_JAILS];
	char detail[256] = "", title[128];

	for (int type = HELPER_ATTACH; type <= HELPER_DETACH; type++) {
		sessions_open(what, sessions, SCENE_JAILS, (enum session_state)(type - 1), NULL);
		say_all(sessions, SCENE_JAILS, (enum helper_message)type);
		some_time();
		stop_all(sessions, SCENE_JAILS);
		for (size_t i = 0; i < SCENE_JAILS; i++)
			change(&sessions[i]);
		signal_all(sessions, SCENE_JAILS, SIGCONT);
		for (size_t i = 0; i < SCENE_JAILS; i++) {
			int status;

			if (sessions[i].peer.socket >= 0)
				helper_hear(&sessions[i].peer, HELPER_SOON_MS);
			close_fd(&sessions[i].peer.socket);
			status = helper_ended(&sessions[i].peer, HELPER_SOON_MS);
			if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
				snprintf(detail, sizeof(detail), "request %d: status %#x", type, (unsigned int)status);
		}
		/* To the jail it leaves the cable after DETACH alone. */
		if (type == HELPER_DETACH)
			sessions_empty(sessions, SCENE_JAILS);
	}
	for (size_t i = 0; i < SCENE_JAILS; i++)
		helper_jail_do(&scene->jails[i], JAIL_EMPTY);
	snprintf(title, sizeof(title), "stopped in each request, meanwhile %s", what);
	scene_check(detail[0] == '\0', title, "%s", detail);
}

/* Other signals ------------------------------------------------------------------------------------------------ */

enum moment { STARTED, ATTACHING, ATTACHED, REDIRECTING, SERVING, DETACHING, MOMENTS };

static void bring_to(struct session *sessions)
{
	sessions_open("signals", sessions, MOMENTS, SESSION_INITIAL, NULL);
	for (int i = ATTACHED; i < MOMENTS; i++)
		helper_ask(&sessions[i].peer, HELPER_ATTACH, sessions[i].jail->netns);
	for (int i = SERVING; i < MOMENTS; i++)
		helper_ask(&sessions[i].peer, HELPER_REDIRECT, -1);
	say_all(&sessions[ATTACHING], 1, HELPER_ATTACH);
	say_all(&sessions[REDIRECTING], 1, HELPER_REDIRECT);
	say_all(&sessions[DETACHING], 1, HELPER_DETACH);
}

/* The rest of a session in which nothing happened. */
static bool goes_on(struct session *s, enum moment moment)
{
	static const int next[] = { HELPER_ATTACH,   HELPER_ATTACH, HELPER_REDIRECT,
				    HELPER_REDIRECT, HELPER_DETACH, HELPER_DETACH };
	bool asked = moment == ATTACHING || moment == REDIRECTING || moment == DETACHING;
	bool right = true;

	for (int type = next[moment]; type <= HELPER_DETACH; type++, asked = false) {
		struct helper_answer answer = asked ? helper_hear(&s->peer, HELPER_SOON_MS)
						    : helper_ask(&s->peer, (enum helper_message)type, s->jail->netns);

		right &= answer.type == (type | HELPER_REPLY);
	}
	return helper_ended(&s->peer, HELPER_SOON_MS) == 0 && right;
}

/* Ended by the signal; or, in DETACH, gone before it came. */
static bool ends(struct session *s, enum moment moment, int number)
{
	int status;

	close_fd(&s->peer.socket);
	status = helper_ended(&s->peer, HELPER_SOON_MS);
	return (WIFSIGNALED(status) && WTERMSIG(status) == number) || (moment == DETACHING && status == 0);
}

static void send_signal(const char *name, int number, bool harmless)
{
	static const char *const moments[] = { "as it starts", "in ATTACH",    "when attached",
					       "in REDIRECT",  "when serving", "in DETACH" };
	struct session sessions[MOMENTS];
	char detail[64] = "", title[64];

	bring_to(sessions);
	some_time();
	for (int i = 0; i < MOMENTS; i++)
		kill(sessions[i].peer.pid, number);
	for (int i = 0; i < MOMENTS; i++)
		if (harmless ? !goes_on(&sessions[i], (enum moment)i) : !ends(&sessions[i], (enum moment)i, number))
			snprintf(detail, sizeof(detail), "wrong %s", moments[i]);
	sessions_empty(sessions, MOMENTS);
	if (!harmless)
		sessions_heal(MOMENTS);
	snprintf(title, sizeof(title), "SIG%s at every moment", name);
	scene_check(detail[0] == '\0', title, "%s", detail);
}

static void all_signals(void)
{
	static const struct {
		const char *name;
		int number;
		bool harmless;
	} all[] = {
		{ "HUP", SIGHUP, false },       { "INT", SIGINT, false },   { "QUIT", SIGQUIT, false },
		{ "ILL", SIGILL, false },       { "TRAP", SIGTRAP, false }, { "ABRT", SIGABRT, false },
		{ "BUS", SIGBUS, false },       { "FPE", SIGFPE, false },   { "KILL", SIGKILL, false },
		{ "USR1", SIGUSR1, false },     { "SEGV", SIGSEGV, false }, { "USR2", SIGUSR2, false },
		{ "PIPE", SIGPIPE, true },      { "ALRM", SIGALRM, false }, { "TERM", SIGTERM, false },
		{ "STKFLT", SIGSTKFLT, false }, { "CHLD", SIGCHLD, true },  { "CONT", SIGCONT, true },
		{ "URG", SIGURG, true },        { "XCPU", SIGXCPU, false }, { "XFSZ", SIGXFSZ, false },
		{ "VTALRM", SIGVTALRM, false }, { "PROF", SIGPROF, false }, { "WINCH", SIGWINCH, true },
		{ "IO", SIGIO, false },         { "PWR", SIGPWR, false },   { "SYS", SIGSYS, false },
	};

	for (size_t i = 0; i < array_size(all); i++) {
		const int number = all[i].number;

		if (SCENE_SANITIZED && (number == SIGSEGV || number == SIGBUS || number == SIGFPE))
			tap_skip(all[i].name, "before main() AddressSanitizer takes it for a fault of the program");
		else
			send_signal(all[i].name, number, all[i].harmless);
	}
	send_signal("RTMIN", SIGRTMIN, false);
	send_signal("RTMAX", SIGRTMAX, false);
}

/* Callers that end --------------------------------------------------------------------------------------------- */

/* As far as `moment`, then gone: the helper is ours to be waited for, by scene_left(). */
static void call_and_end(enum moment moment, bool killed)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct session s;
		const enum session_state states[] = { SESSION_INITIAL,  SESSION_INITIAL, SESSION_ATTACHED,
						      SESSION_ATTACHED, SESSION_SERVING, SESSION_SERVING };
		sessions_open("a caller that ends", &s, 1, states[moment], NULL);
		if (moment == ATTACHING || moment == REDIRECTING || moment == DETACHING)
			say_all(&s, 1, (enum helper_message)(states[moment] + 1));
		if (killed)
			raise(SIGKILL);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void callers(void)
{
	static const char *const when[] = {
		"having started it",    "having said ATTACH", "having heard that it attached",
		"having said REDIRECT", "when it serves",     "having said DETACH"
	};

	for (int moment = 0; moment < MOMENTS; moment++) {
		for (int killed = 0; killed <= 1; killed++) {
			char title[96];

			call_and_end((enum moment)moment, killed);
			snprintf(title, sizeof(title), "a caller that %s, %s", killed ? "is killed" : "ends",
				 when[moment]);
			if (moment == DETACHING) { /* it leaves the cable to the jail */
				tap_check(scene_reap() == 0, "its helper ends", "it does not");
				helper_jail_do(&scene->jails[0], JAIL_EMPTY);
			}
			scene_check(true, title, "%s", "");
		}
	}
}

int main(int argc, char **argv)
{
	unsigned int seed = (unsigned int)getpid();

	scene = scene_begin(argc, argv);
	srandom(seed);
	tap_note("seed of the points in time: %u", seed);
	stop_in_requests();
	change_while_stopped("its caller hangs up", hang_up);
	change_while_stopped("the jail deletes eth0", cut);
	change_while_stopped("the jail moves eth0 away", move_away);
	change_while_stopped("its caller says more than he may", say_more);
	all_signals();
	callers();
	return scene_end();
}
