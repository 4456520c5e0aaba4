/*
 * The administrator's settings: helper/config.c. As root, or as user 0 of a user namespace, where our files count as
 * root's; with an /etc/group of our own, in a mount namespace.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/config.h"
#include "shared/cleanup.h"

static char directory[] = "/tmp/boundary-helper-config-XXXXXX";
static char path[64], group_path[64];
static struct config config;
static struct helper_failed failed;

static void write_to(const char *name, const void *bytes, size_t length)
{
	_cleanup_fd_ int file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_msg(file >= 0 && write(file, bytes, length) == (ssize_t)length, "%s: %s", name, strerror(errno));
}

static void write_text(const char *name, const char *text)
{
	write_to(name, text, strlen(text));
}

static void make_directory(void)
{
	if (!mkdtemp(directory) || chmod(directory, 0755) < 0) {
		perror(directory);
		exit(EXIT_FAILURE);
	}
	snprintf(path, sizeof(path), "%s/helper.conf", directory);
	snprintf(group_path, sizeof(group_path), "%s/group", directory);
	umask(022);
}

static void remove_files(void)
{
	(void)!rmdir(path);
	unlink(path);
	unlink(group_path);
}

static void remove_directory(void)
{
	remove_files();
	(void)!rmdir(directory);
}

/* Each check is a process of its own, with its own namespaces, and finds what the one before left in the directory. */
static void become_root(void)
{
	char map[32];

	remove_files();
	if (geteuid() != 0) {
		snprintf(map, sizeof(map), "0 %u 1", geteuid());
		ck_assert_int_eq(unshare(CLONE_NEWUSER), 0);
		write_text("/proc/self/uid_map", map);
	}
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount("none", "/", "", MS_REC | MS_PRIVATE, ""), 0);
	write_text(group_path, "wheel:x:10:\nusers:x:100:a,b\n4242:x:77:\nlast:*:5:c");
	ck_assert_int_eq(mount(group_path, "/etc/group", "", MS_BIND, ""), 0);
}

static int read_bytes(const void *bytes, size_t length)
{
	write_to(path, bytes, length);
	memset(&config, 0xff, sizeof(config));
	failed = (struct helper_failed){ 0 };
	return config_read(path, &config, &failed);
}

static void check_defaults(bool ignored)
{
	ck_assert_uint_eq(config.pool, 0xc6120000);
	ck_assert_uint_eq(config.indexes, 32768);
	ck_assert_uint_eq(config.per_user, 64);
	ck_assert_uint_eq(config.in_total, 1000);
	ck_assert(!config.restricted);
	ck_assert_int_eq(config.ignored, ignored);
	ck_assert_uint_eq(failed.detail, 0);
}

/* What is there ------------------------------------------------------------------------------------------------- */

START_TEST(missing)
{
	ck_assert_int_eq(config_read(path, &config, &failed), 0);
	check_defaults(false);
	ck_assert_int_eq(symlink("/nonexistent", path), 0);
	ck_assert_int_eq(config_read(path, &config, &failed), 0);
	check_defaults(false);
}
END_TEST

static const char *const empties[] = { "", "\n", "\n\n", "# nothing", "#\n# sessions-total = 5\n", " \t\n\t# a\n  " };

START_TEST(nothing_said)
{
	ck_assert_int_eq(read_bytes(empties[_i], strlen(empties[_i])), 0);
	check_defaults(false);
}
END_TEST

static const char good[] = "sessions-total = 5\n";

static const struct {
	mode_t mode;
	bool ignored;
} modes[] = { { 0644, false }, { 0444, false }, { 0600, false }, { 0755, false }, { 01644, false },
	      { 0664, true },  { 0646, true },  { 0620, true },  { 0602, true },  { 0666, true } };

START_TEST(mode)
{
	ck_assert_int_eq(read_bytes(good, strlen(good)), 0);
	ck_assert_int_eq(chmod(path, modes[_i].mode), 0);
	ck_assert_int_eq(config_read(path, &config, &failed), 0);
	if (modes[_i].ignored)
		check_defaults(true);
	else
		ck_assert_uint_eq(config.in_total, 5);
	ck_assert_int_eq(config.ignored, modes[_i].ignored);
}
END_TEST

