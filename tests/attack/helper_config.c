/*
 * helper_config HELPER [PID]: helper.conf in the hands of who wants to be free of it: a file that is not root's alone,
 * or that the helper cannot read, or cannot understand, or that its caller hides from it. Root writes it: without him
 * all is skipped.
 */
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_conf.h"
#include "tests/attack/helper_scene.h"

/* Nobody but root is in this group: the attacker is kept out, and knows it when he is not. */
#define CLOSED "allowed-group = 0\n"
#define KIB 1024ul

static const struct scene *scene;

static struct helper_answer attach(const struct helper_start *how)
{
	struct helper_peer peer = helper_start(scene->helper, how);
	struct helper_answer answer = helper_ask(&peer, HELPER_ATTACH, scene->jails[0].netns);

	close_fd(&peer.socket);
	helper_ended(&peer, HELPER_SOON_MS);
	return answer;
}

static void report(bool held, const char *what, const struct helper_answer *answer)
{
	bool failed = answer->type == HELPER_FAILED;

	scene_check(held, what, "answer %d, failure %u, errno %d, detail %u, ignored %u", answer->type,
		    failed ? answer->failed.failure : 0, failed ? answer->failed.code : 0,
		    failed ? answer->failed.detail : 0, failed ? 0 : answer->attached.config_ignored);
}

static bool attached(const struct helper_answer *answer, bool ignored)
{
	return answer->type == (HELPER_ATTACH | HELPER_REPLY) && answer->attached.config_ignored == ignored;
}

/* Whose file it is --------------------------------------------------------------------------------------------- */

static void trust(void)
{
	static const struct {
		const char *what;
		enum conf_kind kind;
		bool ignored; /* else the request fails */
	} odd[] = {
		{ "the attacker's file is ignored", CONF_OF_ATTACKER, true },
		{ "a file its group may write is ignored", CONF_OF_GROUP, true },
		{ "a file all may write is ignored", CONF_OF_ALL, true },
		{ "a FIFO is not waited for", CONF_FIFO, true },
		{ "a device without end is not read", CONF_DEVICE, true },
		{ "a directory is ignored", CONF_DIRECTORY, true },
		{ "a file the helper cannot read: nobody is served", CONF_UNREADABLE, false },
	};
	struct helper_answer answer;

	conf_set(NULL);
	answer = attach(NULL);
	report(attached(&answer, false), "no file", &answer);
	for (size_t i = 0; i < array_size(odd); i++) {
		conf_set_odd(odd[i].kind, "sessions-per-uid = 0\n");
		answer = attach(NULL);
		report(odd[i].ignored ? attached(&answer, true)
				      : helper_answer_failed(&answer, HELPER_FAILURE_CONFIG_FILE),
		       odd[i].what, &answer);
	}
	/* By root's own link: whether it is followed or not, what is there is not root's. */
	conf_set_odd(CONF_SYMLINK, "sessions-per-uid = 0\n");
	answer = attach(NULL);
	report(attached(&answer, true) || helper_answer_failed(&answer, HELPER_FAILURE_CONFIG_FILE),
	       "a link to the attacker's file", &answer);
}

/* What it says ------------------------------------------------------------------------------------------------- */

