/* The record of decisions and its log sink: see audit.h. */
#include "policy/audit/audit.h"

#include <errno.h>
#include <stdlib.h>

#include "shared/cleanup.h"
#include "shared/log.h"

struct audit {
	uint32_t next_number;
	size_t n_sinks;
	struct {
		audit_sink *function;
		void *user;
	} sinks[AUDIT_SINKS_MAX];
};

int audit_new(struct audit **ret)
{
	struct audit *audit = calloc(1, sizeof(*audit));

	if (!audit)
		return -ENOMEM;
	*ret = audit;
	return 0;
}

void audit_free(struct audit *audit)
{
	free(audit);
}

int audit_add_sink(struct audit *audit, audit_sink *sink, void *user)
{
	if (audit->n_sinks == AUDIT_SINKS_MAX)
		return -ENOSPC;
	audit->sinks[audit->n_sinks].function = sink;
	audit->sinks[audit->n_sinks].user = user;
	audit->n_sinks++;
	return 0;
}

int audit_request(struct audit *audit, struct audit_record *record)
{
	int status = 0;

	record->number = audit->next_number++;
	for (size_t i = 0; i < audit->n_sinks; i++) {
		int r = audit->sinks[i].function(audit->sinks[i].user, record);

		status = status < 0 ? status : r;
	}
	return status;
}

int audit_log_sink(void *user, const struct audit_record *record)
{
	enum log_level level = record->allowed ? LOG_LEVEL_INFO : LOG_LEVEL_WARN;
	const struct log_field fields[] = {
		{ "method", record->method }, { "url", record->url },       { "host", record->host },
		{ "rule", record->rule },     { "reason", record->reason },
	};

	(void)user;
	return log_event(level, record->allowed ? "ALLOW" : "DENY", fields, array_size(fields));
}
