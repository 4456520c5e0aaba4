/* The session's directory: who may share it, what is written, and that sweeping and removing touch nothing else. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launcher/session_dir.h"
#include "shared/cleanup.h"

#define OLD (SESSION_DIR_MIN_AGE_SECONDS + 2)

/* The linker leads the module's time(2) here (--wrap): directories age without waiting. */
static time_t clock_ahead;

time_t __real_time(time_t *at);
time_t __wrap_time(time_t *at);

time_t __wrap_time(time_t *at)
{
	return __real_time(at) + clock_ahead;
}

/* What a sweeper does to the directory that is being made, just before its maker asks for the lock. */
static enum { LEAVE, TAKE_THE_LOCK, REMOVE } sweeper;
static int sweeper_fd = -1;

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

int __wrap_flock(int fd, int operation)
{
	char link[64], path[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (sweeper != LEAVE && readlink(link, path, sizeof(path) - 1) > 0) {
		if (sweeper == REMOVE)
			rmdir(path);
		sweeper_fd = open(path, O_RDONLY | O_DIRECTORY);
		if (sweeper == TAKE_THE_LOCK)
			__real_flock(sweeper_fd, LOCK_EX | LOCK_NB);
		sweeper = LEAVE;
	}
	return __real_flock(fd, operation);
}

static char base[64];

static void setup(void)
{
	strcpy(base, "/tmp/boundary-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	clock_ahead = 0;
}

static void teardown(void)
{
	char command[256];

	snprintf(command, sizeof(command), "chmod -R u+rwX %s; rm -rf %s", base, base);
	ck_assert_int_eq(system(command), 0);
}

static const char *in_base(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", base, name);
	return path;
}

static const char *in_dir(const struct session_dir *dir, const char *name)
{
	static char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	return path;
}

static void put(const char *path, const char *text)
{
	_cleanup_file_ FILE *file = fopen(path, "we");

	ck_assert_msg(file != NULL, "%s", path);
	fputs(text, file);
}

static void holds(const char *path, const char *expected)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	char text[256] = "";

	ck_assert_msg(file != NULL, "%s", path);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	ck_assert_str_eq(text, expected);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static struct session_dir make(void)
{
	struct session_dir dir;
	struct error e = { 0 };

	ck_assert_msg(session_dir_create(base, NULL, &dir, &e) == 0, "%s", e.text);
	return dir;
}

/* A session that ended without removing its directory. */
static struct session_dir make_dead(void)
{
	struct session_dir dir = make();

	session_dir_close(&dir);
	return dir;
}

START_TEST(made_private_and_locked)
{
	struct session_dir dir = make();
	char path[PATH_MAX];
	struct stat st;
	int other;

	ck_assert_int_eq(lstat(dir.path, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
	ck_assert_int_eq(strncmp(dir.name, "boundary-session-", 17), 0);
	ck_assert_str_eq(dir.path, in_base(dir.name));
	ck_assert_str_eq(session_dir_path(&dir, SESSION_FILE_HOSTS, path), in_dir(&dir, "hosts"));
	ck_assert_int_eq(fcntl(dir.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(dir.base_fd, F_GETFD), FD_CLOEXEC);

	other = open(dir.path, O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(flock(other, LOCK_EX | LOCK_NB), -1);
	ck_assert_int_eq(errno, EWOULDBLOCK);
	session_dir_close(&dir);
	ck_assert_int_eq(flock(other, LOCK_EX | LOCK_NB), 0);
	close(other);
}
END_TEST

static void created_in(const char *runtime_dir, const char *temporary_dir, const char *expected)
{
	struct session_dir dir = SESSION_DIR_NONE;
	struct error e = { 0 };

	ck_assert_msg(session_dir_create(runtime_dir, temporary_dir, &dir, &e) == 0, "%s", e.text);
	ck_assert_msg(strncmp(dir.path, expected, strlen(expected)) == 0 && dir.path[strlen(expected)] == '/',
		      "%s is not in %s", dir.path, expected);
	ck_assert_int_eq(session_dir_remove(&dir), 0);
	ck_assert(!exists(dir.path));
}

START_TEST(choice_of_the_base)
{
	const char *good = in_base("good"), *open = in_base("open"), *temporary = in_base("tmp");

	ck_assert_int_eq(mkdir(good, 0700), 0);
	ck_assert_int_eq(mkdir(open, 0755), 0);
	ck_assert_int_eq(mkdir(temporary, 0700), 0);
	created_in(good, temporary, good);
	created_in(open, temporary, temporary);
	created_in(NULL, temporary, temporary);
	created_in("", temporary, temporary);
	created_in("run/user/0", temporary, temporary);
	created_in("/nonexistent", temporary, temporary);
	created_in(NULL, NULL, "/tmp");
	created_in(NULL, "", "/tmp");
	created_in(NULL, "relative", "/tmp");
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(good, 65534, 65534), 0);
		created_in(good, temporary, temporary);
	}
}
END_TEST

START_TEST(unsafe_bases_are_refused)
{
	struct session_dir dir = SESSION_DIR_NONE;
	const char *shared = in_base("shared");
	struct error e = { 0 };

	ck_assert_int_eq(session_dir_create(NULL, "/nonexistent/tmp", &dir, &e), -ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "/nonexistent/tmp"));
	ck_assert_int_eq(mkdir(shared, 0700), 0);
	ck_assert_int_eq(chmod(shared, 0777), 0);
	ck_assert_int_eq(session_dir_create(NULL, shared, &dir, &e), -EPERM);
	ck_assert_ptr_nonnull(strstr(e.text, "sticky"));
	ck_assert_int_eq(chmod(shared, 01777), 0);
	ck_assert_int_eq(session_dir_create(NULL, shared, &dir, NULL), 0);
	session_dir_remove(&dir);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(shared, 12345, 12345), 0);
		ck_assert_int_eq(session_dir_create(NULL, shared, &dir, &e), -EPERM);
		ck_assert_ptr_nonnull(strstr(e.text, "another user"));
		/* As a user namespace shows what is not mapped into it. */
		ck_assert_int_eq(chown(shared, 65534, 65534), 0);
		ck_assert_int_eq(session_dir_create(NULL, shared, &dir, &e), -EPERM);
		ck_assert_ptr_nonnull(strstr(e.text, "does not know"));
	}
	ck_assert_int_eq(dir.fd, -1);
}
END_TEST

START_TEST(files)
{
	struct session_dir dir = make();
	struct error e = { 0 };
	struct stat st;

	umask(0777);
	ck_assert_int_eq(session_dir_write(&dir, SESSION_FILE_HOSTS, "127.0.0.1 localhost\n", 20, &e), 0);
	umask(022);
	holds(in_dir(&dir, "hosts"), "127.0.0.1 localhost\n");
	ck_assert_int_eq(lstat(in_dir(&dir, "hosts"), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0444);
	ck_assert_int_eq(session_dir_write(&dir, SESSION_FILE_HOSTS, "other", 5, &e), -EEXIST);
	holds(in_dir(&dir, "hosts"), "127.0.0.1 localhost\n");

	put(in_base("victim"), "precious");
	ck_assert_int_eq(symlink(in_base("victim"), in_dir(&dir, "truststore.p12")), 0);
	ck_assert_int_eq(session_dir_write(&dir, SESSION_FILE_TRUSTSTORE, "x", 1, &e), -EEXIST);
	ck_assert_ptr_nonnull(strstr(e.text, "truststore.p12"));
	holds(in_base("victim"), "precious");
	session_dir_remove(&dir);
	holds(in_base("victim"), "precious");
}
END_TEST

START_TEST(bundle)
{
	struct session_dir dir = make(), alone = make();
	_cleanup_fd_ int system_bundle = -1;

	put(in_base("system.pem"), "SYSTEM\n");
	system_bundle = open(in_base("system.pem"), O_RDONLY);
	lseek(system_bundle, 3, SEEK_SET);
	ck_assert_int_eq(session_dir_write_bundle(&dir, "OURS", 4, system_bundle, NULL), 0);
	holds(in_dir(&dir, "ca-bundle.pem"), "OURS\nSYSTEM\n");
	ck_assert_int_eq(lseek(system_bundle, 0, SEEK_CUR), 3);
	ck_assert_int_eq(session_dir_write_bundle(&dir, "OURS\n", 5, system_bundle, NULL), -EEXIST);
	ck_assert_int_eq(session_dir_write_bundle(&alone, "OURS\n", 5, -1, NULL), 0);
	holds(in_dir(&alone, "ca-bundle.pem"), "OURS\n");
	session_dir_remove(&dir);
	session_dir_remove(&alone);
}
END_TEST

START_TEST(large_bundle)
{
	struct session_dir dir = make();
	_cleanup_fd_ int system_bundle = open(in_base("big"), O_RDWR | O_CREAT, 0600);
	_cleanup_fd_ int endless = open("/dev/zero", O_RDONLY);
	struct error e = { 0 };
	struct stat st;

	ck_assert_int_eq(ftruncate(system_bundle, 1000000), 0);
	ck_assert_int_eq(session_dir_write_bundle(&dir, "OURS\n", 5, system_bundle, &e), 0);
	ck_assert_int_eq(stat(in_dir(&dir, "ca-bundle.pem"), &st), 0);
	ck_assert_int_eq(st.st_size, 1000005);
	session_dir_remove(&dir);

	dir = make();
	ck_assert_int_eq(session_dir_write_bundle(&dir, "OURS\n", 5, endless, &e), -EFBIG);
	session_dir_remove(&dir);
}
END_TEST

START_TEST(sweep_takes_the_dead_only)
{
	struct session_dir own = make(), living = make(), dead = make();

	session_dir_write(&dead, SESSION_FILE_CA_BUNDLE, "x", 1, NULL);
	session_dir_write(&dead, SESSION_FILE_TRUSTSTORE, "x", 1, NULL);
	session_dir_write(&dead, SESSION_FILE_HOSTS, "x", 1, NULL);
	session_dir_close(&dead);
	ck_assert_int_eq(session_dir_sweep(&own), 0);
	ck_assert_msg(exists(dead.path), "younger than the guard against races");
	clock_ahead = OLD;
	ck_assert_int_eq(session_dir_sweep(&own), 1);
	ck_assert(!exists(dead.path));
	ck_assert(exists(living.path));
	ck_assert(exists(own.path));
	ck_assert_int_eq(session_dir_remove(&own), 0);
	ck_assert_int_eq(session_dir_remove(&living), 0);
}
END_TEST

START_TEST(sweep_leaves_the_rest_alone)
{
	struct session_dir own = make(), with_extra = make_dead(), with_link = make_dead(),
			   with_directory = make_dead();

	clock_ahead = OLD;
	put(in_dir(&with_extra, "notes.txt"), "mine");
	ck_assert_int_eq(mkdir(in_base("victim"), 0700), 0);
	put(in_base("victim/hosts"), "precious");
	ck_assert_int_eq(symlink(in_base("victim/hosts"), in_dir(&with_link, "hosts")), 0);
	ck_assert_int_eq(mkdir(in_dir(&with_directory, "hosts"), 0700), 0);
	ck_assert_int_eq(symlink(in_base("victim"), in_base("boundary-session-abcdef")), 0);
	put(in_base("boundary-session-ghijkl"), "a file");
	ck_assert_int_eq(mkdir(in_base("boundary-session-toolong"), 0700), 0);
	ck_assert_int_eq(mkdir(in_base("boundary-session-"), 0700), 0);
	ck_assert_int_eq(mkfifo(in_base("boundary-session-mnopqr"), 0600), 0);

	ck_assert_int_eq(session_dir_sweep(&own), 1);
	ck_assert(!exists(with_link.path));
	holds(in_dir(&with_extra, "notes.txt"), "mine");
	ck_assert(exists(in_dir(&with_directory, "hosts")));
	holds(in_base("victim/hosts"), "precious");
	ck_assert(exists(in_base("boundary-session-abcdef")));
	holds(in_base("boundary-session-ghijkl"), "a file");
	ck_assert(exists(in_base("boundary-session-toolong")));
	ck_assert(exists(in_base("boundary-session-")));
	session_dir_remove(&own);
}
END_TEST

START_TEST(sweep_leaves_other_users_alone)
{
	struct session_dir own = make(), theirs = make_dead();

	clock_ahead = OLD;
	ck_assert_int_eq(chown(theirs.path, 65534, 65534), 0);
	ck_assert_int_eq(session_dir_sweep(&own), 0);
	ck_assert(exists(theirs.path));
	session_dir_remove(&own);
}
END_TEST

START_TEST(remove_with_foreign_files)
{
	struct session_dir dir = make();

	session_dir_write(&dir, SESSION_FILE_HOSTS, "x", 1, NULL);
	put(in_dir(&dir, "notes.txt"), "mine");
	ck_assert_int_eq(session_dir_remove(&dir), -ENOTEMPTY);
	ck_assert(!exists(in_dir(&dir, "hosts")));
	holds(in_dir(&dir, "notes.txt"), "mine");
	ck_assert_int_eq(dir.fd, -1);
	ck_assert_int_eq(dir.base_fd, -1);
	ck_assert_int_eq(session_dir_remove(&dir), 0);
}
END_TEST

/* The command puts something else under the directory's name. */
START_TEST(remove_after_an_exchange)
{
	struct session_dir moved = make(), linked = make();

	session_dir_write(&moved, SESSION_FILE_HOSTS, "x", 1, NULL);
	ck_assert_int_eq(rename(moved.path, in_base("moved")), 0);
	ck_assert_int_eq(mkdir(moved.path, 0700), 0);
	put(in_dir(&moved, "hosts"), "another's");
	ck_assert_int_eq(session_dir_remove(&moved), -ENOENT);
	holds(in_dir(&moved, "hosts"), "another's");
	ck_assert(!exists(in_base("moved/hosts")));

	ck_assert_int_eq(mkdir(in_base("victim"), 0700), 0);
	put(in_base("victim/hosts"), "precious");
	ck_assert_int_eq(rmdir(linked.path), 0);
	ck_assert_int_eq(symlink(in_base("victim"), linked.path), 0);
	ck_assert_int_eq(session_dir_remove(&linked), -ENOENT);
	holds(in_base("victim/hosts"), "precious");
}
END_TEST

START_TEST(remove_none)
{
	struct session_dir none = SESSION_DIR_NONE;

	ck_assert_int_eq(session_dir_remove(&none), 0);
	session_dir_close(&none);
}
END_TEST

START_TEST(removed_before_the_lock)
{
	struct session_dir dir;

	sweeper = REMOVE;
	dir = make();
	ck_assert(exists(dir.path));
	ck_assert_int_eq(session_dir_write(&dir, SESSION_FILE_HOSTS, "x", 1, NULL), 0);
	ck_assert_int_eq(session_dir_remove(&dir), 0);
}
END_TEST

START_TEST(locked_before_the_lock)
{
	struct session_dir dir;
	int other;

	sweeper = TAKE_THE_LOCK;
	dir = make();
	ck_assert_int_ge(sweeper_fd, 0);
	other = open(dir.path, O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(flock(other, LOCK_EX | LOCK_NB), -1);
	close(other);
	close_fd(&sweeper_fd);
	ck_assert_int_eq(session_dir_remove(&dir), 0);
	ck_assert_msg(rmdir(base) == 0, "the first directory was left behind");
	ck_assert_int_eq(mkdir(base, 0700), 0);
}
END_TEST

/* Creators and sweepers at the same time, with a clock that makes every directory look old: only the locks protect. */
static void create_and_sweep(void)
{
	for (int i = 0; i < 50; i++) {
		struct session_dir dir;
		struct stat st;

		if (session_dir_create(base, NULL, &dir, NULL) < 0)
			_exit(1);
		if (session_dir_sweep(&dir) < 0)
			_exit(2);
		if (session_dir_write(&dir, SESSION_FILE_HOSTS, "x", 1, NULL) < 0)
			_exit(3);
		if (stat(in_dir(&dir, "hosts"), &st) < 0)
			_exit(4);
		if (i % 2)
			session_dir_close(&dir);
		else if (session_dir_remove(&dir) < 0)
			_exit(5);
	}
	_exit(0);
}

START_TEST(race)
{
	struct session_dir last;
	pid_t children[8];

	clock_ahead = OLD;
	for (size_t i = 0; i < array_size(children); i++) {
		children[i] = fork();
		ck_assert_int_ge(children[i], 0);
		if (children[i] == 0)
			create_and_sweep();
	}
	for (size_t i = 0; i < array_size(children); i++) {
		int status;

		ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %zu: %x", i, status);
	}
	last = make();
	ck_assert_int_ge(session_dir_sweep(&last), 0);
	ck_assert_int_eq(session_dir_remove(&last), 0);
	ck_assert_int_eq(rmdir(base), 0);
	ck_assert_int_eq(mkdir(base, 0700), 0);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("session_dir");
	Suite *suite = suite_create("session_dir");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, made_private_and_locked);
	tcase_add_test(tcase, choice_of_the_base);
	tcase_add_test(tcase, unsafe_bases_are_refused);
	tcase_add_test(tcase, files);
	tcase_add_test(tcase, bundle);
	tcase_add_test(tcase, large_bundle);
	tcase_add_test(tcase, sweep_takes_the_dead_only);
	tcase_add_test(tcase, sweep_leaves_the_rest_alone);
	if (geteuid() == 0)
		tcase_add_test(tcase, sweep_leaves_other_users_alone);
	tcase_add_test(tcase, remove_with_foreign_files);
	tcase_add_test(tcase, remove_after_an_exchange);
	tcase_add_test(tcase, remove_none);
	tcase_add_test(tcase, removed_before_the_lock);
	tcase_add_test(tcase, locked_before_the_lock);
	tcase_add_test(tcase, race);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
