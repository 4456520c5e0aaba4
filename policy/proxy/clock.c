/* Monotonic time: see clock.h. */
#include "policy/proxy/clock.h"

#include <time.h>

double clock_monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
