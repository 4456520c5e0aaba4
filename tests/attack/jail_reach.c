/* See jail_reach.h. Everything is bounded by REACH_TIMEOUT_MS: in a jail most of it is met by silence. */
#include "tests/attack/jail_reach.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SCAN_BATCH_MAX 4096
#define SCAN_WAIT_MS 150
#define RESERVED_FDS 16

bool reach_parse(const char *address, uint16_t port, struct reach_target *ret)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct addrinfo *found;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(address, service, &hints, &found) != 0)
		return false;
	memcpy(&ret->address, found->ai_addr, found->ai_addrlen);
	ret->length = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

const char *reach_format(const struct reach_target *target, char ret[96])
{
	char host[64], port[8];

	if (getnameinfo((const struct sockaddr *)&target->address, target->length, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(ret, 96, "?");
	else
		snprintf(ret, 96, "%s port %s", host, port);
	return ret;
}

/* Waits for `events`; false after REACH_TIMEOUT_MS. */
static bool wait_for(int fd, short events)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	return poll(&poll_fd, 1, REACH_TIMEOUT_MS) == 1;
}

/* Returns 0 or an errno value. */
static int connect_within(int fd, const struct reach_target *target)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (connect(fd, (const struct sockaddr *)&target->address, target->length) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (!wait_for(fd, POLLOUT))
		return ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		return errno;
	return error;
}

static void receive_all(int fd, struct reach_answer *answer)
{
	ssize_t n;

	while (answer->length < sizeof(answer->text) - 1 && wait_for(fd, POLLIN)) {
		n = recv(fd, answer->text + answer->length, sizeof(answer->text) - 1 - answer->length, 0);
		if (n < 0)
			answer->error = errno;
		if (n <= 0)
			break;
		answer->length += (size_t)n;
	}
	answer->text[answer->length] = '\0';
}

static int new_socket(const struct reach_target *target, int type)
{
	return socket(target->address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

void reach_tcp(int socket, const struct reach_target *target, const char *request, struct reach_answer *ret)
{
	int fd = socket >= 0 ? socket : new_socket(target, SOCK_STREAM);

	memset(ret, 0, sizeof(*ret));
	ret->error = fd < 0 ? errno : connect_within(fd, target);
	ret->connected = ret->error == 0;
	if (ret->connected && *request && send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		ret->error = errno;
	if (ret->connected)
		receive_all(fd, ret);
	if (fd >= 0)
		close(fd);
}

/* The first answer, or the error that an ICMP message carries. */
static void receive_one(int fd, struct reach_answer *answer)
{
	ssize_t n;

	if (!wait_for(fd, POLLIN)) {
		answer->error = ETIMEDOUT;
		return;
	}
	n = recv(fd, answer->text, sizeof(answer->text) - 1, 0);
	if (n < 0)
		answer->error = errno;
	else
		answer->length = (size_t)n;
}

void reach_udp(int socket, const struct reach_target *target, const char *request, struct reach_answer *ret)
{
	int fd = socket >= 0 ? socket : new_socket(target, SOCK_DGRAM);
	const int on = 1;

	memset(ret, 0, sizeof(*ret));
	if (fd < 0) {
		ret->error = errno;
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
	ret->sent = sendto(fd, request, strlen(request), MSG_NOSIGNAL, (const struct sockaddr *)&target->address,
			   target->length) >= 0;
	if (ret->sent)
		receive_one(fd, ret);
	else
		ret->error = errno;
	close(fd);
}

/* As many sockets at once as the limits allow. */
static size_t scan_batch(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return RESERVED_FDS;
	limit.rlim_cur =
		limit.rlim_max < SCAN_BATCH_MAX + RESERVED_FDS ? limit.rlim_max : SCAN_BATCH_MAX + RESERVED_FDS;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > 2 * RESERVED_FDS ? (size_t)limit.rlim_cur - RESERVED_FDS : RESERVED_FDS;
}

static bool connected_now(int fd)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
}

/* Starts connections to ports first … first + n - 1, waits once for all, and counts. */
static unsigned int scan_ports(const char *address, unsigned int first, size_t n, int *fds, uint16_t *ret_first)
{
	unsigned int accepted = 0;

	for (size_t i = 0; i < n; i++) {
		struct reach_target target;

		if (!reach_parse(address, (uint16_t)(first + i), &target))
			return 0;
		fds[i] = new_socket(&target, SOCK_STREAM);
		if (fds[i] >= 0)
			connect(fds[i], (struct sockaddr *)&target.address, target.length);
	}
	poll(NULL, 0, SCAN_WAIT_MS);
	for (size_t i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		if (connected_now(fds[i]) && accepted++ == 0 && *ret_first == 0)
			*ret_first = (uint16_t)(first + i);
		close(fds[i]);
	}
	return accepted;
}

unsigned int reach_scan(const char *address, uint16_t *ret_first)
{
	const size_t batch = scan_batch();
	int *fds = calloc(batch, sizeof(*fds));
	unsigned int accepted = 0;

	*ret_first = 0;
	for (unsigned int port = 1; fds && port <= 65535; port += (unsigned int)batch) {
		size_t n = 65536 - port < batch ? 65536 - port : batch;

		accepted += scan_ports(address, port, n, fds, ret_first);
	}
	free(fds);
	return accepted;
}
