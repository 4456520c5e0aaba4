/*
 * helper_races HELPER [PID]: several callers for one jail, a jail that is destroyed under the helper's hands, or whose
 * owner does something to eth0; and what sessions are to each other.
 */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_scene.h"

#define ROUNDS scene_rounds(4, 16)

static const struct scene *scene;

static void some_time(void)
{
	const struct timespec time = { 0, random() % 3000000 };

	nanosleep(&time, NULL);
}

/* By itself, having succeeded or failed. */
static bool orderly(int status)
{
	return status == 0 || status == 1 << 8;
}

/* Several callers, one jail ------------------------------------------------------------------------------------ */

/* Exactly one gets it; the others are told that eth0 is there, and take nothing with them. */
static void race(size_t n)
{
	struct helper_peer peers[SCENE_JAILS];
	struct helper_answer answers[SCENE_JAILS];
	char detail[256] = "", title[64];

	for (int round = 0; round < ROUNDS; round++) {
		const int netns = scene->jails[round % SCENE_JAILS].netns;
		const struct helper_packet attach = helper_request(HELPER_ATTACH, &netns);
		size_t winners = 0, winner = 0;

		for (size_t i = 0; i < n; i++)
			peers[i] = helper_start(scene->helper, NULL);
		for (size_t i = 0; i < n; i++)
			helper_say(&peers[i], &attach);
		for (size_t i = 0; i < n; i++) {
			answers[i] = helper_hear(&peers[i], HELPER_SOON_MS);
			if (answers[i].type == (HELPER_ATTACH | HELPER_REPLY)) {
				winners++;
				winner = i;
			} else if (!helper_answer_failed(&answers[i], HELPER_FAILURE_LINK)) {
				snprintf(detail, sizeof(detail), "answer %d, failure %u", answers[i].type,
					 answers[i].failed.failure);
			}
		}
		for (size_t i = 0; i < n; i++)
			if (i != winner && helper_ended(&peers[i], HELPER_SOON_MS) != 1 << 8)
				snprintf(detail, sizeof(detail), "a loser ends as if it was none");
		if (winners != 1)
			snprintf(detail, sizeof(detail), "%zu have got it", winners);
		else if (helper_ask(&peers[winner], HELPER_REDIRECT, -1).type != (HELPER_REDIRECT | HELPER_REPLY))
			snprintf(detail, sizeof(detail), "who has got it is not served");
		close_fd(&peers[winner].socket);
		helper_ended(&peers[winner], HELPER_SOON_MS);
	}
	snprintf(title, sizeof(title), "%zu callers for one jail, %d times", n, ROUNDS);
	scene_check(detail[0] == '\0', title, "%s", detail);
}

/* A jail that goes --------------------------------------------------------------------------------------------- */

/*
 * The helper holds what it was sent, and that for no longer than it takes to make the cable: then the namespace goes,
 * between any two of its steps, and the interface with it.
 */
static void destroyed(enum session_state state)
{
	struct helper_jail jails[SCENE_JAILS];
	struct helper_peer peers[SCENE_JAILS];
	char detail[256] = "", title[96];

	for (int round = 0; round < ROUNDS / 4; round++) {
		/* Before the helpers: these have no copies of their sockets. */
		for (size_t i = 0; i < SCENE_JAILS; i++)
			jails[i] = helper_jail_plain();
		for (size_t i = 0; i < SCENE_JAILS; i++) {
			struct helper_packet packet = helper_request((enum helper_message)(state + 1), &jails[i].netns);

			peers[i] = helper_start(scene->helper, NULL);
			for (int type = HELPER_ATTACH; type <= (int)state; type++)
				helper_ask(&peers[i], (enum helper_message)type, jails[i].netns);
			helper_say(&peers[i], &packet);
			if (i % 2 == 0)
				some_time();
			helper_jail_end(&jails[i]);
		}
		for (size_t i = 0; i < SCENE_JAILS; i++) {
			int status;

			helper_hear(&peers[i], HELPER_SOON_MS);
			close_fd(&peers[i].socket);
			status = helper_ended(&peers[i], HELPER_SOON_MS);
			if (!orderly(status))
				snprintf(detail, sizeof(detail), "status %#x", (unsigned int)status);
		}
	}
	snprintf(title, sizeof(title), "the jail is destroyed in the request after \"%s\"", session_state_names[state]);
	scene_check(detail[0] == '\0', title, "%s", detail);
}

/* A jail's owner ----------------------------------------------------------------------------------------------- */

