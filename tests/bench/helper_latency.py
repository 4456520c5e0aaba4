"""Attach and detach beside 1, 100 and 1,000 live sessions: what helper_sessions.c measures, as tables."""

import json
import pathlib
import shutil
import subprocess
import sys

import helper_conf
from figures import median_and_p99, percentile, ratio, table

LEVELS = (1, 100, 1000)
# As helper_sessions.c names them; the sum is from fork to the end of the process.
STEPS = {
    "start": "fork, exec, until it waits",
    "attach": "ATTACH to its answer",
    "redirect": "REDIRECT to its answer",
    "detach": "DETACH to its answer",
    "requests": "the three together",
    "exit": "the answer to its end",
    "all": "all, fork to end",
}
REQUESTS = ("attach", "redirect", "detach")


def measure(world, program, rounds, levels):
    """{live: {step: [ms, ...]}}, and how long the sessions took to come and to go."""
    ours = world.base / "helper_sessions"
    shutil.copy2(program, ours)
    process = helper_conf.popen(world, helper_conf.MANY, [ours, world.helper, rounds, *levels], world.user,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=600)
    if process.returncode:
        sys.exit(f"bench: helper_sessions: exit {process.returncode}: {err.decode(errors='replace')}")
    results = [json.loads(line) for line in out.splitlines()]
    for result in results[:-1]:
        result["ms"]["requests"] = [sum(parts) for parts in zip(*(result["ms"][step] for step in REQUESTS))]
    return {r["live"]: r for r in results[:-1]}, results[-1]


def run(world, build, quick):
    rounds = 60 if quick else 300
    levels, ended = measure(world, pathlib.Path(build) / "tests/bench/helper_sessions", rounds, LEVELS)
    print(f"attach and detach of one session beside others that live, ms, median / p99 of {rounds}:")
    rows = []
    for step, text in STEPS.items():
        row = [text]
        for live in LEVELS:
            row.append("{:.2f} / {:.2f}".format(*median_and_p99(levels[live]["ms"][step])))
        first, last = (percentile(levels[live]["ms"][step], 99) for live in (LEVELS[0], LEVELS[-1]))
        rows.append([*row, f"{last / first:.1f} x"])
    table(["", *(f"{live:,} live" for live in LEVELS), "p99, last : first"], rows)
    for step, text in (("all", "attach + detach, p99 at 1,000"), ("requests", "without start and end of the process")):
        first, last = (percentile(levels[live]["ms"][step], 99) for live in (LEVELS[0], LEVELS[-1]))
        ratio(text, last / first, "x that at 1", "at most 3", last <= 3 * first)
    print(f"  {LEVELS[-1] - LEVELS[-2]:,} more sessions came in {levels[LEVELS[-1]]['took_ms'] / 1000:.1f} s, "
          f"all {LEVELS[-1]:,} went in {ended['took_ms'] / 1000:.1f} s, one after the other", flush=True)
    traffic_of_others(levels)
    if left := world.settle(seconds=60):
        sys.exit(f"bench: the helper's sessions left {len(left)} things behind: {left[:5]}")


def traffic_of_others(levels):
    """What the live sessions cost traffic that is not theirs."""
    rows = [[f"{live:,} live", f"{levels[live]['datagram_us']:.1f}", f"{levels[live]['connection_us']:.1f}"] for live in LEVELS]
    print("traffic of others on the host's loopback interface beside them, median, µs:")
    table(["", "a datagram", "a TCP connection"], rows)
    first, last = (levels[live]["datagram_us"] for live in (LEVELS[0], LEVELS[-1]))
    ratio("a datagram beside 1,000", last / first, "x that beside 1", "", None)
