/* What the command inherits: see stdio.h. */
#include "launcher/stdio.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shared/cleanup.h"

/* Documentation/admin-guide/devices.txt of the kernel. */
static const struct {
	unsigned int major, minor;
} network_devices[] = { { 10, 200 } /* tun */, { 10, 238 } /* vhost-net */, { 10, 241 } /* vhost-vsock */, { 108, 0 } };

/* A connected stream of AF_UNIX ends where it ends: connect(2) on it fails. A datagram socket can be turned elsewhere.
 */
static bool is_fixed(int fd)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer), size = sizeof(int);
	int domain = 0, type = 0;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	       (type == SOCK_STREAM || type == SOCK_SEQPACKET) &&
	       getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
}

static bool is_network_device(const struct stat *st)
{
	for (size_t i = 0; S_ISCHR(st->st_mode) && i < array_size(network_devices); i++)
		if (major(st->st_rdev) == network_devices[i].major && minor(st->st_rdev) == network_devices[i].minor)
			return true;
	return false;
}

int stdio_check(struct error *e)
{
	static const char *const names[] = { "input", "output", "error" };

	for (int fd = 0; fd < (int)array_size(names); fd++) {
		const char *what = NULL;
		struct stat st;

		if (fstat(fd, &st) < 0)
			continue;
		if (S_ISSOCK(st.st_mode) && !is_fixed(fd))
			what = "a socket, by which the command could reach the network outside of the jail";
		else if (is_network_device(&st))
			what = "a device that carries packets past the jail";
		else if ((st.st_mode & S_IFMT) == 0)
			what = "neither a file nor a pipe nor a terminal, and may lead out of the jail";
		if (what)
			return error_set(e, EPERM,
					 "standard %s is %s. Put a pipe between, or a file: cat | boundary-launch … | "
					 "cat",
					 names[fd], what);
	}
	return 0;
}