/* Requirement: what is not root's alone is not even read: neither its settings nor its errors matter. */
START_TEST(errors_of_the_ignored)
{
	ck_assert_int_eq(read_bytes("junk\n", 5), -EINVAL);
	failed = (struct helper_failed){ 0 };
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_int_eq(config_read(path, &config, &failed), 0);
	check_defaults(true);
}
END_TEST

START_TEST(another_owner)
{
	ck_assert_int_eq(read_bytes(good, strlen(good)), 0);
	ck_assert_uint_eq(config.in_total, 5);
	/* In a user namespace all but our own files are another user's. */
	ck_assert_int_eq(config_read(chown(path, 1, 0) == 0 ? path : "/etc/passwd", &config, &failed), 0);
	check_defaults(true);
}
END_TEST

START_TEST(symbolic_link)
{
	write_text(group_path, good); /* no longer a list of groups, then */
	ck_assert_int_eq(symlink(group_path, path), 0);
	ck_assert_int_eq(config_read(path, &config, &failed), 0);
	ck_assert_uint_eq(config.in_total, 5);
	ck_assert(!config.ignored);
}
END_TEST

/* Requirement: nothing that is no regular file is waited for. */
START_TEST(other_kinds)
{
	if (_i == 0)
		ck_assert_int_eq(mkdir(path, 0755), 0);
	if (_i == 1)
		ck_assert_int_eq(mkfifo(path, 0644), 0);
	if (_i == 2)
		ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_int_eq(config_read(path, &config, &failed), 0);
	check_defaults(true);
}
END_TEST

