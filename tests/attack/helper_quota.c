/*
 * helper_quota HELPER [PID]: the numbers of helper.conf. Who wants more sessions than he may have races for them, stops
 * helpers in the middle, disguises those he has, or makes others pay. Root sets the numbers: without him all is
 * skipped.
 *
 * Two sessions stand by: one of the attacker's, one of another user's.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_conf.h"
#include "tests/attack/helper_link.h"
#include "tests/attack/helper_scene.h"
#include "tests/attack/helper_tables.h"

#define RACERS 8
#define KEPT 112
#define HOARDED 50
#define ROUNDS scene_rounds(4, 16)

/* What the bystanders have of each number. */
#define HIS_OWN 1
#define ALL_OWN 2

static const struct scene *scene;

static bool attached(const struct helper_answer *answer)
{
	return answer->type == (HELPER_ATTACH | HELPER_REPLY);
}

static bool refused(const struct helper_answer *answer, enum helper_failure failure, uint32_t detail)
{
	return helper_answer_failed(answer, failure) && answer->failed.detail == detail;
}

static void set_numbers(unsigned int each, unsigned int all)
{
	char text[128];

	snprintf(text, sizeof(text), "# numbers\nsessions-per-uid = %u\nsessions-total = %u\n", each, all);
	conf_set(text);
}

static void end_all(struct helper_peer *peers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close_fd(&peers[i].socket);
	for (size_t i = 0; i < n; i++)
		helper_ended(&peers[i], HELPER_SOON_MS);
}

/* One more than `n` by one user, in turn: the last is refused. */
static void exactly(const char *what, uid_t user, unsigned int n, enum helper_failure failure, uint32_t detail)
{
	struct conf_sessions got = conf_sessions_of(user, n + 1);

	scene_check(got.n == n && refused(&got.last, failure, detail), what,
		    "%u of %u sessions; answer %d, failure %u, detail %u", got.n, n, got.last.type,
		    got.last.failed.failure, got.last.failed.detail);
}

static void numbers(void)
{
	set_numbers(HIS_OWN + 3, 100);
	exactly("a user's number of sessions", SCENE_ATTACKER, 3, HELPER_FAILURE_USER_SESSIONS, HIS_OWN + 3);
	exactly("... again", SCENE_ATTACKER, 3, HELPER_FAILURE_USER_SESSIONS, HIS_OWN + 3);
	exactly("root's number is the same, and his own", 0, HIS_OWN + 3, HELPER_FAILURE_USER_SESSIONS, HIS_OWN + 3);
	/* As text this user id begins that of the attacker's. */
	exactly("another user's number is his own", SCENE_ATTACKER / 10, HIS_OWN + 3, HELPER_FAILURE_USER_SESSIONS,
		HIS_OWN + 3);
	set_numbers(100, ALL_OWN + 3);
	exactly("the number of all sessions", SCENE_ATTACKER, 3, HELPER_FAILURE_ALL_SESSIONS, ALL_OWN + 3);
	exactly("the number of all sessions for root", 0, 3, HELPER_FAILURE_ALL_SESSIONS, ALL_OWN + 3);
	set_numbers(HIS_OWN, 100);
	exactly("a number that is reached already", SCENE_ATTACKER, 0, HELPER_FAILURE_USER_SESSIONS, HIS_OWN);
	set_numbers(100, ALL_OWN);
	exactly("a number of all that is reached already", SCENE_ATTACKER, 0, HELPER_FAILURE_ALL_SESSIONS, ALL_OWN);
}

/* Races -------------------------------------------------------------------------------------------------------- */

/* At most so many microseconds. */
static void some_time(int most)
{
	const struct timespec time = { 0, random() % (most * 1000) };

	nanosleep(&time, NULL);
}

static void stop_one(const struct helper_peer *peer)
{
	kill(peer->pid, SIGSTOP);
	waitid(P_PID, (id_t)peer->pid, NULL, WSTOPPED | WEXITED | WNOWAIT);
}

