"""
Boundary beside what one would use otherwise. The proxy and nginx have one core (0) to themselves in turn; client and origin
share the other. wrk runs inside the jail for Boundary, and for nginx in a namespace behind the same kind of cable.
"""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import system
from figures import ratio
from jail import start
from registry import wait_until

PROXY_CORE, OTHER_CORE = 0, (os.cpu_count() or 2) - 1
TICK = os.sysconf("SC_CLK_TCK")

NGINX_PROXY = """
user nobody nogroup;
worker_processes 1;
daemon off;
pid {dir}/proxy.pid;
error_log {dir}/proxy-error.log warn;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {dir}/p-body; proxy_temp_path {dir}/p-proxy; fastcgi_temp_path {dir}/p-fastcgi;
    uwsgi_temp_path {dir}/p-uwsgi; scgi_temp_path {dir}/p-scgi;
    keepalive_requests 1000000;
    upstream up {{ server 198.51.100.2:443; keepalive 128; keepalive_requests 1000000; }}
    server {{
        listen 10.78.0.0:443 ssl;
        ssl_certificate {ca}/good.pem; ssl_certificate_key {ca}/good.key;
        location / {{
            proxy_pass https://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host bench.example;
            proxy_ssl_server_name on; proxy_ssl_name bench.example;
            proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca}/ca.pem;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"""


def cpu_seconds(pid):
    """User and system time so far (proc(5) stat)."""
    fields = system.stat_fields(pid)[1]
    return (int(fields[11]) + int(fields[12])) / TICK


def pin(pid, core):
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), {core})


class NginxProxy:
    """nginx in the host's namespace, its client in one of its own."""

    name = "nginx"

    def __init__(self, world):
        self.world = world
        self.netns = f"bndcli-{os.getpid()}"
        system.run(["ip", "netns", "add", self.netns])
        world.undo.push(system.run, ["ip", "netns", "del", self.netns])
        world.ip(world.host, "link", "add", "to-client", "type", "veth", "peer", "name", "eth0", "netns", self.netns)
        world.ip(world.host, "addr", "add", "10.78.0.0/31", "dev", "to-client")
        world.ip(self.netns, "addr", "add", "10.78.0.1/31", "dev", "eth0")
        for netns, device in ((world.host, "to-client"), (self.netns, "eth0")):
            world.ip(netns, "link", "set", device, "up")
        etc = pathlib.Path("/etc/netns") / self.netns
        etc.mkdir()
        world.undo.push(lambda: (etc.joinpath("hosts").unlink(), etc.rmdir()))
        (etc / "hosts").write_text("10.78.0.0 bench.example\n")
        config = world.servers.directory / "proxy.conf"
        config.write_text(NGINX_PROXY.format(dir=world.servers.directory, ca=world.servers.certificates))
        process = world.servers.spawn("nginx-proxy", ["nginx", "-c", config, "-e", world.servers.directory / "proxy-error.log"], world.host)
        self.pid = wait_until(lambda: system.children(process.pid), 5, "an nginx worker")[0]
        pin(self.pid, PROXY_CORE)
        time.sleep(0.3)

    def run(self, command):
        """Output of the command, wall seconds, CPU seconds of the proxy."""
        before, started = cpu_seconds(self.pid), time.monotonic()
        done = self.world.run_in(command, user=self.world.user, netns=self.netns, timeout=120,
                                 environment={"CURL_CA_BUNDLE": str(self.world.servers.ca)})
        seconds = time.monotonic() - started
        if done.returncode:
            sys.exit(f"bench: {command}: exit {done.returncode}: {done.stderr}")
        return done.stdout, seconds, cpu_seconds(self.pid) - before

    def peak(self):
        return system.status_field(self.pid, "VmHWM")


class Boundary:
    name = "boundary"

    def __init__(self, world, rule):
        self.world = world
        self.rule = rule
        self.peak_seen = ""

    def run(self, command):
        script = 'read go && "$@"; echo exit $?; read end'
        session = start(self.world, ["sh", "-c", script, "-", *command], self.rule, user=self.world.user, stdin=subprocess.PIPE)
        pid = session.child("proxy")
        session.jail_init()
        time.sleep(0.3)
        pin(pid, PROXY_CORE)
        before, started = cpu_seconds(pid), time.monotonic()
        session.process.stdin.write(b"go\n")
        lines = []
        while not (line := session.wait_line()).startswith("exit "):
            lines.append(line)
        seconds, used = time.monotonic() - started, cpu_seconds(pid) - before
        self.peak_seen = system.status_field(pid, "VmHWM")
        result = session.finish(data=b"end\n")
        if line != "exit 0":
            sys.exit(f"bench: {command}: {line}: {result.err}")
        return "\n".join(lines), seconds, used

    def peak(self):
        return self.peak_seen


