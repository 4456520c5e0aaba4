/*
 * A host of the test's own: a user and network namespace, where it has the capability without being root, and jails
 * beside it.
 */
#pragma once

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/cable.h"
#include "shared/cleanup.h"
#include "shared/wire.h"

static struct netlink host = NETLINK_NONE;
#define DEFAULTS                                                            \
	{                                                                   \
		CABLE_NETWORK, CABLE_INDEX_COUNT, 64, 1000, false, 0, false \
	} /* struct config, without a file */

static inline void write_file(const char *path, const char *text)
{
	_cleanup_fd_ int file = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_msg(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s", path,
		      strerror(errno));
}

/* As user 0 there, so that programs the test asks have their capabilities. */
static inline bool enter(int flags)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(flags) < 0)
		return false;
	if (!(flags & CLONE_NEWUSER))
		return true;
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	write_file("/proc/self/gid_map", map);
	return true;
}

static inline void enter_host(void)
{
	ck_assert(enter(CLONE_NEWUSER | CLONE_NEWNET));
	ck_assert_int_eq(netlink_allocate(&host), 0);
	ck_assert_int_eq(netlink_open(&host), 0);
}

/* A network namespace that a process makes with these flags, below another user namespace if `nested`. */
static inline int jail(int flags, bool nested)
{
	struct wire_message message;
	int pair[2], netns;
	pid_t pid;

	ck_assert_int_eq(wire_pair(pair), 0);
	pid = fork();
	if (pid == 0) {
		if (nested)
			enter(CLONE_NEWUSER);
		enter(flags);
		netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		_exit(wire_send(pair[1], 1, NULL, 0, &netns, 1) < 0);
	}
	ck_assert_int_eq(wire_receive(pair[0], &message, 1, -1), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(pair[0]);
	close(pair[1]);
	return message.fds[0];
}

static inline int own_jail(void)
{
	return jail(CLONE_NEWUSER | CLONE_NEWNET, false);
}

/* True if `nft list tables` has this line, or, with NULL, anything. */
static inline bool has_table(const char *wanted)
{
	char line[256];
	FILE *nft = popen("nft list tables", "r");
	bool found = false;

	while (fgets(line, sizeof(line), nft))
		found |= !wanted || strncmp(line, wanted, strlen(wanted)) == 0;
	ck_assert_int_eq(pclose(nft), 0);
	return found;
}

static inline struct cable cable_into(int netns)
{
	static const struct config defaults = DEFAULTS;
	struct helper_failed failed = { 0 };
	struct cable cable = { .user = getuid() };

	ck_assert_int_eq(cable_create(&host, &defaults, netns, &cable, &failed), 0);
	return cable;
}

/* User namespaces may be off: then the attacks and the end-to-end tests, as root, are what there is. */
static inline bool namespaces_possible(void)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0);
	waitpid(pid, &status, 0);
	return status == 0;
}
