/* Processes that became ours because we are their subreaper (prctl(2), PR_SET_CHILD_SUBREAPER). */
#pragma once

/*
 * Kills and reaps all children of the calling process, also those that come to it while it does so. For the end of a
 * jail without a pid namespace, whose remaining processes nobody else ends. Needs /proc; does nothing without.
 */
void orphans_kill(void);
