/* Messages over SOCK_SEQPACKET: see wire.h. */
#include "shared/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
};

int wire_pair(int ret_pair[2])
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ret_pair[0] = pair[0];
	ret_pair[1] = pair[1];
	return 0;
}

int wire_send(int socket, uint16_t type, const void *payload, size_t length, const int *fds, size_t n_fds)
{
	struct wire_header header = { WIRE_MAGIC, WIRE_VERSION, type, (uint32_t)length };
	struct iovec parts[2] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)payload, .iov_len = length },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = length > 0 ? 2 : 1 };
	union control control;
	ssize_t sent;

	if (length > WIRE_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (n_fds > WIRE_FDS_MAX)
		return -EINVAL;
	if (n_fds > 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
	}
	do {
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* Moves the descriptors of every control message to *ret. Surplus ones are closed and reported as false. */
static bool collect_fds(struct msghdr *message, struct wire_message *ret, size_t fds_max)
{
	bool fits = true;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			fits = false;
			continue;
		}
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (ret->n_fds < fds_max) {
				ret->fds[ret->n_fds++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	return fits;
}

static int wait_readable(int socket, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = socket, .events = POLLIN };
	int ready;

	if (timeout_ms < 0)
		return 0;
	do {
		ready = poll(&poll_fd, 1, timeout_ms);
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return -errno;
	return ready == 0 ? -ETIMEDOUT : 0;
}

int wire_receive(int socket, struct wire_message *ret, size_t fds_max, int timeout_ms)
{
	struct wire_header header;
	struct iovec parts[2] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = ret->payload, .iov_len = sizeof(ret->payload) },
	};
	union control control = { .bytes = { 0 } };
	struct msghdr message = {
		.msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t got;
	bool fits;
	int r;

	ret->n_fds = 0;
	r = wait_readable(socket, timeout_ms);
	if (r < 0)
		return r;
	do {
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;

	fits = collect_fds(&message, ret, fds_max < WIRE_FDS_MAX ? fds_max : WIRE_FDS_MAX);
	if (got == 0 && ret->n_fds == 0 && fits)
		return -ECONNRESET;
	if (!fits || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (size_t)got < sizeof(header) ||
	    header.magic != WIRE_MAGIC || header.version != WIRE_VERSION ||
	    header.length != (size_t)got - sizeof(header)) {
		wire_message_clear(ret);
		return -EPROTO;
	}
	ret->type = header.type;
	ret->length = header.length;
	return 0;
}

void wire_message_clear(struct wire_message *message)
{
	if (!message)
		return;
	for (size_t i = 0; i < message->n_fds; i++)
		if (message->fds[i] >= 0)
			close(message->fds[i]);
	message->n_fds = 0;
}
