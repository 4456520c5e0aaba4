"""1,000 whole sessions at once: that they live, what memory each takes, that they talk, and that nothing is left of them."""

import json
import os
import pathlib
import select
import shutil
import statistics
import subprocess
import sys
import time

import helper_conf
import system
from figures import percentile, ratio, table
from jail import arguments

AT_ONCE = 8
IDLE_SECONDS = 5
ROLES = ("launcher", "helper", "proxy", "jail init")
COUNTED = ROLES[:3]
PSS_AIM = 6 << 10
KERNEL = ("Slab", "KernelStack", "PageTables", "Percpu", "VmallocUsed")


class Kept:
    """The sessions, kept by keep_sessions.py."""

    def __init__(self, world, count, rule):
        script = world.base / "keep_sessions.py"
        shutil.copy2(pathlib.Path(__file__).with_name("keep_sessions.py"), script)
        self.log = world.base / "sessions.log"
        launch = arguments(world, [], rule)[:-1]
        with open(self.log, "wb") as log:
            self.process = helper_conf.popen(world, helper_conf.MANY, ["/usr/bin/python3", script, count, AT_ONCE, *launch],
                                             world.user, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.partial = b""

    def answer(self, timeout=300):
        end = time.monotonic() + timeout
        while b"\n" not in self.partial:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                sys.exit(f"bench: sessions: no answer within {timeout} s")
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                sys.exit("bench: sessions: " + self.log.read_text(errors="replace")[-2000:])
            self.partial += data
        line, _, self.partial = self.partial.partition(b"\n")
        return json.loads(line)

    def tell(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        return self.answer()


def roles_of(world, launchers):
    """{role: [pid, ...]} of the sessions with these launchers, in one walk over the processes."""
    named = {str(world.helper): "helper", str(world.proxy): "proxy"}
    wanted, found = set(launchers), {role: [] for role in ROLES}
    found["launcher"] = list(launchers)
    for pid in system.processes():
        fields = system.stat_fields(pid)
        if fields and int(fields[1][1]) in wanted:
            found[named.get(system.executable(pid), "jail init")].append(pid)
    return found


def rollup(pid):
    """{field: KiB} of proc_pid_smaps(5) smaps_rollup."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        lines = [line.split() for line in f]
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[0].endswith(":")}


def meminfo():
    with open("/proc/meminfo", encoding="ascii") as f:
        return {line.split(":")[0]: int(line.split()[1]) for line in f}


def cpu_ticks(pids):
    fields = (system.stat_fields(pid)[1] for pid in pids)
    return sum(int(f[11]) + int(f[12]) for f in fields)


def arp_statistics():
    """The neighbour table is one for all network namespaces (net/core/neighbour.c): {column: sum over the processors}."""
    with open("/proc/net/stat/arp_cache", encoding="ascii") as f:
        heads = f.readline().split()
        rows = [[int(word, 16) for word in line.split()] for line in f]
    # The number of entries is the table's, and the same in each row.
    return {head: rows[0][i] if head == "entries" else sum(row[i] for row in rows) for i, head in enumerate(heads)}


def memory(found, count, when):
    """Prints the means; returns the PSS in KiB of what counts."""
    rows, sums = [], {}
    for role in ROLES:
        fields = [rollup(pid) for pid in found[role]]
        mean = {key: sum(f[key] for f in fields) / count for key in ("Pss", "Pss_Anon", "Pss_File", "Rss")}
        sums[role] = mean["Pss"]
        rows.append([role, *(f"{value:,.0f}" for value in mean.values())])
    print(f"memory of a session {when}, mean, KiB:")
    table(["", "PSS", "anonymous", "file", "RSS"], rows)
    total = sum(sums[role] for role in COUNTED)
    ratio("PSS of launcher + helper + proxy", total / 1024, "MiB", "under 6", total < PSS_AIM)


def machine_memory(count, before):
    after = meminfo()
    spent = {key: (after[key] - before[key]) / count for key in KERNEL}
    print(f"  memory available on the machine: {(before['MemAvailable'] - after['MemAvailable']) / count:,.0f} KiB less for each, all counted; "
          "of it the kernel's: " + ", ".join(f"{key} {value:,.0f}" for key, value in spent.items()), flush=True)


def idleness(found, count):
    pids = [pid for role in ROLES for pid in found[role]]
    before = cpu_ticks(pids)
    time.sleep(IDLE_SECONDS)
    used = (cpu_ticks(pids) - before) / os.sysconf("SC_CLK_TCK")
    print(f"  CPU time of all {count:,} while idle: {used / IDLE_SECONDS * 100:.1f} % of one core", flush=True)


def talk(kept, what, first, last, at_once, url):
    """One request through each of these. Returns how many were answered."""
    before = arp_statistics()
    told = kept.tell("ask", first, last, at_once, url)
    now = arp_statistics()
    new = {key: now[key] - before[key] for key in ("forced_gc_runs", "table_fulls")}
    print(f"  a request through {what}: {told['answers']} in {told['seconds']:.1f} s, p99 {percentile(told['ms'], 99):,.0f} ms; ARP table: "
          f"{now['entries']} entries, {new['forced_gc_runs']} forced collections, full {new['table_fulls']} times", flush=True)
    return told["answers"].get("200", 0)


def all_talk(kept, count):
    for what, first, at_once in (("the last", count - 1, 1), (f"each, {AT_ONCE} at a time", 0, AT_ONCE)):
        if talk(kept, what, first, count - 1, at_once, "https://bench.example/1k") != count - first:
            sys.exit(f"bench: sessions: of {count:,} live sessions not every one was answered")
    # Without TLS they are nearer to being at once: what is common to all is to be seen, not the processor's time.
    answered = talk(kept, "each, all at once", 0, count - 1, count, "http://bench.example/1k")
    ratio("answered when all talk at once", answered / count, "of them", "all", answered == count)


def run(world, rule, count):
    before = meminfo()
    kept = Kept(world, count, rule)
    up = kept.answer(timeout=600)
    first, last = statistics.median(up["first_ms"]), statistics.median(up["last_ms"])
    print(f"{count:,} sessions live at once, started in {up['seconds']:.0f} s; until the command of one ran: {first:.0f} ms beside none, "
          f"{last:.0f} ms beside the others, medians of {len(up['last_ms'])}", flush=True)
    found = roles_of(world, up["pids"])
    short = {role: len(pids) for role, pids in found.items() if len(pids) != count}
    if short or len(world.links()) != count:
        sys.exit(f"bench: sessions: {short} processes and {len(world.links())} interfaces of {count} sessions")
    memory(found, count, "that is idle")
    machine_memory(count, before)
    idleness(found, count)
    all_talk(kept, count)
    memory(found, count, "that has talked")
    ended = kept.tell("end")
    print(f"  all ended at once in {ended['seconds']:.1f} s, exit codes {ended['codes']}", flush=True)
    kept.process.wait()
    left = world.settle(seconds=60)
    if left or ended["codes"] != {"0": count}:
        sys.exit(f"bench: sessions: exit codes {ended['codes']}; left behind: {len(left)} things: {left[:5]}")
