/*
 * helper_exec HELPER [PID]: what the helper inherits from whoever executes it: descriptors, arguments, environment,
 * signals, timers, and what else a process keeps across execve(2). It serves a session all the same, or does nothing.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "tests/attack/helper_scene.h"

/* An alarm that a helper must survive: not to come before it is under way, on a machine that is busy. */
#define ALARM_SECONDS 5
#define ALARM_MS (ALARM_SECONDS * 1000 + 200)

static const struct scene *scene;

/* One session, from ATTACH to DETACH; what the helper printed. */
struct result {
	int last; /* type of the last right answer */
	struct helper_answer answer;
	int status;
	char output[256];
};

static int output = -1;
static void (*prepare)(void);

static void print_to_output(void)
{
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	if (prepare)
		prepare();
}

static void run(struct result *ret, const struct helper_start *how)
{
	struct helper_start printing = *how;
	const struct helper_jail *jail = &scene->jails[0];
	struct helper_peer peer;
	ssize_t length;

	*ret = (struct result){ 0 };
	prepare = how->before_exec;
	printing.before_exec = print_to_output;
	output = memfd_create("output", MFD_CLOEXEC);
	peer = helper_start(scene->helper, &printing);
	for (int type = HELPER_ATTACH; type <= HELPER_DETACH; type++) {
		ret->answer = helper_ask(&peer, (enum helper_message)type, jail->netns);
		if (ret->answer.type != (type | HELPER_REPLY))
			break;
		ret->last = type;
	}
	close_fd(&peer.socket);
	ret->status = helper_ended(&peer, HELPER_SOON_MS);
	helper_jail_do(jail, JAIL_EMPTY);
	length = pread(output, ret->output, sizeof(ret->output) - 1, 0);
	ret->output[length > 0 ? length : 0] = '\0';
	close_fd(&output);
}

static void report(bool held, const char *what, const struct result *result)
{
	scene_check(held, what, "last answer %d; then %d, failure %u (errno %d), status %#x; \"%s\"", result->last,
		    result->answer.type, result->answer.failed.failure, result->answer.failed.code,
		    (unsigned int)result->status, result->output);
}

/* It serves the session as if nothing was, and prints nothing. */
static void serves(const char *what, const struct helper_start *how)
{
	struct result result;

	run(&result, how);
	report(result.last == HELPER_DETACH && result.status == 0 && result.output[0] == '\0', what, &result);
}

static void serves_after(const char *what, void (*before_exec)(void))
{
	serves(what, &(struct helper_start){ .before_exec = before_exec });
}

/* It refuses the first request, with this failure. */
static void refuses_after(const char *what, enum helper_failure failure, void (*before_exec)(void))
{
	struct result result;

	run(&result, &(struct helper_start){ .before_exec = before_exec });
	report(result.last == 0 && helper_answer_failed(&result.answer, failure) && result.status == 1 << 8, what,
	       &result);
}

/* Descriptors -------------------------------------------------------------------------------------------------- */

static int closed; /* bit 1 << descriptor */

static void close_stdio(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (closed & 1 << fd)
			close(fd);
}

static void leave_many_open(void)
{
	for (int i = 0; i < 1000; i++)
		(void)!dup(scene->jails[i % SCENE_JAILS].netns);
}

/* What another process has open, which root alone sees: descriptors of /dev/null among 0 to 2, and how many there are.
 */
struct descriptors {
	int null;
	int count;
};

static void list_descriptors(const void *in, void *out)
{
	const pid_t pid = *(const pid_t *)in;
	struct descriptors *found = out;

	for (int fd = 0; fd < 1024; fd++) {
		char path[64], target[64] = "";

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		if (readlink(path, target, sizeof(target) - 1) < 0)
			continue;
		found->count++;
		if (fd <= 2 && (strcmp(target, "/dev/null") == 0 || strcmp(target, "/dev/full") == 0))
			found->null |= 1 << fd;
	}
}

/* 0 to 2, the conversation, two sockets of netlink and a pair; and, until it has answered, what it was sent. */
#define OWN_MAX 9

