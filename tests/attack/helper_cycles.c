/*
 * helper_cycles HELPER [PID]: sessions by the thousand, ended in every way there is, and the host as it was before: its
 * interfaces, their settings, its tables, our processes and descriptors. The cable of a session that was detached goes
 * with the jail's network namespace alone: that none is left says that none of those is.
 */
#include <dirent.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_scene.h"

#define CYCLES 10000
#define CYCLES_FEW 320
#define HOSTS 2

enum way { END_OF_FILE, DETACH, DETACH_AND_DESTROY, ONLY_ATTACHED, KILLED, WAYS };

static const struct scene *scene;

struct objects {
	size_t interfaces, settings, descriptors;
};

static size_t entries(const char *path)
{
	DIR *directory = opendir(path);
	size_t n = 0;

	while (directory && readdir(directory))
		n++;
	if (directory)
		closedir(directory);
	return n;
}

static struct objects count_objects(void)
{
	struct if_nameindex *all = if_nameindex();
	struct objects objects = { .settings = entries("/proc/sys/net/ipv4/conf"),
				   .descriptors = entries("/proc/self/fd") };

	for (struct if_nameindex *i = all; i && i->if_index != 0; i++)
		objects.interfaces++;
	if_freenameindex(all);
	return objects;
}

/* One session in each of the scene's jails. Returns how many were not what they should be. */
static size_t cycle(enum way way)
{
	struct session sessions[SCENE_JAILS];
	size_t bad = 0;

	/* What is left of killed helpers has the lowest indices: those that the next sessions get. */
	if (way == KILLED)
		scene_links_settled();
	sessions_open("a cycle", sessions, SCENE_JAILS, way == ONLY_ATTACHED ? SESSION_ATTACHED : SESSION_SERVING,
		      NULL);
	for (size_t i = 0; i < SCENE_JAILS; i++) {
		const struct helper_packet detach = helper_request(HELPER_DETACH, NULL);

		bad += !sessions[i].ready;
		if (way == DETACH || way == DETACH_AND_DESTROY)
			helper_say(&sessions[i].peer, &detach);
		else if (way == KILLED)
			kill(sessions[i].peer.pid, SIGKILL);
		else
			close_fd(&sessions[i].peer.socket);
	}
	for (size_t i = 0; i < SCENE_JAILS; i++) {
		int status = helper_ended(&sessions[i].peer, HELPER_SOON_MS);

		if (status == (way == KILLED ? SIGKILL : 0))
			continue;
		bad++;
		tap_note("status %#x", (unsigned int)status);
	}
	if (way == DETACH_AND_DESTROY || way == KILLED) {
		for (size_t i = 0; i < SCENE_JAILS; i++) {
			helper_jail_end(sessions[i].jail);
			*sessions[i].jail = helper_jail_plain();
			scene_adopt(sessions[i].jail->pid);
		}
	} else {
		sessions_empty(sessions, SCENE_JAILS);
	}
	if (way == KILLED)
		scene_links_settled();
	return bad;
}

/* So many sessions in every way, most of them in that of boundary-launch. */
static void cycles(size_t wanted)
{
	/* Of 16 rounds; what was killed is replaced and removed by the next. */
	static const enum way order[] = { DETACH_AND_DESTROY, END_OF_FILE, DETACH_AND_DESTROY, DETACH,
					  DETACH_AND_DESTROY, KILLED,      DETACH_AND_DESTROY, DETACH_AND_DESTROY,
					  DETACH_AND_DESTROY, DETACH,      DETACH_AND_DESTROY, ONLY_ATTACHED,
					  DETACH_AND_DESTROY, KILLED,      DETACH_AND_DESTROY, END_OF_FILE };
	struct objects before = count_objects(), after;
	size_t bad = 0, done = 0;
	char title[96];

	for (size_t round = 0; done < wanted; round++, done += SCENE_JAILS)
		bad += cycle(order[round % array_size(order)]);
	sessions_heal(SCENE_JAILS);
	snprintf(title, sizeof(title), "%zu sessions, 16 at once: each was what it should be, nothing is left", done);
	scene_check(bad == 0, title, "%zu were not", bad);
	after = count_objects();
	tap_check(memcmp(&before, &after, sizeof(before)) == 0,
		  "interfaces, their settings and our descriptors as before", "%zu, %zu, %zu; before %zu, %zu, %zu",
		  after.interfaces, after.settings, after.descriptors, before.interfaces, before.settings,
		  before.descriptors);
}

/*
 * What takes time is the kernel's waiting, once for each change of the tables of a network namespace, one change after
 * the other. As root, who sets a scene of his own, more processes do the same beside this one, each on another host; of
 * their reports the end must be right.
 */
struct other {
	pid_t pid;
	int report;
};

/* Returns true in the new process. */
static bool fork_other(struct other *ret)
{
	ret->report = memfd_create("report", MFD_CLOEXEC);
	ret->pid = fork();
	if (ret->pid != 0)
		return false;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(ret->report, STDOUT_FILENO);
	return true;
}

static void report_other(const struct other *other)
{
	char text[1024];
	off_t size;
	ssize_t length;
	int status = -1;

	waitpid(other->pid, &status, 0);
	size = lseek(other->report, 0, SEEK_END);
	length = pread(other->report, text, sizeof(text) - 1,
		       size > (off_t)sizeof(text) ? size - (off_t)sizeof(text) + 1 : 0);
	text[length > 0 ? length : 0] = '\0';
	tap_check(status == 0, "as many at the same time on another host", "%s", text);
}

int main(int argc, char **argv)
{
	size_t wanted = (size_t)scene_rounds(CYCLES_FEW, CYCLES / HOSTS), n = 0;
	struct other others[HOSTS - 1];

	while (wanted != CYCLES_FEW && n < array_size(others))
		if (fork_other(&others[n++])) {
			n = 0;
			break;
		}
	scene = scene_begin(argc, argv);
	cycles(wanted);
	for (size_t i = 0; i < n; i++)
		report_other(&others[i]);
	return scene_end();
}
