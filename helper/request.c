/* One request in each state, checked whole before anything is done: see request.h. */
#include "helper/request.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "helper/cable.h"
#include "helper/privileges.h"
#include "shared/cleanup.h"
#include "shared/wire.h"

enum state { STATE_INITIAL, STATE_ATTACHED, STATE_SERVING, STATE_ENDED };

struct session {
	struct netlink net;
	struct config config;
	struct cable cable;
	struct helper_failed failed; /* what to answer if the current step fails; the code comes from its -errno */
};

static int request_attach(struct session *s, const struct wire_message *message)
{
	int r;

	s->cable.user = getuid();
	s->failed.failure = HELPER_FAILURE_GROUP;
	if (!config_permits(&s->config, s->cable.user))
		return -EACCES;
	/* The kernel judges netlink requests by the capabilities both now, at socket(2), and when they are sent. */
	s->failed.failure = HELPER_FAILURE_LINK;
	r = netlink_open(&s->net) ?: netns_check(message->fds[0], s->net.route, s->cable.user, &s->failed.failure) ?:
	    cable_create(&s->net, &s->config, message->fds[0], &s->cable, &s->failed);
	if (r < 0)
		return r;
	s->failed = (struct helper_failed){ .failure = HELPER_FAILURE_GUARD };
	r = guard_install(&s->net, &s->cable);
	if (r < 0)
		return r;
	s->failed.failure = HELPER_FAILURE_LINK;
	s->cable.names.config_ignored = s->config.ignored;
	return cable_set(&s->net, s->cable.names.host_ifindex, CABLE_UP);
}

static int request_redirect(struct session *s, const struct wire_message *message)
{
	struct helper_redirect ports;

	memcpy(&ports, message->payload, sizeof(ports));
	s->failed.failure = HELPER_FAILURE_PROTOCOL;
	if (ports.tcp_port == 0 || ports.dns_port == 0)
		return -EINVAL;
	s->failed.failure = HELPER_FAILURE_REDIRECT;
	return redirect_install(&s->net, &s->cable, &ports);
}

/* With the jail goes the cable: nobody waits for it. Should the jail live: nothing passes a cable that is down. */
static int request_detach(struct session *s, __attribute__((unused)) const struct wire_message *message)
{
	int r;

	s->failed.failure = HELPER_FAILURE_LINK;
	r = cable_set(&s->net, s->cable.names.host_ifindex, CABLE_DOWN) ?: tables_remove(&s->net, &s->cable);
	if (r == 0)
		s->cable = (struct cable){ 0 };
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

/*
 * A peer that holds our end of the socket, too, can make receiving and sending wait beyond their time, and a descriptor
 * may belong to a file system that never answers: SIGALRM ends what is not serving after three times the deadline.
 */
static void limit_time(bool limited)
{
	const struct itimerval timer = { .it_value.tv_sec = limited ? 3 * HELPER_REQUEST_TIMEOUT_MS / 1000 : 0 };

	(void)setitimer(ITIMER_REAL, &timer, NULL);
}

/* Receives, executes and answers one request. The privileges after a failure are request_serve()'s to drop. */
static int serve(int socket, struct session *s, enum state state)
{
	const struct request *request = &requests[state];
	_cleanup_(wire_message_clear) struct wire_message message = { 0 };
	int r;

	s->failed = (struct helper_failed){ .failure = HELPER_FAILURE_PROTOCOL };
	limit_time(state != STATE_SERVING);
	r = wire_receive(socket, &message, request->n_fds, state == STATE_SERVING ? -1 : HELPER_REQUEST_TIMEOUT_MS);
	limit_time(true);
	if (r < 0)
		return r;
	if (message.type != request->type || message.length != request->length || message.n_fds != request->n_fds)
		return -EPROTO;
	s->failed.failure = HELPER_FAILURE_CONFINEMENT;
	if (state == STATE_SERVING && (r = privileges_confine(STAGE_TEARDOWN)) < 0)
		return r;
	s->failed.failure = HELPER_FAILURE_CAPABILITY;
	r = privileges_set(PRIVILEGES_EFFECTIVE) ?: request->handle(s, &message);
	if (r < 0)
		return r;
	s->failed.failure = HELPER_FAILURE_CONFINEMENT;
	r = privileges_set(PRIVILEGES_PERMITTED);
	if (r == 0 && state == STATE_ATTACHED)
		r = privileges_confine(STAGE_SERVING);
	if (r < 0)
		return r;
	return wire_send(socket, request->type | HELPER_REPLY, &s->cable.names,
			 state == STATE_INITIAL ? sizeof(s->cable.names) : 0, NULL, 0);
}

/* Whatever there is. The guard stays if the cable does; claim and redirect go with their socket in any case. */
static void undo(struct session *s)
{
	if (s->cable.claim == 0 || privileges_confine(STAGE_TEARDOWN) < 0 || privileges_set(PRIVILEGES_EFFECTIVE) < 0)
		return;
	if (s->cable.names.host_ifindex == 0 || cable_set(&s->net, s->cable.names.host_ifindex, CABLE_GONE) == 0)
		(void)tables_remove(&s->net, &s->cable);
}

int request_serve(int socket)
{
	struct session session = { .net = NETLINK_NONE, .failed.failure = HELPER_FAILURE_CONFINEMENT };
	/* After this no memory is taken any more. */
	int r = netlink_allocate(&session.net) ?: config_read(HELPER_CONFIG_PATH, &session.config, &session.failed);

	if (r == 0) {
		session.failed.failure = HELPER_FAILURE_CONFINEMENT;
		r = privileges_confine(STAGE_SET_UP);
	}
	for (enum state state = STATE_INITIAL; state != STATE_ENDED && r == 0; state++)
		r = serve(socket, &session, state);
	undo(&session);
	(void)privileges_set(PRIVILEGES_NONE);
	session.failed.code = -r;
	if (r < 0 && r != -ECONNRESET)
		(void)wire_send(socket, HELPER_FAILED, &session.failed, sizeof(session.failed), NULL, 0);
	(r == 0 ? netlink_leave : netlink_close)(&session.net); /* after HELPER_DETACH nothing is there */
	return r == -ECONNRESET ? 0 : r;
}