static void errors(void)
{
	static const struct {
		const char *text;
		uint32_t line;
	} wrong[] = {
		{ "pool\n", 1 },
		{ "= 1\n", 1 },
		{ "\n# two\nunknown = 1\n", 3 },
		{ "sessions-per-uid =\n", 1 },
		{ "sessions-per-uid = -1\n", 1 },
		{ "sessions-per-uid = +1\n", 1 },
		{ "sessions-per-uid = 1 1\n", 1 },
		{ "sessions-per-uid = 0x10\n", 1 },
		{ "sessions-per-uid = 1k\n", 1 },
		{ "sessions-per-uid = 4294967296\n", 1 },
		{ "sessions-per-uid = 18446744073709551617\n", 1 },
		{ "sessions-total = many\n", 1 },
		{ "sessions-per-uid = 9\n\n\nsessions-total = \n", 4 },
		{ "pool = 198.18.0.0\n", 1 },
		{ "pool = 198.18.0.0/14\n", 1 },
		{ "pool = 198.18.0.0/31\n", 1 },
		{ "pool = 198.18.0.0/32\n", 1 },
		{ "pool = 198.18.0.0/-1\n", 1 },
		{ "pool = 198.18.0.0/16x\n", 1 },
		{ "pool = 198.18.0/16\n", 1 },
		{ "pool = 198.18.0.256/16\n", 1 },
		{ "pool = ::1/64\n", 1 },
		{ "allowed-group = no-such-group-here\n", 1 },
		{ "allowed-group =\n", 1 },
		{ "allowed-group = -1\n", 1 },
		{ "SESSIONS-PER-UID = 1\n", 1 },
		{ "sessions-per-uid : 1\n", 1 },
		{ "[section]\n", 1 },
		{ "\xef\xbb\xbfsessions-per-uid = 1\n", 1 },
	};
	char title[128], text[64];

	for (size_t i = 0; i < array_size(wrong); i++) {
		struct helper_answer answer;

		conf_set(wrong[i].text);
		answer = attach(NULL);
		snprintf(text, sizeof(text), "%s", wrong[i].text);
		for (char *c = text; *c; c++)
			if (*c == '\n')
				*c = '|';
		snprintf(title, sizeof(title), "error in \"%s\"", text);
		report(helper_answer_failed(&answer, HELPER_FAILURE_CONFIG_LINE) &&
			       answer.failed.detail == wrong[i].line,
		       title, &answer);
	}
}

/* More than anybody writes: it is not half of it that counts. */
static void large(void)
{
	char text[3000];
	struct helper_answer answer;

	memset(text, 'x', sizeof(text));
	memcpy(text, "# ", 2);
	strcpy(text + sizeof(text) - sizeof("\n" CLOSED), "\n" CLOSED);
	conf_set(text);
	answer = attach(NULL);
	report(answer.type == HELPER_FAILED, "what follows a long line counts, or nobody is served", &answer);
	memset(text, '\n', sizeof(text));
	strcpy(text + sizeof(text) - sizeof(CLOSED), CLOSED);
	conf_set(text);
	answer = attach(NULL);
	report(answer.type == HELPER_FAILED, "what follows many lines counts, or nobody is served", &answer);
}

/* Groups ------------------------------------------------------------------------------------------------------- */

static void groups(void)
{
	struct helper_answer answer;
	struct conf_sessions got;
	char text[64];

	conf_set(CLOSED);
	answer = attach(NULL);
	report(helper_answer_failed(&answer, HELPER_FAILURE_GROUP), "a user who is not in the group", &answer);
	got = conf_sessions_of(SCENE_VICTIM, 1);
	report(helper_answer_failed(&got.last, HELPER_FAILURE_GROUP), "another, too", &got.last);
	snprintf(text, sizeof(text), "allowed-group = %u\n", SCENE_ATTACKER);
	conf_set(text);
	got = conf_sessions_of(0, 1);
	report(got.n == 1, "root is served whatever the group is", &got.last);
	answer = attach(NULL);
	report(attached(&answer, false), "the user who is", &answer);
	got = conf_sessions_of(SCENE_VICTIM, 1);
	report(helper_answer_failed(&got.last, HELPER_FAILURE_GROUP), "one who is not", &got.last);
}

/* Pool --------------------------------------------------------------------------------------------------------- */

static void pool(void)
{
	const uint32_t address = 10u << 24 | 99u << 16 | 5;
	struct conf_sessions got;
	struct helper_answer answer;

	/* Four indices, of which those who stand by have the first two. */
	conf_set("pool = 10.99.0.0/29\n");
	got = conf_sessions_of(SCENE_ATTACKER, 3);
	report(got.n == 2 && helper_answer_failed(&got.last, HELPER_FAILURE_NO_FREE_INDEX) &&
		       got.last.failed.detail == 4,
	       "all of the pool is taken", &got.last);
	conf_address(address, 1);
	answer = attach(NULL);
	conf_address(address, 0);
	report(helper_answer_failed(&answer, HELPER_FAILURE_POOL) && answer.failed.detail >> 1 == address >> 1,
	       "an address of the host's where the session would be", &answer);
}

/* Hiding it ---------------------------------------------------------------------------------------------------- */

static int resource;
static rlim_t amount;

static void limit(void)
{
	setrlimit((__rlimit_resource_t)resource, &(struct rlimit){ amount, amount });
}

static void limit_softly(void)
{
	setrlimit((__rlimit_resource_t)resource, &(struct rlimit){ amount, RLIM_INFINITY });
}