def start_up(world, count):
    commands = {
        "boundary-launch": [str(world.launch), "--"],
        "bwrap": ["bwrap", "--unshare-user", "--unshare-net", "--dev-bind", "/", "/"],
        "unshare -Urn": ["unshare", "-Urn"],
        "nothing": ["env"],
    }
    done = world.run_in(["/usr/bin/python3", world.inside / "times.py", str(count), json.dumps(commands)], user=world.user, timeout=300)
    if done.returncode:
        sys.exit(f"bench: start-up: {done.stderr}")
    times = json.loads(done.stdout)
    for key, what in (("command", "until the command runs"), ("whole", "whole run of `true`"), ("row", "the same, one after the other without a pause")):
        medians = {name: statistics.median(kinds[key]) for name, kinds in times.items()}
        ours = medians["boundary-launch"]
        print(f"{what}, median of {count}, ms: " + ", ".join(f"{name} {ms:.1f}" for name, ms in medians.items()))
        ratio("start-up" if key == "command" else "whole run", ours / medians["bwrap"], "x bwrap's", "at most 3" if key != "row" else "", ours <= 3 * medians["bwrap"])
        ratio("same", ours / medians["unshare -Urn"], "x unshare's", "", None)


def requests(contenders, seconds, rounds):
    wrk = ["taskset", "-c", str(OTHER_CORE), "wrk", "-t1", "-c32", f"-d{seconds}s"]
    for what, extra in (("keep-alive HTTPS, 1 KB", []), ("a new connection each, 1 KB", ["-H", "Connection: close"])):
        rates, costs = {}, {}
        for _ in range(rounds):
            for c in contenders:
                out, _, used = c.run([*wrk, *extra, "https://bench.example/1k"])
                count = int(re.search(r"(\d+) requests in", out)[1])
                if "Non-2xx" in out or not count:
                    sys.exit(f"bench: {c.name}: {out}")
                rates.setdefault(c.name, []).append(float(re.search(r"Requests/sec:\s*([\d.]+)", out)[1]))
                costs.setdefault(c.name, []).append(used / count * 1e6)
        rate = {n: statistics.median(v) for n, v in rates.items()}
        cost = {n: statistics.median(v) for n, v in costs.items()}
        print(f"{what}: " + ", ".join(f"{n} {rate[n]:.0f} requests/s, {cost[n]:.0f} CPU µs each" for n in rate))
        first = what.startswith("keep")
        ratio("requests/s", rate["boundary"] / rate["nginx"], "x nginx's", "at least 0.7" if first else "", rate["boundary"] >= 0.7 * rate["nginx"])
        ratio("CPU a request", cost["boundary"] / cost["nginx"], "x nginx's", "", None)


def download(contenders, rounds):
    walls, costs = {}, {}
    command = ["taskset", "-c", str(OTHER_CORE), "curl", "-sS", "-o", "/dev/null", "-w", "%{size_download}\\n", "https://bench.example/files/1g"]
    for _ in range(rounds):
        for c in contenders:
            out, seconds, used = c.run(command)
            if out.strip() != str(1 << 30):
                sys.exit(f"bench: {c.name}: got {out.strip()} bytes")
            walls.setdefault(c.name, []).append(seconds)
            costs.setdefault(c.name, []).append(used)
    wall = {n: statistics.median(v) for n, v in walls.items()}
    cost = {n: statistics.median(v) for n, v in costs.items()}
    print("1 GB download: " + ", ".join(f"{c.name} {1024 / wall[c.name]:.0f} MiB/s, {cost[c.name]:.2f} CPU s, peak RSS {c.peak()}" for c in contenders))
    ratio("throughput", wall["nginx"] / wall["boundary"], "x nginx's", "at least 0.7", wall["nginx"] >= 0.7 * wall["boundary"])
    ratio("CPU", cost["boundary"] / cost["nginx"], "x nginx's", "", None)


def run(world, rule, quick, wanted):
    """The parts of `wanted` that are these."""
    for pid in [p for p in world.pids_in(world.origin) if system.stat_fields(p)[0] == "nginx"]:
        pin(pid, OTHER_CORE)
    if "start-up" in wanted:
        start_up(world, 30 if quick else 100)
    if not wanted & {"requests", "download"}:
        return
    contenders = [NginxProxy(world), Boundary(world, rule)]
    if "requests" in wanted:
        requests(contenders, 2 if quick else 5, 1 if quick else 3)
    if "download" in wanted:
        download(contenders, 1 if quick else 3)
