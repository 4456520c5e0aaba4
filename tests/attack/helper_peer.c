/* See helper_peer.h. */
#include "tests/attack/helper_peer.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"

static void place_third(int fd)
{
	if (fd < 0)
		close(HELPER_SOCKET_FD);
	else if (fd == HELPER_SOCKET_FD)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, HELPER_SOCKET_FD);
}

static void become_helper(const char *path, const struct helper_start *how, int its_end)
{
	const char *const arguments[] = { path, NULL };

	place_third(how->third != 0 ? how->third : its_end);
	if (how->before_exec)
		how->before_exec();
	execve(path, (char *const *)(how->arguments ? how->arguments : arguments),
	       how->environment ? (char *const *)how->environment : environ);
	_exit(127);
}

struct helper_peer helper_start(const char *path, const struct helper_start *how)
{
	static const struct helper_start plain;
	struct helper_peer peer = { .its_end = -1 };
	int pair[2];

	if (wire_pair(pair) < 0)
		err(2, "socketpair");
	peer.pid = fork();
	if (peer.pid < 0)
		err(2, "fork");
	if (peer.pid == 0)
		become_helper(path, how ? how : &plain, pair[1]);
	peer.socket = pair[0];
	if (how && how->keep_its_end)
		peer.its_end = pair[1];
	else
		close(pair[1]);
	return peer;
}

int helper_say(const struct helper_peer *peer, const struct helper_packet *packet)
{
	struct wire_header header = { .magic = packet->magic ? packet->magic : WIRE_MAGIC,
				      .version = packet->version ? packet->version : WIRE_VERSION,
				      .type = packet->type,
				      .length = (uint32_t)packet->size + packet->surplus_length };
	size_t header_size = sizeof(header), size = packet->size;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(HELPER_FDS_MAX * sizeof(int))];
	} control;
	struct iovec parts[2];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	if (packet->cut > size) {
		header_size -= packet->cut - size;
		size = 0;
	} else {
		size -= packet->cut;
	}
	parts[0] = (struct iovec){ &header, header_size };
	parts[1] = (struct iovec){ (void *)packet->payload, size };
	if (packet->n_fds > 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(packet->n_fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(packet->n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), packet->fds, packet->n_fds * sizeof(int));
	}
	return sendmsg(peer->socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

struct helper_answer helper_hear(const struct helper_peer *peer, int timeout_ms)
{
	struct helper_answer answer = { .type = -1 };
	static struct wire_message message;
	int r = wire_receive(peer->socket, &message, 0, timeout_ms);

	/* Once, if the helper left something of ours unread (unix_release_sock()): its answer is behind it. */
	if (r == -ECONNRESET)
		r = wire_receive(peer->socket, &message, 0, timeout_ms);
	if (r == -ECONNRESET)
		answer.type = 0;
	if (r < 0)
		return answer;
	answer.type = message.type;
	answer.size = message.length;
	if (message.length <= sizeof(answer.attached))
		memcpy(&answer.attached, message.payload, message.length);
	return answer;
}

bool helper_answer_failed(const struct helper_answer *answer, enum helper_failure failure)
{
	return answer->type == HELPER_FAILED && answer->size == sizeof(answer->failed) &&
	       answer->failed.failure == (uint32_t)failure;
}

struct helper_packet helper_request(enum helper_message type, const int *fd)
{
	static const struct helper_redirect ports = { 40001, 40002 };
	struct helper_packet packet = { .type = (uint16_t)type };

	if (type == HELPER_ATTACH) {
		packet.fds = fd;
		packet.n_fds = 1;
	} else if (type == HELPER_REDIRECT) {
		packet.payload = &ports;
		packet.size = sizeof(ports);
	}
	return packet;
}

struct helper_answer helper_ask(const struct helper_peer *peer, enum helper_message type, int netns)
{
	const struct helper_packet packet = helper_request(type, &netns);

	helper_say(peer, &packet);
	return helper_hear(peer, HELPER_SOON_MS);
}

struct helper_answer helper_attach(const struct helper_peer *peer, int netns)
{
	return helper_ask(peer, HELPER_ATTACH, netns);
}

struct helper_answer helper_redirect(const struct helper_peer *peer)
{
	return helper_ask(peer, HELPER_REDIRECT, -1);
}

int helper_ended(struct helper_peer *peer, int timeout_ms)
{
	int pidfd = (int)syscall(SYS_pidfd_open, peer->pid, 0), status = -1;
	struct pollfd wait = { .fd = pidfd, .events = POLLIN };
	bool ended = poll(&wait, 1, timeout_ms) == 1;

	if (!ended)
		kill(peer->pid, SIGKILL);
	waitpid(peer->pid, &status, 0);
	close_fd(&pidfd);
	close_fd(&peer->socket);
	close_fd(&peer->its_end);
	return ended ? status : -1;
}

void helper_become(uid_t user)
{
	if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 || setresuid(user, user, user) < 0)
		err(2, "becoming user %u", user);
	/* Or the files of /proc/self would be root's. */
	prctl(PR_SET_DUMPABLE, 1);
}

static void write_map(const char *path, unsigned int id)
{
	_cleanup_fd_ int file = open(path, O_WRONLY | O_CLOEXEC);

	if (file < 0 || dprintf(file, "%u %u 1", id, id) < 0)
		err(2, "%s", path);
}

void helper_enter(int flags)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	_cleanup_fd_ int file = -1;

	if (unshare(flags) < 0)
		err(2, "unshare(%#x)", (unsigned int)flags);
	if (!(flags & CLONE_NEWUSER))
		return;
	file = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	if (file < 0 || write(file, "deny", 4) != 4)
		err(2, "/proc/self/setgroups");
	write_map("/proc/self/uid_map", uid);
	write_map("/proc/self/gid_map", gid);
}

static void become_jail(uid_t user, int outer_flags, int flags, int control, void (*live)(int control))
{
	int netns;
	char byte;

	/* Nothing of what its maker has open is to live as long as it does. */
	control = dup2(control, STDERR_FILENO + 1);
	close_range((unsigned int)control + 1, ~0u, 0);
	if (user != 0)
		helper_become(user);
	if (outer_flags)
		helper_enter(outer_flags);
	helper_enter(flags);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	wire_send(control, 1, NULL, 0, &netns, 1);
	close(netns);
	if (live)
		live(control);
	else
		(void)!recv(control, &byte, 1, 0);
	_exit(0);
}

struct helper_jail helper_jail_start(uid_t user, int outer_flags, int flags, void (*live)(int control))
{
	static struct wire_message message;
	struct helper_jail jail;
	int pair[2];

	if (wire_pair(pair) < 0)
		err(2, "socketpair");
	jail.pid = fork();
	if (jail.pid < 0)
		err(2, "fork");
	if (jail.pid == 0) {
		close(pair[0]);
		become_jail(user, outer_flags, flags, pair[1], live);
	}
	close(pair[1]);
	if (wire_receive(pair[0], &message, 1, HELPER_SOON_MS) < 0 || message.n_fds != 1)
		errx(2, "no jail could be made: are user namespaces off?");
	jail.netns = message.fds[0];
	jail.control = pair[0];
	return jail;
}

struct helper_jail helper_jail_new(uid_t user, int outer_flags, int flags)
{
	return helper_jail_start(user, outer_flags, flags, NULL);
}

void helper_jail_end(struct helper_jail *jail)
{
	close_fd(&jail->control);
	close_fd(&jail->netns);
	if (jail->pid <= 0)
		return;
	kill(jail->pid, SIGKILL);
	waitpid(jail->pid, NULL, 0);
	jail->pid = 0;
}
