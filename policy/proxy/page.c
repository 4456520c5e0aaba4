/* Texts for the client: see page.h. */
#include "policy/proxy/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ADVICE_MAX 2048
#define SHOWN_MAX 2048

struct page {
	char *at;
	size_t length;
};

static void put(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct page *page, const char *format, ...)
{
	va_list arguments;
	size_t room = PAGE_MAX - page->length;
	int length;

	va_start(arguments, format);
	length = vsnprintf(page->at + page->length, room, format, arguments);
	va_end(arguments);
	if (length > 0)
		page->length += (size_t)length < room ? (size_t)length : room - 1;
}

const char *page_escape(const char *text, size_t length, char *ret, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < length && at + 5 <= size; i++) {
		unsigned char octet = (unsigned char)text[i];

		if (octet < 0x20 || octet > 0x7e)
			at += (size_t)snprintf(ret + at, size - at, "\\x%02x", octet);
		else
			ret[at++] = (char)octet;
	}
	ret[at] = '\0';
	return ret;
}

/* One --allow option that can be pasted into a shell as it stands: what means something inside "…" is escaped. */
static void put_allow(struct page *page, const char *rule, const char *meaning)
{
	put(page, "  --allow \"");
	for (; *rule; rule++)
		put(page, strchr("\"\\$`", *rule) ? "\\%c" : "%c", *rule);
	put(page, "\"    # %s\n", meaning);
}

/* A suggested rule in ret[ADVICE_MAX], or "" if it does not fit. `with_ip`: it must name the address, whatever that is.
 */
static void suggest(const struct rule_request *request, bool with_ip, char *ret)
{
	size_t length = rule_suggest(request, ret, ADVICE_MAX - 64);
	char address[46];

	if (length + 1 >= ADVICE_MAX - 64)
		length = 0;
	ret[length] = '\0';
	if (length > 0 && with_ip && !strstr(ret, " ip="))
		snprintf(ret + length, ADVICE_MAX - length, " ip=%s", ip_address_format(request->address, address));
}

static void put_advice(struct page *page, const struct rule_request *request, bool with_ip)
{
	char narrow[ADVICE_MAX], wide[ADVICE_MAX];
	struct rule_request whole_host = *request;

	suggest(request, with_ip, narrow);
	whole_host.method = NULL;
	whole_host.path = NULL;
	suggest(&whole_host, with_ip, wide);
	put(page, "\nTo allow it, run boundary-launch again with one of:\n");
	if (narrow[0])
		put_allow(page, narrow, "this request");
	if (wide[0] && strcmp(narrow, wide) != 0)
		put_allow(page, wide, "any request to this host");
}

static void put_cause(struct page *page, const struct rule_request *request, const struct rule_decision *decision,
		      enum page_denial denial)
{
	char address[46], shown[SHOWN_MAX];

	if (decision->rule && decision->action == RULE_DENY) {
		page_escape(decision->rule, strlen(decision->rule), shown, sizeof(shown));
		put(page, "\nDenied by: --deny \"%s\"\nNo --allow permits what a --deny refuses; remove that rule.\n",
		    shown);
		return;
	}
	if (denial == PAGE_OURS) {
		put(page,
		    "\nThe name leads to %s, an address of Boundary's own network (198.18.0.0/15). No rule leads "
		    "there.\n",
		    ip_address_format(request->address, address));
		return;
	}
	if (denial == PAGE_BY_ADDRESS) {
		ip_address_format(request->address, address);
		put(page,
		    "\nThe rules allow the name, but it leads to %s: a private, local or reserved address, or one of "
		    "this machine.\n"
		    "Such an address needs a rule with ip=%s.\n",
		    address, address);
	}
	put_advice(page, request, denial == PAGE_BY_ADDRESS);
}

size_t page_denied(const struct rule_request *request, const struct rule_decision *decision, enum page_denial denial,
		   char *ret)
{
	struct page page = { ret, 0 };
	char method[256], path[SHOWN_MAX];

	page_escape(request->method, strlen(request->method), method, sizeof(method));
	page_escape(request->path, strlen(request->path), path, sizeof(path));
	put(&page, "🚫 Request Blocked by Boundary\n\nRequest: %s %s\nHost: %s\n", method, path, request->host);
	put_cause(&page, request, decision, denial);
	return page.length;
}
