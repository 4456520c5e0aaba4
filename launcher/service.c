/* Starting and ending helper and proxy: see service.h. */
#include "launcher/service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "shared/process.h"
#include "shared/wire.h"

#define SERVICE_SOCKET_FD 3
#define END_SHOWS_MS 1000

/* A sanitizer is steered by the environment; nothing else of it is for our processes. */
#ifdef BOUNDARY_SANITIZED
#define SERVICE_ENVIRONMENT environ
#else
static char *no_environment[] = { NULL };
#define SERVICE_ENVIRONMENT no_environment
#endif

static int spawn_attributes(posix_spawnattr_t *attributes)
{
	sigset_t all, none;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setsigmask(attributes, &none);
	return posix_spawnattr_setflags(attributes,
					POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
}

static int spawn(const char *program, const char *name, int socket, pid_t *ret_pid)
{
	char *arguments[] = { (char *)name, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int code;

	code = posix_spawn_file_actions_init(&actions);
	if (code != 0)
		return -code;
	code = posix_spawnattr_init(&attributes);
	if (code == 0) {
		code = posix_spawn_file_actions_adddup2(&actions, socket, SERVICE_SOCKET_FD);
		if (code == 0)
			code = spawn_attributes(&attributes);
		if (code == 0)
			code = posix_spawn(ret_pid, program, &actions, &attributes, arguments, SERVICE_ENVIRONMENT);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return -code;
}

static int explain_spawn(struct error *e, int code, const char *program, const char *name)
{
	if (code == ENOENT)
		return error_set(e, code,
				 "%s is not installed: %s does not exist. Install Boundary whole (make install)", name,
				 program);
	if (code == EPERM)
		return error_set(e, code,
				 "%s could not be executed: %s. Its file capability is not in this process's bounding "
				 "set and is marked "
				 "effective; set it as permitted only: sudo setcap cap_net_admin=p %s",
				 program, strerror(code), program);
	if (code == EAGAIN || code == ENOMEM)
		return error_set(e, code, "%s could not be started (%s): " PROCESS_SHORTAGE, name, strerror(code));
	return error_errno(e, code, "%s could not be started", program);
}

int service_start(const char *program, const char *name, struct service *ret, struct error *e)
{
	_cleanup_fd_ int ours = -1;
	_cleanup_fd_ int theirs = -1;
	int pair[2];
	pid_t pid;
	int pidfd;
	int r;

	r = wire_pair(pair);
	if (r < 0)
		return error_errno(e, -r, "socketpair for %s", name);
	ours = pair[0];
	theirs = pair[1];
	r = spawn(program, name, theirs, &pid);
	if (r < 0)
		return explain_spawn(e, -r, program, name);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		r = errno;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return error_errno(e, r, "pidfd_open for %s (Linux 5.3 or newer is needed)", name);
	}
	*ret = (struct service){ .name = name, .pid = pid, .pidfd = pidfd, .socket = take_fd(&ours) };
	return 0;
}

void service_hang_up(struct service *service)
{
	close_fd(&service->socket);
}

int service_explain_end(const struct service *service, const char *consequence, struct error *e)
{
	struct pollfd ended = { .fd = service->pidfd, .events = POLLIN };
	siginfo_t info = { 0 };

	while (poll(&ended, 1, END_SHOWS_MS) < 0 && errno == EINTR)
		;
	waitid(P_PID, (id_t)service->pid, &info, WEXITED | WNOWAIT | WNOHANG);
	if (info.si_code == CLD_EXITED)
		return error_set(e, EPIPE, "%s ended with exit code %d: %s", service->name, info.si_status,
				 consequence);
	if (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED)
		return error_set(e, EPIPE, "%s was killed by signal %d (%s%s): %s", service->name, info.si_status,
				 strsignal(info.si_status),
				 info.si_status == SIGKILL ? "; for lack of memory? See dmesg" : "", consequence);
	return error_set(e, EPIPE, "%s does not answer: %s", service->name, consequence);
}

int service_end(struct service *service, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = service->pidfd, .events = POLLIN };
	int status = -1;

	if (service->pid <= 0)
		return -1;
	while (poll(&poll_fd, 1, timeout_ms) < 0 && errno == EINTR)
		;
	if (!(poll_fd.revents & POLLIN))
		kill(service->pid, SIGKILL);
	while (waitpid(service->pid, &status, 0) < 0 && errno == EINTR)
		;
	service->pid = 0;
	close_fd(&service->pidfd);
	close_fd(&service->socket);
	return status;
}

char *service_path(const char *name)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *path = NULL;

	for (int parents = 0; parents < 2 && length > 0; parents++) {
		char *slash;

		self[length] = '\0';
		slash = strrchr(self, '/');
		length = slash ? slash - self : -1;
	}
	if (length >= 0) {
		self[length] = '\0';
		if (asprintf(&path, "%s/libexec/boundary/%s", self, name) < 0)
			return NULL;
		if (access(path, F_OK) == 0)
			return path;
		free(path);
		path = NULL;
	}
	if (asprintf(&path, "%s/%s", BOUNDARY_LIBEXECDIR, name) < 0)
		return NULL;
	return path;
}
