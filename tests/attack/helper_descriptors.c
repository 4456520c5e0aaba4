/*
 * helper_descriptors HELPER [PID]: what is offered to the helper as network namespace: descriptors of every kind, and
 * network namespaces of everybody's. And its own descriptors and memory, which nobody may have.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_scene.h"

static const struct scene *scene;

/* The helper must refuse it with this failure, at once, and end with exit code 1. Closes `fd`. */
static void refuse(const char *what, enum helper_failure failure, int fd)
{
	struct helper_peer peer;
	struct helper_answer answer;
	int status;

	if (fd < 0) {
		tap_skip(what, strerror(errno));
		return;
	}
	peer = helper_start(scene->helper, NULL);
	answer = helper_ask(&peer, HELPER_ATTACH, fd);
	close(fd);
	status = helper_ended(&peer, HELPER_SOON_MS);
	scene_check(helper_answer_failed(&answer, failure) && status == 1 << 8, what,
		    "answer %d, failure %u (errno %d), wanted %d; status %#x", answer.type, answer.failed.failure,
		    answer.failed.code, failure, (unsigned int)status);
}

static int open_read(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Files -------------------------------------------------------------------------------------------------------- */

static void files(void)
{
	static const struct {
		const char *what, *path;
		int flags;
	} kinds[] = {
		{ "regular file", "/etc/passwd", O_RDONLY },
		{ "the helper's own file", NULL, O_RDONLY },
		{ "directory", "/", O_RDONLY | O_DIRECTORY },
		{ "directory of namespaces", "/proc/self/ns", O_RDONLY | O_DIRECTORY },
		{ "file of /proc", "/proc/self/status", O_RDONLY },
		{ "file of /sys", "/sys/kernel/uevent_seqnum", O_RDONLY },
		{ "device", "/dev/null", O_RDWR },
		{ "terminal", "/dev/ptmx", O_RDWR | O_NOCTTY },
		{ "O_PATH of a network namespace", "/proc/self/ns/net", O_PATH },
		{ "O_PATH of the link to one", "/proc/self/ns/net", O_PATH | O_NOFOLLOW },
		{ "O_PATH of a file", "/etc/passwd", O_PATH },
	};

	for (size_t i = 0; i < array_size(kinds); i++)
		refuse(kinds[i].what, HELPER_FAILURE_NOT_A_NETNS,
		       open(kinds[i].path ? kinds[i].path : scene->helper, kinds[i].flags | O_CLOEXEC));
	refuse("tun device", HELPER_FAILURE_NOT_A_NETNS, scene_device("/dev/net/tun"));
	refuse("FUSE device", HELPER_FAILURE_NOT_A_NETNS, scene_device("/dev/fuse"));
}

/* Of ourselves; and of a jail, whose user namespace would be one to speak for. */
static void other_namespaces(void)
{
	static const char *const names[] = { "user", "mnt",    "pid",  "pid_for_children", "uts",
					     "ipc",  "cgroup", "time", "time_for_children" };
	struct helper_jail jail = helper_jail_new(
		0, 0, CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP);
	char path[64], what[64];

	scene_adopt(jail.pid);
	for (size_t i = 0; i < array_size(names); i++) {
		snprintf(what, sizeof(what), "namespace \"%s\" of our own", names[i]);
		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		refuse(what, HELPER_FAILURE_NOT_A_NETNS, open_read(path));
		snprintf(what, sizeof(what), "namespace \"%s\" of a jail", names[i]);
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", jail.pid, names[i]);
		refuse(what, HELPER_FAILURE_NOT_A_NETNS, open_read(path));
	}
	refuse("pidfd of a jail", HELPER_FAILURE_NOT_A_NETNS, (int)syscall(SYS_pidfd_open, jail.pid, 0));
	helper_jail_end(&jail);
}

static void anonymous_files(void)
{
	sigset_t none;
	int ends[2];

	sigemptyset(&none);
	refuse("pidfd", HELPER_FAILURE_NOT_A_NETNS, (int)syscall(SYS_pidfd_open, getpid(), 0));
	refuse("memfd", HELPER_FAILURE_NOT_A_NETNS, memfd_create("net:[4026531840]", MFD_CLOEXEC));
	refuse("eventfd", HELPER_FAILURE_NOT_A_NETNS, eventfd(0, EFD_CLOEXEC));
	refuse("epoll", HELPER_FAILURE_NOT_A_NETNS, epoll_create1(EPOLL_CLOEXEC));
	refuse("timerfd", HELPER_FAILURE_NOT_A_NETNS, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	refuse("signalfd", HELPER_FAILURE_NOT_A_NETNS, signalfd(-1, &none, SFD_CLOEXEC));
	refuse("inotify", HELPER_FAILURE_NOT_A_NETNS, inotify_init1(IN_CLOEXEC));
	if (pipe2(ends, O_CLOEXEC) == 0) {
		refuse("pipe", HELPER_FAILURE_NOT_A_NETNS, ends[0]);
		refuse("pipe whose other end is closed", HELPER_FAILURE_NOT_A_NETNS, ends[1]);
	}
}

/* Of its own pair, one end or the other. */
static void own_socket(const char *what, bool its_end)
{
	struct helper_peer peer = helper_start(scene->helper, &(struct helper_start){ .keep_its_end = true });
	struct helper_answer answer = helper_ask(&peer, HELPER_ATTACH, its_end ? peer.its_end : peer.socket);
	int status = helper_ended(&peer, HELPER_SOON_MS);

	scene_check(helper_answer_failed(&answer, HELPER_FAILURE_NOT_A_NETNS) && status == 1 << 8, what,
		    "answer %d, failure %u, status %#x", answer.type, answer.failed.failure, (unsigned int)status);
}

static void sockets(void)
{
	struct helper_peer other = helper_start(scene->helper, &(struct helper_start){ .keep_its_end = true });
	int its_end = dup(other.its_end);

	helper_ended(&other, 0);
	refuse("another helper's socket", HELPER_FAILURE_NOT_A_NETNS, its_end);
	own_socket("its own socket", true);
	own_socket("the other end of its own socket", false);
	refuse("unix socket", HELPER_FAILURE_NOT_A_NETNS, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	refuse("internet socket", HELPER_FAILURE_NOT_A_NETNS, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	refuse("netlink socket", HELPER_FAILURE_NOT_A_NETNS,
	       socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
}

/* Network namespaces ------------------------------------------------------------------------------------------- */

/* Made by root, if he left one there, as `ip netns add` does; as root we make one ourselves. */
static void named_namespace(void)
{
	glob_t found;
	int fd = -1;

	if (scene->root)
		return;
	if (glob("/run/netns/*", GLOB_NOSORT, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && fd < 0; i++) /* others come and go while we look */
			fd = open_read(found.gl_pathv[i]);
		globfree(&found);
	}
	errno = ENOENT;
	refuse("network namespace from /run/netns", HELPER_FAILURE_FOREIGN_NETNS, fd);
}

static void foreign_namespaces(void)
{
	struct helper_jail nested = helper_jail_new(0, CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWNET);
	struct helper_jail jailed = helper_jail_new(0, CLONE_NEWUSER | CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET);
	char path[64];

	scene_adopt(nested.pid);
	scene_adopt(jailed.pid);
	refuse("the host's network namespace", HELPER_FAILURE_FOREIGN_NETNS, open_read("/proc/self/ns/net"));
	refuse("network namespace of a user namespace within another", HELPER_FAILURE_FOREIGN_NETNS, dup(nested.netns));
	refuse("network namespace made inside a jail", HELPER_FAILURE_FOREIGN_NETNS, dup(jailed.netns));
	helper_jail_end(&nested);
	helper_jail_end(&jailed);
	named_namespace();
	if (scene->pid) {
		snprintf(path, sizeof(path), "/proc/%s/ns/net", scene->pid);
		refuse("the jail of the process given, if it can be opened", HELPER_FAILURE_FOREIGN_NETNS,
		       open_read(path));
	}
	errno = EPERM; /* what the reason to skip these is, without root */
	refuse("network namespace of another user's jail", HELPER_FAILURE_FOREIGN_NETNS, dup(scene->netns_of_victim));
	errno = EPERM;
	refuse("network namespace that root made", HELPER_FAILURE_FOREIGN_NETNS, dup(scene->netns_of_root));
	errno = EPERM;
	refuse("network namespace the host's was made in", HELPER_FAILURE_FOREIGN_NETNS, dup(scene->netns_of_machine));
}

/* Whoever made it may be gone: whose it is stays. */
static void orphaned_namespace(void)
{
	struct helper_jail jail = helper_jail_plain();
	int netns = dup(jail.netns);
	struct helper_peer peer = helper_start(scene->helper, NULL);
	struct helper_answer answer, redirect;
	int status;

	helper_jail_end(&jail);
	answer = helper_ask(&peer, HELPER_ATTACH, netns);
	redirect = helper_ask(&peer, HELPER_REDIRECT, -1);
	close(netns);
	close_fd(&peer.socket);
	status = helper_ended(&peer, HELPER_SOON_MS);
	scene_check(answer.type == (HELPER_ATTACH | HELPER_REPLY) &&
			    redirect.type == (HELPER_REDIRECT | HELPER_REPLY) && status == 0,
		    "network namespace whose maker has ended: a session as any",
		    "answers %d and %d, failure %u, status %#x", answer.type, redirect.type, answer.failed.failure,
		    (unsigned int)status);
}

/* User 0: his own host's network namespace is none to connect, nor another user's jail; one he made is. */
struct roots_turn {
	const char *helper;
	int which;
};

static void ask_as_root(const void *in, void *out)
{
	const struct roots_turn *turn = in;
	struct helper_answer *answer = out;
	struct helper_jail jail = { .control = -1 };
	struct helper_peer peer;
	int netns = -1;

	if (turn->which == 0)
		netns = open_read("/proc/self/ns/net");
	else if (turn->which == 1)
		netns = dup(scene_get()->netns_of_victim);
	else
		jail = helper_jail_new(0, 0, turn->which == 2 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET);
	peer = helper_start(turn->helper, NULL);
	*answer = helper_ask(&peer, HELPER_ATTACH, netns >= 0 ? netns : jail.netns);
	close_fd(&netns);
	close_fd(&peer.socket);
	helper_ended(&peer, HELPER_SOON_MS);
	if (jail.control >= 0)
		helper_jail_end(&jail);
}

static void as_root(void)
{
	static const char *const what[] = { "root's own host", "root asks for another user's jail",
					    "root's namespace without a user namespace", "root's jail" };

	for (int i = 0; i < (int)array_size(what); i++) {
		const struct roots_turn turn = { scene->helper, i };
		struct helper_answer answer = { 0 };
		bool asked = scene_as_root(ask_as_root, &turn, sizeof(turn), &answer, sizeof(answer));

		if (!scene->root)
			tap_skip(what[i], "not started by root");
		else
			scene_check(asked && (i < 2 ? helper_answer_failed(&answer, HELPER_FAILURE_FOREIGN_NETNS)
						    : answer.type == (HELPER_ATTACH | HELPER_REPLY)),
				    what[i], "answer %d, failure %u, errno %d", answer.type, answer.failed.failure,
				    answer.failed.code);
	}
}

/* Its own memory ----------------------------------------------------------------------------------------------- */

/* A helper holds its capability, permitted: nobody may borrow it. Returns the way that is open, or NULL. */
static const char *way_in(pid_t pid)
{
	static const char *const files[] = { "mem", "maps", "environ", "auxv", "stack", "syscall", "fd", "map_files" };
	_cleanup_fd_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	unsigned char here[8];
	struct iovec local = { here, sizeof(here) }, there = { (void *)0x10000, sizeof(here) };
	char path[64];

	if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0 || errno != EPERM)
		return "ptrace";
	if (process_vm_readv(pid, &local, 1, &there, 1, 0) >= 0 || errno != EPERM)
		return "process_vm_readv";
	if (syscall(SYS_kcmp, pid, getpid(), 0, 0, 0) >= 0 || errno != EPERM)
		return "kcmp";
	for (int fd = 0; fd < 16; fd++)
		if (syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0 || errno != EPERM)
			return "pidfd_getfd";
	for (size_t i = 0; i < array_size(files); i++) {
		_cleanup_fd_ int fd = -1;

		snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
		fd = open_read(path);
		if (fd >= 0 && read(fd, here, sizeof(here)) != -1)
			return files[i];
	}
	return NULL;
}

static void its_memory(void)
{
	for (enum session_state state = SESSION_ATTACHED; state <= SESSION_SERVING; state++) {
		struct session s;
		const char *way;
		char what[64];

		sessions_open("its memory", &s, 1, state, NULL);
		way = way_in(s.peer.pid);
		close_fd(&s.peer.socket);
		helper_ended(&s.peer, HELPER_SOON_MS);
		snprintf(what, sizeof(what), "its memory and descriptors when %s", session_state_names[state]);
		scene_check(!way, what, "%s", way ? way : "");
	}
}

int main(int argc, char **argv)
{
	scene = scene_begin(argc, argv);
	files();
	other_namespaces();
	anonymous_files();
	sockets();
	foreign_namespaces();
	orphaned_namespace();
	as_root();
	its_memory();
	return scene_end();
}
