"""host_service.py PORT: a service of the host on all its addresses, TCP, UDP and an abstract name, that no jail may reach."""

import socket
import sys
import threading


def udp(family, port):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind(("", port))
        while True:
            _, peer = s.recvfrom(2048)
            s.sendto(b"HOST SERVICE\n", peer)


def main():
    port = int(sys.argv[1])
    for family in (socket.AF_INET, socket.AF_INET6):
        threading.Thread(target=udp, args=(family, port), daemon=True).start()
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0boundary-host-service")
    abstract.listen()
    with socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(2)
                try:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 13\r\n\r\nHOST SERVICE\n")
                except OSError:
                    pass


main()
