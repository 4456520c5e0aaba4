/* One identity for each request: see identity.h. */
#include "policy/proxy/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int search_domains_add(struct search_domains *search, const char *domain)
{
	char **names = reallocarray(search->names, search->n + 1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	search->names = names;
	names[search->n] = strdup(domain);
	if (!names[search->n])
		return -ENOMEM;
	search->n++;
	return 0;
}

void search_domains_clear(struct search_domains *search)
{
	for (size_t i = 0; i < search->n; i++)
		free(search->names[i]);
	free(search->names);
	*search = (struct search_domains){ 0 };
}

/* True if `name` is `host` with a search domain behind it. */
static bool is_searched(const char *name, const char *host, const struct search_domains *search)
{
	size_t length = strlen(host);

	if (strncmp(name, host, length) != 0 || name[length] != '.')
		return false;
	for (size_t i = 0; i < search->n; i++)
		if (strcmp(name + length + 1, search->names[i]) == 0)
			return true;
	return false;
}

static int differ(struct error *e, const char *what, const char *value, const char *other, const char *other_value)
{
	return error_set(e, EXDEV, "%s names %s but %s is %s", what, value, other, other_value);
}

static int judge_ports(const struct identity_claims *claims, struct error *e)
{
	if (claims->host_port && claims->host_port != claims->port)
		return error_set(e, EXDEV, "the Host field names port %u but the connection was made to port %u",
				 claims->host_port, claims->port);
	if (claims->authority_port && claims->authority_port != claims->port)
		return error_set(e, EXDEV, "the request target names port %u but the connection was made to port %u",
				 claims->authority_port, claims->port);
	if (claims->authority && claims->absolute_https != claims->tls)
		return error_set(e, EXDEV, "the request target's scheme is %s but the connection is %s",
				 claims->absolute_https ? "https" : "http", claims->tls ? "TLS" : "not TLS");
	return 0;
}

/* Compares the host that the message names with where the connection went. Puts the full name to *ret. */
static int judge_destination(const struct identity_claims *claims, const struct search_domains *search,
			     const char *host, const char *what, const char **ret, struct error *e)
{
	*ret = host;
	if (strcmp(host, claims->destination) == 0)
		return 0;
	if (claims->synthetic) {
		if (is_searched(claims->destination, host, search)) {
			if (!strchr(host, '.'))
				*ret = claims->destination;
			return 0;
		}
		return differ(e, what, host, "the name asked for by DNS", claims->destination);
	}
	if (host_is_literal(host))
		return differ(e, what, host, "the address connected to", claims->destination);
	return 0;
}

int identity_judge(const struct identity_claims *claims, const struct search_domains *search, const char **ret_host,
		   struct error *e)
{
	const char *host = claims->host ? claims->host : claims->authority ? claims->authority : claims->sni;
	const char *what = claims->host        ? "the Host field"
			   : claims->authority ? "the request target"
					       : "the TLS server name (SNI)";
	const char *full;
	int status;

	if (!claims->destination)
		return error_set(e, EXDEV,
				 "the connection was made to an address that stands for no name in this session; "
				 "look the name up again");
	if (!host) {
		*ret_host = claims->destination;
		return judge_ports(claims, e);
	}
	if (claims->authority && strcmp(claims->authority, host) != 0)
		return differ(e, "the request target", claims->authority, "the Host field", host);
	if (claims->sni && strcmp(claims->sni, host) != 0)
		return differ(e, what, host, "the TLS server name (SNI)", claims->sni);
	status = judge_destination(claims, search, host, what, &full, e);
	if (status == 0)
		status = judge_ports(claims, e);
	if (status == 0)
		*ret_host = full;
	return status;
}
