"""What the command holds and cannot do, and what of it gets out: nothing."""

import concurrent.futures
import json
import re
import socket
import subprocess
import time

import instrumented
import system
from capture import PROXY_TO_ORIGIN, Capture
from jail import API, jail, shell, start
from registry import check, test
from report import PASSED, FAILED, SKIPPED


def inside_state(w, allow=API, **kwargs):
    """Result of state.py given the pids of launcher, helper and proxy."""
    session = start(w, ["sh", "-c", f"read pids; exec /usr/bin/python3 {w.inside}/state.py $pids"], allow, stdin=subprocess.PIPE, **kwargs)
    pids = [session.pid, session.child("helper"), session.child("proxy")]
    result = session.finish(data=" ".join(map(str, pids)).encode() + b"\n").expect(0)
    return json.loads(result.out.splitlines()[-1]), pids


@test(root=True)
def command_holds_nothing(w):
    state, _ = inside_state(w)
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        check(int(state["status"][key], 16) == 0, f"{key} = {state['status'][key]}")
    check(state["status"]["NoNewPrivs"].strip() == "1", f"NoNewPrivs = {state['status']['NoNewPrivs']}")
    check(state["status"]["Seccomp"].strip() == "2", f"Seccomp = {state['status']['Seccomp']}")
    # 3 is the directory that listdir() itself reads.
    check(state["fds"] in ([0, 1, 2], [0, 1, 2, 3]), f"descriptors {state['fds']}")


@test()
def inherited_descriptors_are_closed(w):
    """Not even those the user's shell hands over."""
    import os

    read_end, write_end = os.pipe()
    try:
        session = start(w, ["ls", "/proc/self/fd"], pass_fds=(read_end, write_end))
        out = session.finish().expect(0).out.split()
    finally:
        os.close(read_end)
        os.close(write_end)
    check(len(out) <= 4, f"descriptors {out}")


