"""
conntrack.py: what the kernel's connection tracking holds in this network namespace, as JSON: for each source address (of the first packet)
the numbers of TCP connections that are not closed, of closed ones, and of UDP entries. By ctnetlink (linux/netfilter/nfnetlink_conntrack.h).
"""

import collections
import json
import socket
import struct

NETLINK_NETFILTER = 12
CT_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
REQUEST_DUMP = 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
TUPLE_ORIG, PROTOINFO = 1, 4
TUPLE_IP, TUPLE_PROTO = 1, 2
FIRST = 1  # of the nested attributes: CTA_IP_V4_SRC, CTA_PROTO_NUM, CTA_PROTOINFO_TCP and its CTA_PROTOINFO_TCP_STATE
CLOSED = (7, 8)  # TIME_WAIT, CLOSE


def attributes(octets):
    found = {}
    while len(octets) >= 4:
        length, kind = struct.unpack_from("=HH", octets)
        found[kind & 0x3FFF] = octets[4:length]
        octets = octets[(length + 3) & ~3:]
    return found


def nested(octets, *path):
    """The attribute at the end of the path; empty if there is none."""
    for kind in path:
        octets = attributes(octets).get(kind, b"")
    return octets


def messages():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as s:
        s.send(struct.pack("=IHHIIBBH", 20, CT_GET, REQUEST_DUMP, 1, 0, socket.AF_INET, 0, 0))
        while True:
            octets = s.recv(1 << 20)
            while octets:
                length, kind = struct.unpack_from("=IH", octets)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError(f"ctnetlink: error {struct.unpack_from('=i', octets, 16)[0]}")
                yield octets[20:length]
                octets = octets[(length + 3) & ~3:]


def main():
    counts = collections.defaultdict(lambda: {"open": 0, "closed": 0, "udp": 0})
    for message in messages():
        source = socket.inet_ntoa(nested(message, TUPLE_ORIG, TUPLE_IP, FIRST))
        if nested(message, TUPLE_ORIG, TUPLE_PROTO, FIRST)[0] == socket.IPPROTO_UDP:
            counts[source]["udp"] += 1
        else:
            state = nested(message, PROTOINFO, FIRST, FIRST)
            counts[source]["closed" if state and state[0] in CLOSED else "open"] += 1
    print(json.dumps(counts))


main()
