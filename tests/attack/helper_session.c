/* Sessions of the attacker, several at once: see helper_scene.h. */
#include "tests/attack/helper_scene.h"

#include "shared/cleanup.h"

const char *const session_state_names[] = { "initial", "attached", "serving", "detached" };

/* The request that leads from one state to the next has the number of the next. One that is not taken is not answered.
 */
static void say_all(const struct session *sessions, size_t n, enum helper_message type)
{
	for (size_t i = 0; i < n; i++) {
		struct helper_packet packet = helper_request(type, &sessions[i].jail->netns);

		helper_say(&sessions[i].peer, &packet);
	}
}

static void hear_all(struct session *sessions, size_t n, enum helper_message type)
{
	for (size_t i = 0; i < n; i++) {
		struct session *s = &sessions[i];
		struct helper_answer answer;

		if (!s->ready)
			continue;
		answer = helper_hear(&s->peer, HELPER_SOON_MS);
		s->ready = answer.type == ((int)type | HELPER_REPLY);
		if (type == HELPER_ATTACH || !s->ready)
			s->attached = answer;
	}
}

bool session_ready(const char *what, const struct session *session)
{
	const struct helper_answer *answer = &session->attached;

	if (!session->ready)
		tap_check(false, what, "no session to attack: answer %d, failure %u, errno %d, detail %u", answer->type,
			  answer->failed.failure, answer->failed.code, answer->failed.detail);
	return session->ready;
}

bool sessions_open(const char *what, struct session *sessions, size_t n, enum session_state state,
		   const struct helper_start *how)
{
	struct scene *scene = scene_get();
	bool all = true;

	for (size_t i = 0; i < n; i++)
		sessions[i] = (struct session){ .peer = helper_start(scene->helper, how),
						.jail = &scene->jails[i],
						.ready = true };
	/* All that is to come at once: one that is attached would not wait until the slowest is, too. */
	for (int type = HELPER_ATTACH; type <= (int)state; type++)
		say_all(sessions, n, (enum helper_message)type);
	for (int type = HELPER_ATTACH; type <= (int)state; type++)
		hear_all(sessions, n, (enum helper_message)type);
	for (size_t i = 0; i < n; i++)
		all &= session_ready(what, &sessions[i]);
	return all;
}

void sessions_empty(struct session *sessions, size_t n)
{
	for (size_t i = 0; i < n; i++)
		helper_jail_tell(sessions[i].jail, JAIL_EMPTY);
	for (size_t i = 0; i < n; i++)
		helper_jail_told(sessions[i].jail);
}

void sessions_heal(size_t n)
{
	struct session sessions[SCENE_JAILS];

	sessions_open("sessions after killed ones", sessions, n, SESSION_SERVING, NULL);
	for (size_t i = 0; i < n; i++)
		close_fd(&sessions[i].peer.socket);
	for (size_t i = 0; i < n; i++)
		helper_ended(&sessions[i].peer, HELPER_SOON_MS);
}
