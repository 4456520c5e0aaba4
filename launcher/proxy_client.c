/* Configuring and starting the proxy: see proxy_client.h. */
#include "launcher/proxy_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/cleanup.h"

#define ANSWER_TIMEOUT_MS 30000
/*
 * Connections that wait to be accepted, and as many half-open ones (listen(2)): what a jail's SYNs can hold. The kernel
 * keeps up to some 130 KB for one that has sent data, 16 MB in all. Who comes later tries again after a second.
 */
#define LISTEN_BACKLOG 128

void proxy_sockets_close(struct proxy_sockets *sockets)
{
	close_fd(&sockets->listener);
	for (size_t i = 0; i < sockets->n_udp; i++)
		close_fd(&sockets->udp[i]);
	for (size_t i = 0; i < sockets->n_tcp; i++)
		close_fd(&sockets->tcp[i]);
	sockets->n_udp = sockets->n_tcp = 0;
}

static void put_records(FILE *file, const char *key, const struct settings_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++) {
		fprintf(file, "%s=%s", key, rules->items[i].text);
		fputc('\0', file);
	}
}

static int config_memfd(const struct settings *settings, const struct nameservers *nameservers, struct error *e)
{
	_cleanup_fd_ int fd = memfd_create("boundary-config", MFD_CLOEXEC);
	_cleanup_file_ FILE *file = NULL;
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return error_errno(e, errno, "memory file for the proxy's configuration");
	file = fdopen(copy, "w");
	if (!file) {
		close(copy);
		return error_errno(e, ENOMEM, "memory file for the proxy's configuration");
	}
	put_records(file, "allow", &settings->allow);
	put_records(file, "deny", &settings->deny);
	for (size_t i = 0; i < nameservers->n_search; i++) {
		fprintf(file, "search=%s", nameservers->search[i]);
		fputc('\0', file);
	}
	if (fflush(file) != 0)
		return error_errno(e, errno, "writing the proxy's configuration");
	return take_fd(&fd);
}

/* What the proxy said instead of the message that was awaited. */
static int explain(const struct wire_message *message, struct error *e)
{
	if (message->type == PROXY_FAILED)
		return error_set(e, EIO, "boundary-proxy: %.*s", (int)message->length, (const char *)message->payload);
	return error_set(e, EPROTO,
			 "boundary-proxy gave an unexpected answer. Install it from the same build as boundary-launch");
}

static int await(const struct service *proxy, uint16_t type, struct wire_message *message, struct error *e)
{
	int r = wire_receive(proxy->socket, message, 0, ANSWER_TIMEOUT_MS);

	if (r < 0)
		return service_explain_end(proxy, "the command was not started", e);
	return message->type == type ? 0 : explain(message, e);
}

/* A failed send may mean that the proxy ended: its reason is then still to be read. */
static int send_or_explain(const struct service *proxy, uint16_t type, const void *payload, size_t length,
			   const int *fds, size_t n_fds, struct error *e)
{
	struct wire_message message;
	int r = wire_send(proxy->socket, type, payload, length, fds, n_fds);

	if (r == 0)
		return 0;
	if (r == -EPIPE && wire_receive(proxy->socket, &message, 0, 0) == 0)
		return explain(&message, e);
	return error_errno(e, -r, "sending to boundary-proxy");
}

int proxy_client_configure(const struct service *proxy, const struct settings *settings,
			   const struct nameservers *nameservers, int log, int system_bundle, struct error *e)
{
	struct proxy_configure configure = { .log_level = settings->log_level, .log_format = settings->log_format };
	_cleanup_fd_ int config = -1;
	_cleanup_fd_ int extra = -1;
	int candidates[4], fds[4];
	size_t n_fds = 0;

	config = config_memfd(settings, nameservers, e);
	if (config < 0)
		return config;
	if (settings->upstream_ca) {
		extra = open(settings->upstream_ca, O_RDONLY | O_CLOEXEC);
		if (extra < 0)
			return error_errno(e, errno, "--upstream-ca %s cannot be read", settings->upstream_ca);
	}
	candidates[PROXY_FD_CONFIG] = config;
	candidates[PROXY_FD_LOG] = log;
	candidates[PROXY_FD_SYSTEM_CA] = system_bundle;
	candidates[PROXY_FD_EXTRA_CA] = extra;
	for (size_t role = 0; role < array_size(candidates); role++) {
		if (candidates[role] < 0)
			continue;
		configure.fds |= 1u << role;
		fds[n_fds++] = candidates[role];
	}
	return send_or_explain(proxy, PROXY_CONFIGURE, &configure, sizeof(configure), fds, n_fds, e);
}

