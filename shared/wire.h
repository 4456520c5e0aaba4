/*
 * Typed messages with descriptors between our processes, over an AF_UNIX SOCK_SEQPACKET socketpair:
 * one packet, one message; header {magic, version, type, length}, payload, at most WIRE_FDS_MAX
 * descriptors by SCM_RIGHTS (unix(7)). Anything that is not exactly that is refused and nothing of it kept.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC 0x59444e42u /* "BNDY" in memory on a little-endian machine */
#define WIRE_VERSION 1
#define WIRE_PAYLOAD_MAX 16384
#define WIRE_FDS_MAX 16

struct wire_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t length; /* of the payload, bytes */
};
_Static_assert(sizeof(struct wire_header) == 12, "the header is packed by construction");

struct wire_message {
	uint16_t type;
	uint32_t length;
	_Alignas(8) unsigned char payload[WIRE_PAYLOAD_MAX];
	size_t n_fds;
	int fds[WIRE_FDS_MAX]; /* close-on-exec; owned by the message until taken: wire_message_clear() */
};

/*
 * Makes a connected SOCK_SEQPACKET pair, both ends close-on-exec.
 * Returns 0, or -errno of socketpair(2).
 */
int wire_pair(int ret_pair[2]);

/*
 * Sends one message. `payload` may be NULL when `length` is 0; the descriptors stay the caller's.
 * Returns 0; -EMSGSIZE or -EINVAL for more payload or descriptors than allowed; -errno of sendmsg(2)
 * (-EPIPE when the peer is gone; no SIGPIPE is raised).
 */
int wire_send(int socket, uint16_t type, const void *payload, size_t length, const int *fds, size_t n_fds);

/*
 * Receives one message into *ret with at most `fds_max` descriptors. `timeout_ms` < 0 waits for ever.
 * Returns 0; -ECONNRESET at the peer's end of file; -ETIMEDOUT; -EPROTO for a wrong magic, version or
 * length, a truncated packet, or surplus or truncated descriptors; -errno of poll(2) or recvmsg(2).
 * On failure *ret holds no descriptors.
 */
int wire_receive(int socket, struct wire_message *ret, size_t fds_max, int timeout_ms);

/* Closes the descriptors still in *message (those not taken with take_fd()). Accepts NULL. */
void wire_message_clear(struct wire_message *message);
