/*
 * The helper's requests (helper/request.c) without a kernel behind them: what it would do is defined here, in place of
 * the library's, and written down in order. What is expected is in shared/helper_protocol.h and helper/README.md.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "helper/cable.h"
#include "helper/privileges.h"
#include "helper/request.h"
#include "shared/cleanup.h"
#include "shared/wire.h"

static char calls[512];                              /* one word a call */
static const char *broken;                           /* the call that fails, with EDOM */
static enum { NOTHING, CLAIM, PAIR } made = NOTHING; /* by a cable_create() that fails */
static bool ignored;                                 /* the settings */
static enum privileges privileges = PRIVILEGES_PERMITTED;
static long timers[16]; /* seconds */
static size_t n_timers, n_polls;

static int call(const char *name)
{
	strncat(calls, calls[0] ? " " : "", sizeof(calls) - strlen(calls) - 1);
	strncat(calls, name, sizeof(calls) - strlen(calls) - 1);
	return broken && strcmp(broken, name) == 0 ? -EDOM : 0;
}

/* Requirement: whatever needs the capability has it, and limited time. */
static int privileged_call(const char *name)
{
	ck_assert_int_eq(privileges, PRIVILEGES_EFFECTIVE);
	ck_assert_uint_gt(n_timers, 0);
	ck_assert_int_eq(timers[n_timers - 1], 3 * HELPER_REQUEST_TIMEOUT_MS / 1000);
	return call(name);
}

int __wrap_setitimer(int which, const struct itimerval *timer, struct itimerval *ret_old);
int __wrap_setitimer(int which, const struct itimerval *timer, struct itimerval *ret_old)
{
	ck_assert_int_eq(which, ITIMER_REAL);
	ck_assert_ptr_null(ret_old);
	ck_assert_uint_lt(n_timers, array_size(timers));
	ck_assert_int_eq(timer->it_value.tv_usec, 0);
	timers[n_timers++] = timer->it_value.tv_sec;
	return 0;
}

/* Everything was said before, or never will be: as poll(2), but it does not wait. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	if (timeout != 0) { /* hear() */
		ck_assert_int_eq(timeout, HELPER_REQUEST_TIMEOUT_MS);
		n_polls++;
	}
	return ppoll(fds, count, &(struct timespec){ 0 }, NULL);
}

int config_read(const char *path, struct config *ret, struct helper_failed *failed)
{
	ck_assert_str_eq(path, HELPER_CONFIG_PATH);
	ck_assert_int_eq(privileges, PRIVILEGES_PERMITTED);
	*ret = (struct config){ .pool = 1234, .ignored = ignored };
	if (broken && strcmp(broken, "config") == 0)
		*failed = (struct helper_failed){ HELPER_FAILURE_CONFIG_LINE, 0, 7 };
	return call("config");
}

bool config_permits(const struct config *config, uid_t user)
{
	ck_assert_uint_eq(config->pool, 1234);
	ck_assert_uint_eq(user, getuid());
	return call("permits") == 0;
}

int privileges_set(enum privileges wanted)
{
	if (broken && strcmp(broken, "raise") == 0 && wanted == PRIVILEGES_EFFECTIVE)
		return -EPERM;
	if (broken && strcmp(broken, "lower") == 0 && wanted == PRIVILEGES_PERMITTED)
		return -EDOM;
	ck_assert_int_ne(privileges, PRIVILEGES_NONE);
	privileges = wanted;
	return 0;
}

int privileges_confine(enum stage stage)
{
	static const char *const names[] = {
		[STAGE_SET_UP] = "set-up", [STAGE_SERVING] = "serving", [STAGE_TEARDOWN] = "teardown"
	};

	if (stage == STAGE_TEARDOWN)
		ck_assert_int_ne(privileges, PRIVILEGES_NONE);
	else
		ck_assert_int_eq(privileges, PRIVILEGES_PERMITTED);
	return call(names[stage]);
}

int netlink_allocate(struct netlink *n)
{
	ck_assert_ptr_null(n->request);
	return call("allocate");
}

void netlink_close(struct netlink *n)
{
	*n = NETLINK_NONE;
}

void netlink_leave(struct netlink *n)
{
	*n = NETLINK_NONE;
}

int netlink_open(struct netlink *n)
{
	ck_assert_int_eq(n->route, -1);
	ck_assert_int_eq(n->netfilter, -1);
	n->route = 77;
	return privileged_call("open");
}

int netns_check(int fd, int socket, uid_t user, enum helper_failure *ret_failure)
{
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
	ck_assert_int_eq(socket, 77);
	ck_assert_uint_eq(user, getuid());
	*ret_failure = HELPER_FAILURE_FOREIGN_NETNS;
	return privileged_call("check");
}

