"""One line a test, the output of those that fail, one closing line."""

import sys
import threading
import time

PASSED, FAILED, SKIPPED = "ok", "FAIL", "SKIP"


class Skip(Exception):
    """The test cannot be run here; the text says why."""


class Report:
    def __init__(self, stream=sys.stdout):
        self.stream = stream
        self.counts = {PASSED: 0, FAILED: 0, SKIPPED: 0}
        self.failures = []
        self.started = time.monotonic()
        self.lock = threading.Lock()

    def note(self, text):
        print(f"# {text}", file=self.stream, flush=True)

    def add(self, status, name, seconds, reason="", output=""):
        with self.lock:
            self.counts[status] += 1
            line = f"{status:4} {name} ({seconds:.2f} s)"
            if reason:
                line += f": {reason}"
            print(line, file=self.stream, flush=True)
            if status == FAILED:
                self.failures.append(name)
                for text in output.splitlines():
                    print(f"     | {text}", file=self.stream)
                self.stream.flush()

    def close(self):
        """Prints the closing lines; returns the exit status."""
        passed, failed, skipped = (self.counts[s] for s in (PASSED, FAILED, SKIPPED))
        if self.failures:
            print("failed: " + " ".join(self.failures), file=self.stream)
        self.note(f"{time.monotonic() - self.started:.0f} s")
        print(f"{passed} passed, {failed} failed, {skipped} skipped", file=self.stream, flush=True)
        return 1 if failed or not passed else 0
