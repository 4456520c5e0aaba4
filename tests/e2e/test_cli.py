"""The command line, settings and their errors, exit codes, and what the command finds: all but the network."""

import hashlib
import json
import os
import shutil
import subprocess

import system
from jail import API, Session, jail, shell, start
from registry import check, test
from report import Skip
from world import clean_environment


def refused(w, argv, *texts, **kwargs):
    """boundary-launch with exactly these arguments ends with 125 before anything is started, and says why."""
    result = launch(w, argv, **kwargs).expect(125, err=list(texts))
    check(result.out == "", f"stdout: {result.out!r}")
    left = w.settle()
    check(not left, f"left: {left}")
    return result


def launch(w, argv, wrapper=(), **kwargs):
    """boundary-launch with exactly these arguments, no test authority added."""
    w.note("$ " + " ".join(map(str, [*wrapper, "boundary-launch", *argv])))
    process = w.popen([*wrapper, w.launch, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)
    return Session(w, process).finish()


def config_file(w, text, name="config.yaml", mode=0o644):
    path = w.identity.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for p in (path, path.parent):
        os.chown(p, w.identity.uid, w.identity.gid)
    path.chmod(mode)
    return path


@test()
def home_of_another_user(w):
    closed = w.base / "closed"
    closed.mkdir(mode=0o700, exist_ok=True)
    refused(w, ["--", "true"], "Permission denied", "If HOME is another user's", environment={"HOME": str(closed)})
    refused(w, ["--config", closed / "config.yaml", "--", "true"], "Permission denied")


# Exit codes ---------------------------------------------------------------------------------------------------------


@test(root=True)
def exit_codes(w):
    jail(w, ["true"]).expect(0)
    for code in (1, 7, 255):
        jail(w, ["sh", "-c", f"exit {code}"]).expect(code)


@test()
def exit_code_not_executable(w):
    plain = config_file(w, "#!/bin/sh\n", "not-executable", 0o644)
    jail(w, [plain]).expect(126, err="not-executable")
    jail(w, ["/etc"]).expect(126)


@test()
def not_found_beside_a_closed_directory(w):
    """execvpe(3) remembers the directory of PATH that it could not search."""
    closed = w.base / "closed"
    closed.mkdir(mode=0o700, exist_ok=True)
    environment = {"PATH": f"{closed}:/usr/bin:/bin"}
    jail(w, ["no-such-command"], environment=environment).expect(127, err="not found")
    jail(w, ["true"], environment=environment).expect(0)


@test()
def script_without_interpreter_line(w):
    """execvpe(3) runs it by sh, and copies its arguments to the stack for that: here more than half a megabyte of them."""
    script = config_file(w, "exit $(($# % 100))\n", "no-interpreter", 0o755)
    jail(w, [script, *["x"] * 70007]).expect(7)


@test()
def a_jail_in_a_jail(w):
    jail(w, [w.launch, "--", "true"]).expect(125, err=["a jail of Boundary's", "without boundary-launch"])


@test()
def exit_code_not_found(w):
    jail(w, ["no-such-command"]).expect(127, err="no-such-command")
    jail(w, ["/no/such/file"]).expect(127, err="/no/such/file")


@test()
def exit_code_of_signals(w):
    for number in (9, 15, 6, 11):
        jail(w, ["sh", "-c", f"ulimit -c 0; kill -{number} $$"]).expect(128 + number)


# What the command finds ---------------------------------------------------------------------------------------------


@test()
def pipes_are_intact(w):
    data = os.urandom(10 << 20)
    result = jail(w, ["cat"], data=data).expect(0)
    check(hashlib.sha256(result.bytes).digest() == hashlib.sha256(data).digest(), "cat changed its input")


@test()
def large_environment(w):
    environment = {f"LARGE_{i}": "x" * 100000 for i in range(8)}
    jail(w, ["sh", "-c", "echo ${#LARGE_0} ${#LARGE_7}"], environment=environment).expect(0, out="100000 100000")


@test()
def arguments_are_intact(w):
    odd = ["a b", "", "*", "--allow", "--", "ü", "\n", "$HOME"]
    script = "import json, sys; print(json.dumps(sys.argv[1:]))"
    result = jail(w, ["/usr/bin/python3", "-c", script, *odd]).expect(0)
    check(json.loads(result.out) == odd, result.out)


@test()
def working_directory_is_kept(w):
    jail(w, ["pwd"], cwd="/usr/share").expect(0, out="/usr/share\n")


@test(root=True)
def groups_and_ids(w):
    outside = w.run_in(["id"]).stdout
    inside = jail(w, ["id"]).expect(0).out
    check(inside == outside or inside.split()[:2] == outside.split()[:2], f"inside {inside!r}, outside {outside!r}")


@test()
def background_processes_end_with_it(w):
    session = start(w, ["sh", "-c", "sleep 300 & setsid sleep 301 & (setsid sh -c 'trap \"\" TERM HUP INT; sleep 302' &) ; sleep 0.2; echo done"])
    session.finish(15).expect(0, out="done")
    check(not w.settle(), f"left: {w.leftovers()}")


@test()
def nohup_and_closed_descriptors(w):
    argv = f"{w.launch} --allow domain=api.example -- sh -c 'echo hello; exit 4'"
    for script, code in ((f"nohup {argv}", 4), (f"{argv} </dev/null >&-", 4), (f"{argv} <&- >&- 2>&-", 4), (f"{argv} <&-", 4)):
        done = w.run_in(["sh", "-c", script], user=w.identity)
        # A shell whose echo cannot write goes on to its exit.
        check(done.returncode == code, f"{script}: exit {done.returncode} {done.stderr!r}")


@test()
def many_short_sessions_leave_nothing(w):
    for _ in range(20):
        jail(w, ["true"]).expect(0)
    check(not w.settle(), f"left: {w.leftovers()}")


@test()
def writes_where_the_user_may(w):
    shell(w, "echo x >\"$HOME/made\" && cat \"$HOME/made\"").expect(0, out="x")
    made = w.identity.home / "made"
    check(made.stat().st_uid == w.identity.uid, f"owner {made.stat().st_uid}")
    made.unlink()


# Settings -----------------------------------------------------------------------------------------------------------


@test()
def help_and_version(w):
    text = launch(w, ["--help"]).expect(0).out
    for flag in ("--allow", "--deny", "--explain", "--log-level", "--log-dir", "--config", "--require", "--upstream-ca", "--proxy-port"):
        check(flag in text, f"--help lacks {flag}")
    launch(w, ["--version"]).expect(0, out="boundary-launch ")


@test()
def no_command(w):
    refused(w, [], "boundary-launch")
    refused(w, ["--allow", "domain=x.example"], "command")


@test()
def unknown_flag(w):
    refused(w, ["--alow", "domain=x.example", "--", "touch", "never"], "--alow", "--allow")
    check(not (w.identity.home / "never").exists(), "the command ran")


@test()
def rule_errors_name_the_place(w):
    for rule, part in (("domain=", "domain"), ("colour=red", "colour"), ("domain=a..b", "column"), ("method=GET,", "column"), ("", "empty"),
                       ("domain=a.example domain=b.example", "domain")):
        refused(w, ["--allow", "domain=fine.example", "--allow", rule, "--", "true"], "--allow 2", part)


@test()
def config_is_read(w):
    config_file(w, "allowlist:\n  - domain=api.example\nlog_level: info\n", ".config/boundary/config.yaml")
    result = jail(w, ["curl", "-sS", "https://api.example/x"], flags=["--allow", "domain=two.example"]).expect(0, out="GET https://api.example/x")
    check("ALLOW" in result.err, "log_level of the file has no effect")
    jail(w, ["curl", "-sS", "-f", "https://two.example/x"], "domain=two.example").expect(0)
    shutil.rmtree(w.identity.home / ".config")


@test()
def config_of_coder_is_read(w):
    config_file(w, "allowlist:\n  - domain=api.example\n", ".config/coder_boundary/config.yaml")
    jail(w, ["curl", "-sS", "https://api.example/x"]).expect(0, out="GET https://api.example/x")
    shutil.rmtree(w.identity.home / ".config")


@test()
def flag_over_environment_over_file(w):
    path = config_file(w, "log_level: debug\nallowlist: [domain=api.example]\n")
    loud = jail(w, ["curl", "-sS", "https://api.example/"], flags=["--config", path]).expect(0)
    quiet = jail(w, ["curl", "-sS", "https://api.example/"], flags=["--config", path], environment={"BOUNDARY_LOG_LEVEL": "error"}).expect(0)
    flag = jail(w, ["curl", "-sS", "https://api.example/"], flags=["--config", path, "--log-level", "info"], environment={"BOUNDARY_LOG_LEVEL": "error"})
    check("ALLOW" in loud.err and "ALLOW" not in quiet.err and "ALLOW" in flag.err, f"{loud.err!r} {quiet.err!r} {flag.err!r}")


@test()
def rules_of_all_sources_add_up(w):
    path = config_file(w, "allowlist: [domain=api.example]\n")
    script = "for h in api two www other; do curl -s -o /dev/null -w '%{http_code} ' https://$h.example/; done"
    shell(w, script, "domain=www.example", ["--config", path], environment={"BOUNDARY_ALLOW": "domain=two.example"}).expect(0, out="200 200 200 403 ")


@test()
def config_errors_name_file_and_line(w):
    path = config_file(w, "log_level: info\nallow_list:\n  - domain=x.example\n")
    refused(w, ["--config", path, "--", "true"], f"{path}:2", "allow_list", "allowlist")
    path = config_file(w, "allowlist:\n  - domain=fine.example\n  - domain=bad..example\n")
    refused(w, ["--config", path, "--", "true"], f"{path}:3")
    path = config_file(w, "allowlist: [\n")
    refused(w, ["--config", path, "--", "true"], str(path))
    path = config_file(w, "log_level: loud\n")
    refused(w, ["--config", path, "--", "true"], f"{path}:1", "loud")


@test()
def values_are_checked(w):
    refused(w, ["--log-level", "loud", "--", "true"], "--log-level", "loud")
    refused(w, ["--", "true"], "BOUNDARY_LOG_LEVEL", "loud", environment={"BOUNDARY_LOG_LEVEL": "loud"})
    refused(w, ["--proxy-port", "65536", "--", "true"], "--proxy-port")
    refused(w, ["--jail-type", "wishful", "--", "true"], "--jail-type")


@test()
def unreadable_files(w):
    path = config_file(w, "log_level: info\n", "secret.yaml", 0o000)
    refused(w, ["--config", path, "--", "true"], str(path), "ermission")
    refused(w, ["--config", "/no/such/file", "--", "true"], "/no/such/file", "No such file")
    refused(w, ["--upstream-ca", path, "--", "true"], str(path), "ermission")
    refused(w, ["--upstream-ca", "/no/such/file", "--", "true"], "/no/such/file")
    path.unlink()


@test()
def upstream_ca_without_certificates(w):
    path = config_file(w, "not a certificate\n", "empty.pem")
    refused(w, ["--upstream-ca", path, "--", "true"], "--upstream-ca")


@test()
def log_directory(w):
    directory = w.identity.home / "logs/deep"
    result = jail(w, ["curl", "-sS", "https://api.example/x"], API, ["--log-dir", directory, "--log-level", "info"]).expect(0)
    check("ALLOW" not in result.err, "the log went to stderr")
    files = list(directory.glob("boundary-*.log"))
    check(len(files) == 1 and "ALLOW" in files[0].read_text(), f"{files}")
    shutil.rmtree(w.identity.home / "logs")


@test()
def proxy_port(w):
    session = start(w, ["sh", "-c", "curl -sS https://api.example/; echo; echo ready; sleep 20"], API, ["--proxy-port", "28080"])
    session.wait_line("ready")
    listing = system.run(["ip", "netns", "exec", w.host, "ss", "-Hltn"]).stdout
    check(":28080" in listing, f"{listing!r}")
    session.kill(15)
    session.finish()


@test()
def explain(w):
    rules = ["--allow", "domain=github.com method=GET"]
    launch(w, [*rules, "--explain", "GET https://github.com/x"]).expect(0, out="ALLOW rule 1: domain=github.com method=GET")
    launch(w, [*rules, "--explain", "POST https://github.com/x"]).expect(3, out=["DENY (no rule matches)", "method"])
    launch(w, [*rules, "--deny", "path=/x", "--explain", "GET https://github.com/x"]).expect(3, out="DENY")
    refused(w, [*rules, "--explain", "not a request at all"])
    # Nothing is started: it works where no helper is.
    check(not w.leftovers(), f"left: {w.leftovers()}")


@test()
def ineffective_settings_warn_once(w):
    result = launch(w, ["--pprof", "--pprof-port", "6060", "--", "true"]).expect(0)
    lines = [l for l in result.err.splitlines() if "pprof" in l]
    check(len(lines) == 1, f"{result.err!r}")


# What may be missing ------------------------------------------------------------------------------------------------


def without_capability(w):
    """A copy of the programs whose helper was not set up."""
    prefix = w.base / f"plain-{w.build}"
    if not prefix.exists():
        shutil.copytree(w.launch.parent.parent, prefix)  # shutil does not copy security.* of a file that root reads; be sure
        system.run(["setcap", "-r", str(prefix / "libexec/boundary/boundary-helper")], check=False)
    return prefix


@test(root=True)
def helper_without_capability(w):
    launch_path, w.launch = w.launch, without_capability(w) / "bin/boundary-launch"
    try:
        result = launch(w, ["--", "true"])
    finally:
        w.launch = launch_path
    if w.identity is w.root:
        result.expect(0)  # whose processes have the capability without the file's
        return
    result.expect(125, err=["setcap cap_net_admin=p", "boundary-helper"])


@test()
def helper_missing(w):
    prefix = w.base / f"bare-{w.build}"
    shutil.copytree(w.launch.parent.parent, prefix)
    (prefix / "libexec/boundary/boundary-helper").unlink()
    launch_path, w.launch = w.launch, prefix / "bin/boundary-launch"
    try:
        refused(w, ["--", "true"], "boundary-helper")
    finally:
        w.launch = launch_path
        shutil.rmtree(prefix)


@test()
def no_new_privs_disables_the_helper(w):
    """File capabilities do nothing for a process with no_new_privs: the message says so."""
    launch(w, ["--", "true"], wrapper=["setpriv", "--no-new-privs"]).expect(125, err="because no_new_privs is set on this process")


@test()
def user_namespaces_off(w):
    """user.max_user_namespaces=0, in a user namespace of the test's own: the machine's setting is not touched."""
    script = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
    probe = w.run_in(["unshare", "-Ur", "sh", "-c", "echo 0 >/proc/sys/user/max_user_namespaces"])
    if probe.returncode:
        raise Skip(f"no user namespace for the test: {probe.stderr.strip()}")
    launch(w, ["--", "true"], wrapper=["unshare", "-Ur", "sh", "-c", script, "-"]).expect(125, err="max_user_namespaces")
    script = 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"'
    launch(w, ["--no-user-namespace", "--", "true"], wrapper=["unshare", "-Ur", "sh", "-c", script, "-"]).expect(125, err="max_net_namespaces is 0")


@test()
def system_call_refused(w):
    """A kernel or container that refuses network namespaces altogether."""
    script = 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"'
    probe = w.run_in(["unshare", "-Ur", "sh", "-c", "echo 0 >/proc/sys/user/max_net_namespaces"])
    if probe.returncode:
        raise Skip(f"no user namespace for the test: {probe.stderr.strip()}")
    result = launch(w, ["--", "true"], wrapper=["unshare", "-Ur", "sh", "-c", script, "-"]).expect(125)
    check("namespace" in result.err, f"{result.err!r}")


@test()
def require_makes_warnings_errors(w):
    """Without pid namespaces: a warning by default, an error with --require."""
    script = 'echo 0 >/proc/sys/user/max_pid_namespaces && exec "$@"'
    wrapper = ["unshare", "-Ur", "sh", "-c", script, "-"]
    probe = w.run_in(wrapper[:3] + ["-c", "echo 0 >/proc/sys/user/max_pid_namespaces"])
    if probe.returncode:
        raise Skip(f"no user namespace for the test: {probe.stderr.strip()}")
    launch(w, ["--require", "--", "true"], wrapper=wrapper).expect(125, err="--require")
    jail(w, ["true"], flags=["--require"]).expect(0)


@test(builds=("release",))  # LeakSanitizer needs a process of its own
def too_few_processes(w):
    """RLIMIT_NPROC, at each step: Boundary's own failure, never a session with less protection, nor the command's fault."""
    codes = []
    for limit in range(1, 9):
        result = launch(w, ["--", "true"], wrapper=["prlimit", f"--nproc={limit}:{limit}"])
        codes.append(result.code)
        check(result.code in (0, 125) and "namespace: the command" not in result.err, f"with {limit}: exit {result.code}: {result.err!r}")
    check(codes[0] == 125 and codes[-1] == 0, f"exit codes {codes}")


# Landlock is refused, as by a kernel without it, and the process is what else is said.
NO_LANDLOCK = """import ctypes, os, struct, sys
code = b"".join(struct.pack("HBBI", *i) for i in ((0x20, 0, 0, 0), (0x15, 0, 1, 444), (6, 0, 0, 0x50026), (6, 0, 0, 0x7fff0000)))
memory = ctypes.create_string_buffer(code)
program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(memory))
if ctypes.CDLL(None).prctl(22, 2, ctypes.c_char_p(program), 0, 0): sys.exit("no filter")
os.execvp(sys.argv[1], sys.argv[1:])
"""


@test()
def without_landlock(w):
    """The command loses nothing while namespaces hide the processes outside; what is lost is a warning, and an error with --require."""
    no_landlock = ["/usr/bin/python3", "-c", NO_LANDLOCK]
    # A filter needs no_new_privs or, here, the capability of a user namespace, with which the helper has its own.
    in_namespace = ["unshare", "-Urn", *no_landlock]
    probe = w.run_in([*in_namespace, "true"])
    if probe.returncode:
        raise Skip(f"no user namespace for the test: {probe.stderr.strip()}")
    result = launch(w, ["--", "true"], wrapper=in_namespace).expect(0)
    check("can trace" not in result.err and "can send signals" not in result.err and "taken over" in result.err, f"{result.err!r}")
    no_pids = ["unshare", "-Urn", "sh", "-c", 'echo 0 >/proc/sys/user/max_pid_namespaces && exec "$@"', "-", *no_landlock]
    result = launch(w, ["--", "true"], wrapper=no_pids).expect(0, err="can send signals")
    # Without its own user namespace the command could do more.
    check("can trace" not in result.err, f"{result.err!r}")
    launch(w, ["--no-user-namespace", "--", "true"], wrapper=no_pids).expect(0, err=["the command can trace", "can send signals"])
    launch(w, ["--require", "--", "true"], wrapper=no_pids).expect(125, err="--require")


@test()
def without_a_pid_namespace(w):
    """A warning; and what the command left running ends with the session all the same."""
    script = 'echo 0 >/proc/sys/user/max_pid_namespaces && exec "$@"'
    wrapper = ["unshare", "-Urn", "sh", "-c", script, "-"]
    probe = w.run_in(wrapper[:3] + ["-c", "echo 0 >/proc/sys/user/max_pid_namespaces"])
    if probe.returncode:
        raise Skip(f"no user namespace for the test: {probe.stderr.strip()}")
    launch(w, ["--", "sh", "-c", "sleep 300 & setsid -f sleep 301; exit 4"], wrapper=wrapper).expect(4, err="no pid namespace")
    check(not w.our_processes(), f"left: {w.our_processes()}")


@test()
def children_from_before_are_spared(w):
    """`daemon & exec boundary-launch …`, as an entry point does it: where the end of the session kills what is left, not these."""
    script = 'echo 0 >/proc/sys/user/max_pid_namespaces; sleep 302 & echo before $!; exec "$@"'
    wrapper = ["unshare", "-Urn", "sh", "-c", script, "-"]
    probe = w.run_in(["unshare", "-Urn", "sh", "-c", "echo 0 >/proc/sys/user/max_pid_namespaces"])
    if probe.returncode:
        raise Skip(f"no user namespace for the test: {probe.stderr.strip()}")
    # The sleep keeps the pipe of standard output open: one line is enough.
    argv = [*wrapper, w.launch, "--", "sh", "-c", "sleep 303 & exit 4"]
    session = Session(w, w.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    pid = int(session.wait_line("before").split()[1])
    check(session.process.wait(timeout=20) == 4, f"exit code {session.process.returncode}")
    check(system.alive(pid), "a child from before was killed")
    system.kill(pid)
    check(not w.settle(), f"left: {w.leftovers()}")


@test(root=True)
def no_user_namespace_flag(w):
    """Root may leave the user namespace out; another user gets an error that says what it needs."""
    if w.identity is w.root:
        jail(w, ["curl", "-sS", "https://api.example/x"], API, ["--no-user-namespace"]).expect(0, out="GET https://api.example/x")
        jail(w, ["sh", "-c", "grep CapEff /proc/self/status"], API, ["--no-user-namespace"]).expect(0, out="0000000000000000")
    else:
        refused(w, ["--no-user-namespace", "--", "true"], "no-user-namespace")


@test()
def private_hosts_file(w):
    """Names of the host's hosts file take the way of all names."""
    shell(w, "cat /etc/hosts; getent hosts localhost").expect(0, out="localhost")
    result = shell(w, "grep -c example /etc/hosts; true").expect(0)
    check(result.out.strip() == "0", f"{result.out!r}")


@test()
def sessions_of_two_users(w):
    sessions = [start(w, ["sh", "-c", "echo ready; sleep 20"], API, user=u) for u in (w.user, w.other)]
    for s in sessions:
        s.wait_line("ready")
    check(len(w.links()) == 2, f"{w.links()}")
    for s in sessions:
        s.kill(15)
        s.finish().expect(143)


def with_nameservers(w, lines, flags, command):
    """boundary-launch where resolv.conf has these lines."""
    resolv = w.base / "resolv-other"
    resolv.write_text(lines)
    argv = ["sh", "-c", f"mount --bind {resolv} /etc/resolv.conf && exec \"$@\"", "-", *w.user.argv(), w.launch, *flags, "--upstream-ca",
            w.servers.ca, "--", *command]
    done = w.run_in(argv, user=w.root, environment=w.user.environment())
    w.note(done.stdout + done.stderr)
    return done


@test()
def loopback_nameserver(w):
    """resolv.conf names 127.0.0.53: the jail answers it inside, and the proxy asks the host's."""
    done = with_nameservers(w, "nameserver 127.0.0.53\n", ["--allow", API], ["curl", "-sS", "https://api.example/loop"])
    check(done.returncode == 0 and "GET https://api.example/loop" in done.stdout, f"exit {done.returncode}: {done.stderr}")


@test()
def nameserver_named_twice(w):
    """By whatever name: it is answered once, and nothing is lost, for --require neither."""
    lines = "nameserver 127.0.0.1\nnameserver 0.0.0.0\nnameserver 127.0.0.1\n"
    done = with_nameservers(w, lines, ["--allow", API, "--require"], ["curl", "-sS", "https://api.example/twice"])
    check(done.returncode == 0 and "GET https://api.example/twice" in done.stdout and not done.stderr, f"exit {done.returncode}: {done.stderr}")


@test()
def link_local_nameservers(w):
    """Nobody in the jail reaches them: said, and with no others said what helps."""
    for lines, text in (("nameserver fe80::1%lo\n", "all name servers of /etc/resolv.conf are link-local"),
                        ("nameserver fe80::1%lo\nnameserver 127.0.0.1\n", "others are used")):
        done = with_nameservers(w, lines, ["--require"], ["true"])
        check(done.returncode == 0 and text in done.stderr, f"exit {done.returncode}: {done.stderr}")


@test(builds=("release",))
def install_and_uninstall(w):
    destination = w.base / "installed"
    arguments = ["make", "-s", f"O=build/{w.build}", f"DESTDIR={destination}"]
    system.run([*arguments, "install"], env=clean_environment())
    found = {str(p.relative_to(destination)) for p in destination.rglob("*") if p.is_file()}
    for path in ("bin/boundary-launch", "libexec/boundary/boundary-helper", "libexec/boundary/boundary-proxy", "share/man/man1/boundary-launch.1"):
        check(f"usr/local/{path}" in found, f"not installed: {path}; {sorted(found)}")
    system.run([*arguments, "uninstall"], env=clean_environment())
    left = [p for p in destination.rglob("*") if p.is_file() or p.name == "boundary"]
    check(not left, f"left by uninstall: {left}")
