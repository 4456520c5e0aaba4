/* Namespaces of the jail: see namespaces.h. */
#include "launcher/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "shared/process.h"

/* As deep as a program's own: execvpe(3) copies the arguments there for a script without an interpreter line. */
#define CHILD_STACK_SIZE (8 * 1024 * 1024)

const int namespaces_optional[] = { CLONE_NEWPID, CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUTS, 0 };

const char *namespaces_loss(int flag)
{
	switch (flag) {
	case CLONE_NEWPID:
		return "no pid namespace: the command sees the machine's processes, and its own may outlive a session "
		       "that is killed (without network)";
	case CLONE_NEWNS:
		return "no mount namespace: the command sees the machine's /proc, /etc/hosts and CA bundles as they "
		       "are";
	case CLONE_NEWIPC:
		return "no ipc namespace: the command shares System V IPC and POSIX message queues with the machine";
	case CLONE_NEWUTS:
		return "no uts namespace: the command shares the host name with the machine";
	default:
		return "";
	}
}

/* Reads the first number of a file under /proc. Returns -1 if there is none. */
static long proc_number(const char *path)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	long value;

	if (!file || fscanf(file, "%ld", &value) != 1)
		return -1;
	return value;
}

static bool seccomp_filtered(void)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/status", "re");
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "Seccomp:", 8) == 0)
			return atoi(line + 8) == 2;
	return false;
}

/* What the system's settings say, whatever namespaces were asked for. Returns 0 if they are not to blame. */
static int explain_limits(int code, const char *what, struct error *e)
{
	if (code == EAGAIN || code == ENOMEM)
		return error_set(e, code, "%s" PROCESS_SHORTAGE, what);
	if (proc_number("/proc/sys/user/max_net_namespaces") == 0)
		return error_set(e, code,
				 "%suser.max_net_namespaces is 0. Enable them: sudo sysctl -w "
				 "user.max_net_namespaces=15000",
				 what);
	if (code == ENOSPC)
		return error_set(e, code,
				 "%sthe limit of namespaces is reached. See the user.max_*_namespaces sysctls, and the "
				 "nesting depth of user namespaces (at most 32)",
				 what);
	if (code == EINVAL)
		return error_set(e, code,
				 "%sthe kernel is built without CONFIG_USER_NS or CONFIG_NET_NS; another kernel is "
				 "needed",
				 what);
	return 0;
}

static int explain_refusal(int code, bool keep_user_namespace, struct error *e)
{
	char what[128];
	int r;

	snprintf(what, sizeof(what), "%s refused (clone: %s): ",
		 keep_user_namespace ? "a network namespace is" : "user and network namespaces are", strerror(code));
	if (!keep_user_namespace && proc_number("/proc/sys/user/max_user_namespaces") == 0)
		return error_set(
			e, code,
			"%suser.max_user_namespaces is 0. Enable them: sudo sysctl -w user.max_user_namespaces=15000",
			what);
	r = explain_limits(code, what, e);
	if (r < 0)
		return r;
	if (keep_user_namespace)
		return error_set(
			e, code,
			"%s--no-user-namespace needs CAP_SYS_ADMIN; in a container add --cap-add SYS_ADMIN, or "
			"leave the option out",
			what);
	if (proc_number("/proc/sys/kernel/unprivileged_userns_clone") == 0)
		return error_set(e, code,
				 "%skernel.unprivileged_userns_clone is 0. Enable them: sudo sysctl -w "
				 "kernel.unprivileged_userns_clone=1",
				 what);
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0) == 0)
		return error_set(e, code,
				 "%sthis process may gain no privilege, as in a jail of Boundary's: there run the "
				 "command without boundary-launch. In another container leave out --security-opt "
				 "no-new-privileges and add --cap-add NET_ADMIN",
				 what);
	if (seccomp_filtered())
		return error_set(e, code,
				 "%sa seccomp filter is active, as container runtimes set one. Start the container "
				 "with a profile that allows "
				 "clone with namespace flags (docker run --security-opt seccomp=PROFILE), or with "
				 "--cap-add SYS_ADMIN",
				 what);
	return error_set(e, code,
			 "%sa security module or a limit forbids it to this user, or this is a chroot, where the "
			 "kernel makes no user namespaces. Check: unshare --user --net true",
			 what);
}

static int clone_with(int flags, int (*run)(void *), void *argument, char *stack, struct jail_process *ret)
{
	int pidfd = -1;
	/* Stacks grow down on every architecture this runs on. */
	pid_t pid = clone(run, stack + CHILD_STACK_SIZE, flags | CLONE_PIDFD | SIGCHLD, argument, &pidfd);

	if (pid < 0)
		return -errno;
	*ret = (struct jail_process){ .pid = pid, .pidfd = pidfd, .namespaces = flags };
	return 0;
}

