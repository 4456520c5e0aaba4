/* policy/proxy/http1*.c: message heads. The rest: test_http1_target.c, test_http1_body.c. */
#include "tests/unit/test_http1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/proxy/http1.h"
#include "shared/cleanup.h"

static struct http1_head head;

char *exact_copy(const char *at, size_t length)
{
	char *copy = malloc(length ? length : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, at, length);
	return copy;
}

unsigned int next_random(unsigned int bound)
{
	static uint64_t state = 0x9e3779b97f4a7c15;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned int)(state >> 33) % bound;
}

/* Feeds the input octet by octet and whole; both must say the same, which is returned. */
static int find_end(const char *input, size_t length)
{
	size_t scanned = 0, whole_scanned = 0;
	int whole, r = 0;

	whole = http1_head_end(input, length, &whole_scanned);
	for (size_t n = 1; n <= length && r == 0; n++) {
		_cleanup_free_ char *part = exact_copy(input, n);

		r = http1_head_end(part, n, &scanned);
		ck_assert_uint_le(scanned, n);
	}
	ck_assert_msg(r == whole, "octet by octet %d, whole %d: %.*s", r, whole, (int)length, input);
	return r;
}

/* Parses as a request (method == NULL) or a response to `method`, framing the head first as the proxy does. */
static int parse(const char *input, size_t length, const char *method, char **ret_copy, struct error *e)
{
	int end = find_end(input, length);

	if (end <= 0) {
		*ret_copy = NULL;
		error_set(e, EBADMSG, "head_end");
		return end < 0 ? end : -EAGAIN;
	}
	*ret_copy = exact_copy(input, (size_t)end);
	if (method)
		return http1_parse_response(*ret_copy, (size_t)end, method, &head, e);
	return http1_parse_request(*ret_copy, (size_t)end, &head, e);
}

static const char *body_name(void)
{
	static char text[40];

	switch (head.framing) {
	case HTTP1_BODY_NONE:
		return "none";
	case HTTP1_BODY_CHUNKED:
		return "chunked";
	case HTTP1_BODY_CLOSE:
		return "until-close";
	case HTTP1_BODY_LENGTH:
		break;
	}
	snprintf(text, sizeof(text), "%llu", (unsigned long long)head.content_length);
	return text;
}

/* What was parsed, in one line; ends with the names of the fields that go on. */
static void describe(bool request, char *ret, size_t size)
{
	size_t n = 0;

	if (request)
		n += (size_t)snprintf(ret, size, "%.*s %.*s 1.%d host=%.*s", TEXT(head.method), TEXT(head.target),
				      head.minor_version, TEXT(head.host));
	else
		n += (size_t)snprintf(ret, size, "%d 1.%d \"%.*s\"", head.status, head.minor_version,
				      TEXT(head.reason));
	n += (size_t)snprintf(ret + n, size - n, " body=%s%s%s%s", body_name(), head.keep_alive ? " keep" : " close",
			      head.expect_continue ? " continue" : "", head.te_trailers ? " trailers" : "");
	if (head.upgrade.length > 0)
		n += (size_t)snprintf(ret + n, size - n, " upgrade=%.*s", TEXT(head.upgrade));
	n += (size_t)snprintf(ret + n, size - n, ":");
	for (size_t i = 0; i < head.n_fields; i++) {
		if (!head.fields[i].hop_by_hop)
			n += (size_t)snprintf(ret + n, size - n, " %.*s=[%.*s]", TEXT(head.fields[i].name),
					      TEXT(head.fields[i].value));
	}
}

struct good_head {
	const char *input;
	const char *expected;
	const char *method; /* responses */
};

static void check_good(const struct good_head *good)
{
	_cleanup_free_ char *copy = NULL;
	struct error e = { 0 };
	char text[1024];
	int r;

	r = parse(good->input, strlen(good->input), good->method, &copy, &e);
	ck_assert_msg(r == 0, "%s → %s", good->input, e.text);
	describe(good->method == NULL, text, sizeof(text));
	ck_assert_msg(strcmp(text, good->expected) == 0, "%s\ngives    %s\nexpected %s", good->input, text,
		      good->expected);
}

#define POST "POST / HTTP/1.1\r\nHost: a\r\n"