int cable_create(struct netlink *n, const struct config *config, int netns, struct cable *cable,
		 struct helper_failed *failed)
{
	int r = privileged_call("create");

	ck_assert_int_eq(n->route, 77);
	ck_assert_uint_eq(config->pool, 1234);
	ck_assert_int_ge(fcntl(netns, F_GETFD), 0);
	ck_assert_uint_eq(cable->user, getuid());
	ck_assert_uint_eq(cable->claim, 0);
	ck_assert_uint_eq(cable->names.host_ifindex, 0);
	if (r == 0 || made >= CLAIM)
		cable->claim = 98;
	if (r == 0 || made >= PAIR)
		cable->names = (struct helper_attached){ 7, 0xc612000e, 0xc612000f, 42, "bnd00007", 0 };
	if (r < 0)
		*failed = (struct helper_failed){ HELPER_FAILURE_USER_SESSIONS, 0, 64 };
	return r;
}

int guard_install(struct netlink *n, const struct cable *cable)
{
	ck_assert_int_eq(n->route, 77);
	ck_assert_uint_eq(cable->names.host_ifindex, 42);
	return privileged_call("guard");
}

int cable_set(struct netlink *n, uint32_t ifindex, enum cable_state state)
{
	static const char *const names[] = { [CABLE_DOWN] = "down", [CABLE_UP] = "up", [CABLE_GONE] = "delete" };

	ck_assert_int_eq(n->route, 77);
	ck_assert_uint_eq(ifindex, 42);
	return privileged_call(names[state]);
}

int redirect_install(struct netlink *n, const struct cable *cable, const struct helper_redirect *ports)
{
	ck_assert_int_eq(n->route, 77);
	ck_assert_uint_eq(cable->claim, 98);
	ck_assert_uint_eq(ports->tcp_port, 4000);
	ck_assert_uint_eq(ports->dns_port, 4001);
	return privileged_call("redirect");
}

int tables_remove(struct netlink *n, const struct cable *cable)
{
	ck_assert_int_eq(n->route, 77);
	ck_assert_uint_eq(cable->claim, 98);
	return privileged_call("tables");
}

/* The caller's end, and the helper's. */
static int ours, theirs;
static int jail; /* a descriptor to offer */

static void setup(void)
{
	int pair[2];

	ck_assert_int_eq(wire_pair(pair), 0);
	ours = pair[0];
	theirs = pair[1];
	jail = dup(pair[0]);
}

static void say(uint16_t type, const void *payload, size_t length, size_t n_fds)
{
	const int fds[] = { jail, jail };

	ck_assert_int_eq(wire_send(ours, type, payload, length, fds, n_fds), 0);
}

static void say_redirect(uint16_t tcp_port, uint16_t dns_port)
{
	const struct helper_redirect ports = { tcp_port, dns_port };

	say(HELPER_REDIRECT, &ports, sizeof(ports), 0);
}

/* What is said so far, and then the end of file. */
static int serve(void)
{
	shutdown(ours, SHUT_WR);
	return request_serve(theirs);
}

static void hear(uint16_t type, void *ret, size_t length)
{
	struct wire_message message;

	ck_assert_int_eq(wire_receive(ours, &message, 0, 0), 0);
	ck_assert_uint_eq(message.type, type);
	ck_assert_uint_eq(message.length, length);
	if (length > 0)
		memcpy(ret, message.payload, length);
}

static void hear_attached(void)
{
	hear(HELPER_ATTACH | HELPER_REPLY, &(struct helper_attached){ 0 }, sizeof(struct helper_attached));
}

static void hear_failure(uint32_t failure, int32_t code, uint32_t detail)
{
	struct helper_failed failed;

	hear(HELPER_FAILED, &failed, sizeof(failed));
	ck_assert_uint_eq(failed.failure, failure);
	ck_assert_int_eq(failed.code, code);
	ck_assert_uint_eq(failed.detail, detail);
}

static void hear_nothing(void)
{
	struct wire_message message;

	ck_assert_int_eq(wire_receive(ours, &message, 0, 0), -ETIMEDOUT);
}

#define STARTED "allocate config set-up"
#define ATTACHED STARTED " permits open check create guard up"
#define REDIRECTED ATTACHED " redirect serving"

START_TEST(whole_session)
{
	struct helper_attached attached;

	ignored = _i;
	say(HELPER_ATTACH, NULL, 0, 1);
	say_redirect(4000, 4001);
	say(HELPER_DETACH, NULL, 0, 0);
	ck_assert_int_eq(serve(), 0);
	ck_assert_str_eq(calls, REDIRECTED " teardown down tables");
	ck_assert_int_eq(privileges, PRIVILEGES_NONE);
	hear(HELPER_ATTACH | HELPER_REPLY, &attached, sizeof(attached));
	ck_assert_uint_eq(attached.index, 7);
	ck_assert_uint_eq(attached.jail_address, 0xc612000f);
	ck_assert_str_eq(attached.host_interface, "bnd00007");
	ck_assert_uint_eq(attached.config_ignored, (uint32_t)_i);
	hear(HELPER_REDIRECT | HELPER_REPLY, NULL, 0);
	hear(HELPER_DETACH | HELPER_REPLY, NULL, 0);
	hear_nothing();
}
END_TEST

