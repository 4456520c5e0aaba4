/* The host's own addresses: see routes.h. */
#include "policy/proxy/routes.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/cleanup.h"

struct question {
	struct nlmsghdr header;
	struct rtmsg route;
	struct rtattr attribute;
	unsigned char address[16];
};

int routes_open(struct error *e)
{
	_cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };

	if (fd < 0 || bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0)
		return error_errno(e, errno, "cannot open a rtnetlink socket, which tells this host's own addresses");
	return take_fd(&fd);
}

static void compose(struct question *question, const struct ip_address *address)
{
	struct sockaddr_storage target;
	bool v4;

	ip_address_to_sockaddr(address, 0, &target);
	v4 = target.ss_family == AF_INET;
	*question = (struct question){
		.header = { .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST },
		.route = { .rtm_family = (unsigned char)target.ss_family, .rtm_dst_len = v4 ? 32 : 128 },
		.attribute = { .rta_type = RTA_DST, .rta_len = RTA_LENGTH(v4 ? 4 : 16) },
	};
	memcpy(question->address, address->bytes + (v4 ? 12 : 0), v4 ? 4 : 16);
	question->header.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)) + question->attribute.rta_len;
}

bool routes_is_own(int socket, const struct ip_address *address)
{
	struct question question;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	union {
		struct nlmsghdr header;
		char octets[4096];
	} answer;
	const struct rtmsg *route = NLMSG_DATA(&answer.header);
	const struct nlmsgerr *failure = NLMSG_DATA(&answer.header);
	ssize_t length;

	compose(&question, address);
	if (sendto(socket, &question, question.header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return true;
	length = recv(socket, &answer, sizeof(answer), 0);
	if (length < (ssize_t)NLMSG_LENGTH(sizeof(*route)) || !NLMSG_OK(&answer.header, (size_t)length))
		return true;
	if (answer.header.nlmsg_type == NLMSG_ERROR)
		/* No route, or one that refuses: connect(2) will say so. */
		return failure->error != -ENETUNREACH && failure->error != -EHOSTUNREACH && failure->error != -EACCES &&
		       failure->error != -EINVAL;
	return answer.header.nlmsg_type != RTM_NEWROUTE || route->rtm_type == RTN_LOCAL ||
	       route->rtm_type == RTN_BROADCAST || route->rtm_type == RTN_MULTICAST || route->rtm_type == RTN_ANYCAST;
}
