/* The steps of a session: see session.h. */
#include "launcher/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/child_env.h"
#include "launcher/confine.h"
#include "launcher/helper_client.h"
#include "launcher/jail.h"
#include "launcher/jail_drop.h"
#include "launcher/jail_mounts.h"
#include "launcher/jail_protocol.h"
#include "launcher/link.h"
#include "launcher/namespaces.h"
#include "launcher/nameservers.h"
#include "launcher/orphans.h"
#include "launcher/proxy_client.h"
#include "launcher/service.h"
#include "launcher/session_dir.h"
#include "launcher/supervise.h"
#include "launcher/terminal.h"
#include "shared/cleanup.h"
#include "shared/log.h"
#include "shared/process.h"
#include "shared/wire.h"

#define JAIL_ANSWER_TIMEOUT_MS 30000
#define COMPANION_END_TIMEOUT_MS 5000

struct session {
	const struct settings *settings;
	char *helper_program;
	char *proxy_program;
	struct service helper;
	struct service proxy;
	struct session_dir directory;
	struct nameservers nameservers;
	struct nameserver inside[NAMESERVERS_MAX]; /* those to be answered in the jail */
	size_t n_inside;
	struct jail_process process;
	int jail_socket;
	int signals;
	int system_bundle;
	struct proxy_sockets sockets;
	char bundle[PATH_MAX], truststore[PATH_MAX], hosts[PATH_MAX];
	char **environment;
	struct seccomp_program *command_filter, *own_filter;
	struct jail jail;
	struct orphans orphans;
	struct terminal terminal;
	bool cable_goes; /* with the jail; else the helper has to delete it */
	struct wire_message message;
};

/*
 * An address of this machine: the guard keeps the jail off it, so a nameserver there is answered inside. Where anything
 * can be bound (ip-sysctl, ip_nonlocal_bind) all are, which is as good.
 */
static bool is_own_address(const struct nameserver *server)
{
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = server->ipv4 };
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

static bool is_inside(const struct session *session, const struct nameserver *server)
{
	for (size_t i = 0; i < session->n_inside; i++)
		if (nameserver_is_same(&session->inside[i], server))
			return true;
	return false;
}

/* Nameservers beyond the cable are reached through the redirect; the others (and all of IPv6, of which the jail has
 * none) cannot be. */
static int choose_nameservers(struct session *session, struct error *e)
{
	char hostname[HOST_NAME_MAX + 1] = "";
	size_t n_local = 0;
	int r;

	gethostname(hostname, sizeof(hostname) - 1);
	r = nameservers_read(NAMESERVERS_PATH, hostname, &session->nameservers, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < session->nameservers.n_servers; i++) {
		const struct nameserver *server = &session->nameservers.servers[i];

		if (nameserver_is_link_local(server))
			n_local++;
		else if (!is_inside(session, server) &&
			 (server->family == AF_INET6 || nameserver_is_loopback(server) || is_own_address(server)))
			session->inside[session->n_inside++] = *server;
	}
	if (n_local > 0 && n_local == session->nameservers.n_servers)
		log_line(LOG_LEVEL_WARN, "all name servers of " NAMESERVERS_PATH
					 " are link-local, which no program in the jail reaches: it finds no name. Add "
					 "another, as \"nameserver 192.0.2.1\"; any does, since none is asked");
	else if (n_local > 0)
		log_line(LOG_LEVEL_WARN, "a link-local name server of " NAMESERVERS_PATH
					 " cannot be reached in the jail; others are used");
	return 0;
}

static int open_system_bundle(void)
{
	for (size_t i = 0; jail_mounts_bundles[i]; i++) {
		int fd = open(jail_mounts_bundles[i], O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			return fd;
	}
	return -1;
}

static int start_companions(struct session *session, int log, struct error *e)
{
	int r;

	session->helper_program = service_path("boundary-helper");
	session->proxy_program = service_path("boundary-proxy");
	if (!session->helper_program || !session->proxy_program)
		return error_errno(e, ENOMEM, "paths of helper and proxy");
	r = service_start(session->proxy_program, "boundary-proxy", &session->proxy, e);
	if (r < 0)
		return r;
	r = proxy_client_configure(&session->proxy, session->settings, &session->nameservers, log,
				   session->system_bundle, e);
	return r < 0 ? r : service_start(session->helper_program, "boundary-helper", &session->helper, e);
}

static int make_directory(struct session *session, struct error *e)
{
	static const char format[] = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t%s\n";
	char hostname[HOST_NAME_MAX + 1] = "localhost";
	char hosts[sizeof(format) + HOST_NAME_MAX];
	int r;

	r = session_dir_create(getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), &session->directory, e);
	if (r < 0)
		return r;
	session_dir_path(&session->directory, SESSION_FILE_CA_BUNDLE, session->bundle);
	session_dir_path(&session->directory, SESSION_FILE_TRUSTSTORE, session->truststore);
	session_dir_path(&session->directory, SESSION_FILE_HOSTS, session->hosts);
	gethostname(hostname, sizeof(hostname) - 1);
	snprintf(hosts, sizeof(hosts), format, hostname);
	return session_dir_write(&session->directory, SESSION_FILE_HOSTS, hosts, strlen(hosts), e);
}

