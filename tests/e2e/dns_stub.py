"""dns_stub.py ADDRESS LOG: a name server that knows two names, and writes down every question."""

import socket
import struct
import sys

ZONE = {"dns-only.example": "198.51.100.2", "rebind.example": "127.0.0.1", "cable.example": "198.18.0.0"}


def answer(packet, log):
    if len(packet) < 12:
        return None
    labels, at = [], 12
    while at < len(packet) and packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1"))
        at += packet[at] + 1
    name = ".".join(labels).lower()
    question_end = at + 5
    kind = struct.unpack("!H", packet[at + 1:at + 3])[0]
    log.write(f"{name} {kind}\n")
    log.flush()
    known = name in ZONE
    answers = b""
    if known and kind == 1:
        answers = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 30, 4) + socket.inet_aton(ZONE[name])
    flags = 0x8180 | (0 if known else 3)
    return packet[:2] + struct.pack("!HHHHH", flags, 1, 1 if answers else 0, 0, 0) + packet[12:question_end] + answers


def main():
    address, path = sys.argv[1:3]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, open(path, "a", encoding="utf-8") as log:
        s.bind((address, 53))
        while True:
            packet, peer = s.recvfrom(4096)
            reply = answer(packet, log)
            if reply:
                s.sendto(reply, peer)


main()
