"""Requests through the jail: what rules allow, what they do not, and HTTP as clients and origins use it."""

import hashlib
import json
import os
import re
import subprocess

import system
from jail import API, API_GET, curl, jail, shell, start
from registry import check, test


# What the first example promises ---------------------------------------------------------------------------

EXAMPLE = ["domain=api.example method=GET path=/v1/*", "domain=*.files.example"]


@test(root=True)
def allowed_get_http(w):
    curl(w, "http://api.example/v1/x", allow=EXAMPLE).expect(0, out="GET http://api.example/v1/x\n")


@test(root=True)
def allowed_get_https(w):
    curl(w, "https://api.example/v1/x?q=1", allow=EXAMPLE).expect(0, out="GET https://api.example/v1/x?q=1\n")


@test()
def allowed_wildcard_domain(w):
    for host in ("a.files.example", "b.a.files.example"):
        curl(w, f"https://{host}/", allow=EXAMPLE).expect(0, out=f"https://{host}/")
    curl(w, "-f", "https://files.example/", allow=EXAMPLE).expect(22)


@test(root=True)
def denied_shows_page(w):
    result = curl(w, "-i", "https://api.example/v2/y", allow=EXAMPLE).expect(0)
    for text in ("HTTP/1.1 403", "text/plain; charset=utf-8", "🚫 Request Blocked by Boundary", "Request: GET /v2/y",
                 "Host: api.example", "--allow"):
        check(text in result.out, f"the page lacks {text!r}: {result.out!r}")


@test()
def denied_page_names_a_rule_that_works(w):
    """The --allow of the page, used as it stands, permits the request."""
    page = curl(w, "https://api.example/v2/y", allow=EXAMPLE).expect(0).out
    match = re.search(r"--allow[ =](['\"])(.*?)\1", page)
    check(match, f"no quoted --allow in {page!r}")
    curl(w, "-f", "https://api.example/v2/y", allow=[match[2]]).expect(0, out="GET https://api.example/v2/y")


@test()
def denied_upload_shows_page(w):
    """However long the body is that the client sends before it looks for an answer."""
    file = w.identity.home / "large"
    with open(file, "wb") as f:
        f.truncate(50 << 20)
    for scheme in ("http", "https"):
        jail(w, ["wget", "-nv", "-t1", "-O", "-", "--content-on-error", f"--post-file={file}", f"{scheme}://other.example/upload"],
             API).expect(8, out="Request Blocked by Boundary")
    file.unlink()


@test()
def denied_name_of_the_search_list(w):
    """resolv.conf says `search corp.example`: the short name is the long one, for the rules and for the record."""
    flags = ["--deny", "domain=files.corp.example", "--log-level", "info"]
    result = jail(w, ["curl", "-sS", "http://files/"], "domain=*", flags).expect(0, out="Request Blocked by Boundary")
    check("http://files.corp.example/" in result.err, f"on record: {result.err!r}")


@test()
def denied_spellings(w):
    """What the origin takes for the denied path, or method, is denied in each spelling."""
    flags = ["--deny", "domain=api.example path=/upload/*", "--deny", "domain=api.example method=DELETE"]
    for extra in (["/upload/x"], ["/upload%2Fx"], ["/upload;a=b/x"], ["/%75pload/x"], ["-X", "delete", "/a"]):
        jail(w, ["curl", "-sS", "--path-as-is", *extra[:-1], f"http://api.example{extra[-1]}"], API, flags).expect(0, out="Request Blocked by Boundary")
    jail(w, ["curl", "-sS", "http://api.example/@scope%2Fname"], API, flags).expect(0, out="GET http://api.example/@scope%2Fname")


@test()
def denied_method(w):
    curl(w, "-f", "-X", "POST", "-d", "x", "https://api.example/v1/x", allow=EXAMPLE).expect(22)
    curl(w, "-f", "-X", "POST", "-d", "x", "http://api.example/v1/x", allow=EXAMPLE).expect(22)