/* Requirement: what is there and cannot be read is a failure, not the defaults. */
START_TEST(unreadable)
{
	char below[96];

	remove_files();
	write_text(path, good);
	snprintf(below, sizeof(below), "%s/x", path);
	ck_assert_int_eq(config_read(below, &config, &failed), -ENOTDIR);
	ck_assert_uint_eq(failed.failure, HELPER_FAILURE_CONFIG_FILE);
	ck_assert_int_eq(chmod(path, 0), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	failed = (struct helper_failed){ 0 };
	ck_assert_int_eq(config_read(path, &config, &failed), -EACCES);
	ck_assert_uint_eq(failed.failure, HELPER_FAILURE_CONFIG_FILE);
	ck_assert_uint_eq(failed.detail, 0);
}
END_TEST

/* What it says -------------------------------------------------------------------------------------------------- */

static const struct {
	const char *text;
	uint32_t pool, indexes;
} pools[] = {
	{ "pool = 10.0.0.0/15", 0x0a000000, 65536 },
	{ "pool = 10.99.0.0/16\n", 0x0a630000, 32768 },
	{ "pool=192.168.255.252/30", 0xc0a8fffc, 2 },
	{ "\t pool\t=\t172.16.0.0/24 \t # comment = 1", 0xac100000, 128 },
	{ "# pool = 1.2.3.4/5\npool = 172.16.0.0/24#comment", 0xac100000, 128 },
	{ "pool = 1.0.0.0/16", 0x01000000, 32768 },
	{ "pool = 126.254.0.0/15", 0x7efe0000, 65536 },
	{ "pool = 128.0.0.0/15", 0x80000000, 65536 },
	{ "pool = 223.255.255.252/30", 0xdffffffc, 2 },
	{ "pool = 198.18.0.0/16", 0xc6120000, 32768 },
	{ "pool = 198.18.255.252/30", 0xc612fffc, 2 },
	{ "pool = 198.20.0.0/30", 0xc6140000, 2 },
};

START_TEST(pool)
{
	ck_assert_int_eq(read_bytes(pools[_i].text, strlen(pools[_i].text)), 0);
	ck_assert_uint_eq(config.pool, pools[_i].pool);
	ck_assert_uint_eq(config.indexes, pools[_i].indexes);
	ck_assert_uint_eq(config.per_user, 64);
}
END_TEST

START_TEST(everything)
{
	static const char text[] = "# ours\n\nallowed-group = users\nsessions-total = 65536\nsessions-per-uid = 1\n"
				   "pool = 10.0.0.0/16";

	ck_assert_int_eq(read_bytes(text, sizeof(text) - 1), 0);
	ck_assert_uint_eq(config.pool, 0x0a000000);
	ck_assert_uint_eq(config.per_user, 1);
	ck_assert_uint_eq(config.in_total, 65536);
	ck_assert(config.restricted);
	ck_assert_uint_eq(config.group, 100);
	ck_assert(!config.ignored);
	ck_assert_uint_eq(failed.detail, 0);
}
END_TEST

/* A group's name may look like a number: then it is the name. */
static const struct {
	const char *name;
	gid_t group;
} groups[] = { { "wheel", 10 },  { "users", 100 }, { "last", 5 }, { "4242", 77 },
	       { "4243", 4243 }, { "0", 0 },       { "77", 77 },  { "4294967294", 4294967294 } };

START_TEST(group)
{
	char text[64];

	snprintf(text, sizeof(text), "allowed-group = %s\n", groups[_i].name);
	ck_assert_int_eq(read_bytes(text, strlen(text)), 0);
	ck_assert(config.restricted);
	ck_assert_uint_eq(config.group, groups[_i].group);
}
END_TEST

/* Requirement: anything unclear is an error, and of which line. Each is put first, and behind others. */
static const char *const bad[] = {
	/* form */
	"x",
	"=",
	"= 5",
	"sessions-total",
	"sessions-total 5",
	"sessions-total =",
	"sessions-total = ",
	"sessions-total = # 5",
	"sessions-total == 5",
	"sessions-total : 5",
	"sessions-total = 5 6",
	"sessions-total = 5 x",
	"sessions-total = 5 ; x",
	"sessions-total = 5 = 6",
	"sessions-total = 5, 6",
	"sessions-total = \"5\"",
	"sessions-total = 5\r",
	"\r",
	"\v",
	"# comment\r",
	"sessions-total = 5 \r",
	"sessions-total\r= 5",
	"sessions-total = 5\f# comment",
	"# \x1b[2J",
	"; sessions-total = 5",
	"[section]",
	"sessions-total = 5 \\",
	"sessions-total = 5 pool = 10.0.0.0/16",
	/* keys */
	"sessions = 5",
	"sessions-tota = 5",
	"sessions-totals = 5",
	"Sessions-total = 5",
	"SESSIONS-TOTAL = 5",
	"sessions_total = 5",
	"sessions total = 5",
	"-- = 5",
	"user = root",
	"\xef\xbb\xbfsessions-total = 5",
	"sessions-totalsessions-totalsessions-total = 5",
	"sessions-totaaaaaaaaaaaaaaaaaal = 5",
	/* numbers */
	"sessions-total = 0",
	"sessions-total = -1",
	"sessions-total = +5",
	"sessions-total = 65537",
	"sessions-total = 0x10",
	"sessions-total = 1e3",
	"sessions-total = 5.",
	"sessions-total = 4294967297",
	"sessions-total = 18446744073709551617",
	"sessions-total = 99999999999999999999999999999999999999",
	"sessions-total = -18446744073709551611",
	"sessions-total = 5k",
	"sessions-total = five",
	"sessions-per-uid = 0",
	"sessions-per-uid = 65537",
	"sessions-per-uid = -1",
	"sessions-per-uid = 4294967360",
	"sessions-total = 000000000000000000000000000000000000000000000000000000000000000005",
	/* pools: form */
	"pool = 10.0.0.0",
	"pool = 10.0.0.0/",
	"pool = /16",
	"pool = 10.0.0.0 /16",
	"pool = 10.0.0.0/ 16",
	"pool = 10.0.0/16",
	"pool = 10.0.0.0/16/16",
	"pool = 10.0.0.0/16x",
	"pool = 10.0.0.0/-16",
	"pool = 10.0.0.0/+16",
	"pool = 010.0.0.0/16",
	"pool = 10.0.0.256/30",
	"pool = 0x0a.0.0.0/16",
	"pool = fd00::/16",
	"pool = ten.example/16",
	"pool = 10.0.0.0/255.255.0.0",
	"pool = 10.0.0.0-10.0.255.255",
	/* sizes, host bits */
	"pool = 10.0.0.0/8",
	"pool = 10.0.0.0/14",
	"pool = 10.0.0.0/31",
	"pool = 10.0.0.0/32",
	"pool = 10.0.0.0/0",
	"pool = 10.0.0.0/4294967312",
	"pool = 10.0.0.1/16",
	"pool = 10.0.128.0/16",
	"pool = 10.1.0.0/15",
	"pool = 10.0.0.2/30",
	/* reserved */
	"pool = 0.0.0.0/15",
	"pool = 0.1.0.0/16",
	"pool = 0.255.255.252/30",
	"pool = 127.0.0.0/15",
	"pool = 127.255.255.252/30",
	"pool = 224.0.0.0/15",
	"pool = 239.0.0.0/16",
	"pool = 240.0.0.0/16",
	"pool = 255.255.255.252/30",
	"pool = 198.18.0.0/15",
	"pool = 198.19.0.0/16",
	"pool = 198.19.0.0/30",
	"pool = 198.19.128.0/17",
	"pool = 198.19.255.252/30",
	/* groups */
	"allowed-group = no-such-group",
	"allowed-group = whee",
	"allowed-group = wheels",
	"allowed-group = -1",
	"allowed-group = 4294967295",
	"allowed-group = 4294967296",
	"allowed-group = +10",
	"allowed-group = 0x10",
	"allowed-group = wheel users",
	"allowed-group = wheel,users",
	"allowed-group = wheel:x:10:",
	"allowed-group =",
};

static void check_bad_line(const void *bytes, size_t length, uint32_t line)
{
	ck_assert_int_eq(read_bytes(bytes, length), -EINVAL);
	ck_assert_uint_eq(failed.failure, HELPER_FAILURE_CONFIG_LINE);
	ck_assert_uint_eq(failed.detail, line);
}

START_TEST(bad_line)
{
	char text[512];

	check_bad_line(bad[_i], strlen(bad[_i]), 1);
	snprintf(text, sizeof(text), "%s\nsessions-per-uid = 3\n", bad[_i]);
	check_bad_line(text, strlen(text), 1);
	snprintf(text, sizeof(text), "# first\n\n  \n# fourth\n%s\n", bad[_i]);
	check_bad_line(text, strlen(text), 5);
}
END_TEST

static const char *const twice[] = { "pool = 10.0.0.0/16\n", "sessions-per-uid = 3\n", "sessions-total = 3\n",
				     "allowed-group = wheel\n" };

START_TEST(said_twice)
{
	char text[128];

	snprintf(text, sizeof(text), "%s# and\n%s", twice[_i], twice[_i]);
	check_bad_line(text, strlen(text), 3);
}
END_TEST

/* Requirement: nothing is cut: what a longer line or file has further on counts, too. */
START_TEST(long_line)
{
	static char text[9000];

	memset(text, ' ', sizeof(text));
	memcpy(text, "sessions-total = 5", 18);
	ck_assert_int_eq(read_bytes(text, 8191), 0);
	ck_assert_int_eq(read_bytes(text, 8192), -EFBIG);
	ck_assert_uint_eq(failed.failure, HELPER_FAILURE_CONFIG_FILE);
	text[8190] = '6';
	check_bad_line(text, 8191, 1);
	memset(text, 'x', 8191);
	text[0] = '#';
	ck_assert_int_eq(read_bytes(text, 8191), 0);
	memcpy(text + 8000, "\nsessions-total = x\n#", 21);
	check_bad_line(text, 8191, 2);
}
END_TEST

static const struct {
	const char *bytes;
	size_t length;
	uint32_t line;
} binaries[] = {
#define BINARY(bytes, line)                    \
	{                                      \
		bytes, sizeof(bytes) - 1, line \
	}
	BINARY("sessions-total = 5\0\n", 1),
	BINARY("sessions-total = 5\0006\n", 1),
	BINARY("\0sessions-total = 5\n", 1),
	BINARY("\0\n", 1),
	BINARY("# comment\0\n", 1),
	BINARY("# comment\nsessions-total = 5\0\nsessions-per-uid = 3\n", 2),
	BINARY("\x7f"
	       "ELF\2\1\1\0\0\0\n",
	       1),
	BINARY("\xff\xfe"
	       "s\0",
	       1),
	/* At the end of the file, without a newline. */
	BINARY("sessions-total = 5\0", 1),
	BINARY("sessions-total = 5\0000", 1),
	BINARY("sessions-total = 5\n\0", 2),
	BINARY("# comment\0sessions-total = 5", 1),
};

START_TEST(binary)
{
	check_bad_line(binaries[_i].bytes, binaries[_i].length, binaries[_i].line);
}
END_TEST

/* Who may ------------------------------------------------------------------------------------------------------- */

START_TEST(permitted)
{
	struct config restricted = { .restricted = true, .group = 1005 };
	const gid_t supplementary[] = { 1007, 1008, 1009 };

	ck_assert_int_eq(setgroups(array_size(supplementary), supplementary), 0);
	/* It is the real id that counts, not the one a set-group-ID program has. */
	ck_assert_int_eq(setresgid(1005, 1006, 1006), 0);
	ck_assert(config_permits(&restricted, 1000));
	for (gid_t g = 0; g < 1012; g++) {
		restricted.group = g;
		ck_assert_int_eq(config_permits(&restricted, 1000), g == 1005 || (g >= 1007 && g <= 1009));
		ck_assert(config_permits(&restricted, 0));
	}
	restricted.restricted = false;
	ck_assert(config_permits(&restricted, 1000));
	ck_assert_int_eq(setgroups(0, NULL), 0);
	restricted = (struct config){ .restricted = true, .group = 1007 };
	ck_assert(!config_permits(&restricted, 1000));
}
END_TEST

START_TEST(many_groups)
{
	struct config restricted = { .restricted = true };
	static gid_t all[65536];

	for (size_t i = 0; i < array_size(all); i++)
		all[i] = 100000 + (gid_t)i;
	ck_assert_int_eq(setgroups(array_size(all), all), 0);
	for (size_t i = 0; i < array_size(all); i += array_size(all) - 1) {
		restricted.group = all[i];
		ck_assert(config_permits(&restricted, 1000));
	}
	restricted.group = 99999;
	ck_assert(!config_permits(&restricted, 1000));
}
END_TEST

static void add_as_root(Suite *suite)
{
	TCase *c = tcase_create("root");

	tcase_add_checked_fixture(c, become_root, NULL);
	tcase_add_test(c, missing);
	tcase_add_loop_test(c, nothing_said, 0, (int)array_size(empties));
	tcase_add_loop_test(c, mode, 0, (int)array_size(modes));
	tcase_add_test(c, errors_of_the_ignored);
	tcase_add_test(c, another_owner);
	tcase_add_test(c, symbolic_link);
	tcase_add_loop_test(c, other_kinds, 0, 3);
	tcase_add_loop_test(c, pool, 0, (int)array_size(pools));
	tcase_add_test(c, everything);
	tcase_add_loop_test(c, group, 0, (int)array_size(groups));
	tcase_add_loop_test(c, bad_line, 0, (int)array_size(bad));
	tcase_add_loop_test(c, said_twice, 0, (int)array_size(twice));
	tcase_add_test(c, long_line);
	tcase_add_loop_test(c, binary, 0, (int)array_size(binaries));
	tcase_set_timeout(c, 60);
	suite_add_tcase(suite, c);
}

int main(void)
{
	Suite *suite = suite_create("helper_config");
	TCase *others = tcase_create("others");
	SRunner *runner = srunner_create(suite);
	int failures;

	make_directory();
	add_as_root(suite);
	tcase_set_timeout(others, 60);
	suite_add_tcase(suite, others);
	tcase_add_test(others, unreadable);
	if (geteuid() == 0) {
		tcase_add_test(others, permitted);
		tcase_add_test(others, many_groups);
	} else {
		puts("helper_config: 2 skipped, only root chooses his groups");
	}
	srunner_run_all(runner, CK_NORMAL);
	remove_directory();
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