def open_sockets():
    """Kinds of sockets that lead, or can be turned, out of the jail; as (name, socket)."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    yield "TCP, listening", listener
    client = socket.create_connection(listener.getsockname())
    yield "TCP, connected", client
    yield "UDP", socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    yield "IPv6", socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    yield "netlink", socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    yield "unix, not connected", socket.socket(socket.AF_UNIX)
    yield "unix, datagrams", socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0]


@test(root=True)
def sockets_as_standard_descriptors_are_refused(w):
    """
    A socket stays in the network namespace it was made in: connect() to AF_UNSPEC, then to anything, on descriptor 0 would go around the
    jail. What ends at one place is as good as a pipe.
    """
    for name, opened in open_sockets():
        for stream in ("stdin", "stdout", "stderr"):
            session = start(w, ["sh", "-c", "echo ran; echo ran >&2"], API, **{"stdin": subprocess.DEVNULL, stream: opened})
            result = session.finish()
            check(result.code == 125 and "ran" not in result.out + result.err, f"{name} as {stream}: exit {result.code} {result.err!r}")
            check(stream == "stderr" or "a socket" in result.err, f"{name} as {stream}: {result.err!r}")
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        start(w, ["sh", "-c", "echo ran"], API, stdout=theirs).finish().expect(0)
        check(ours.recv(100) == b"ran\n", "a connected unix socket does not work as standard output")


@test(root=True)
def cgroups_are_out_of_reach(w):
    """Who owns a cgroup ends processes in it (cgroup.kill): the command can write none, however deep it is mounted."""
    script = "for f in $(find /sys/fs/cgroup -name cgroup.procs 2>/dev/null | head -20); do (echo 0 >$f) 2>/dev/null && echo wrote $f; done; " \
             "awk '$5 ~ /^\\/sys/ && $6 !~ /^ro/' /proc/self/mountinfo; true"
    result = shell(w, script).expect(0)
    check(not result.out, f"{result.out!r}")


@test(root=True)
def identity_inside(w):
    state, _ = inside_state(w)
    check(state["uid"] == [w.identity.uid] * 3 and state["gid"] == [w.identity.gid] * 3, f"{state['uid']} {state['gid']}")
    check(state["cwd"] == str(w.identity.home), f"cwd {state['cwd']}")
    check(state["interfaces"] == ["eth0", "lo"], f"interfaces {state['interfaces']}")


@test()
def processes_of_ours_are_out_of_reach(w):
    state, pids = inside_state(w)
    for what in ("kill", "ptrace"):
        for pid in pids:
            check(state[what][str(pid)] in ("ESRCH", "EPERM"), f"{what} of {pid}: {state[what][str(pid)]}")
    # By name in the jail's own /proc as well: nothing of ours but jail init is to be seen there.
    result = shell(w, "cat /proc/[0-9]*/comm | sort -u").expect(0)
    check("boundary-proxy" not in result.out and "boundary-helper" not in result.out, f"{result.out!r}")


@test()
def jail_init_is_out_of_reach(w):
    script = "kill -9 1; kill -STOP 1; kill -TERM 1; for f in environ maps mem fd/3 cwd/. root/. exe ns/net; do cat /proc/1/$f >/dev/null 2>&1 && echo read $f; " \
             "ls /proc/1/$f >/dev/null 2>&1 && echo listed $f; done; sleep 0.3; echo still here"
    result = shell(w, script).expect(0, out="still here")
    # Names of files that cannot be followed may be seen.
    check("read" not in result.out and "listed cwd" not in result.out and "listed root" not in result.out, f"{result.out!r}")


@test(root=True)
def session_files_are_private(w):
    session = start(w, ["sh", "-c", "echo ready; sleep 30"], API)
    session.wait_line("ready")
    directories = w.session_directories()
    check(len(directories) == 1, f"session directories: {directories}")
    import os
    import stat

    mode = os.stat(directories[0])
    check(stat.S_IMODE(mode.st_mode) == 0o700 and mode.st_uid == w.identity.uid, f"mode {mode.st_mode:o} uid {mode.st_uid}")
    texts = [open(os.path.join(directories[0], n), "rb").read() for n in os.listdir(directories[0])]
    check(not any(b"PRIVATE KEY" in t for t in texts), "a private key lies in the session directory")
    session.kill(15)
    session.finish()


@test()
def key_is_not_in_the_commands_reach(w):
    """Where it looks it finds the session's files: the certificate is there, and no key."""
    script = "for what in 'PRIVATE KEY' 'BEGIN CERTIFICATE'; do echo \"$what: $(grep -rl \"$what\" \"$XDG_RUNTIME_DIR\" \"$TMPDIR\" 2>/dev/null | wc -l)\"; done; " \
             "echo environment: $(env | grep -c 'PRIVATE KEY')"
    result = shell(w, script).expect(0, out="environment: 0")
    check("PRIVATE KEY: 0" in result.out and "BEGIN CERTIFICATE: 0" not in result.out, f"{result.out!r}")


# The attack programs (tests/attack), each the command of a jail -----------------------------------------------------


def tap(text):
    """Yields (ok, description, skip reason or None) for each line of the Test Anything Protocol."""
    for line in text.splitlines():
        m = re.match(r"(not )?ok\b\s*\d*\s*-?\s*(.*?)(?:\s*#\s*(?:SKIP|skip)\S*\s*(.*))?$", line)
        if m:
            yield m[1] is None, m[2], m[3]


def attack_programs(w, prefix):
    if not w.attack:
        return []
    return sorted(p for p in w.attack.rglob(prefix + "*") if p.is_file() and p.stat().st_mode & 0o100)


def report_tap(w, report, name, run, seconds):
    """One result of the report for each line; a program that crashes or says nothing is a failure of its own."""
    lines = list(tap(run.out))
    for ok, description, skip in lines:
        status = SKIPPED if skip is not None else PASSED if ok else FAILED
        report.add(status, f"{name}: {description}", seconds / max(len(lines), 1), skip or "", run.out + run.err if status == FAILED else "")
    plan = re.search(r"^1\.\.(\d+)", run.out, re.M)
    bad_end = run.code != 0 and all(ok for ok, _, _ in lines)
    if not lines or bad_end or (plan and int(plan[1]) != len(lines)):
        report.add(FAILED, f"{name}: runs to its end", seconds, f"exit {run.code}, {len(lines)} results", run.out + run.err)


# As root each is on a host of its own, so that several run at the same time: they mostly wait for the kernel. The longest alone
# takes two minutes on two cores that have other things to do.
HELPER_ATTACKS_AT_ONCE = 3
HELPER_ATTACK_TIMEOUT = 600
# The kernel takes network namespaces apart one after the other, when it finds time.
LINKS_GO_SECONDS = 30