/* In every state: what it opens must not land on a closed one of the first three, nor what it inherits stay. */
static void descriptors(const char *what, int null, void (*before_exec)(void))
{
	const struct helper_start how = { .before_exec = before_exec };
	struct session s;
	struct descriptors found = { 0 };
	char detail[128] = "";

	if (!scene->root) {
		tap_skip(what, "only root sees the descriptors of a helper");
		return;
	}
	for (enum session_state state = SESSION_ATTACHED; state <= SESSION_SERVING; state++) {
		sessions_open(what, &s, 1, state, &how);
		scene_as_root(list_descriptors, &s.peer.pid, sizeof(s.peer.pid), &found, sizeof(found));
		if ((found.null & null) != null || found.count < 4 || found.count > OWN_MAX)
			snprintf(detail, sizeof(detail), "%s: %d descriptors, of them /dev/null: %#x",
				 session_state_names[state], found.count, (unsigned int)found.null);
		close_fd(&s.peer.socket);
		helper_ended(&s.peer, HELPER_SOON_MS);
	}
	scene_check(detail[0] == '\0', what, "%s", detail);
}

static void inherited_descriptors(void)
{
	char what[96];

	for (closed = 0; closed < 8; closed++) {
		snprintf(what, sizeof(what), "session, closed are%s%s%s", closed & 1 ? " 0" : "",
			 closed & 2 ? " 1" : "",
			 closed & 4 ? " 2"
			 : closed   ? ""
				    : " none of descriptors 0 to 2");
		serves_after(what, close_stdio);
		if (closed == 0)
			continue;
		snprintf(what, sizeof(what), "filled with /dev/null, closed were%s%s%s", closed & 1 ? " 0" : "",
			 closed & 2 ? " 1" : "", closed & 4 ? " 2" : "");
		descriptors(what, closed, close_stdio);
	}
	serves_after("session, a thousand descriptors are open", leave_many_open);
	descriptors("none of a thousand descriptors stays", 0, leave_many_open);
}

/* Arguments and environment ------------------------------------------------------------------------------------ */

/* What of libc, the loader and libnl would print or do something if it was heard. */
static const char *const hostile[] = {
	"NLDBG=9",
	"NLCB=debug",
	"NL_DEBUG=9",
	"LIBNL_DEBUG=9",
	"LD_DEBUG=all",
	"LD_SHOW_AUXV=1",
	"LD_VERBOSE=1",
	"LD_WARN=1",
	"LD_BIND_NOT=1",
	"LD_PRELOAD=/proc/self/exe",
	"LD_AUDIT=/proc/self/exe",
	"LD_LIBRARY_PATH=/proc/self/cwd",
	"LD_PROFILE_OUTPUT=/tmp",
	"LD_ORIGIN_PATH=/tmp",
	"LD_HWCAP_MASK=0",
	"GLIBC_TUNABLES=glibc.malloc.check=3:glibc.malloc.perturb=165:glibc.rtld.nns=0:glibc.cpu.hwcaps=-AVX2",
	"GLIBC_TUNABLES=glibc.malloc.mxfast=glibc.malloc.mxfast=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	"MALLOC_CHECK_=3",
	"MALLOC_PERTURB_=165",
	"MALLOC_ARENA_MAX=0",
	"MALLOC_TRIM_THRESHOLD_=0",
	"MALLOC_TRACE=/tmp/boundary-must-not-be-written",
	"TZ=:/dev/zero",
	"TZDIR=/proc/self",
	"LOCPATH=/proc/self",
	"GCONV_PATH=/proc/self",
	"NLSPATH=/proc/self/%N",
	"LANG=xx_XX.UTF-8",
	"LC_ALL=xx_XX.UTF-8",
	"LANGUAGE=xx",
	"OUTPUT_CHARSET=UTF-7",
	"HOSTALIASES=/dev/zero",
	"RES_OPTIONS=debug",
	"LOCALDOMAIN=x",
	"NIS_PATH=/",
	"TMPDIR=/nonexistent",
	"HOME=/nonexistent",
	"PATH=",
	"IFS=/",
	"LIBSECCOMP_DEBUG=1",
	"NOTIFY_SOCKET=@x",
	"=",
	"without the sign",
	"",
	NULL
};

static void environments(void)
{
	static const char *const trace[] = { "LD_TRACE_LOADED_OBJECTS=1", NULL };
	static const char *const profile[] = { "LD_PROFILE=libc.so.6", NULL };
	struct result result;

	for (size_t i = 0; hostile[i]; i++) {
		const char *const one[] = { hostile[i], hostile[i], NULL };
		char what[96];

		snprintf(what, sizeof(what), "environment with \"%.60s\"", hostile[i]);
		serves(what, &(struct helper_start){ .environment = one });
	}
	/* The loader hears these two all the same: it ends before main(); it says where it cannot write. */
	run(&result, &(struct helper_start){ .environment = trace });
	report(result.last == 0 && WIFEXITED(result.status) && result.output[0] == '\0',
	       "environment with LD_TRACE_LOADED_OBJECTS", &result);
	run(&result, &(struct helper_start){ .environment = profile });
	report(result.last == HELPER_DETACH && result.status == 0, "environment with LD_PROFILE", &result);
	serves("environment with all of them", &(struct helper_start){ .environment = hostile });
	serves("no environment", &(struct helper_start){ .environment = (const char *const[]){ NULL } });
	tap_check(access("/tmp/boundary-must-not-be-written", F_OK) < 0, "none of them wrote a file", "it is there");
}

