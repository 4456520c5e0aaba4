"""
The world of a test run: two network namespaces ("host", where boundary-launch runs, and "origin", where
the servers are), two throw-away users, and the installed programs. The machine's own network is not touched.

    host netns                                   origin netns
    to-origin 198.51.100.1/24, 10.77.0.1/24 ──── to-host 198.51.100.2/24 and .53, 10.77.0.2/24
              2001:db8:77::1/64                          2001:db8:77::2/64
    default route to the origin, ip_forward=1: a packet of a jail that got out would be seen there
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import system
from system import run

HERE = pathlib.Path(__file__).resolve().parent

HOST_ADDRESS, ORIGIN_ADDRESS, DNS_ADDRESS = "198.51.100.1", "198.51.100.2", "198.51.100.53"
HOST_ADDRESS_6, ORIGIN_ADDRESS_6 = "2001:db8:77::1", "2001:db8:77::2"
PRIVATE_ADDRESS = "10.77.0.2"

NAMES = {
    ORIGIN_ADDRESS: "api.example www.example other.example two.example raw.example files.example a.files.example "
    "b.a.files.example git.example expired.example wrongname.example unknownca.example keep.example bench.example",
    PRIVATE_ADDRESS: "private.example",
    HOST_ADDRESS: "self.example",
    "127.0.0.1": "localhost loop.example",
    "169.254.169.254": "metadata.example",
    "198.51.100.9": "unreachable.example",
}


class User:
    def __init__(self, name, home, undo):
        run(["useradd", "-M", "-d", str(home), "-s", "/bin/bash", "-K", "MAIL_DIR=/dev/null", name])
        undo.push(run, ["userdel", name])
        self.name = name
        self.home = home
        self.uid, self.gid = (int(run(["id", flag, name]).stdout) for flag in ("-u", "-g"))
        home.mkdir(mode=0o700)
        os.chown(home, self.uid, self.gid)
        self.runtime = home / "runtime"
        self.runtime.mkdir(mode=0o700)
        os.chown(self.runtime, self.uid, self.gid)
        undo.push(system.kill_until_gone, lambda: system.of_user(self.uid))

    def argv(self):
        return ["setpriv", "--reuid", str(self.uid), "--regid", str(self.gid), "--init-groups", "--inh-caps=-all"]

    def environment(self):
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "USER": self.name,
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "TMPDIR": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PYTHONDONTWRITEBYTECODE": "1",
        }


class Root:
    """The same interface for root itself."""

    name, uid, gid = "root", 0, 0

    def __init__(self, home):
        self.home = home
        home.mkdir(mode=0o700)
        self.runtime = home / "runtime"
        self.runtime.mkdir(mode=0o700)

    def argv(self):
        return []

    environment = User.environment


SANITIZER_REPORT = re.compile("Sanitizer|runtime error:")


class World:
    def __init__(self, undo):
        system.sweep_stale()
        self.undo = undo
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="boundary-e2e.", dir=system.scratch_parent()))
        undo.push(shutil.rmtree, self.base, True)
        self.base.chmod(0o755)
        me = os.getpid()
        self.host, self.origin = f"bndhost-{me}", f"bndorig-{me}"
        self._make_namespaces()
        self.user = User(f"bndtest-{me}", self.base / "home", undo)
        self.other = User(f"bndothr-{me}", self.base / "other", undo)
        self.root = Root(self.base / "root")
        self.inside = self.base / "inside"
        shutil.copytree(HERE / "inside", self.inside, ignore=shutil.ignore_patterns("__pycache__"))
        self.identity = self.user
        self.text = []
        self.children = []
        self.build = "release"
        self.launch = self.helper = self.proxy = self.attack = None
        undo.push(self._end_children)

    def _end_children(self):
        for process in self.children:
            if process.poll() is None:
                process.kill()
                process.wait()

    # The namespaces ---------------------------------------------------------------------------------------------

    def _make_namespaces(self):
        for name in (self.host, self.origin):
            run(["ip", "netns", "add", name])
            self.undo.push(run, ["ip", "netns", "del", name])
            self.undo.push(system.kill_until_gone, lambda n=name: self.pids_in(n))
        # A link made in a namespace disappears with it.
        self.ip(self.host, "link", "add", "to-origin", "type", "veth", "peer", "name", "to-host", "netns", self.origin)
        setup = [
            (self.host, "to-origin", ["198.51.100.1/24", "10.77.0.1/24", "2001:db8:77::1/64"]),
            (self.origin, "to-host", ["198.51.100.2/24", "198.51.100.53/24", "10.77.0.2/24", "2001:db8:77::2/64"]),
        ]
        for name, device, addresses in setup:
            for address in addresses:
                extra = ["nodad"] if ":" in address else []
                self.ip(name, "addr", "add", address, "dev", device, *extra)
            for link in ("lo", device):
                self.ip(name, "link", "set", link, "up")
        self.ip(self.host, "route", "add", "default", "via", ORIGIN_ADDRESS)
        self.ip(self.host, "-6", "route", "add", "default", "via", ORIGIN_ADDRESS_6)
        # Packets of a jail that reached the origin are to be answered: the hardest case for the jail.
        self.ip(self.origin, "route", "add", "198.18.0.0/15", "via", HOST_ADDRESS)
        for name in (self.host, self.origin):
            self.sysctl(name, "net/ipv4/ip_forward", "1")
            self.sysctl(name, "net/ipv4/ip_unprivileged_port_start", "0")
            self._write_etc(name)
        self.sysctl(self.host, "net/ipv6/conf/all/forwarding", "1")

    def _write_etc(self, name):
        etc = pathlib.Path("/etc/netns") / name
        made_parent = not etc.parent.exists()
        etc.mkdir(parents=True)
        if made_parent:
            self.undo.push(lambda: etc.parent.rmdir() if not os.listdir(etc.parent) else None)
        self.undo.push(shutil.rmtree, etc, True)
        (etc / "hosts").write_text("".join(f"{address} {names}\n" for address, names in NAMES.items()))
        (etc / "resolv.conf").write_text(f"nameserver {DNS_ADDRESS}\nsearch corp.example\noptions timeout:5 attempts:3\n")

    def ip(self, name, *arguments):
        return run(["ip", "-n", name, *arguments]).stdout

    def sysctl(self, name, path, value):
        run(["ip", "netns", "exec", name, "sh", "-c", f"echo {value} >/proc/sys/{path}"])

    def pids_in(self, name):
        return [int(p) for p in run(["ip", "netns", "pids", name], check=False).stdout.split()]

    # Programs ---------------------------------------------------------------------------------------------------

    def install(self, make_arguments, build):
        """`make install` of the build into the scratch directory, then the one set-up command of the manual."""
        destination = self.base / build
        # What the caller has just built, as it is.
        run(["make", "-o", "all", "install", f"DESTDIR={destination}", *make_arguments], env=clean_environment())
        self.use(destination / "usr/local", build)
        run(["setcap", "cap_net_admin=p", str(self.helper)])

    def use(self, prefix, build):
        self.build = build
        self.launch = prefix / "bin/boundary-launch"
        self.helper = prefix / "libexec/boundary/boundary-helper"
        self.proxy = prefix / "libexec/boundary/boundary-proxy"

    def copy_attack_programs(self, programs):
        """Where the users of the test may execute them."""
        self.attack = self.base / f"attack-{self.build}"
        self.attack.mkdir()
        for program in programs:
            shutil.copy2(program, self.attack)

    def argv_in(self, argv, user=None, netns=None):
        """`argv` wrapped to run as `user` in the host (or the named) namespace; all steps exec, so the pid is the program's."""
        return ["ip", "netns", "exec", netns or self.host, *(user or self.identity).argv(), *map(str, argv)]

    def popen(self, argv, user=None, netns=None, environment=None, **kwargs):
        """Starts argv there; the run ends it at the end of the test if the test did not."""
        user = user or self.identity
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("start_new_session", True)
        kwargs.setdefault("bufsize", 0)
        kwargs.setdefault("cwd", user.home)
        wrapped = map(str, argv) if netns == "machine-as-root" else self.argv_in(argv, user, netns)
        process = subprocess.Popen(list(wrapped), env={**user.environment(), **(environment or {})}, **kwargs)
        self.children.append(process)
        return process

    def run_in(self, argv, user=None, netns=None, timeout=20, environment=None, data=None):
        """Runs argv there to its end, without the jail."""
        process = self.popen(argv, user, netns, environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        out, err = process.communicate(data, timeout=timeout)
        return subprocess.CompletedProcess(argv, process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    # One test ---------------------------------------------------------------------------------------------------

    def note(self, text):
        self.text.append(text.rstrip("\n"))

    def transcript(self):
        return "\n".join(self.text)[-6000:]

    def begin_test(self, identity):
        self.identity = {"user": self.user, "root": self.root}[identity]
        self.text = []
        self.children = []

    def end_test(self, allowed):
        """Waits a moment for things to go, ends what is still there, and returns what a test must not leave."""
        found = []
        for process in self.children:
            if process.poll() is None:
                found.append(f"process {process.pid} of the test still ran")
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        found += self.settle(allowed)
        found += [line for text in self.text for line in text.splitlines() if SANITIZER_REPORT.search(line) and "# SKIP" not in line][:3]
        self._wipe()
        return found

    def settle(self, allowed=(), seconds=30):
        """What is left once nothing changes any more, at most `seconds`."""
        end = time.monotonic() + seconds
        while (left := self.leftovers(allowed)) and time.monotonic() < end:
            time.sleep(0.05)
        return left

    def our_processes(self):
        """Live processes of the test users, and of the installed programs whoever runs them."""
        mine = [p for u in (self.user, self.other) for p in system.of_user(u.uid)]
        installed = [p for p in system.processes() if system.executable(p).startswith(str(self.base)) and system.alive(p)]
        return sorted(set(mine + installed))

    def links(self):
        return [l.split(":")[1].strip().split("@")[0] for l in self.ip(self.host, "-o", "link").splitlines() if ": bnd" in l]

    def tables(self):
        listing = run(["ip", "netns", "exec", self.host, "nft", "list", "tables"]).stdout
        return [l.removeprefix("table ").strip() for l in listing.splitlines() if l.strip()]

    def session_directories(self):
        homes = [self.user.home, self.user.runtime, self.other.home, self.other.runtime, self.root.home, self.root.runtime]
        return [str(p) for h in homes for p in h.glob("boundary-session-*")]

    def leftovers(self, allowed=()):
        left = [f"process {p} ({(system.stat_fields(p) or ['?'])[0]})" for p in self.our_processes()]
        left += [f"interface {name}" for name in self.links()]
        left += [f"table {t}" for t in self.tables() if not ("guard" in allowed and "boundary_guard_" in t)]
        if "session directory" not in allowed:
            left += [f"session directory {d}" for d in self.session_directories()]
        return left

    def _wipe(self):
        """The next test starts clean whatever this one left."""
        system.kill_until_gone(self.our_processes)
        for name in self.links():
            run(["ip", "-n", self.host, "link", "del", name], check=False)
        for table in self.tables():
            run(["ip", "netns", "exec", self.host, "nft", "delete", "table", *table.split()], check=False)
        for directory in self.session_directories():
            shutil.rmtree(directory, ignore_errors=True)


def clean_environment():
    """For make: nothing of the make that started the tests."""
    return {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "O", "SANITIZE")}
