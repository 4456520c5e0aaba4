"""Signals and terminals: as if the command ran alone."""

import os
import signal
import subprocess
import time

import system
from jail import arguments, start
from registry import check, test, wait_until
from terminal import Terminal

LOOP = "while :; do sleep 0.05; done"


@test(root=True)
def signals_reach_the_command(w):
    for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH"):
        session = start(w, ["bash", "-c", f"trap 'echo got {name}; exit 7' {name}; echo ready; {LOOP}"])
        session.wait_line("ready")
        session.kill(getattr(signal, "SIG" + name))
        session.finish().expect(7, out=f"got {name}")


@test(root=True)
def signals_end_the_command(w):
    for name in ("INT", "TERM", "HUP", "QUIT"):
        # Not bash, which ignores SIGQUIT.
        session = start(w, ["sh", "-c", "ulimit -c 0; echo ready; exec sleep 60"])
        session.wait_line("ready")
        session.kill(getattr(signal, "SIG" + name))
        session.finish().expect(128 + getattr(signal, "SIG" + name))


@test()
def command_may_ignore_a_signal(w):
    session = start(w, ["bash", "-c", "trap '' TERM; echo ready; sleep 0.6; echo survived"])
    session.wait_line("ready")
    session.kill(signal.SIGTERM)
    session.finish().expect(0, out="survived")


@test()
def inherited_mask_and_dispositions(w):
    """What a parent ignores stays ignored, nothing else is, and nothing is blocked."""
    fields = "grep -E '^Sig(Blk|Ign)' /proc/self/status"
    outside = w.run_in(["sh", "-c", fields]).stdout
    inside = start(w, ["sh", "-c", fields]).finish().expect(0).out
    check(inside == outside, f"inside {inside!r}, outside {outside!r}")


@test()
def stop_and_continue(w):
    """TSTP to boundary-launch stops the command, then itself; CONT continues both. (In a process group that has a parent in
    its session: in an orphaned one TSTP does nothing, in the jail or out.)"""
    session = start(w, ["bash", "-c", "echo ready; read x; echo end"], stdin=subprocess.PIPE, start_new_session=False, process_group=0)
    session.wait_line("ready")
    session.kill(signal.SIGTSTP)
    wait_until(lambda: stopped(session), 5, "boundary-launch stopped")
    time.sleep(1.5)
    inside = [p for p in system.descendants(session.pid) if system.stat_fields(p) and system.stat_fields(p)[1][0] == "T"]
    check(inside, "nothing in the jail is stopped")
    session.kill(signal.SIGCONT)
    session.finish(data=b"\n").expect(0, out="end")


def stopped(session):
    return (system.stat_fields(session.pid) or [0, "?"])[1][0] == "T"