static const struct {
	const char *what;
	enum helper_jail_act act;
	bool harmless; /* what follows must succeed */
} acts[] = {
	{ "deletes eth0", JAIL_CUT, false },
	{ "gives eth0 another name", JAIL_RENAME, true },
	{ "moves eth0 to a namespace within", JAIL_MOVE, true },
	{ "deletes any eth0 over and over", JAIL_CHURN, false },
	{ "sets eth0 down", JAIL_DOWN, true },
	{ "sets eth0 up", JAIL_UP, true },
	{ "sets the MTU of eth0", JAIL_MTU, true },
	{ "sets the address of eth0", JAIL_ADDRESS, true },
	{ "gives eth0 an alias", JAIL_ALIAS, true },
	{ "gives eth0 a name of the host's end", JAIL_ALTERNATIVE_NAME, true },
	{ "sets the group of eth0", JAIL_GROUP, true },
	{ "sets the queue of eth0", JAIL_QUEUE, true },
};

/* When attached and when it serves; then the rest of the session, up to its end by DETACH or by the end of file. */
static void tamper(size_t which)
{
	char detail[256] = "", title[96];

	for (int i = 0; i < 4; i++) {
		enum session_state state = i & 1 ? SESSION_SERVING : SESSION_ATTACHED;
		int last = i & 2 ? HELPER_DETACH : HELPER_REDIRECT, r, status;
		struct session s;

		sessions_open(acts[which].what, &s, 1, state, NULL);
		r = helper_jail_do(s.jail, acts[which].act);
		if (r < 0)
			snprintf(detail, sizeof(detail), "it was not done: %s", strerror(-r));
		for (int type = (int)state + 1; type <= last; type++) {
			struct helper_answer answer = helper_ask(&s.peer, (enum helper_message)type, -1);

			if (answer.type != (type | HELPER_REPLY) && acts[which].harmless)
				snprintf(detail, sizeof(detail), "%s: answer %d, failure %u, errno %d",
					 session_state_names[state], answer.type, answer.failed.failure,
					 answer.failed.code);
		}
		close_fd(&s.peer.socket);
		status = helper_ended(&s.peer, HELPER_SOON_MS);
		if (!orderly(status) || (acts[which].harmless && status != 0))
			snprintf(detail, sizeof(detail), "%s: status %#x", session_state_names[state],
				 (unsigned int)status);
		/* At the end of file it removes the cable, wherever its other end is and whatever it is called. */
		if (last != HELPER_DETACH && *scene_left())
			snprintf(detail, sizeof(detail), "%s: the cable is left", session_state_names[state]);
		helper_jail_do(s.jail, JAIL_EMPTY);
	}
	snprintf(title, sizeof(title), "the jail's owner %s", acts[which].what);
	scene_check(detail[0] == '\0', title, "%s", detail);
}

/* There is an eth0 before; one comes and goes. */
static void occupied(void)
{
	struct session s;
	struct helper_answer answer;
	char detail[256] = "";
	int status;

	helper_jail_do(&scene->jails[0], JAIL_OCCUPY);
	s.peer = helper_start(scene->helper, NULL);
	answer = helper_ask(&s.peer, HELPER_ATTACH, scene->jails[0].netns);
	status = helper_ended(&s.peer, HELPER_SOON_MS);
	helper_jail_do(&scene->jails[0], JAIL_EMPTY);
	scene_check(helper_answer_failed(&answer, HELPER_FAILURE_LINK) && status == 1 << 8,
		    "the jail has an eth0 already", "answer %d, failure %u, status %#x", answer.type,
		    answer.failed.failure, (unsigned int)status);

	for (int round = 0; round < ROUNDS * 4; round++) {
		struct helper_peer peer = helper_start(scene->helper, NULL);
		int netns = scene->jails[0].netns;
		struct helper_packet attach = helper_request(HELPER_ATTACH, &netns);

		helper_jail_do(&scene->jails[0], JAIL_CHURN);
		helper_say(&peer, &attach);
		answer = helper_hear(&peer, HELPER_SOON_MS);
		if (answer.type == (HELPER_ATTACH | HELPER_REPLY))
			answer = helper_ask(&peer, HELPER_REDIRECT, -1);
		close_fd(&peer.socket);
		status = helper_ended(&peer, HELPER_SOON_MS);
		if (!orderly(status))
			snprintf(detail, sizeof(detail), "status %#x", (unsigned int)status);
		helper_jail_do(&scene->jails[0], JAIL_EMPTY);
	}
	scene_check(detail[0] == '\0', "an eth0 of the jail's own comes and goes meanwhile", "%s", detail);
}

