/*
 * helper_silence HELPER [PID]: callers that make it wait. They never speak, never read, steal what was sent to it, stop
 * it, or offer what never answers. None keeps a process with a capability alive. All at once, as each takes its time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_scene.h"

/* The alarm after which it ends come what may, and what a busy machine adds. */
#define LIFE_MS (3 * HELPER_REQUEST_TIMEOUT_MS + 5000)

static const struct scene *scene;
static int started_ms;

/* Helpers that are kept waiting, to be waited for together. */
static struct waiting {
	const char *what;
	struct helper_peer peer;
	unsigned int flags;
} waiting[32];

enum {
	ANSWERS = 1, /* HELPER_FAILED, for the lack of a request, must come first */
	CLEAN = 2,   /* it must end by exit(2), not by its alarm */
	SERVES = 4   /* it need not end before its caller lets go */
};

static size_t n_waiting;
static size_t n_jails; /* of the scene's, in use */

static int now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int)(now.tv_sec % 1000000 * 1000 + now.tv_nsec / 1000000);
}

static int left_ms(void)
{
	int left = started_ms + LIFE_MS - now_ms();

	return left > 0 ? left : 0;
}

static void keep_waiting(const char *what, struct helper_peer peer, unsigned int flags)
{
	waiting[n_waiting++] = (struct waiting){ what, peer, flags };
}

/* A session in this state, in a jail that nobody else here uses. */
static struct helper_peer open_in(const char *what, enum session_state state, const struct helper_start *how)
{
	const struct helper_jail *jail = &scene->jails[n_jails++];
	struct helper_peer peer = helper_start(scene->helper, how);
	enum session_state at = SESSION_INITIAL;

	while (at < state &&
	       helper_ask(&peer, (enum helper_message)(at + 1), jail->netns).type == ((int)(at + 1) | HELPER_REPLY))
		at++;
	if (at != state)
		tap_check(false, what, "no session to attack");
	return peer;
}

/* Saying nothing ----------------------------------------------------------------------------------------------- */

static void block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_IGN);
}

static void say_nothing(void)
{
	static const struct helper_start blocked = { .before_exec = block_signals };

	keep_waiting("silence from the start", open_in("silence", SESSION_INITIAL, NULL), ANSWERS | CLEAN);
	keep_waiting("silence after ATTACH", open_in("silence", SESSION_ATTACHED, NULL), ANSWERS | CLEAN);
	keep_waiting("silence from the start, all signals blocked and ignored",
		     open_in("silence", SESSION_INITIAL, &blocked), ANSWERS | CLEAN);
	keep_waiting("silence after ATTACH, all signals blocked and ignored",
		     open_in("silence", SESSION_ATTACHED, &blocked), ANSWERS | CLEAN);
}

