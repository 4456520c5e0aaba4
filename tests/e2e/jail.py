"""Running boundary-launch as the tests do, and finding its processes."""

import signal
import subprocess
import time

import system
from registry import check, wait_until

API = "domain=api.example"
API_GET = "domain=api.example method=GET"


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.bytes, self.err, self.seconds = code, out, err, seconds
        self.out = out.decode(errors="replace")

    def expect(self, code=0, out=None, err=None):
        """Exit code and substrings of the outputs; returns self."""
        check(self.code == code, f"exit code {self.code}, expected {code}; stderr: {self.err.strip()[-400:]!r}")
        for text, where, name in ((out, self.out, "stdout"), (err, self.err, "stderr")):
            for part in [text] if isinstance(text, str) else text or []:
                check(part in where, f"{name} lacks {part!r}: {where.strip()[-400:]!r}")
        return self


class Session:
    """A running boundary-launch."""

    def __init__(self, world, process):
        self.world, self.process, self.pid = world, process, process.pid
        self.started = time.monotonic()

    def child(self, name):
        """pid of the helper or the proxy, by its executable."""
        path = str({"helper": self.world.helper, "proxy": self.world.proxy}[name])

        def find():
            return [p for p in system.children(self.pid) if system.executable(p) == path]

        return wait_until(find, 10, f"a {name} under boundary-launch")[0]

    def jail_init(self):
        """pid, in the machine's view, of the first process in the jail."""
        services = {self.child("helper"), self.child("proxy")}
        return wait_until(lambda: [p for p in system.children(self.pid) if p not in services], 10, "a jail init")[0]

    def interface(self):
        return wait_until(self.world.links, 10, "an interface")[-1]

    def wait_line(self, text=None, seconds=20):
        """Reads the command's standard output up to a line with `text` (any line if None)."""
        while line := self.process.stdout.readline():
            line = line.decode(errors="replace").rstrip("\n")
            self.world.note(f"out: {line}")
            if text is None or text in line:
                return line
        raise AssertionError(f"end of output before {text!r}: " + self._errors())

    def _errors(self):
        self.process.wait(timeout=20)
        return self.process.stderr.read().decode(errors="replace").strip()[-400:] if self.process.stderr else ""

    def kill(self, number=signal.SIGKILL):
        system.kill(self.pid, number)

    def finish(self, timeout=20, data=None):
        try:
            out, err = self.process.communicate(data, timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"boundary-launch still ran after {timeout} s") from None
        text = (err or b"").decode(errors="replace")
        seconds = time.monotonic() - self.started
        self.world.note(f"exit {self.process.returncode} after {seconds:.2f} s\n{text}")
        return Result(self.process.returncode, out or b"", text, seconds)


def arguments(world, command, allow=(), flags=(), ca=True):
    argv = [str(world.launch)]
    for rule in [allow] if isinstance(allow, str) else allow:
        argv += ["--allow", rule]
    if ca:
        argv += ["--upstream-ca", str(world.servers.ca)]
    return argv + [*map(str, flags), "--", *map(str, command)]


def start(world, command, allow=(), flags=(), ca=True, user=None, environment=None, **kwargs):
    """Starts boundary-launch with pipes on stdout and stderr; stdin is /dev/null unless given."""
    kwargs.setdefault("stdout", subprocess.PIPE)
    kwargs.setdefault("stderr", subprocess.PIPE)
    argv = arguments(world, command, allow, flags, ca)
    world.note("$ " + " ".join(a if a and " " not in a and "\n" not in a else repr(a) for a in argv))
    return Session(world, world.popen(argv, user, environment=environment, **kwargs))


def jail(world, command, allow=(), flags=(), ca=True, user=None, environment=None, timeout=25, data=None, **kwargs):
    """Runs it to its end."""
    if data is not None:
        kwargs["stdin"] = subprocess.PIPE
    return start(world, command, allow, flags, ca, user, environment, **kwargs).finish(timeout, data)


def shell(world, script, *rest, **kwargs):
    return jail(world, ["sh", "-c", script], *rest, **kwargs)


def curl(world, *arguments_, allow=API, **kwargs):
    """curl in the jail, quiet, with errors shown."""
    return jail(world, ["curl", "-sS", "--max-time", "20", *arguments_], allow, **kwargs)