@test()
def denied_path(w):
    curl(w, "-f", "https://api.example/v2/x", allow=EXAMPLE).expect(22)
    curl(w, "-f", "--path-as-is", "https://api.example/v1/../v2", allow=EXAMPLE).expect(22)
    curl(w, "-f", "--path-as-is", "https://api.example/v1/%2e%2e/v2", allow=EXAMPLE).expect(22)


@test()
def denied_host(w):
    curl(w, "-f", "https://other.example/v1/x", allow=EXAMPLE).expect(22)
    curl(w, "-f", "http://other.example/v1/x", allow=EXAMPLE).expect(22)
    curl(w, "-f", "http://nowhere.example/", allow=EXAMPLE).expect(22)


@test()
def denied_without_rules(w):
    curl(w, "-f", "https://api.example/", allow=()).expect(22)


@test()
def denied_exit_codes_of_clients(w):
    jail(w, ["wget", "-q", "-O", "-", "https://other.example/"], EXAMPLE).expect(8)
    script = "import urllib.request as u\ntry: u.urlopen('https://other.example/')\nexcept u.HTTPError as e: print('code', e.code)"
    jail(w, ["/usr/bin/python3", "-c", script], EXAMPLE).expect(0, out="code 403")


@test()
def deny_wins(w):
    flags = ["--deny", "domain=api.example path=/v1/secret"]
    curl(w, "-f", "https://api.example/v1/x", allow=EXAMPLE, flags=flags).expect(0)
    curl(w, "-f", "https://api.example/v1/secret", allow=EXAMPLE, flags=flags).expect(22)


@test()
def log_lines(w):
    script = "curl -sS https://api.example/v1/x; curl -sS https://other.example/z"
    result = shell(w, script, EXAMPLE, ["--log-level", "info"]).expect(0)
    allow = [l for l in result.err.splitlines() if "ALLOW" in l]
    deny = [l for l in result.err.splitlines() if "DENY" in l]
    check(len(allow) == 1 and len(deny) == 1, f"lines: {result.err!r}")
    for text in ("GET", "https://api.example/v1/x", EXAMPLE[0]):
        check(text in allow[0], f"{text!r} missing in {allow[0]!r}")
    for text in ("GET", "https://other.example/z", "other.example"):
        check(text in deny[0], f"{text!r} missing in {deny[0]!r}")
    quiet = shell(w, script, EXAMPLE).expect(0)
    check("ALLOW" not in quiet.err and "DENY" in quiet.err, f"at the default level: {quiet.err!r}")


@test()
def log_json(w):
    result = curl(w, "https://api.example/v1/\"x", allow=EXAMPLE, flags=["--log-level", "info", "--log-format", "json"]).expect(0)
    lines = [json.loads(l) for l in result.err.splitlines() if l.strip()]
    check(any("ALLOW" in json.dumps(l) for l in lines), f"no ALLOW: {lines}")


# Volume -------------------------------------------------------------------------------------------------------------

RSS_LIMIT_KB = 40 * 1024


def peak(world, session):
    return int(system.status_field(session.child("proxy"), "VmHWM").split()[0])


def transfer(w, script, expected):
    """Runs `script`, then reads the proxy's peak RSS while the session still lives."""
    session = start(w, ["sh", "-c", script + "; echo status $?; sleep 60"], API)
    line = session.wait_line(seconds=240)
    check(line.startswith(expected), f"got {line!r}")
    check(session.wait_line() == "status 0", "the client failed")
    if w.build == "release":
        kilobytes = peak(w, session)
        w.note(f"VmHWM of the proxy: {kilobytes} kB")
        check(kilobytes < RSS_LIMIT_KB, f"the proxy's RSS reached {kilobytes} kB")
    session.kill(15)
    session.finish()


@test(timeout=300)
def download_large(w):
    name, size = ("1g", 1 << 30) if w.build == "release" else ("64m", 64 << 20)
    transfer(w, f"curl -sS https://api.example/files/{name} | wc -c", str(size))


