"""The tests of test_*.py: a decorator that collects them and a loop that runs them."""

import fnmatch
import os
import signal
import time
import traceback

from report import FAILED, PASSED, SKIPPED, Skip

TESTS = []
DEFAULT_TIMEOUT = 180


class TestTimeout(Exception):
    pass


class Test:
    def __init__(self, function, name, identity, builds, timeout, leaves):
        self.function = function
        self.name = name
        self.identity = identity
        self.builds = builds
        self.timeout = timeout
        self.leaves = leaves


def test(root=False, builds=("release", "sanitized"), timeout=DEFAULT_TIMEOUT, leaves=()):
    """
    Registers a function that takes a World. `root`: run once more with boundary-launch started by root.
    `leaves`: kinds of World.leftovers() that the test may leave behind ("guard": see ARCHITECTURE).
    """

    def register(function):
        module = function.__module__.removeprefix("test_")
        for identity in ("user", "root") if root else ("user",):
            suffix = "" if identity == "user" else ":root"
            TESTS.append(Test(function, f"{module}/{function.__name__}{suffix}", identity, builds, timeout, leaves))
        return function

    return register


def check(condition, text):
    """The assertion of all tests; the text says what was expected and what was there."""
    if not condition:
        raise AssertionError(text)


def wait_until(condition, seconds, text, interval=0.02):
    """Polls until `condition()` is true and returns its value; fails after `seconds`, or some more: machines may be slow."""
    end = time.monotonic() + 4 * seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {text}")
        time.sleep(interval)


def _on_alarm(_signal, _frame):
    raise TestTimeout()


def selected(name, patterns):
    return not patterns or any(fnmatch.fnmatch(name, f"*{p}*") for p in patterns)


def run_tests(world, report, prefix, build, patterns):
    signal.signal(signal.SIGALRM, _on_alarm)
    for t in TESTS:
        name = f"{prefix}/{t.name}"
        if build not in t.builds or not selected(name, patterns):
            continue
        run_one(world, report, name, t)


def run_one(world, report, name, t):
    world.begin_test(t.identity)
    started = time.monotonic()
    status, reason = PASSED, ""
    signal.setitimer(signal.ITIMER_REAL, t.timeout)
    try:
        t.function(world)
    except Skip as skip:
        status, reason = SKIPPED, str(skip)
    except TestTimeout:
        status, reason = FAILED, f"still running after {t.timeout} s"
        world.note(traceback.format_exc())
    except AssertionError as error:
        status, reason = FAILED, str(error)
        world.note("".join(traceback.format_tb(error.__traceback__)[-3:]))
    except Exception as error:  # a test must not end the run
        status, reason = FAILED, f"{type(error).__name__}: {error}"
        world.note(traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    found = world.end_test(t.leaves)
    if found and status == PASSED:
        status, reason = FAILED, "left behind or reported: " + "; ".join(found)
    report.add(status, name, time.monotonic() - started, reason.replace("\n", " ")[:600], world.transcript())
    if os.environ.get("E2E_VERBOSE"):
        print(world.transcript())
