/*
 * helper_sockets HELPER [PID]: the helper's end of the conversation, which its caller made, and may hold on to: it need
 * not be a socket of the right kind, may have any option set, be shut down, and bring control messages nobody sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_scene.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76 /* Linux 6.5 */
#endif

static const struct scene *scene;

/* Descriptor 3 ------------------------------------------------------------------------------------------------- */

/* With this as descriptor 3 it must end by itself, and say on its standard error alone why. */
static void third(const char *what, int fd, int status)
{
	struct helper_peer peer;
	int got;

	if (fd < 0 && fd != -2) {
		tap_skip(what, strerror(errno));
		return;
	}
	peer = helper_start(scene->helper, &(struct helper_start){ .third = fd });
	got = helper_ended(&peer, HELPER_SOON_MS);
	scene_check(got == status, what, "status %#x", (unsigned int)got);
	if (fd >= 0)
		close(fd);
}

static void no_sockets(void)
{
	const int unusable = 125 << 8;
	int ends[2];

	third("descriptor 3 is closed", -2, unusable);
	third("descriptor 3 is a file", open("/etc/passwd", O_RDONLY | O_CLOEXEC), unusable);
	third("descriptor 3 is a directory", open("/", O_RDONLY | O_CLOEXEC), unusable);
	third("descriptor 3 is a device", open("/dev/null", O_RDWR | O_CLOEXEC), unusable);
	third("descriptor 3 is an O_PATH", open("/", O_PATH | O_CLOEXEC), unusable);
	third("descriptor 3 is an eventfd", eventfd(0, EFD_CLOEXEC), unusable);
	third("descriptor 3 is an epoll", epoll_create1(EPOLL_CLOEXEC), unusable);
	if (pipe2(ends, O_CLOEXEC) == 0) {
		third("descriptor 3 is the reading end of a pipe", ends[0], unusable);
		third("descriptor 3 is the writing end of a pipe", ends[1], unusable);
	}
}

static void other_sockets(void)
{
	const int unusable = 125 << 8, failed = 1 << 8;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) {
		third("descriptor 3 is a stream socket", ends[0], unusable);
		close(ends[1]);
	}
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0) {
		third("descriptor 3 is a datagram socket", ends[0], unusable);
		close(ends[1]);
	}
	third("descriptor 3 is a UDP socket", socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), unusable);
	third("descriptor 3 is a TCP socket", socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), unusable);
	third("descriptor 3 is a netlink socket", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), unusable);
	third("descriptor 3 is connected to nobody", socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), failed);
	third("descriptor 3 is a packet socket of SCTP", socket(AF_INET, SOCK_SEQPACKET | SOCK_CLOEXEC, 132), failed);
}

/* Options ------------------------------------------------------------------------------------------------------ */

/* What comes of a request; more than one may be right. */
enum { DONE = 1, REFUSED = 2, GONE = 4 };

static int outcome(const struct helper_answer *answer, enum helper_message type)
{
	if (answer->type == ((int)type | HELPER_REPLY))
		return DONE;
	if (helper_answer_failed(answer, HELPER_FAILURE_PROTOCOL))
		return REFUSED;
	return answer->type == 0 ? GONE : 0;
}

/*
 * Does something to the socket of a helper in each state, then sends the request that it waits for: the outcome must be
 * one of `wanted`, and the helper end, by itself, when we are done.
 */
static void spoil(const char *what, bool (*act)(const struct helper_peer *peer), int wanted)
{
	const struct helper_start how = { .keep_its_end = true };
	char detail[256] = "";
	bool held = true, done = true;

	for (enum session_state state = SESSION_INITIAL; state <= SESSION_SERVING; state++) {
		const enum helper_message type = (enum helper_message)(state + 1);
		struct session s;
		struct helper_answer answer;
		int status;

		sessions_open(what, &s, 1, state, &how);
		done &= act(&s.peer);
		close_fd(&s.peer.its_end);
		answer = helper_ask(&s.peer, type, s.jail->netns);
		close_fd(&s.peer.socket);
		status = helper_ended(&s.peer, HELPER_SOON_MS);
		if (!(outcome(&answer, type) & wanted) || (status != 0 && status != 1 << 8)) {
			held = false;
			snprintf(detail, sizeof(detail), "%s: answer %d, failure %u, errno %d, status %#x",
				 session_state_names[state], answer.type, answer.failed.failure, answer.failed.code,
				 (unsigned int)status);
		}
		sessions_empty(&s, 1);
	}
	if (done)
		scene_check(held, what, "%s", detail);
	else
		tap_skip(what, "this kernel does not know it");
}

static bool set_option(const struct helper_peer *peer, int option, int value)
{
	return setsockopt(peer->its_end, SOL_SOCKET, option, &value, sizeof(value)) == 0;
}

static bool credentials(const struct helper_peer *peer)
{
	return set_option(peer, SO_PASSCRED, 1);
}

static bool pidfds(const struct helper_peer *peer)
{
	return set_option(peer, SO_PASSPIDFD, 1);
}

static bool security_labels(const struct helper_peer *peer)
{
	return set_option(peer, SO_PASSSEC, 1);
}