/* Requirement: only a session that serves may be silent; whatever it is, each request has its time. */
START_TEST(time_limits)
{
	static const long expected[] = { 15, 15, 15, 15, 0, 15 };

	say(HELPER_ATTACH, NULL, 0, 1);
	say_redirect(4000, 4001);
	say(HELPER_DETACH, NULL, 0, 0);
	ck_assert_int_eq(serve(), 0);
	ck_assert_uint_eq(n_timers, array_size(expected));
	ck_assert_mem_eq(timers, expected, sizeof(expected));
	ck_assert_uint_eq(n_polls, 2);
}
END_TEST

START_TEST(silence)
{
	if (_i == 1)
		say(HELPER_ATTACH, NULL, 0, 1);
	ck_assert_int_eq(request_serve(theirs), -ETIMEDOUT);
	ck_assert_str_eq(calls, _i ? ATTACHED " teardown delete tables" : STARTED);
	if (_i == 1)
		hear_attached();
	hear_failure(HELPER_FAILURE_PROTOCOL, ETIMEDOUT, 0);
	hear_nothing();
}
END_TEST

/* Requirement: at the end of file everything is removed, whatever the state. */
START_TEST(end_of_file)
{
	static const char *const expected[] = { STARTED, ATTACHED " teardown delete tables",
						REDIRECTED " teardown delete tables" };

	if (_i > 0)
		say(HELPER_ATTACH, NULL, 0, 1);
	if (_i > 1)
		say_redirect(4000, 4001);
	ck_assert_int_eq(serve(), 0);
	ck_assert_str_eq(calls, expected[_i]);
	ck_assert_int_eq(privileges, PRIVILEGES_NONE);
}
END_TEST

/* Requirement: a cable that cannot be deleted keeps its guard. */
START_TEST(cable_that_stays)
{
	broken = "delete";
	say(HELPER_ATTACH, NULL, 0, 1);
	ck_assert_int_eq(serve(), 0);
	ck_assert_str_eq(calls, ATTACHED " teardown delete");
}
END_TEST

static const struct {
	const char *call;
	int made;     /* by cable_create() */
	int answered; /* requests */
	uint32_t failure;
	int32_t code;
	uint32_t detail;
	const char *calls;
} failures[] = {
	{ "allocate", 0, 0, HELPER_FAILURE_CONFINEMENT, EDOM, 0, "allocate" },
	{ "config", 0, 0, HELPER_FAILURE_CONFIG_LINE, EDOM, 7, "allocate config" },
	{ "set-up", 0, 0, HELPER_FAILURE_CONFINEMENT, EDOM, 0, STARTED },
	{ "raise", 0, 0, HELPER_FAILURE_CAPABILITY, EPERM, 0, STARTED },
	{ "permits", 0, 0, HELPER_FAILURE_GROUP, EACCES, 0, STARTED " permits" },
	{ "open", 0, 0, HELPER_FAILURE_LINK, EDOM, 0, STARTED " permits open" },
	{ "check", 0, 0, HELPER_FAILURE_FOREIGN_NETNS, EDOM, 0, STARTED " permits open check" },
	{ "create", NOTHING, 0, HELPER_FAILURE_USER_SESSIONS, EDOM, 64, STARTED " permits open check create" },
	{ "create", CLAIM, 0, HELPER_FAILURE_USER_SESSIONS, EDOM, 64,
	  STARTED " permits open check create teardown tables" },
	{ "create", PAIR, 0, HELPER_FAILURE_USER_SESSIONS, EDOM, 64,
	  STARTED " permits open check create teardown delete tables" },
	{ "guard", 0, 0, HELPER_FAILURE_GUARD, EDOM, 0,
	  STARTED " permits open check create guard teardown delete tables" },
	{ "up", 0, 0, HELPER_FAILURE_LINK, EDOM, 0, ATTACHED " teardown delete tables" },
	{ "lower", 0, 0, HELPER_FAILURE_CONFINEMENT, EDOM, 0, ATTACHED " teardown delete tables" },
	{ "redirect", 0, 1, HELPER_FAILURE_REDIRECT, EDOM, 0, ATTACHED " redirect teardown delete tables" },
	{ "serving", 0, 1, HELPER_FAILURE_CONFINEMENT, EDOM, 0, REDIRECTED " teardown delete tables" },
	/* The cable goes with the jail, but not if it could not be set down. */
	{ "down", 0, 2, HELPER_FAILURE_LINK, EDOM, 0, REDIRECTED " teardown down teardown delete tables" },
	{ "tables", 0, 2, HELPER_FAILURE_LINK, EDOM, 0, REDIRECTED " teardown down tables teardown delete tables" },
	{ "teardown", 0, 2, HELPER_FAILURE_CONFINEMENT, EDOM, 0, REDIRECTED " teardown teardown" },
};

