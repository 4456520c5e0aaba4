/* Jail init: see jail.h. */
#include "launcher/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/jail_drop.h"
#include "launcher/jail_mounts.h"
#include "launcher/jail_network.h"
#include "launcher/jail_protocol.h"
#include "launcher/orphans.h"
#include "shared/cleanup.h"
#include "shared/process.h"
#include "shared/wire.h"

/* The descriptors jail init keeps, besides 0 to 2. */
enum { JAIL_SOCKET_FD = 3, JAIL_DIRECTORY_BASE_FD, JAIL_DIRECTORY_FD, JAIL_FDS_END };

#define JAIL_FDS_ELSEWHERE 20 /* beyond what a launcher has open */

/* What is known only inside, and one message buffer for all stages. */
struct jail_state {
	const struct jail *jail;
	int namespaces; /* CLONE_NEW* flags that were granted */
	struct wire_message message;
	int children; /* signalfd of SIGCHLD */
	bool warned;  /* something was lost */
	bool lingers; /* connections of the jail may outlive it, and its network namespace with them */
	pid_t command;
};

static int send_text(uint16_t type, const char *text)
{
	return wire_send(JAIL_SOCKET_FD, type, text, strlen(text), NULL, 0);
}

static int send_number(uint16_t type, int value)
{
	const struct jail_number number = { value };

	return wire_send(JAIL_SOCKET_FD, type, &number, sizeof(number), NULL, 0);
}

static void send_warning(void *user, const char *text)
{
	struct jail_state *state = user;

	state->warned = true;
	send_text(JAIL_WARNING, text);
}

/* Waits for the launcher's next word. Anything but `type` with `length` octets means that it is gone or broken: give up
 * silently. */
static int expect(struct jail_state *state, uint16_t type, size_t length)
{
	int r = wire_receive(JAIL_SOCKET_FD, &state->message, 0, -1);

	if (r < 0)
		return r;
	return state->message.type == type && state->message.length == length ? 0 : -EPROTO;
}

