"""spray.py [SECONDS]: tries every way out that must be closed, over and over; prints "going" first. Ends by itself."""

import os
import socket
import sys
import time

TARGETS = ["198.51.100.2", "198.51.100.1", "10.77.0.2", "198.18.0.0", "198.19.0.1", "127.0.0.1"]


def datagrams():
    for target in TARGETS:
        for port in (53, 9, 123, 443, 8088):
            send(socket.AF_INET, (target, port))
    for target in ("2001:db8:77::2", "ff02::1%eth0", "fe80::1%eth0"):
        for port in (53, 9):
            send(socket.AF_INET6, (target, port))


def send(family, address):
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            s.sendto(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04leak\x07example\x00\x00\x01\x00\x01", address)
    except OSError:
        pass


def connections():
    pending = []
    for target in TARGETS:
        for port in (22, 80, 443, 8088):
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            s.setblocking(False)
            try:
                s.connect((target, port))
            except OSError:
                pass
            pending.append(s)
    time.sleep(0.05)
    for s in pending:
        try:
            s.send(b"GET /v1/leak HTTP/1.1\r\nHost: leak.example\r\n\r\n")
        except OSError:
            pass
        s.close()


def main():
    end = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 20)
    print("going", os.getpid(), flush=True)
    while time.monotonic() < end:
        datagrams()
        connections()


main()