def run_attacks(w, report, prefix, wanted):
    """Called by tests/run: not test functions, because each line of a program counts as one test."""
    for program in attack_programs(w, "jail_"):
        for identity in ("user", "root"):
            name = f"{prefix}/attack/{program.name}" + (":root" if identity == "root" else "")
            if wanted(name):
                one_attack(w, report, name, identity, lambda p=program: attack_in_jail(w, p))
    for suffix, attack, at_once in (("", attack_on_helper_as_user, 1), (":root", attack_on_helper_as_root, HELPER_ATTACKS_AT_ONCE)):
        programs = {f"{prefix}/attack/{p.name}{suffix}": p for p in attack_programs(w, "helper_")}
        programs = {name: program for name, program in programs.items() if wanted(name)}
        if programs:
            attacks_on_helper(w, report, programs, attack, at_once)


def one_attack(w, report, name, identity, attack):
    w.begin_test(identity)
    started = time.monotonic()
    try:
        report_tap(w, report, name, attack(), time.monotonic() - started)
    except Exception as error:
        report.add(FAILED, name, time.monotonic() - started, f"{type(error).__name__}: {error}", w.transcript())
    for text in w.end_test(()):
        report.add(FAILED, f"{name}: leaves nothing", 0, text)


def attack_in_jail(w, program):
    """Under a capture: whatever it tries, no packet of its own is seen anywhere."""
    script = 'read BOUNDARY_ATTACK_PIDS; export BOUNDARY_ATTACK_PIDS; exec "$@"'
    with Capture(w) as capture:
        session = start(w, ["sh", "-c", script, "-", program], API, environment=attack_environment(w), stdin=subprocess.PIPE)
        pids = [session.pid, session.child("helper"), session.child("proxy")]
        result = session.finish(60, " ".join(map(str, pids)).encode() + b"\n")
    capture.check_no_leak(PROXY_TO_ORIGIN)
    return result


def attack_environment(_world):
    return {"BOUNDARY_ATTACK_HOST": "198.51.100.1", "BOUNDARY_ATTACK_HOST_PORT": "8088", "BOUNDARY_ATTACK_ORIGIN": "198.51.100.2",
            "BOUNDARY_ATTACK_HOST_6": "2001:db8:77::1", "BOUNDARY_ATTACK_ORIGIN_6": "2001:db8:77::2",
            "BOUNDARY_ATTACK_BANNER": "HOST SERVICE", "BOUNDARY_ATTACK_ABSTRACT": "boundary-host-service"}


def attacks_on_helper(w, report, programs, attack, at_once):
    """All of them beside one session of another user's; what they leave is nobody's in particular."""
    w.begin_test("user")
    session = start(w, ["sh", "-c", "echo ready; sleep 3600"], API)
    session.wait_line("ready")
    victim = session.jail_init()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        running = {name: pool.submit(timed, attack, w, program, victim) for name, program in programs.items()}
        for name, outcome in running.items():
            try:
                result, seconds = outcome.result()
                report_tap(w, report, name, result, seconds)
            except Exception as error:
                report.add(FAILED, name, 0, f"{type(error).__name__}: {error}")
    session.kill(15)
    session.finish()
    for text in w.end_test(()):
        report.add(FAILED, f"{name} and those before: leave nothing", 0, text)


def timed(function, *arguments):
    started = time.monotonic()
    result = function(*arguments)
    return result, time.monotonic() - started


def attack_on_helper_as_user(w, program, victim):
    """
    Another one than the one whose jail stands beside it. What it leaves must go: the next one starts when the host is as it was, as it
    would take the end of what this one leaves for its own doing.
    """
    before = w.links()
    done = w.run_in([program, w.helper, victim], user=w.other, timeout=HELPER_ATTACK_TIMEOUT)
    deadline = time.monotonic() + LINKS_GO_SECONDS
    while (now := w.links()) != before:
        check(time.monotonic() < deadline, f"{program.name} leaves {now}, before it there were {before}\n{done.stdout}")
        time.sleep(0.1)
    return attack_outcome(w, done)


def attack_on_helper_as_root(w, program, _victim):
    """The program makes users and a host of its own. Its processes are alone, and end with it."""
    return attack_outcome(w, w.run_in([*instrumented.ALONE, program, w.helper], user=w.root, timeout=HELPER_ATTACK_TIMEOUT))


