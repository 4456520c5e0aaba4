/*
 * A clock that can be put forward, set, or slowed down: clock_gettime(2) and gettimeofday(2) of the whole test program,
 * the shared libraries in it (libev, c-ares) included, since the program's own symbol is found first. Include it in one
 * file of a program.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t clock_skipped; /* seconds added to what the kernel says */
static time_t clock_stepped; /* and to the time of day alone, as if somebody had set it */
static bool clock_is_slow;
static int64_t clock_slow_since[2]; /* ns, of CLOCK_REALTIME and of CLOCK_MONOTONIC */

static inline int64_t clock_to_ns(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/*
 * From now on a second takes 1000: a machine that stalls makes nobody late, and time passes as the test says. It does
 * not stand still, since libev runs a timer, one of 0 s too, only when its moment has passed.
 */
static inline void clock_slow_down(void)
{
	struct timespec now;

	for (clockid_t id = CLOCK_REALTIME; id <= CLOCK_MONOTONIC; id++) {
		syscall(SYS_clock_gettime, id, &now);
		clock_slow_since[id] = clock_to_ns(&now);
	}
	clock_is_slow = true;
}

/* What has been missed passes at once. */
static inline void clock_catch_up(void)
{
	clock_is_slow = false;
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, id, ret);

	if (r < 0)
		return r;
	if (clock_is_slow && (id == CLOCK_REALTIME || id == CLOCK_MONOTONIC)) {
		int64_t since = clock_slow_since[id], now = since + (clock_to_ns(ret) - since) / 1000;

		*ret = (struct timespec){ .tv_sec = now / 1000000000, .tv_nsec = now % 1000000000 };
	}
	ret->tv_sec += clock_skipped + (id == CLOCK_REALTIME ? clock_stepped : 0);
	return 0;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;
	int r = clock_gettime(CLOCK_REALTIME, &now);

	(void)zone;
	if (r == 0)
		*ret = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return r;
}
