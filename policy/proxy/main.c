/*
 * boundary-proxy: the enforcing process of one session. Started by the launcher with its end of a socketpair as
 * descriptor 3.
 *
 *	initial     nothing is trusted, no memory can be read by others, all descriptors but 0-3 closed
 *	configured  rules compiled, CA made, log open; the launcher has the CA's certificate
 *	confined    listening sockets are here; no capability, no file but /etc, only the system calls of serving
 *	serving     until the launcher's end of file
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "policy/proxy/client.h"
#include "policy/proxy/config.h"
#include "policy/proxy/sandbox.h"
#include "policy/proxy/session.h"
#include "shared/cleanup.h"
#include "shared/log.h"
#include "shared/process.h"
#include "shared/proxy_protocol.h"
#include "shared/wire.h"

/* 64: standard ones, resolver, DNS … */
#define DESCRIPTORS_BESIDES (UPSTREAM_IDLE_MAX + UPSTREAM_EXTRA_MAX + DNS_CONNECTIONS_MAX + 64)

static void on_launcher(struct ev_loop *loop, ev_io *io, int events)
{
	bool *orderly = io->data;
	char octet;

	(void)events;
	/* Nothing is to come any more: a message is a surprise like any other. */
	*orderly = recv(PROXY_SOCKET_FD, &octet, 1, MSG_DONTWAIT) == 0;
	ev_break(loop, EVBREAK_ALL);
}

