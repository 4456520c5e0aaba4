/* Reading of resolv.conf(5), with glibc's reading of it where the page leaves room. */
#include "launcher/nameservers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"

#define BLANKS " \t\n"
#define SEARCH_LINES_MAX 65536 /* lines read: the file is not ours */

/* The scope of "fe80::1%eth0" or "fe80::1%2"; 0 if there is no such interface. */
static uint32_t parse_scope(const char *text)
{
	uint32_t index = if_nametoindex(text);
	char *end;
	unsigned long number;

	if (index > 0 || text[0] < '0' || text[0] > '9')
		return index;
	number = strtoul(text, &end, 10);
	return *end == '\0' && number <= UINT32_MAX ? (uint32_t)number : 0;
}

static bool parse_server(char *text, struct nameserver *ret)
{
	struct nameserver server = { .family = AF_INET };
	struct in_addr ipv4;
	struct in6_addr ipv6;
	char *scope = strchr(text, '%');

	if (inet_pton(AF_INET, text, &ipv4) == 1) {
		server.ipv4 = ipv4;
	} else {
		if (scope)
			*scope = '\0';
		if (inet_pton(AF_INET6, text, &ipv6) != 1)
			return false;
		server.family = AF_INET6;
		server.ipv6 = ipv6;
		server.scope_id = scope ? parse_scope(scope + 1) : 0;
	}
	*ret = server;
	return true;
}

static void add_search(struct nameservers *into, const char *name)
{
	if (into->n_search == NAMESERVERS_SEARCH_MAX)
		return;
	if (host_normalise(name, strlen(name), into->search[into->n_search], NULL) == 0)
		into->n_search++;
}

/* The rest of a line that begins with `keyword` and a blank, else NULL. */
static char *after_keyword(char *line, const char *keyword)
{
	size_t length = strlen(keyword);

	if (strncmp(line, keyword, length) != 0 || (line[length] != ' ' && line[length] != '\t'))
		return NULL;
	return line + length;
}

/* `once`: of a `domain` line only the first word counts. */
static void take_search(struct nameservers *into, char *words, bool once)
{
	char *state = NULL;
	char *word = strtok_r(words, BLANKS, &state);

	if (!word)
		return;
	into->n_search = 0;
	for (; word; word = once ? NULL : strtok_r(NULL, BLANKS, &state))
		add_search(into, word);
}

static void take_line(struct nameservers *into, char *line, bool *had_search)
{
	char *rest, *state = NULL;

	if ((rest = after_keyword(line, "nameserver"))) {
		char *word = strtok_r(rest, "#;" BLANKS, &state);

		if (word && into->n_servers < NAMESERVERS_MAX && parse_server(word, &into->servers[into->n_servers]))
			into->n_servers++;
	} else if ((rest = after_keyword(line, "search"))) {
		take_search(into, rest, false);
		*had_search = true;
	} else if ((rest = after_keyword(line, "domain"))) {
		take_search(into, rest, true);
		*had_search = true;
	}
}

/* Errors at which libc, too, goes on as if the file were empty. */
static bool means_absent(int code)
{
	return code == ENOENT || code == ENOTDIR || code == EACCES || code == EPERM || code == EISDIR ||
	       code == ELOOP || code == ENAMETOOLONG;
}

static int read_lines(const char *path, struct nameservers *into, bool *had_search)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!file)
		return means_absent(errno) ? 0 : -errno;
	errno = 0;
	for (size_t n = 0; n < SEARCH_LINES_MAX && getline(&line, &size, file) >= 0; n++)
		take_line(into, line, had_search);
	return ferror(file) && !means_absent(errno) ? -errno : 0;
}

int nameservers_read(const char *path, const char *hostname, struct nameservers *ret, struct error *e)
{
	const char *dot = hostname ? strchr(hostname, '.') : NULL;
	_cleanup_free_ struct nameservers *found = calloc(1, sizeof(*found));
	bool had_search = false;
	int r;

	if (!found)
		return error_errno(e, ENOMEM, "cannot read %s", path);
	r = read_lines(path, found, &had_search);
	if (r < 0)
		return error_errno(e, -r, "cannot read %s", path);
	if (found->n_servers == 0) {
		found->servers[0] = (struct nameserver){ .family = AF_INET };
		found->servers[0].ipv4.s_addr = htonl(INADDR_LOOPBACK);
		found->n_servers = 1;
	}
	if (!had_search && dot)
		add_search(found, dot + 1);
	*ret = *found;
	return 0;
}

bool nameserver_is_loopback(const struct nameserver *server)
{
	if (server->family == AF_INET)
		return ntohl(server->ipv4.s_addr) >> 24 == 127 || server->ipv4.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_LOOPBACK(&server->ipv6) || IN6_IS_ADDR_UNSPECIFIED(&server->ipv6) ||
	       (IN6_IS_ADDR_V4MAPPED(&server->ipv6) && server->ipv6.s6_addr[12] == 127);
}

bool nameserver_is_link_local(const struct nameserver *server)
{
	return server->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&server->ipv6);
}

static struct nameserver reached(const struct nameserver *server)
{
	struct nameserver ret = *server;

	if (ret.family == AF_INET && ret.ipv4.s_addr == htonl(INADDR_ANY))
		ret.ipv4.s_addr = htonl(INADDR_LOOPBACK);
	if (ret.family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&ret.ipv6))
		ret.ipv6 = in6addr_loopback;
	return ret;
}

bool nameserver_is_same(const struct nameserver *a, const struct nameserver *b)
{
	const struct nameserver first = reached(a), second = reached(b);

	if (first.family != second.family || first.scope_id != second.scope_id)
		return false;
	return first.family == AF_INET ? first.ipv4.s_addr == second.ipv4.s_addr
				       : IN6_ARE_ADDR_EQUAL(&first.ipv6, &second.ipv6);
}
