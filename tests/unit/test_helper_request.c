/*
 * The helper's requests (helper/request.c) without a kernel behind them: what it would do is defined here, in place of
 * the library's, and written down in order. What is expected is in shared/helper_protocol.h and helper/README.md.
 */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/cable.h"
#include "helper/privileges.h"
#include "helper/request.h"
#include "shared/cleanup.h"
#include "shared/wire.h"

static char calls[256];          /* one word a call */
static const char *broken;       /* the call that fails, with EDOM */
static bool breaks_after_making; /* cable_create() fails with something to delete */
static enum privileges privileges = PRIVILEGES_PERMITTED;

static int call(const char *name)
{
	strncat(calls, calls[0] ? " " : "", sizeof(calls) - strlen(calls) - 1);
	strncat(calls, name, sizeof(calls) - strlen(calls) - 1);
	return broken && strcmp(broken, name) == 0 ? -EDOM : 0;
}

static int privileged_call(const char *name)
{
	ck_assert_int_eq(privileges, PRIVILEGES_EFFECTIVE);
	return call(name);
}

int privileges_set(enum privileges wanted)
{
	if (wanted == PRIVILEGES_EFFECTIVE && broken && strcmp(broken, "raise") == 0)
		return -EPERM;
	ck_assert_int_ne(privileges, PRIVILEGES_NONE);
	privileges = wanted;
	return 0;
}

int privileges_confine(void)
{
	ck_assert_int_eq(privileges, PRIVILEGES_PERMITTED);
	return call("confine");
}

int netns_check(int fd, int socket, uid_t user, enum helper_failure *ret_failure)
{
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(socket, 0);
	ck_assert_uint_eq(user, getuid());
	*ret_failure = HELPER_FAILURE_FOREIGN_NETNS;
	return privileged_call("check");
}

int cable_create(int socket, int netns, uid_t user, struct helper_attached *ret)
{
	int r = privileged_call("create");

	(void)socket;
	(void)netns;
	(void)user;
	if (r == 0 || breaks_after_making)
		*ret = (struct helper_attached){ 7, 0xc612000e, 0xc612000f, 42, "bnd00007" };
	return r;
}

int guard_install(int socket, const struct helper_attached *cable, uint64_t *ret_handle)
{
	int r = privileged_call("guard");

	(void)socket;
	ck_assert_uint_eq(cable->host_ifindex, 42);
	if (r == 0)
		*ret_handle = 99;
	return r;
}

int cable_set(int socket, const struct helper_attached *cable, enum cable_state state)
{
	static const char *const names[] = { [CABLE_DOWN] = "down", [CABLE_UP] = "up", [CABLE_GONE] = "delete" };

	(void)socket;
	ck_assert_uint_eq(cable->host_ifindex, 42);
	return privileged_call(names[state]);
}

int redirect_install(int socket, const struct helper_attached *cable, const struct helper_redirect *ports)
{
	(void)socket;
	(void)cable;
	ck_assert_uint_eq(ports->tcp_port, 4000);
	ck_assert_uint_eq(ports->dns_port, 4001);
	return privileged_call("redirect");
}

