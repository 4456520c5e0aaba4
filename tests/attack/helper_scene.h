/*
 * The scene of an attack on the helper: a host with bystanders, whose sessions must not be disturbed, the attacker with
 * jails of his own, and, where root started it, somebody who stays root and sees the tables of nf_tables.
 *
 * Started as root the program is in a network namespace and an /etc of its own and becomes a user who owns nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tests/attack/helper_jail.h"
#include "tests/attack/helper_peer.h"
#include "tests/attack/tap.h"

/* Users without an account: nothing on the machine is theirs. */
#define SCENE_ATTACKER 64901
#define SCENE_VICTIM 64902

#define SCENE_JAILS 16

/* Instrumented programs are slow, and take memory and descriptors of their own. */
#ifdef BOUNDARY_SANITIZED
#define SCENE_SANITIZED 1
#else
#define SCENE_SANITIZED 0
#endif

struct scene {
	const char *helper; /* path, the first argument of the program */
	const char *pid;    /* of a process in somebody else's jail, the second; or NULL */
	bool root;          /* scene_as_root() works */
	/* Network namespaces to open which takes root: -1 without. */
	int netns_of_machine; /* the one the program was started in */
	int netns_of_root;    /* made by root */
	int netns_of_victim;  /* another user's jail */
	struct helper_jail jails[SCENE_JAILS];
};

/*
 * How often to try what chance decides, or what takes its time: `many` times if started by root, who sees everything,
 * and if nothing makes the helper slow; else `few`, also if BOUNDARY_ATTACK_FEW is in the environment. The same at all
 * times.
 */
int scene_rounds(int few, int many);

/* Sets the scene. Exits with a message if it cannot. */
struct scene *scene_begin(int argc, char **argv);

/* The scene that was set. */
struct scene *scene_get(void);

/*
 * Waits until nothing is on the host but what was when the attack began: interfaces and tables of Boundary, our
 * processes; and the bystanders' all there, as they were. Returns "", or what is different; that counts as the state
 * from which the next attack begins. The text is good until the next call.
 */
const char *scene_left(void);

/*
 * Waits for the end of every process of ours that was not there when the attacks began; orphans are ours, too. Returns
 * how many did not end in time; they are killed.
 */
size_t scene_reap(void);

/* Waits for the interfaces to be those that there were. Returns false if they do not become so in time. */
bool scene_links_settled(void);

/* Reports one attack: it failed if `held`, and if scene_left() finds nothing. */
void scene_check(bool held, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Opens a device that may be root's alone: if he set the scene, by a node for everybody. Returns -1 with errno. */
int scene_device(const char *path);

/* A process of the attacker's, whose end no attack waits for. */
void scene_adopt(pid_t pid);

/* Ends the bystanders' sessions, which still must do what they are asked to, and the report. Returns the exit status.
 */
int scene_end(void);

/* Calls a function in the process that stayed root, with a copy of *in, and copies what it leaves in *out. */
typedef void scene_act(const void *in, void *out);
bool scene_as_root(scene_act *act, const void *in, size_t in_size, void *out, size_t out_size);

/* Sessions of the attacker, as far as he wants them. */
enum session_state { SESSION_INITIAL, SESSION_ATTACHED, SESSION_SERVING, SESSION_DETACHED };

struct session {
	struct helper_peer peer;
	struct helper_jail *jail;      /* one of the scene's */
	struct helper_answer attached; /* the answer to HELPER_ATTACH */
	bool ready;                    /* every answer was right */
};

/*
 * Starts `n` helpers, at most SCENE_JAILS, each with a jail of the scene, and brings them into a state, all side by
 * side. What fails is reported as `what`. Returns true if all of them are in it.
 */
bool sessions_open(const char *what, struct session *sessions, size_t n, enum session_state state,
		   const struct helper_start *how);

/* Reports what is wrong with one and returns false, if it is not in its state. */
bool session_ready(const char *what, const struct session *session);

/* Empties the jails of these sessions, whose helpers have ended. */
void sessions_empty(struct session *sessions, size_t n);

/* Makes and ends `n` sessions: what killed helpers could not remove is replaced, and goes. */
void sessions_heal(size_t n);

extern const char *const session_state_names[];
