/* See helper_jail.h. */
#include "tests/attack/helper_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_link.h"
#include "tests/attack/helper_peer.h"

/* More than a helper can be slowed down by: it ends even if nobody stops it. */
#define CHURN_MAX 20000

static pid_t busy; /* what CHURN or MOVE started in a jail */

static void end_busy(void)
{
	if (busy <= 0)
		return;
	kill(busy, SIGKILL);
	waitpid(busy, NULL, 0);
	busy = 0;
}

static pid_t fork_busy(void)
{
	end_busy();
	busy = fork();
	if (busy == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return busy;
}

static int act_empty(void)
{
	struct if_nameindex *all;

	end_busy();
	all = if_nameindex();
	for (struct if_nameindex *i = all; i && i->if_index != 0; i++)
		if (strcmp(i->if_name, "lo") != 0)
			link_delete(i->if_name);
	if_freenameindex(all);
	return 0;
}

static int act_move(void)
{
	int ready[2], r;
	char byte;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	if (fork_busy() == 0) {
		if (unshare(CLONE_NEWNET) == 0)
			(void)!write(ready[1], "", 1);
		close(ready[1]);
		pause();
		_exit(0);
	}
	close(ready[1]);
	r = read(ready[0], &byte, 1) == 1 ? link_move("eth0", busy) : -EPERM;
	close(ready[0]);
	return r;
}

static int act_churn(void)
{
	if (fork_busy() == 0) {
		for (int i = 0; i < CHURN_MAX; i++) {
			link_make("eth0");
			link_delete("eth0");
		}
		_exit(0);
	}
	return busy < 0 ? -errno : 0;
}

static int act_attribute(enum helper_jail_act act)
{
	static const unsigned char address[6] = { 2, 0, 0, 0, 0, 1 };
	static const uint32_t mtu = 68, group = 77, queue = 1;

	switch (act) {
	case JAIL_MTU:
		return link_set("eth0", IFLA_MTU, &mtu, sizeof(mtu));
	case JAIL_ADDRESS:
		return link_set("eth0", IFLA_ADDRESS, address, sizeof(address));
	case JAIL_ALIAS:
		return link_set("eth0", IFLA_IFALIAS, "boundary uid=64902 pid=1", 24);
	case JAIL_GROUP:
		return link_set("eth0", IFLA_GROUP, &group, sizeof(group));
	case JAIL_QUEUE:
		return link_set("eth0", IFLA_TXQLEN, &queue, sizeof(queue));
	case JAIL_ALTERNATIVE_NAME:
		return link_name_too("eth0", "bnd00000");
	case JAIL_RENAME:
		return link_set("eth0", IFLA_IFNAME, "taken", 6);
	default:
		return -EINVAL;
	}
}

static int act(enum helper_jail_act act)
{
	switch (act) {
	case JAIL_EMPTY:
		return act_empty();
	case JAIL_CUT:
		return link_delete("eth0");
	case JAIL_MOVE:
		return act_move();
	case JAIL_OCCUPY:
		return link_make("eth0");
	case JAIL_CHURN:
		return act_churn();
	case JAIL_DOWN:
	case JAIL_UP:
		return link_up("eth0", act == JAIL_UP);
	default:
		return act_attribute(act);
	}
}

static void live(int control)
{
	unsigned char order;

	while (recv(control, &order, 1, 0) == 1) {
		int r = act((enum helper_jail_act)order);

		send(control, &r, sizeof(r), MSG_NOSIGNAL);
	}
}

struct helper_jail helper_jail_plain(void)
{
	return helper_jail_start(0, 0, CLONE_NEWUSER | CLONE_NEWNET, live);
}

void helper_jail_tell(const struct helper_jail *jail, enum helper_jail_act act)
{
	const unsigned char order = (unsigned char)act;

	send(jail->control, &order, 1, MSG_NOSIGNAL);
}

int helper_jail_told(const struct helper_jail *jail)
{
	int r = -EPIPE;

	return recv(jail->control, &r, sizeof(r), 0) == sizeof(r) ? r : -EPIPE;
}

int helper_jail_do(const struct helper_jail *jail, enum helper_jail_act act)
{
	helper_jail_tell(jail, act);
	return helper_jail_told(jail);
}