/* All at once; some are stopped on the way until the others have had their answer. */
static size_t race_once(bool stopping, char *detail, size_t size)
{
	struct helper_peer peers[RACERS];
	size_t won = 0;

	for (size_t i = 0; i < RACERS; i++)
		peers[i] = helper_start(scene->helper, NULL);
	for (size_t i = 0; i < RACERS; i++) {
		struct helper_packet attach = helper_request(HELPER_ATTACH, &scene->jails[i].netns);

		helper_say(&peers[i], &attach);
	}
	for (size_t i = 0; stopping && i < RACERS; i += 2) {
		some_time(2000);
		stop_one(&peers[i]);
	}
	for (size_t step = stopping ? 0 : 1; step < 2; step++) {
		/* First those that were not stopped, which come to their end whatever the others do; then these. */
		for (size_t i = step == 0 ? 1 : 0; i < RACERS; i += stopping ? 2 : 1) {
			struct helper_answer answer;

			if (stopping && step == 1)
				kill(peers[i].pid, SIGCONT);
			answer = helper_hear(&peers[i], HELPER_SOON_MS);
			won += attached(&answer);
			if (!attached(&answer) && !helper_answer_failed(&answer, HELPER_FAILURE_USER_SESSIONS))
				snprintf(detail, size, "answer %d, failure %u, errno %d", answer.type,
					 answer.failed.failure, answer.failed.code);
		}
	}
	end_all(peers, RACERS);
	return won;
}

/* Nobody gets more than there are, nor fewer: who is refused was one too many. */
static void race(bool stopping)
{
	char detail[256] = "";
	size_t most = 0, least = RACERS;

	set_numbers(HIS_OWN + 3, 100);
	for (int round = 0; round < ROUNDS; round++) {
		size_t won = race_once(stopping, detail, sizeof(detail));

		most = won > most ? won : most;
		least = won < least ? won : least;
	}
	scene_check(most == 3 && least == 3 && detail[0] == '\0',
		    stopping ? "8 callers for 3 sessions, some stopped on the way" : "8 callers for 3 sessions",
		    "%zu to %zu got one; %s", least, most, detail);
	exactly("after the race his number is what it was", SCENE_ATTACKER, 3, HELPER_FAILURE_USER_SESSIONS,
		HIS_OWN + 3);
}

/* Others ------------------------------------------------------------------------------------------------------- */

static void count_claims(const void *in, void *out)
{
	char text[8192];
	int claims = 0;

	(void)in;
	tables_list(text, sizeof(text));
	for (const char *line = text; *line; line = strchr(line, '\n') + 1)
		claims += strncmp(line, "2 boundary_", 11) == 0; /* NFPROTO_IPV4 */
	memcpy(out, &claims, sizeof(claims));
}

/* Starts many helpers and stops each when it has been asked, at some moment of the request, which takes two ms. */
static void stop_many(struct helper_peer *peers)
{
	for (size_t i = 0; i < HOARDED; i++)
		peers[i] = helper_start(scene->helper, NULL);
	some_time(50000); /* for what comes before the request */
	for (size_t i = 0; i < HOARDED; i++) {
		struct helper_packet attach = helper_request(HELPER_ATTACH, &scene->jails[i % SCENE_JAILS].netns);

		helper_say(&peers[i], &attach);
		some_time(i % 2 ? 4000 : 1000);
		stop_one(&peers[i]);
	}
}

/* None holds what it has not been found to be allowed, and others have what they may have nevertheless. */
static void hoard(void)
{
	struct helper_peer peers[HOARDED];
	struct conf_sessions got = { .n = 1 };
	int claims = 0;

	if (getenv("BOUNDARY_ATTACK_COVERAGE")) {
		tap_skip("a user who stops helpers at all moments",
			 "one that is stopped while it writes its counts keeps all others from their end");
		return;
	}
	set_numbers(HIS_OWN + 1, ALL_OWN + 1 + 1);
	for (int round = 0; round < scene_rounds(2, 4) && claims <= ALL_OWN + 1 && got.n == 1; round++) {
		stop_many(peers);
		scene_as_root(count_claims, NULL, 0, &claims, sizeof(claims));
		got = conf_sessions_of(SCENE_VICTIM, 1);
		for (size_t i = 0; i < HOARDED; i++)
			kill(peers[i].pid, SIGCONT);
		end_all(peers, HOARDED);
	}
	scene_check(claims >= ALL_OWN && claims <= ALL_OWN + 1 && got.n == 1,
		    "a user who stops helpers at all moments has no more than his number, and another his",
		    "%d claims, where there may be %d; answer %d, failure %u, detail %u", claims, ALL_OWN + 1,
		    got.last.type, got.last.failed.failure, got.last.failed.detail);
}