static int make_filters(struct session *session, struct error *e)
{
	int r = seccomp_command_new(&session->command_filter, e);

	return r < 0 ? r : confine_new(&session->own_filter, e);
}

static int prepare_jail(struct session *session, const sigset_t *inherited, bool child_ignored, struct error *e)
{
	int r;

	r = child_env_build(environ, session->bundle, session->truststore, &session->environment);
	if (r < 0)
		return error_errno(e, -r, "the command's environment");
	session->jail = (struct jail){
		.dns_servers = session->inside,
		.n_dns_servers = session->n_inside,
		.directory = session->directory,
		.hosts = session->hosts,
		.bundle = session->bundle,
		.filter = session->command_filter,
		.own_filter = session->own_filter,
		.command = session->settings->command,
		.environment = session->environment,
		.signal_mask = *inherited,
		.child_ignored = child_ignored,
		.landlock = jail_reach_version(),
		.require = session->settings->require,
	};
	return 0;
}

/* A warning, or with --require an error. */
static int lost(const struct session *session, const char *text, struct error *e)
{
	if (session->settings->require)
		return error_set(e, EPERM, "%s. --require makes this an error", text);
	log_line(LOG_LEVEL_WARN, "%s", text);
	return 0;
}

static int start_jail(struct session *session, struct error *e)
{
	_cleanup_fd_ int theirs = -1;
	struct jail_go go;
	int pair[2];
	int r;

	r = wire_pair(pair);
	if (r < 0)
		return error_errno(e, -r, "socketpair for the jail");
	session->jail_socket = pair[0];
	session->jail.socket = theirs = pair[1];
	r = namespaces_clone(session->settings->no_user_namespace, jail_main, &session->jail, &session->process, e);
	if (r < 0)
		return r;
	for (size_t i = 0; namespaces_optional[i]; i++) {
		if (session->process.namespaces & namespaces_optional[i])
			continue;
		r = lost(session, namespaces_loss(namespaces_optional[i]), e);
		if (r < 0)
			return r;
	}
	if (!session->settings->no_user_namespace) {
		r = namespaces_map_identity(session->process.pid, e);
		if (r < 0)
			return r;
	}
	go.namespaces = session->process.namespaces;
	r = wire_send(session->jail_socket, JAIL_GO, &go, sizeof(go), NULL, 0);
	return r < 0 ? error_errno(e, -r, "the jail ended while it was set up") : 0;
}

/* Waits for `type` of the jail into session->message; warnings before it are passed on. */
static int await_jail(struct session *session, uint16_t type, size_t n_fds, struct error *e)
{
	struct wire_message *message = &session->message;
	char text[ERROR_TEXT_MAX];
	int r;

	for (;;) {
		r = wire_receive(session->jail_socket, message, n_fds, JAIL_ANSWER_TIMEOUT_MS);
		if (r < 0)
			return error_errno(e, -r, "the jail ended or hangs while it is set up");
		if (message->type == type)
			return 0;
		snprintf(text, sizeof(text), "%.*s", (int)message->length, (const char *)message->payload);
		wire_message_clear(message);
		if (message->type == JAIL_FAILED)
			return error_set(e, EIO, "%s", text);
		if (message->type == JAIL_NOTICE) {
			log_line(LOG_LEVEL_WARN, "%s", text);
			continue;
		}
		if (message->type != JAIL_WARNING)
			return error_set(e, EPROTO, "the jail sent an unexpected message while it was set up");
		r = lost(session, text, e);
		if (r < 0)
			return r;
	}
}