/* As much as execve(2) takes: strings of 128 KiB, all of them a quarter of the stack's limit; of each as many. */
static void huge(bool arguments, size_t length, size_t count)
{
	_cleanup_free_ char *string = calloc(1, length + 1);
	_cleanup_free_ const char **all = calloc(count + 2, sizeof(*all));
	char what[96];

	if (!string || !all)
		return;
	memset(string, 'A', length);
	memcpy(string, "NLDBG=", length < 6 ? length : 6);
	for (size_t i = 0; i < count; i++)
		all[i] = string;
	snprintf(what, sizeof(what), "%zu %s of %zu octets", count, arguments ? "arguments" : "variables", length);
	serves(what,
	       arguments ? &(struct helper_start){ .arguments = all } : &(struct helper_start){ .environment = all });
}

static void arguments(void)
{
	static const char *const odd[] = { "--version", "",       "-",    "--",           "--interface=eth0",
					   "-h",        "--help", "%s%n", "\xff\n\33[2J", NULL };
	static const char *const version[] = { "", "--version", NULL };
	struct result result;

	serves("no arguments at all, not even a name",
	       &(struct helper_start){ .arguments = (const char *const[]){ NULL } });
	serves("a name that is empty", &(struct helper_start){ .arguments = (const char *const[]){ "", NULL } });
	for (size_t i = 0; odd[i]; i++) {
		char what[64];

		snprintf(what, sizeof(what), "arguments from \"%.20s\" on", i == 8 ? "octets" : odd[i]);
		serves(what, &(struct helper_start){ .arguments = odd + i });
	}
	run(&result, &(struct helper_start){ .arguments = version });
	report(result.last == 0 && result.status == 0 && strncmp(result.output, "boundary-helper ", 16) == 0,
	       "with --version it says that and serves nobody", &result);
	for (int i = 0; i <= 1; i++) {
		huge(i, 0, 100000);
		huge(i, 1, 80000);
		huge(i, 128 * 1024 - 1, 15);
	}
}

/* Signals ------------------------------------------------------------------------------------------------------ */

static void ignore_signals(void)
{
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_IGN);
}

static void block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

static void block_and_ignore(void)
{
	ignore_signals();
	block_signals();
}

static void leave_pending(void)
{
	block_signals();
	raise(SIGURG);
	raise(SIGCHLD);
	raise(SIGCONT);
}

static void leave_term_pending(void)
{
	block_signals();
	raise(SIGTERM);
}

static void set_alarm(void)
{
	alarm(ALARM_SECONDS);
}

static void set_timers(void)
{
	const struct itimerval soon = { { 0, 1000 }, { 0, 1000 } };

	alarm(1);
	setitimer(ITIMER_VIRTUAL, &soon, NULL);
	setitimer(ITIMER_PROF, &soon, NULL);
}

/* A timer of the caller's, which it keeps across execve(2), does not end a session. */
static void pending_alarm(void)
{
	const struct helper_start how = { .before_exec = set_alarm };
	struct session s;
	struct helper_answer answer;
	struct pollfd wait;
	int status;

	sessions_open("a pending alarm", &s, 1, SESSION_SERVING, &how);
	wait = (struct pollfd){ .fd = s.peer.socket, .events = POLLIN };
	poll(&wait, 1, ALARM_MS); /* there is nothing to come but its end */
	answer = helper_ask(&s.peer, HELPER_DETACH, -1);
	status = helper_ended(&s.peer, HELPER_SOON_MS);
	sessions_empty(&s, 1);
	scene_check(answer.type == (HELPER_DETACH | HELPER_REPLY) && status == 0, "an alarm that was pending",
		    "answer %d, status %#x", answer.type, (unsigned int)status);
}

/* Signals of the caller's end it, as those of any process of his do: nothing is left but what the next one removes.
 * They may do so before it has answered. */
