/* From an allowed request to a connection: the name resolved by us, each address judged, then dialled. */
#include <errno.h>
#include <string.h>

#include "policy/proxy/exchange_internal.h"
#include "policy/proxy/routes.h"
#include "shared/addresses.h"

#define SILENT_SECONDS 10.0
/*
 * A request that must not be sent twice takes no connection that the server may be closing right now: servers in use
 * give up idle ones after five seconds or more.
 */
#define IDLE_SAFE 4.0

/* Judges the request with an address. `foreign`: known not to be this host's own. */
static bool may_dial(struct exchange *exchange, const struct ip_address *address, bool foreign,
		     struct rule_decision *decision)
{
	struct rule_request request = exchange_rule_request(exchange, address);

	rule_set_decide(exchange->session->rules, &request, decision);
	if (!decision->allowed)
		return false;
	if (exchange_address_is_ours(address) ||
	    (!decision->by_address && !foreign && routes_is_own(exchange->session->routes, address))) {
		*decision = (struct rule_decision){ .allowed = false, .action = RULE_ALLOW };
		return false;
	}
	return true;
}

/* Nothing leaves that is not on record. Returns false when the request has been refused for that. */
static bool is_on_record(struct exchange *exchange)
{
	int status = exchange_audit(exchange, true, exchange->rule, NULL);

	if (status < 0)
		exchange_refuse(exchange, 503, "Service Unavailable",
				"The request is not carried out: it cannot be put on record: %s.", strerror(-status));
	return status == 0;
}

static void use(struct exchange *exchange, struct upstream *upstream);

static void on_upstream(void *user)
{
	struct exchange *exchange = user;

	client_run(exchange->client);
}

static void on_dialled(void *user, int status, struct upstream *upstream, const char *reason)
{
	struct exchange *exchange = user;

	exchange->dial = NULL;
	if (status == 0)
		use(exchange, upstream);
	else if (status == -ETIMEDOUT)
		exchange_refuse(exchange, 504, "Gateway Timeout", "%s", reason);
	else
		exchange_refuse(exchange, 502, "Bad Gateway", "%s", reason);
	client_run(exchange->client);
}

/*
 * A peer that is gone without a word would be waited for until the kernel is tired of sending again (tcp(7),
 * tcp_retries2: a quarter of an hour). One that has acknowledged something is there, and may think as long as it likes.
 */
static void on_late(void *user)
{
	struct exchange *exchange = user;
	struct upstream *upstream = exchange->upstream;
	size_t given = exchange->given;

	if (exchange->head_done || given == 0 || stream_unacknowledged(&upstream->stream) < given)
		return;
	upstream_distrust(upstream);
	exchange_upstream_gone(exchange, -ETIMEDOUT);
	client_run(exchange->client);
}

static void use(struct exchange *exchange, struct upstream *upstream)
{
	upstream->ready = on_upstream;
	upstream->user = exchange;
	exchange->upstream = upstream;
	exchange->state = EXCHANGE_FORWARDING;
	exchange->replayable = upstream->reused && exchange->idempotent && exchange->request.done;
	exchange->given = 0;
	if (upstream->reused)
		upstream_remind(upstream, SILENT_SECONDS, on_late);
}

static void dial(struct exchange *exchange, const struct ip_address *addresses, size_t n_addresses)
{
	struct session *session = exchange->session;

	/* A name that was completed by a search domain is also the one that the server's certificate must have. */
	exchange->state = EXCHANGE_DIALLING;
	if (upstream_dial(session->upstreams, exchange->https, exchange->host, exchange->port, addresses, n_addresses,
			  on_dialled, exchange, &exchange->dial) < 0)
		exchange_refuse(exchange, 502, "Bad Gateway", "Cannot connect to %s: out of memory.", exchange->host);
}

/* Keeps the addresses that may be dialled; none left is a denial. */
static void judge_addresses(struct exchange *exchange, const struct ip_address *addresses, size_t n_addresses)
{
	struct ip_address usable[RESOLVER_ADDRESSES_MAX];
	struct rule_decision decision, first = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < n_addresses && i < RESOLVER_ADDRESSES_MAX; i++) {
		if (may_dial(exchange, &addresses[i], false, &decision)) {
			if (n == 0)
				exchange->rule = decision.rule;
			usable[n++] = addresses[i];
		} else if (i == 0) {
			first = decision;
		}
	}
	if (n == 0)
		exchange_deny(exchange, &first, &addresses[0]);
	else if (is_on_record(exchange))
		dial(exchange, usable, n);
}

static void on_resolved(void *user, int status, const struct ip_address *addresses, size_t n_addresses,
			const char *reason)
{
	struct exchange *exchange = user;

	exchange->query = NULL;
	if (status == 0) {
		judge_addresses(exchange, addresses, n_addresses);
	} else {
		/* Outside, a resolver would try each of them, for names with dots, too. */
		bool searches = status == -ENOENT && exchange->session->search.n > 0;

		exchange_audit(exchange, true, exchange->rule, NULL);
		exchange_refuse(
			exchange, status == -ETIMEDOUT ? 504 : 502,
			status == -ETIMEDOUT ? "Gateway Timeout" : "Bad Gateway",
			"The name %s cannot be resolved: %s%s", exchange->host, reason,
			searches ? "; if it is completed by a search domain of /etc/resolv.conf, use the full name"
				 : "");
	}
	client_run(exchange->client);
}

static bool is_usable(void *user, struct upstream *upstream)
{
	struct exchange *exchange = user;
	struct rule_decision decision;

	if (!may_dial(exchange, &upstream->address, upstream->foreign, &decision))
		return false;
	/* Asked once a connection, not once a request. */
	upstream->foreign = upstream->foreign || !decision.by_address;
	exchange->rule = decision.rule;
	return true;
}

void exchange_reach(struct exchange *exchange)
{
	struct session *session = exchange->session;
	struct upstream *upstream =
		upstream_take(session->upstreams, exchange->https, exchange->host, exchange->port,
			      exchange->idempotent && exchange->request.done ? UPSTREAM_IDLE_SECONDS : IDLE_SAFE,
			      is_usable, exchange);

	if (upstream) {
		if (is_on_record(exchange))
			use(exchange, upstream);
		else
			upstream_keep(upstream);
		return;
	}
	exchange->state = EXCHANGE_RESOLVING;
	if (resolver_lookup(session->resolver, exchange->host, on_resolved, exchange, &exchange->query) < 0)
		exchange_refuse(exchange, 502, "Bad Gateway", "The name %s cannot be resolved: out of memory.",
				exchange->host);
}
