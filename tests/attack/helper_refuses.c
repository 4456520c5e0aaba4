/*
 * helper_refuses HELPER [PID]: another user of the machine against the helper. PID is a process in the jail of somebody
 * else. Started as root it makes its victims itself and becomes a user who owns nothing.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "shared/wire.h"
#include "tests/attack/helper_peer.h"
#include "tests/attack/tap.h"

#define ATTACKER 64901
#define VICTIM 64902

/* More than a refusal takes, less than its silence is allowed to last. */
#define SOON_MS 3000

static const char *helper;
static const char payload[WIRE_PAYLOAD_MAX + 4096];

/* The helper's answer must be this failure, its end come at once, and with exit code 1. */
static void check_refused(struct helper_peer *peer, const char *what, int failure, int timeout_ms)
{
	struct helper_answer answer = helper_hear(peer, timeout_ms);
	int status = helper_ended(peer, SOON_MS);
	bool right = answer.type == HELPER_FAILED && answer.size == sizeof(answer.failed) &&
		     answer.failed.failure == (uint32_t)failure;

	tap_check(right && status == 1 << 8, what, "answer %d, failure %u (errno %d), wanted %d; status %#x",
		  answer.type, answer.failed.failure, answer.failed.code, failure, (unsigned int)status);
}

/* … and nothing of the session remains. */
static void check_gone(const struct helper_answer *session, const char *what)
{
	char name[IFNAMSIZ];

	tap_check(!if_indextoname(session->attached.host_ifindex, name), what, "interface %s is left", name);
}

/* First messages ----------------------------------------------------------------------------------------------- */

static void refuse_first(const char *what, int failure, const struct helper_packet *packet)
{
	struct helper_peer peer = helper_start(helper, NULL);
	int r = helper_say(&peer, packet);

	if (r < 0)
		tap_note("%s: %s", what, strerror(-r));
	check_refused(&peer, what, failure, SOON_MS);
}

static void first_packets(int netns)
{
	const int many[] = { netns, netns, netns, netns, netns, netns, netns, netns, netns,
			     netns, netns, netns, netns, netns, netns, netns, netns };
	static const uint16_t types[] = { 0, 4, 0x80, 0x81, 0xff, 0x101, 0xffff };
	char what[64];

	refuse_first("no descriptor", HELPER_FAILURE_PROTOCOL, &(struct helper_packet){ .type = HELPER_ATTACH });
	for (size_t n = 2; n <= array_size(many); n += 15) {
		snprintf(what, sizeof(what), "%zu descriptors", n);
		refuse_first(what, HELPER_FAILURE_PROTOCOL,
			     &(struct helper_packet){ .type = HELPER_ATTACH, .fds = many, .n_fds = n });
	}
	for (size_t size = 1; size < sizeof(payload); size += size + 31) {
		snprintf(what, sizeof(what), "ATTACH with %zu octets of payload", size);
		refuse_first(
			what, HELPER_FAILURE_PROTOCOL,
			&(struct helper_packet){
				.type = HELPER_ATTACH, .payload = payload, .size = size, .fds = &netns, .n_fds = 1 });
	}
	refuse_first("packet larger than any", HELPER_FAILURE_PROTOCOL,
		     &(struct helper_packet){ .type = HELPER_ATTACH,
					      .payload = payload,
					      .size = sizeof(payload),
					      .fds = &netns,
					      .n_fds = 1 });
	for (size_t i = 0; i < array_size(types); i++) {
		snprintf(what, sizeof(what), "unknown type %#x", types[i]);
		refuse_first(what, HELPER_FAILURE_PROTOCOL,
			     &(struct helper_packet){ .type = types[i], .fds = &netns, .n_fds = 1 });
	}
	refuse_first("REDIRECT first", HELPER_FAILURE_PROTOCOL,
		     &(struct helper_packet){ .type = HELPER_REDIRECT, .payload = "\1\1\1\1", .size = 4 });
	refuse_first("DETACH first", HELPER_FAILURE_PROTOCOL, &(struct helper_packet){ .type = HELPER_DETACH });
}

