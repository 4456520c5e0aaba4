/* Building messages with libnl, sending them, and their acknowledgements: see netlink.h. */
#include "helper/netlink.h"

#include <errno.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/cleanup.h"

static struct nl_msg *last(const struct netlink *n)
{
	return n->count > 0 ? n->messages[n->count - 1] : NULL;
}

void netlink_message(struct netlink *n, uint16_t type, uint16_t flags, const void *header, size_t length)
{
	n->failed |= n->count == array_size(n->messages);
	if (n->failed)
		return;
	n->messages[n->count++] = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);
	n->expected += (flags & NLM_F_ACK) != 0;
	n->depth = 0;
	netlink_append(n, header, length);
}

void netlink_append(struct netlink *n, const void *bytes, size_t length)
{
	n->failed |= !last(n) || nlmsg_append(last(n), (void *)bytes, length, NLMSG_ALIGNTO) < 0;
}

void netlink_put(struct netlink *n, uint16_t attribute, const void *value, size_t length)
{
	n->failed |= !last(n) || nla_put(last(n), attribute, (int)length, value) < 0;
}

void netlink_nest(struct netlink *n, uint16_t attribute)
{
	struct nlattr *nest = last(n) && n->depth < array_size(n->nests) ? nla_nest_start(last(n), attribute) : NULL;

	n->failed |= !nest;
	if (nest)
		n->nests[n->depth++] = nest;
}

void netlink_nest_end(struct netlink *n, int count)
{
	while (!n->failed && count-- > 0)
		nla_nest_end(last(n), n->nests[--n->depth]);
}

/* All messages as one datagram. */
static int send_all(int socket, struct netlink *n)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct iovec parts[array_size(n->messages)];
	const struct msghdr datagram = { &kernel, sizeof(kernel), parts, n->count, NULL, 0, 0 };
	int r = n->failed ? -EMSGSIZE : 0;

	for (size_t i = 0; r == 0 && i < n->count; i++)
		parts[i] = (struct iovec){ nlmsg_hdr(n->messages[i]), nlmsg_hdr(n->messages[i])->nlmsg_len };
	if (r == 0 && sendmsg(socket, &datagram, 0) < 0)
		r = -errno;
	for (size_t i = 0; i < n->count; i++)
		nlmsg_free(n->messages[i]);
	n->count = 0;
	return r;
}

/* Counts the acknowledgements in one datagram, and keeps the first error. */
static void read_datagram(struct nlmsghdr *message, int left, netlink_answer *answer, void *context, size_t *acks,
			  int *error)
{
	for (; nlmsg_ok(message, left); message = nlmsg_next(message, &left)) {
		const struct nlmsgerr *status = nlmsg_data(message);

		if (message->nlmsg_type != NLMSG_ERROR) {
			if (answer)
				answer(message, context);
			continue;
		}
		*acks += status->error == 0;
		if (*error == 0)
			*error = status->error;
	}
}

int netlink_send(int socket, struct netlink *n, netlink_answer *answer, void *context)
{
	_Alignas(NLMSG_ALIGNTO) unsigned char datagram[16384];
	size_t acks = 0;
	ssize_t got;
	int r = send_all(socket, n);

	if (r < 0)
		return r;
	/* To the end even after an error: what is left would be taken for answers to the next request. */
	while ((got = recv(socket, datagram, sizeof(datagram), MSG_DONTWAIT)) > 0)
		read_datagram((struct nlmsghdr *)datagram, (int)got, answer, context, &acks, &r);
	if (r == 0 && got < 0 && errno != EAGAIN)
		return -errno;
	return r == 0 && acks != n->expected ? -EPROTO : r;
}
