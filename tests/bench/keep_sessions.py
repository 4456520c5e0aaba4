"""
keep_sessions.py COUNT AT_ONCE BOUNDARY-LAUNCH ARGUMENT...: starts COUNT sessions and keeps them: AT_ONCE at a time, but for the
first and last few, one after the other, to see how long one takes. Prints one line of JSON when all of them run, then one
for each line of standard input:

    ask FIRST LAST AT_ONCE URL   these sessions request the URL
    end                          all sessions end at once

Every command in a jail is a shell that reads URLs from a pipe and has curl request them; the end of the pipe is its end.
Run it as the user whose sessions they are to be.
"""

import json
import os
import resource
import selectors
import subprocess
import sys
import time

COMMAND = """
echo "$0 up"
while read -r url; do
    curl -sS -o /dev/null --max-time 120 -w "$0 %{http_code}\\n" "$url" || :
done
"""
SILENCE_SECONDS = 60
ALONE = 20


class Session:
    def __init__(self, process):
        self.process = process
        self.pidfd = os.pidfd_open(process.pid)
        self.began = time.monotonic()
        self.answer = None

    def take(self):
        """Milliseconds from the question to its answer."""
        return (time.monotonic() - self.began) * 1000


class Keeper:
    def __init__(self, argv):
        self.argv = argv
        self.sessions = []
        self.ended = {}
        self.waiting = set()
        self.answers, self.their_end = os.pipe()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.answers, selectors.EVENT_READ)
        self.partial = b""
        self.files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.files[1], self.files[1]))

    def start(self, number):
        argv = [*self.argv, "--", "sh", "-c", COMMAND, str(number)]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=self.their_end, bufsize=0,
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, self.files))
        self.sessions.append(Session(process))
        self.selector.register(self.sessions[-1].pidfd, selectors.EVENT_READ, number)

    def ask(self, number, url):
        session = self.sessions[number]
        session.began, session.answer = time.monotonic(), None
        session.process.stdin.write(url.encode() + b"\n")

    def each(self, numbers, at_once, question):
        """question(number) for each, with no more than `at_once` answers outstanding. Milliseconds until each answer."""
        numbers, took = list(numbers), {}
        while numbers or self.waiting:
            while numbers and len(self.waiting) < at_once:
                self.waiting.add(numbers[0])
                question(numbers.pop(0))
            for number in self.hear():
                took[number] = self.sessions[number].take()
        return took

    def hear(self):
        """Waits for something to happen; the sessions that answered."""
        answered = []
        events = self.selector.select(SILENCE_SECONDS)
        if not events:
            sys.exit(f"{len(self.waiting)} sessions say nothing for {SILENCE_SECONDS} s: {sorted(self.waiting)[:10]}")
        for key, _ in events:
            if key.fileobj != self.answers:
                self.selector.unregister(key.fileobj)
                self.ended[key.data] = self.sessions[key.data].process.wait()
                continue
            *lines, self.partial = (self.partial + os.read(self.answers, 65536)).split(b"\n")
            for line in lines:
                number, answer = line.decode().split()
                self.sessions[int(number)].answer = answer
                self.waiting.discard(int(number))
                answered.append(int(number))
        if self.waiting & self.ended.keys():
            gone = {number: self.ended[number] for number in sorted(self.waiting & self.ended.keys())}
            sys.exit(f"of {len(self.sessions)} sessions these ended, number and exit code: {gone}")
        return answered

    def end(self):
        for session in self.sessions:
            session.process.stdin.close()
        while len(self.ended) < len(self.sessions):
            self.hear()


def say(**what):
    print(json.dumps(what), flush=True)


def main():
    keeper = Keeper(sys.argv[3:])
    count, at_once = int(sys.argv[1]), int(sys.argv[2])
    began = time.monotonic()
    alone = min(ALONE, count // 2)
    first = keeper.each(range(alone), 1, keeper.start)
    keeper.each(range(alone, count - alone), at_once, keeper.start)
    last = keeper.each(range(count - alone, count), 1, keeper.start)
    say(seconds=time.monotonic() - began, pids=[s.process.pid for s in keeper.sessions], first_ms=list(first.values()), last_ms=list(last.values()))
    for line in sys.stdin:
        words, began = line.split(), time.monotonic()
        if words[0] == "end":
            keeper.end()
            codes = list(keeper.ended.values())
            say(seconds=time.monotonic() - began, codes={code: codes.count(code) for code in set(codes)})
            return
        numbers, url = range(int(words[1]), int(words[2]) + 1), words[4]
        took = keeper.each(numbers, int(words[3]), lambda number, u=url: keeper.ask(number, u))
        answers = [keeper.sessions[n].answer for n in numbers]
        say(seconds=time.monotonic() - began, answers={a: answers.count(a) for a in set(answers)}, ms=list(took.values()))


main()
