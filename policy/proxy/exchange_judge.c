/* A request's head: read, identified, judged, written anew for the server. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/proxy/exchange_internal.h"
#include "policy/rules/host.h"

/* Not the client's to set: they would let it pass for another session in the logs of a gateway behind us. */
#define SESSION_HEADER "X-Coder-Agent-Firewall-Session-Id"
#define SEQUENCE_HEADER "X-Coder-Agent-Firewall-Sequence-Number"

/* The hosts a request names, normalised, with the buffers they are in. */
struct hosts {
	char authority[HOST_NAME_MAX_LENGTH + 1];
	char host[HOST_NAME_MAX_LENGTH + 1];
	struct identity_claims claims;
};

static int read_claims(const struct exchange *exchange, const struct http1_head *head,
		       const struct http1_target *target, struct hosts *hosts, struct error *e)
{
	const struct client *client = exchange->client;
	struct identity_claims *claims = &hosts->claims;
	int status;

	*claims = (struct identity_claims){
		.synthetic = client->synthetic,
		.destination = client->destination,
		.port = client->port,
		.tls = client->hello != NULL,
		.sni = client->hello && client->hello->named ? client->hello->name : NULL,
	};
	if (target->form == HTTP1_FORM_ABSOLUTE) {
		status = host_port_parse(target->authority.at, target->authority.length, hosts->authority,
					 &claims->authority_port, e);
		if (status < 0)
			return error_prefix(e, "request target");
		claims->authority = hosts->authority;
		claims->absolute_https = target->https;
	}
	if (head->host.length > 0) {
		status = host_port_parse(head->host.at, head->host.length, hosts->host, &claims->host_port, e);
		if (status < 0)
			return error_prefix(e, "Host field");
		claims->host = hosts->host;
	}
	return 0;
}

static char *put(char *at, const char *octets, size_t length)
{
	memcpy(at, octets, length);
	at[length] = '\0';
	return at + length;
}

/* Keeps what was judged, in one block: method, host, path, URL. Returns 0 or -ENOMEM. */
static int keep_request(struct exchange *exchange, const struct http1_head *head, const struct http1_target *target,
			const char *host)
{
	size_t host_length = strlen(host);
	size_t size = head->method.length + target->path.length + 2 * host_length + target->path_and_query.length +
		      sizeof("https://:65535") + 4;
	char *at = malloc(size);
	char port[8] = "";

	if (!at)
		return -ENOMEM;
	exchange->method = at;
	exchange->https = exchange->client->hello != NULL;
	exchange->port = exchange->client->port;
	if (exchange->port != (exchange->https ? 443 : 80))
		snprintf(port, sizeof(port), ":%u", exchange->port);
	at = put(at, head->method.at, head->method.length) + 1;
	exchange->host = at;
	at = put(at, host, host_length) + 1;
	exchange->path = at;
	at = put(at, target->path.at, target->path.length) + 1;
	exchange->url = at;
	at = exchange->https ? put(at, "https://", 8) : put(at, "http://", 7);
	at = put(at, host, host_length);
	at = put(at, port, strlen(port));
	put(at, target->path_and_query.at, target->path_and_query.length);
	return 0;
}

struct rule_request exchange_rule_request(const struct exchange *exchange, const struct ip_address *address)
{
	return (struct rule_request){
		.method = exchange->method,
		.scheme = exchange->https ? RULE_HTTPS : RULE_HTTP,
		.host = exchange->host,
		.port = exchange->port,
		.path = exchange->path,
		.address = address,
	};
}

int exchange_audit(struct exchange *exchange, bool allowed, const char *rule, const char *reason)
{
	struct audit_record record = {
		.allowed = allowed,
		.method = exchange->method,
		.url = exchange->url,
		.host = exchange->host,
		.rule = rule,
		.reason = reason,
	};

	/* A new connection may lead elsewhere than the idle one did for which the request was allowed. */
	if (exchange->audited && (allowed || exchange->audited_denied))
		return 0;
	exchange->audited = true;
	exchange->audited_denied = !allowed;
	return audit_request(exchange->session->audit, &record);
}

static bool method_is(const struct http1_head *head, const char *name)
{
	size_t length = strlen(name);

	return head->method.length == length && memcmp(head->method.at, name, length) == 0;
}

static bool is_idempotent(const struct http1_head *head)
{
	return method_is(head, "GET") || method_is(head, "HEAD") || method_is(head, "OPTIONS") ||
	       method_is(head, "PUT") || method_is(head, "DELETE") || method_is(head, "TRACE");
}

/* What the head says about the exchange, whatever becomes of it. */
static void take_properties(struct exchange *exchange, const struct http1_head *head)
{
	exchange->http10 = head->minor_version == 0;
	exchange->keep_client = head->keep_alive;
	exchange->wants_keep_alive_told = exchange->http10 && head->keep_alive;
	exchange->expects = head->expect_continue;
	exchange->idempotent = is_idempotent(head);
	/*
	 * After another upgrade than this one (to HTTP/2, say) requests could follow that nobody judges: the field is
	 * not sent on and the server answers as if it had not been there.
	 */
	exchange->upgrade = http1_text_is(head->upgrade, "websocket") && method_is(head, "GET");
	body_start(&exchange->request, head->framing, head->content_length, head->framing == HTTP1_BODY_CHUNKED);
}

/*
 * The request as the server gets it, to `to_upstream`; its Host is the client's, canonical, also where that is short
 * for the name that was judged. Returns 0 or -errno.
 */