static int plug_cable(struct session *session, struct helper_attached *ret, struct error *e)
{
	struct jail_network network;
	uint16_t tcp_port, dns_port;
	int r;

	r = await_jail(session, JAIL_NETNS, 1, e);
	if (r < 0)
		return r;
	if (session->message.n_fds != 1)
		return error_set(e, EPROTO, "the jail did not send its network namespace");
	r = helper_client_attach(&session->helper, session->helper_program, session->message.fds[0], ret, e);
	wire_message_clear(&session->message);
	if (r < 0)
		return r;
	network = (struct jail_network){ ret->host_address, ret->jail_address };
	r = wire_send(session->jail_socket, JAIL_NETWORK, &network, sizeof(network), NULL, 0);
	if (r < 0)
		return error_errno(e, -r, "the jail ended while it was set up");
	r = proxy_sockets_bind(&session->sockets, ret->host_address, ret->host_interface, session->settings->proxy_port,
			       &tcp_port, &dns_port, e);
	if (r < 0)
		return r;
	return helper_client_redirect(&session->helper, session->helper_program, tcp_port, dns_port, e);
}

/* Takes the DNS sockets that jail init bound inside. */
static int collect_dns_sockets(struct session *session, struct error *e)
{
	struct wire_message *message = &session->message;
	struct proxy_sockets *sockets = &session->sockets;
	struct jail_sockets counts;
	int r;

	r = await_jail(session, JAIL_SOCKETS, 2 * NAMESERVERS_MAX, e);
	if (r < 0)
		return r;
	if (message->length != sizeof(counts))
		return error_set(e, EPROTO, "the jail sent a malformed message");
	memcpy(&counts, message->payload, sizeof(counts));
	if (counts.n_udp > NAMESERVERS_MAX || counts.n_tcp > NAMESERVERS_MAX ||
	    counts.n_udp + counts.n_tcp != message->n_fds) {
		wire_message_clear(message);
		return error_set(e, EPROTO, "the jail sent another number of sockets than it said");
	}
	for (size_t i = 0; i < message->n_fds; i++) {
		if (i < counts.n_udp)
			sockets->udp[sockets->n_udp++] = take_fd(&message->fds[i]);
		else
			sockets->tcp[sockets->n_tcp++] = take_fd(&message->fds[i]);
	}
	return 0;
}

static int start_serving(struct session *session, const struct helper_attached *attached, struct error *e)
{
	struct proxy_certificates certificates;
	bool keeps_off_files = true;
	int r;

	link_wake(session->sockets.listener, attached->host_interface);
	r = proxy_client_await_certificates(&session->proxy, &certificates, e);
	if (r == 0)
		r = session_dir_write_bundle(&session->directory, certificates.certificate,
					     certificates.certificate_length, session->system_bundle, e);
	if (r == 0)
		r = session_dir_write(&session->directory, SESSION_FILE_TRUSTSTORE, certificates.truststore,
				      certificates.truststore_length, e);
	if (r == 0)
		r = proxy_client_serve(&session->proxy, attached->host_address, attached->jail_address,
				       &session->sockets, &keeps_off_files, e);
	if (r == 0 && !keeps_off_files)
		r = lost(session, "no Landlock: if the proxy is taken over it can open the files that its user can", e);
	if (r == 0)
		proxy_sockets_close(&session->sockets);
	return r;
}

/* The command could not be executed: `code` is the errno value of execve(2). */
static int explain_exec(const struct session *session, int code, struct error *e)
{
	const char *name = session->settings->command[0];

	error_set(e, code, "%s: %s%s", name, strerror(code),
		  code == ENOENT ? strchr(name, '/') ? " (the file, or the interpreter its first line names)"
						     : " (not found in PATH)"
				 : "");
	return code == ENOENT || code == ENOTDIR ? SESSION_EXIT_NOT_FOUND : SESSION_EXIT_NOT_EXECUTABLE;
}

/* Returns 0 when the command runs, -errno, or an exit code > 0 when it could not be executed. */
static int start_command(struct session *session, struct error *e)
{
	struct wire_message *message = &session->message;
	struct jail_number number;
	int r;

	r = supervise_pending_end();
	if (r > 0)
		return SESSION_EXIT_SIGNAL + r;
	r = wire_send(session->jail_socket, JAIL_RUN, NULL, 0, NULL, 0);
	if (r < 0)
		return error_errno(e, -r, "the jail ended while it was set up");
	r = await_jail(session, JAIL_STARTED, 0, e);
	if (r == -EPROTO && message->type == JAIL_NOT_RUN && message->length == sizeof(number)) {
		memcpy(&number, message->payload, sizeof(number));
		return explain_exec(session, number.value, e);
	}
	if (r == 0 && message->length == sizeof(number)) {
		memcpy(&number, message->payload, sizeof(number));
		session->cable_goes = number.value == 0;
	}
	return r;
}

/* Not earlier: the maps of a process that is not dumpable could not be written, and the helper must start without
 * no_new_privs. */
static int confine(const struct session *session, struct error *e)
{
	int r = process_hide_memory();

	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = seccomp_program_load(session->own_filter);
	return r < 0 ? error_errno(e, -r, "confining the launcher") : 0;
}