/* Moves them to their numbers, by way of others that none of them has now, and closes the rest. */
static int keep_descriptors(const struct jail *jail)
{
	const int kept[] = { jail->socket, jail->directory.base_fd, jail->directory.fd };
	int elsewhere[array_size(kept)];

	for (size_t i = 0; i < array_size(kept); i++) {
		elsewhere[i] = fcntl(kept[i], F_DUPFD_CLOEXEC, JAIL_FDS_ELSEWHERE);
		if (elsewhere[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < array_size(kept); i++)
		if (dup3(elsewhere[i], JAIL_SOCKET_FD + (int)i, O_CLOEXEC) < 0)
			return -errno;
	return process_close_from(JAIL_FDS_END);
}

/* Before the launcher hears that we end: were it killed then, nobody would. The command cannot be in the way: it does
 * not know these descriptors. */
static void remove_directory(const struct jail *jail)
{
	struct session_dir directory = jail->directory;

	directory.base_fd = JAIL_DIRECTORY_BASE_FD;
	directory.fd = JAIL_DIRECTORY_FD;
	session_dir_remove(&directory);
}

static int send_network_namespace(struct error *e)
{
	_cleanup_fd_ int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r;

	if (netns < 0)
		return error_errno(e, errno, "opening /proc/self/ns/net in the jail");
	r = wire_send(JAIL_SOCKET_FD, JAIL_NETNS, NULL, 0, &netns, 1);
	return r < 0 ? error_errno(e, -r, "sending the jail's network namespace") : 0;
}

/* A nameserver that cannot be served inside costs name resolution by it, nothing else. */
static int send_dns_sockets(const struct jail *jail)
{
	struct jail_sockets counts = { 0, 0 };
	int udp[NAMESERVERS_MAX], tcp[NAMESERVERS_MAX], all[2 * NAMESERVERS_MAX];
	int r;

	for (size_t i = 0; i < jail->n_dns_servers && counts.n_udp < NAMESERVERS_MAX; i++) {
		struct error why = { 0 };

		if (jail_network_bind_dns(&jail->dns_servers[i], &udp[counts.n_udp], &tcp[counts.n_tcp], &why) == 0) {
			counts.n_udp++;
			counts.n_tcp++;
		} else {
			send_text(JAIL_NOTICE, why.text);
		}
	}
	memcpy(all, udp, counts.n_udp * sizeof(int));
	memcpy(all + counts.n_udp, tcp, counts.n_tcp * sizeof(int));
	r = wire_send(JAIL_SOCKET_FD, JAIL_SOCKETS, &counts, sizeof(counts), all, counts.n_udp + counts.n_tcp);
	for (size_t i = 0; i < counts.n_udp + counts.n_tcp; i++)
		close(all[i]);
	return r;
}

static int set_up_network(struct jail_state *state, struct error *e)
{
	struct jail_network network;
	int r;

	r = send_network_namespace(e);
	if (r < 0)
		return r;
	r = expect(state, JAIL_NETWORK, sizeof(network));
	if (r < 0)
		return r;
	memcpy(&network, state->message.payload, sizeof(network));
	r = jail_network_configure(network.host_address, network.jail_address, e);
	return r < 0 ? r : send_dns_sockets(state->jail);
}

/* Where the namespaces do not hide the processes outside, Landlock alone keeps the command off them. */
static void warn_of_reach(struct jail_state *state, bool own_proc)
{
	const int version = state->jail->landlock;

	/* From another user namespace than theirs it cannot (ptrace(2), access mode checking). */
	if (!own_proc && !(state->namespaces & CLONE_NEWUSER) && version < JAIL_REACH_TRACE)
		send_warning(state,
			     "processes outside the jail are in sight and Landlock (Linux 5.19) is not there: the "
			     "command can trace those of its user, and reach the network through them");
	if (!(state->namespaces & CLONE_NEWPID) && version < JAIL_REACH_SIGNAL)
		send_warning(state, "no pid namespace, and no Landlock of Linux 6.12: the command can send signals to "
				    "processes of its user outside the jail");
}

static void set_up_mounts(struct jail_state *state)
{
	const struct jail_mounts mounts = {
		.pid_namespace = state->namespaces & CLONE_NEWPID,
		.hosts = state->jail->hosts,
		.bundle = state->jail->bundle,
	};
	bool own_proc = false;
	bool mounted = state->namespaces & CLONE_NEWNS && jail_mounts_set_up(&mounts, &own_proc, send_warning, state);

	state->lingers = jail_network_limit_orphans() < 0;
	if (mounted)
		jail_mounts_protect(send_warning, state);
	warn_of_reach(state, own_proc);
}

static void go_on(int number)
{
	(void)number;
}

/* Right before the exec, which makes handlers defaults again: a process that stops in between would be waited for. */
static void restore_signals(const struct jail *jail)
{
	static const int stops[] = { SIGTSTP, SIGTTIN, SIGTTOU };
	struct sigaction action;

	for (size_t i = 0; i < array_size(stops); i++)
		if (sigaction(stops[i], NULL, &action) == 0 && action.sa_handler == SIG_DFL)
			signal(stops[i], go_on);
	if (jail->child_ignored)
		signal(SIGCHLD, SIG_IGN);
	sigprocmask(SIG_SETMASK, &jail->signal_mask, NULL);
}

/* By a PATH in which a directory may not be searched, execvpe(3) ends with EACCES for a name that is nowhere. */
static bool is_in_path(const char *name)
{
	const char *at = getenv("PATH");
	char file[PATH_MAX];

	while (at) {
		size_t length = strcspn(at, ":");

		snprintf(file, sizeof(file), "%.*s/%s", length ? (int)length : 1, length ? at : ".", name);
		if (access(file, F_OK) == 0)
			return true;
		at = at[length] ? at + length + 1 : NULL;
	}
	return false;
}

/* Why the command does not run: a step of ours, or execve(2) itself if there is none. */
struct failure {
	char step[48];
	int code; /* errno */
};

static struct failure failed_to(const char *step, int code)
{
	struct failure failure = { .code = code };

	snprintf(failure.step, sizeof(failure.step), "%s", step);
	return failure;
}

/* The child's way to the command. Returns only if that fails. */
static struct failure become_command(const struct jail *jail, pid_t parent)
{
	int r;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		return failed_to("following jail init", ESRCH);
	r = jail_drop_reach(jail->landlock);
	if (r < 0)
		return failed_to("restricting the command by Landlock", -r);
	r = seccomp_program_load(jail->filter);
	if (r < 0)
		return failed_to("loading the command's seccomp filter", -r);
	restore_signals(jail);
	execvpe(jail->command[0], jail->command, jail->environment);
	if (errno == EACCES && !strchr(jail->command[0], '/') && !is_in_path(jail->command[0]))
		errno = ENOENT;
	return (struct failure){ .code = errno };
}

/* What the terminal sent to the process group, this process included, before the command was a part of it. */
static void pass_on(const sigset_t *early, pid_t command)
{
	static const int of_the_terminal[] = { SIGINT, SIGQUIT, SIGTSTP };

	for (size_t i = 0; i < array_size(of_the_terminal); i++)
		if (sigismember(early, of_the_terminal[i]))
			kill(command, of_the_terminal[i]);
}

/* What the child says of its way to the command: nothing, by the end of the pipe at its exec; also if the launcher is
 * gone meanwhile, and with it the child. */
static struct failure hear(int report, pid_t child)
{
	struct pollfd fds[] = { { .fd = report, .events = POLLIN }, { .fd = JAIL_SOCKET_FD, .events = POLLIN } };
	struct failure failure = { .code = 0 };

	while (poll(fds, array_size(fds), -1) < 0 && errno == EINTR)
		;
	if (!fds[0].revents)
		kill(child, SIGKILL);
	if (read(report, &failure, sizeof(failure)) != (ssize_t)sizeof(failure))
		failure.code = 0;
	return failure;
}

/* Forks the command. Returns a failure of code 0 when it runs. */
static struct failure start_command(struct jail_state *state)
{
	struct failure failure = { .code = 0 };
	pid_t self = getpid();
	sigset_t early;
	int report[2];

	if (pipe2(report, O_CLOEXEC) < 0)
		return failed_to("making a pipe", errno);
	sigpending(&early);
	state->command = fork();
	if (state->command == 0) {
		close(JAIL_SOCKET_FD);
		close(state->children);
		failure = become_command(state->jail, self);
		if (write(report[1], &failure, sizeof(failure)) < 0)
			_exit(1);
		_exit(0);
	}
	close(report[1]);
	if (state->command < 0)
		failure = failed_to("starting a process for the command", errno);
	else
		failure = hear(report[0], state->command);
	if (failure.code == 0)
		pass_on(&early, state->command);
	close(report[0]);
	return failure;
}

static void report_failure(const struct failure *failure)
{
	struct error why = { 0 };

	if (failure->step[0] == '\0') {
		send_number(JAIL_NOT_RUN, failure->code);
	} else {
		error_errno(&why, failure->code, "%s in the jail", failure->step);
		send_text(JAIL_FAILED, why.text);
	}
}

/* Without a pid namespace what the command left running is ours by adoption. */
static void kill_orphans(const struct jail_state *state)
{
	if (!(state->namespaces & CLONE_NEWPID))
		orphans_kill(&(struct orphans){ 0 });
}

/* Reaps. Returns true when the command itself has ended, with its wait status in *ret_status. */
static bool reap(const struct jail_state *state, int *ret_status)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
		if (pid != state->command)
			continue;
		if (WIFSTOPPED(status)) {
			send_number(JAIL_STOPPED, WSTOPSIG(status));
		} else if (WIFCONTINUED(status)) {
			send_number(JAIL_CONTINUED, 0);
		} else {
			*ret_status = status;
			return true;
		}
	}
	return false;
}

