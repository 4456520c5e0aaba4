/* Reading the settings, with anything unclear an error: see config.h. */
#include "helper/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/cleanup.h"

static bool number(const char *text, uint32_t min, uint32_t max, uint32_t *ret)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*ret = (uint32_t)value;
	return isdigit((unsigned char)text[0]) && *end == '\0' && value >= min && value <= max;
}

/* ADDRESS/LENGTH: unicast, not loopback, nor the proxy's synthetic addresses. */
static bool set_pool(struct config *c, char *text)
{
	char *length = strchr(text, '/');
	uint32_t bits, mask;
	struct in_addr address;

	if (!length)
		return false;
	*length++ = '\0';
	if (inet_pton(AF_INET, text, &address) != 1 || !number(length, 15, 30, &bits))
		return false;
	c->pool = ntohl(address.s_addr);
	c->indexes = 1u << (31 - bits);
	mask = ~0u << (32 - bits);
	return (c->pool & ~mask) == 0 && c->pool >> 24 != 0 && c->pool >> 24 != 127 && c->pool >> 29 != 7 &&
	       ((c->pool ^ NAMES_NETWORK) & NAMES_MASK & mask) != 0;
}

/* By number, or by its name in /etc/group itself: no name service (nss(5)) is asked. */
static bool set_group(struct config *c, const char *text)
{
	_cleanup_file_ FILE *file = fopen("/etc/group", "re");
	struct group *group = NULL;

	c->restricted = true;
	while (file && (group = fgetgrent(file)) && strcmp(group->gr_name, text) != 0)
		continue;
	if (group)
		c->group = group->gr_gid;
	return group || number(text, 0, UINT_MAX - 1, &c->group);
}

/* One line. A setting that was made has its bit in `seen`: it comes once. */
static bool read_line(struct config *c, const char *line, unsigned int *seen)
{
	char key[32], value[64];
	unsigned int bit = 0;
	bool valid = false;
	int end = 0;

	if (strchr("#", line[strspn(line, " \t")]))
		return true;
	if (sscanf(line, " %31[a-z-] = %63[^ \t#] %n", key, value, &end) != 2 || !strchr("#", line[end]))
		return false;
	if (strcmp(key, "pool") == 0 && (bit = 1))
		valid = set_pool(c, value);
	else if (strcmp(key, "sessions-per-uid") == 0 && (bit = 2))
		valid = number(value, 1, CABLE_INDEX_MAX, &c->per_user);
	else if (strcmp(key, "sessions-total") == 0 && (bit = 4))
		valid = number(value, 1, CABLE_INDEX_MAX, &c->in_total);
	else if (strcmp(key, "allowed-group") == 0 && (bit = 8))
		valid = set_group(c, value);
	valid = valid && !(*seen & bit);
	*seen |= bit;
	return valid;
}

int config_read(const char *path, struct config *ret, struct helper_failed *failed)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	static char text[8192];
	char *next = text, *line;
	unsigned int seen = 0;
	ssize_t length;
	struct stat st;

	*ret = (struct config){ CABLE_NETWORK, CABLE_INDEX_COUNT, 64, 1000, false, 0, false };
	failed->failure = HELPER_FAILURE_CONFIG_FILE;
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	ret->ignored = !S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
	length = ret->ignored ? 0 : read(fd, text, sizeof(text));
	if (length < 0 || length == sizeof(text))
		return length < 0 ? -errno : -EFBIG;
	text[length] = '\0';
	for (ssize_t i = 0; i < length; i++)
		if (!strchr("\t\n", text[i]) && (unsigned char)text[i] < ' ')
			text[i] = '\0'; /* ends the text too early */
	failed->failure = HELPER_FAILURE_CONFIG_LINE;
	while ((line = strsep(&next, "\n"))) {
		failed->detail++;
		if (!read_line(ret, line, &seen) || (!next && line + strlen(line) != text + length))
			return -EINVAL;
	}
	failed->detail = 0;
	return 0;
}

bool config_permits(const struct config *config, uid_t user)
{
	static gid_t groups[NGROUPS_MAX];
	bool member = user == 0 || !config->restricted || getgid() == config->group;

	for (int count = getgroups(NGROUPS_MAX, groups); !member && count-- > 0;)
		member = groups[count] == config->group;
	return member;
}
