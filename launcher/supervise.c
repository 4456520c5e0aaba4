/* Supervision: see supervise.h. */
#include "launcher/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launcher/jail_protocol.h"
#include "shared/cleanup.h"
#include "shared/wire.h"

/* A synchronous fault of our own must kill us; these cannot be blocked usefully. */
static const int own_faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS };

int supervise_signals(sigset_t *ret_inherited, struct error *e)
{
	sigset_t handled;
	int fd;

	sigfillset(&handled);
	for (size_t i = 0; i < array_size(own_faults); i++)
		sigdelset(&handled, own_faults[i]);
	if (sigprocmask(SIG_BLOCK, &handled, ret_inherited) < 0)
		return error_errno(e, errno, "blocking signals");
	fd = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? error_errno(e, errno, "signalfd") : fd;
}

int supervise_pending_end(void)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	struct sigaction action;
	sigset_t pending;

	sigpending(&pending);
	for (size_t i = 0; i < array_size(ends); i++)
		if (sigismember(&pending, ends[i]) && sigaction(ends[i], NULL, &action) == 0 &&
		    action.sa_handler != SIG_IGN)
			return ends[i];
	return 0;
}

bool supervise_was_typed(int number)
{
	const struct timespec now = { 0 };
	siginfo_t info;
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, number);
	return sigtimedwait(&one, &info, &now) == number && info.si_code == SI_KERNEL;
}

/*
 * True if the command has it as well, unless it has left our process group: the terminal's driver sends these to the
 * whole foreground group (tty and job control signals of signal(7)), while SIGHUP of a hangup, say, is for the leader
 * of the session alone. SIGTSTP is mirrored when the command reacts to it, not when it arrives.
 */
static bool is_typed(const struct signalfd_siginfo *info)
{
	static const uint32_t keys[] = { SIGINT, SIGQUIT, SIGTSTP, SIGWINCH };

	for (size_t i = 0; info->ssi_code == SI_KERNEL && i < array_size(keys); i++)
		if (info->ssi_signo == keys[i])
			return true;
	return false;
}

/* What is not the command's: our own children's and pipes' signals; the SIGCONT that stop_like_command() asked for; and
 * what a process in the background got the whole group for, by reading the terminal. */
static bool is_ours(const struct signalfd_siginfo *info)
{
	const bool of_the_kernel = info->ssi_code == SI_KERNEL;
	const uint32_t number = info->ssi_signo;

	return number == SIGCHLD || number == SIGPIPE || (number == SIGCONT && info->ssi_code > 0 && !of_the_kernel) ||
	       (of_the_kernel && (number == SIGTTIN || number == SIGTTOU));
}

/* Returns true if the command was sent SIGCONT. */
static bool forward_signals(struct supervised *session)
{
	struct signalfd_siginfo info;
	bool continued = false;

	while (read(session->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		const struct jail_signal signal = { (int32_t)info.ssi_signo, is_typed(&info) };

		if (is_ours(&info))
			continue;
		session->interrupted |= signal.typed && signal.number == SIGINT;
		continued |= signal.number == SIGCONT;
		wire_send(session->jail_socket, JAIL_SIGNAL, &signal, sizeof(signal), NULL, 0);
	}
	return continued;
}

static bool is_readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) > 0;
}

/*
 * Stops this process as the command was stopped, and returns when somebody continues it, or when there is news of the
 * command, which may have been continued or killed from elsewhere: then the socket sends SIGCONT (fcntl(2), O_ASYNC).
 * The stop signal is blocked and pending before that is looked for, and SIGCONT takes it back, so neither is lost. A
 * SIGSTOP could not be blocked; SIGTSTP is as good to whoever waits for us.
 */
static void stop_like_command(struct supervised *session, int number)
{
	const int fd = session->jail_socket, flags = fcntl(fd, F_GETFL);
	const struct timespec now = { 0 };
	sigset_t one;

	if (forward_signals(session))
		return;
	if (number != SIGTTIN && number != SIGTTOU)
		number = SIGTSTP;
	sigemptyset(&one);
	sigaddset(&one, number);
	raise(number);
	fcntl(fd, F_SETOWN, getpid());
	fcntl(fd, F_SETSIG, SIGCONT);
	fcntl(fd, F_SETFL, flags | O_ASYNC);
	if (is_readable(fd))
		sigtimedwait(&one, NULL, &now);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	sigprocmask(SIG_BLOCK, &one, NULL);
	fcntl(fd, F_SETFL, flags);
}

enum outcome { GOES_ON, COMMAND_ENDED, JAIL_BROKE };

static enum outcome read_report(struct supervised *session, int *ret_status)
{
	struct wire_message message;
	struct jail_number number;

	if (wire_receive(session->jail_socket, &message, 0, -1) < 0)
		return JAIL_BROKE;
	if (message.length != sizeof(number))
		return JAIL_BROKE;
	memcpy(&number, message.payload, sizeof(number));
	if (message.type == JAIL_STOPPED)
		stop_like_command(session, number.value);
	if (message.type == JAIL_STOPPED || message.type == JAIL_CONTINUED)
		return GOES_ON;
	*ret_status = number.value;
	return message.type == JAIL_EXITED ? COMMAND_ENDED : JAIL_BROKE;
}

void supervise_kill_jail(const struct jail_process *jail)
{
	int status;

	if (jail->pid <= 0)
		return;
	kill(jail->pid, SIGKILL);
	while (waitpid(jail->pid, &status, 0) < 0 && errno == EINTR)
		;
}

int supervise_run(struct supervised *session, struct error *e)
{
	struct pollfd fds[] = {
		{ .fd = session->jail_socket, .events = POLLIN },   { .fd = session->signals, .events = POLLIN },
		{ .fd = session->helper->pidfd, .events = POLLIN }, { .fd = session->proxy->pidfd, .events = POLLIN },
		{ .fd = session->jail->pidfd, .events = POLLIN },
	};
	int status = 0;

	for (;;) {
		if (poll(fds, array_size(fds), -1) < 0) {
			if (errno == EINTR)
				continue;
			return error_errno(e, errno, "poll");
		}
		if (fds[1].revents)
			forward_signals(session);
		if (fds[0].revents) {
			enum outcome outcome = read_report(session, &status);

			if (outcome == COMMAND_ENDED)
				return status;
			if (outcome == JAIL_BROKE)
				return error_set(e, EPIPE,
						 "the jail's init process was killed, and with it the command");
		}
		if (fds[2].revents)
			return service_explain_end(session->helper,
						   "without it nothing redirects the jail's traffic to the proxy. The "
						   "command was killed",
						   e);
		if (fds[3].revents)
			return service_explain_end(session->proxy,
						   "without it nothing decides about the jail's traffic. The command "
						   "was killed",
						   e);
		if (fds[4].revents && !fds[0].revents)
			return error_set(e, EPIPE, "the jail's init process was killed, and with it the command");
	}
}