/* Requirement: what fails is undone, then reported, and the session is over. */
START_TEST(every_failure)
{
	broken = failures[_i].call;
	made = failures[_i].made;
	say(HELPER_ATTACH, NULL, 0, 1);
	say_redirect(4000, 4001);
	say(HELPER_DETACH, NULL, 0, 0);
	ck_assert_int_eq(serve(), -failures[_i].code);
	ck_assert_str_eq(calls, failures[_i].calls);
	ck_assert_int_eq(privileges, PRIVILEGES_NONE);
	if (failures[_i].answered > 0)
		hear_attached();
	if (failures[_i].answered > 1)
		hear(HELPER_REDIRECT | HELPER_REPLY, NULL, 0);
	hear_failure(failures[_i].failure, failures[_i].code, failures[_i].detail);
	hear_nothing();
}
END_TEST

/* Requirement: each state allows one request, whole; every other type, size and number of descriptors ends the session.
 */
static const uint16_t types[] = { 0, HELPER_ATTACH, HELPER_REDIRECT, HELPER_DETACH, 4, 0x81, 0xff, 0xffff };
static const size_t lengths[] = { 0, 1, 3, 4, 5, 8, WIRE_PAYLOAD_MAX };

#define FDS 3
#define COMBINATIONS (int)(3 * array_size(types) * array_size(lengths) * FDS)

START_TEST(wrong_message)
{
	static const struct {
		uint16_t type;
		size_t length, n_fds;
		const char *calls;
	} right[] = { { HELPER_ATTACH, 0, 1, STARTED },
		      { HELPER_REDIRECT, 4, 0, ATTACHED " teardown delete tables" },
		      { HELPER_DETACH, 0, 0, REDIRECTED " teardown delete tables" } };
	static const char payload[WIRE_PAYLOAD_MAX] = { 1, 1, 1, 1 };
	size_t n_fds = (size_t)_i % FDS, length = lengths[(size_t)_i / FDS % array_size(lengths)];
	uint16_t type = types[(size_t)_i / FDS / array_size(lengths) % array_size(types)];
	size_t state = (size_t)_i / FDS / array_size(lengths) / array_size(types);

	if (type == right[state].type && length == right[state].length && n_fds == right[state].n_fds)
		return;
	if (state > 0)
		say(HELPER_ATTACH, NULL, 0, 1);
	if (state > 1)
		say_redirect(4000, 4001);
	say(type, payload, length, n_fds);
	ck_assert_int_eq(serve(), -EPROTO);
	ck_assert_str_eq(calls, right[state].calls);
	if (state > 0)
		hear_attached();
	if (state > 1)
		hear(HELPER_REDIRECT | HELPER_REPLY, NULL, 0);
	hear_failure(HELPER_FAILURE_PROTOCOL, EPROTO, 0);
}
END_TEST

START_TEST(port_zero)
{
	say(HELPER_ATTACH, NULL, 0, 1);
	say_redirect(_i ? 4000 : 0, _i ? 0 : 4001);
	ck_assert_int_eq(serve(), -EINVAL);
	ck_assert_str_eq(calls, ATTACHED " teardown delete tables");
	hear_attached();
	hear_failure(HELPER_FAILURE_PROTOCOL, EINVAL, 0);
}
END_TEST

/* Requirement: no descriptor of the caller's stays open, so the jail's end is the namespace's end. */
START_TEST(descriptors_are_closed)
{
	int ends[2];
	char byte;

	ck_assert_int_eq(pipe(ends), 0);
	close(jail);
	jail = ends[1];
	say(_i ? HELPER_DETACH : HELPER_ATTACH, NULL, 0, 1);
	close(jail);
	serve();
	ck_assert_int_eq(read(ends[0], &byte, 1), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper_request");
	TCase *all = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_loop_test(all, whole_session, 0, 2);
	tcase_add_test(all, time_limits);
	tcase_add_loop_test(all, silence, 0, 2);
	tcase_add_test(all, cable_that_stays);
	tcase_add_loop_test(all, end_of_file, 0, 3);
	tcase_add_loop_test(all, every_failure, 0, (int)array_size(failures));
	tcase_add_loop_test(all, wrong_message, 0, COMBINATIONS);
	tcase_add_loop_test(all, port_zero, 0, 2);
	tcase_add_loop_test(all, descriptors_are_closed, 0, 2);
	tcase_set_timeout(all, 60);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
