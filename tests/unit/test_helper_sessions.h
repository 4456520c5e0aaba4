/* Sessions as HELPER_ATTACH makes and undoes them, on a host of the test's own, with settings to choose. */
#pragma once

#include <stdarg.h>
#include <stdlib.h>

#include "tests/unit/test_helper_host.h"

static struct config config;
static struct helper_failed failed;

static inline void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void run(const char *format, ...)
{
	char command[4096];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	ck_assert_msg(system(command) == 0, "%s", command);
}

static inline int create(struct netlink *n, uid_t user, struct cable *ret)
{
	*ret = (struct cable){ .user = user };
	failed = (struct helper_failed){ 0 };
	return cable_create(n, &config, own_jail(), ret, &failed);
}

/* As a failed attach does. */
static inline void undo(struct netlink *n, const struct cable *cable)
{
	if (cable->names.host_ifindex != 0)
		ck_assert_int_eq(cable_set(n, cable->names.host_ifindex, CABLE_GONE), 0);
	ck_assert_int_eq(tables_remove(n, cable), 0);
}

static inline void check_refused(struct netlink *n, uid_t user, enum helper_failure failure, uint32_t detail)
{
	struct cable cable;

	ck_assert_int_lt(create(n, user, &cable), 0);
	ck_assert_uint_eq(failed.failure, failure);
	ck_assert_uint_eq(failed.detail, detail);
	if (cable.claim != 0)
		undo(n, &cable);
}
