/* Requests to the kernel and its answers: see netlink.h. */
#include "shared/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include "shared/cleanup.h"
#include "shared/wire.h"

#define REQUEST_SIZE 32768
#define ATTRIBUTE_SIZE_MAX 128     /* of all that is ever put */
#define FILTER_BY_SOURCE_ADDRESS 1 /* CTA_FILTER_F_CTA_IP_SRC in net/netfilter/nf_conntrack_netlink.c */

int netlink_allocate(struct netlink *n)
{
	nl_debug = 0; /* libnl took it from NLDBG of the environment before main(), and would write to stderr */
	n->request = nlmsg_alloc_size(REQUEST_SIZE);
	return n->request ? 0 : -ENOMEM;
}

int netlink_open(struct netlink *n)
{
	n->route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (n->route >= 0)
		n->netfilter = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (n->route < 0 || n->netfilter < 0)
		return -errno;
	return wire_pair(n->away);
}

void netlink_close(struct netlink *n)
{
	close_fd(&n->route);
	close_fd(&n->netfilter);
	close_fd(&n->away[1]);
	close_fd(&n->away[0]); /* the last: this is when the kernel looks for garbage */
	nlmsg_free(n->request);
	n->request = NULL;
}

/*
 * A descriptor on its way through a socket keeps that open. One on its way through itself is garbage once nobody else
 * has it, and what is with it, which is collected by a thread of the kernel's since Linux 6.10 (unix_gc()); before, by
 * the close.
 */
void netlink_leave(struct netlink *n)
{
	const int fds[] = { n->away[1], n->netfilter };

	if (n->netfilter >= 0)
		(void)wire_send(n->away[0], 0, NULL, 0, fds, array_size(fds));
	netlink_close(n);
}

/* libnl sees one long message: its header is never sent, but counts the bytes of ours behind it. */
static char *end(const struct netlink *n)
{
	return nlmsg_tail(nlmsg_hdr(n->request));
}

static void finish_message(struct netlink *n)
{
	if (n->message)
		n->message->nlmsg_len = (uint32_t)(end(n) - (char *)n->message);
}

void netlink_message(struct netlink *n, uint16_t type, uint16_t flags, const void *header, size_t length)
{
	finish_message(n);
	n->message = nlmsg_reserve(n->request, NLMSG_HDRLEN, NLMSG_ALIGNTO);
	if (n->message)
		*n->message = (struct nlmsghdr){ .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags };
	(void)nlmsg_append(n->request, (void *)header, length, NLMSG_ALIGNTO);
	n->expected += (flags & (NLM_F_ACK | NLM_F_DUMP)) != 0;
	n->depth = 0;
}

void netlink_nest(struct netlink *n, uint16_t attribute)
{
	struct nlattr *nest = nla_nest_start(n->request, attribute);

	if (nest)
		n->nests[n->depth++] = nest;
}

void netlink_nest_end(struct netlink *n, int count)
{
	while (count-- > 0 && n->depth > 0)
		(void)nla_nest_end(n->request, n->nests[--n->depth]);
}

/* Counts the acknowledgements in one datagram, and keeps the first error. */
static void read_datagram(struct nlmsghdr *message, int left, netlink_answer *answer, void *context, size_t *acks,
			  int *error)
{
	for (; nlmsg_ok(message, left); message = nlmsg_next(message, &left)) {
		const int *status = nlmsg_data(message); /* first of struct nlmsgerr, and behind the end of a dump */

		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			*error = *error ?: -ERESTART;
		if (message->nlmsg_type != NLMSG_ERROR && message->nlmsg_type != NLMSG_DONE) {
			if (answer)
				answer(message, context);
		} else if (nlmsg_datalen(message) >= (int)sizeof(*status)) {
			*acks += *status == 0;
			*error = *error ?: (*status > 0 ? -EPROTO : *status);
		}
	}
}

int netlink_send(struct netlink *n, int socket, netlink_answer *answer, void *context)
{
	static _Alignas(NLMSG_ALIGNTO) unsigned char datagram[32768]; /* the kernel makes no longer ones */
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const char *first = nlmsg_data(nlmsg_hdr(n->request));
	size_t length = (size_t)(end(n) - first), acks = 0;
	ssize_t got;
	int r = 0;

	finish_message(n);
	/* What found no room was left out, with less room after it than it needed. */
	if (length + NLMSG_HDRLEN + ATTRIBUTE_SIZE_MAX > REQUEST_SIZE)
		r = -EMSGSIZE;
	else if (sendto(socket, first, length, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		r = -errno;
	nlmsg_hdr(n->request)->nlmsg_len = NLMSG_HDRLEN;
	n->message = NULL;
	/* To the end even after an error, also of the socket's (ENOBUFS): what is left would be taken for later
	 * answers. */
	for (int errors = 0; r != -EMSGSIZE && errors < 8; errors += got < 0) {
		got = recv(socket, datagram, sizeof(datagram), MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno == EAGAIN))
			break;
		r = got < 0 && r == 0 ? -errno : r;
		if (got > 0)
			read_datagram((struct nlmsghdr *)datagram, (int)got, answer, context, &acks, &r);
	}
	if (r == 0 && acks != n->expected)
		r = -EPROTO;
	n->expected = 0;
	return r;
}

int netlink_forget_connections(struct netlink *n, uint32_t address)
{
	const struct nfgenmsg header = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };

	netlink_message(n, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, NLM_F_ACK, &header, sizeof(header));
	netlink_nest(n, CTA_TUPLE_ORIG);
	netlink_nest(n, CTA_TUPLE_IP);
	netlink_put_u32(n, CTA_IP_V4_SRC, htonl(address));
	netlink_nest_end(n, 2);
	/* A kernel that does not know this looks for one connection, and its ports are missing. */
	netlink_nest(n, CTA_FILTER);
	netlink_put_u32(n, CTA_FILTER_ORIG_FLAGS, FILTER_BY_SOURCE_ADDRESS);
	netlink_nest_end(n, 1);
	return netlink_send(n, n->netfilter, NULL, NULL);
}
