/* libc as the helper sees it, over the fake kernel: linked with --wrap, so that the calls of all objects come here. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <poll.h>
#include <sanitizer/asan_interface.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "shared/helper_protocol.h"
#include "tests/fuzz/fake_kernel.h"
#include "tests/fuzz/fuzz.h"

#define WRAPS(type, name, ...)           \
	type __real_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__)

/* Who reports a failure, and writes down its input, has libc as it is. */
_Noreturn void __real_abort(void);
_Noreturn void __wrap_abort(void);
_Noreturn void __wrap_abort(void)
{
	fake.active = false;
	__real_abort();
}

void __asan_on_error(void)
{
	fake.active = false;
}

void __ubsan_on_report(void);
void __ubsan_on_report(void)
{
	fake.active = false;
}

static int fails_with(int error)
{
	errno = error;
	return -1;
}

/* Privileges --------------------------------------------------------------------------------------------------------
 */

WRAPS(int, privileges_set, enum privileges wanted)
{
	require(fake.active && (wanted == PRIVILEGES_NONE || fake.privileges != PRIVILEGES_NONE));
	if (fake_fails(FAKE_CALL_PRIVILEGE)) {
		fake.drop_refused |= wanted != PRIVILEGES_EFFECTIVE;
		fake.delete_failed |= wanted == PRIVILEGES_EFFECTIVE;
		return -errno;
	}
	fake.privileges = wanted;
	return 0;
}

/* Requirement: stages come in their order. */
WRAPS(int, privileges_confine, enum stage stage)
{
	require(fake.active && stage >= fake.stage);
	if (fake_fails(FAKE_CALL_CONFINE)) {
		fake.delete_failed |= stage == STAGE_TEARDOWN;
		return -errno;
	}
	fake.stage = stage;
	return 0;
}

/* Requirement: the capability is in effect only while a request is executed. */
static void check_waiting(void)
{
	require(fake.privileges != PRIVILEGES_EFFECTIVE || fake.drop_refused);
}

WRAPS(int, setitimer, __itimer_which_t which, const struct itimerval *timer, struct itimerval *ret)
{
	if (!fake.active)
		return __real_setitimer(which, timer, ret);
	require(which == ITIMER_REAL && fake.stage <= STAGE_SERVING);
	fake.deadline = timer->it_value.tv_sec > 0;
	return 0;
}

WRAPS(uid_t, getuid, void)
{
	return fake.active ? fake.user : __real_getuid();
}

WRAPS(gid_t, getgid, void)
{
	return fake.active ? 1000 : __real_getgid();
}

WRAPS(int, getgroups, int n, gid_t *ret)
{
	static const gid_t groups[] = { 50, 100 };

	if (!fake.active)
		return __real_getgroups(n, ret);
	require(n >= 2 && fake.stage <= STAGE_SET_UP);
	memcpy(ret, groups, sizeof(groups));
	return 2;
}

int __real_open(const char *path, int flags, ...);

/* Memory ------------------------------------------------------------------------------------------------------------
 */

/* Requirement: memory for requests is taken once, before anything was received. */
WRAPS(struct nl_msg *, nlmsg_alloc_size, size_t size)
{
	require(fake.active && !fake.allocated && fake.stage == 0);
	fake.allocated = true;
	return fake_fails(FAKE_CALL_ALLOCATE) ? NULL : __real_nlmsg_alloc_size(size);
}

/* Files -------------------------------------------------------------------------------------------------------------
 */

/* A file that can be read, with this in it. */
static int make_file(const void *bytes, size_t length)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	require(fd >= 0);
	require(pwrite(fd, bytes, length, 0) == (ssize_t)length);
	return fd;
}

/* Requirement: no file is read but these, and only before the first filter. */
static int open_to_read(const char *path)
{
	static const char groups[] = "root:x:0:\nbad line\nstaff:x:50:a,b\nothers:x:60:\n";
	bool config = strcmp(path, HELPER_CONFIG_PATH) == 0;

	require(fake.stage == 0 && (config || strcmp(path, "/etc/group") == 0));
	if (fake_fails(FAKE_CALL_OPEN))
		return -1;
	if (config && !fake.has_config)
		return fails_with(ENOENT);
	/* Of a directory, read(2) fails. */
	if (fake_fails(FAKE_CALL_READ))
		return __real_open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return config ? make_file(fake.config, fake.config_length) : make_file(groups, sizeof(groups) - 1);
}

WRAPS(FILE *, fopen, const char *path, const char *mode)
{
	int fd;

	if (!fake.active)
		return __real_fopen(path, mode);
	require(strcmp(mode, "re") == 0);
	fd = open_to_read(path);
	return fd < 0 ? NULL : fdopen(fd, "r");
}

