/* See jail_processes.h. Signal 0 and SIGWINCH only, and PTRACE_SEIZE, which does not stop: run outside, nothing breaks.
 */
#include "tests/attack/jail_processes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/attack/tap.h"

#define PID_LIMIT 4194304 /* the highest pid_max there can be (proc(5)) */
#define LIST_MAX 400
#define ECHO_ROUNDS 4
#define ECHO_WAIT_NS 100000000
#define INITIAL_PID_NAMESPACE 4026531836u /* its inode number is fixed (include/linux/proc_ns.h) */

/* The processes that one kind of attack reached, as text. */
struct reached {
	size_t length;
	char text[LIST_MAX];
};

static void reached_add(struct reached *reached, const char *what, pid_t pid)
{
	int n;

	if (reached->length + 1 >= sizeof(reached->text))
		return;
	n = snprintf(reached->text + reached->length, sizeof(reached->text) - reached->length, " %s%s%d", what,
		     *what ? " of " : "", (int)pid);
	if (n > 0)
		reached->length += (size_t)n;
	if (reached->length >= sizeof(reached->text))
		reached->length = sizeof(reached->text) - 1;
}

/* In a pid namespace of its own the jail's init is pid 1: of the jail, so it may be known and signalled, but not read.
 */
static bool pid_1_is_ours(void)
{
	struct stat namespace;

	return stat("/proc/self/ns/pid", &namespace) == 0 && namespace.st_ino != INITIAL_PID_NAMESPACE &&
	       getppid() == 1;
}

static pid_t highest_pid(void)
{
	FILE *file = fopen("/proc/sys/kernel/pid_max", "re");
	long limit = PID_LIMIT;

	if (file) {
		if (fscanf(file, "%ld", &limit) != 1 || limit <= 0 || limit > PID_LIMIT)
			limit = PID_LIMIT;
		fclose(file);
	}
	return (pid_t)limit;
}

static void signal_everybody(void)
{
	struct reached reached = { 0 };
	const bool own_init = pid_1_is_ours();
	const pid_t end = highest_pid();

	for (pid_t pid = 1; pid <= end; pid++) {
		if (pid == getpid() || (pid == 1 && own_init))
			continue;
		if (kill(pid, 0) == 0)
			reached_add(&reached, "", pid);
	}
	tap_check(reached.length == 0, "no process outside can be signalled, of all process numbers", "permitted:%s",
		  reached.text);
}

/* True if the process can be attached to. A child tries: the tracee is free again when it exits. */
static bool can_seize(pid_t pid)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		_exit(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0);
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

/* The address is of this process; EFAULT means that access was granted and nothing lay there. */
static bool can_read_memory(pid_t pid)
{
	char byte = 0;
	struct iovec local = { &byte, 1 };
	struct iovec remote = { &byte, 1 };

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) >= 0 || errno == EFAULT;
}

static bool can_open(pid_t pid, const char *name, int flags)
{
	char path[64];
	char byte;
	int fd;
	bool opened;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return false;
	/* some are checked when they are read; a memory file has nothing at address 0 */
	opened = strcmp(name, "mem") == 0 || read(fd, &byte, 1) > 0;
	close(fd);
	return opened;
}

static bool can_follow(pid_t pid, const char *name)
{
	char path[64], target[256];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return readlink(path, target, sizeof(target)) >= 0;
}

static void look_into(pid_t pid, struct reached *reached)
{
	static const struct {
		const char *name;
		int flags;
	} files[] = {
		{ "mem", O_RDONLY },  { "mem", O_RDWR },    { "environ", O_RDONLY },
		{ "maps", O_RDONLY }, { "auxv", O_RDONLY },
	};
	/* the numbers under fd/ may be listed by root, not what they stand for */
	static const char *const links[] = {
		"exe", "cwd", "root", "ns/net", "ns/user", "fd/0", "fd/2", "fd/3", "fd/4"
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (can_open(pid, files[i].name, files[i].flags))
			reached_add(reached, files[i].name, pid);
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (can_follow(pid, links[i]))
			reached_add(reached, links[i], pid);
	}
	if (can_read_memory(pid))
		reached_add(reached, "process_vm_readv", pid);
	if (can_seize(pid))
		reached_add(reached, "PTRACE_SEIZE", pid);
}

