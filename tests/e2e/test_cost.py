"""What a jail can cost the host: lines in the log, memory and descriptors of the proxy, entries of the kernel's tables."""

import fcntl
import ipaddress
import json
import os
import re
import signal
import struct
import subprocess
import termios

import system
from jail import API, curl, start
from registry import check, test, wait_until
from world import HERE

LINE_MAX = 4096  # shared/log.h
BURST, RATE = 50, 10  # policy/proxy/diagnostics.h
CLIENTS_MAX = 512  # policy/proxy/client.h
BACKLOG = 128  # launcher/proxy_client.c
DESCRIPTORS_BESIDES = 30
MEMORY_MAX_KB = 300 * 1024  # policy/proxy/README.md
TCP_ENTRIES, UDP_ENTRIES = 1024, 2048  # of the kernel's connection tracking, for each session
ENTRIES_ABOUT = 16


def flood(w, *arguments, **kwargs):
    """A session whose command is flood.py; the result it prints is taken by `flooded()`."""
    return start(w, ["/usr/bin/python3", w.inside / "flood.py", *arguments], API, stdin=subprocess.PIPE, **kwargs)


def flooded(session):
    return json.loads(session.wait_line("{", 60))


def peak(session):
    return int(system.status_field(session.child("proxy"), "VmHWM").split()[0])


def held_back(text, kind):
    """The sum of what the lines about lines that were held back say."""
    return sum(map(int, re.findall(rf'held back kind="?{kind}"? count=(\d+)$', text, re.M)))


def check_lines(text):
    """Each is a line of the log, not too long, without control characters."""
    for line in text.splitlines(keepends=True):
        check(len(line) <= LINE_MAX, f"a line of {len(line)} characters: {line[:200]!r}")
        check(re.match(r"\d{4}-\d\d-\d\dT\S+Z (WARN|INFO) boundary-\w+: [^\x00-\x1f\x7f]*\n$", line), f"not a line of the log: {line!r}")


# The log ------------------------------------------------------------------------------------------------------------


