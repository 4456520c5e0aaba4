"""kill -9 of each process of ours, alone and together, under traffic: the command ends, nothing gets out, nothing is left."""

import itertools
import signal
import time

import system
from capture import PROXY_TO_ORIGIN, Capture
from jail import API, jail, start
from registry import check, test, wait_until

TRAFFIC = "/usr/bin/python3 {inside}/spray.py 30 & while :; do curl -s -o /dev/null https://api.example/v1/x; done"
MAY_STAY = ("guard",)


def under_traffic(w):
    session = start(w, ["sh", "-c", TRAFFIC.format(inside=w.inside)], API)
    session.wait_line("going")
    time.sleep(0.3)
    return session, {"launcher": session.pid, "helper": session.child("helper"), "proxy": session.child("proxy")}


def kill_and_check(w, names):
    """The kill under a capture; returns the launcher's exit code."""
    with Capture(w) as capture:
        session, pids = under_traffic(w)
        inside = system.descendants(session.jail_init())
        check(inside, "no process in the jail")
        for name in names:
            system.kill(pids[name])
        started = time.monotonic()
        wait_until(lambda: not w.our_processes(), 6, f"all processes ended after kill -9 of {', '.join(names)}")
        w.note(f"all ended after {time.monotonic() - started:.3f} s")
        session.process.wait(timeout=5)
        check(not w.settle(MAY_STAY), f"left: {w.leftovers(MAY_STAY)}")
    capture.check_no_leak(PROXY_TO_ORIGIN)
    check_next_session(w)
    return session.process.returncode


def check_next_session(w):
    """Guards that stayed are inert, and the next session takes the index again and replaces them."""
    outside = w.run_in(["curl", "-sS", "--max-time", "5", "http://api.example/outside"])
    check("GET http://api.example/outside" in outside.stdout, f"the host's own traffic suffers: {outside.stderr}")
    jail(w, ["curl", "-sS", "https://api.example/again"], API).expect(0, out="api.example/again")
    left = w.settle()
    check(not left, f"left after the next session: {left}")


@test(root=True, leaves=MAY_STAY)
def kill_launcher(w):
    code = kill_and_check(w, ["launcher"])
    check(code == -9, f"exit code {code}")


@test(root=True, leaves=MAY_STAY)
def kill_helper(w):
    code = kill_and_check(w, ["helper"])
    check(code == 125, f"exit code {code}")


@test(root=True, leaves=MAY_STAY)
def kill_proxy(w):
    code = kill_and_check(w, ["proxy"])
    check(code == 125, f"exit code {code}")


@test(root=True, leaves=MAY_STAY)
def kill_all(w):
    kill_and_check(w, ["launcher", "helper", "proxy"])


@test(timeout=300, leaves=MAY_STAY)
def kill_all_in_any_order(w):
    for order in itertools.permutations(("launcher", "helper", "proxy")):
        kill_and_check(w, order)


@test(leaves=MAY_STAY)
def kill_pairs(w):
    for pair in itertools.combinations(("launcher", "helper", "proxy"), 2):
        kill_and_check(w, pair)


@test(leaves=MAY_STAY)
def kill_jail_init(w):
    session, _ = under_traffic(w)
    system.kill(session.jail_init())
    session.finish().expect(125)


@test()
def ended_with_open_connections(w):
    """An ordinary end, by a signal or by itself, while connections are half done: their remains keep nothing alive."""
    for script in ("curl -s https://api.example/files/64m --limit-rate 1M -o /dev/null & echo going; wait",
                   "curl -s https://api.example/files/64m --limit-rate 1M -o /dev/null & echo going; sleep 0.5",
                   TRAFFIC.format(inside=w.inside)):
        session = start(w, ["sh", "-c", script], API)
        session.wait_line("going")
        time.sleep(0.3)
        session.kill(signal.SIGTERM)
        session.finish()
        check(not w.settle(), f"left after {script!r}: {w.leftovers()}")


