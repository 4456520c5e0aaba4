/* Host names and ports in canonical form: see host.h. */
#include "policy/rules/host.h"

#include <errno.h>
#include <idn2.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/address.h"
#include "policy/rules/text.h"
#include "shared/cleanup.h"

#define HOST_INPUT_MAX 1024 /* U-labels may be longer than the A-labels they become */
#define LABEL_MAX_LENGTH 63 /* RFC 1035 section 2.3.4 */

static void free_idn(char **text)
{
	if (*text)
		idn2_free(*text);
}

/* IPv6 in brackets. IPv4-mapped addresses become the IPv4 address they are dialled as. */
static int normalise_bracketed(const char *text, size_t length, char *ret, struct error *e)
{
	struct ip_address address;
	char shown[TEXT_SHOWN_MAX];
	char plain[46];

	if (ip_address_parse(text, length, &address) < 0)
		return error_set(e, EINVAL, "'%s' is not an IPv6 address in brackets", text_show(text, length, shown));
	ip_address_format(&address, plain);
	if (!strchr(plain, ':')) {
		strcpy(ret, plain);
		return 0;
	}
	ret[0] = '[';
	strcpy(ret + 1, plain);
	strcat(ret, "]");
	return 0;
}

/* True if the last label is a number as inet_aton(3) reads them: such a host is an IPv4 address or nothing. */
static bool ends_in_number(const char *host)
{
	const char *last = strrchr(host, '.');

	last = last ? last + 1 : host;
	if (last[0] == '0' && last[1] == 'x')
		return last[2 + strspn(last + 2, "0123456789abcdef")] == '\0';
	return last[strspn(last, "0123456789")] == '\0';
}

static int check_labels(const char *host, const char *shown, struct error *e)
{
	size_t label = 0;

	for (size_t i = 0;; i++) {
		char c = host[i];

		if (c == '.' || c == '\0') {
			if (label == 0)
				return error_set(e, EINVAL, "host '%s' has an empty label", shown);
			if (label > LABEL_MAX_LENGTH)
				return error_set(e, EINVAL, "host '%s' has a label of more than %d octets", shown,
						 LABEL_MAX_LENGTH);
			if (c == '\0')
				return 0;
			label = 0;
			continue;
		}
		if (!text_is_alnum(c) && c != '-' && c != '_')
			return error_set(e, EINVAL, "host '%s' has a character that no host name has", shown);
		label++;
	}
}

/* Lower case, without the final dot; host[] is what IDNA made of the input and is changed. */
static int finish_name(char *host, const char *shown, char *ret, struct error *e)
{
	size_t length = strlen(host);
	struct ip_address address;
	int r;

	if (length > 0 && host[length - 1] == '.')
		host[--length] = '\0';
	if (length == 0)
		return error_set(e, EINVAL, "the host is empty");
	if (length > HOST_NAME_MAX_LENGTH)
		return error_set(e, EINVAL, "host '%s' is longer than %d octets", shown, HOST_NAME_MAX_LENGTH);
	for (size_t i = 0; i < length; i++)
		host[i] = text_lower(host[i]);
	r = check_labels(host, shown, e);
	if (r < 0)
		return r;
	if (ends_in_number(host) && ip_address_parse(host, length, &address) < 0)
		return error_set(
			e, EINVAL,
			"host '%s' is a number but not an IPv4 address of four decimal parts without leading zeros",
			shown);
	memcpy(ret, host, length + 1);
	return 0;
}

int host_normalise(const char *text, size_t length, char ret[HOST_NAME_MAX_LENGTH + 1], struct error *e)
{
	char copy[HOST_INPUT_MAX + 1];
	char shown[TEXT_SHOWN_MAX];
	_cleanup_(free_idn) char *ascii = NULL;
	int r;

	text_show(text, length, shown);
	if (length == 0)
		return error_set(e, EINVAL, "the host is empty");
	if (length > HOST_INPUT_MAX)
		return error_set(e, EINVAL, "host '%s' is longer than %d octets", shown, HOST_NAME_MAX_LENGTH);
	if (text[0] == '[')
		return normalise_bracketed(text, length, ret, e);
	if (memchr(text, ':', length))
		return error_set(e, EINVAL, "host '%s' has a colon: an IPv6 address needs brackets", shown);
	if (memchr(text, '\0', length))
		return error_set(e, EINVAL, "host '%s' has a character that no host name has", shown);
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (text_is_ascii(text, length))
		return finish_name(copy, shown, ret, e);
	r = idn2_to_ascii_8z(copy, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (r != IDN2_OK)
		return error_set(e, EINVAL, "host '%s' is no internationalised name (IDNA 2008): %s", shown,
				 idn2_strerror(r));
	return finish_name(ascii, shown, ret, e);
}

/* The ':' before the port, or NULL. Colons in brackets belong to the address. */
static const char *find_port(const char *text, size_t length)
{
	const char *from = text;

	if (length > 0 && text[0] == '[') {
		from = memchr(text, ']', length);
		if (!from)
			return NULL;
	}
	return memchr(from, ':', length - (size_t)(from - text));
}

int host_port_parse(const char *text, size_t length, char ret_host[HOST_NAME_MAX_LENGTH + 1], uint16_t *ret_port,
		    struct error *e)
{
	const char *colon = find_port(text, length);
	size_t host_length = colon ? (size_t)(colon - text) : length;
	char shown[TEXT_SHOWN_MAX];
	uint16_t port = 0;
	int r;

	if (memchr(text, '@', length))
		return error_set(e, EINVAL, "'%s' has a user name before the host: it is not supported, leave it out",
				 text_show(text, length, shown));
	if (colon && text_parse_port(colon + 1, length - host_length - 1, &port) < 0)
		return error_set(e, EINVAL, "'%s' has no port from 1 to 65535 after the colon",
				 text_show(text, length, shown));
	r = host_normalise(text, host_length, ret_host, e);
	if (r < 0)
		return r;
	*ret_port = port;
	return 0;
}

bool host_is_literal(const char *host)
{
	return host[0] == '[' || ends_in_number(host);
}
