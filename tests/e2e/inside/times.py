"""
times.py COUNT COMMANDS-AS-JSON: runs each command COUNT times in turn, `true` and `date +%s%N` at its end. Prints as JSON, for each,
the milliseconds until the command at the end ran (by what date says), until all was over (of true), each after a pause, and the latter
without one, as often in a row.
"""

import json
import os
import subprocess
import sys
import time


PAUSE = 0.05  # for the kernel to remove what the last one had


def whole(argv):
    started = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"{argv}: status {status}")
    return (time.perf_counter() - started) * 1000


def until_command(argv):
    started = time.time_ns()
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    return (int(done.stdout) - started) / 1e6


def main():
    count, commands = int(sys.argv[1]), json.loads(sys.argv[2])
    times = {name: {"command": [], "whole": [], "row": []} for name in commands}
    for round_number in range(count + 1):
        for name, argv in commands.items():
            for kind, measure, command in (("command", until_command, ["date", "+%s%N"]), ("whole", whole, ["true"])):
                time.sleep(PAUSE)
                milliseconds = measure([*argv, *command])
                if round_number:
                    times[name][kind].append(milliseconds)
    for name, argv in commands.items():
        times[name]["row"] = [whole([*argv, "true"]) for _ in range(count)]
    print(json.dumps(times))


main()
