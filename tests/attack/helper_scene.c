/* See helper_scene.h. */
#include "tests/attack/helper_scene.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_link.h"
#include "tests/attack/helper_stage.h"
#include "tests/attack/helper_tables.h"

/* Network namespaces go when the kernel finds time. Where something stayed, it is not waited for that long again. */
static int settle_ms = 30000;
#define SETTLE_AGAIN_MS 1000

#define CHILDREN_MAX 256

/* What Boundary has on the host. */
struct host {
	char links[4096];
	char tables[8192]; /* empty if nobody is root */
};

static struct scene scene = { .netns_of_machine = -1, .netns_of_root = -1, .netns_of_victim = -1 };
static struct host before;
static int changes = -1; /* a netlink socket that hears of interfaces */
static pid_t own[CHILDREN_MAX];
static size_t n_own;
static struct stage_bystander bystanders[2];
static size_t n_bystanders;

static int now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int)(now.tv_sec % 1000000 * 1000 + now.tv_nsec / 1000000);
}

/* Our processes ------------------------------------------------------------------------------------------------ */

/* Zombies included (proc(5), CONFIG_PROC_CHILDREN). Returns how many there are in `ret`. */
static size_t children(pid_t ret[CHILDREN_MAX])
{
	_cleanup_file_ FILE *file = fopen("/proc/thread-self/children", "re");
	size_t n = 0;

	while (file && n < CHILDREN_MAX && fscanf(file, "%d", &ret[n]) == 1)
		n++;
	return n;
}

static bool is_own(pid_t pid)
{
	for (size_t i = 0; i < n_own; i++)
		if (own[i] == pid)
			return true;
	return false;
}

void scene_adopt(pid_t pid)
{
	for (size_t i = 0; i < n_own; i++) {
		if (kill(own[i], 0) < 0 && errno == ESRCH) {
			own[i] = pid;
			return;
		}
	}
	if (n_own < array_size(own))
		own[n_own++] = pid;
}

size_t scene_reap(void)
{
	int end = now_ms() + settle_ms;
	pid_t now[CHILDREN_MAX];
	size_t n = children(now), left = 0;

	for (size_t i = 0; i < n; i++) {
		struct pollfd wait = { .events = POLLIN };

		if (is_own(now[i]))
			continue;
		wait.fd = (int)syscall(SYS_pidfd_open, now[i], 0);
		if (wait.fd >= 0 && poll(&wait, 1, end - now_ms() > 0 ? end - now_ms() : 0) == 0) {
			left++;
			kill(now[i], SIGKILL);
		}
		close_fd(&wait.fd);
		waitpid(now[i], NULL, 0);
	}
	return left;
}

/* The host ----------------------------------------------------------------------------------------------------- */

static void list_tables(const void *in, void *out)
{
	(void)in;
	if (tables_list(out, sizeof(before.tables)) < 0)
		strcpy(out, "unknown");
}

static void look(struct host *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (link_list(ret->links, sizeof(ret->links)) < 0)
		strcpy(ret->links, "unknown");
	if (scene.root && !scene_as_root(list_tables, NULL, 0, ret->tables, sizeof(ret->tables)))
		strcpy(ret->tables, "unknown");
}

static bool same(const struct host *a, const struct host *b)
{
	return strcmp(a->links, b->links) == 0 && strcmp(a->tables, b->tables) == 0;
}