/* All optional flags but those whose place in namespaces_optional is set in `omitted`. */
static int optional_flags(unsigned int omitted)
{
	int flags = 0;

	for (unsigned int i = 0; namespaces_optional[i]; i++)
		if (!(omitted & 1u << i))
			flags |= namespaces_optional[i];
	return flags;
}

/*
 * The fewest namespaces are given up: first none, then any one, then any two … A shortage is no refusal: the next
 * attempt might find room, and less protection. Returns 0, or -errno of the first.
 */
static int clone_most(int required, int (*run)(void *), void *argument, char *stack, struct jail_process *ret)
{
	const unsigned int subsets = 16; /* of four optional flags */
	int first = 0;

	for (int given_up = 0; given_up <= 4; given_up++) {
		for (unsigned int omitted = 0; omitted < subsets; omitted++) {
			int r;

			if (__builtin_popcount(omitted) != given_up)
				continue;
			r = clone_with(required | optional_flags(omitted), run, argument, stack, ret);
			if (r == 0 || r == -EAGAIN || r == -ENOMEM)
				return r;
			first = first ? first : r;
		}
	}
	return first;
}

int namespaces_clone(bool keep_user_namespace, int (*run)(void *), void *argument, struct jail_process *ret,
		     struct error *e)
{
	const int required = CLONE_NEWNET | (keep_user_namespace ? 0 : CLONE_NEWUSER);
	char *stack;
	int r;

	stack = mmap(NULL, CHILD_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return error_errno(e, errno, "memory for the jail's stack");
	fflush(NULL);
	r = clone_most(required, run, argument, stack, ret);
	munmap(stack, CHILD_STACK_SIZE);
	return r < 0 ? explain_refusal(-r, keep_user_namespace, e) : 0;
}

static int write_file(pid_t pid, const char *name, const char *text)
{
	_cleanup_fd_ int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* The kernel takes a map in one write only. */
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* The caller's own map with every range mapped onto itself. Returns false if it cannot be read. */
static bool identity_of_own_map(const char *path, char *ret, size_t size)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	unsigned int inside, outside, length;
	size_t used = 0;

	if (!file)
		return false;
	while (fscanf(file, "%u %u %u", &inside, &outside, &length) == 3) {
		int n = snprintf(ret + used, size - used, "%u %u %u\n", inside, inside, length);

		if (n < 0 || (size_t)n >= size - used)
			return false;
		used += (size_t)n;
	}
	return used > 0;
}

static bool may_map_all(void)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t uid = CAP_CLEAR, gid = CAP_CLEAR;

	if (!caps)
		return false;
	cap_get_flag(caps, CAP_SETUID, CAP_EFFECTIVE, &uid);
	cap_get_flag(caps, CAP_SETGID, CAP_EFFECTIVE, &gid);
	cap_free(caps);
	return uid == CAP_SET && gid == CAP_SET;
}

static int map_all(pid_t pid)
{
	char map[2048];
	int r;

	if (!identity_of_own_map("/proc/self/uid_map", map, sizeof(map)))
		return -ENOENT;
	r = write_file(pid, "uid_map", map);
	if (r < 0)
		return r;
	if (!identity_of_own_map("/proc/self/gid_map", map, sizeof(map)))
		return -ENOENT;
	return write_file(pid, "gid_map", map);
}

static int map_self(pid_t pid, const char **ret_file)
{
	char map[64];
	int r;

	*ret_file = "uid_map";
	snprintf(map, sizeof(map), "%u %u 1\n", geteuid(), geteuid());
	r = write_file(pid, "uid_map", map);
	if (r < 0)
		return r;
	*ret_file = "setgroups";
	r = write_file(pid, "setgroups", "deny");
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_file = "gid_map";
	snprintf(map, sizeof(map), "%u %u 1\n", getegid(), getegid());
	return write_file(pid, "gid_map", map);
}

int namespaces_map_identity(pid_t pid, struct error *e)
{
	const char *file = "uid_map";
	int r;

	if (may_map_all() && map_all(pid) == 0)
		return 0;
	r = map_self(pid, &file);
	if (r == -EPERM && geteuid() == 0)
		return error_set(
			e, EPERM,
			"writing %s of the jail's user namespace: %s. Mapping uid 0 needs CAP_SETFCAP: keep that "
			"capability (docker's default set has it) or run as another user",
			file, strerror(EPERM));
	if (r < 0)
		return error_errno(e, -r, "writing %s of the jail's user namespace (is /proc mounted and writable?)",
				   file);
	return 0;
}