/* What it cannot open, or has no memory for, it does not take for missing. */
static void starve(const char *what, int which, rlim_t least, rlim_t most, rlim_t step)
{
	const struct helper_start how = { .before_exec = limit };
	char title[128];
	unsigned int served = 0, refused = 0, tried = 0;

	resource = which;
	conf_set(CLOSED);
	for (amount = least; amount <= most; amount += step) {
		struct helper_answer answer = attach(&how);

		tried++;
		served += answer.type == (HELPER_ATTACH | HELPER_REPLY);
		refused += helper_answer_failed(&answer, HELPER_FAILURE_GROUP);
	}
	snprintf(title, sizeof(title), "kept from reading it by %s (%u tried)", what, tried);
	scene_check(served == 0 && refused > 0, title, "served %u times; refused for the group %u times", served,
		    refused);
}

/* Asleep, or ended: where a helper that was just started comes to when it has read the file (proc(5)). */
static bool waits(pid_t pid)
{
	char path[64], text[256] = "";
	_cleanup_file_ FILE *file = NULL;
	const char *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(text, sizeof(text), file))
		return true;
	state = strrchr(text, ')');
	return state && (state[2] == 'S' || state[2] == 'Z') && strstr(text, "helper");
}

/* Short of memory only while it reads: whoever has taken it gives it back before the first request. */
static void starve_and_feed(void)
{
	const struct rlimit enough = { RLIM_INFINITY, RLIM_INFINITY };
	const struct helper_start how = { .before_exec = limit_softly };
	unsigned int served = 0, tried = 0;

	resource = RLIMIT_DATA;
	conf_set(CLOSED);
	for (amount = 0; amount <= 1024 * KIB; amount += 16 * KIB, tried++) {
		struct helper_peer peer = helper_start(scene->helper, &how);
		struct helper_answer answer;

		for (int i = 0; i < 2000 && !waits(peer.pid); i++)
			poll(NULL, 0, 1);
		syscall(SYS_prlimit64, peer.pid, RLIMIT_DATA, &enough, NULL);
		answer = helper_ask(&peer, HELPER_ATTACH, scene->jails[0].netns);
		served += answer.type == (HELPER_ATTACH | HELPER_REPLY);
		close_fd(&peer.socket);
		helper_ended(&peer, HELPER_SOON_MS);
	}
	scene_check(served == 0, "kept from reading it by its data, which it has again for the request",
		    "served %u times of %u", served, tried);
}

/* One of his own over it, in a mount namespace of his: where he may mount, the helper's capability is worth nothing. */
static void mount_own(void)
{
	helper_enter(CLONE_NEWUSER | CLONE_NEWNS);
	if (mount("none", "/etc", "tmpfs", 0, NULL) < 0)
		_exit(126);
}

static void change_directory(void)
{
	(void)!chdir("/proc/self/root/tmp");
}

static void hide(void)
{
	static const char *const environment[] = { "HOME=/tmp", "XDG_CONFIG_HOME=/tmp", "BOUNDARY_CONFIG=/dev/null",
						   "GETCONF_DIR=/tmp", NULL };
	struct helper_answer answer;

	starve("the number of descriptors", RLIMIT_NOFILE, 0, 24, 1);
	if (SCENE_SANITIZED) {
		tap_skip("kept from reading it by its memory", "AddressSanitizer takes more than these limits leave");
	} else {
		starve("its address space", RLIMIT_AS, 2048 * KIB, 5 * 1024 * KIB, 64 * KIB);
		starve("its data", RLIMIT_DATA, 0, 1024 * KIB, 32 * KIB);
		starve("its stack", RLIMIT_STACK, 0, 256 * KIB, 8 * KIB);
		starve_and_feed();
	}
	conf_set(CLOSED);
	answer = attach(&(struct helper_start){ .before_exec = mount_own });
	report(answer.type == HELPER_FAILED, "hidden by a mount of the attacker's", &answer);
	answer = attach(&(struct helper_start){ .before_exec = change_directory, .environment = environment });
	report(helper_answer_failed(&answer, HELPER_FAILURE_GROUP), "another directory and environment", &answer);
}

int main(int argc, char **argv)
{
	scene = scene_begin(argc, argv);
	if (!scene->root) {
		tap_skip("helper.conf", "only root can write it");
		return scene_end();
	}
	trust();
	errors();
	large();
	groups();
	pool();
	hide();
	conf_set(NULL);
	return scene_end();
}