static bool timestamps(const struct helper_peer *peer)
{
	return set_option(peer, SO_TIMESTAMPNS, 1);
}

static bool everything(const struct helper_peer *peer)
{
	pidfds(peer);
	security_labels(peer);
	timestamps(peer);
	return credentials(peer);
}

static bool peek_offset(const struct helper_peer *peer)
{
	return set_option(peer, SO_PEEK_OFF, 3);
}

static bool receive_timeout(const struct helper_peer *peer)
{
	const struct timeval soon = { 0, 1 };

	return setsockopt(peer->its_end, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)) == 0;
}

static bool small_buffers(const struct helper_peer *peer)
{
	return set_option(peer, SO_RCVBUF, 1) && set_option(peer, SO_SNDBUF, 1);
}

static bool not_blocking(const struct helper_peer *peer)
{
	return fcntl(peer->its_end, F_SETFL, O_NONBLOCK) == 0;
}

/* A signal, harmless by default, with each packet it receives. */
static bool signals(const struct helper_peer *peer)
{
	return fcntl(peer->its_end, F_SETOWN, peer->pid) == 0 && fcntl(peer->its_end, F_SETSIG, SIGURG) == 0 &&
	       fcntl(peer->its_end, F_SETFL, O_ASYNC) == 0;
}

/* A program in the socket that cuts its packets, or keeps none. */
static bool filter(const struct helper_peer *peer, unsigned int length)
{
	struct sock_filter instruction = BPF_STMT(BPF_RET | BPF_K, length);
	const struct sock_fprog program = { 1, &instruction };

	return setsockopt(peer->its_end, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

static bool cutting_filter(const struct helper_peer *peer)
{
	return filter(peer, sizeof(struct wire_header) - 1);
}

static void options(void)
{
	spoil("control messages with credentials", credentials, REFUSED);
	spoil("control messages with a pidfd", pidfds, REFUSED);
	spoil("control messages with a security label", security_labels, DONE | REFUSED); /* if there are labels */
	spoil("control messages with times", timestamps, REFUSED);
	spoil("all of them", everything, REFUSED);
	spoil("an offset for peeking", peek_offset, DONE);
	spoil("receiving times out", receive_timeout, DONE | REFUSED | GONE);
	spoil("no room in its buffers", small_buffers, DONE | REFUSED);
	spoil("its socket does not block", not_blocking, DONE | REFUSED | GONE);
	spoil("signals for what it receives", signals, DONE);
	spoil("a filter that cuts packets", cutting_filter, REFUSED);
}

/* Half closed -------------------------------------------------------------------------------------------------- */

static bool our_sending(const struct helper_peer *peer)
{
	return shutdown(peer->socket, SHUT_WR) == 0;
}

static bool our_receiving(const struct helper_peer *peer)
{
	return shutdown(peer->socket, SHUT_RD) == 0;
}

static bool ours_all(const struct helper_peer *peer)
{
	return shutdown(peer->socket, SHUT_RDWR) == 0;
}

static bool its_sending(const struct helper_peer *peer)
{
	return shutdown(peer->its_end, SHUT_WR) == 0;
}

static bool its_receiving(const struct helper_peer *peer)
{
	return shutdown(peer->its_end, SHUT_RD) == 0;
}

static bool its_all(const struct helper_peer *peer)
{
	return shutdown(peer->its_end, SHUT_RDWR) == 0;
}

static void half_closed(void)
{
	spoil("our end does not send any more", our_sending, GONE);
	spoil("our end does not receive any more", our_receiving, GONE);
	spoil("our end is shut down", ours_all, GONE);
	spoil("its end does not send any more", its_sending, GONE);
	spoil("its end does not receive any more", its_receiving, GONE);
	spoil("its end is shut down", its_all, GONE);
}

/* Two control messages, each with a descriptor; and one that claims to be from process 1. */
static void control_messages(void)
{
	struct session s;
	struct helper_answer answer;
	struct wire_header header = { WIRE_MAGIC, WIRE_VERSION, HELPER_ATTACH, 0 };
	struct iovec part = { &header, sizeof(header) };
	union {
		struct cmsghdr header;
		char bytes[2 * CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int status;

	sessions_open("control messages", &s, 1, SESSION_INITIAL, NULL);
	for (int i = 0; i < 2; i++, c = CMSG_NXTHDR(&message, c)) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &s.jail->netns, sizeof(int));
	}
	if (sendmsg(s.peer.socket, &message, 0) < 0)
		tap_note("two control messages: %s", strerror(errno));
	answer = helper_hear(&s.peer, HELPER_SOON_MS);
	status = helper_ended(&s.peer, HELPER_SOON_MS);
	scene_check(helper_answer_failed(&answer, HELPER_FAILURE_PROTOCOL) && status == 1 << 8,
		    "two control messages with a descriptor each", "answer %d, status %#x", answer.type,
		    (unsigned int)status);
}

int main(int argc, char **argv)
{
	scene = scene_begin(argc, argv);
	no_sockets();
	other_sockets();
	options();
	half_closed();
	control_messages();
	return scene_end();
}
