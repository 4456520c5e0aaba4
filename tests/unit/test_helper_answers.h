/*
 * The kernel, for suites about what is said to it: the other end of a unix socket, with its answers already in the
 * queue, as netlink has them when sendto(2) returns. To be linked with --wrap=recv and --wrap=sendto.
 */
#pragma once

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include "shared/netlink.h"
#include "shared/wire.h"

static struct netlink n;
static int kernel;
static _Alignas(NLMSG_ALIGNTO) unsigned char request[32768];
static ssize_t request_length;
static void (*on_send)(void); /* the kernel's answers to each request */
static int errors_to_come;    /* of recv(2): ENOBUFS */
static size_t n_sent, n_received;

ssize_t __real_sendto(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
ssize_t __wrap_sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size);
ssize_t __wrap_sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
	ssize_t r = __real_sendto(fd, bytes, length, flags, to, size);

	n_sent++;
	if (on_send)
		on_send();
	return r;
}

ssize_t __wrap_recv(int fd, void *ret, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *ret, size_t size, int flags)
{
	ck_assert_uint_lt(++n_received, 1000);
	if (errors_to_come > 0) {
		errors_to_come--;
		errno = ENOBUFS;
		return -1;
	}
	return recvfrom(fd, ret, size, flags, NULL, NULL);
}

static inline void setup(void)
{
	int pair[2];

	ck_assert_int_eq(wire_pair(pair), 0);
	n = NETLINK_NONE;
	ck_assert_int_eq(netlink_allocate(&n), 0);
	n.route = n.netfilter = pair[0];
	kernel = pair[1];
}

static inline int send_messages(void)
{
	return netlink_send(&n, n.route, NULL, NULL);
}

static inline void answer(int error)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr status;
	} message = { .header = { .nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_ERROR },
		      .status = { .error = error } };

	ck_assert_int_eq(send(kernel, &message, sizeof(message), 0), sizeof(message));
}

static inline void answers(int count)
{
	while (count-- > 0)
		answer(0);
}

/* A table, as the kernel tells of it; without `user` if that has no length. */
static inline void answer_table(uint16_t type, uint16_t flags, const char *name, uint64_t handle, const void *user,
				size_t length)
{
	struct nl_msg *message = nlmsg_alloc();
	struct nlmsghdr *header = nlmsg_put(message, 0, 0, type, sizeof(struct nfgenmsg), flags);

	ck_assert_ptr_nonnull(header);
	if (name)
		ck_assert_int_eq(nla_put_string(message, NFTA_TABLE_NAME, name), 0);
	ck_assert_int_eq(nla_put_u64(message, NFTA_TABLE_HANDLE, htobe64(handle)), 0);
	if (length > 0)
		ck_assert_int_eq(nla_put(message, NFTA_TABLE_USERDATA, (int)length, user), 0);
	ck_assert_int_eq(send(kernel, header, header->nlmsg_len, 0), header->nlmsg_len);
	nlmsg_free(message);
}

#define NEW_TABLE (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE)

static inline void answer_done(int error)
{
	struct {
		struct nlmsghdr header;
		int status;
	} message = { { .nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_DONE }, error };

	ck_assert_int_eq(send(kernel, &message, sizeof(message), 0), sizeof(message));
}

static inline void hear_request(void)
{
	request_length = recv(kernel, request, sizeof(request), MSG_DONTWAIT);
	ck_assert_int_gt(request_length, 0);
}