static int initial(struct error *e)
{
	/* What the terminal sends is for the command: the launcher's end of file ends the session. */
	static const int ignored[] = { SIGPIPE, SIGINT, SIGQUIT, SIGHUP, SIGTSTP, SIGTTIN, SIGTTOU };
	int status = process_hide_memory();

	if (status == 0)
		status = process_fill_stdio();
	if (status == 0)
		status = process_close_from(PROXY_SOCKET_FD + 1);
	if (status < 0)
		return error_errno(e, -status, "cannot prepare the process");
	process_reset_signals();
	for (size_t i = 0; i < array_size(ignored); i++)
		signal(ignored[i], SIG_IGN);
	umask(077);
	/* End of file says the same, but is not seen where a log that nobody reads holds us up. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return error_errno(e, errno, "cannot tie the process to the launcher");
	if (fcntl(PROXY_SOCKET_FD, F_SETFD, FD_CLOEXEC) < 0)
		return error_set(e, EBADF,
				 "boundary-proxy is started by boundary-launch, not by hand: descriptor 3 is missing");
	return 0;
}

static int send_configured(const struct session *session, struct error *e)
{
	unsigned char payload[WIRE_PAYLOAD_MAX];
	_cleanup_free_ unsigned char *store = NULL;
	struct proxy_configured configured;
	size_t certificate_length, store_length;
	const char *certificate = ca_certificate_pem(session->ca, &certificate_length);
	int status = ca_trust_store(session->ca, &store, &store_length, e);

	if (status < 0)
		return status;
	if (sizeof(configured) + certificate_length + store_length > sizeof(payload))
		return error_set(e, EMSGSIZE, "session CA: the certificate does not fit a message");
	configured = (struct proxy_configured){ (uint32_t)certificate_length, (uint32_t)store_length };
	memcpy(payload, &configured, sizeof(configured));
	memcpy(payload + sizeof(configured), certificate, certificate_length);
	memcpy(payload + sizeof(configured) + certificate_length, store, store_length);
	status = wire_send(PROXY_SOCKET_FD, PROXY_CONFIGURED, payload,
			   sizeof(configured) + certificate_length + store_length, NULL, 0);
	return status < 0 ? error_errno(e, -status, "answer to the launcher") : 0;
}

static int configure(struct session *session, struct wire_message *message, struct error *e)
{
	struct config config;
	int status = wire_receive(PROXY_SOCKET_FD, message, WIRE_FDS_MAX, -1);

	if (status < 0)
		return error_errno(e, -status, "configuration from the launcher");
	status = config_read(message, session, &config, e);
	wire_message_clear(message);
	if (status < 0)
		return status;
	log_open(config.log_fd, config.log_level, config.log_format, "boundary-proxy");
	status = session_prepare(session, config.system_ca, config.extra_ca, e);
	return status < 0 ? status : send_configured(session, e);
}

/* Hands the sockets to those who serve them. */
static int take_sockets(struct session *session, struct wire_message *message, struct error *e)
{
	struct proxy_serve serve;
	uint32_t n;

	if (message->type != PROXY_SERVE || message->length != sizeof(serve))
		return error_set(e, EPROTO, "the launcher's second message is not PROXY_SERVE");
	memcpy(&serve, message->payload, sizeof(serve));
	if (serve.n_dns_udp > WIRE_FDS_MAX || serve.n_dns_tcp > WIRE_FDS_MAX ||
	    message->n_fds != 1 + serve.n_dns_udp + serve.n_dns_tcp)
		return error_set(e, EPROTO, "PROXY_SERVE came with a wrong number of descriptors");
	session->jail_address = serve.jail_address;
	session->listener = take_fd(&message->fds[0]);
	if (fcntl(session->listener, F_SETFL, O_NONBLOCK) < 0)
		return error_errno(e, errno, "TCP listener");
	for (n = 1; n < message->n_fds; n++) {
		int fd = take_fd(&message->fds[n]);
		int status = n <= serve.n_dns_udp ? dns_server_add_udp(session->dns, fd)
						  : dns_server_add_listener(session->dns, fd);

		if (status < 0)
			return error_errno(e, -status, "DNS socket");
	}
	return 0;
}

/* How many connections can be served, each with one to a server. */
static size_t clients_for(unsigned long descriptors)
{
	if (descriptors < DESCRIPTORS_BESIDES + 16)
		return 8;
	descriptors = (descriptors - DESCRIPTORS_BESIDES) / 2;
	return descriptors < CLIENTS_MAX ? descriptors : CLIENTS_MAX;
}

static int confine(struct session *session, struct wire_message *message, struct error *e)
{
	struct proxy_serving serving;
	unsigned long descriptors;
	bool landlock = false;
	int status = wire_receive(PROXY_SOCKET_FD, message, WIRE_FDS_MAX, -1);

	if (status < 0)
		return error_errno(e, -status, "sockets from the launcher");
	status = take_sockets(session, message, e);
	wire_message_clear(message);
	if (status < 0)
		return status;
	descriptors = sandbox_raise_descriptors();
	session->max_clients = clients_for(descriptors);
	client_listen(session);
	status = sandbox_enter(&landlock, e);
	if (status < 0)
		return status;
	serving.keeps_off_files = landlock;
	status = wire_send(PROXY_SOCKET_FD, PROXY_SERVING, &serving, sizeof(serving), NULL, 0);
	return status < 0 ? error_errno(e, -status, "answer to the launcher") : 0;
}

/* What comes due while the log is waited for is not late: whoever is to be timed out may have sent something. */
static void on_log_wait(void *user, bool begins)
{
	if (begins)
		ev_suspend(user);
	else
		ev_resume(user);
}

static int serve(struct session *session)
{
	bool orderly = false;
	ev_io launcher;

	ev_io_init(&launcher, on_launcher, PROXY_SOCKET_FD, EV_READ);
	launcher.data = &orderly;
	ev_io_start(session->loop, &launcher);
	log_wait_until(PROXY_SOCKET_FD);
	log_on_wait(on_log_wait, session->loop);
	ev_run(session->loop, 0);
	log_on_wait(NULL, NULL);
	ev_io_stop(session->loop, &launcher);
	return orderly ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The leak checker of a sanitizer build looks at its own process, which hidden memory prevents. */
static void allow_leak_check(void)
{
#ifdef BOUNDARY_SANITIZED
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
#endif
}

int main(int argc, char **argv)
{
	struct error error = { 0 };
	struct session session = { .listener = -1, .routes = -1 };
	struct wire_message message = { 0 };
	int status;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("boundary-proxy %s\n", BOUNDARY_VERSION);
		return EXIT_SUCCESS;
	}
	status = initial(&error);
	if (status == 0)
		status = configure(&session, &message, &error);
	if (status == 0)
		status = confine(&session, &message, &error);
	if (status == 0) {
		status = serve(&session);
	} else {
		/* A launcher that is gone has said why, or nobody is left to be told. */
		if (error.code != ECONNRESET && error.code != EPIPE &&
		    wire_send(PROXY_SOCKET_FD, PROXY_FAILED, error.text, strlen(error.text), NULL, 0) < 0)
			log_line(LOG_LEVEL_ERROR, "%s", error.text);
		status = EXIT_FAILURE;
	}
	session_clear(&session);
	allow_leak_check();
	return status;
}
