/* One request in each state, checked whole before anything is done: see request.h. */
#include "helper/request.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/cable.h"
#include "helper/privileges.h"
#include "shared/cleanup.h"
#include "shared/wire.h"

enum state { STATE_INITIAL, STATE_ATTACHED, STATE_SERVING, STATE_ENDED };

struct session {
	int route, netfilter;         /* netlink sockets, -1 before they are open */
	struct helper_attached cable; /* host_ifindex is 0 while there is none */
	uint64_t guard;               /* handle of its table, 0 while there is none */
	enum helper_failure failure;  /* what to answer if the current step fails */
};

static int request_attach(struct session *s, const struct wire_message *message)
{
	const uid_t user = getuid();
	int r;

	/* The kernel judges netlink requests by the capabilities both now, at socket(2), and when they are sent. */
	s->failure = HELPER_FAILURE_LINK;
	s->route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	s->netfilter = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (s->route < 0 || s->netfilter < 0)
		return -errno;
	r = netns_check(message->fds[0], s->route, user, &s->failure);
	if (r < 0)
		return r;
	r = cable_create(s->route, message->fds[0], user, &s->cable);
	s->failure = r == -ENOSPC ? HELPER_FAILURE_NO_FREE_INDEX : HELPER_FAILURE_LINK;
	if (r < 0)
		return r;
	s->failure = HELPER_FAILURE_GUARD;
	r = guard_install(s->netfilter, &s->cable, &s->guard);
	if (r < 0)
		return r;
	s->failure = HELPER_FAILURE_LINK;
	return cable_set(s->route, &s->cable, CABLE_UP);
}

static int request_redirect(struct session *s, const struct wire_message *message)
{
	struct helper_redirect ports;

	s->failure = HELPER_FAILURE_PROTOCOL;
	memcpy(&ports, message->payload, sizeof(ports));
	if (ports.tcp_port == 0 || ports.dns_port == 0)
		return -EINVAL;
	s->failure = HELPER_FAILURE_REDIRECT;
	return redirect_install(s->netfilter, &s->cable, &ports);
}

/*
 * The jail is gone, so the cable goes by itself, with the network namespace; to unregister it here would only make the
 * peer wait for the kernel. Should the jail live nevertheless: nothing passes a cable that is down.
 */
static int request_detach(struct session *s, __attribute__((unused)) const struct wire_message *message)
{
	int r;

	s->failure = HELPER_FAILURE_LINK;
	r = cable_set(s->route, &s->cable, CABLE_DOWN) ?: tables_remove(s->netfilter, &s->cable, s->guard);
	if (r == 0)
		s->cable.host_ifindex = 0;
	return r;
}

/* The one request that each state allows. Success leads to the next state. */
static const struct request {
	uint16_t type;
	uint32_t length;
	size_t n_fds;
	int (*handle)(struct session *s, const struct wire_message *message);
} requests[] = {
	[STATE_INITIAL] = { HELPER_ATTACH, 0, 1, request_attach },
	[STATE_ATTACHED] = { HELPER_REDIRECT, sizeof(struct helper_redirect), 0, request_redirect },
	[STATE_SERVING] = { HELPER_DETACH, 0, 0, request_detach },
};

/* Receives, executes and answers one request. The privileges after a failure are request_serve()'s to drop. */
static int serve(int socket, struct session *s, enum state state)
{
	const struct request *request = &requests[state];
	_cleanup_(wire_message_clear) struct wire_message message = { 0 };
	int r;

	s->failure = HELPER_FAILURE_PROTOCOL;
	r = wire_receive(socket, &message, request->n_fds, state == STATE_SERVING ? -1 : HELPER_REQUEST_TIMEOUT_MS);
	if (r < 0)
		return r;
	if (message.type != request->type || message.length != request->length || message.n_fds != request->n_fds)
		return -EPROTO;
	s->failure = HELPER_FAILURE_CAPABILITY;
	r = privileges_set(PRIVILEGES_EFFECTIVE);
	if (r < 0)
		return r;
	r = request->handle(s, &message);
	if (r < 0)
		return r;
	s->failure = HELPER_FAILURE_CONFINEMENT;
	if (state == STATE_ATTACHED)
		alarm(0);
	r = privileges_set(PRIVILEGES_PERMITTED);
	if (r == 0 && state == STATE_ATTACHED)
		r = privileges_confine();
	if (r < 0)
		return r;
	return wire_send(socket, request->type | HELPER_REPLY, &s->cable, state == STATE_INITIAL ? sizeof(s->cable) : 0,
			 NULL, 0);
}

int request_serve(int socket)
{
	struct session session = { .route = -1, .netfilter = -1 };
	struct helper_failed failed;
	int r = 0;

	/*
	 * A peer that holds our end of the socket, too, can make receiving and sending wait beyond their time, and a
	 * descriptor may belong to a file system that never answers: nothing but serving outlives this.
	 */
	alarm(3 * HELPER_REQUEST_TIMEOUT_MS / 1000);
	for (enum state state = STATE_INITIAL; state != STATE_ENDED && r == 0; state++)
		r = serve(socket, &session, state);
	failed = (struct helper_failed){ .failure = session.failure, .code = -r };
	/* The guard stays if the cable does; the redirect goes with its socket. */
	if (session.cable.host_ifindex != 0 && privileges_set(PRIVILEGES_EFFECTIVE) == 0 &&
	    cable_set(session.route, &session.cable, CABLE_GONE) == 0 && session.guard != 0)
		(void)tables_remove(session.netfilter, &session.cable, session.guard);
	(void)privileges_set(PRIVILEGES_NONE);
	if (r == 0 || r == -ECONNRESET)
		return 0;
	(void)wire_send(socket, HELPER_FAILED, &failed, sizeof(failed), NULL, 0);
	return r;
}