static void wrong_headers(int netns)
{
	struct helper_packet right = { .type = HELPER_ATTACH, .fds = &netns, .n_fds = 1 }, packet = right;
	char what[64];

	packet.magic = WIRE_MAGIC ^ 0x20;
	refuse_first("wrong magic", HELPER_FAILURE_PROTOCOL, &packet);
	packet = right;
	packet.version = WIRE_VERSION + 1;
	refuse_first("wrong version", HELPER_FAILURE_PROTOCOL, &packet);
	packet = right;
	packet.surplus_length = 1;
	refuse_first("length beyond the packet", HELPER_FAILURE_PROTOCOL, &packet);
	packet.surplus_length = UINT32_MAX - 11;
	refuse_first("length that overflows", HELPER_FAILURE_PROTOCOL, &packet);
	packet = right;
	packet.payload = payload;
	packet.size = 8;
	packet.surplus_length = (uint32_t)-8;
	refuse_first("length short of the packet", HELPER_FAILURE_PROTOCOL, &packet);
	packet = right;
	for (packet.cut = 1; packet.cut < sizeof(struct wire_header); packet.cut += 5) {
		snprintf(what, sizeof(what), "packet that lacks %zu octets of its header", packet.cut);
		refuse_first(what, HELPER_FAILURE_PROTOCOL, &packet);
	}
}

/* A packet without octets cannot be told from the end of file: the helper ends, having done nothing. */
static void empty_packet(int netns)
{
	struct helper_peer peer = helper_start(helper, NULL);
	int status;

	helper_say(&peer, &(struct helper_packet){ .cut = sizeof(struct wire_header) });
	status = helper_ended(&peer, SOON_MS);
	tap_check(status == 0, "empty packet ends it", "status %#x", (unsigned int)status);

	peer = helper_start(helper, NULL);
	helper_say(&peer, &(struct helper_packet){ .cut = sizeof(struct wire_header), .fds = &netns, .n_fds = 1 });
	check_refused(&peer, "descriptor in an empty packet", HELPER_FAILURE_PROTOCOL, SOON_MS);
}

/* Descriptors -------------------------------------------------------------------------------------------------- */

static void refuse_descriptor(const char *what, int failure, int fd)
{
	if (fd < 0) {
		tap_skip(what, strerror(errno));
		return;
	}
	refuse_first(what, failure, &(struct helper_packet){ .type = HELPER_ATTACH, .fds = &fd, .n_fds = 1 });
	close(fd);
}

