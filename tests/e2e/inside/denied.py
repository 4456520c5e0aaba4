"""denied.py COUNT: so many requests that are denied, one after the other, with standard error made non-blocking first."""

import fcntl
import http.client
import os
import sys


def main():
    # The open file is the one the proxy logs to, if that is standard error too.
    fcntl.fcntl(2, fcntl.F_SETFL, fcntl.fcntl(2, fcntl.F_GETFL) | os.O_NONBLOCK)
    connection = http.client.HTTPConnection("other.example")
    refused = 0
    for i in range(int(sys.argv[1])):
        connection.request("GET", f"/{i}/" + "x" * 3000)
        answer = connection.getresponse()
        answer.read()
        refused += answer.status == 403
    print("refused", refused, flush=True)


main()