@test()
def lines_are_limited_and_counted(w):
    """A flood of connections that are neither TLS nor HTTP; another session of the same user is served meanwhile."""
    session = flood(w, "garbage", 4)
    session.child("proxy")
    for _ in range(3):
        curl(w, "-f", "https://api.example/meanwhile").expect(0, out="api.example/meanwhile")
    counts = flooded(session)
    memory = peak(session)
    result = session.finish(data=b"\n").expect(0)
    check_lines(result.err)
    lines = result.err.count(" DENY method=TCP ")
    w.note(f"{counts}, {lines} lines, VmHWM {memory} kB")
    check(counts["refused"] > 3 * BURST, f"no flood: {counts}")
    check(lines <= BURST + RATE * (result.seconds + 1), f"{lines} lines in {result.seconds:.1f} s")
    said = held_back(result.err, "neither TLS nor HTTP")
    check(said > 0, f"no line says what was held back: {result.err[-400:]!r}")
    check(counts["refused"] <= lines + said <= counts["refused"] + counts["left"], f"{lines} lines and {said} held back of {counts}")
    check(len(result.err.splitlines()) <= lines + 10, f"other lines: {result.err[-400:]!r}")
    check(w.build != "release" or memory < MEMORY_MAX_KB // 10, f"the proxy's RSS reached {memory} kB")


@test()
def records_have_a_size(w):
    """The longest URL that can be asked for: one line, cut, and the record says by how much."""
    path = "/" + "p\"" * 30000
    for form in ("text", "json"):
        result = curl(w, "-o", "/dev/null", "-w", "%{http_code}", "https://other.example" + path, flags=["--log-format", form]).expect(0, out="403")
        line = next(l for l in result.err.splitlines() if "DENY" in l)
        check(len(line) < LINE_MAX, f"{len(line)} characters")
        if form == "json":
            record = json.loads(line)
            url, cut, host = record["url"], int(record["url_cut"]), record["host"]
        else:
            fields = re.search(r'url="((?:[^"\\]|\\.)*)" url_cut=(\d+) host=(\S+) reason="no rule matches"$', line)
            check(fields, f"{line[-200:]!r}")
            url, cut, host = fields[1].replace('\\"', '"'), int(fields[2]), fields[3]
        whole = "https://other.example" + path
        check(whole.startswith(url) and len(url) + cut == len(whole) and len(url) > 1000, f"{len(url)} and {cut} of {len(whole)}")
        check(host == "other.example", f"host {host!r}")


def unread(process):
    """How many octets wait in the pipe of its standard error."""
    return struct.unpack("i", fcntl.ioctl(process.stderr.fileno(), termios.FIONREAD, b"\0" * 4))[0]


def with_a_full_log(w):
    """
    A session that is denied more than a pipe holds, while nobody reads the pipe; the command has made the open file, which it
    shares with the proxy, non-blocking.
    """
    session = start(w, ["/usr/bin/python3", w.inside / "denied.py", "100"], API)
    # Each of the pipe's pages takes one of these lines, which have more than 3,000 octets.
    full = fcntl.fcntl(session.process.stderr.fileno(), fcntl.F_GETPIPE_SZ) // os.sysconf("SC_PAGESIZE") * 3000
    wait_until(lambda: unread(session.process) >= full, 20, "a full log")
    return session


@test()
def records_wait_for_their_reader(w):
    result = with_a_full_log(w).finish().expect(0, out="refused 100")
    numbers = [int(n) for n in re.findall(r" DENY method=GET url=http://other\.example/(\d+)/x", result.err)]
    check(numbers == list(range(100)), f"records of {numbers}")
    check_lines(result.err)


@test()
def a_full_log_does_not_outlive_the_session(w):
    session = with_a_full_log(w)
    session.kill(signal.SIGTERM)
    session.process.wait(timeout=20)
    check(not w.settle(), f"left: {w.leftovers()}")


@test(leaves=("guard",))
def a_full_log_does_not_outlive_the_launcher(w):
    session = with_a_full_log(w)
    session.kill()
    session.process.wait(timeout=5)
    wait_until(lambda: not w.our_processes(), 6, "all processes ended")


@test(leaves=("guard",))
def the_proxy_dies_with_the_launcher_whatever_it_does(w):
    """Stopped, it cannot see its end of file."""
    session = start(w, ["sh", "-c", "echo ready; sleep 60"], API)
    session.wait_line("ready")
    proxy = session.child("proxy")
    system.kill(proxy, signal.SIGSTOP)
    session.kill()
    session.process.wait(timeout=5)
    wait_until(lambda: not system.alive(proxy), 6, "the stopped proxy ended")


# Connections --------------------------------------------------------------------------------------------------------


@test(timeout=120, builds=("release",))
def half_open_handshakes_are_bounded(w):
    """
    More of them than are served at once, each made to take as much memory as it can: the proxy keeps to its bounds, another
    session is served meanwhile, and their own time limit lets this session have its turn again.
    """
    session = flood(w, "hellos", CLIENTS_MAX + BACKLOG // 2, "--", "curl", "-sS", "--max-time", "90", "https://api.example/at-last")
    counts = flooded(session)
    proxy = session.child("proxy")
    descriptors = lambda: len(os.listdir(f"/proc/{proxy}/fd"))
    wait_until(lambda: descriptors() > CLIENTS_MAX, 20, f"the limit is reached: {counts}")
    curl(w, "-f", "https://api.example/meanwhile").expect(0, out="api.example/meanwhile")
    used, memory = descriptors(), peak(session)
    w.note(f"{counts}, {used} descriptors, VmHWM {memory} kB")
    check(used <= CLIENTS_MAX + DESCRIPTORS_BESIDES, f"{used} descriptors")
    check(w.build != "release" or memory < MEMORY_MAX_KB // 2, f"the proxy's RSS reached {memory} kB")
    session.finish(100, data=b"\n").expect(0, out="api.example/at-last")


@test()
def listeners_have_a_short_queue(w):
    """What listen(2) was told, which bounds half-open connections as well as those not accepted yet."""
    session = start(w, ["sh", "-c", "echo ready; read x"], API, stdin=subprocess.PIPE)
    session.wait_line("ready")
    listing = system.run(["ip", "netns", "exec", w.host, "ss", "-Hltnp"]).stdout
    queues = [int(l.split()[2]) for l in listing.splitlines() if "boundary-proxy" in l]
    check(queues == [BACKLOG], f"queues of {queues} in {listing!r}")
    session.finish(data=b"\n").expect(0)


# Names and entries --------------------------------------------------------------------------------------------------


@test()
def names_are_bounded(w):
    """Names nobody has heard of, by the thousand: each is answered, none is asked upstream, none makes a line."""
    before = len(w.servers.dns_queries())
    session = flood(w, "names", 3000, "--", "curl", "-sS", "https://api.example/still")
    counts = flooded(session)
    memory = peak(session)
    result = session.finish(data=b"\n").expect(0, out="api.example/still")
    w.note(f"{counts}, VmHWM {memory} kB")
    check(counts["answered"] == 3000, f"not all are answered: {counts}")
    check(not result.err, f"lines: {result.err[-400:]!r}")
    check(len(w.servers.dns_queries()) == before, "asked upstream")
    check(w.build != "release" or memory < MEMORY_MAX_KB // 10, f"the proxy's RSS reached {memory} kB")


def tracked(w):
    """What the kernel tracks, by source address and kind."""
    done = w.run_in(["/usr/bin/python3", HERE / "conntrack.py"], user=w.root)
    check(done.returncode == 0, f"conntrack.py: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def jail_address(w, session):
    """The other one of its cable."""
    host = re.search(r"inet (\S+)/31", w.ip(w.host, "-o", "addr", "show", session.interface()))[1]
    return str(ipaddress.ip_address(host) + 1)


@test()
def entries_are_limited(w):
    """One session asks for more entries of the connection tracking than it may have; another is served meanwhile."""
    before = tracked(w)
    session = flood(w, "entries", TCP_ENTRIES + 500, UDP_ENTRIES + 1000)
    counts = flooded(session)
    address = jail_address(w, session)
    entries = tracked(w)[address]
    # What an earlier session with the same address has left is not counted again.
    old = before.get(address, {"open": 0, "udp": 0})
    w.note(f"{counts}: {entries}; before: {old}")
    curl(w, "-f", "https://api.example/meanwhile").expect(0, out="api.example/meanwhile")
    for kind, limit in (("open", TCP_ENTRIES), ("udp", UDP_ENTRIES)):
        check(limit - ENTRIES_ABOUT <= entries[kind] <= limit + old[kind] + ENTRIES_ABOUT, f"not about {limit} of {kind}: {entries}, before: {old}")
    session.finish(40, data=b"\n").expect(0)