@test()
def continued_or_killed_from_inside(w):
    """A command that is stopped and then continued, or killed, by another process of the jail: boundary-launch stops and goes on with it."""
    for act, code in (("CONT", 3), ("KILL", 137)):
        # A background process of sh has /dev/null as its standard input.
        script = f"exec 4<&0; (read x <&4; kill -{act} $$) & kill -STOP $$; exit 3"
        session = start(w, ["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=False, process_group=0)
        wait_until(lambda: stopped(session), 5, "boundary-launch stopped")
        session.finish(data=b"\n").expect(code)


@test()
def killed_while_stopped(w):
    """So does the death of the jail's first process."""
    session = start(w, ["sh", "-c", "kill -STOP $$; sleep 60"], start_new_session=False, process_group=0)
    wait_until(lambda: stopped(session), 5, "boundary-launch stopped")
    system.kill(session.jail_init())
    session.finish(10).expect(125)


@test(root=True)
def signals_of_the_kernel_for_the_launcher_alone(w):
    """A timer that was set before the exec: the kernel sends SIGALRM to this process, and nobody to the command."""
    session = start(w, ["sh", "-c", "echo ready; exec sleep 30"], preexec_fn=lambda: signal.alarm(2))
    session.finish(10).expect(128 + signal.SIGALRM)


@test(root=True)
def inherited_ignore_holds_during_set_up(w):
    """As of `command &` in a shell without job control, or nohup: the signal does nothing whenever it comes."""
    for i in range(12):
        session = start(w, ["sh", "-c", "sleep 0.1; echo end"], preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        time.sleep(0.005 * i)
        session.kill(signal.SIGINT)
        session.finish().expect(0, out="end")


# On a terminal ------------------------------------------------------------------------------------------------------


@test()
def terminal_is_the_commands(w):
    terminal = Terminal(w, arguments(w, ["sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo a tty; stty size; echo x >/dev/tty"]))
    terminal.expect("a tty")
    terminal.expect("24 80")
    terminal.expect("x")
    check(terminal.finish() == 0, "exit code")


@test()
def control_c(w):
    for own in (3, 128 + signal.SIGINT):
        terminal = Terminal(w, arguments(w, ["bash", "-c", f"trap 'echo caught; exit {own}' INT; echo ready; {LOOP}"]))
        terminal.expect("ready")
        terminal.type("\x03")
        code = terminal.finish()
        check(code == own and terminal.seen.count("caught") == 1, f"exit {code}, {terminal.seen!r}")


@test()
def control_c_ends(w):
    for key, number, code_of in (("\x03", signal.SIGINT, -signal.SIGINT), ("\x1c", signal.SIGQUIT, 128 + signal.SIGQUIT)):
        terminal = Terminal(w, arguments(w, ["sh", "-c", "ulimit -c 0; echo ready; exec sleep 60"]))
        terminal.expect("ready")
        time.sleep(0.1)
        terminal.type(key)
        code = terminal.finish()
        check(code == code_of, f"{signal.Signals(number).name}: exit {code}")


@test()
def keys_reach_a_command_in_a_group_of_its_own(w):
    """timeout(1) makes one, and would lead the terminal's had a shell started it."""
    script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    terminal = Terminal(w, arguments(w, ["timeout", "30", "bash", "-c", script]))
    terminal.expect("ready")
    terminal.type("\x03")
    code = terminal.finish()
    # timeout(1) ends by what it was sent, whatever its child does.
    check(code in (3, 128 + signal.SIGINT, -signal.SIGINT) and "caught" in terminal.seen, f"exit {code}, {terminal.seen!r}")
    terminal = Terminal(w, ["bash", "--norc", "--noprofile", "-i"])
    terminal.expect("outer> ")
    terminal.type(" ".join(f"'{a}'" for a in arguments(w, ["timeout", "30", "sh", "-c", "echo re''ady; sleep 1; echo do''ne"])) + "\n")
    terminal.expect("ready")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.expect("outer> ")
    terminal.type("fg\n")
    terminal.expect("done")
    terminal.expect("outer> ")
    terminal.type("exit 0\n")
    check(terminal.finish() == 0, "exit code of the shell")


@test()
def control_c_ends_the_shells_loop(w):
    """Which bash leaves when its child died of SIGINT, not for an exit code."""
    one = " ".join(f"'{a}'" for a in arguments(w, ["sh", "-c", "echo re''ady; exec sleep 60"]))
    terminal = Terminal(w, ["bash", "-c", f"for i in 1 2; do {one}; done; echo the rest"])
    terminal.expect("ready")
    terminal.type("\x03")
    code = terminal.finish()
    check(code == -signal.SIGINT and terminal.seen.count("ready") == 1 and "the rest" not in terminal.seen, f"exit {code}, {terminal.seen!r}")


@test()
def control_c_can_be_caught_and_survived(w):
    """A command that handles Ctrl-C and goes on is not ended by us: a REPL."""
    script = ("import time\n"
              "for i in range(2):\n"
              "    try:\n"
              "        print('ready', i, flush=True); time.sleep(30)\n"
              "    except KeyboardInterrupt: print('interrupted', i, flush=True)\n")
    terminal = Terminal(w, arguments(w, ["/usr/bin/python3", "-c", script]))
    for i in range(2):
        terminal.expect(f"ready {i}")
        terminal.type("\x03")
        terminal.expect(f"interrupted {i}")
    check(terminal.finish() == 0, "exit code")


@test()
def control_z_and_fg(w):
    """Started from an interactive shell: Ctrl-Z gives the prompt back, fg continues."""
    terminal = Terminal(w, ["bash", "--norc", "--noprofile", "-i"])
    terminal.expect("outer> ")
    terminal.type(" ".join(f"'{a}'" for a in arguments(w, ["cat"])) + "\n")
    terminal.expect("\n")
    wait_until(w.links, 10, "the session")
    terminal.type("one\n")
    terminal.expect("one\r\none\r\n")
    for text in ("two", "three"):
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.expect("outer> ")
        terminal.type("fg\n")
        terminal.expect("cat")
        time.sleep(0.2)
        terminal.type(text + "\n")
        terminal.expect(f"{text}\r\n{text}\r\n")
    terminal.type("\x04")
    terminal.expect("outer> ")
    terminal.type("exit 0\n")
    check(terminal.finish() == 0, "exit code of the shell")


@test()
def window_size(w):
    terminal = Terminal(w, arguments(w, ["bash", "-c", f"trap 'stty size' WINCH; trap 'exit 0' INT; stty size; echo ready; {LOOP}"]))
    terminal.expect("24 80")
    terminal.expect("ready")
    terminal.resize(40, 132)
    terminal.expect("40 132")
    terminal.type("\x03")
    check(terminal.finish() == 0, "exit code")


@test(root=True)
def interactive_shell_with_job_control(w):
    terminal = Terminal(w, arguments(w, ["bash", "--norc", "--noprofile", "-i"]), environment={"PS1": "inner> "})
    terminal.expect("inner> ")
    check("no job control" not in terminal.seen, f"{terminal.seen!r}")
    terminal.type("sleep 100 &\n")
    terminal.expect("inner> ")
    shell = os.tcgetpgrp(terminal.master)
    terminal.type("fg\n")
    terminal.expect("sleep 100")
    wait_until(lambda: os.tcgetpgrp(terminal.master) != shell, 5, "the job in the foreground")
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.expect("inner> ")
    terminal.type("bg; kill %1; wait; echo still; exit 5\n")
    terminal.expect("still\r\n")
    check(terminal.finish() == 5, "exit code")


@test()
def terminal_is_given_back(w):
    """By a shell that had made itself the foreground, to what comes after it; and with its modes by a command that was killed."""
    inner = " ".join(f"'{a}'" for a in arguments(w, ["bash", "--norc", "--noprofile", "-i"]))
    terminal = Terminal(w, ["sh", "-c", f"{inner}; trap 'exit 3' INT; echo after; read x; echo \"read $x\"; {LOOP}"], environment={"PS1": "inner> "})
    terminal.expect("inner> ")
    terminal.type("exit 0\n")
    terminal.expect("after")
    terminal.type("word\n")
    terminal.expect("read word")
    terminal.type("\x03")
    check(terminal.finish() == 3, "the keyboard does not reach what comes after")
    raw = " ".join(f"'{a}'" for a in arguments(w, ["sh", "-c", "stty raw -echo; kill -9 $$"]))
    terminal = Terminal(w, ["sh", "-c", f"stty -g; {raw}; echo $?; stty -g"])
    check(terminal.finish() == 0, "exit code")
    before, code, after = terminal.seen.split()
    check(code == "137" and before == after, f"modes {before}, then exit {code}, then {after}")


@test()
def tiocsti_and_tioclinux_fail(w):
    """On a real terminal; also with high bits of the request set (CVE-2019-10063)."""
    script = ("import ctypes, errno\n"
              "libc = ctypes.CDLL(None, use_errno=True)\n"
              "for request in (0x5412, 0x541c, 0x5412 | 1 << 32, 0x541c | 1 << 32):\n"
              "    r = libc.syscall(16, 0, ctypes.c_ulong(request), ctypes.c_char_p(b'x'))\n"
              "    print('ioctl', hex(request), r, errno.errorcode.get(ctypes.get_errno()), flush=True)\n"
              "print('finished')\n")
    terminal = Terminal(w, arguments(w, ["/usr/bin/python3", "-c", script]))
    terminal.expect("finished")
    terminal.finish()
    lines = [l for l in terminal.seen.splitlines() if l.startswith("ioctl")]
    check(len(lines) == 4 and all(" -1 EPERM" in l for l in lines), f"{lines}")


@test(root=True)
def hangup_of_the_terminal(w):
    """The window is closed: the kernel tells the leader of the session, which boundary-launch is here, and it the command."""
    terminal = Terminal(w, arguments(w, ["sh", "-c", "echo ready; exec sleep 60"]))
    terminal.expect("ready")
    code = terminal.hang_up()
    check(code == 128 + signal.SIGHUP, f"exit {code}")


@test()
def control_c_during_set_up(w):
    """Whenever it is typed, the command does not run on as if it had not been."""
    for i in range(20):
        terminal = Terminal(w, arguments(w, ["sleep", "20"]))
        time.sleep(0.01 + 0.003 * i)
        terminal.type("\x03")
        code = terminal.finish(20)
        check(code == -signal.SIGINT, f"round {i}: exit {code}")