static const struct good_head good_requests[] = {
	{ GET "\r\n", "GET / 1.1 host=a body=none keep: Host=[a]", NULL },
	{ GET "\r\nGET /next", "GET / 1.1 host=a body=none keep: Host=[a]", NULL },
	{ "GET /a?b=c HTTP/1.1\r\nhOsT:[::1]:8080\r\n\r\n",
	  "GET /a?b=c 1.1 host=[::1]:8080 body=none keep: hOsT=[[::1]:8080]", NULL },
	{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / 1.1 host= body=none keep: Host=[]", NULL },
	{ "GET / HTTP/1.1\r\nHost:\t a \t\r\nX: \t\r\n\r\n", "GET / 1.1 host=a body=none keep: Host=[a] X=[]", NULL },
	{ GET "X: a\tb \xff:\x80\r\n\r\n", "GET / 1.1 host=a body=none keep: Host=[a] X=[a\tb \xff:\x80]", NULL },
	{ "!#$%&'*+-.^_`|~1aZ / HTTP/1.1\r\nHost: a\r\n\r\n",
	  "!#$%&'*+-.^_`|~1aZ / 1.1 host=a body=none keep: Host=[a]", NULL },
	{ "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a/ 1.1 host=a body=none keep: Host=[a]", NULL },

	{ POST "Content-Length: 0\r\n\r\n", "POST / 1.1 host=a body=0 keep: Host=[a]", NULL },
	{ POST "content-length:  42 \r\n\r\n", "POST / 1.1 host=a body=42 keep: Host=[a]", NULL },
	{ POST "Content-Length: 0000000000000000007\r\n\r\n", "POST / 1.1 host=a body=7 keep: Host=[a]", NULL },
	{ POST "Content-Length: 9223372036854775807\r\n\r\n",
	  "POST / 1.1 host=a body=9223372036854775807 keep: Host=[a]", NULL },
	{ POST "Transfer-Encoding: chunked\r\n\r\n", "POST / 1.1 host=a body=chunked keep: Host=[a]", NULL },
	{ POST "TRANSFER-ENCODING:\tCHUNKED\t\r\nTrailer: X\r\n\r\n", "POST / 1.1 host=a body=chunked keep: Host=[a]",
	  NULL },

	{ GET "Connection: close\r\n\r\n", "GET / 1.1 host=a body=none close: Host=[a]", NULL },
	{ GET "Connection: keep-alive, CLOSE\r\n\r\n", "GET / 1.1 host=a body=none close: Host=[a]", NULL },
	{ GET "Connection: Keep-Alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\r\n",
	  "GET / 1.1 host=a body=none keep: Host=[a]", NULL },
	{ "GET / HTTP/1.0\r\n\r\n", "GET / 1.0 host= body=none close:", NULL },
	{ "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "GET / 1.0 host=a body=none keep: Host=[a]",
	  NULL },
	{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
	  "GET / 1.0 host= body=none close:", NULL },

	{ GET "X-A: 1\r\nConnection: , x-a ,x-b,,\r\nX-B: 2\r\nX-C: 3\r\nX-A: 4\r\n\r\n",
	  "GET / 1.1 host=a body=none keep: Host=[a] X-C=[3]", NULL },
	{ GET "TE: gzip;q=0.5, trailers\r\nProxy-Authorization: Basic eDp5\r\nProxy-Authenticate: x\r\nX: 1\r\n\r\n",
	  "GET / 1.1 host=a body=none keep trailers: Host=[a] X=[1]", NULL },
	{ GET "TE: trailersx\r\n\r\n", "GET / 1.1 host=a body=none keep: Host=[a]", NULL },
	{ GET "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n",
	  "GET / 1.1 host=a body=none keep upgrade=websocket: Host=[a]", NULL },
	{ GET "Upgrade: websocket\r\n\r\n", "GET / 1.1 host=a body=none keep: Host=[a]", NULL },
	{ GET "Connection: upgrade\r\n\r\n", "GET / 1.1 host=a body=none keep: Host=[a]", NULL },
	{ "GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	  "GET / 1.0 host= body=none close:", NULL },

	{ POST "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n",
	  "POST / 1.1 host=a body=5 keep continue: Host=[a] Expect=[100-Continue]", NULL },
	{ POST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", "POST / 1.1 host=a body=0 keep: Host=[a]", NULL },
	{ "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
	  "POST / 1.0 host= body=5 close:", NULL },

	{ GET "Connection: Expect\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
	  "GET / 1.1 host=a body=1 keep continue: Host=[a]", NULL },
	{ GET "Connection: ,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\r\n\r\n",
	  "GET / 1.1 host=a body=none keep: Host=[a]", NULL },
	{ GET "X-Name-Longer-Than-Thirty-One-Octets: 1\r\nX-Name-Of-Exactly-Thirty-Four-Octet: 1\r\n\r\n",
	  "GET / 1.1 host=a body=none keep: Host=[a] X-Name-Longer-Than-Thirty-One-Octets=[1] "
	  "X-Name-Of-Exactly-Thirty-Four-Octet=[1]",
	  NULL },
	{ "OPTIONS / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "OPTIONS / 1.1 host=a body=5 keep: Host=[a]",
	  NULL },
	{ "CONNECTX / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "CONNECTX / 1.1 host=a body=5 keep: Host=[a]",
	  NULL },
	{ "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 0\r\n\r\n",
	  "CONNECT a:443 1.1 host=a:443 body=0 keep: Host=[a:443]", NULL },
};

START_TEST(good_request)
{
	check_good(&good_requests[_i]);
}
END_TEST

#define OK "HTTP/1.1 200 OK\r\n"

static const struct good_head good_responses[] = {
	{ OK "\r\n", "200 1.1 \"OK\" body=until-close close:", "GET" },
	{ "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\n", "200 1.1 \"\" body=3 keep:", "GET" },
	{ "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n", "200 1.1 \"\" body=3 keep:", "GET" },
	{ "HTTP/1.1 404 Not\tFound \xe9\r\nContent-Length: 3\r\nServer: x\r\n\r\n",
	  "404 1.1 \"Not\tFound \xe9\" body=3 keep: Server=[x]", "GET" },
	{ "HTTP/1.1 599 x\r\nTransfer-Encoding: Chunked\r\n\r\n", "599 1.1 \"x\" body=chunked keep:", "GET" },
	/* Of no class (RFC 9110 section 15), and in use. */
	{ "HTTP/1.1 999 Denied\r\nContent-Length: 3\r\n\r\n", "999 1.1 \"Denied\" body=3 keep:", "GET" },
	{ "HTTP/1.1 999 Denied\r\nContent-Length: 3\r\n\r\n", "999 1.1 \"Denied\" body=none keep:", "HEAD" },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", "200 1.0 \"OK\" body=3 close:", "GET" },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n",
	  "200 1.0 \"OK\" body=3 keep:", "GET" },
	{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", "200 1.0 \"OK\" body=until-close close:", "GET" },
	{ OK "Content-Length: 3\r\nConnection: close\r\n\r\n", "200 1.1 \"OK\" body=3 close:", "GET" },
	{ OK "Content-Length: 3\r\nHost: a, b\r\nHost: c\r\n\r\n", "200 1.1 \"OK\" body=3 keep: Host=[a, b] Host=[c]",
	  "GET" },
	{ OK "Content-Length: 3\r\n\r\n", "200 1.1 \"OK\" body=none keep:", "HEAD" },
	{ OK "Transfer-Encoding: chunked\r\n\r\n", "200 1.1 \"OK\" body=none keep:", "HEAD" },
	{ OK "\r\n", "200 1.1 \"OK\" body=none keep:", "HEAD" },
	{ OK "Content-Length: 3\r\n\r\n", "200 1.1 \"OK\" body=3 keep:", "head" },
	{ OK "Content-Length: 3\r\n\r\n", "200 1.1 \"OK\" body=none keep:", "CONNECT" },
	{ "HTTP/1.1 300 Many\r\nContent-Length: 3\r\n\r\n", "300 1.1 \"Many\" body=3 keep:", "CONNECT" },
	{ "HTTP/1.1 407 Auth\r\nContent-Length: 3\r\n\r\n", "407 1.1 \"Auth\" body=3 keep:", "CONNECT" },
	{ "HTTP/1.1 100 Continue\r\n\r\n", "100 1.1 \"Continue\" body=none keep:", "POST" },
	{ "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	  "101 1.1 \"Switching\" body=none keep upgrade=websocket:", "GET" },
	{ "HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n", "204 1.1 \"None\" body=none keep:", "GET" },
	{ "HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", "204 1.1 \"None\" body=none close:", "GET" },
	{ "HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n", "204 1.1 \"None\" body=none close:", "GET" },
	{ "HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", "304 1.1 \"Same\" body=none keep:", "GET" },
	{ OK "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n",
	  "200 1.1 \"OK\" body=chunked keep:", "GET" },
	{ OK "Upgrade: h2\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\n", "200 1.1 \"OK\" body=1 keep:", "GET" },
	{ OK "Expect: x\r\nContent-Length: 1\r\n\r\n", "200 1.1 \"OK\" body=1 keep: Expect=[x]", "GET" },
};

START_TEST(good_response)
{
	check_good(&good_responses[_i]);
}
END_TEST

START_TEST(content_length_without_body)
{
	_cleanup_free_ char *copy = NULL;

	static const char input[] = OK "Content-Length: 37\r\n\r\n";

	ck_assert_int_eq(parse(input, sizeof(input) - 1, "HEAD", &copy, NULL), 0);
	ck_assert_int_eq(head.framing, HTTP1_BODY_NONE);
	ck_assert(head.has_content_length);
	ck_assert_uint_eq(head.content_length, 37);
}
END_TEST

struct bad_head {
	struct octets input;
	int code;
	const char *word;   /* in the message; NULL where http1_head_end() refuses */
	const char *method; /* responses */
};

static void check_bad(const struct bad_head *bad)
{
	_cleanup_free_ char *copy = NULL;
	struct error e = { 0 };
	int r;

	r = parse(bad->input.at, bad->input.length, bad->method, &copy, &e);
	ck_assert_msg(r == -bad->code, "%s → %d, expected %d", bad->input.at, r, -bad->code);
	ck_assert_msg((copy != NULL) == (bad->word != NULL), "%s: refused at the wrong place: %s", bad->input.at,
		      e.text);
	if (bad->word)
		ck_assert_msg(strstr(e.text, bad->word) != NULL, "%s → \"%s\", expected \"%s\"", bad->input.at, e.text,
			      bad->word);
	/* A missing error object changes nothing. */
	if (copy && bad->method)
		ck_assert_int_eq(http1_parse_response(copy, (size_t)find_end(bad->input.at, bad->input.length),
						      bad->method, &head, NULL),
				 -bad->code);
}

#define BAD(input, word)                           \
	{                                          \
		OCTETS(input), EBADMSG, word, NULL \
	}

static const struct bad_head bad_requests[] = {
	/* Line ends, control octets. */
	BAD("GET / HTTP/1.1\nHost: a\n\n", NULL),
	BAD("GET / HTTP/1.1\r\nHost: a\n\r\n", NULL),
	BAD(GET "\n", NULL),
	BAD(GET "X: a\rb\r\n\r\n", NULL),
	BAD(GET "X: a\r\r\n\r\n", NULL),
	BAD(GET "X: a\0b\r\n\r\n", NULL),
	BAD(GET "X\0: a\r\n\r\n", NULL),
	BAD(GET "X: \x7f\r\n\r\n", NULL),
	BAD(GET "X: \x0b\r\n\r\n", NULL),
	BAD(GET "Transfer-Encoding: \x0b"
		"chunked\r\n\r\n",
	    NULL),
	BAD("\r\n" GET "\r\n", NULL),
	BAD("\n" GET "\r\n", NULL),
	/* Request line. */
	BAD("\t" GET "\r\n", "method"),
	BAD(" " GET "\r\n", "method"),
	BAD("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
	BAD("GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
	BAD("GET\r\nHost: a\r\n\r\n", "method"),
	BAD("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
	BAD("GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
	BAD("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
	BAD("GET / \tHTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1"),
	BAD("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1"),
	BAD("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1"),
	BAD("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "HTTP/1.1"),
	BAD("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "HTTP/1.1"),
	BAD("GET / HTTP/1.10\r\nHost: a\r\n\r\n", "HTTP/1.1"),
	BAD("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "HTTP/1.1"),
	BAD("GET / http/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1"),
	BAD("GET / HTTP/1.\r\nHost: a\r\n\r\n", "HTTP/1.1"),
	BAD("GET /\r\n\r\n", "target"),
	BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1"),
	/* Field lines. */
	BAD("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "begins with a blank"),
	BAD(GET " folded\r\n\r\n", "begins with a blank"),
	BAD(GET "X: a\r\n\tfolded\r\n\r\n", "field line 3 begins with a blank"),
	BAD(GET "X: a\r\n \r\n\r\n", "begins with a blank"),
	BAD(GET "Content-Length : 5\r\n\r\n", "blank in or after its name"),
	BAD(GET "Transfer-Encoding\t: chunked\r\n\r\n", "blank in or after its name"),
	BAD(GET "X Y: 5\r\n\r\n", "blank in or after its name"),
	BAD(GET ": x\r\n\r\n", "no name"),
	BAD(GET "X\r\n\r\n", "no colon"),
	BAD(GET "X(: 1\r\n\r\n", "0x28"),
	BAD(GET "\xc3\xa9: 1\r\n\r\n", "0xc3"),
	BAD(GET "\"X\": 1\r\n\r\n", "0x22"),
	/* Host. */
	BAD("GET / HTTP/1.1\r\n\r\n", "no Host"),
	BAD("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "more than one Host"),
	BAD("GET / HTTP/1.1\r\nHost: \r\nHost: b\r\n\r\n", "more than one Host"),
	BAD("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "more than one Host"),
	BAD("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "Host is not"),
	BAD("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "Host is not"),
	BAD("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "Host is not"),
	BAD("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", "Host is not"),
	BAD("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "Host is not"),
	BAD("GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", "Host is not"),
	BAD("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "Host is not"),
	BAD("GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", "Host is not"),
	BAD("GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", "Host is not"),
	/* Content-Length. */
	BAD(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "more than one Content-Length"),
	BAD(POST "Content-Length: 5\r\ncontent-length: 6\r\n\r\n", "more than one Content-Length"),
	BAD(POST "Content-Length: 5, 5\r\n\r\n", "Content-Length"),
	BAD(POST "Content-Length: 5,\r\n\r\n", "Content-Length"),
	BAD(POST "Content-Length: 5 5\r\n\r\n", "Content-Length"),
	BAD(POST "Content-Length: +5\r\n\r\n", "Content-Length"),
	BAD(POST "Content-Length: -5\r\n\r\n", "Content-Length"),
	BAD(POST "Content-Length: 0x5\r\n\r\n", "Content-Length"),
	BAD(POST "Content-Length: 5.0\r\n\r\n", "Content-Length"),
	BAD(POST "Content-Length: \"5\"\r\n\r\n", "Content-Length"),
	BAD(POST "Content-Length:\r\n\r\n", "Content-Length"),
	BAD(POST "Content-Length: 9223372036854775808\r\n\r\n", "too large"),
	BAD(POST "Content-Length: 9999999999999999999\r\n\r\n", "too large"),
	BAD(POST "Content-Length: 18446744073709551621\r\n\r\n", "too large"),
	/* Transfer-Encoding. */
	BAD(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
	BAD(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", "both"),
	BAD(POST "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n", "both"),
	BAD(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "more than one Transfer-Encoding"),
	BAD(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
	    "more than one Transfer-Encoding"),
	BAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0"),
	{ OCTETS(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), ENOTSUP, "chunked", NULL },
	{ OCTETS(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), ENOTSUP, "chunked", NULL },
	{ OCTETS(POST "Transfer-Encoding: chunked,\r\n\r\n"), ENOTSUP, "chunked", NULL },
	{ OCTETS(POST "Transfer-Encoding: chunked;x=1\r\n\r\n"), ENOTSUP, "chunked", NULL },
	{ OCTETS(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), ENOTSUP, "chunked", NULL },
	{ OCTETS(POST "Transfer-Encoding: xchunked\r\n\r\n"), ENOTSUP, "chunked", NULL },
	{ OCTETS(POST "Transfer-Encoding: identity\r\n\r\n"), ENOTSUP, "chunked", NULL },
	{ OCTETS(POST "Transfer-Encoding:\r\n\r\n"), ENOTSUP, "chunked", NULL },
	/* Connection, Expect, Upgrade, CONNECT. */
	BAD(POST "Connection: Content-Length\r\nContent-Length: 5\r\n\r\n", "must stay"),
	BAD(POST "Connection: close, transfer-encoding\r\n\r\n", "must stay"),
	BAD(GET "Connection: Host\r\n\r\n", "must stay"),
	BAD(GET "Connection: close; x\r\n\r\n", "token"),
	BAD(GET "Connection: keep alive\r\n\r\n", "token"),
	BAD(POST "Expect: 200-ok\r\n\r\n", "Expect"),
	BAD(POST "Expect: 100-continue, 100-continue\r\n\r\n", "Expect"),
	BAD(POST "Expect:\r\n\r\n", "Expect"),
	BAD(GET "Upgrade: a\r\nUpgrade: b\r\n\r\n", "Upgrade"),
	BAD("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", "CONNECT"),
	BAD("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "CONNECT"),
};

START_TEST(bad_request)
{
	check_bad(&bad_requests[_i]);
}
END_TEST

#define BADR(input, word)                           \
	{                                           \
		OCTETS(input), EBADMSG, word, "GET" \
	}

static const struct bad_head bad_responses[] = {
	BADR("HTTP/1.1 200 OK\n\n", NULL),
	BADR("HTTP/1.1 200 O\0K\r\n\r\n", NULL),
	BADR("\r\n" OK "\r\n", NULL),
	BADR("HTTP/1.1  200 OK\r\n\r\n", "status"),
	BADR("HTTP/1.1\t200 OK\r\n\r\n", "status line"),
	BADR("HTTP/1.1 20 OK\r\n\r\n", "status"),
	BADR("HTTP/1.1 2000 OK\r\n\r\n", "status"),
	BADR("HTTP/1.1 099 OK\r\n\r\n", "status"),
	BADR("HTTP/1.1 :00 OK\r\n\r\n", "status"),
	BADR("HTTP/1.1 2x0 OK\r\n\r\n", "status"),
	BADR("HTTP/1.1 200\tOK\r\n\r\n", "status"),
	BADR("HTTP/1.1 +20 OK\r\n\r\n", "status"),
	BADR("HTTP/1.1 \r\n\r\n", "status"),
	BADR("HTTP/2.0 200 OK\r\n\r\n", "status line"),
	BADR("HTTP/1.2 200 OK\r\n\r\n", "status line"),
	BADR("ICY 200 OK\r\n\r\n", "status line"),
	BADR(" " OK "\r\n", "status line"),
	BADR(OK " folded: x\r\n\r\n", "begins with a blank"),
	BADR(OK "Content-Length : 5\r\n\r\n", "blank"),
	BADR(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "more than one"),
	BADR(OK "Content-Length: 5, 5\r\n\r\n", "Content-Length"),
	BADR(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
	BADR(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "more than one"),
	BADR("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0"),
	BADR("HTTP/1.1 103 Hints\r\nContent-Length: 1\r\n\r\n", "interim"),
	BADR("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", "interim"),
	BADR(OK "Connection: content-length\r\nContent-Length: 5\r\n\r\n", "must stay"),
	{ OCTETS(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), EBADMSG, "both", "HEAD" },
	{ OCTETS(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), ENOTSUP, "chunked", "GET" },
	{ OCTETS(OK "Transfer-Encoding: gzip\r\n\r\n"), ENOTSUP, "chunked", "GET" },
};

START_TEST(bad_response)
{
	check_bad(&bad_responses[_i]);
}
END_TEST

/* Is `c` allowed at `place`? Written down apart from the parser's table, from RFC 9110 section 5.6.2, 5.5 and RFC 9112
 * section 3. */
static bool allowed(char place, unsigned char c)
{
	if (place == 'n')
		return c && c < 0x7f && c > ' ' && !strchr("\"(),/:;<=>?@[\\]{}", c);
	if (place == 't')
		return c > ' ' && c < 0x7f;
	if (place == 'h')
		return c && (strchr("-._~%!$&'()*+;=:[]", c) || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z'));
	return c == '\t' || (c >= ' ' && c != 0x7f);
}

static void check_octet(const char *before, const char *after, const char *method, char place, unsigned int c)
{
	_cleanup_free_ char *copy = NULL;
	char input[128];
	int length, r;

	length = snprintf(input, sizeof(input), "%s\1%s", before, after);
	input[strlen(before)] = (char)c;
	r = parse(input, (size_t)length, method, &copy, NULL);
	ck_assert_msg((r == 0) == allowed(place, (unsigned char)c), "octet 0x%02x after \"%s\": %d", c, before, r);
}

START_TEST(every_octet_everywhere)
{
	for (unsigned int c = 0; c < 256; c++) {
		check_octet("G", "T / HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 'n', c);
		check_octet("GET /a", "b HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 't', c);
		check_octet("GET / HTTP/1.1\r\nHost: a", "b\r\n\r\n", NULL, 'h', c);
		check_octet(GET "X: a", "b\r\n\r\n", NULL, 'v', c);
		check_octet("HTTP/1.1 200 O", "K\r\n\r\n", "GET", 'v', c);
		/* A colon ends the name, which makes a field of another name. */
		if (c != ':')
			check_octet(GET "X", "Y: 1\r\n\r\n", NULL, 'n', c);
	}
}
END_TEST

START_TEST(field_count_limit)
{
	for (int surplus = 0; surplus <= 1; surplus++) {
		char input[HTTP1_FIELDS_MAX * 8 + 64] = GET;
		_cleanup_free_ char *copy = NULL;
		struct error e = { 0 };

		for (int i = 1; i < HTTP1_FIELDS_MAX + surplus; i++)
			strcat(input, "X: y\r\n");
		strcat(input, "\r\n");
		ck_assert_int_eq(parse(input, strlen(input), NULL, &copy, &e), surplus ? -E2BIG : 0);
		if (surplus)
			ck_assert_ptr_nonnull(strstr(e.text, "128"));
		else
			ck_assert_uint_eq(head.n_fields, HTTP1_FIELDS_MAX);
	}
}
END_TEST

START_TEST(connection_options_limit)
{
	for (int n = 32; n <= 33; n++) {
		char input[512] = GET "Connection: close";
		_cleanup_free_ char *copy = NULL;

		for (int i = 0; i < n; i++)
			strcat(input, ",x");
		strcat(input, "\r\n\r\n");
		ck_assert_int_eq(parse(input, strlen(input), NULL, &copy, NULL), n == 32 ? 0 : -EBADMSG);
	}
}
END_TEST

static bool inside(struct http1_text text, const char *buffer, size_t length)
{
	return text.length == 0 ||
	       (text.at >= buffer && text.length <= length && text.at + text.length <= buffer + length);
}

/* Whatever is accepted lies inside the input and holds nothing that could end a line. */
static void check_accepted(const char *buffer, size_t length, bool request)
{
	ck_assert(inside(head.method, buffer, length) && inside(head.target, buffer, length));
	ck_assert(inside(head.reason, buffer, length) && inside(head.upgrade, buffer, length));
	ck_assert(!request || head.framing != HTTP1_BODY_CLOSE);
	for (size_t i = 0; i < head.n_fields; i++) {
		struct http1_text name = head.fields[i].name, value = head.fields[i].value;

		ck_assert(name.length > 0 && inside(name, buffer, length) && inside(value, buffer, length));
		for (size_t j = 0; j < value.length; j++)
			ck_assert(value.at[j] != '\r' && value.at[j] != '\n' && value.at[j] != '\0');
	}
}

START_TEST(random_mutations)
{
	static const char octets[] = "\r\n\t :,;0/aAx\xff\x7f";
	size_t accepted = 0;

	for (int round = 0; round < 20000; round++) {
		bool request = round % 2;
		const char *seed = request ? good_requests[next_random(array_size(good_requests))].input
					   : good_responses[next_random(array_size(good_responses))].input;
		size_t length = strlen(seed);
		_cleanup_free_ char *copy = exact_copy(seed, length);

		for (unsigned int n = next_random(4); n > 0; n--)
			copy[next_random((unsigned int)length)] = octets[next_random(sizeof(octets))];
		length -= next_random(4) ? 0 : next_random((unsigned int)length);
		if ((request ? http1_parse_request(copy, length, &head, NULL)
			     : http1_parse_response(copy, length, "GET", &head, NULL)) == 0) {
			check_accepted(copy, length, request);
			accepted++;
		}
	}
	ck_assert_uint_gt(accepted, 1000);
}
END_TEST

static TCase *head_cases(void)
{
	TCase *tcase = tcase_create("head");

	tcase_add_loop_test(tcase, good_request, 0, (int)array_size(good_requests));
	tcase_add_loop_test(tcase, good_response, 0, (int)array_size(good_responses));
	tcase_add_loop_test(tcase, bad_request, 0, (int)array_size(bad_requests));
	tcase_add_loop_test(tcase, bad_response, 0, (int)array_size(bad_responses));
	tcase_add_test(tcase, content_length_without_body);
	tcase_add_test(tcase, every_octet_everywhere);
	tcase_add_test(tcase, field_count_limit);
	tcase_add_test(tcase, connection_options_limit);
	tcase_add_test(tcase, random_mutations);
	tcase_set_timeout(tcase, 60);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("http1");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, head_cases());
	suite_add_tcase(suite, target_cases());
	suite_add_tcase(suite, body_cases());
	suite_add_tcase(suite, writer_cases());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
