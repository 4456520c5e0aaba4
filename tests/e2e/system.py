"""Small things the tests ask of the machine: commands, processes, and undoing in reverse order."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import time


def run(argv, check=True, **kwargs):
    """subprocess.run with text output captured; raises with the command's own words."""
    kwargs.setdefault("stdout", subprocess.PIPE)
    kwargs.setdefault("stderr", subprocess.PIPE)
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(argv, text=True, errors="replace", **kwargs)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {(done.stderr or done.stdout or '').strip()}")
    return done


def processes():
    """Yields the pids of all processes."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            yield int(entry)


def stat_fields(pid):
    """(comm, [state, ppid, ...]) of proc(5) stat, or None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            text = f.read()
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    return head.partition("(")[2], tail.split()


def status_field(pid, key):
    """One line of proc(5) status, or None."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return None


def alive(pid):
    """True while the process runs (a zombie does not)."""
    fields = stat_fields(pid)
    return fields is not None and fields[1][0] not in "ZX"


def children(pid):
    return [p for p in processes() if (f := stat_fields(p)) and int(f[1][1]) == pid]


def descendants(pid):
    found, queue = [], [pid]
    while queue:
        for child in children(queue.pop()):
            found.append(child)
            queue.append(child)
    return found


def of_user(uid):
    """Live processes whose real uid is `uid`, root's own view."""
    found = []
    for pid in processes():
        uids = status_field(pid, "Uid")
        if uids and int(uids.split()[0]) == uid and alive(pid):
            found.append(pid)
    return found


def executable(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def kill(pid, number=signal.SIGKILL):
    """Signals one process; one that is gone is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_until_gone(find, seconds=5):
    """Kills what `find()` lists, by pid, until it lists nothing or time is up."""
    end = time.monotonic() + seconds
    while (pids := find()) and time.monotonic() < end:
        for pid in pids:
            kill(pid)
        time.sleep(0.02)


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Undo:
    """Runs what was pushed, last first, once: at the end, at exit and on a signal that ends us."""

    def __init__(self):
        self.steps = []
        atexit.register(self.run)
        for number in ENDING:
            signal.signal(number, self._on_signal)

    def push(self, function, *arguments):
        self.steps.append((function, arguments))

    def run(self):
        # From here on not to be interrupted, nor the commands it runs.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING} if self.steps else {}
        self._run_steps()
        for number, handler in before.items():
            signal.signal(number, handler)

    def _run_steps(self):
        while self.steps:
            function, arguments = self.steps.pop()
            try:
                function(*arguments)
            except Exception as error:
                print(f"# cleaning up: {error}", flush=True)

    def _on_signal(self, number, _frame):
        self.run()
        os._exit(128 + number)


def mount_options(path):
    return run(["findmnt", "-no", "OPTIONS", "-T", path], check=False).stdout.strip().split(",")


def scratch_parent():
    """A directory for installed programs: file capabilities have no effect on a nosuid file system."""
    for path in ("/tmp", "/var/tmp", "/opt", "/usr/local"):
        if os.access(path, os.W_OK) and not {"nosuid", "noexec"} & set(mount_options(path)):
            return path
    raise RuntimeError("no file system without nosuid and noexec among /tmp, /var/tmp, /opt and /usr/local")


def sweep_stale():
    """Removes namespaces and users of runs that were killed: their names end in the pid of a run that is gone."""
    for line in run(["ip", "netns", "list"], check=False).stdout.splitlines():
        name = line.split()[0] if line.split() else ""
        m = re.fullmatch(r"bnd(?:host|orig|cli)-(\d+)", name)
        if m and not alive(int(m[1])):
            kill_until_gone(lambda n=name: [int(p) for p in run(["ip", "netns", "pids", n], check=False).stdout.split()])
            run(["ip", "netns", "del", name], check=False)
            shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
    with open("/etc/passwd", encoding="utf-8") as f:
        users = [line.split(":") for line in f if line.startswith("bnd")]
    for fields in users:
        m = re.fullmatch(r"bnd(?:test|othr)-(\d+)", fields[0])
        if m and not alive(int(m[1])):
            kill_until_gone(lambda uid=int(fields[2]): of_user(uid))
            run(["userdel", fields[0]], check=False)


def give_back(directory):
    """What root made in a checkout is, under sudo, for the user whose it is."""
    if os.environ.get("SUDO_UID", "").isdigit() and os.geteuid() == 0:
        run(["chown", "-R", f"{os.environ['SUDO_UID']}:{os.environ.get('SUDO_GID', '')}", str(directory)], check=False)