@test(timeout=300)
def upload_large(w):
    size = 1 << 30 if w.build == "release" else 64 << 20
    transfer(w, f"head -c {size} /dev/zero | curl -sS -T - https://api.example/odd/sink", str(size))


@test(timeout=300)
def upload_large_with_length(w):
    size = 1 << 30 if w.build == "release" else 64 << 20
    file = w.identity.home / "upload"
    with open(file, "wb") as f:
        f.truncate(size)
    os.chown(file, w.identity.uid, w.identity.gid)
    transfer(w, f"curl -sS -T {file} https://api.example/odd/sink", str(size))
    file.unlink()


@test()
def slow_reader_is_not_buffered(w):
    """A client that does not read stops the origin: the proxy's memory stays bounded."""
    script = ("import socket, ssl, time\n"
              "c = ssl.create_default_context().wrap_socket(socket.create_connection(('api.example', 443)), server_hostname='api.example')\n"
              "c.sendall(b'GET /files/64m HTTP/1.1\\r\\nHost: api.example\\r\\n\\r\\n')\n"
              "time.sleep(2); print('waited', flush=True); time.sleep(60)\n")
    session = start(w, ["/usr/bin/python3", "-c", script], API)
    session.wait_line("waited")
    if w.build == "release":
        check(peak(w, session) < RSS_LIMIT_KB, f"{peak(w, session)} kB")
    session.kill(15)
    session.finish()


@test()
def content_is_unchanged(w):
    expected = hashlib.sha256((w.servers.directory / "files/10m").read_bytes()).hexdigest()
    shell(w, "curl -sS https://api.example/files/10m | sha256sum", API).expect(0, out=expected)
    result = shell(w, f"curl -sS -T {w.servers.directory}/files/10m https://api.example/odd/echo", API).expect(0)
    check(json.loads(result.out)["sha256"] == expected, f"uploaded: {result.out}")


# Streams ------------------------------------------------------------------------------------------------------------


@test()
def events_arrive_one_by_one(w):
    """The origin sends the next one when the client says that it has the one before: collected they would never come."""
    script = ("import sys, urllib.parse, urllib.request\n"
              "for line in urllib.request.urlopen(sys.argv[1]):\n"
              "    if line.startswith(b'data'):\n"
              "        print(line.decode().strip(), flush=True)\n"
              "        urllib.request.urlopen(urllib.parse.urljoin(sys.argv[1], 'seen')).read()\n")
    for url in ("https://api.example/odd/events", "http://raw.example:8080/events"):
        result = jail(w, ["/usr/bin/python3", "-c", script, url], "domain=*.example")
        result.expect(0)
        check(result.out.splitlines() == [f"data: {i}" for i in range(5)], f"{url}: {result.out!r}")


@test()
def hundred_requests_on_one_connection(w):
    script = ("import http.client, ssl\n"
              "c = http.client.HTTPSConnection('api.example', context=ssl.create_default_context())\n"
              "for i in range(100):\n"
              "    c.request('GET', '/connection'); r = c.getresponse(); print(r.read().decode().strip())\n"
              "    if i == 0: s = c.sock\n"
              "assert c.sock is s, 'the client had to connect anew'\n")
    result = jail(w, ["/usr/bin/python3", "-c", script], API).expect(0)
    upstream = [tuple(map(int, l.split())) for l in result.out.splitlines()]
    check(len(upstream) == 100, f"{len(upstream)} answers")
    check(len({c for c, _ in upstream}) == 1, f"upstream connections: {sorted({c for c, _ in upstream})}")
    check([n for _, n in upstream] == list(range(upstream[0][1], upstream[0][1] + 100)), "requests were not on one upstream connection")


@test()
def pipelined_requests(w):
    data = b"".join(b"GET /p%d HTTP/1.1\r\nHost: api.example\r\n\r\n" % i for i in range(10))
    data += b"GET /last HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n"
    result = raw(w, data, "api.example", 80)
    paths = re.findall(r"GET http://api.example/(\w+)", result.out)
    check(paths == [f"p{i}" for i in range(10)] + ["last"], f"answers: {paths}")


