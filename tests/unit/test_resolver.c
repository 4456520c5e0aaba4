/* The resolver against a nameserver of our own in the same event loop: outcomes, cache, sharing, cancelling. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "policy/proxy/resolver_internal.h"
#include "tests/unit/clock.h"
#include "tests/unit/nameserver.h"

static struct ev_loop *loop;
static struct resolver *resolver;

struct outcome {
	unsigned n_calls;
	int status;
	size_t n_addresses;
	struct ip_address addresses[RESOLVER_ADDRESSES_MAX];
	char reason[256];
	struct resolver_query *query;
	struct resolver_query *to_cancel;
	const char *then; /* to be looked up from the callback */
	bool free_resolver;
};
static bool inside_lookup;

static void done(void *user, int status, const struct ip_address *addresses, size_t n_addresses, const char *reason);

static void lookup(const char *host, struct outcome *ret)
{
	inside_lookup = true;
	ck_assert_int_eq(resolver_lookup(resolver, host, done, ret, &ret->query), 0);
	inside_lookup = false;
}

static void done(void *user, int status, const struct ip_address *addresses, size_t n_addresses, const char *reason)
{
	struct outcome *o = user;

	ck_assert(!inside_lookup);
	ck_assert_uint_le(n_addresses, RESOLVER_ADDRESSES_MAX);
	ck_assert_int_eq(status == 0, n_addresses > 0);
	ck_assert_int_eq(status == 0, reason == NULL);
	o->n_calls++;
	o->status = status;
	o->n_addresses = n_addresses;
	memcpy(o->addresses, addresses, n_addresses * sizeof(*addresses));
	snprintf(o->reason, sizeof(o->reason), "%s", reason ? reason : "");
	if (o->to_cancel)
		resolver_cancel(o->to_cancel);
	if (o->then) {
		const char *host = o->then;

		o->then = NULL;
		lookup(host, o);
	}
	if (o->free_resolver) {
		resolver_free(resolver);
		resolver = NULL;
	}
}

static void open_resolver(const char *lookups)
{
	struct resolver_settings settings = { .servers = servers, .lookups = lookups, .timeout_ms = 50, .tries = 2 };

	ck_assert_int_eq(resolver_new_with(loop, &settings, &resolver, NULL), 0);
}

static void setup(void)
{
	clock_slow_down();
	loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	ck_assert_ptr_nonnull(loop);
	ttl = 30;
	n_queries = n_streams = 0;
	nameserver_open(loop);
	open_resolver("b");
}

static void teardown(void)
{
	resolver_free(resolver);
	nameserver_close(loop);
	ev_loop_destroy(loop);
	clock_catch_up();
}

static void reopen(const char *lookups)
{
	resolver_free(resolver);
	open_resolver(lookups);
}

static void turns(int n)
{
	while (n-- > 0) {
		ev_run(loop, EVRUN_NOWAIT);
		usleep(200);
	}
}

static void wait_for(const struct outcome *o, unsigned n_calls)
{
	for (int i = 0; i < 5000 && o->n_calls < n_calls; i++)
		turns(1);
	ck_assert_uint_eq(o->n_calls, n_calls);
}