static int open_read(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void no_namespaces(void)
{
	int pipe_ends[2];

	refuse_descriptor("regular file", HELPER_FAILURE_NOT_A_NETNS, open_read("/etc/passwd"));
	refuse_descriptor("directory of /proc", HELPER_FAILURE_NOT_A_NETNS, open_read("/proc/self/ns"));
	refuse_descriptor("device", HELPER_FAILURE_NOT_A_NETNS, open_read("/dev/null"));
	refuse_descriptor("memfd", HELPER_FAILURE_NOT_A_NETNS, memfd_create("net:[4026531840]", MFD_CLOEXEC));
	refuse_descriptor("socket", HELPER_FAILURE_NOT_A_NETNS, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	refuse_descriptor("user namespace", HELPER_FAILURE_NOT_A_NETNS, open_read("/proc/self/ns/user"));
	refuse_descriptor("mount namespace", HELPER_FAILURE_NOT_A_NETNS, open_read("/proc/self/ns/mnt"));
	refuse_descriptor("pid namespace", HELPER_FAILURE_NOT_A_NETNS, open_read("/proc/self/ns/pid"));
	refuse_descriptor("pidfd", HELPER_FAILURE_NOT_A_NETNS, (int)syscall(SYS_pidfd_open, getpid(), 0));
	refuse_descriptor("O_PATH descriptor of a network namespace", HELPER_FAILURE_NOT_A_NETNS,
			  open("/proc/self/ns/net", O_PATH | O_CLOEXEC));
	refuse_descriptor("symbolic link to a network namespace", HELPER_FAILURE_NOT_A_NETNS,
			  open("/proc/self/ns/net", O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (pipe2(pipe_ends, O_CLOEXEC) == 0) {
		refuse_descriptor("pipe", HELPER_FAILURE_NOT_A_NETNS, pipe_ends[0]);
		close(pipe_ends[1]);
	}
}

static void named_namespaces(void)
{
	glob_t found;

	if (glob("/run/netns/*", GLOB_NOSORT, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		refuse_descriptor("network namespace from /run/netns", HELPER_FAILURE_FOREIGN_NETNS,
				  open_read(found.gl_pathv[i]));
	globfree(&found);
}

/* Of root: `others`, made while we were it. */
static void foreign_namespaces(const char *pid, const struct helper_jail others[2])
{
	struct helper_jail nested = helper_jail_new(0, CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWNET);
	char path[64];

	refuse_descriptor("the host's network namespace", HELPER_FAILURE_FOREIGN_NETNS, open_read("/proc/self/ns/net"));
	refuse_descriptor("network namespace of a user namespace within another", HELPER_FAILURE_FOREIGN_NETNS,
			  dup(nested.netns));
	helper_jail_end(&nested);
	named_namespaces();
	if (pid) {
		snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
		refuse_descriptor("the jail of the process given, if it can be opened", HELPER_FAILURE_FOREIGN_NETNS,
				  open_read(path));
	}
	errno = EPERM; /* what the reason to skip these is, without root */
	refuse_descriptor("network namespace of another user's jail", HELPER_FAILURE_FOREIGN_NETNS, others[0].netns);
	refuse_descriptor("network namespace that root made", HELPER_FAILURE_FOREIGN_NETNS, others[1].netns);
}

/* Later messages ----------------------------------------------------------------------------------------------- */

static struct helper_answer to_attached(struct helper_peer *peer, const struct helper_jail *jail, const char *what)
{
	struct helper_answer answer;

	*peer = helper_start(helper, NULL);
	answer = helper_attach(peer, jail->netns);
	if (answer.type != (HELPER_ATTACH | HELPER_REPLY))
		tap_check(false, what, "no cable to attack: answer %d, failure %u, errno %d", answer.type,
			  answer.failed.failure, answer.failed.code);
	return answer;
}

static void refuse_later(const char *what, bool serving, const struct helper_packet *packet)
{
	struct helper_jail jail = helper_jail_new(0, 0, CLONE_NEWUSER | CLONE_NEWNET);
	struct helper_peer peer;
	struct helper_answer session = to_attached(&peer, &jail, what);

	if (serving && helper_redirect(&peer).type != (HELPER_REDIRECT | HELPER_REPLY))
		tap_check(false, what, "no redirect to attack");
	helper_say(&peer, packet);
	check_refused(&peer, what, HELPER_FAILURE_PROTOCOL, SOON_MS);
	check_gone(&session, what);
	helper_jail_end(&jail);
}

static void wrong_order(int netns)
{
	const struct helper_redirect ports = { 1, 1 }, no_tcp = { 0, 1 }, no_dns = { 1, 0 };
	struct helper_packet attach = { .type = HELPER_ATTACH, .fds = &netns, .n_fds = 1 };
	struct helper_packet redirect = { .type = HELPER_REDIRECT, .payload = &ports, .size = sizeof(ports) };
	struct helper_packet detach = { .type = HELPER_DETACH }, packet = redirect;

	refuse_later("second ATTACH", false, &attach);
	refuse_later("DETACH before REDIRECT", false, &detach);
	packet.payload = payload;
	packet.size = 3;
	refuse_later("REDIRECT too short", false, &packet);
	packet.size = 5;
	refuse_later("REDIRECT too long", false, &packet);
	packet = redirect;
	packet.fds = &netns;
	packet.n_fds = 1;
	refuse_later("REDIRECT with a descriptor", false, &packet);
	packet = redirect;
	packet.payload = &no_tcp;
	refuse_later("REDIRECT of TCP to port 0", false, &packet);
	packet.payload = &no_dns;
	refuse_later("REDIRECT of DNS to port 0", false, &packet);

	refuse_later("ATTACH while serving", true, &attach);
	refuse_later("second REDIRECT", true, &redirect);
	packet = detach;
	packet.payload = payload;
	packet.size = 1;
	refuse_later("DETACH with payload", true, &packet);
	packet = detach;
	packet.fds = &netns;
	packet.n_fds = 1;
	refuse_later("DETACH with a descriptor", true, &packet);
	refuse_later("unknown type while serving", true, &(struct helper_packet){ .type = 7 });
}

/* Circumstances ------------------------------------------------------------------------------------------------ */

static void no_new_privileges(int its_end)
{
	(void)its_end;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void own_user_namespace(int its_end)
{
	(void)its_end;
	helper_enter(CLONE_NEWUSER);
}

static void credentials_wanted(int its_end)
{
	int on = 1;

	setsockopt(its_end, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
}

/* Enough for the dynamic loader, and for the descriptor it is sent. */
static void few_descriptors(int its_end)
{
	(void)its_end;
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 5, 5 });
}

static void no_stdio(int its_end)
{
	(void)its_end;
	for (int fd = 0; fd <= 2; fd++)
		close(fd);
}

static void attach_after(const char *what, int failure, void (*before_exec)(int its_end), int netns)
{
	struct helper_peer peer = helper_start(helper, &(struct helper_start){ .before_exec = before_exec });

	helper_say(&peer, &(struct helper_packet){ .type = HELPER_ATTACH, .fds = &netns, .n_fds = 1 });
	check_refused(&peer, what, failure, SOON_MS);
}

static void hostile_start(int netns)
{
	attach_after("started with no_new_privs", HELPER_FAILURE_CAPABILITY, no_new_privileges, netns);
	attach_after("started in a user namespace of its own", HELPER_FAILURE_CAPABILITY, own_user_namespace, netns);
	attach_after("credentials with every packet", HELPER_FAILURE_PROTOCOL, credentials_wanted, netns);
	attach_after("no room for descriptors", HELPER_FAILURE_LINK, few_descriptors, netns);
}

/* What one session does to another, or to the next. */
static void neighbours(void)
{
	struct helper_jail first = helper_jail_new(0, 0, CLONE_NEWUSER | CLONE_NEWNET);
	struct helper_jail second = helper_jail_new(0, 0, CLONE_NEWUSER | CLONE_NEWNET);
	struct helper_peer a, b, again = helper_start(helper, NULL);
	struct helper_answer session = to_attached(&a, &first, "a session"), other, r = helper_redirect(&a);

	tap_check(r.type == (HELPER_REDIRECT | HELPER_REPLY), "a session can be had", "answer %d, errno %d", r.type,
		  r.failed.code);
	helper_say(&again, &(struct helper_packet){ .type = HELPER_ATTACH, .fds = &first.netns, .n_fds = 1 });
	check_refused(&again, "second cable into the same jail", HELPER_FAILURE_LINK, SOON_MS);

	tap_check(helper_jail_cut(&first) == 0, "cable deleted from inside", "it is not");
	for (int i = 0; i < 200 && if_indextoname(session.attached.host_ifindex, session.attached.host_interface); i++)
		poll(NULL, 0, 10);
	other = to_attached(&b, &second, "a session after another lost its cable");
	r = helper_redirect(&b);
	tap_check(r.type == (HELPER_REDIRECT | HELPER_REPLY), "a helper without a cable is in nobody's way",
		  "answer %d, errno %d", r.type, r.failed.code);
	helper_say(&a, &(struct helper_packet){ .type = HELPER_DETACH });
	r = helper_hear(&a, SOON_MS);
	tap_check(r.type == (HELPER_DETACH | HELPER_REPLY) && helper_ended(&a, SOON_MS) == 0,
		  "teardown without the cable", "answer %d, errno %d", r.type, r.failed.code);
	tap_check(if_nametoindex(other.attached.host_interface) == other.attached.host_ifindex,
		  "it took nothing that is another session's", "interface %s is gone", other.attached.host_interface);
	close_fd(&b.socket);
	tap_check(helper_ended(&b, SOON_MS) == 0, "teardown at the end of file", "it failed");
	check_gone(&other, "the end of file removes the cable");
	helper_jail_end(&first);
	helper_jail_end(&second);
}

/* A serving helper holds its capability: nobody may borrow it. */
static void its_memory(void)
{
	struct helper_jail jail = helper_jail_new(0, 0, CLONE_NEWUSER | CLONE_NEWNET);
	struct helper_start how = { .before_exec = no_stdio };
	struct helper_peer peer = helper_start(helper, &how);
	struct helper_answer session = helper_attach(&peer, jail.netns);
	int pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0), mem;
	struct iovec here = { (void *)&how, 8 }, there = { (void *)0x10000, 8 };
	bool stolen = false;
	char path[64];

	tap_check(session.type == (HELPER_ATTACH | HELPER_REPLY), "started without stdio", "answer %d", session.type);
	helper_redirect(&peer);
	tap_check(ptrace(PTRACE_SEIZE, peer.pid, 0, 0) < 0 && errno == EPERM, "ptrace", "%s", strerror(errno));
	snprintf(path, sizeof(path), "/proc/%d/mem", peer.pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	tap_check(mem < 0, "/proc/PID/mem", "it can be opened");
	tap_check(process_vm_readv(peer.pid, &here, 1, &there, 1, 0) < 0 && errno == EPERM, "process_vm_readv", "%s",
		  strerror(errno));
	for (int fd = 3; fd < 16; fd++)
		stolen |= syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0 || errno != EPERM;
	tap_check(!stolen, "its netlink sockets by pidfd_getfd", "%s", strerror(errno));
	close_fd(&peer.socket);
	helper_ended(&peer, SOON_MS);
	close_fd(&mem);
	close_fd(&pidfd);
	helper_jail_end(&jail);
}

/* With what is no socket, or no packet socket, as descriptor 3. */
static void by_hand(const char *what, int fd)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 2);
		if (fd < 0)
			close(3);
		else
			dup2(fd, 3);
		execl(helper, helper, "--interface=eth0", NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	tap_check(WIFEXITED(status) && WEXITSTATUS(status) == 125, what, "status %#x", (unsigned int)status);
}

/* Silence ------------------------------------------------------------------------------------------------------ */

/* Fills the queue to us, by our copy of the helper's end, so that it cannot answer. */
static void fill(const struct helper_peer *peer)
{
	static const char block[4096];

	while (send(peer->its_end, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		continue;
}

/* All at once: each takes its time. */
static void silence(void)
{
	struct helper_jail jail = helper_jail_new(0, 0, CLONE_NEWUSER | CLONE_NEWNET);
	struct helper_peer first = helper_start(helper, NULL), attached;
	struct helper_peer deaf = helper_start(helper, &(struct helper_start){ .keep_its_end = true });
	struct helper_answer session = to_attached(&attached, &jail, "a session to be silent in");
	int status;

	fill(&deaf);
	helper_say(&deaf, &(struct helper_packet){ .type = HELPER_DETACH });
	check_refused(&first, "silence from the start", HELPER_FAILURE_PROTOCOL, HELPER_REQUEST_TIMEOUT_MS + 1000);
	check_refused(&attached, "silence after ATTACH", HELPER_FAILURE_PROTOCOL, HELPER_REQUEST_TIMEOUT_MS + 1000);
	check_gone(&session, "silence after ATTACH");
	status = helper_ended(&deaf, 3 * HELPER_REQUEST_TIMEOUT_MS + 1000);
	tap_check(status != -1, "a peer that lets it not answer", "it still runs");
	helper_jail_end(&jail);
}

int main(int argc, char **argv)
{
	struct helper_jail others[2] = { { .netns = -1 }, { .netns = -1 } }, own;
	int stream[2];

	if (argc < 2)
		errx(2, "usage: helper_refuses HELPER [PID]");
	helper = argv[1];
	signal(SIGPIPE, SIG_IGN);
	if (geteuid() == 0) {
		others[1] = helper_jail_new(0, 0, CLONE_NEWNET);
		others[0] = helper_jail_new(VICTIM, 0, CLONE_NEWUSER | CLONE_NEWNET);
		helper_become(ATTACKER);
	}
	own = helper_jail_new(0, 0, CLONE_NEWUSER | CLONE_NEWNET);
	first_packets(own.netns);
	wrong_headers(own.netns);
	empty_packet(own.netns);
	no_namespaces();
	foreign_namespaces(argc > 2 ? argv[2] : NULL, others);
	wrong_order(own.netns);
	hostile_start(own.netns);
	neighbours();
	its_memory();
	by_hand("started by hand", -1);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) == 0)
		by_hand("stream socket as descriptor 3", stream[0]);
	by_hand("file as descriptor 3", open_read("/etc/passwd"));
	silence();
	return tap_end();
}