int proxy_client_await_certificates(const struct service *proxy, struct proxy_certificates *ret, struct error *e)
{
	struct proxy_configured lengths;
	const unsigned char *bytes = ret->message.payload + sizeof(lengths);
	int r;

	r = await(proxy, PROXY_CONFIGURED, &ret->message, e);
	if (r < 0)
		return r;
	if (ret->message.length < sizeof(lengths))
		return explain(&ret->message, e);
	memcpy(&lengths, ret->message.payload, sizeof(lengths));
	if ((uint64_t)lengths.certificate_length + lengths.truststore_length != ret->message.length - sizeof(lengths))
		return explain(&ret->message, e);
	ret->certificate = (const char *)bytes;
	ret->certificate_length = lengths.certificate_length;
	ret->truststore = bytes + lengths.certificate_length;
	ret->truststore_length = lengths.truststore_length;
	return 0;
}

int proxy_client_serve(const struct service *proxy, uint32_t host_address, uint32_t jail_address,
		       const struct proxy_sockets *sockets, bool *ret_keeps_off_files, struct error *e)
{
	const struct proxy_serve serve = { host_address, jail_address, (uint32_t)sockets->n_udp,
					   (uint32_t)sockets->n_tcp };
	struct proxy_serving serving;
	struct wire_message message;
	int fds[WIRE_FDS_MAX];
	size_t n_fds = 0;
	int r;

	if (1 + sockets->n_udp + sockets->n_tcp > WIRE_FDS_MAX)
		return error_set(e, E2BIG, "too many nameservers for the proxy");
	fds[n_fds++] = sockets->listener;
	for (size_t i = 0; i < sockets->n_udp; i++)
		fds[n_fds++] = sockets->udp[i];
	for (size_t i = 0; i < sockets->n_tcp; i++)
		fds[n_fds++] = sockets->tcp[i];
	r = send_or_explain(proxy, PROXY_SERVE, &serve, sizeof(serve), fds, n_fds, e);
	if (r == 0)
		r = await(proxy, PROXY_SERVING, &message, e);
	if (r == 0 && message.length != sizeof(serving))
		r = explain(&message, e);
	if (r < 0)
		return r;
	memcpy(&serving, message.payload, sizeof(serving));
	*ret_keeps_off_files = serving.keeps_off_files != 0;
	return 0;
}

/*
 * Only the jail, at the other end of the /31, may speak to us: what local users send to the cable's address counts as
 * received by the cable (inet_iif()). They cannot have the jail's address, which is none of this host's: the kernel
 * routes nothing from such a source without CAP_NET_ADMIN or CAP_NET_RAW (ip_route_output_key()).
 */
static int accept_only_from(int fd, uint32_t peer)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 12), /* the source address, RFC 791 */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, peer, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = { array_size(code), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* Bound to the device as well (socket(7), SO_BINDTODEVICE): what arrives otherwise finds no socket. */
static int bind_to_cable(uint32_t address, const char *interface, int type, uint16_t *port, struct error *e)
{
	struct sockaddr_in local = { .sin_family = AF_INET,
				     .sin_port = htons(*port),
				     .sin_addr.s_addr = htonl(address) };
	_cleanup_fd_ int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(local);

	if (fd < 0)
		return error_errno(e, errno, "socket for the proxy");
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) < 0)
		return error_errno(e, errno, "binding the proxy's socket to %s (Linux 5.7 or newer is needed)",
				   interface);
	/* Newer kernels (6.18) want a capability for it with TCP. There the proxy closes what it accepts from others.
	 */
	if (accept_only_from(fd, address ^ 1) < 0 && type != SOCK_STREAM)
		return error_errno(e, errno, "filtering what reaches the proxy's socket");
	if (bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0)
		return error_errno(e, errno, "binding the proxy's socket to port %u of the cable%s", *port,
				   *port ? ": choose another --proxy-port, or 0" : "");
	if (type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG) < 0)
		return error_errno(e, errno, "listening for the proxy");
	if (getsockname(fd, (struct sockaddr *)&local, &length) < 0)
		return error_errno(e, errno, "port of the proxy's socket");
	*port = ntohs(local.sin_port);
	return take_fd(&fd);
}

/* Tries the usual port first and takes any other if somebody listens there on all addresses. */
static int bind_to_some_port(uint32_t address, const char *interface, int type, uint16_t usual, uint16_t *ret_port,
			     struct error *e)
{
	int r;

	*ret_port = usual;
	r = bind_to_cable(address, interface, type, ret_port, e);
	if (r != -EADDRINUSE)
		return r;
	*ret_port = 0;
	return bind_to_cable(address, interface, type, ret_port, e);
}

int proxy_sockets_bind(struct proxy_sockets *sockets, uint32_t address, const char *interface, uint16_t tcp_port,
		       uint16_t *ret_tcp_port, uint16_t *ret_dns_port, struct error *e)
{
	int r;

	*ret_tcp_port = tcp_port;
	if (tcp_port)
		r = bind_to_cable(address, interface, SOCK_STREAM, ret_tcp_port, e);
	else
		r = bind_to_some_port(address, interface, SOCK_STREAM, PROXY_TCP_PORT, ret_tcp_port, e);
	if (r < 0)
		return r;
	sockets->listener = r;
	r = bind_to_some_port(address, interface, SOCK_DGRAM, PROXY_DNS_PORT, ret_dns_port, e);
	if (r < 0)
		return r;
	sockets->udp[sockets->n_udp++] = r;
	return 0;
}
