"""
raw.py [--tls] [--sni NAME] [--wait SECONDS] [--slow] HOST PORT: sends standard input as it is, prints what comes back.
Exit code 0 at the peer's end of file, 3 after silence of SECONDS (default 3), 4 on a reset, 5 if TLS fails.
"""

import argparse
import socket
import ssl
import sys
import time


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--sni")
    parser.add_argument("--wait", type=float, default=3)
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    args = parser.parse_args()
    try:
        connection = socket.create_connection((args.host, args.port), 5)
        if args.tls:
            context = ssl.create_default_context()
            context.check_hostname = args.sni is None
            connection = context.wrap_socket(connection, server_hostname=args.sni or args.host)
    except ssl.SSLError as error:
        print("TLS:", error)
        return 5
    except OSError as error:
        print("connect:", error)
        return 4
    return talk(connection, sys.stdin.buffer.read(), args)


def talk(connection, data, args):
    try:
        for i in range(0, len(data), 1) if args.slow else [0]:
            connection.sendall(data[i:i + 1] if args.slow else data)
            if args.slow:
                time.sleep(0.005)
        connection.settimeout(args.wait)
        while octets := connection.recv(65536):
            sys.stdout.buffer.write(octets)
            sys.stdout.buffer.flush()
    except TimeoutError:
        return 3
    except OSError as error:
        print("lost:", error)
        return 4
    return 0


sys.exit(main())
