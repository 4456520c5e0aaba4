/* Watching a running session: the command's fate, our companions' health, the terminal's and other people's signals. */
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "launcher/namespaces.h"
#include "launcher/service.h"
#include "shared/error.h"

/*
 * Blocks every signal the launcher forwards or handles and returns a signalfd for them (close-on-exec); the mask from
 * before goes to *ret_inherited. Returns -errno with *e.
 */
int supervise_signals(sigset_t *ret_inherited, struct error *e);

/*
 * A pending signal that asks a program to end (HUP, INT, QUIT, TERM) and that the command would not have inherited as
 * ignored; 0 if there is none. For the time before the command runs. It stays pending.
 */
int supervise_pending_end(void);

/* Takes a pending signal back, and says whether the terminal sent it. */
bool supervise_was_typed(int number);

struct supervised {
	const struct jail_process *jail;
	int jail_socket;
	const struct service *helper;
	const struct service *proxy;
	int signals;      /* from supervise_signals() */
	bool interrupted; /* set when the terminal has sent SIGINT */
};

/*
 * Runs until the command has ended, or until the jail, the helper or the proxy ended by itself; what is left of the
 * jail is the caller's to kill. Signals sent to this process go to the command; those that the terminal generates reach
 * it by themselves as long as it is in the same process group, and by jail init if it has made one of its own. When the
 * command stops, this process stops with the same signal, for the sake of the shell's job control. Returns the
 * command's wait status (wait(2)), or -errno with *e when the session broke.
 */
int supervise_run(struct supervised *session, struct error *e);

/* Kills jail init, and with it a jail that has a pid namespace. Safe at any time. */
void supervise_kill_jail(const struct jail_process *jail);
