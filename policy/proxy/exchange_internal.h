/* The parts of an exchange, for exchange*.c only. */
#pragma once

#include "policy/proxy/exchange.h"
#include "policy/proxy/page.h"

/* exchange_judge.c: reads and judges the head; ends in the state local, forwarding or resolving. */
void exchange_begin(struct exchange *exchange, int head_length);

/*
 * exchange_judge.c: writes the entry in the record, once, and once more if what was allowed is denied after all.
 * `reason` NULL: allowed. Returns 0, or -errno if the record is lost.
 */
int exchange_audit(struct exchange *exchange, bool allowed, const char *rule, const char *reason);

/* exchange_reach.c: finds or makes a connection to the server, its address judged too. */
void exchange_reach(struct exchange *exchange);

/* exchange.c: the client has ended its side and no request of its is waiting. */
bool exchange_is_last(const struct exchange *exchange);

/* exchange_reply.c: the proxy answers with a text of its own; whatever was under way to the server is given up. */
void exchange_reply(struct exchange *exchange, int status, const char *reason_phrase, const char *text, size_t length);

/* exchange_reply.c: a line about the request, at warn, if the limit of its kind allows one. */
void exchange_explain(struct exchange *exchange, enum diagnostic kind, const char *text);

/* exchange_reply.c: "TEXT\n" from a format, logged as well; on record, too, if the request never came to be judged. */
void exchange_refuse(struct exchange *exchange, int status, const char *reason_phrase, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* exchange_reply.c: 198.18.0.0/15 is ours: nothing there is ever an origin, whatever a rule says. */
bool exchange_address_is_ours(const struct ip_address *address);

/* exchange_reply.c: 403 with the page that says what would permit it, and the entry in the record. */
void exchange_deny(struct exchange *exchange, const struct rule_decision *decision, const struct ip_address *address);

/* The request as the rules see it; the strings are the exchange's. */
struct rule_request exchange_rule_request(const struct exchange *exchange, const struct ip_address *address);

/* exchange_response.c: takes the response's head(s) from `upstream->in`. Returns 0, -EAGAIN if more is needed; a broken
 * one is answered by 502. */
int exchange_response_head(struct exchange *exchange);

/* exchange_response.c: the server is gone before the final response's head: tries again, or answers by 502. */
void exchange_upstream_gone(struct exchange *exchange, int status);
