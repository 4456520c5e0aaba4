/* The configuration from the launcher: see config.h. */
#include "policy/proxy/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "shared/proxy_protocol.h"

#define FD_KINDS 4
#define CONFIG_MAX (256 << 20)

struct mapping {
	char *at;
	size_t length;
};

static void mapping_cleanup(struct mapping *mapping)
{
	if (mapping->at)
		munmap(mapping->at, mapping->length);
}

static int take_fds(struct wire_message *message, uint32_t present, int fds[FD_KINDS])
{
	size_t n = 0;

	for (int kind = 0; kind < FD_KINDS; kind++) {
		fds[kind] = -1;
		if (!(present & 1u << kind))
			continue;
		if (n == message->n_fds)
			return -EPROTO;
		fds[kind] = take_fd(&message->fds[n++]);
	}
	return n == message->n_fds ? 0 : -EPROTO;
}

static int add_record(struct session *session, const char *record, size_t counts[2], struct error *e)
{
	const char *value = strchr(record, '=');
	size_t key_length = value ? (size_t)(value - record) : 0;
	char source[32];

	value = value ? value + 1 : NULL;
	if (key_length == 5 && strncmp(record, "allow", 5) == 0) {
		snprintf(source, sizeof(source), "allow rule %zu", ++counts[0]);
		return rule_set_add(session->rules, RULE_ALLOW, value, source, e);
	}
	if (key_length == 4 && strncmp(record, "deny", 4) == 0) {
		snprintf(source, sizeof(source), "deny rule %zu", ++counts[1]);
		return rule_set_add(session->rules, RULE_DENY, value, source, e);
	}
	if (key_length == 6 && strncmp(record, "search", 6) == 0)
		return search_domains_add(&session->search, value) < 0 ? error_errno(e, ENOMEM, "search domains") : 0;
	return error_set(e, EPROTO, "unknown record \"%.32s\" in the proxy's configuration", record);
}

static int add_records(struct session *session, int fd, struct error *e)
{
	_cleanup_(mapping_cleanup) struct mapping mapping = { 0 };
	size_t counts[2] = { 0 };
	struct stat status;
	int result;

	if (fstat(fd, &status) < 0)
		return error_errno(e, errno, "the proxy's configuration");
	if (status.st_size == 0)
		return 0;
	if (status.st_size > CONFIG_MAX)
		return error_set(e, EFBIG, "the proxy's configuration is larger than 256 MiB");
	mapping.length = (size_t)status.st_size;
	mapping.at = mmap(NULL, mapping.length, PROT_READ, MAP_PRIVATE, fd, 0);
	if (mapping.at == MAP_FAILED) {
		mapping.at = NULL;
		return error_errno(e, errno, "the proxy's configuration");
	}
	if (mapping.at[mapping.length - 1] != '\0')
		return error_set(e, EPROTO, "the proxy's configuration does not end in NUL");
	for (size_t at = 0; at < mapping.length; at += strlen(mapping.at + at) + 1) {
		result = add_record(session, mapping.at + at, counts, e);
		if (result < 0)
			return result;
	}
	return 0;
}

int config_read(struct wire_message *message, struct session *session, struct config *ret, struct error *e)
{
	const uint32_t needed = 1u << PROXY_FD_CONFIG | 1u << PROXY_FD_LOG;
	struct proxy_configure configure;
	int fds[FD_KINDS] = { -1, -1, -1, -1 };
	int status = -EPROTO;

	if (message->type == PROXY_CONFIGURE && message->length == sizeof(configure)) {
		memcpy(&configure, message->payload, sizeof(configure));
		if ((configure.fds & needed) == needed && configure.fds < 1u << FD_KINDS &&
		    configure.log_level <= LOG_LEVEL_DEBUG && configure.log_format <= LOG_FORMAT_JSON)
			status = take_fds(message, configure.fds, fds);
	}
	if (status < 0)
		error_set(e, EPROTO,
			  "the launcher's first message is not a proper PROXY_CONFIGURE: do the versions match?");
	else
		status = rule_set_new(&session->rules) < 0 ? error_errno(e, ENOMEM, "rules")
							   : add_records(session, fds[PROXY_FD_CONFIG], e);
	close_fd(&fds[PROXY_FD_CONFIG]);
	if (status < 0) {
		for (int kind = 0; kind < FD_KINDS; kind++)
			close_fd(&fds[kind]);
		return status;
	}
	*ret = (struct config){
		.log_fd = fds[PROXY_FD_LOG],
		.system_ca = fds[PROXY_FD_SYSTEM_CA],
		.extra_ca = fds[PROXY_FD_EXTRA_CA],
		.log_level = (enum log_level)configure.log_level,
		.log_format = (enum log_format)configure.log_format,
	};
	return 0;
}
