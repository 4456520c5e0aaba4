#!/usr/bin/python3
"""
tests/fuzz/fuzzers.py --directory DIRECTORY [--seconds N] [PATTERN...]

Runs the libFuzzer programs DIRECTORY/fuzz_NAME whose names match a PATTERN, three at a time, for N seconds each (0: over
the seeds, once). What is found beyond the seeds in tests/fuzz/corpus/NAME, which are only read, is kept in
DIRECTORY/found/NAME and used by the next run. A crash, leak, time-out or lack of memory is a failure; the input that
causes it is in DIRECTORY/crashes.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/e2e"))

import registry  # noqa: E402
from report import FAILED, PASSED, Report  # noqa: E402

AT_ONCE = 3  # of five, in two rounds
SECONDS = 30
INPUT_SECONDS = 10  # one input may take; a thousand times what one takes
MEMORY_MB = 1024
SEED = 1  # of `make check`: what it finds does not depend on chance, as it does for `make fuzz`
GRACE = 120  # seconds until a fuzzer that does not end by itself is killed


def run(program, seconds, directory, seed=None):
    """Returns (returncode, output); a returncode of None is a fuzzer that had to be killed. `seed`: its inputs are always the same."""
    name = program.name.removeprefix("fuzz_")
    found, crashes = directory / "found" / name, directory / "crashes"
    for path in (found, crashes):
        path.mkdir(parents=True, exist_ok=True)
    argv = [program, f"-artifact_prefix={crashes}/{name}-", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}", "-max_len=4096",
            "-print_final_stats=1", f"-max_total_time={seconds}" if seconds else "-runs=0", f"-seed={seed or 0}", found, TOP / "tests/fuzz/corpus" / name]
    environment = {key: value for key, value in os.environ.items() if not key.endswith("SAN_OPTIONS")}
    try:
        done = subprocess.run(argv, cwd=TOP, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=seconds + GRACE, check=False)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as error:
        return None, (error.stdout or b"").decode(errors="replace")


def last_number(pattern, text):
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def judge(program, returncode, output):
    """Returns (status, reason): the number of inputs run and of the code's edges they reached, or how to see the failure again."""
    runs, edges = last_number(r"stat::number_of_executed_units: (\d+)", output), last_number(r" cov: (\d+)", output)
    counts = f"{runs} runs, coverage {edges}"
    if returncode == 0 and runs > 0 and edges > 0:
        return PASSED, counts
    artifact = re.search(r"Test unit written to (\S+)", output)
    if artifact:
        path = artifact[1]
        return FAILED, f"{counts}; reproducer: {path}; run again: {program} {path}"
    if returncode is None:
        return FAILED, "killed: it did not end"
    return FAILED, f"exit {returncode}, {counts}"


def run_all(report, programs, seconds, directory, prefix="", seed=None):
    """One result for each program, `prefix` and its NAME."""

    def one(program):
        started = time.monotonic()
        returncode, output = run(program, seconds, directory, seed)
        status, reason = judge(program, returncode, output)
        report.add(status, prefix + program.name.removeprefix("fuzz_"), time.monotonic() - started, reason, output[-6000:])

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(one, program) for program in programs]:
            done.result()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("patterns", nargs="*")
    args = parser.parse_args()
    directory = args.directory.resolve()
    programs = [path for path in sorted(directory.glob("fuzz_*")) if registry.selected(path.name.removeprefix("fuzz_"), args.patterns)]
    report = Report()
    run_all(report, programs, args.seconds, directory)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