/* Requirement: no file is written but one setting of the interface. */
static int open_to_write(const char *path)
{
	require(fake.stage <= STAGE_SET_UP && strncmp(path, "/proc/sys/net/ipv6/conf/bnd", 27) == 0);
	return fake_fails(FAKE_CALL_OPEN) ? -1 : fcntl(fake_descriptor(FAKE_FILE), F_DUPFD_CLOEXEC, 0);
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if (!fake.active)
		return __real_open(path, flags, mode);
	require((flags & O_CLOEXEC) && !(flags & (O_CREAT | O_TRUNC)));
	return (flags & O_ACCMODE) == O_RDONLY ? open_to_read(path) : open_to_write(path);
}

WRAPS(ssize_t, write, int fd, const void *bytes, size_t length)
{
	if (!fake.active)
		return __real_write(fd, bytes, length);
	if (fake_fails(FAKE_CALL_WRITE))
		return -1;
	require(fd < 0 || fake_object_of(fd) == FAKE_FILE);
	return fd < 0 ? fails_with(EBADF) : (ssize_t)length;
}

static bool is_namespace(enum fake_object object)
{
	return object >= FAKE_MOUNT_NAMESPACE;
}

WRAPS(int, fstatfs, int fd, struct statfs *ret)
{
	enum fake_object object;

	if (!fake.active)
		return __real_fstatfs(fd, ret);
	if (fake_fails(FAKE_CALL_STAT))
		return -1;
	object = fake_object_of(fd);
	if (object == FAKE_NOTHING)
		return fails_with(EBADF);
	*ret = (struct statfs){ .f_type = is_namespace(object) ? NSFS_MAGIC : TMPFS_MAGIC };
	return 0;
}

WRAPS(int, fstat, int fd, struct stat *ret)
{
	int r;

	if (!fake.active)
		return __real_fstat(fd, ret);
	if (fake_fails(FAKE_CALL_STAT))
		return -1;
	r = __real_fstat(fd, ret);
	if (r == 0 && fake_object_of(fd) == FAKE_NOTHING) {
		ret->st_mode = fake.config_mode;
		ret->st_uid = fake.config_owner;
	}
	return r;
}

static struct fake_socket *socket_of(int fd)
{
	for (size_t i = 0; fd >= 0 && i < FAKE_SOCKETS; i++) {
		if (fake.sockets[i].fd == fd)
			return &fake.sockets[i];
	}
	return NULL;
}

/* Namespaces (ioctl_ns(2)) ------------------------------------------------------------------------------------------
 */

static int duplicate(enum fake_object object)
{
	return fcntl(fake_descriptor(object), F_DUPFD_CLOEXEC, 0);
}

static int owner_of(enum fake_object object)
{
	switch (object) {
	case FAKE_HOST:
	case FAKE_HOST_NEIGHBOUR:
	case FAKE_MOUNT_NAMESPACE:
		return duplicate(FAKE_HOST_USERS);
	case FAKE_JAIL:
		return duplicate(FAKE_JAIL_USERS);
	case FAKE_FOREIGN_JAIL:
		return duplicate(FAKE_FOREIGN_USERS);
	case FAKE_NESTED_JAIL:
		return duplicate(FAKE_NESTED_USERS);
	default:
		return fails_with(EPERM);
	}
}

static int parent_of(enum fake_object object)
{
	switch (object) {
	case FAKE_JAIL_USERS:
	case FAKE_FOREIGN_USERS:
		return duplicate(FAKE_HOST_USERS);
	case FAKE_NESTED_USERS:
		return duplicate(FAKE_JAIL_USERS);
	case FAKE_HOST_USERS:
		return fails_with(EPERM);
	default:
		return fails_with(EINVAL);
	}
}

static int type_of(enum fake_object object)
{
	if (object == FAKE_MOUNT_NAMESPACE)
		return CLONE_NEWNS;
	return object >= FAKE_HOST_USERS ? CLONE_NEWUSER : CLONE_NEWNET;
}

static int namespace_ioctl(int fd, unsigned long request, void *argument)
{
	enum fake_object object = fake_object_of(fd);

	if (request == SIOCGSKNS)
		return fake.privileges == PRIVILEGES_EFFECTIVE ? duplicate(FAKE_HOST) : fails_with(EPERM);
	/* Requirement: no ioctl of namespaces on anything that is none. */
	require(is_namespace(object));
	switch (request) {
	case NS_GET_NSTYPE:
		return type_of(object);
	case NS_GET_USERNS:
		return owner_of(object);
	case NS_GET_PARENT:
		return parent_of(object);
	case NS_GET_OWNER_UID:
		*(uid_t *)argument = fake.user + (object == FAKE_FOREIGN_USERS);
		return 0;
	default:
		require(!"known ioctl");
		return -1;
	}
}