static void assert_addresses(const struct outcome *o, const char *const *expected, size_t n)
{
	char text[46];

	ck_assert_int_eq(o->status, 0);
	ck_assert_uint_eq(o->n_addresses, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_str_eq(ip_address_format(&o->addresses[i], text), expected[i]);
}

static void ask(const char *host, struct outcome *ret)
{
	*ret = (struct outcome){ 0 };
	lookup(host, ret);
	ck_assert_uint_eq(ret->n_calls, 0);
	wait_for(ret, 1);
}

START_TEST(addresses_in_order_each_once)
{
	struct outcome o;

	ask("host.test", &o);
	assert_addresses(&o, (const char *const[]){ "192.0.2.2", "192.0.2.1" }, 2);
	ck_assert_uint_eq(n_queries, 2);
	ask("six.test", &o);
	assert_addresses(&o, (const char *const[]){ "2001:db8::6" }, 1);
}
END_TEST

START_TEST(literals)
{
	struct outcome o;

	ask("192.0.2.7", &o);
	assert_addresses(&o, (const char *const[]){ "192.0.2.7" }, 1);
	ask("[2001:db8::1]", &o);
	assert_addresses(&o, (const char *const[]){ "2001:db8::1" }, 1);
	ask("1.2.3", &o);
	ck_assert_int_eq(o.status, -EIO);
	ck_assert_uint_eq(n_queries, 0);
	ck_assert_uint_eq(resolver_cached(resolver), 0);
}
END_TEST

START_TEST(no_more_than_sixteen)
{
	struct outcome o;
	char text[46];

	ask("many.test", &o);
	ck_assert_int_eq(o.status, 0);
	ck_assert_uint_eq(o.n_addresses, 16);
	ck_assert_str_eq(ip_address_format(&o.addresses[15], text), "192.0.2.115");
}
END_TEST

START_TEST(names_that_do_not_exist)
{
	struct outcome o;

	ask("nx.test", &o);
	ck_assert_int_eq(o.status, -ENOENT);
	ck_assert_str_eq(o.reason, "the name does not exist");
	ask("empty.test", &o);
	ck_assert_int_eq(o.status, -ENOENT);
	ck_assert_str_eq(o.reason, "the name has no address");
	ck_assert_uint_eq(n_queries, 4);
	/* Remembered for 5 s. */
	clock_skipped += 4;
	ask("nx.test", &o);
	ck_assert_int_eq(o.status, -ENOENT);
	ck_assert_uint_eq(n_queries, 4);
	clock_skipped += 2;
	ask("nx.test", &o);
	ck_assert_uint_eq(n_queries, 6);
}
END_TEST

START_TEST(nobody_answers)
{
	struct outcome o;

	clock_catch_up();
	ask("silent.test", &o);
	ck_assert_int_eq(o.status, -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(o.reason, "no nameserver answered in time; "));
	/* The commonest cause, and what helps. */
	ck_assert_ptr_nonnull(strstr(o.reason, "when the session started"));
	ck_assert_ptr_nonnull(strstr(o.reason, "start the session again"));
	/* Two tries of two types, all of which the nameserver has read by then. */
	turns(5);
	ck_assert_uint_eq(n_queries, 4);
	ask("garbage.test", &o);
	ck_assert_int_eq(o.status, -ETIMEDOUT);
}
END_TEST

START_TEST(failing_nameserver)
{
	struct outcome o;
	unsigned before;

	ask("fail.test", &o);
	ck_assert_int_eq(o.status, -EIO);
	ck_assert_ptr_nonnull(strstr(o.reason, "no nameserver"));
	before = n_queries;
	ask("fail.test", &o);
	ck_assert_int_eq(o.status, -EIO);
	ck_assert_uint_eq(n_queries, before);
	clock_skipped += 2;
	ask("fail.test", &o);
	ck_assert_uint_gt(n_queries, before);
}
END_TEST

START_TEST(nobody_there)
{
	struct outcome o;

	ev_io_stop(loop, &udp_watch);
	close(udp_watch.fd);
	ask("host.test", &o);
	ck_assert_int_eq(o.status, -EIO);
	ck_assert_ptr_nonnull(strstr(o.reason, "start the session again"));
	udp_watch.fd = dup(tcp_watch.fd);
}
END_TEST

START_TEST(truncated_answers_come_by_tcp)
{
	struct outcome o;

	ask("long.test", &o);
	assert_addresses(&o, (const char *const[]){ "192.0.2.2", "192.0.2.1" }, 2);
	ck_assert_uint_eq(n_streams, 1);
	turns(5);
}
END_TEST

/* Asks twice, `seconds` apart. Returns how many queries the second lookup caused. */
static unsigned asked_again_after(time_t seconds, unsigned record_ttl)
{
	struct outcome o;
	unsigned before;

	reopen("b");
	ttl = record_ttl;
	ask("host.test", &o);
	before = n_queries;
	clock_skipped += seconds;
	ask("host.test", &o);
	assert_addresses(&o, (const char *const[]){ "192.0.2.2", "192.0.2.1" }, 2);
	return n_queries - before;
}

START_TEST(answers_last_as_long_as_their_ttl)
{
	ck_assert_uint_eq(asked_again_after(0, 30), 0);
	ck_assert_uint_eq(asked_again_after(28, 30), 0);
	ck_assert_uint_eq(asked_again_after(31, 30), 2);
	/* A minute at most, a second at least. */
	ck_assert_uint_eq(asked_again_after(58, 86400), 0);
	ck_assert_uint_eq(asked_again_after(61, 86400), 2);
	ck_assert_uint_eq(asked_again_after(0, 0), 0);
	ck_assert_uint_eq(asked_again_after(2, 0), 2);
	ck_assert_uint_eq(asked_again_after(2, 0xffffffff), 2);
}
END_TEST

START_TEST(lookups_of_one_name_share)
{
	struct outcome o[3] = { 0 }, other = { 0 };

	for (size_t i = 0; i < 3; i++)
		lookup("host.test", &o[i]);
	lookup("other.test", &other);
	for (size_t i = 0; i < 3; i++)
		wait_for(&o[i], 1);
	wait_for(&other, 1);
	ck_assert_uint_eq(n_queries, 4);
	for (size_t i = 0; i < 3; i++)
		assert_addresses(&o[i], (const char *const[]){ "192.0.2.2", "192.0.2.1" }, 2);
}
END_TEST

START_TEST(cancelled_lookups_are_silent)
{
	struct outcome a = { 0 }, b = { 0 }, c = { 0 };

	lookup("host.test", &a);
	lookup("host.test", &b);
	lookup("alone.test", &c);
	resolver_cancel(a.query);
	resolver_cancel(c.query);
	wait_for(&b, 1);
	turns(50);
	ck_assert_uint_eq(a.n_calls, 0);
	ck_assert_uint_eq(c.n_calls, 0);
	ck_assert_int_eq(b.status, 0);
	/* Answered from the cache, but not told yet. */
	lookup("alone.test", &c);
	lookup("192.0.2.1", &a);
	resolver_cancel(c.query);
	resolver_cancel(a.query);
	turns(5);
	ck_assert_uint_eq(c.n_calls, 0);
	ck_assert_uint_eq(a.n_calls, 0);
	ck_assert_uint_eq(n_queries, 4);
}
END_TEST

START_TEST(callbacks_may_do_anything)
{
	struct outcome a = { .then = "then.test" }, b = { 0 }, c = { 0 };

	lookup("host.test", &a);
	lookup("host.test", &b);
	lookup("host.test", &c);
	a.to_cancel = b.query;
	wait_for(&a, 1);
	a.to_cancel = NULL;
	wait_for(&c, 1);
	wait_for(&a, 2);
	ck_assert_uint_eq(b.n_calls, 0);

	/* Freeing from a callback, while another answer is ready and a lookup under way. */
	a = (struct outcome){ .free_resolver = true };
	lookup("host.test", &a);
	lookup("host.test", &b);
	lookup("silent.test", &c);
	wait_for(&a, 1);
	turns(5);
	ck_assert_ptr_null(resolver);
	ck_assert_uint_eq(b.n_calls, 0);
	ck_assert_uint_eq(c.n_calls, 1);
}
END_TEST

START_TEST(freeing_with_lookups_under_way)
{
	struct outcome a = { 0 }, b = { 0 };

	lookup("silent.test", &a);
	lookup("long.test", &a);
	lookup("192.0.2.1", &b);
	resolver_free(resolver);
	resolver = NULL;
	/* The time for their answers passes, too. */
	clock_skipped += 1;
	turns(300);
	ck_assert_uint_eq(a.n_calls, 0);
	ck_assert_uint_eq(b.n_calls, 0);
	resolver_free(NULL);
}
END_TEST

START_TEST(the_cache_is_bounded)
{
	struct outcome o;
	char host[32];

	for (unsigned i = 0; i < 1030; i++) {
		snprintf(host, sizeof(host), "n%u.test", i);
		o = (struct outcome){ 0 };
		lookup(host, &o);
		while (o.n_calls == 0)
			ev_run(loop, EVRUN_ONCE);
	}
	ck_assert_uint_eq(resolver_cached(resolver), 1024);
	n_queries = 0;
	ask("n1029.test", &o);
	ask("n6.test", &o);
	ck_assert_uint_eq(n_queries, 0);
	ask("n5.test", &o);
	ck_assert_uint_eq(n_queries, 2);
	ck_assert_uint_eq(resolver_cached(resolver), 1024);
}
END_TEST

START_TEST(lookups_under_way_are_bounded)
{
	static struct outcome o[514];
	unsigned before;
	char host[32];

	for (unsigned i = 0; i < 512; i++) {
		snprintf(host, sizeof(host), "silent%u.test", i);
		lookup(host, &o[i]);
	}
	ck_assert_uint_eq(resolver_under_way(resolver), 512);
	lookup("host.test", &o[512]);
	lookup("silent7.test", &o[513]);
	turns(1);
	ck_assert_uint_eq(o[512].n_calls, 1);
	ck_assert_int_eq(o[512].status, -EIO);
	ck_assert_ptr_nonnull(strstr(o[512].reason, "too many"));
	ck_assert_uint_eq(o[513].n_calls, 0);
	clock_catch_up();
	for (unsigned i = 0; i < 512; i++)
		wait_for(&o[i], 1);
	wait_for(&o[513], 1);
	ck_assert_uint_eq(resolver_under_way(resolver), 0);
	/* Those that the nameserver has not read are in the way of one more. */
	do {
		before = n_queries;
		turns(1);
	} while (n_queries > before);
	clock_slow_down();
	ask("host.test", &o[0]);
	ck_assert_int_eq(o[0].status, 0);
}
END_TEST

START_TEST(the_hosts_file_and_localhost)
{
	static const struct ip_address loopback = { { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };
	static const char *const names[] = { "localhost", "x.localhost" };
	struct outcome o;

	reopen("fb");
	for (size_t i = 0; i < 2; i++) {
		bool found = false;

		ask(names[i], &o);
		ck_assert_int_eq(o.status, 0);
		for (size_t j = 0; j < o.n_addresses; j++)
			found = found || memcmp(&o.addresses[j], &loopback, sizeof(loopback)) == 0;
		ck_assert(found);
	}
	ck_assert_uint_eq(n_queries, 0);
	ask("host.test", &o);
	ck_assert_int_eq(o.status, 0);
}
END_TEST

/* The search list and options of the host, here in their environment variables (resolv.conf(5)), add nothing to a name.
 */
START_TEST(no_search_domains)
{
	static const struct {
		const char *host, *asked;
	} names[] = { { "single", "single." }, { "nx", "nx." }, { "nx.allowed.test", "nx.allowed.test." } };
	struct outcome o;

	setenv("LOCALDOMAIN", "corp.test", 1);
	for (size_t i = 0; i < 6; i++) {
		setenv("RES_OPTIONS", i < 3 ? "ndots:1" : "ndots:5", 1);
		reopen("b");
		n_queries = 0;
		ask(names[i % 3].host, &o);
		ck_assert_int_eq(o.status, i % 3 == 0 ? 0 : -ENOENT);
		ck_assert_str_eq(last_name, names[i % 3].asked);
		ck_assert_uint_eq(n_queries, 2);
	}
	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
}
END_TEST

START_TEST(as_the_host_says)
{
	struct error e = { 0 };
	struct outcome o;

	resolver_free(resolver);
	ck_assert_int_eq(resolver_new(loop, &resolver, &e), 0);
	ask("localhost", &o);
	ck_assert_int_eq(o.status, 0);
}
END_TEST

START_TEST(nonsense_for_nameservers)
{
	struct resolver_settings settings = { .servers = "not an address", .timeout_ms = 50, .tries = 1 };
	struct resolver *none = NULL;
	struct error e = { 0 };

	ck_assert_int_eq(resolver_new_with(loop, &settings, &none, &e), -EIO);
	ck_assert_ptr_null(none);
	ck_assert_ptr_nonnull(strstr(e.text, "resolv.conf"));
}
END_TEST

/* No descriptor of the resolver reaches a program that is started. */
START_TEST(sockets_are_closed_on_exec)
{
	struct outcome o = { 0 };
	int n = 0, highest = dup(0);

	lookup("silent.test", &o);
	turns(2);
	for (int fd = highest - 1; fd < highest + 8; fd++) {
		struct sockaddr_in peer;
		socklen_t length = sizeof(peer);

		if (getpeername(fd, (struct sockaddr *)&peer, &length) < 0)
			continue;
		n++;
		ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	}
	ck_assert_int_ge(n, 1);
	close(highest);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resolver");
	TCase *tests = tcase_create("resolver");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, addresses_in_order_each_once);
	tcase_add_test(tests, literals);
	tcase_add_test(tests, no_more_than_sixteen);
	tcase_add_test(tests, names_that_do_not_exist);
	tcase_add_test(tests, nobody_answers);
	tcase_add_test(tests, failing_nameserver);
	tcase_add_test(tests, nobody_there);
	tcase_add_test(tests, truncated_answers_come_by_tcp);
	tcase_add_test(tests, answers_last_as_long_as_their_ttl);
	tcase_add_test(tests, lookups_of_one_name_share);
	tcase_add_test(tests, cancelled_lookups_are_silent);
	tcase_add_test(tests, callbacks_may_do_anything);
	tcase_add_test(tests, freeing_with_lookups_under_way);
	tcase_add_test(tests, the_cache_is_bounded);
	tcase_add_test(tests, lookups_under_way_are_bounded);
	tcase_add_test(tests, the_hosts_file_and_localhost);
	tcase_add_test(tests, no_search_domains);
	tcase_add_test(tests, as_the_host_says);
	tcase_add_test(tests, nonsense_for_nameservers);
	tcase_add_test(tests, sockets_are_closed_on_exec);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
