"""
What tests/coverage and tests/valgrind share: a build of the helper, its suites and its attackers in a directory that every user of
the machine can reach, and running them.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests/e2e"))

import system  # noqa: E402
from world import clean_environment  # noqa: E402

HELPER = "libexec/boundary/boundary-helper"

# A network of its own, and no process that outlives it, or us. The shell is process 1, so that the program is an ordinary one.
ALONE = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
         "sh", "-c", '"$@"; exit $?', "sh"]


class Failure(Exception):
    """What makes the result worthless; the text is for the person who started it."""


def make(*arguments):
    argv = ["make", "--no-print-directory", f"-j{os.cpu_count()}", *arguments]
    done = system.run(argv, check=False, cwd=TOP, env=clean_environment(), stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Failure(f"{done.stdout}\n{' '.join(argv)}: exit {done.returncode}")
    return done.stdout


class Build:
    """In a temporary directory, because others could not reach one below somebody's home."""

    def __init__(self, undo):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="boundary-tests.", dir=system.scratch_parent()))
        undo.push(shutil.rmtree, self.directory, True)
        self.directory.chmod(0o755)
        self.out = self.directory / "build"
        self.helper = self.out / HELPER
        self.suites = self.attacks = ()

    def make(self, *variables):
        variables = [f"O={self.out}", "SANITIZE=", *variables]
        listed = lambda target: [pathlib.Path(p) for p in make(*variables, "-s", target).split()]
        self.suites = [p for p in listed("print-unit-tests") if is_suite(p.name)]
        self.attacks = [p for p in listed("print-attack-programs") if p.name.startswith("helper_")]
        make(*variables, *map(str, [self.helper, *self.suites, *self.attacks]))


def is_suite(name):
    """True for the unit suites of helper/, of shared/, and of a file of shared/."""
    name = name.removeprefix("test_")
    return name.startswith("helper_") or name == "shared" or (TOP / f"shared/{name}.c").exists()


def call(argv, seconds, environment=None):
    """(exit code or -1 for too long, output) of a program."""
    started = time.monotonic()
    try:
        done = subprocess.run(argv, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**os.environ, **(environment or {})}, timeout=seconds, check=False, start_new_session=True)
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        code, output = -1, (error.stdout or b"") + f"\nstill running after {seconds} s".encode()
    return code, output.decode(errors="replace"), time.monotonic() - started


def side_by_side(commands, seconds, environment):
    """Runs [(name, argv)]; yields (name, exit code, output) in their order."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [(name, pool.submit(call, argv, seconds, environment)) for name, argv in commands]
        for name, run in runs:
            code, output, took = run.result()
            print(f"  {took:6.1f} s  {name}", flush=True)
            yield name, code, output


def run_suites(programs, seconds, wrapper=(), environment=None):
    """Runs unit suites; yields (name, what is wrong with it, or "")."""
    commands = [(program.name, [*wrapper, program]) for program in programs]
    for name, code, output in side_by_side(commands, seconds, {"CK_TIMEOUT_MULTIPLIER": "20", **(environment or {})}):
        yield name, "" if code == 0 else f"exit {code}\n{output[-4000:]}"


def run_attacks(programs, helper, seconds, judge=True, environment=None):
    """
    Runs attack programs as root, each on the helper(NAME); yields (name, what is wrong, or ""): that one did not come to its end, and
    if `judge` what got through.
    """
    commands = [(program.name, [*ALONE, program, helper(program.name)]) for program in programs]
    for name, code, output in side_by_side(commands, seconds, environment):
        lines = [l for l in output.splitlines() if re.match(r"(not )?ok\b", l)]
        wrong = [l for l in lines if judge and l.startswith("not ")]
        plan = re.search(r"^1\.\.(\d+)", output, re.M)
        if not plan or int(plan[1]) != len(lines):
            wrong.append(f"exit {code} after {len(lines)} checks\n{output[-2000:]}")
        yield name, "\n".join(wrong)