/*
 * What a terminal and its shell do to a process group has reached the command in ours. One that leads a group of its
 * own, as timeout(1) makes one, would have led it from the start had a shell started it: there it is done to all of it.
 */
static void send_signal(const struct jail_state *state, const struct jail_signal *signal)
{
	const bool leads = getpgid(state->command) == state->command;

	if (leads && (signal->typed || signal->number == SIGCONT))
		kill(-state->command, signal->number);
	else if (!signal->typed)
		kill(state->command, signal->number);
}

/* Passes the launcher's signals on. Returns false when it is gone. */
static bool serve_launcher(struct jail_state *state)
{
	struct jail_signal signal;

	if (expect(state, JAIL_SIGNAL, sizeof(signal)) < 0)
		return false;
	memcpy(&signal, state->message.payload, sizeof(signal));
	send_signal(state, &signal);
	return true;
}

static void run_until_end(struct jail_state *state)
{
	struct pollfd fds[2] = {
		{ .fd = state->children, .events = POLLIN },
		{ .fd = JAIL_SOCKET_FD, .events = POLLIN },
	};
	int status = 0;

	for (;;) {
		struct signalfd_siginfo info;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (fds[0].revents && read(state->children, &info, sizeof(info)) > 0 && reap(state, &status)) {
			kill_orphans(state);
			remove_directory(state->jail);
			send_number(JAIL_EXITED, status);
			return;
		}
		if (fds[1].revents && !serve_launcher(state)) {
			kill(state->command, SIGKILL);
			kill_orphans(state);
			remove_directory(state->jail);
			return;
		}
	}
}