/* The alias says whose it is; that of the jail's end says nothing. */
static void at_others_cost(void)
{
	struct session sessions[2];
	struct conf_sessions got;

	set_numbers(HIS_OWN + 2, 100);
	sessions_open("sessions to disguise", sessions, 2, SESSION_SERVING, NULL);
	for (size_t i = 0; i < 2; i++)
		helper_jail_do(sessions[i].jail, JAIL_ALIAS); /* with the other's user id */
	got = conf_sessions_of(SCENE_VICTIM, 3);
	tap_check(got.n == 2 && refused(&got.last, HELPER_FAILURE_USER_SESSIONS, HIS_OWN + 2),
		  "sessions of one do not count as another's", "%u of 2; failure %u, detail %u", got.n,
		  got.last.failed.failure, got.last.failed.detail);
	close_fd(&sessions[0].peer.socket);
	close_fd(&sessions[1].peer.socket);
	helper_ended(&sessions[0].peer, HELPER_SOON_MS);
	helper_ended(&sessions[1].peer, HELPER_SOON_MS);
	sessions_empty(sessions, 2);
	scene_check(true, "nothing is left of them", "%s", "");
}

/* Disguise ----------------------------------------------------------------------------------------------------- */

/* What is done to eth0 leaves the session what it is, and counted. */
static void disguise(void)
{
	static const struct {
		const char *what;
		enum helper_jail_act act;
	} acts[] = {
		{ "with another name", JAIL_RENAME },
		{ "with another alias", JAIL_ALIAS },
		{ "with a name of another session's", JAIL_ALTERNATIVE_NAME },
		{ "in another group", JAIL_GROUP },
		{ "set down", JAIL_DOWN },
		{ "moved away", JAIL_MOVE },
	};
	char title[96];

	set_numbers(HIS_OWN + 1, 100);
	for (size_t i = 0; i < array_size(acts); i++) {
		struct helper_peer more;
		struct helper_answer answer;
		struct session s;

		sessions_open("a session to disguise", &s, 1, SESSION_SERVING, NULL);
		helper_jail_do(s.jail, acts[i].act);
		more = helper_start(scene->helper, NULL);
		answer = helper_ask(&more, HELPER_ATTACH, scene->jails[1].netns);
		close_fd(&more.socket);
		helper_ended(&more, HELPER_SOON_MS);
		close_fd(&s.peer.socket);
		helper_ended(&s.peer, HELPER_SOON_MS);
		sessions_empty(&s, 1);
		snprintf(title, sizeof(title), "a session whose eth0 is %s counts", acts[i].what);
		scene_check(refused(&answer, HELPER_FAILURE_USER_SESSIONS, HIS_OWN + 1), title, "answer %d, failure %u",
			    answer.type, answer.failed.failure);
	}
}

static void count_tables(const void *in, void *out)
{
	char text[8192];
	int lines = -1; /* the last is the digest */

	(void)in;
	tables_list(text, sizeof(text));
	for (const char *line = text; (line = strchr(line, '\n')); line++)
		lines++;
	memcpy(out, &lines, sizeof(lines));
}

/*
 * Who deletes eth0 inside gives the session back, but its helper, with its tables in the path of the host's packets,
 * would live on, uncounted. Their number is bounded by the same limit.
 */
static void cut_and_keep(void)
{
	struct helper_peer peers[SCENE_JAILS];
	int before = 0, after = 0;
	size_t n;

	set_numbers(HIS_OWN + 2, 100);
	scene_as_root(count_tables, NULL, 0, &before, sizeof(before));
	for (n = 0; n < SCENE_JAILS; n++) {
		struct helper_answer answer;

		peers[n] = helper_start(scene->helper, NULL);
		answer = helper_ask(&peers[n], HELPER_ATTACH, scene->jails[n].netns);
		if (attached(&answer))
			answer = helper_ask(&peers[n], HELPER_REDIRECT, -1);
		helper_jail_do(&scene->jails[n], JAIL_CUT);
	}
	scene_as_root(count_tables, NULL, 0, &after, sizeof(after));
	end_all(peers, n);
	/* Three each: the guard, and what the helper owns in two families. */
	scene_check(after - before <= 3 * 2, "helpers whose eth0 is deleted do not pile up",
		    "%d tables for %d sessions that may be", after - before, 2);
}