static void ends_after(const char *what, void (*before_exec)(void))
{
	struct result result;

	run(&result, &(struct helper_start){ .before_exec = before_exec });
	if (WIFSIGNALED(result.status))
		sessions_heal(1);
	report(WIFSIGNALED(result.status) || (result.last == HELPER_DETACH && result.status == 0), what, &result);
}

static void signals(void)
{
	serves_after("all signals ignored", ignore_signals);
	serves_after("all signals blocked", block_signals);
	serves_after("all signals blocked and ignored", block_and_ignore);
	serves_after("harmless signals pending", leave_pending);
	ends_after("SIGTERM pending", leave_term_pending);
	ends_after("timers of its running time pending", set_timers);
	pending_alarm();
}

/* Other things a process keeps --------------------------------------------------------------------------------- */

static void no_new_privileges(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void own_user_namespace(void)
{
	helper_enter(CLONE_NEWUSER);
}

static void own_network(void)
{
	helper_enter(CLONE_NEWUSER | CLONE_NEWNET);
}

/* With somebody who can change its directories while it runs: the kernel then gives it no capability. */
static void share_directories(void)
{
	int ready[2];
	char nothing;

	if (pipe2(ready, O_CLOEXEC) < 0)
		_exit(127);
	if (syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0) == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(0, ~0u, 0);
		pause();
		_exit(0);
	}
	/* Until it will go with us. */
	close(ready[1]);
	(void)!read(ready[0], &nothing, 1);
}

static void be_traced(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
}

/* Executed under ptrace(2) by somebody without privileges: the kernel gives it no capability. */
static void traced(void)
{
	struct helper_peer peer = helper_start(scene->helper, &(struct helper_start){ .before_exec = be_traced });
	struct helper_answer answer;
	int status;

	waitpid(peer.pid, &status, 0); /* stopped by its execve(2) */
	ptrace(PTRACE_CONT, peer.pid, 0, 0);
	answer = helper_ask(&peer, HELPER_ATTACH, scene->jails[0].netns);
	status = helper_ended(&peer, HELPER_SOON_MS);
	scene_check(helper_answer_failed(&answer, HELPER_FAILURE_CAPABILITY), "traced from its start",
		    "answer %d, failure %u, status %#x", answer.type, answer.failed.failure, (unsigned int)status);
}

static void unusual_directory(void)
{
	char path[] = "/tmp/boundary-attack-XXXXXX";

	umask(0777);
	if (mkdtemp(path) && chmod(path, 0700) == 0 && chdir(path) == 0)
		rmdir(path);
}

static void last_in_line(void)
{
	const struct sched_param parameter = { 0 };
	_cleanup_fd_ int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	(void)!write(score, "1000", 4);
	(void)!nice(19);
	sched_setscheduler(0, SCHED_IDLE, &parameter);
}

static void odd_personality(void)
{
	personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC | ADDR_COMPAT_LAYOUT | MMAP_PAGE_ZERO | STICKY_TIMEOUTS);
}

static void odd_prctl(void)
{
	prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	prctl(PR_SET_TIMERSLACK, 2000000000, 0, 0, 0);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	prctl(PR_SET_NAME, "\xff\n%s");
}

static void lead(void)
{
	setsid();
}

static void others(void)
{
	refuses_after("no_new_privs", HELPER_FAILURE_CAPABILITY, no_new_privileges);
	refuses_after("a user namespace of its own", HELPER_FAILURE_CAPABILITY, own_user_namespace);
	/* There it would have the capability, as its caller has; but the jail is nothing to it. */
	refuses_after("a user and a network namespace of its own", HELPER_FAILURE_FOREIGN_NETNS, own_network);
	refuses_after("its directories shared with another process", HELPER_FAILURE_CAPABILITY, share_directories);
	if (SCENE_SANITIZED)
		tap_skip("traced from its start", "LeakSanitizer, which traces, is not started");
	else
		traced();
	serves_after("a directory that is gone, and umask 0777", unusual_directory);
	if (SCENE_SANITIZED)
		tap_skip("the lowest priority", "an instrumented helper is not done in time while others are busy");
	else
		serves_after("the lowest priority", last_in_line);
	serves_after("an odd personality", odd_personality);
	serves_after("odd flags of the process", odd_prctl);
	serves_after("leader of a session of its own", lead);
}

int main(int argc, char **argv)
{
	scene = scene_begin(argc, argv);
	inherited_descriptors();
	environments();
	arguments();
	signals();
	others();
	return scene_end();
}
