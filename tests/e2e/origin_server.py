"""
origin_server.py ADDRESS HTTP_PORT HTTPS_PORT CERTIFICATE KEY REPOSITORIES

An HTTP/1.1 origin that does on request what a well-behaved one does not (a thread a connection, no framework: the
responses must be able to be wrong), plus `git http-backend` under /git/.
"""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

BLOCK = 1 << 16


class Request:
    def __init__(self, reader):
        line = reader.readline(65536)
        self.raw = line
        if not line:
            raise EOFError
        self.method, self.target, self.version = line.decode("latin-1").split(" ", 2)
        self.path, _, self.query = self.target.partition("?")
        self.fields = []
        while (line := reader.readline(65536)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            self.fields.append((name.strip().lower(), value.strip()))
        self.headers = dict(self.fields)
        self.reader = reader

    def body(self):
        """Yields the octets of the body."""
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(self.reader.readline().split(b";")[0], 16):
                yield self.reader.read(size)
                self.reader.readline()
            while self.reader.readline() not in (b"\r\n", b""):
                pass
            return
        left = int(self.headers.get("content-length", 0))
        while left:
            data = self.reader.read(min(left, BLOCK))
            if not data:
                raise EOFError
            left -= len(data)
            yield data


def respond(out, body=b"", status="200 OK", fields=(), kind="text/plain"):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", f"Content-Type: {kind}", *fields]
    out.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)


class HeadOnly:
    """What of a response to HEAD goes out."""

    def __init__(self, connection):
        self.connection = connection

    def sendall(self, data):
        self.connection.sendall(data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def do_echo(request, out):
    """What arrived here, as JSON."""
    if request.headers.get("expect", "").lower() == "100-continue":
        out.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    digest, length = hashlib.sha256(), 0
    for data in request.body():
        digest.update(data)
        length += len(data)
    text = json.dumps({"method": request.method, "target": request.target, "fields": request.fields, "length": length,
                       "sha256": digest.hexdigest()})
    respond(out, text.encode() + b"\n", kind="application/json")


def do_sink(request, out):
    """Counts the body as fast as it comes."""
    if request.headers.get("expect", "").lower() == "100-continue":
        out.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    respond(out, b"%d\n" % sum(map(len, request.body())))


def do_refuse(request, out):
    """Answers an Expect: 100-continue with the final status at once."""
    respond(out, b"too big\n", "413 Content Too Large", ["Connection: close"])
    raise EOFError


seen = threading.Semaphore(0)


def do_events(_request, out):
    """Five server-sent events; the next one comes only when /seen was asked for, the client having the one before."""
    while seen.acquire(blocking=False):
        pass
    out.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for i in range(5):
        out.sendall(chunk(b"data: %d\n\n" % i))
        if not seen.acquire(timeout=10):
            raise EOFError
    out.sendall(b"0\r\n\r\n")


def do_seen(_request, out):
    seen.release()
    respond(out)


def do_chunked(_request, out):
    out.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for i in range(100):
        out.sendall(chunk(b"%04d" % i * 100))
    out.sendall(b"0\r\n\r\n")


def do_until_close(_request, out):
    out.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nup to the end\n")
    if isinstance(out, ssl.SSLSocket):
        out.settimeout(5)
        out.unwrap()  # close_notify: without it the end would be a truncation
    raise EOFError


def do_cut_off(_request, out):
    """Until the end, which comes without close_notify."""
    out.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nup to some point\n")
    raise EOFError


def do_truncated(_request, out):
    out.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)
    raise EOFError


def do_truncated_chunked(_request, out):
    out.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 500))
    raise EOFError


def do_status(request, out):
    """/status/CODE: that status, with no body where it has none."""
    code = request.path.rsplit("/", 1)[1]
    if code in ("204", "304"):
        out.sendall(f"HTTP/1.1 {code} Fine\r\nETag: \"a\"\r\n\r\n".encode())
    else:
        respond(out, b"status\n", f"{code} Fine")


def do_hints(_request, out):
    out.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    respond(out, b"after hints\n")


def do_silent(_request, _out):
    time.sleep(1)
    raise EOFError


def bad_response(octets):
    def handler(_request, out):
        out.sendall(octets)
        raise EOFError

    return handler


HANDLERS = {
    "/echo": do_echo, "/sink": do_sink, "/refuse": do_refuse, "/events": do_events, "/seen": do_seen,
    "/chunked": do_chunked,
    "/until-close": do_until_close, "/cut-off": do_cut_off, "/truncated": do_truncated, "/truncated-chunked": do_truncated_chunked,
    "/hints": do_hints, "/silent": do_silent,
    "/bad-lengths": bad_response(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\nSECRET\n"),
    "/bad-both": bad_response(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nSECRET\r\n0\r\n\r\n"),
    "/bad-status": bad_response(b"HTTQ/9 what\r\n\r\nSECRET\n"),
    "/bad-field": bad_response(b"HTTP/1.1 200 OK\r\nA field\r\nContent-Length: 6\r\n\r\nSECRET"),
    "/bad-chunk": bad_response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst!\r\nXYZ\r\nSECRET\r\n0\r\n\r\n"),
}


def git_backend(request, out, repositories):
    body = b"".join(request.body())
    environment = {
        "PATH": "/usr/bin:/bin", "GIT_PROJECT_ROOT": repositories, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": request.path.removeprefix("/git"),
        "QUERY_STRING": request.query, "REQUEST_METHOD": request.method, "CONTENT_TYPE": request.headers.get("content-type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""), "CONTENT_LENGTH": str(len(body)),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*", "HOME": "/nonexistent",
    }
    done = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, env=environment, check=False)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    fields = [l for l in head.decode("latin-1").split("\r\n") if l]
    status = next((f[8:] for f in fields if f.startswith("Status: ")), "200 OK")
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *(f for f in fields if not f.startswith("Status: "))]
    out.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)


def serve(connection, context, repositories):
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb")
        while True:
            request = Request(reader)
            if request.path.startswith("/git/"):
                git_backend(request, connection, repositories)
                continue
            handler = do_status if request.path.startswith("/status/") else HANDLERS.get(request.path, do_echo)
            handler(request, HeadOnly(connection) if request.method == "HEAD" else connection)
    except (EOFError, OSError, ValueError):
        pass
    finally:
        try:
            connection.close()
        except OSError:
            pass


def accept_all(listener, context, repositories):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, context, repositories), daemon=True).start()


def main():
    address, http_port, https_port, certificate, key, repositories = sys.argv[1:7]
    os.chdir("/")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    secure = socket.create_server((address, int(https_port)), backlog=128)
    plain = socket.create_server((address, int(http_port)), backlog=128)
    threading.Thread(target=accept_all, args=(secure, context, repositories), daemon=True).start()
    accept_all(plain, None, repositories)


main()
