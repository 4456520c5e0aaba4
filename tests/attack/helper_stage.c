/* See helper_stage.h. */
#include "tests/attack/helper_stage.h"

#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_jail.h"
#include "tests/attack/helper_peer.h"

static int root = -1; /* a socket to the process that stays it */

/* An order to it, and what comes back, are messages: what they carry comes after this, or alone. */
struct order {
	void (*act)(const void *in, void *out);
	size_t out_size;
	_Alignas(8) unsigned char in[4096];
};
_Static_assert(sizeof(struct order) <= WIRE_PAYLOAD_MAX, "one packet");

/* What the loader and the C library look for there. */
static const char *const etc[] = { "/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf" };

static void copy(int from, const char *path)
{
	_cleanup_fd_ int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct stat info;

	if (to < 0 || fstat(from, &info) < 0 || sendfile(to, from, NULL, (size_t)info.st_size) != info.st_size)
		err(2, "%s", path);
}

static const char *const devices[] = { "/dev/fuse", "/dev/net/tun" };

void stage_device_name(const char *path, char *ret, size_t size)
{
	snprintf(ret, size, "/etc%s", strrchr(path, '/'));
}

/* Nothing is made of one that is missing, or where nodes cannot be made. */
static void copy_device(const char *path)
{
	struct stat info;
	char name[256];

	stage_device_name(path, name, sizeof(name));
	if (stat(path, &info) == 0 && mknod(name, S_IFCHR | 0600, info.st_rdev) == 0)
		chmod(name, 0666);
}

void stage_enter(void)
{
	int files[array_size(etc)];

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		err(2, "unshare");
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		err(2, "making mounts private");
	for (size_t i = 0; i < array_size(etc); i++)
		files[i] = open(etc[i], O_RDONLY | O_CLOEXEC);
	if (mount("tmpfs", "/etc", "tmpfs", MS_NOSUID, "mode=0755") < 0)
		err(2, "tmpfs");
	umask(022);
	for (size_t i = 0; i < array_size(etc); i++) {
		if (files[i] >= 0)
			copy(files[i], etc[i]);
		close_fd(&files[i]);
	}
	for (size_t i = 0; i < array_size(devices); i++)
		copy_device(devices[i]);
}

/* Root --------------------------------------------------------------------------------------------------------- */

static void stay_root(int control)
{
	static struct wire_message message;
	static _Alignas(8) unsigned char out[WIRE_PAYLOAD_MAX];
	struct order order;

	while (wire_receive(control, &message, 0, -1) == 0) {
		memcpy(&order, message.payload, sizeof(order));
		memset(out, 0, order.out_size);
		order.act(order.in, out);
		wire_send(control, 1, out, order.out_size, NULL, 0);
	}
	_exit(0);
}

void stage_keep_root(void)
{
	int pair[2];
	pid_t pid;

	if (wire_pair(pair) < 0)
		err(2, "socketpair");
	pid = fork();
	if (pid < 0)
		err(2, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		stay_root(pair[1]);
	}
	close(pair[1]);
	root = pair[0];
}

bool stage_as_root(void (*act)(const void *in, void *out), const void *in, size_t in_size, void *out, size_t out_size)
{
	static struct wire_message message;
	struct order order = { .act = act, .out_size = out_size };

	if (in_size > sizeof(order.in) || out_size > WIRE_PAYLOAD_MAX)
		return false;
	if (in_size > 0)
		memcpy(order.in, in, in_size);
	if (wire_send(root, 1, &order, sizeof(order), NULL, 0) < 0 ||
	    wire_receive(root, &message, 0, HELPER_SOON_MS) < 0 || message.length != out_size)
		return false;
	if (out_size > 0)
		memcpy(out, message.payload, out_size);
	return true;
}

/* Bystanders --------------------------------------------------------------------------------------------------- */

static void stand_by(const char *helper, uid_t user, int control)
{
	struct helper_jail jail;
	struct helper_peer peer;
	char byte = 0;

	if (user != 0)
		helper_become(user);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	jail = helper_jail_plain();
	peer = helper_start(helper, NULL);
	if (helper_ask(&peer, HELPER_ATTACH, jail.netns).type != (HELPER_ATTACH | HELPER_REPLY) ||
	    helper_ask(&peer, HELPER_REDIRECT, -1).type != (HELPER_REDIRECT | HELPER_REPLY))
		_exit(EXIT_FAILURE);
	send(control, &byte, 1, 0);
	if (recv(control, &byte, 1, 0) != 1 ||
	    helper_ask(&peer, HELPER_DETACH, -1).type != (HELPER_DETACH | HELPER_REPLY) ||
	    helper_ended(&peer, HELPER_SOON_MS) != 0)
		_exit(EXIT_FAILURE);
	helper_jail_end(&jail);
	_exit(EXIT_SUCCESS);
}

struct stage_bystander stage_bystander_new(const char *helper, uid_t user)
{
	struct stage_bystander bystander;
	int pair[2];
	char byte;

	if (wire_pair(pair) < 0)
		err(2, "socketpair");
	bystander.pid = fork();
	if (bystander.pid < 0)
		err(2, "fork");
	if (bystander.pid == 0) {
		close(pair[0]);
		stand_by(helper, user, pair[1]);
	}
	close(pair[1]);
	bystander.control = pair[0];
	if (recv(bystander.control, &byte, 1, 0) != 1)
		errx(2, "no session could be had for a bystander: is %s installed with its capability?", helper);
	return bystander;
}

bool stage_bystander_end(struct stage_bystander *bystander)
{
	int status = -1;
	char byte = 0;

	send(bystander->control, &byte, 1, MSG_NOSIGNAL);
	waitpid(bystander->pid, &status, 0);
	close_fd(&bystander->control);
	return status == 0;
}