/* The kernel's threads have no memory to read; outside they would only blur the picture. */
static bool is_kernel_thread(pid_t pid)
{
	char path[64], line[256];
	FILE *file;
	bool has_memory = false;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		has_memory = has_memory || strncmp(line, "VmSize:", 7) == 0;
	if (file)
		fclose(file);
	return !has_memory;
}

static void look_into_everybody(void)
{
	struct reached seen = { 0 }, reached = { 0 };
	const bool own_init = pid_1_is_ours();
	DIR *directory = opendir("/proc");
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (!isdigit((unsigned char)entry->d_name[0]) || pid == getpid())
			continue;
		if (pid != 1 || !own_init)
			reached_add(&seen, "", pid);
		if (!is_kernel_thread(pid))
			look_into(pid, &reached);
	}
	if (directory)
		closedir(directory);
	tap_check(seen.length == 0, "no process outside is visible in /proc", "visible:%s", seen.text);
	tap_check(reached.length == 0, "no visible process, the jail's init included, can be traced or read",
		  "permitted:%s", reached.text);
}

static bool can_queue_signal(pid_t pid)
{
	siginfo_t info = { .si_signo = 0, .si_code = SI_QUEUE };

	return syscall(SYS_rt_sigqueueinfo, pid, 0, &info) == 0;
}

static bool can_signal_by_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool sent = fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0;

	if (fd >= 0)
		close(fd);
	return sent;
}

/* By the number it has outside: in a pid namespace of its own the jail cannot even name it. */
static void attack_given(pid_t pid)
{
	struct reached reached = { 0 };
	char what[96];

	if (kill(pid, 0) == 0)
		reached_add(&reached, "kill", pid);
	if (kill(-pid, 0) == 0)
		reached_add(&reached, "kill of the group", pid);
	if (can_queue_signal(pid))
		reached_add(&reached, "rt_sigqueueinfo", pid);
	if (can_signal_by_pidfd(pid))
		reached_add(&reached, "pidfd_send_signal", pid);
	look_into(pid, &reached);
	snprintf(what, sizeof(what), "process %d, given, cannot be signalled, traced or read", (int)pid);
	tap_check(reached.length == 0, what, "permitted:%s", reached.text);
}

static pid_t sender;                 /* our child that sends SIGWINCH */
static volatile sig_atomic_t echoed; /* SIGWINCH came from another process than that */

static void note_sender(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	if (info->si_pid != sender)
		echoed = 1;
}

/* Sends SIGWINCH to the group that this process was in when it started, or to everybody. Never returns. */
static void send_rounds(int ready, pid_t to)
{
	const struct timespec pause = { .tv_nsec = ECHO_WAIT_NS };
	char byte;

	if (read(ready, &byte, 1) < 0)
		_exit(1);
	for (int i = 0; i < ECHO_ROUNDS; i++) {
		kill(to, SIGWINCH);
		nanosleep(&pause, NULL);
	}
	_exit(0);
}

/*
 * A child sends from the process group that this process then leaves: its own signal, still pending, would swallow the
 * echo. Returns whether one came.
 */
static bool echoes(pid_t to)
{
	int ready[2];

	if (pipe(ready) < 0)
		return true;
	echoed = 0;
	sender = fork();
	if (sender == 0) {
		close(ready[1]);
		signal(SIGWINCH, SIG_IGN);
		send_rounds(ready[0], to);
	}
	close(ready[0]);
	setpgid(0, 0); /* a session's leader is in a group of its own already */
	close(ready[1]);
	while (waitpid(sender, NULL, 0) < 0 && errno == EINTR)
		;
	return echoed;
}

/*
 * A command that shares the launcher's process group may reach it by kill(0): across pid namespaces, by the same
 * uid. The launcher passes signals on to the command, so one that reached it comes back. Last of all, for the group is
 * left.
 */
static void signal_the_group(void)
{
	const struct sigaction action = { .sa_sigaction = note_sender, .sa_flags = SA_SIGINFO };

	sigaction(SIGWINCH, &action, NULL);
	tap_check(!echoes(0), "a signal to the own process group does not reach the launcher", "%s",
		  "SIGWINCH came back from another process");
	tap_check(!echoes(-1), "a signal to everybody does not reach the launcher", "%s",
		  "SIGWINCH came back from another process");
	signal(SIGWINCH, SIG_DFL);
}

void attack_processes(const pid_t *given, size_t n)
{
	signal_everybody();
	look_into_everybody();
	for (size_t i = 0; i < n; i++)
		attack_given(given[i]);
	signal_the_group();
}
