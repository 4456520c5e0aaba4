/* The checks of a network namespace (ioctl_ns(2)): see cable.h. */
#include "helper/cable.h"

#include <errno.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "shared/cleanup.h"

/*
 * The kernel hands out a user namespace only to those in it or above it (ns_get_owner()), so of those we come to hold,
 * our own is the one whose parent it refuses with EPERM.
 */
static int check_owner(int fd, uid_t user)
{
	_cleanup_fd_ int userns = ioctl(fd, NS_GET_USERNS), parent = -1, grandparent = -1;
	uid_t owner;

	if (userns < 0)
		return -errno;
	parent = ioctl(userns, NS_GET_PARENT);
	if (parent < 0)
		return errno == EPERM && user == 0 ? 0 : -errno;
	grandparent = ioctl(parent, NS_GET_PARENT);
	if (grandparent >= 0) /* made by somebody inside a jail */
		return -EPERM;
	if (errno != EPERM || ioctl(userns, NS_GET_OWNER_UID, &owner) < 0)
		return -errno;
	return owner == user ? 0 : -EPERM;
}

int netns_check(int fd, int socket, uid_t user, enum helper_failure *ret_failure)
{
	_cleanup_fd_ int own = -1;
	struct statfs fs;
	struct stat a, b;

	/* nsfs before all else: to other files the number of an ioctl means other things. */
	*ret_failure = HELPER_FAILURE_NOT_A_NETNS;
	if (fstatfs(fd, &fs) < 0 || (unsigned long)fs.f_type != NSFS_MAGIC || ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return -EINVAL;
	*ret_failure = HELPER_FAILURE_CAPABILITY;
	own = ioctl(socket, SIOCGSKNS);
	if (own < 0) /* EPERM: we have the capability, but not over the network namespace we are in */
		return -errno;
	*ret_failure = HELPER_FAILURE_FOREIGN_NETNS;
	if (fstat(fd, &a) < 0 || fstat(own, &b) < 0)
		return -errno;
	if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return -EPERM;
	return check_owner(fd, user);
}
