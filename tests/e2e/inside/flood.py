"""
flood.py garbage SECONDS: connections that say nothing of TLS or HTTP, as fast as they are refused
flood.py names COUNT: DNS queries for so many names that nobody has heard of
flood.py hellos COUNT: connections that each begin a TLS handshake and never go on
flood.py entries TCP UDP: so many connections and so many DNS queries from ports of their own, within some seconds

Prints what came of it as JSON in one line, then waits for a line (or the end) of standard input, holding what is open. What follows "--" is
a command to be run after that, still holding it.
"""

import json
import os
import resource
import selectors
import socket
import subprocess
import sys
import time

ORIGIN, NAMESERVER = "198.51.100.2", "198.51.100.53"
PARALLEL = 100
PATIENCE = 10  # seconds for what is under way; the kernel tries a lost SYN again after 1, 3 and 7
TICKS = 40  # of a tenth of a second


def connecting(port):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex((ORIGIN, port))
    return s


class Garbage:
    """Up to PARALLEL connections at a time. `refused`: ended by the proxy after they had said something; `left`: not ended yet."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.open = set()
        self.counts = {"refused": 0, "failed": 0, "left": 0}

    def begin(self):
        s = connecting(2222)
        self.open.add(s)
        self.selector.register(s, selectors.EVENT_WRITE)

    def end(self, s, outcome):
        self.selector.unregister(s)
        self.open.discard(s)
        s.close()
        self.counts[outcome] += 1

    def step(self, s, events):
        if events & selectors.EVENT_WRITE:
            if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return self.end(s, "failed")
            s.send(b"\x00nonsense\x1b[31m\r\n")
            self.counts["left"] += 1
            self.selector.modify(s, selectors.EVENT_READ)
            return None
        try:
            s.recv(1000)
        except ConnectionResetError:
            pass
        self.counts["left"] -= 1
        return self.end(s, "refused")

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end or (self.open and time.monotonic() < end + PATIENCE):
            while len(self.open) < PARALLEL and time.monotonic() < end:
                self.begin()
            for key, events in self.selector.select(0.5):
                self.step(key.fileobj, events)
        return self.counts


def ask(s):
    labels = os.urandom(20).hex().encode(), os.urandom(30).hex().encode(), b"example"
    packet = os.urandom(2) + b"\x01\x00\x00\x01" + bytes(6) + b"".join(bytes([len(l)]) + l for l in labels) + b"\x00\x00\x01\x00\x01"
    s.sendto(packet, (NAMESERVER, 53))


def names(count):
    answered = 0
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(PATIENCE)
    for at in range(0, count, 50):
        for _ in range(at, min(count, at + 50)):
            ask(s)
        for _ in range(at, min(count, at + 50)):
            s.recv(600)
            answered += 1
    return {"answered": answered}, s


def established(sockets):
    """Those of them that are, once all are or PATIENCE has passed since the last."""
    selector = selectors.DefaultSelector()
    for s in sockets:
        selector.register(s, selectors.EVENT_WRITE)
    done = []
    while len(done) < len(sockets) and (ready := selector.select(PATIENCE)):
        for key, _ in ready:
            selector.unregister(key.fileobj)
            if not key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                done.append(key.fileobj)
    return done


def hellos(count):
    """The first 47 octets of a ClientHello of 131,000."""
    body = b"\x01" + (131000).to_bytes(3, "big") + b"\x03\x03" + bytes(32)
    begun = []
    while len(begun) < count:
        done = established([connecting(443) for _ in range(min(PARALLEL, count - len(begun)))])
        if not done:
            break
        for s in done:
            s.send(b"\x16\x03\x01" + len(body).to_bytes(2, "big") + body)
        begun += done
    return {"begun": len(begun)}, begun


def entries(tcp, udp):
    connections, sockets = [], []
    for tick in range(1, TICKS + 1):
        connections += [connecting(80) for _ in range(tcp * tick // TICKS - len(connections))]
        for _ in range(udp * tick // TICKS - len(sockets)):
            sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            ask(sockets[-1])
        time.sleep(0.1)
    return {"tried": len(connections) + len(sockets)}, (connections, sockets)


def main():
    arguments, command = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, command = arguments[:at], arguments[at + 1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    modes = {"garbage": lambda seconds: (Garbage().run(seconds), None), "names": names, "hellos": hellos, "entries": entries}
    result, held = modes[arguments[0]](*map(int, arguments[1:]))
    print(json.dumps(result), flush=True)
    sys.stdin.readline()
    code = subprocess.run(command, check=False).returncode if command else 0
    del held
    sys.exit(code)


main()
