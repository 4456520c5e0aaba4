/*
 * What the command of a jail holds, and whether it can get more: capabilities, descriptors, set-user-ID programs, other
 * processes. Usage: jail_state [PID]...   with the pids of launcher, helper and proxy (or in BOUNDARY_ATTACK_PIDS).
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/attack/jail_processes.h"
#include "tests/attack/tap.h"

#define GIVEN_MAX 16
#define DESCRIPTORS_MAX 65536 /* looked at beyond those of the limit */
#define CAPABILITIES_MAX 64
#define UNUSED_UID 64999

/* Value of the field "NAME:" of /proc/PID/status in ret[], without leading blanks; false if there is none. */
static bool status_field(pid_t pid, const char *name, char *ret, size_t size)
{
	char path[64], line[256];
	size_t length = strlen(name);
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, length) != 0 || line[length] != ':')
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(ret, size, "%s", line + length + 1 + strspn(line + length + 1, " \t"));
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

static void check_descriptors(void)
{
	struct rlimit limit;
	int end = DESCRIPTORS_MAX, open_one = -1;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < DESCRIPTORS_MAX)
		end = (int)limit.rlim_cur;
	for (int fd = 3; fd < end && open_one < 0; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			open_one = fd;
	}
	tap_check(open_one < 0, "no descriptor above 2 is open", "descriptor %d is", open_one);
}

static void check_status(void)
{
	static const struct {
		const char *field;
		const char *expected;
		const char *what;
	} fields[] = {
		{ "CapEff", "0000000000000000", "the effective capabilities are none" },
		{ "CapPrm", "0000000000000000", "the permitted capabilities are none" },
		{ "CapInh", "0000000000000000", "the inheritable capabilities are none" },
		{ "CapAmb", "0000000000000000", "the ambient capabilities are none" },
		{ "CapBnd", "0000000000000000", "the capability bounding set is empty" },
		{ "NoNewPrivs", "1", "no_new_privs is set" },
		{ "Seccomp", "2", "a seccomp filter is in force" },
		{ "TracerPid", "0", "nobody traces the command" },
	};
	char value[256];

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!status_field(getpid(), fields[i].field, value, sizeof(value)))
			snprintf(value, sizeof(value), "missing");
		tap_check(strcmp(value, fields[i].expected) == 0, fields[i].what, "%s: %s", fields[i].field, value);
	}
}

/* In children: outside, as root, these succeed. */
static bool child_can(int (*attempt)(void))
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		_exit(attempt() == 0 ? 1 : 0);
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static int clear_a_securebit(void)
{
	return prctl(PR_SET_SECUREBITS, (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & SECURE_ALL_LOCKS) ^ SECBIT_NOROOT, 0, 0,
		     0);
}

static int keep_capabilities(void)
{
	return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
}

static void check_securebits(void)
{
	const int wanted = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
			   SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	tap_check((bits & wanted) == wanted && !(bits & SECBIT_KEEP_CAPS), "the securebits are locked",
		  "%#x, wanted %#x", (unsigned int)bits, (unsigned int)wanted);
	tap_check(!child_can(clear_a_securebit), "the securebits cannot be changed", "PR_SET_SECUREBITS succeeded");
	tap_check(!child_can(keep_capabilities), "capabilities cannot be kept over setuid",
		  "PR_SET_KEEPCAPS succeeded");
}

/* capset(2) with all of `inheritable` and `permitted` in the two words of version 3. */
static bool set_capabilities(uint32_t permitted, uint32_t inheritable)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { permitted, permitted, inheritable }, { 0, 0, 0 } };

	return syscall(SYS_capset, &header, data) == 0;
}

static void raise_capabilities(void)
{
	unsigned int set = 0, inheritable = 0, ambient = 0, bounding = 0;

	for (int cap = 0; cap < CAPABILITIES_MAX; cap++) {
		if (cap < 32 && set_capabilities(1u << cap, 0))
			set++;
		if (cap < 32 && set_capabilities(0, 1u << cap))
			inheritable++;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0)
			ambient++;
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) > 0)
			bounding++;
	}
	tap_check(set == 0, "no capability can be made effective", "capset raised %u", set);
	tap_check(inheritable == 0, "no capability can be made inheritable", "capset raised %u", inheritable);
	tap_check(ambient == 0, "no capability can be made ambient", "prctl raised %u", ambient);
	tap_check(bounding == 0, "no capability is in the bounding set", "%u are", bounding);
}

static int become_root(void)
{
	return geteuid() == 0 ? -1 : setresuid(0, 0, 0);
}