def attack_outcome(w, done):
    w.note(done.stdout + done.stderr)

    class Outcome:
        code, out, err = done.returncode, done.stdout, done.stderr

    return Outcome


# Nothing leaks ------------------------------------------------------------------------------------------------------


@test(root=True)
def spray_leaks_nothing(w):
    with Capture(w) as capture:
        jail(w, ["/usr/bin/python3", w.inside / "spray.py", "3"], API).expect(0, out="going")
    capture.check_no_leak(PROXY_TO_ORIGIN)


@test()
def dns_makes_no_packets(w):
    """Names no rule allows, odd types, long labels: answered inside, asked of nobody."""
    script = ("import socket\n"
              "def ask(name, kind, proto):\n"
              "    q = b'\\x12\\x34\\x01\\x00\\x00\\x01' + b'\\0' * 6 + b''.join(bytes([len(l)]) + l for l in name.split(b'.')) + b'\\0' + bytes([0, kind, 0, 1])\n"
              "    s = socket.socket(socket.AF_INET, proto); s.settimeout(10)\n"
              "    try:\n"
              "        s.connect(('198.51.100.53', 53)); s.send(q if proto == socket.SOCK_DGRAM else len(q).to_bytes(2, 'big') + q); print(len(s.recv(2000)), flush=True)\n"
              "    except OSError as e: print(e, flush=True)\n"
              "for proto in (socket.SOCK_DGRAM, socket.SOCK_STREAM):\n"
              "    for kind in (1, 2, 5, 6, 12, 15, 16, 28, 33, 64, 65, 255):\n"
              "        for name in (b'leak.example', b'.'.join([b'a' * 63, b'b' * 63, b'c' * 63, b'leak', b'example']), b'api.example'): ask(name, kind, proto)\n")
    before = len(w.servers.dns_queries())
    with Capture(w) as capture:
        result = jail(w, ["/usr/bin/python3", "-c", script], API, timeout=110).expect(0)
    check(result.out.count("\n") == 72 and "timed out" not in result.out, f"answers: {result.out!r}")
    check(len(w.servers.dns_queries()) == before, f"asked upstream: {w.servers.dns_queries()[before:]}")
    capture.check_no_leak()


@test()
def dns_answers(w):
    """A name gets one synthetic address for the session; IPv6 and short names of the search list work as names do."""
    result = shell(w, "getent ahostsv4 api.example | head -1; getent ahostsv4 api.example | head -1; getent ahostsv4 other.example | head -1; "
                      "getent ahostsv6 api.example | grep -c :: || true").expect(0)
    addresses = [l.split()[0] for l in result.out.splitlines()[:3]]
    check(all(a.startswith("198.19.") for a in addresses), f"{addresses}")
    check(addresses[0] == addresses[1] != addresses[2], f"{addresses}")


@test()
def dns_upstream_only_for_allowed_connections(w):
    before = len(w.servers.dns_queries())
    shell(w, "curl -s http://secret-data.example/; curl -s http://dns-only.example/", "domain=dns-only.example")
    asked = {q.split()[0] for q in w.servers.dns_queries()[before:]}
    check(asked == {"dns-only.example"}, f"asked upstream: {asked}")


@test()
def host_services_are_out_of_reach(w):
    """On the host's real address, the cable's, and loopback; the service answers outside, so it is the jail that stops it."""
    outside = w.run_in(["curl", "-sS", "http://198.51.100.1:8088/"])
    check("HOST SERVICE" in outside.stdout, f"the service does not answer: {outside.stderr}")
    script = "cable=$(ip route 2>/dev/null | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'); " \
             "for a in 198.51.100.1 127.0.0.1 ${cable:-198.18.0.0} 10.77.0.1 '[::1]' '[2001:db8:77::1]'; do curl -s --max-time 2 http://$a:8088/; done; true"
    result = shell(w, script, "domain=*", timeout=40).expect(0)
    check("HOST SERVICE" not in result.out, f"{result.out!r}")


