/* One session from start to end: companions, jail, cable, command. */
#pragma once

#include "launcher/settings.h"
#include "shared/error.h"

enum session_exit {
	SESSION_EXIT_FAILED = 125, /* Boundary's own failure */
	SESSION_EXIT_NOT_EXECUTABLE = 126,
	SESSION_EXIT_NOT_FOUND = 127,
	SESSION_EXIT_SIGNAL = 128 /* plus the signal's number */
};

/*
 * Runs settings->command in a new jail and removes everything of the session again. `log` is a descriptor for the
 * proxy's log. Returns the exit code for this process; below 125 it is the command's, from 128 on that of the signal
 * that ended it or came before it ran. Otherwise *e says what happened. Ends this process by SIGINT if the terminal
 * sent that and nothing else ended the command.
 */
int session_run(const struct settings *settings, int log, struct error *e);