static int find_interface(int fd, struct ifreq *request)
{
	const struct fake_link *link = fake_link_by_name(request->ifr_name);

	require(socket_of(fd) && strnlen(request->ifr_name, IFNAMSIZ) < IFNAMSIZ);
	if (!link)
		return fails_with(ENODEV);
	request->ifr_ifindex = (int)link->index;
	return 0;
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (!fake.active)
		return __real_ioctl(fd, request, argument);
	require(fake.stage <= STAGE_SET_UP);
	if (request == SIOCGIFINDEX)
		return find_interface(fd, argument);
	return fake_fails(FAKE_CALL_IOCTL) ? -1 : namespace_ioctl(fd, request, argument);
}

/* Sockets -----------------------------------------------------------------------------------------------------------
 */

WRAPS(int, socket, int domain, int type, int protocol)
{
	struct fake_socket *socket = NULL;

	if (!fake.active)
		return __real_socket(domain, type, protocol);
	require(fake.stage == STAGE_SET_UP && domain == AF_NETLINK && (type & SOCK_CLOEXEC));
	require(fake.privileges == PRIVILEGES_EFFECTIVE && fake.deadline);
	if (fake_fails(FAKE_CALL_SOCKET))
		return -1;
	for (size_t i = 0; i < FAKE_SOCKETS && !socket; i++) {
		if (fake.sockets[i].fd < 0)
			socket = &fake.sockets[i];
	}
	require(socket);
	*socket = (struct fake_socket){ .fd = memfd_create("netlink", MFD_CLOEXEC), .protocol = protocol };
	return socket->fd;
}

WRAPS(int, close, int fd)
{
	struct fake_socket *socket = fake.active ? socket_of(fd) : NULL;
	int r = __real_close(fd);

	if (socket)
		fake_close(socket);
	require(r == 0 || !fake.active);
	return r;
}

static ssize_t result(ssize_t r)
{
	if (r < 0)
		errno = (int)-r;
	return r < 0 ? -1 : r;
}

static ssize_t send_request(int fd, const struct iovec *parts, size_t n)
{
	static _Alignas(8) unsigned char request[65536];
	struct fake_socket *socket = socket_of(fd);
	size_t length = 0;

	require(socket);
	for (size_t i = 0; i < n; i++) {
		require(parts[i].iov_len <= sizeof(request) - length);
		memcpy(request + length, parts[i].iov_base, parts[i].iov_len);
		length += parts[i].iov_len;
	}
	return result(fake_send(socket, request, length) ?: (ssize_t)length);
}

/* Requirement: a socket is left to the kernel (netlink_leave()) when nothing is left that belongs to it. */
static void check_leaving(void)
{
	for (size_t i = 0; !fake.lied && i < FAKE_TABLES; i++)
		require(fake.tables[i].handle == 0 || !fake.tables[i].made);
}

WRAPS(ssize_t, sendmsg, int fd, const struct msghdr *message, int flags)
{
	if (fake.active && fd != fake.peer && !socket_of(fd)) {
		check_leaving();
		return __real_sendmsg(fd, message, flags);
	}
	if (!fake.active)
		return __real_sendmsg(fd, message, flags);
	if (fd != fake.peer)
		return send_request(fd, message->msg_iov, message->msg_iovlen);
	check_waiting();
	fake_answering(message);
	return fake_fails(FAKE_CALL_PEER_SEND) ? -1 : __real_sendmsg(fd, message, flags);
}

WRAPS(ssize_t, sendto, int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to,
      socklen_t to_length)
{
	const struct iovec part = { (void *)bytes, length };

	if (!fake.active)
		return __real_sendto(fd, bytes, length, flags, to, to_length);
	return send_request(fd, &part, 1);
}

WRAPS(ssize_t, recv, int fd, void *ret, size_t size, int flags)
{
	if (!fake.active)
		return __real_recv(fd, ret, size, flags);
	require(socket_of(fd) && (flags & MSG_DONTWAIT));
	return result(fake_receive(socket_of(fd), ret, size));
}

WRAPS(ssize_t, recvmsg, int fd, struct msghdr *message, int flags)
{
	ssize_t r;

	if (!fake.active)
		return __real_recvmsg(fd, message, flags);
	require(fd == fake.peer);
	check_waiting();
	if (fake_fails(FAKE_CALL_PEER_RECEIVE))
		return -1;
	r = __real_recvmsg(fd, message, flags);
	if (r >= 0)
		fake_received();
	return r;
}

WRAPS(int, poll, struct pollfd *fds, nfds_t n, int timeout)
{
	if (!fake.active)
		return __real_poll(fds, n, timeout);
	require(n == 1 && fds[0].fd == fake.peer && timeout > 0 && fake.deadline);
	check_waiting();
	/* Whoever says nothing now never will. */
	return fake_fails(FAKE_CALL_PEER_WAIT) ? -1 : __real_poll(fds, n, 0);
}
