/* The time that deadlines and ages are reckoned in. */
#pragma once

/*
 * Seconds since some moment before the process began (clock_gettime(2), CLOCK_MONOTONIC). Unlike ev_now() it does not
 * jump where somebody sets the clock.
 */
double clock_monotonic(void);