static void wait_on_others(void)
{
	/* An address the kernel chooses, in the abstract namespace (unix(7)). */
	const struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int machine = socket(AF_VSOCK, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (bind(listening, (const struct sockaddr *)&address, sizeof(sa_family_t)) == 0 && listen(listening, 1) == 0)
		keep_waiting("descriptor 3 is listening",
			     helper_start(scene->helper, &(struct helper_start){ .third = listening }), CLEAN);
	if (machine >= 0)
		keep_waiting("descriptor 3 is a packet socket of AF_VSOCK",
			     helper_start(scene->helper, &(struct helper_start){ .third = machine }), CLEAN);
	else
		tap_skip("descriptor 3 is a packet socket of AF_VSOCK", strerror(errno));
	close_fd(&listening);
	close_fd(&machine);
}

/* Hearing nothing ---------------------------------------------------------------------------------------------- */

/* Fills the queue to us, by our copy of the helper's end, so that it cannot answer. */
static void fill(const struct helper_peer *peer)
{
	static const char block[4096];

	while (send(peer->its_end, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		continue;
}

/* A request in each state, and one that is refused, by somebody who does not read and does not let go. */
static void hear_nothing(void)
{
	static const char *const what[] = { "ATTACH by a peer that never reads", "REDIRECT by a peer that never reads",
					    "DETACH by a peer that never reads" };
	static const struct helper_start how = { .keep_its_end = true };
	static const struct helper_start blocked = { .before_exec = block_signals, .keep_its_end = true };
	struct helper_peer peer;

	for (enum session_state state = SESSION_INITIAL; state <= SESSION_SERVING; state++) {
		struct helper_packet packet =
			helper_request((enum helper_message)(state + 1), &scene->jails[n_jails].netns);

		peer = open_in(what[state], state, &how);
		fill(&peer);
		helper_say(&peer, &packet);
		keep_waiting(what[state], peer, state == SESSION_ATTACHED ? SERVES : 0);
	}
	peer = open_in("nonsense", SESSION_INITIAL, &blocked);
	fill(&peer);
	helper_say(&peer, &(struct helper_packet){ .type = 0x42 });
	keep_waiting("nonsense by a peer that never reads, all signals blocked and ignored", peer, 0);
	peer = open_in("nonsense", SESSION_SERVING, &how);
	fill(&peer);
	helper_say(&peer, &(struct helper_packet){ .type = 0x42 });
	keep_waiting("nonsense when serving, by a peer that never reads", peer, 0);
}

/*
 * Takes from its queue what was sent to it, so that it is woken for nothing: sometimes it is faster, and answers. It is
 * stopped meanwhile for both to be ready at once.
 */
static void steal(void)
{
	static const struct helper_start how = { .keep_its_end = true };

	for (int i = 0; i < 4; i++) {
		struct helper_packet packet = helper_request(HELPER_ATTACH, &scene->jails[n_jails].netns);
		struct helper_peer peer = open_in("theft", SESSION_INITIAL, &how);
		char stolen[64];

		kill(peer.pid, SIGSTOP);
		waitpid(peer.pid, NULL, WUNTRACED);
		helper_say(&peer, &packet);
		kill(peer.pid, SIGCONT);
		recv(peer.its_end, stolen, sizeof(stolen), MSG_DONTWAIT);
		keep_waiting("a packet stolen from its queue", peer, 0);
	}
}

/* What never answers ------------------------------------------------------------------------------------------- */

/*
 * The root of a file system in user space whose server says nothing, mounted in namespaces of our own: statfs(2) of it
 * waits (fuse_statfs()). Opened by path alone, which asks the server nothing.
 */
static int mount_dead(void)
{
	char options[128];
	int fuse;

	helper_enter(CLONE_NEWUSER | CLONE_NEWNS);
	fuse = scene_device("/dev/fuse"); /* has to be opened by the user namespace that mounts it */
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fuse, getuid(), getgid());
	if (fuse < 0 || mount("dead", "/proc", "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		return -1;
	/* Its server lives as long as the device is open, by a process that waits for nothing. */
	return open("/proc", O_PATH | O_CLOEXEC);
}

static int dead_file_system(pid_t *ret_server)
{
	struct wire_message message;
	int pair[2], root = -1;

	if (wire_pair(pair) < 0)
		return -1;
	*ret_server = fork();
	if (*ret_server == 0) {
		close(pair[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		root = mount_dead();
		wire_send(pair[1], 1, NULL, 0, &root, root >= 0);
		pause();
		_exit(0);
	}
	close(pair[1]);
	if (wire_receive(pair[0], &message, 1, HELPER_SOON_MS) == 0 && message.n_fds == 1)
		root = message.fds[0];
	close(pair[0]);
	return root;
}

static void offer_the_dead(int root)
{
	struct helper_packet packet = helper_request(HELPER_ATTACH, &root);
	struct helper_peer peer;

	if (root < 0) {
		tap_skip("directory of a file system that never answers",
			 "/dev/fuse cannot be opened, or mounted here");
		return;
	}
	peer = open_in("FUSE", SESSION_INITIAL, NULL);
	helper_say(&peer, &packet);
	keep_waiting("directory of a file system that never answers", peer, 0);
	close(root);
}

/* Stopped ------------------------------------------------------------------------------------------------------ */

/* All through the time it has, by a process of ours: being continued must not give it that time again. */
static pid_t stop_and_continue(const struct helper_peer *peer)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, ~0u, 0); /* sockets of helpers that are to notice when we close ours */
		for (int i = 0; i < LIFE_MS / 50 && kill(peer->pid, i % 2 ? SIGCONT : SIGSTOP) == 0; i++)
			poll(NULL, 0, 50);
		kill(peer->pid, SIGCONT);
		_exit(0);
	}
	return pid;
}

/* Longer than it may live: the alarm is there when it is continued. */
static void let_run_late(const struct helper_peer *peer)
{
	struct pollfd wait = { .fd = peer->socket, .events = POLLIN };

	poll(&wait, 1, left_ms() > 4000 ? left_ms() - 4000 : 0);
	kill(peer->pid, SIGCONT);
}

/* All ---------------------------------------------------------------------------------------------------------- */

static void check(struct waiting *w)
{
	struct helper_answer answer = { 0 };
	int status;

	if (w->flags & ANSWERS)
		answer = helper_hear(&w->peer, left_ms());
	else if (w->peer.its_end < 0) /* or its silence would be ours */
		poll(&(struct pollfd){ .fd = w->peer.socket, .events = POLLIN }, 1, left_ms());
	if (w->flags & SERVES) {
		close_fd(&w->peer.socket);
		close_fd(&w->peer.its_end);
	}
	status = helper_ended(&w->peer, w->flags & SERVES ? HELPER_SOON_MS : left_ms());
	tap_check(status != -1 && (!(w->flags & ANSWERS) || helper_answer_failed(&answer, HELPER_FAILURE_PROTOCOL)) &&
			  (!(w->flags & CLEAN) || (WIFEXITED(status) && WEXITSTATUS(status) == 1)),
		  w->what, "answer %d, failure %u, status %#x", answer.type, answer.failed.failure,
		  (unsigned int)status);
}

int main(int argc, char **argv)
{
	struct helper_peer stopped, teased;
	pid_t teaser, server;
	int root;

	scene = scene_begin(argc, argv);
	root = dead_file_system(&server);
	say_nothing();
	wait_on_others();
	hear_nothing();
	steal();
	offer_the_dead(root);
	stopped = open_in("stopped", SESSION_ATTACHED, NULL);
	kill(stopped.pid, SIGSTOP);
	teased = open_in("stopped and continued", SESSION_ATTACHED, NULL);
	started_ms = now_ms();
	teaser = stop_and_continue(&teased);

	keep_waiting("stopped and continued all the time", teased, ANSWERS | CLEAN);
	for (size_t i = 0; i < n_waiting; i++)
		check(&waiting[i]);
	waitpid(teaser, NULL, 0);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	let_run_late(&stopped);
	tap_check(helper_ended(&stopped, HELPER_SOON_MS) != -1, "stopped for longer than it may live", "it still runs");
	for (size_t i = 0; i < n_jails; i++)
		helper_jail_do(&scene->jails[i], JAIL_EMPTY);
	sessions_heal(SCENE_JAILS);
	scene_check(true, "nothing is left of them", "%s", "");
	return scene_end();
}
