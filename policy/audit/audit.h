/*
 * The record of what the policy decided: one entry a request, allowed or denied (two where one that was allowed has to
 * be sent again and is denied then), numbered from 0, handed to every sink before the request leaves. A request waits
 * until its record is taken; one whose record is refused is not carried out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct audit_record {
	bool allowed;
	const char *method; /* as the client sent it */
	const char *url;    /* with scheme, the canonical host and the query */
	const char *host;   /* canonical */
	const char *rule;   /* text of the rule that decided; NULL if none did */
	const char *reason; /* why it was denied, in a few words ("mismatch", "no rule", …); NULL if allowed */
	uint32_t number;    /* filled in by audit_request() */
};

struct audit;

/* Receives each record; the strings are borrowed for the call. Returns 0, or -errno if the record is lost. */
typedef int audit_sink(void *user, const struct audit_record *record);

/* A new audit without sinks in *ret. Returns 0 or -ENOMEM. */
int audit_new(struct audit **ret);

/* Accepts NULL. What the sinks hold is theirs to free. */
void audit_free(struct audit *audit);

/* Adds a sink. Returns 0, or -ENOSPC when there are too many (AUDIT_SINKS_MAX). */
#define AUDIT_SINKS_MAX 4
int audit_add_sink(struct audit *audit, audit_sink *sink, void *user);

/* Gives the record the next number and hands it to all sinks. Returns 0, or the -errno of the first that lost it. */
int audit_request(struct audit *audit, struct audit_record *record);

/*
 * The sink that logs one line a request: "ALLOW" at info, "DENY" at warn (shared/log.h: a line is cut, and says so, and
 * is waited for). `user` is not used.
 */
int audit_log_sink(void *user, const struct audit_record *record);