@test()
def pipelined_denied_between_allowed(w):
    data = b"GET /v1/a HTTP/1.1\r\nHost: api.example\r\n\r\nGET /v2/b HTTP/1.1\r\nHost: api.example\r\n\r\n" \
           b"GET /v1/c HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n"
    result = raw(w, data, "api.example", 80, allow=EXAMPLE)
    statuses = re.findall(r"HTTP/1\.1 (\d+)", result.out)
    check(statuses[:2] == ["200", "403"], f"statuses: {statuses}")
    check("GET http://api.example/v2/b" not in result.out, "a denied request reached the origin")


@test()
def slow_client(w):
    data = b"POST /odd/echo HTTP/1.1\r\nHost: api.example\r\nContent-Length: 20\r\nConnection: close\r\n\r\n" + b"y" * 20
    result = raw(w, data, "--slow", "--tls", "api.example", 443)
    check('"length": 20' in result.out, f"{result.out!r}")


@test()
def head_204_304(w):
    curl(w, "-I", "https://api.example/files/64m").expect(0, out=["HTTP/1.1 200", "Content-Length: 67108864"])
    script = ("import http.client, ssl\n"
              "c = http.client.HTTPSConnection('api.example', context=ssl.create_default_context())\n"
              "for m, p in (('HEAD', '/files/64m'), ('GET', '/odd/status/204'), ('GET', '/odd/status/304'), ('GET', '/end')):\n"
              "    c.request(m, p); r = c.getresponse(); print(r.status, len(r.read()), flush=True)\n")
    result = jail(w, ["/usr/bin/python3", "-c", script], API).expect(0)
    check(result.out.split("\n")[:3] == ["200 0", "204 0", "304 0"], f"{result.out!r}")
    check(result.out.split("\n")[3].startswith("200 "), "the connection was not usable afterwards")


@test()
def chunked_upload(w):
    result = shell(w, "printf 'abc%.0s' $(seq 1000) | curl -sS -H 'Transfer-Encoding: chunked' --data-binary @- https://api.example/odd/echo", API)
    check(json.loads(result.expect(0).out)["length"] == 3000, result.out)


@test()
def chunked_download(w):
    shell(w, "curl -sS https://api.example/odd/chunked | wc -c", API).expect(0, out="40000")
    shell(w, "curl -sS http://raw.example:8080/chunked | wc -c", "domain=raw.example").expect(0, out="40000")


@test()
def body_until_close(w):
    curl(w, "https://raw.example:8443/until-close", allow="domain=raw.example").expect(0, out="up to the end")
    curl(w, "--http1.0", "http://raw.example:8080/until-close", allow="domain=raw.example").expect(0, out="up to the end")


@test()
def expect_continue(w):
    script = "head -c 3000000 /dev/zero | curl -v -H 'Expect: 100-continue' --data-binary @- %s"
    for url in ("https://api.example/odd/sink", "http://raw.example:8080/sink"):
        result = shell(w, script % url, "domain=*.example").expect(0, out="3000000")
        check("HTTP/1.1 100" in result.err, "no 100 Continue reached the client")


@test()
def expect_continue_refused(w):
    """A final status instead of 100 reaches the client, which then does not send the body."""
    script = "head -c 3000000 /dev/zero | curl -sS -i -H 'Expect: 100-continue' --data-binary @- http://raw.example:8080/refuse"
    shell(w, script, "domain=raw.example").expect(0, out="413 ")
    denied = shell(w, script.replace("/refuse", "/denied"), "domain=raw.example path=/x")
    denied.expect(0, out="403 ")


@test()
def interim_responses(w):
    curl(w, "http://raw.example:8080/hints", allow="domain=raw.example").expect(0, out="after hints")