/* Sessions to each other --------------------------------------------------------------------------------------- */

static bool there(const struct session *s)
{
	char name[IFNAMSIZ];

	return if_indextoname(s->attached.attached.host_ifindex, name) &&
	       strcmp(name, s->attached.attached.host_interface) == 0;
}

static void second_cable(void)
{
	struct session first;
	struct helper_peer again = helper_start(scene->helper, NULL);
	struct helper_answer answer;
	int status;

	sessions_open("a session", &first, 1, SESSION_SERVING, NULL);
	answer = helper_ask(&again, HELPER_ATTACH, first.jail->netns);
	status = helper_ended(&again, HELPER_SOON_MS);
	tap_check(helper_answer_failed(&answer, HELPER_FAILURE_LINK) && status == 1 << 8,
		  "second cable into the same jail", "answer %d, failure %u, status %#x", answer.type,
		  answer.failed.failure, (unsigned int)status);
	tap_check(there(&first), "it takes nothing of the first", "interface %s is gone",
		  first.attached.attached.host_interface);
	close_fd(&first.peer.socket);
	helper_ended(&first.peer, HELPER_SOON_MS);
	scene_check(!there(&first), "the end of file removes the cable", "it is left");
}

/* A helper whose cable is gone is in nobody's way, and takes nothing that is another's, who may have its index. */
static void without_cable(void)
{
	struct session both[2];
	struct helper_answer answer;

	sessions_open("a session to lose its cable", both, 1, SESSION_SERVING, NULL);
	tap_check(helper_jail_do(both[0].jail, JAIL_CUT) == 0 && !there(&both[0]), "cable deleted from inside",
		  "it is there");
	both[1] = (struct session){ .peer = helper_start(scene->helper, NULL), .jail = &scene_get()->jails[1] };
	both[1].attached = helper_ask(&both[1].peer, HELPER_ATTACH, both[1].jail->netns);
	answer = helper_ask(&both[1].peer, HELPER_REDIRECT, -1);
	tap_check(answer.type == (HELPER_REDIRECT | HELPER_REPLY), "it is in nobody's way", "answer %d, errno %d",
		  answer.type, answer.failed.code);
	answer = helper_ask(&both[0].peer, HELPER_DETACH, -1);
	tap_check(answer.type == (HELPER_DETACH | HELPER_REPLY) && helper_ended(&both[0].peer, HELPER_SOON_MS) == 0,
		  "teardown without the cable", "answer %d, errno %d", answer.type, answer.failed.code);
	tap_check(there(&both[1]), "it takes nothing that is another session's", "interface %s is gone",
		  both[1].attached.attached.host_interface);
	answer = helper_ask(&both[1].peer, HELPER_DETACH, -1);
	tap_check(answer.type == (HELPER_DETACH | HELPER_REPLY) && helper_ended(&both[1].peer, HELPER_SOON_MS) == 0,
		  "teardown of the other", "answer %d, errno %d", answer.type, answer.failed.code);
	sessions_empty(both, 2);
	scene_check(true, "nothing is left of the two", "%s", "");
}

/* As many at once as there are jails: each has a number of its own. */
static void numbers(void)
{
	struct session sessions[SCENE_JAILS];
	char detail[128] = "";

	for (int round = 0; round < ROUNDS / 4; round++) {
		sessions_open("sessions side by side", sessions, SCENE_JAILS, SESSION_ATTACHED, NULL);
		for (size_t i = 0; i < SCENE_JAILS; i++)
			for (size_t j = 0; j < i; j++)
				if (sessions[i].attached.attached.index == sessions[j].attached.attached.index)
					snprintf(detail, sizeof(detail), "two have index %u",
						 sessions[i].attached.attached.index);
		for (size_t i = 0; i < SCENE_JAILS; i++)
			close_fd(&sessions[i].peer.socket);
		for (size_t i = 0; i < SCENE_JAILS; i++)
			helper_ended(&sessions[i].peer, HELPER_SOON_MS);
	}
	scene_check(detail[0] == '\0', "callers at once have indices of their own", "%s", detail);
}

int main(int argc, char **argv)
{
	unsigned int seed = (unsigned int)getpid();

	scene = scene_begin(argc, argv);
	srandom(seed);
	tap_note("seed of the points in time: %u", seed);
	race(2);
	race(8);
	for (enum session_state state = SESSION_INITIAL; state <= SESSION_SERVING; state++)
		destroyed(state);
	occupied();
	for (size_t i = 0; i < array_size(acts); i++)
		tamper(i);
	second_cable();
	without_cable();
	numbers();
	return scene_end();
}