/* Guards of indices that no session has had since are without effect, and stay: here all of them get one at the same
 * time. Only one that serves waits that long. */
static void heal_all(const struct helper_jail *jails)
{
	struct helper_peer peers[KEPT];

	set_numbers(1000, 1000);
	for (size_t i = 0; i < KEPT; i++)
		helper_jail_do(&jails[i], JAIL_EMPTY);
	for (size_t i = 0; i < KEPT; i++) {
		peers[i] = helper_start(scene->helper, NULL);
		helper_ask(&peers[i], HELPER_ATTACH, jails[i].netns);
		helper_ask(&peers[i], HELPER_REDIRECT, -1);
	}
	end_all(peers, KEPT);
}

/*
 * Whoever kills the helper and keeps the jail keeps a cable that nobody counts, but it is dead: past some dozens the
 * next helper takes one of those away. Others are served as long as there is an index.
 */
static void kill_and_keep(void)
{
	struct helper_jail jails[KEPT];
	struct conf_sessions got;
	char links[16384];
	size_t interfaces = 0;

	if (!scene_rounds(0, 1)) {
		tap_skip("dead cables do not pile up", "it takes hundreds of helpers, and these are slow");
		return;
	}
	set_numbers(HIS_OWN + 2, 100);
	for (size_t i = 0; i < KEPT; i++) {
		struct helper_peer peer;

		jails[i] = helper_jail_plain();
		scene_adopt(jails[i].pid);
		peer = helper_start(scene->helper, NULL);
		helper_ask(&peer, HELPER_ATTACH, jails[i].netns);
		helper_ended(&peer, 0);
	}
	link_list(links, sizeof(links));
	for (const char *line = links; (line = strchr(line, '\n')); line++)
		interfaces++;
	got = conf_sessions_of(SCENE_VICTIM, 1);
	tap_check(interfaces < KEPT * 3 / 4, "dead cables do not pile up", "%zu interfaces after %d killed helpers",
		  interfaces, KEPT);
	tap_check(got.n == 1, "nor do they take what another may have", "answer %d, failure %u", got.last.type,
		  got.last.failed.failure);
	heal_all(jails);
	for (size_t i = 0; i < KEPT; i++)
		helper_jail_end(&jails[i]);
	scene_check(true, "nothing is left of them", "%s", "");
}

/* The end ------------------------------------------------------------------------------------------------------ */

static void killed(void)
{
	struct session sessions[3];

	set_numbers(HIS_OWN + 3, 100);
	for (int round = 0; round < 3; round++) {
		sessions_open("sessions to be killed", sessions, 3, SESSION_SERVING, NULL);
		for (size_t i = 0; i < 3; i++)
			kill(sessions[i].peer.pid, SIGKILL);
		for (size_t i = 0; i < 3; i++) {
			helper_ended(&sessions[i].peer, HELPER_SOON_MS);
			helper_jail_end(sessions[i].jail);
			*sessions[i].jail = helper_jail_plain();
			scene_adopt(sessions[i].jail->pid);
		}
		/* With the namespaces, when the kernel has time. */
		tap_check(scene_links_settled(), "the interfaces of killed sessions go", "they do not");
	}
	exactly("sessions of which all was killed do not count", SCENE_ATTACKER, 3, HELPER_FAILURE_USER_SESSIONS,
		HIS_OWN + 3);
}

int main(int argc, char **argv)
{
	unsigned int seed = (unsigned int)getpid();

	scene = scene_begin(argc, argv);
	srandom(seed);
	tap_note("seed of the points in time: %u", seed);
	if (!scene->root) {
		tap_skip("limits of sessions", "only root can write the configuration");
		return scene_end();
	}
	numbers();
	race(false);
	race(true);
	hoard();
	at_others_cost();
	disguise();
	cut_and_keep();
	kill_and_keep();
	killed();
	conf_set(NULL);
	return scene_end();
}
