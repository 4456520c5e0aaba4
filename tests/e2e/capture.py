"""tcpdump on interfaces of the namespaces: what of a jail got where it must not."""

import pathlib
import re
import signal
import subprocess

from registry import check, wait_until
from system import run

# What the machine says by itself on a new link: not the jail's doing.
NOISE = re.compile(r" (ARP, |IP6 .*(ICMP6|HBH)|IP6 \(?::|802\.1|LLDP)")


class Capture:
    """`with Capture(world) as c: ...`, then c.packets("to-origin")."""

    def __init__(self, world):
        self.world = world
        self.places = {
            "to-origin": (world.host, "to-origin"),
            "lo": (world.host, "lo"),
            "origin": (world.origin, "any"),
        }
        self.running = {}

    def path(self, place):
        return pathlib.Path(self.world.base) / f"capture-{place}.pcap"

    def __enter__(self):
        for place, (netns, device) in self.places.items():
            argv = ["ip", "netns", "exec", netns, "tcpdump", "-i", device, "-nn", "-U", "-s", "256", "-Z", "root",
                    "-w", str(self.path(place))]
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.world.undo.push(_end, process)
            self.running[place] = process
        for process in self.running.values():
            while (line := process.stderr.readline()) and b"listening" not in line:
                pass
            check(line, "tcpdump does not start")
        return self

    def __exit__(self, *_):
        # A last packet of our own marks the end: when it is in the file, all before it is; and tcpdump was not deaf. It may
        # be one of those that were too many.
        wait_until(self._marked, 10, "the mark in each capture", interval=0.3)
        for process in self.running.values():
            _end(process)

    def _marked(self):
        self.world.run_in(["python3", "-c", MARK], user=self.world.root)
        marks = (("to-origin", "198.51.100.2"), ("origin", "198.51.100.2"), ("lo", "127.0.0.1"))
        return all(f"{address}.65000: " in self.text(place) for place, address in marks)

    def text(self, place):
        return run(["tcpdump", "-nn", "-r", str(self.path(place))], check=False).stdout

    def packets(self, place):
        """Lines of tcpdump without what any link shows and without our mark."""
        return [l for l in self.text(place).splitlines() if not NOISE.search(l) and "65000" not in l]

    def check_no_leak(self, allowed=r"$^"):
        """
        Nothing with an address of Boundary's block anywhere outside the cable, and nothing beyond `allowed`
        (a pattern for lines of tcpdump: the proxy's own traffic to the origin).
        """
        for place in self.places:
            for line in self.packets(place):
                check("198.18." not in line and "198.19." not in line, f"a packet of the jail on {place}: {line}")
                check(re.search(allowed, line), f"unexpected on {place}: {line}")


PROXY_TO_ORIGIN = r"IP (198\.51\.100\.1\.\d+ > 198\.51\.100\.2\.(80|443|8080|8443):|198\.51\.100\.2\.(80|443|8080|8443) > 198\.51\.100\.1\.)"
MARK = "import socket; [socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'mark', (a, 65000)) for a in ('198.51.100.2', '127.0.0.1')]"


def _end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stderr and not process.stderr.closed:
        process.stderr.close()
