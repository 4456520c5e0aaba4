/* What a session's connections share: see session.h. */
#include "policy/proxy/session.h"

#include <errno.h>

#include "policy/proxy/client.h"
#include "policy/proxy/routes.h"
#include "shared/cleanup.h"

static int make_audit(struct session *session)
{
	int status = audit_new(&session->audit);

	return status < 0 ? status : audit_add_sink(session->audit, audit_log_sink, NULL);
}

int session_prepare(struct session *session, int system_ca, int extra_ca, struct error *e)
{
	int status = trust_new(system_ca, extra_ca, &session->trust, e);

	if (status < 0)
		return status;
	session->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (!session->loop)
		return error_set(e, EIO, "cannot make an event loop: epoll(7) is not available");
	diagnostics_start(&session->diagnostics, session->loop);
	session->routes = routes_open(e);
	if (session->routes < 0)
		return session->routes;
	status = ca_new(&session->ca, e);
	if (status == 0)
		status = resolver_new(session->loop, &session->resolver, e);
	if (status < 0)
		return status;
	if (make_audit(session) < 0 || names_new(&session->names) < 0 ||
	    dns_server_new(session->loop, session->names, &session->dns) < 0 ||
	    upstream_pool_new(session->loop, &session->buffers, session->trust, &session->upstreams) < 0)
		return error_errno(e, ENOMEM, "session");
	return 0;
}

void session_clear(struct session *session)
{
	if (session->loop)
		client_stop(session);
	diagnostics_end(&session->diagnostics);
	upstream_pool_free(session->upstreams);
	dns_server_free(session->dns);
	resolver_free(session->resolver);
	names_free(session->names);
	audit_free(session->audit);
	trust_free(session->trust);
	SSL_CTX_free(session->client_tls);
	ca_free(session->ca);
	rule_set_free(session->rules);
	search_domains_clear(&session->search);
	buffer_pool_clear(&session->buffers);
	close_fd(&session->routes);
	if (session->loop)
		ev_loop_destroy(session->loop);
}
