/* The host's end of the cable, as far as a process without privileges has a say. */
#pragma once

/*
 * A veth carries nothing before the kernel has noticed that its peer is up, which a work queue does when it finds the
 * time: the first SYN's answer is dropped, and the command waits a second for the next. Makes it notice at once. Called
 * when both ends are up. `socket`: any, of the interface's network namespace. No errors: without it, it only comes
 * late.
 */
void link_wake(int socket, const char *interface);
