/* boundary-helper, the privileged program. Anybody may start it, with anything: see README.md. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/privileges.h"
#include "helper/request.h"
#include "shared/helper_protocol.h"
#include "shared/process.h"
#include "shared/wire.h"

/* A process as if started by nobody in particular, without the privileges it can do without. */
static int sanitise(void)
{
	int r = privileges_reduce() ?: process_fill_stdio() ?: process_close_from(HELPER_SOCKET_FD + 1);

	process_reserve_stack();
	process_reset_signals();
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	(void)setsid(); /* Signals from the terminal are for the command. A process group's leader stays. */
	if (clearenv() != 0 || chdir("/") < 0)
		return -EPERM;
	return r ?: process_hide_memory();
}

int main(int argc, char **argv)
{
	struct helper_failed failed = { .failure = HELPER_FAILURE_CONFINEMENT };
	int r = sanitise(), type = 0;
	socklen_t length = sizeof(type);

	if (r == 0 && argc == 2 && strcmp(argv[1], "--version") == 0)
		return puts("boundary-helper " BOUNDARY_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (getsockopt(HELPER_SOCKET_FD, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_SEQPACKET) {
		fputs("boundary-helper: boundary-launch starts this program; by itself it does nothing\n", stderr);
		return 125; /* our own failure, boundary-launch(1) */
	}
	failed.code = -r;
	if (r < 0)
		(void)wire_send(HELPER_SOCKET_FD, HELPER_FAILED, &failed, sizeof(failed), NULL, 0);
	return r < 0 || request_serve(HELPER_SOCKET_FD) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