/* Forgets the changes so far: what is looked at afterwards is newer. */
static void drain_changes(void)
{
	char message[8192];

	while (recv(changes, message, sizeof(message), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
		continue;
}

/* Waits until the host is as it was before. Returns false with what it is, if it does not become so. */
static bool settled(struct host *now, bool tables, int end)
{
	for (;;) {
		/* Nobody tells of tables: those go with a process, or the interface. */
		struct pollfd wait = { .fd = changes, .events = POLLIN };

		drain_changes();
		look(now);
		if (tables ? same(&before, now) : strcmp(before.links, now->links) == 0)
			return true;
		if (now_ms() > end)
			return false;
		poll(&wait, 1, 100);
	}
}

bool scene_links_settled(void)
{
	static struct host now;

	return settled(&now, false, now_ms() + settle_ms);
}

const char *scene_left(void)
{
	static char text[sizeof(struct host) * 2 + 256];
	static struct host now;
	int end = now_ms() + settle_ms;
	size_t strays = scene_reap();

	if (settled(&now, true, end) && strays == 0)
		return "";
	snprintf(text, sizeof(text), "%zu processes; now %s %s; before %s %s", strays, now.links, now.tables,
		 before.links, before.tables);
	settle_ms = SETTLE_AGAIN_MS;
	/* It is not to count against the next attack, nor is its disappearance. */
	for (size_t i = 0; i < SCENE_JAILS; i++)
		helper_jail_do(&scene.jails[i], JAIL_EMPTY);
	sessions_heal(SCENE_JAILS);
	look(&before);
	return text;
}

void scene_check(bool held, const char *what, const char *format, ...)
{
	const char *left = scene_left();
	char detail[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(detail, sizeof(detail), format, arguments);
	va_end(arguments);
	if (*left)
		tap_check(false, what, "%s; left: %s", held ? "refused" : detail, left);
	else
		tap_check(held, what, "%s", detail);
}

/* Beginning and end -------------------------------------------------------------------------------------------- */

bool scene_as_root(scene_act *act, const void *in, size_t in_size, void *out, size_t out_size)
{
	return scene.root && stage_as_root(act, in, in_size, out, out_size);
}

int scene_device(const char *path)
{
	char copy[256];

	stage_device_name(path, copy, sizeof(copy));
	return open(scene.root && access(copy, R_OK) == 0 ? copy : path, O_RDWR | O_CLOEXEC);
}

static void add_bystander(uid_t user)
{
	bystanders[n_bystanders++] = stage_bystander_new(scene.helper, user);
}

static void begin_as_root(void)
{
	scene.netns_of_machine = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	stage_enter();
	scene.root = true;
	scene.netns_of_root = helper_jail_new(0, 0, CLONE_NEWNET).netns;
	scene.netns_of_victim = helper_jail_new(SCENE_VICTIM, 0, CLONE_NEWUSER | CLONE_NEWNET).netns;
	add_bystander(SCENE_VICTIM);
	stage_keep_root();
	helper_become(SCENE_ATTACKER);
}

struct scene *scene_begin(int argc, char **argv)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };

	if (argc < 2)
		errx(2, "usage: %s HELPER [PID]", argv[0]);
	scene.helper = argv[1];
	scene.pid = argv[2];
	signal(SIGPIPE, SIG_IGN);
	(void)scene_rounds(0, 1); /* while we are who started us */
	if (geteuid() == 0)
		begin_as_root();
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		err(2, "PR_SET_CHILD_SUBREAPER");
	add_bystander(0);
	for (size_t i = 0; i < SCENE_JAILS; i++)
		scene.jails[i] = helper_jail_plain();
	changes = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (changes < 0 || bind(changes, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(2, "rtnetlink");
	n_own = children(own);
	if (n_own == 0)
		tap_skip("no process is left", "this kernel does not tell children (CONFIG_PROC_CHILDREN)");
	look(&before);
	tap_check(strstr(before.links, " up boundary") != NULL, "the bystanders' interfaces can be seen", "%s",
		  before.links);
	if (scene.root)
		tap_check(strstr(before.tables, "boundary_guard_") != NULL, "the bystanders' tables can be seen", "%s",
			  before.tables);
	else
		tap_note("tables of nf_tables are not looked at after each attack: only root sees them");
	return &scene;
}

int scene_rounds(int few, int many)
{
	static int thorough = -1;

	if (thorough < 0)
		thorough = geteuid() == 0 && !SCENE_SANITIZED && !getenv("BOUNDARY_ATTACK_FEW");
	return thorough ? many : few;
}

struct scene *scene_get(void)
{
	return &scene;
}

int scene_end(void)
{
	for (size_t i = 0; i < SCENE_JAILS; i++)
		helper_jail_end(&scene.jails[i]);
	for (size_t i = 0; i < n_bystanders; i++)
		tap_check(stage_bystander_end(&bystanders[i]),
			  i + 1 == n_bystanders ? "the session of the attacker's that stood by ends as it should"
						: "another user's session that stood by ends as it should",
			  "it does not");
	return tap_end();
}
