/* See terminal.h. */
#include "launcher/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "shared/cleanup.h"

struct terminal terminal_open(void)
{
	struct terminal ret = { .fd = open("/dev/tty", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) };

	if (ret.fd >= 0 && (tcgetpgrp(ret.fd) != getpgid(0) || tcgetattr(ret.fd, &ret.modes) < 0))
		close_fd(&ret.fd);
	return ret;
}

void terminal_give_back(const struct terminal *terminal, bool modes)
{
	pid_t group;

	if (terminal->fd < 0)
		return;
	group = tcgetpgrp(terminal->fd);
	/* 0: of a pid namespace that is not ours. */
	if (group > 0 && kill(-group, 0) < 0 && errno == ESRCH && tcsetpgrp(terminal->fd, getpgid(0)) == 0)
		group = getpgid(0);
	if (modes && group == getpgid(0))
		tcsetattr(terminal->fd, TCSANOW, &terminal->modes);
}
