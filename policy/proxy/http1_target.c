/* Request targets (RFC 9112 section 3.2): which of the four forms, and its parts. */
#include "policy/proxy/http1.h"

#include <errno.h>
#include <string.h>

#include "policy/proxy/http1_class.h"

#define PORT_DIGITS_MAX 5

static bool method_is(struct http1_text method, const char *name)
{
	return method.length == strlen(name) && memcmp(method.at, name, method.length) == 0;
}

/* Splits "PATH[?QUERY]". */
static void split_path(const char *at, const char *end, struct http1_target *ret)
{
	const char *query = memchr(at, '?', (size_t)(end - at));

	ret->path_and_query = (struct http1_text){ at, (size_t)(end - at) };
	ret->path = (struct http1_text){ at, (size_t)((query ? query : end) - at) };
}

/* Takes "http://" or "https://" from the front, in any case; false if it is neither. */
static bool take_scheme(const char **at, const char *end, bool *ret_https)
{
	static const char http[] = "http://", https[] = "https://";
	size_t length = (size_t)(end - *at);

	if (length >= sizeof(http) - 1 && http1_same(*at, http, sizeof(http) - 1)) {
		*at += sizeof(http) - 1;
		*ret_https = false;
		return true;
	}
	if (length >= sizeof(https) - 1 && http1_same(*at, https, sizeof(https) - 1)) {
		*at += sizeof(https) - 1;
		*ret_https = true;
		return true;
	}
	return false;
}

static int parse_absolute(struct http1_text method, const char *at, const char *end, struct http1_target *ret,
			  struct error *e)
{
	const char *authority;

	if (!take_scheme(&at, end, &ret->https))
		return error_set(e, EBADMSG,
				 "the request target is neither a path beginning with '/' nor an http or https URL");
	authority = at;
	at = http1_span(at, end, HTTP1_HOST);
	if (at == authority || *authority == ':')
		return error_set(e, EBADMSG, "the request target is a URL without a host");
	if (at < end && *at == '?')
		return error_set(e, EBADMSG, "the request target has a query but no path; put a '/' before the '?'");
	if (at < end && *at != '/')
		return error_set(e, EBADMSG,
				 "the host in the request target is followed by the octet 0x%02x; "
				 "send HOST or HOST:PORT without a user name",
				 (unsigned char)*at);
	ret->form = HTTP1_FORM_ABSOLUTE;
	ret->authority = (struct http1_text){ authority, (size_t)(at - authority) };
	if (at < end)
		split_path(at, end, ret);
	else
		ret->path = ret->path_and_query = http1_text_of(method_is(method, "OPTIONS") ? "*" : "/");
	return 0;
}

/* "HOST:PORT" with a port from 1 to 65535. */
static int parse_authority(const char *at, const char *end, struct http1_target *ret, struct error *e)
{
	const char *colon = memrchr(at, ':', (size_t)(end - at));
	unsigned int port = 0;

	if (http1_span(at, end, HTTP1_HOST) != end || !colon || colon == at || end - colon - 1 > PORT_DIGITS_MAX)
		return error_set(e, EBADMSG, "the target of CONNECT is not HOST:PORT");
	for (const char *digit = colon + 1; digit < end; digit++) {
		if (!http1_is_digit(*digit))
			return error_set(e, EBADMSG, "the target of CONNECT does not end with a decimal port number");
		port = port * 10 + (unsigned int)(*digit - '0');
	}
	if (port < 1 || port > 65535)
		return error_set(e, EBADMSG, "the port in the target of CONNECT is not a number from 1 to 65535");
	ret->form = HTTP1_FORM_AUTHORITY;
	ret->authority = (struct http1_text){ at, (size_t)(end - at) };
	return 0;
}

int http1_parse_target(struct http1_text method, struct http1_text target, struct http1_target *ret, struct error *e)
{
	const char *at = target.at, *end = target.at + target.length, *bad;
	struct http1_target result = { .form = HTTP1_FORM_ORIGIN };
	int r = 0;

	if (target.length == 0)
		return error_set(e, EBADMSG, "the request target is empty");
	bad = http1_span(at, end, HTTP1_TARGET);
	if (bad != end)
		return error_set(e, EBADMSG, "the request target has the octet 0x%02x; percent-encode it",
				 (unsigned char)*bad);
	if (memchr(at, '#', target.length))
		return error_set(e, EBADMSG, "the request target has a fragment ('#'), which is not sent to servers");
	if (method_is(method, "CONNECT")) {
		r = parse_authority(at, end, &result, e);
	} else if (*at == '/') {
		split_path(at, end, &result);
	} else if (target.length == 1 && *at == '*') {
		if (!method_is(method, "OPTIONS"))
			return error_set(e, EBADMSG, "the request target \"*\" is for OPTIONS only");
		result.form = HTTP1_FORM_ASTERISK;
		split_path(at, end, &result);
	} else {
		r = parse_absolute(method, at, end, &result, e);
	}
	if (r == 0)
		*ret = result;
	return r;
}