static int write_request(struct exchange *exchange, const struct http1_head *head, const struct http1_target *target,
			 const struct hosts *hosts)
{
	static const char *const skip[] = { "Host", SESSION_HEADER, SEQUENCE_HEADER, NULL };
	const char *named = hosts->claims.host        ? hosts->claims.host
			    : hosts->claims.authority ? hosts->claims.authority
						      : exchange->host;
	uint16_t named_port = hosts->claims.host ? hosts->claims.host_port : hosts->claims.authority_port;
	char host[HOST_NAME_MAX_LENGTH + 8];
	struct http1_writer writer;
	ssize_t length;

	if (buffer_hold(&exchange->session->buffers, &exchange->to_upstream) < 0)
		return -ENOMEM;
	if (!hosts->claims.host && !hosts->claims.authority && exchange->port != (exchange->https ? 443 : 80))
		named_port = exchange->port;
	snprintf(host, sizeof(host), named_port ? "%s:%u" : "%s", named, named_port);
	writer = http1_writer_to(exchange->to_upstream.data, BUFFER_SIZE);
	http1_write_request_line(&writer, head->method, target->path_and_query);
	http1_write_field(&writer, "Host", http1_text_of(host));
	if (exchange->upgrade) {
		http1_write_field(&writer, "Connection", http1_text_of("upgrade"));
		http1_write_field(&writer, "Upgrade", head->upgrade);
	}
	http1_write_fields(&writer, head, skip);
	http1_write_framing(&writer, head->framing, head->content_length);
	length = http1_write_end(&writer);
	if (length < 0)
		return (int)length;
	exchange->to_upstream.end = (size_t)length;
	return 0;
}

static void refuse_identity(struct exchange *exchange, const struct error *error)
{
	char text[ERROR_TEXT_MAX + 128];
	int length;

	exchange_audit(exchange, false, NULL, "mismatch");
	exchange_explain(exchange, DIAGNOSTIC_MISMATCH, error->text);
	length = snprintf(text, sizeof(text), "Boundary: this request does not name one host: %s.\n", error->text);
	exchange->keep_client = false;
	exchange_reply(exchange, 421, "Misdirected Request", text, (size_t)length);
}

/* Judges the parsed head and writes what the server gets. Returns 0 to go on, or a negative value when the answer has
 * been given. */
static int judge(struct exchange *exchange, const struct http1_head *head, const struct http1_target *target)
{
	struct error error = { 0 };
	struct hosts hosts;
	struct rule_request request;
	struct rule_decision decision;
	const char *host;
	int mismatch;

	if (read_claims(exchange, head, target, &hosts, &error) < 0) {
		exchange->keep_client = false;
		exchange_refuse(exchange, 400, "Bad Request", "%s", error.text);
		return -EBADMSG;
	}
	mismatch = identity_judge(&hosts.claims, &exchange->session->search, &host, &error);
	if (mismatch < 0)
		host = hosts.claims.host        ? hosts.claims.host
		       : hosts.claims.authority ? hosts.claims.authority
						: exchange->client->literal;
	if (keep_request(exchange, head, target, host) < 0 ||
	    (mismatch == 0 && write_request(exchange, head, target, &hosts) < 0)) {
		if (exchange->method)
			exchange_audit(exchange, false, NULL, "cannot be passed on");
		exchange->keep_client = false;
		exchange_refuse(exchange, 500, "Internal Server Error",
				"The request cannot be passed on: out of memory.");
		return -ENOMEM;
	}
	if (mismatch < 0) {
		refuse_identity(exchange, &error);
		return -EXDEV;
	}
	request = exchange_rule_request(exchange, NULL);
	rule_set_decide(exchange->session->rules, &request, &decision);
	if (!decision.allowed) {
		exchange_deny(exchange, &decision, NULL);
		return -EACCES;
	}
	exchange->rule = decision.rule;
	return 0;
}

static void refuse_head(struct exchange *exchange, int status, const char *reason)
{
	exchange->keep_client = false;
	if (status == -E2BIG)
		exchange_refuse(exchange, 431, "Request Header Fields Too Large", "%s", reason);
	else if (status == -ENOTSUP)
		exchange_refuse(exchange, 501, "Not Implemented", "%s", reason);
	else
		exchange_refuse(exchange, 400, "Bad Request", "%s", reason);
}

void exchange_begin(struct exchange *exchange, int head_length)
{
	struct http1_head *head = &exchange->session->head;
	struct buffer *in = &exchange->client->in;
	struct http1_target target;
	struct error error = { 0 };
	int status;

	if (head_length < 0) {
		refuse_head(exchange, head_length,
			    head_length == -E2BIG ? "The request's head is longer than 64 KiB."
						  : "This is not a well-formed HTTP/1 request.");
		return;
	}
	status = http1_parse_request(buffer_head(in), (size_t)head_length, head, &error);
	if (status < 0) {
		refuse_head(exchange, status, error.text);
		return;
	}
	take_properties(exchange, head);
	if (method_is(head, "CONNECT")) {
		exchange->keep_client = false;
		exchange_refuse(exchange, 405, "Method Not Allowed",
				"This proxy is transparent and takes no CONNECT: unset the proxy settings "
				"(https_proxy, HTTPS_PROXY, "
				"http_proxy, ALL_PROXY) and connect directly.");
		return;
	}
	status = http1_parse_target(head->method, head->target, &target, &error);
	if (status < 0) {
		refuse_head(exchange, status, error.text);
		return;
	}
	status = judge(exchange, head, &target);
	buffer_consume(in, (size_t)head_length);
	buffer_drop_empty(&exchange->session->buffers, in);
	if (status == 0)
		exchange_reach(exchange);
}