@test()
def truncated_is_visible(w):
    for path in ("truncated", "truncated-chunked"):
        for base in ("http://raw.example:8080", "https://raw.example:8443"):
            result = curl(w, f"{base}/{path}", allow="domain=raw.example")
            check(result.code in (18, 52, 56), f"{base}/{path}: curl's exit code {result.code}")
            check("ended before its body did" in result.err, f"{base}/{path}: {result.err!r}")
    # TLS without its closing alert (RFC 8446 section 6.1), in a body that only the end of the connection ends.
    result = curl(w, "https://raw.example:8443/cut-off", allow="domain=raw.example")
    check(result.code in (18, 52, 56), f"cut-off: curl's exit code {result.code}")


@test()
def wrong_responses_are_refused(w):
    for path in ("bad-lengths", "bad-both", "bad-status", "bad-field"):
        result = curl(w, "-i", f"http://raw.example:8080/{path}", allow="domain=raw.example")
        check("502" in result.out.split("\n")[0], f"{path}: {result.out!r}")
        check("SECRET" not in result.out, f"{path}: data of a wrong response came through")
    result = curl(w, "http://raw.example:8080/bad-chunk", allow="domain=raw.example")
    check(result.code != 0 and "SECRET" not in result.out, f"bad-chunk: exit {result.code}, {result.out!r}")
    check("not well-formed in its body" in result.err, f"{result.err!r}")


@test()
def origin_closes_without_answer(w):
    curl(w, "-i", "http://raw.example:8080/silent", allow="domain=raw.example").expect(0, out="HTTP/1.1 502")


@test()
def unreachable_origin(w):
    curl(w, "-i", "http://api.example:81/", allow=API).expect(0, out="HTTP/1.1 502")
    curl(w, "-i", "https://api.example:8444/", allow=API).expect(0, out="HTTP/1.1 502")


@test()
def unknown_name(w):
    curl(w, "-i", "http://nowhere.example/", allow="domain=nowhere.example").expect(0, out=["HTTP/1.1 502", "does not exist", "use the full name"])


@test()
def name_from_dns(w):
    curl(w, "https://dns-only.example/x", allow="domain=dns-only.example").expect(0, out="GET https://dns-only.example/x")


# One reading only ---------------------------------------------------------------------------------------------------


def raw(w, data, *arguments, allow=API, timeout=25):
    return jail(w, ["/usr/bin/python3", w.inside / "raw.py", *map(str, arguments)], allow, data=data, timeout=timeout)


AMBIGUOUS = {
    "length and chunked": b"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length list": b"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 3, 4\r\n\r\nabcd",
    "signed length": b"POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: +3\r\n\r\nabc",
    "two hosts": b"GET / HTTP/1.1\r\nHost: api.example\r\nHost: other.example\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: api.example\n\n",
    "bare LF in a field": b"GET / HTTP/1.1\r\nHost: api.example\nX: y\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: api.example\r\nX: a\rb\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: api.example\r\nX: a\r\n b\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : api.example\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\nHost: api.example\r\nX: a\0b\r\n\r\n",
    "unknown coding": b"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "userinfo": b"GET http://api.example@other.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: api.example\r\n\r\n",
    "version": b"GET / HTTP/3.7\r\nHost: api.example\r\n\r\n",
}


@test()
def ambiguous_requests(w):
    """One session, all of them: each gets 400 (or 505, 501 where that is the name for it) and nothing from the origin."""
    names = list(AMBIGUOUS)
    script = ("import json, socket, sys\n"
              "for name, data in json.load(sys.stdin).items():\n"
              "    s = socket.create_connection(('api.example', 80), 5); s.settimeout(5); out = b''\n"
              "    s.sendall(data.encode('latin-1'))\n"
              "    try:\n"
              "        while d := s.recv(65536): out += d\n"
              "    except OSError as e: out += repr(e).encode()\n"
              "    print(json.dumps([name, out.decode('latin-1')]), flush=True)\n")
    data = json.dumps({n: d.decode("latin-1") for n, d in AMBIGUOUS.items()}).encode()
    result = jail(w, ["/usr/bin/python3", "-c", script], API, data=data, timeout=50).expect(0)
    answers = dict(json.loads(l) for l in result.out.splitlines())
    check(list(answers) == names, f"answers to {list(answers)}")
    wrong = {n: a[:60] for n, a in answers.items() if not re.match(r"HTTP/1\.1 (400|501|505) ", a) or len(re.findall(r"^HTTP/1\.1 \d", a, re.M)) != 1}
    check(not wrong, f"not refused: {wrong}")


