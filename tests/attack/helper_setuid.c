/*
 * helper_setuid HELPER [PID]: which ids, capabilities and restrictions a helper runs with, before and after its set-up,
 * as /proc/PID/status has them. Started as root it tries a set-user-ID copy of HELPER, made beside it and removed at
 * the end, and becomes an ordinary user; else HELPER as it is installed.
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_scene.h"

/* The value of one field of /proc/PID/status (proc(5)), blanks as they are; empty if there is none. */
static void read_status(pid_t pid, const char *field, char *ret, size_t size)
{
	char path[64], line[512];
	_cleanup_file_ FILE *file = NULL;

	ret[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		size_t length = strlen(field);

		if (strncmp(line, field, length) != 0 || line[length] != ':')
			continue;
		snprintf(ret, size, "%s", line + length + 1 + strspn(line + length + 1, "\t "));
		ret[strcspn(ret, "\n")] = '\0';
	}
}

static void check_field(pid_t pid, const char *when, const char *field, const char *wanted)
{
	char value[256], what[64];

	read_status(pid, field, value, sizeof(value));
	snprintf(what, sizeof(what), "%s %s", field, when);
	tap_check(strcmp(value, wanted) == 0, what, "it is \"%s\", wanted \"%s\"", value, wanted);
}

static void check_identity(pid_t pid, const char *when, bool bounded)
{
	char id[64];

	snprintf(id, sizeof(id), "%u\t%u\t%u\t%u", getuid(), getuid(), getuid(), getuid());
	check_field(pid, when, "Uid", id);
	snprintf(id, sizeof(id), "%u\t%u\t%u\t%u", getgid(), getgid(), getgid(), getgid());
	check_field(pid, when, "Gid", id);
	snprintf(id, sizeof(id), "%016llx", 1ull << CAP_NET_ADMIN);
	check_field(pid, when, "CapPrm", id);
	check_field(pid, when, "CapEff", "0000000000000000");
	check_field(pid, when, "CapInh", "0000000000000000");
	check_field(pid, when, "CapAmb", "0000000000000000");
	if (bounded)
		check_field(pid, when, "CapBnd", "0000000000000000");
	check_field(pid, when, "NoNewPrivs", "1");
}

static void check_session(const char *helper, bool bounded)
{
	struct helper_jail jail = helper_jail_plain();
	struct helper_peer peer = helper_start(helper, NULL);
	struct helper_answer answer = helper_ask(&peer, HELPER_ATTACH, jail.netns);
	char before[16], filters[16];
	int status;

	tap_check(answer.type == (HELPER_ATTACH | HELPER_REPLY), "ATTACH", "answer %d, failure %u, errno %d",
		  answer.type, answer.failed.failure, answer.failed.code);
	check_identity(peer.pid, "when attached", bounded);
	check_field(peer.pid, "when attached", "Seccomp", "2");
	read_status(peer.pid, "Seccomp_filters", before, sizeof(before));
	answer = helper_ask(&peer, HELPER_REDIRECT, -1);
	tap_check(answer.type == (HELPER_REDIRECT | HELPER_REPLY), "REDIRECT", "answer %d, failure %u, errno %d",
		  answer.type, answer.failed.failure, answer.failed.code);
	check_identity(peer.pid, "when serving", bounded);
	check_field(peer.pid, "when serving", "Seccomp", "2");
	read_status(peer.pid, "Seccomp_filters", filters, sizeof(filters));
	tap_check(atoi(filters) > atoi(before), "a stricter filter when serving than when attached", "%s, %s before",
		  filters, before);
	answer = helper_ask(&peer, HELPER_DETACH, -1);
	status = helper_ended(&peer, HELPER_SOON_MS);
	tap_check(answer.type == (HELPER_DETACH | HELPER_REPLY) && status == 0, "DETACH", "answer %d, status %#x",
		  answer.type, (unsigned int)status);
	helper_jail_end(&jail);
}

/* A set-user-ID root copy, without the file capability. */
static void copy_setuid(const char *helper, const char *copy)
{
	_cleanup_fd_ int from = open(helper, O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int to = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat info;

	if (from < 0 || to < 0 || fstat(from, &info) < 0 ||
	    sendfile(to, from, NULL, (size_t)info.st_size) != info.st_size || fchmod(to, 04755) < 0)
		err(2, "copying %s to %s", helper, copy);
}

int main(int argc, char **argv)
{
	char copy[4096];
	int status = EXIT_FAILURE;
	pid_t pid;

	if (argc < 2)
		errx(2, "usage: helper_setuid HELPER [PID]");
	signal(SIGPIPE, SIG_IGN);
	if (geteuid() != 0) {
		check_session(argv[1], false);
		return tap_end();
	}
	snprintf(copy, sizeof(copy), "%s-setuid-%d", argv[1], getpid());
	copy_setuid(argv[1], copy);
	pid = fork();
	if (pid == 0) {
		helper_become(SCENE_ATTACKER);
		check_session(copy, true);
		_exit(tap_end());
	}
	waitpid(pid, &status, 0);
	unlink(copy);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
