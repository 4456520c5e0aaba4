"""A pseudo-terminal with a program on it, as a person at a keyboard has."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time


class Terminal:
    def __init__(self, world, argv, user=None, environment=None):
        self.world = world
        self.master, slave = pty.openpty()
        self.resize(24, 80)
        os.fchown(slave, (user or world.identity).uid, -1)
        self.process = world.popen(argv, user, environment={"TERM": "vt100", "PS1": "outer> ", **(environment or {})}, stdin=slave, stdout=slave,
                                   stderr=slave, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen = ""
        self.at = 0

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def _read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the other side open any more
            return None
        self.seen += data.decode(errors="replace")
        return True

    def expect(self, text, seconds=10):
        """Waits for `text` in what came since the last expect()."""
        end = time.monotonic() + seconds
        while text not in self.seen[self.at:]:
            left = end - time.monotonic()
            if left <= 0 or self._read(left) is None:
                if text in self.seen[self.at:]:
                    break
                self.world.note(f"terminal: {self.seen!r}")
                raise AssertionError(f"{text!r} did not appear on the terminal: {self.seen[self.at:]!r}")
        self.at = self.seen.index(text, self.at) + len(text)

    def hang_up(self, seconds=10):
        """Closes the window; returns the program's exit code."""
        os.close(self.master)
        return self.process.wait(timeout=seconds)

    def finish(self, seconds=10):
        """Reads to the end of the program; returns its exit code."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.05)
        while self._read(0):
            pass
        self.world.note(f"terminal: {self.seen!r}")
        try:
            return self.process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            raise AssertionError("the program on the terminal did not end") from None
        finally:
            os.close(self.master)