@test(root=True)
def proxy_is_closed_to_others(w):
    """
    No answer of its listeners to the host's side, to another user, the same user or root, on any address; also not to a socket
    that is bound to the cable's device. The kernel takes what is sent to the cable's address for something that came by the cable
    (inet_iif()), so that the connection begins; the proxy resets it.
    """
    session = start(w, ["sh", "-c", "echo ready; sleep 60"], API)
    session.wait_line("ready")
    listing = system.run(["ip", "netns", "exec", w.host, "ss", "-Hltunp"]).stdout
    ours = [l.split() for l in listing.splitlines() if "boundary-proxy" in l]
    check(ours, f"no listener of the proxy in {listing!r}")
    for fields in ours:
        address, port = fields[4].rsplit(":", 1)
        check(address.partition("%")[0].strip("[]") not in ("0.0.0.0", "*", "::"), f"listens on all addresses: {fields}")
        if fields[0] != "tcp":
            continue
        targets = [address.partition("%")[0], "127.0.0.1", "198.51.100.1", "10.77.0.1"]
        for user in (w.other, w.user, w.root):
            for target in targets:
                for device in ("", session.interface()):
                    probe = (f"import socket; s = socket.socket(); s.settimeout(0.5); device = {device.encode()!r}\n"
                             "if device: s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)\n"
                             f"s.connect(('{target}', {port}))\n"
                             "s.sendall(b'GET http://api.example/v1/x HTTP/1.1\\r\\nHost: api.example\\r\\n\\r\\n')\n"
                             "if s.recv(1): print('answered')")
                    done = w.run_in(["python3", "-c", probe], user=user)
                    check("answered" not in done.stdout, f"{user.name} reached the proxy at {target}:{port} {device}")
    session.kill(15)
    session.finish()


@test()
def origin_netns_cannot_reach_the_proxy(w):
    """Nor does a neighbour on the network, though the host forwards."""
    session = start(w, ["sh", "-c", "echo ready; sleep 60"], API)
    session.wait_line("ready")
    listing = system.run(["ip", "netns", "exec", w.host, "ss", "-Hltnp"]).stdout
    port = next(l.split()[3].rsplit(":", 1)[1] for l in listing.splitlines() if "boundary-proxy" in l)
    for target in ("198.18.0.0", "198.18.0.1", "198.51.100.1"):
        probe = f"import socket; socket.create_connection(('{target}', {port}), 1)"
        done = w.run_in(["python3", "-c", probe], user=w.root, netns=w.origin)
        check(done.returncode != 0, f"{target}:{port} answered the origin's namespace")
    session.kill(15)
    session.finish()


@test()
def device_is_closed(w):
    """Forwarding and IPv6 are off on the cable, and the host has no IPv6 address on it."""
    session = start(w, ["sh", "-c", "echo ready; sleep 60"], API)
    session.wait_line("ready")
    name = session.interface()
    read = lambda path: system.run(["ip", "netns", "exec", w.host, "cat", f"/proc/sys/net/{path}"], check=False).stdout.strip()
    check(read(f"ipv4/conf/{name}/forwarding") == "0", "forwarding is on")
    check("inet6" not in w.ip(w.host, "addr", "show", name), "the cable has an IPv6 address")
    check(read(f"ipv6/conf/{name}/disable_ipv6") == "1", "IPv6 is on")
    alias = re.search(r"alias (.*)", w.ip(w.host, "link", "show", name))
    check(alias and f"uid={w.user.uid}" in alias[1], f"alias: {alias and alias[1]}")
    session.kill(15)
    session.finish()


@test()
def host_state_is_untouched(w):
    """The host's settings and addresses are the same after a session as before."""
    script = "sysctl -a 2>/dev/null | grep -E '^net' | grep -vE 'bnd[0-9]|nf_conntrack|random|generation|inode|dentry'; ip addr show to-origin | grep -v valid_lft; ip route; ip rule; cat /etc/resolv.conf /etc/hosts"
    look = lambda: system.run(["ip", "netns", "exec", w.host, "sh", "-c", script], check=False).stdout
    before = look()
    jail(w, ["curl", "-sS", "https://api.example/"], API).expect(0)
    after = look()
    changed = set(before.splitlines()) ^ set(after.splitlines())
    check(not changed, f"changed: {sorted(changed)[:6]}")


@test()
def helper_by_itself_does_nothing(w):
    """Its version, or a word about who starts it."""
    done = w.run_in([w.helper, "--version"])
    check(done.returncode == 0 and re.search(r"\d+\.\d+", done.stdout), f"--version: {done.stdout!r}")
    done = w.run_in([w.helper, "unexpected"], timeout=8)
    check(done.returncode != 0, "accepts an argument")


