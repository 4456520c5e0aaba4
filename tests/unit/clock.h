/*
 * A clock that can be put forward, or set: clock_gettime(2) and gettimeofday(2) of the whole test program, the shared
 * libraries in it (libev, c-ares) included, since the program's own symbol is found first. Include it in one file of a
 * program.
 */
#pragma once

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t clock_skipped; /* seconds added to what the kernel says */
static time_t clock_stepped; /* and to the time of day alone, as if somebody had set it */

int clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, id, ret);

	if (r == 0)
		ret->tv_sec += clock_skipped + (id == CLOCK_REALTIME ? clock_stepped : 0);
	return r;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	int r = (int)syscall(SYS_gettimeofday, ret, zone);

	if (r == 0)
		ret->tv_sec += clock_skipped + clock_stepped;
	return r;
}