static int set_up(struct session *session, int log, struct error *e)
{
	struct helper_attached attached;
	struct sigaction child;
	sigset_t inherited;
	int r;

	session->orphans = orphans_before();
	session->terminal = terminal_open();
	/* An inherited "ignore" would make the kernel reap our children before we do. */
	sigaction(SIGCHLD, NULL, &child);
	signal(SIGCHLD, SIG_DFL);
	r = supervise_signals(&inherited, e);
	if (r < 0)
		return r;
	session->signals = r;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	session->system_bundle = open_system_bundle();
	r = choose_nameservers(session, e);
	if (r == 0)
		r = start_companions(session, log, e);
	if (r == 0)
		r = make_filters(session, e);
	/* From here until there is a jail nobody would remove it if this process were killed. */
	if (r == 0)
		r = make_directory(session, e);
	if (r == 0)
		r = prepare_jail(session, &inherited, child.sa_handler == SIG_IGN, e);
	if (r == 0)
		r = start_jail(session, e);
	if (r == 0)
		session_dir_sweep(&session->directory);
	if (r == 0)
		r = plug_cable(session, &attached, e);
	if (r == 0)
		r = collect_dns_sockets(session, e);
	if (r == 0)
		r = start_serving(session, &attached, e);
	if (r == 0)
		r = confine(session, e);
	return r < 0 ? r : start_command(session, e);
}

/* `broke`: whatever had the terminal did not end by itself. */
static void tear_down(struct session *session, bool broke)
{
	/* While jail init lives there is somebody to finish this if we are killed. */
	session_dir_remove(&session->directory);
	supervise_kill_jail(&session->process);
	close_fd(&session->process.pidfd);
	close_fd(&session->jail_socket);
	service_hang_up(&session->proxy);
	/* Told that the jail is gone, the helper need not wait until the kernel has unregistered the interface. Its
	 * socket's end tells it to delete that. */
	if (session->helper.pid > 0 && session->cable_goes)
		helper_client_detach(&session->helper);
	service_hang_up(&session->helper);
	service_end(&session->proxy, COMPANION_END_TIMEOUT_MS);
	service_end(&session->helper, COMPANION_END_TIMEOUT_MS);
	/* Helper and proxy are no children any more; without a pid namespace the jail's remaining processes have become
	 * some. */
	if (session->process.pid > 0 && !(session->process.namespaces & CLONE_NEWPID))
		orphans_kill(&session->orphans);
	terminal_give_back(&session->terminal, broke);
	proxy_sockets_close(&session->sockets);
	close_fd(&session->terminal.fd);
	close_fd(&session->system_bundle);
	close_fd(&session->signals);
	seccomp_program_free(session->command_filter);
	seccomp_program_free(session->own_filter);
	free(session->orphans.spared);
	free(session->environment);
	free(session->helper_program);
	free(session->proxy_program);
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? SESSION_EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* As the command did, after Ctrl-C: a shell then leaves its loop, too, which it does not for an exit code. */
static void end_interrupted(void)
{
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, SIGINT);
	raise(SIGINT);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
}

int session_run(const struct settings *settings, int log, struct error *e)
{
	struct session session = {
		.settings = settings,
		.helper = SERVICE_NONE,
		.proxy = SERVICE_NONE,
		.directory = SESSION_DIR_NONE,
		.process = { .pidfd = -1 },
		.jail_socket = -1,
		.signals = -1,
		.system_bundle = -1,
		.sockets = PROXY_SOCKETS_NONE,
		.terminal = { .fd = -1 },
	};
	bool interrupted = false, broke = false;
	int r, ending;

	r = set_up(&session, log, e);
	ending = r < 0 ? supervise_pending_end() : 0;
	if (ending > 0) {
		/* Typed before they had a session of their own, it ended helper or proxy, too. */
		r = SESSION_EXIT_SIGNAL + ending;
		*e = (struct error){ 0 };
	}
	if (r == SESSION_EXIT_SIGNAL + SIGINT)
		interrupted = supervise_was_typed(SIGINT);
	if (r == 0) {
		struct supervised running = { &session.process, session.jail_socket, &session.helper,
					      &session.proxy,   session.signals,     false };

		r = supervise_run(&running, e);
		broke = r < 0 || WIFSIGNALED(r);
		interrupted = running.interrupted && r >= 0 && WIFSIGNALED(r) && WTERMSIG(r) == SIGINT;
		r = r < 0 ? r : exit_code(r);
	}
	tear_down(&session, broke);
	if (interrupted)
		end_interrupted();
	return r < 0 ? SESSION_EXIT_FAILED : r;
}