/* From here on this process holds nothing that the command could want. */
static int confine(struct jail_state *state, struct error *e)
{
	sigset_t child;
	int r;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	state->children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (state->children < 0)
		return error_errno(e, errno, "signalfd in the jail");
	r = jail_drop_capabilities(e);
	if (r < 0)
		return r;
	/* Not dumpable after the last change of credentials: the command, of the same user, must not ptrace its parent.
	 */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return error_errno(e, errno, "prctl in the jail");
	return 0;
}

static int set_up(struct jail_state *state, struct error *e)
{
	struct jail_go go;
	int r;

	r = expect(state, JAIL_GO, sizeof(go));
	if (r < 0)
		return r;
	memcpy(&go, state->message.payload, sizeof(go));
	state->namespaces = go.namespaces;
	r = set_up_network(state, e);
	if (r < 0)
		return r;
	r = expect(state, JAIL_RUN, 0);
	if (r < 0)
		return r;
	set_up_mounts(state);
	/* The launcher makes an error of it; the command must not run in the meantime. */
	if (state->jail->require && state->warned)
		return -EPERM;
	return confine(state, e);
}

int jail_main(void *argument)
{
	struct jail_state state = { .jail = argument, .children = -1 };
	struct failure failure;
	struct error why = { 0 };

	if (keep_descriptors(state.jail) < 0)
		return 1;
	/* If the launcher dies, the end of its socket says so wherever this process waits, in time to clean up. */
	if (set_up(&state, &why) < 0) {
		remove_directory(state.jail);
		if (why.code)
			send_text(JAIL_FAILED, why.text);
		return 1;
	}
	failure = start_command(&state);
	if (failure.code != 0) {
		remove_directory(state.jail);
		report_failure(&failure);
		return 1;
	}
	if (seccomp_program_load(state.jail->own_filter) < 0)
		return 1;
	send_number(JAIL_STARTED, state.lingers);
	run_until_end(&state);
	return 0;
}