@test(leaves=MAY_STAY)
def helper_dead_launcher_frozen(w):
    """The worst moment, held open: the redirect is gone and nobody has noticed yet."""
    with Capture(w) as capture:
        session, pids = under_traffic(w)
        inside = system.descendants(session.jail_init())
        system.kill(pids["launcher"], signal.SIGSTOP)
        system.kill(pids["helper"])
        time.sleep(1.5)
        check(any(system.alive(p) for p in inside), "the jail ended: this test shows nothing")
        system.kill(pids["launcher"], signal.SIGCONT)
        session.finish().expect(125, err="boundary-helper was killed by signal 9")
        check(not w.settle(("guard",)), f"left: {w.leftovers(('guard',))}")
    capture.check_no_leak(PROXY_TO_ORIGIN)
    check_next_session(w)


@test(leaves=MAY_STAY)
def forwarding_turned_on_without_redirect(w):
    """As a container engine does it: ip_forward turns forwarding on for every interface, the cable's too. The guard is what is left."""
    with Capture(w) as capture:
        session, pids = under_traffic(w)
        name = session.interface()
        system.kill(pids["launcher"], signal.SIGSTOP)
        system.kill(pids["helper"])
        for value in ("0", "1"):
            w.sysctl(w.host, "net/ipv4/ip_forward", value)
        read = system.run(["ip", "netns", "exec", w.host, "cat", f"/proc/sys/net/ipv4/conf/{name}/forwarding"]).stdout.strip()
        check(read == "1", "forwarding is not on: this test shows nothing")
        time.sleep(1.5)
        system.kill(pids["launcher"], signal.SIGCONT)
        session.finish().expect(125)
    capture.check_no_leak(PROXY_TO_ORIGIN)


@test(leaves=MAY_STAY)
def proxy_dead_launcher_frozen(w):
    with Capture(w) as capture:
        session, pids = under_traffic(w)
        system.kill(pids["launcher"], signal.SIGSTOP)
        system.kill(pids["proxy"])
        time.sleep(1)
        system.kill(pids["launcher"], signal.SIGCONT)
        session.finish().expect(125, err="boundary-proxy was killed by signal 9")
    capture.check_no_leak(PROXY_TO_ORIGIN)


@test(leaves=MAY_STAY)
def all_frozen(w):
    """Stopped processes let nothing through either."""
    with Capture(w) as capture:
        session, pids = under_traffic(w)
        for pid in pids.values():
            system.kill(pid, signal.SIGSTOP)
        time.sleep(1)
        for pid in pids.values():
            system.kill(pid, signal.SIGCONT)
        session.kill(signal.SIGTERM)
        session.finish()
    capture.check_no_leak(PROXY_TO_ORIGIN)


@test(timeout=120, leaves=(*MAY_STAY, "session directory"))
def kill_launcher_during_set_up(w):
    """At any moment of its first 50 ms. A directory that was made before there is a jail stays until it is swept."""
    may_stay = (*MAY_STAY, "session directory")
    for i in range(30):
        session = start(w, ["sleep", "30"], API)
        time.sleep(0.005 + i * 0.0015)
        session.kill()
        session.process.wait(timeout=5)
        wait_until(lambda: not w.leftovers(may_stay), 6, f"nothing left after a kill in round {i}: {w.leftovers(may_stay)}")
    jail(w, ["curl", "-sS", "https://api.example/again"], API).expect(0, out="api.example/again")


@test(leaves=(*MAY_STAY, "session directory"))
def stale_directories_are_swept_only_when_dead(w):
    """What jail init cannot remove, as it was killed with the launcher, the next session does."""
    living = start(w, ["sh", "-c", "echo ready; sleep 30"], API)
    living.wait_line("ready")
    dead = start(w, ["sh", "-c", "echo ready; sleep 30"], API)
    dead.wait_line("ready")
    init = dead.jail_init()
    system.kill(init, signal.SIGSTOP)
    dead.kill()
    system.kill(init)
    dead.process.wait(timeout=5)
    before = w.session_directories()
    check(len(before) == 2, f"directories: {before}")
    jail(w, ["true"], API).expect(0)
    check(len(w.session_directories()) == 2, "a directory was swept in its first seconds")
    wait_until(lambda: len(w.links()) == 1, 5, "the killed session's interface gone")
    time.sleep(11)
    jail(w, ["true"], API).expect(0)
    check(len(w.session_directories()) == 1, f"directories: {w.session_directories()}")
    living.kill(signal.SIGTERM)
    living.finish()
