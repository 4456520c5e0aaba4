/* The controlling terminal, as it is to be when a session has ended. */
#pragma once

#include <stdbool.h>
#include <termios.h>

struct terminal {
	int fd; /* -1: there is none, or another process group has it */
	struct termios modes;
};

/* Opens it and remembers its modes (termios(3)), if our process group is in its foreground. `fd` is the caller's. */
struct terminal terminal_open(void);

/*
 * A job-control shell in the jail makes its own process group the foreground one, and cannot give the terminal back to
 * ours, which it does not see from its pid namespace: does so for a group that is no more. With `modes`, also puts
 * those back: of a command that was killed nobody else does, as its parent sees an exit code. Needs SIGTTOU blocked.
 * Nothing of it may fail: then the terminal stays as it is.
 */
void terminal_give_back(const struct terminal *terminal, bool modes);