int tables_remove(int socket, const struct helper_attached *cable, uint64_t guard)
{
	(void)socket;
	ck_assert_uint_eq(cable->host_ifindex, 42);
	ck_assert_uint_eq(guard, 99);
	return privileged_call("unguard");
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

static void hear_failure(uint32_t failure, int32_t code)
{
	struct helper_failed failed;

	hear(HELPER_FAILED, &failed, sizeof(failed));
	ck_assert_uint_eq(failed.failure, failure);
	ck_assert_int_eq(failed.code, code);
}

static void hear_nothing(void)
{
	struct wire_message message;

	ck_assert_int_eq(wire_receive(ours, &message, 0, 0), -ETIMEDOUT);
}

START_TEST(whole_session)
{
	struct helper_attached attached;

	say(HELPER_ATTACH, NULL, 0, 1);
	say_redirect(4000, 4001);
	say(HELPER_DETACH, NULL, 0, 0);
	ck_assert_int_eq(serve(), 0);
	ck_assert_str_eq(calls, "check create guard up redirect confine down unguard");
	ck_assert_int_eq(privileges, PRIVILEGES_NONE);
	hear(HELPER_ATTACH | HELPER_REPLY, &attached, sizeof(attached));
	ck_assert_uint_eq(attached.index, 7);
	ck_assert_uint_eq(attached.jail_address, 0xc612000f);
	ck_assert_str_eq(attached.host_interface, "bnd00007");
	hear(HELPER_REDIRECT | HELPER_REPLY, NULL, 0);
	hear(HELPER_DETACH | HELPER_REPLY, NULL, 0);
	hear_nothing();
}
END_TEST

/* Requirement: at the end of file everything is removed, whatever the state. */
START_TEST(end_of_file)
{
	static const char *const expected[] = { "", "check create guard up delete unguard",
						"check create guard up redirect confine delete unguard" };

	if (_i > 0)
		say(HELPER_ATTACH, NULL, 0, 1);
	if (_i > 1)
		say_redirect(4000, 4001);
	ck_assert_int_eq(serve(), 0);
	ck_assert_str_eq(calls, expected[_i]);
	ck_assert_int_eq(privileges, PRIVILEGES_NONE);
}
END_TEST

static const struct {
	const char *call;
	bool after_making;
	uint32_t failure;
	int32_t code;
	const char *calls;
} failures[] = {
	{ "raise", false, HELPER_FAILURE_CAPABILITY, EPERM, "" },
	{ "check", false, HELPER_FAILURE_FOREIGN_NETNS, EDOM, "check" },
	{ "create", false, HELPER_FAILURE_LINK, EDOM, "check create" },
	{ "create", true, HELPER_FAILURE_LINK, EDOM, "check create delete" },
	{ "guard", false, HELPER_FAILURE_GUARD, EDOM, "check create guard delete" },
	{ "up", false, HELPER_FAILURE_LINK, EDOM, "check create guard up delete unguard" },
	{ "redirect", false, HELPER_FAILURE_REDIRECT, EDOM, "check create guard up redirect delete unguard" },
	{ "confine", false, HELPER_FAILURE_CONFINEMENT, EDOM, "check create guard up redirect confine delete unguard" },
	/* The cable goes with the jail, but not if it could not be set down. */
	{ "down", false, HELPER_FAILURE_LINK, EDOM, "check create guard up redirect confine down delete unguard" },
	{ "unguard", false, HELPER_FAILURE_LINK, EDOM,
	  "check create guard up redirect confine down unguard delete unguard" },
};

/* Requirement: what fails is undone, then reported, and the session is over. */
START_TEST(every_failure)
{
	bool attached = _i >= 6, redirected = _i >= 8;

	broken = failures[_i].call;
	breaks_after_making = failures[_i].after_making;
	say(HELPER_ATTACH, NULL, 0, 1);
	say_redirect(4000, 4001);
	say(HELPER_DETACH, NULL, 0, 0);
	ck_assert_int_eq(serve(), -failures[_i].code);
	ck_assert_str_eq(calls, failures[_i].calls);
	ck_assert_int_eq(privileges, PRIVILEGES_NONE);
	if (attached)
		hear(HELPER_ATTACH | HELPER_REPLY, &(struct helper_attached){ 0 }, sizeof(struct helper_attached));
	if (redirected)
		hear(HELPER_REDIRECT | HELPER_REPLY, NULL, 0);
	hear_failure(failures[_i].failure, failures[_i].code);
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
	} right[] = { { HELPER_ATTACH, 0, 1, "" },
		      { HELPER_REDIRECT, 4, 0, "check create guard up delete unguard" },
		      { HELPER_DETACH, 0, 0, "check create guard up redirect confine delete unguard" } };
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
		hear(HELPER_ATTACH | HELPER_REPLY, &(struct helper_attached){ 0 }, sizeof(struct helper_attached));
	if (state > 1)
		hear(HELPER_REDIRECT | HELPER_REPLY, NULL, 0);
	hear_failure(HELPER_FAILURE_PROTOCOL, EPROTO);
}
END_TEST

START_TEST(port_zero)
{
	say(HELPER_ATTACH, NULL, 0, 1);
	say_redirect(_i ? 4000 : 0, _i ? 0 : 4001);
	ck_assert_int_eq(serve(), -EINVAL);
	ck_assert_str_eq(calls, "check create guard up delete unguard");
	hear(HELPER_ATTACH | HELPER_REPLY, &(struct helper_attached){ 0 }, sizeof(struct helper_attached));
	hear_failure(HELPER_FAILURE_PROTOCOL, EINVAL);
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
	tcase_add_test(all, whole_session);
	tcase_add_loop_test(all, end_of_file, 0, 3);
	tcase_add_loop_test(all, every_failure, 0, (int)array_size(failures));
	tcase_add_loop_test(all, wrong_message, 0, COMBINATIONS);
	tcase_add_loop_test(all, port_zero, 0, 2);
	tcase_add_loop_test(all, descriptors_are_closed, 0, 2);
	suite_add_tcase(suite, all);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
