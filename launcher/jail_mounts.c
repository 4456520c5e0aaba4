/* Mounts of the jail: see jail_mounts.h. */
#include "launcher/jail_mounts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
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

/* Parts of /proc that act on the whole machine and whose files ask for uid 0 rather than for a capability. */
static const char *const proc_read_only[] = { "/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs",
					      NULL };

/* The flags that a remount must repeat, since a mount inherited from another user namespace has them locked
 * (mount_namespaces(7)). */
static unsigned long locked_flags(const char *path)
{
	struct statvfs fs;
	unsigned long flags = 0;

	if (statvfs(path, &fs) < 0)
		return 0;
	if (fs.f_flag & ST_NOSUID)
		flags |= MS_NOSUID;
	if (fs.f_flag & ST_NODEV)
		flags |= MS_NODEV;
	if (fs.f_flag & ST_NOEXEC)
		flags |= MS_NOEXEC;
	if (fs.f_flag & ST_NOATIME)
		flags |= MS_NOATIME;
	if (fs.f_flag & ST_NODIRATIME)
		flags |= MS_NODIRATIME;
	if (fs.f_flag & ST_RELATIME)
		flags |= MS_RELATIME;
	return flags;
}

static int make_read_only(const char *path)
{
	return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | locked_flags(path), NULL) < 0 ? -errno : 0;
}

static void warn_about(jail_mounts_warn *warn, void *user, int code, const char *what, const char *lost)
{
	char text[512];

	snprintf(text, sizeof(text), "%s: %s: %s", what, strerror(code), lost);
	warn(user, text);
}

static void mount_proc(jail_mounts_warn *warn, void *user)
{
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		warn_about(warn, user, errno, "mounting /proc",
			   "the command sees the outer /proc (a container whose /proc is masked does not allow a fresh "
			   "one)");
}

static void show_file(const char *source, const char *place, jail_mounts_warn *warn, void *user)
{
	if (access(place, F_OK) == 0 && mount(source, place, NULL, MS_BIND, NULL) < 0)
		warn_about(warn, user, errno, place, "the command sees the machine's own file");
}

bool jail_mounts_set_up(const struct jail_mounts *mounts, jail_mounts_warn *warn, void *user)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
		warn_about(warn, user, errno, "mounting in the jail",
			   "the command sees the outer /proc, /etc/hosts and CA bundles as they are (a container's "
			   "seccomp profile may "
			   "refuse mount(2); --cap-add SYS_ADMIN or a profile that allows it permits it)");
		return false;
	}
	if (mounts->own_proc)
		mount_proc(warn, user);
	if (mounts->hosts)
		show_file(mounts->hosts, "/etc/hosts", warn, user);
	for (size_t i = 0; mounts->bundle && jail_mounts_bundles[i]; i++)
		show_file(mounts->bundle, jail_mounts_bundles[i], warn, user);
	return true;
}

void jail_mounts_protect(bool sys, jail_mounts_warn *warn, void *user)
{
	for (size_t i = 0; proc_read_only[i]; i++) {
		if (access(proc_read_only[i], F_OK) < 0)
			continue;
		if (mount(proc_read_only[i], proc_read_only[i], NULL, MS_BIND | MS_REC, NULL) < 0 ||
		    make_read_only(proc_read_only[i]) < 0)
			warn_about(warn, user, errno, proc_read_only[i],
				   "it stays as writable as the user's rights make it");
	}
	if (sys && access("/sys/kernel", F_OK) == 0 && make_read_only("/sys") < 0)
		warn_about(warn, user, errno, "/sys", "it stays writable to uid 0");
}