@test()
def bad_chunk_from_client(w):
    data = b"POST /odd/echo HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\nXYZ\r\nabc\r\n0\r\n\r\n"
    result = raw(w, data, "api.example", 80)
    check("200" not in result.out.split("\r\n")[0], f"{result.out!r}")


@test()
def huge_head_is_refused(w):
    data = b"GET / HTTP/1.1\r\nHost: api.example\r\n" + b"X: " + b"y" * 100000 + b"\r\n\r\n"
    result = raw(w, data, "api.example", 80)
    check(re.match(r"HTTP/1\.1 4(31|00|14) ", result.out), f"{result.out[:200]!r}")


@test()
def identity_host_is_not_sni(w):
    data = b"GET / HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n"
    result = raw(w, data, "--tls", "api.example", 443, allow="domain=*.example")
    check(result.out.startswith("HTTP/1.1 421 "), f"{result.out!r}")


@test()
def identity_host_is_not_the_name_asked(w):
    data = b"GET / HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n"
    result = raw(w, data, "api.example", 80, allow="domain=*.example")
    check(result.out.startswith("HTTP/1.1 421 "), f"{result.out!r}")


@test()
def identity_sni_is_not_the_name_asked(w):
    data = b"GET / HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n"
    result = raw(w, data, "--tls", "--sni", "other.example", "api.example", 443, allow="domain=*.example")
    check("GET https://" not in result.out, f"reached the origin: {result.out!r}")


@test()
def identity_absolute_form(w):
    data = b"GET http://other.example/ HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n"
    result = raw(w, data, "api.example", 80, allow="domain=*.example")
    check(re.match(r"HTTP/1\.1 (421|400) ", result.out), f"{result.out!r}")


# Certificates of the origin -----------------------------------------------------------------------------------------


@test(root=True)
def bad_certificates(w):
    reasons = {"expired.example": "expired", "wrongname.example": "wrongname.example", "unknownca.example": "certificate"}
    for host, reason in reasons.items():
        result = curl(w, "-i", f"https://{host}/", allow="domain=*.example").expect(0)
        check(result.out.startswith("HTTP/1.1 502"), f"{host}: {result.out!r}")
        check(reason in result.out.lower(), f"{host}: the reason is not given: {result.out!r}")
        check("SECRET" not in result.out, f"{host}: data came through")


@test()
def upstream_ca_is_needed(w):
    """Without --upstream-ca the test authority is unknown: nobody but the system's store is trusted."""
    result = curl(w, "-i", "https://api.example/", ca=False).expect(0)
    check(result.out.startswith("HTTP/1.1 502"), f"{result.out!r}")


# Addresses ----------------------------------------------------------------------------------------------------------


@test()
def private_address_needs_ip(w):
    for scheme in ("http", "https"):
        result = curl(w, "-i", f"{scheme}://private.example/", allow="domain=private.example").expect(0)
        check(result.out.startswith("HTTP/1.1 403") and "ip=" in result.out, f"{result.out!r}")
        curl(w, "-f", f"{scheme}://private.example/x", allow="domain=private.example ip=10.77.0.0/16").expect(0, out="GET ")
        curl(w, "-f", f"{scheme}://private.example/x", allow="domain=private.example ip=10.78.0.0/16").expect(22)


