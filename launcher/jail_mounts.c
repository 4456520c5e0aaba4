/* Mounts of the jail: see jail_mounts.h. */
#include "launcher/jail_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/cleanup.h"

const char *const jail_mounts_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",                /* Debian, Ubuntu, Arch, Gentoo, Alpine */
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
	"/etc/pki/tls/certs/ca-bundle.crt",                  /* older RHEL */
	"/etc/ssl/ca-bundle.pem",                            /* openSUSE */
	"/etc/ssl/cert.pem",                                 /* Alpine */
	NULL,
};

/* What acts on the whole machine and whose files ask for a user id rather than for a capability. */
static const char *const read_only[] = {
	"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/sys", NULL
};

/* mount_setattr(2), of Linux 5.12; headers may be older. */
struct attributes {
	uint64_t set, clear, propagation, user_namespace;
};
#define ATTRIBUTE_READ_ONLY 1
#define WITH_ALL_BELOW 0x8000 /* AT_RECURSIVE */

/* Also what is mounted below; flags that a mount from another user namespace has locked stay (mount_namespaces(7)). */
static int make_read_only(const char *path)
{
	const struct attributes attributes = { .set = ATTRIBUTE_READ_ONLY };

	return syscall(SYS_mount_setattr, AT_FDCWD, path, WITH_ALL_BELOW, &attributes, sizeof(attributes)) < 0 ? -errno
													       : 0;
}

static void warn_about(jail_mounts_warn *warn, void *user, int code, const char *what, const char *lost)
{
	char text[512];

	snprintf(text, sizeof(text), "%s: %s: %s", what, strerror(code), lost);
	warn(user, text);
}

static bool mount_proc(jail_mounts_warn *warn, void *user)
{
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0)
		return true;
	warn_about(warn, user, errno, "mounting /proc",
		   "the command sees the outer /proc (a container whose /proc is masked does not allow a fresh one)");
	return false;
}

static void show_file(const char *source, const char *place, jail_mounts_warn *warn, void *user)
{
	if (access(place, F_OK) == 0 && mount(source, place, NULL, MS_BIND, NULL) < 0)
		warn_about(warn, user, errno, place, "the command sees the machine's own file");
}

bool jail_mounts_set_up(const struct jail_mounts *mounts, bool *ret_own_proc, jail_mounts_warn *warn, void *user)
{
	*ret_own_proc = false;
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
		warn_about(warn, user, errno, "mounting in the jail",
			   "the command sees the outer /proc, /etc/hosts and CA bundles as they are (a container's "
			   "seccomp profile may "
			   "refuse mount(2); --cap-add SYS_ADMIN or a profile that allows it permits it)");
		return false;
	}
	if (mounts->pid_namespace)
		*ret_own_proc = mount_proc(warn, user);
	if (mounts->hosts)
		show_file(mounts->hosts, "/etc/hosts", warn, user);
	for (size_t i = 0; mounts->bundle && jail_mounts_bundles[i]; i++)
		show_file(mounts->bundle, jail_mounts_bundles[i], warn, user);
	return true;
}

void jail_mounts_protect(jail_mounts_warn *warn, void *user)
{
	for (size_t i = 0; read_only[i]; i++) {
		int r;

		if (access(read_only[i], F_OK) < 0)
			continue;
		r = make_read_only(read_only[i]);
		if (r == -EINVAL) /* no mount of its own */
			r = mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) < 0
				    ? -errno
				    : make_read_only(read_only[i]);
		if (r < 0)
			warn_about(warn, user, -r, read_only[i], "it stays as writable as the user's rights make it");
	}
}