static int become_somebody(void)
{
	return setresuid(UNUSED_UID, UNUSED_UID, UNUSED_UID);
}

static int join_groups(void)
{
	const gid_t groups[] = { 0, 4, 27, 42, 999 };

	return setgroups(sizeof(groups) / sizeof(groups[0]), groups);
}

static int leave_groups(void)
{
	return setgroups(0, NULL);
}

static int raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MSGQUEUE, &limit) < 0 || limit.rlim_max == RLIM_INFINITY)
		return -1;
	limit.rlim_max++;
	return setrlimit(RLIMIT_MSGQUEUE, &limit);
}

static int raise_priority(void)
{
	return setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) - 1);
}

static void change_identity(void)
{
	tap_check(!child_can(become_root), "the command cannot become root", "setresuid(0) succeeded");
	tap_check(!child_can(become_somebody), "the command cannot become another user", "setresuid(%d) succeeded",
		  UNUSED_UID);
	tap_check(!child_can(join_groups), "the command cannot join groups", "setgroups succeeded");
	tap_check(!child_can(leave_groups), "the command cannot leave its groups", "setgroups succeeded");
	tap_check(!child_can(raise_limit), "a resource limit cannot be raised", "setrlimit succeeded");
	tap_check(!child_can(raise_priority), "the priority cannot be raised", "setpriority succeeded");
}

/* Runs `path --version` until it ends or ten seconds are over. Returns the process, not yet reaped; -1 on failure. */
static pid_t run_privileged(const char *path)
{
	const struct timespec moment = { .tv_nsec = 10000000 };
	pid_t child = fork();

	if (child == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		execl(path, path, "--version", (char *)NULL);
		_exit(127);
	}
	for (int i = 0; child > 0 && i < 1000; i++) {
		siginfo_t info = { .si_pid = 0 };

		if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child)
			break;
		nanosleep(&moment, NULL);
	}
	return child;
}

/* Set-user-ID programs keep their identity to the end, where their entry in /proc still shows it. */
static void run_set_user_id(const char *path, const char *name)
{
	char what[128], user_ids[256] = "", permitted[256] = "", comm[256] = "", expected[64];
	pid_t child = run_privileged(path);
	int uid = (int)geteuid();
	bool known;

	if (child < 0)
		return;
	known = status_field(child, "Name", comm, sizeof(comm)) &&
		status_field(child, "Uid", user_ids, sizeof(user_ids)) &&
		status_field(child, "CapPrm", permitted, sizeof(permitted));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	snprintf(what, sizeof(what), "%s, set-user-ID, gains nothing", path);
	snprintf(expected, sizeof(expected), "%d\t%d\t%d\t%d", uid, uid, uid, uid);
	tap_check(known && strcmp(comm, name) == 0 && strcmp(user_ids, expected) == 0 &&
			  strcmp(permitted, "0000000000000000") == 0,
		  what, "%s ran with uids %s, CapPrm %s", comm, user_ids, permitted);
}

static void run_set_user_ids(void)
{
	static const struct {
		const char *path;
		const char *name;
	} programs[] = {
		{ "/usr/bin/su", "su" },
		{ "/usr/bin/mount", "mount" },
		{ "/usr/bin/passwd", "passwd" },
		{ "/usr/bin/chfn", "chfn" },
	};
	unsigned int tried = 0;

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		if (access(programs[i].path, X_OK) < 0)
			continue;
		run_set_user_id(programs[i].path, programs[i].name);
		tried++;
	}
	if (tried == 0)
		tap_skip("set-user-ID programs gain nothing", "none of the usual ones is here");
}

/* Pids from the arguments and from the blank-separated list in the environment. Returns how many. */
static size_t given_pids(int argc, char **argv, pid_t ret[GIVEN_MAX])
{
	const char *list = getenv("BOUNDARY_ATTACK_PIDS");
	size_t n = 0;

	for (int i = 1; i < argc && n < GIVEN_MAX; i++)
		ret[n++] = (pid_t)strtol(argv[i], NULL, 10);
	while (list && *list && n < GIVEN_MAX) {
		char *end;
		long pid = strtol(list, &end, 10);

		if (end == list)
			break;
		ret[n++] = (pid_t)pid;
		list = end;
	}
	return n;
}

int main(int argc, char **argv)
{
	pid_t given[GIVEN_MAX];
	size_t n;

	check_descriptors();
	check_status();
	check_securebits();
	n = given_pids(argc, argv, given);
	attack_processes(given, n);
	run_set_user_ids();
	change_identity();
	raise_capabilities();
	return tap_end();
}