@test(root=True)
def host_addresses_are_refused(w):
    for host in ("self.example", "loop.example", "metadata.example", "rebind.example", "cable.example", "localhost.example"):
        result = curl(w, "-i", f"http://{host}:8088/", allow="domain=*.example").expect(0)
        check(re.match(r"HTTP/1\.1 (403|502) ", result.out) and "HOST SERVICE" not in result.out, f"{host}: {result.out!r}")


@test()
def literal_addresses_need_ip(w):
    curl(w, "-f", "http://198.51.100.2/x", allow="domain=*").expect(22)
    curl(w, "-f", "http://198.51.100.2/x", allow="ip=198.51.100.2").expect(0, out="GET http://198.51.100.2/x")


@test()
def a_rule_for_addresses_lets_no_name_out(w):
    """To find the address, the name would be told to whoever is asked for it."""
    before = len(w.servers.dns_queries())
    result = curl(w, "-i", "http://secret.dns-only.example/", allow="ip=10.0.0.0/8").expect(0)
    check(result.out.startswith("HTTP/1.1 403"), f"{result.out!r}")
    asked = w.servers.dns_queries()[before:]
    check(not asked, f"asked upstream: {asked}")
    curl(w, "-f", "http://private.example/x", allow=["domain=private.example", "ip=10.77.0.0/16"]).expect(0, out="GET ")


# More than one ------------------------------------------------------------------------------------------------------


@test()
def two_sessions_with_different_rules(w):
    script = "echo ready; read x; curl -s -o /dev/null -o /dev/null -w '%{http_code}\\n' https://api.example/ https://two.example/"
    sessions = [start(w, ["sh", "-c", script], f"domain={d}", stdin=subprocess.PIPE) for d in ("api.example", "two.example")]
    for s in sessions:
        s.wait_line("ready")
    check(len(w.links()) == 2, f"interfaces: {w.links()}")
    for s, expected in zip(sessions, ("200403", "403200")):
        s.process.stdin.write(b"go\n")
        got = s.finish().expect(0).out.replace("\n", "")
        check(got == expected, f"{got}, expected {expected}")


@test(timeout=120)
def ten_sessions_in_parallel(w):
    count = 10
    script = "i=0; while [ $i -lt 5 ]; do curl -sS https://api.example/n$1-$i || exit 9; i=$((i+1)); done"
    sessions = [start(w, ["sh", "-c", script, "-", str(n)], API_GET) for n in range(count)]
    for n, s in enumerate(sessions):
        out = s.finish(90).expect(0).out
        check(out.count(f"https://api.example/n{n}-") == 5, f"session {n}: {out!r}")


@test()
def parallel_requests_in_one_session(w):
    script = "seq 40 | xargs -P 20 -I{} curl -sS https://api.example/r{} | sort -u | wc -l"
    shell(w, script, API).expect(0, out="40")


@test()
def client_gone_in_the_middle(w):
    """A client that leaves during a transfer does not disturb the next."""
    script = "for i in 1 2 3; do curl -sS https://api.example/files/64m | head -c 1000 >/dev/null; done 2>/dev/null; curl -sS https://api.example/fine"
    shell(w, script, API).expect(0, out="api.example/fine")


@test()
def not_http_is_closed(w):
    """Neither TLS nor HTTP on an allowed name: nothing comes back but perhaps a 400."""
    result = raw(w, b"SSH-2.0-test\r\n", "api.example", 22, allow="domain=api.example")
    check("SSH" not in result.out and (result.out == "" or "400" in result.out or "connect:" in result.out or "lost:" in result.out), f"{result.out!r}")


@test()
def forged_requests_do_not_carry_over(w):
    """Hop-by-hop fields stay on their hop."""
    result = curl(w, "-H", "Connection: close, X-Hop", "-H", "X-Hop: 1", "-H", "Proxy-Authorization: secret", "-H", "X-Stay: 2",
                  "http://raw.example:8080/echo", allow="domain=raw.example").expect(0)
    names = [n for n, _ in json.loads(result.out)["fields"]]
    check("x-stay" in names and not {"x-hop", "proxy-authorization"} & set(names), f"{names}")


