/* See helper_conf.h. */
#include "tests/attack/helper_conf.h"

#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_link.h"
#include "tests/attack/helper_scene.h"

#define TARGET "/etc/boundary/target"

enum { PLAIN = CONF_KINDS, NONE };

struct setting {
	int kind;
	char text[3072];
};

static void write_file(const char *path, const char *text, mode_t mode)
{
	_cleanup_fd_ int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (file < 0 || write(file, text, strlen(text)) < 0 || fchmod(file, mode) < 0)
		warn("%s", path);
}

static void set(const void *in, void *out)
{
	const struct setting *setting = in;
	const mode_t mode = setting->kind == CONF_OF_ALL       ? 0646
			    : setting->kind == CONF_OF_GROUP   ? 0664
			    : setting->kind == CONF_UNREADABLE ? 0600
							       : 0644;
	(void)out;
	mkdir("/etc/boundary", 0755);
	if (unlink(HELPER_CONFIG_PATH) < 0)
		rmdir(HELPER_CONFIG_PATH);
	unlink(TARGET);
	if (setting->kind == CONF_FIFO) {
		mkfifo(HELPER_CONFIG_PATH, 0644);
	} else if (setting->kind == CONF_DEVICE) {
		mknod(HELPER_CONFIG_PATH, S_IFCHR | 0644, makedev(1, 5)); /* /dev/zero: it has no end */
	} else if (setting->kind == CONF_DIRECTORY) {
		mkdir(HELPER_CONFIG_PATH, 0755);
	} else if (setting->kind == CONF_SYMLINK) {
		write_file(TARGET, setting->text, mode);
		(void)!chown(TARGET, SCENE_ATTACKER, SCENE_ATTACKER);
		(void)!symlink(TARGET, HELPER_CONFIG_PATH);
	} else if (setting->kind != NONE) {
		write_file(HELPER_CONFIG_PATH, setting->text, mode);
		if (setting->kind == CONF_OF_ATTACKER)
			(void)!chown(HELPER_CONFIG_PATH, SCENE_ATTACKER, SCENE_ATTACKER);
	}
}

static void set_kind(int kind, const char *text)
{
	struct setting setting = { .kind = kind };
	char done;

	snprintf(setting.text, sizeof(setting.text), "%s", text ? text : "");
	if (!scene_as_root(set, &setting, sizeof(setting), &done, sizeof(done)))
		errx(2, "the configuration cannot be written");
}

void conf_set(const char *text)
{
	set_kind(text ? PLAIN : NONE, text);
}

void conf_set_odd(enum conf_kind kind, const char *text)
{
	set_kind((int)kind, text);
}

/* Sessions ----------------------------------------------------------------------------------------------------- */

struct wish {
	uid_t user;
	unsigned int n;
};

static void ask_as(const struct wish *wish, int result)
{
	struct conf_sessions got = { 0 };
	struct helper_jail jails[SCENE_JAILS];
	struct helper_peer peers[SCENE_JAILS];
	unsigned int asked;

	if (wish->user != 0)
		helper_become(wish->user);
	for (unsigned int i = 0; i < wish->n; i++)
		jails[i] = helper_jail_plain();
	for (asked = 0; asked < wish->n && got.n == asked; asked++) {
		peers[asked] = helper_start(scene_get()->helper, NULL);
		got.last = helper_ask(&peers[asked], HELPER_ATTACH, jails[asked].netns);
		if (got.last.type != (HELPER_ATTACH | HELPER_REPLY))
			continue;
		got.n++;
		/* Only one that serves waits for the others, however long they take. */
		helper_ask(&peers[asked], HELPER_REDIRECT, -1);
	}
	for (unsigned int i = 0; i < asked; i++)
		close_fd(&peers[i].socket);
	for (unsigned int i = 0; i < asked; i++)
		helper_ended(&peers[i], HELPER_SOON_MS);
	for (unsigned int i = 0; i < wish->n; i++)
		helper_jail_end(&jails[i]);
	wire_send(result, 1, &got, sizeof(got), NULL, 0);
	_exit(0);
}

static void ask(const void *in, void *out)
{
	static struct wire_message message;
	int pair[2];
	pid_t pid;

	if (wire_pair(pair) < 0)
		return;
	pid = fork();
	if (pid == 0)
		ask_as(in, pair[1]);
	close(pair[1]);
	if (wire_receive(pair[0], &message, 0, HELPER_SOON_MS) == 0)
		memcpy(out, message.payload, sizeof(struct conf_sessions));
	close(pair[0]);
	waitpid(pid, NULL, 0);
}

struct conf_sessions conf_sessions_of(uid_t user, unsigned int n)
{
	const struct wish wish = { user, n < SCENE_JAILS ? n : SCENE_JAILS };
	struct conf_sessions got = { 0 };

	scene_as_root(ask, &wish, sizeof(wish), &got, sizeof(got));
	return got;
}

/* Addresses ---------------------------------------------------------------------------------------------------- */

struct change {
	uint32_t address;
	int there;
};

static void change_address(const void *in, void *out)
{
	const struct change *change = in;
	const struct {
		struct nlmsghdr header;
		struct ifaddrmsg link;
		struct rtattr attribute;
		uint32_t address;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = change->there ? RTM_NEWADDR : RTM_DELADDR,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | (change->there ? NLM_F_CREATE : 0) },
		.link = { .ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = if_nametoindex("lo") },
		.attribute = { RTA_LENGTH(sizeof(uint32_t)), IFA_LOCAL },
		.address = htonl(change->address),
	};
	_cleanup_fd_ int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	(void)out;
	if (link_ask(netlink, &request, NULL, NULL) < 0)
		warnx("the address of lo cannot be changed");
}

void conf_address(uint32_t address, int there)
{
	const struct change change = { address, there };
	char done;

	scene_as_root(change_address, &change, sizeof(change), &done, sizeof(done));
}
