"""
Boundary inside containers as Docker makes them: runc, Docker's default capabilities and seccomp profile, plus what the case
says. The root file system is an overlay of the machine's own; the network is a namespace of the container's with a cable to the
world's host namespace.
"""

import json
import os
import pathlib
import time

import system
from jail import Result
from registry import check, selected, wait_until
from report import FAILED, PASSED, SKIPPED, Skip

DEFAULT_CAPABILITIES = ("AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID "
                        "SYS_CHROOT").split()
ALLOW_CLONE = {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": []}
HOST_END, CONTAINER_END = "10.79.0.0", "10.79.0.1"

# name: capabilities beyond Docker's, rules beyond Docker's, own user namespace, does it work
CASES = {
    "net-admin-and-clone": (["NET_ADMIN"], [ALLOW_CLONE], False, True),
    "sys-admin": (["NET_ADMIN", "SYS_ADMIN"], [], False, True),
    "user-namespace-and-net-admin": (["NET_ADMIN"], [ALLOW_CLONE], True, True),
    "default-profile": (["NET_ADMIN"], [], False, False),
    "no-net-admin": ([], [ALLOW_CLONE], False, False),
}


def profile_for(path, capabilities, extra):
    """Docker's profile as runc wants it: the rules whose conditions hold for these capabilities on this machine."""
    source = json.loads(path.read_text())
    rules = []
    for rule in source["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        held = {f"CAP_{c}" for c in capabilities}
        if not set(includes.get("caps", [])) <= held or set(excludes.get("caps", [])) & held:
            continue
        if "amd64" not in includes.get("arches", ["amd64"]) or "amd64" in excludes.get("arches", []):
            continue
        rules.append({k: v for k, v in rule.items() if k in ("names", "action", "args", "errnoRet")})
    # A later rule does not override a conditional one: the filter takes the most permissive match for a plain ALLOW.
    plain = {name for rule in extra for name in rule["names"]}
    rules = [r for r in rules if not set(r["names"]) & plain or not r.get("args")] + extra
    return {"defaultAction": source["defaultAction"], "defaultErrnoRet": source.get("defaultErrnoRet", 1),
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": rules}


class Container:
    def __init__(self, world, name, profile_path, case):
        extra_capabilities, extra_rules, self.own_users, _ = case
        self.world, self.name = world, f"bnd-{os.getpid()}-{name}"
        self.capabilities = DEFAULT_CAPABILITIES + extra_capabilities
        self.profile = profile_for(profile_path, self.capabilities, extra_rules)
        self.directory = world.base / "oci" / name

    def __enter__(self):
        rootfs = self.directory / "rootfs"
        for d in ("upper", "work", "rootfs", "state"):
            (self.directory / d).mkdir(parents=True)
        # Mount points: root of a user namespace could not make them.
        (self.directory / "upper/opt/boundary").mkdir(parents=True)
        (self.directory / "upper/opt/ca.pem").touch()
        system.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={self.directory}/upper,workdir={self.directory}/work", str(rootfs)])
        self.world.undo.push(system.run, ["umount", "-l", str(rootfs)], False)
        (self.directory / "hosts").write_text("127.0.0.1 localhost\n198.51.100.2 api.example other.example\n")
        (self.directory / "resolv.conf").write_text("nameserver 198.51.100.53\n")
        self._write_config()
        self.world.undo.push(self.runc_quietly, "delete", "--force", self.name)
        # A daemon keeps the descriptors it inherits: give it none that anybody waits for.
        log = self.directory / "log"
        with open(log, "wb") as f:
            done = system.run(self.runc("run", "--detach", "--bundle", str(self.directory), self.name), check=False, stdout=f, stderr=f)
        if done.returncode:
            raise Skip(f"runc does not run here: {log.read_text().strip()[-200:]}")
        self.pid = json.loads(system.run(self.runc("state", self.name)).stdout)["pid"]
        self._plug_cable()
        return self

    def runc(self, *arguments):
        return ["runc", "--root", str(self.directory / "state"), *arguments]

    def runc_quietly(self, *arguments):
        system.run(self.runc(*arguments), check=False)

    def _write_config(self):
        system.run(["runc", "spec", "--bundle", str(self.directory)])
        path = self.directory / "config.json"
        config = json.loads(path.read_text())
        process = config["process"]
        process.update({"terminal": False, "args": ["sleep", "600"], "noNewPrivileges": False})
        process.pop("rlimits", None)
        held = [f"CAP_{c}" for c in self.capabilities]
        process["capabilities"] = {"bounding": held, "effective": held, "permitted": held}
        config["root"] = {"path": "rootfs", "readonly": False}
        for destination, source in (("/opt/boundary", self.world.launch.parent.parent), ("/opt/ca.pem", self.world.servers.ca),
                                    ("/etc/hosts", self.directory / "hosts"), ("/etc/resolv.conf", self.directory / "resolv.conf")):
            config["mounts"].append({"destination": destination, "type": "bind", "source": str(source), "options": ["rbind", "ro"]})
        config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]})
        config["linux"]["seccomp"] = self.profile
        if self.own_users:
            config["linux"]["namespaces"].append({"type": "user"})
            for kind in ("uidMappings", "gidMappings"):
                config["linux"][kind] = [{"containerID": 0, "hostID": 200000, "size": 65536}]
        path.write_text(json.dumps(config))

    def _plug_cable(self):
        w = self.world
        w.ip(w.host, "link", "add", "to-container", "type", "veth", "peer", "name", "uplink", "netns", str(self.pid))
        w.ip(w.host, "addr", "add", f"{HOST_END}/31", "dev", "to-container")
        w.ip(w.host, "link", "set", "to-container", "up")
        inside = ["nsenter", "-t", str(self.pid), "-n", "ip"]
        for arguments in (["link", "set", "lo", "up"], ["addr", "add", f"{CONTAINER_END}/31", "dev", "uplink"], ["link", "set", "uplink", "up"],
                          ["route", "add", "default", "via", HOST_END]):
            system.run([*inside, *arguments])
        system.run(["ip", "-n", w.origin, "route", "replace", f"{CONTAINER_END}/32", "via", "198.51.100.1"])

    def __exit__(self, *_):
        self.runc_quietly("delete", "--force", self.name)
        system.run(["ip", "-n", self.world.host, "link", "del", "to-container"], check=False)
        system.run(["umount", "-l", str(self.directory / "rootfs")], check=False)

    def execute(self, argv, uid):
        """A command in the container, as `docker exec --user` does it."""
        done = system.run(self.runc("exec", "--user", f"{uid}:{uid}", "--cwd", "/tmp", "--env", "HOME=/tmp", self.name, *map(str, argv)), check=False,
                          timeout=40)
        self.world.note(f"$ {' '.join(map(str, argv))}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
        return Result(done.returncode, done.stdout.encode(), done.stderr, 0)


def launch(container, uid, *command, flags=()):
    return container.execute(["/opt/boundary/bin/boundary-launch", "--allow", "domain=api.example", "--upstream-ca", "/opt/ca.pem", *flags, "--",
                              *command], uid)


def works(container, uid):
    launch(container, uid, "curl", "-sS", "https://api.example/x").expect(0, out="GET https://api.example/x")
    launch(container, uid, "curl", "-sS", "-f", "https://other.example/x").expect(22)
    launch(container, uid, "sh", "-c", "grep CapEff /proc/self/status; exit 7").expect(7, out="0000000000000000")
    keeps_off_others(container, uid)
    requires(container, uid)
    # By the kernel's own list: /sys may show another namespace's devices. It goes with the jail's namespace, a moment later.
    wait_until(lambda: "bnd" not in container.execute(["cat", "/proc/net/dev"], uid).out, 15, "no interface is left")


# Of each process but itself that /proc shows: what of it can be opened.
LOOK_AROUND = """import os
me, seen = os.readlink("/proc/self"), 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    if pid == me: continue
    seen += 1
    for name, how in ("mem", os.O_RDWR), ("environ", os.O_RDONLY), ("root/etc/passwd", os.O_RDONLY), ("cwd/.", os.O_RDONLY):
        try: os.read(os.open(f"/proc/{pid}/{name}", how), 0); print("opened", name, "of", pid)
        except IsADirectoryError: print("opened", name, "of", pid)
        except OSError: pass
print("seen", seen)
"""


def keeps_off_others(container, uid):
    """Where the container's /proc cannot be replaced, the command sees the user's other processes, and can open nothing of them."""
    container.execute(["sh", "-c", "sleep 30 >/dev/null 2>&1 &"], uid)
    outside = container.execute(["/usr/bin/python3", "-c", LOOK_AROUND], uid).expect(0)
    check("opened mem" in outside.out, f"outside the jail nothing can be opened either: this shows nothing; {outside.out!r}")
    inside = launch(container, uid, "/usr/bin/python3", "-c", LOOK_AROUND).expect(0, out="seen")
    check("opened" not in inside.out, f"{inside.out!r}")


def requires(container, uid):
    """--require: a container that refuses mount(2) is an error, and the command has not run for a moment either."""
    mark = f"/tmp/ran-{uid}"
    for _ in range(5):
        code = launch(container, uid, "touch", mark, flags=["--require"]).code
        check(code == 125 or "net-admin-and-clone" not in container.name, f"exit code {code} though mounts are refused")
        ran = container.execute(["test", "-e", mark], uid).code == 0
        check(ran == (code == 0), f"exit code {code}, and the command {'ran' if ran else 'did not run'}")


def explains(container, uid):
    result = launch(container, uid, "true").expect(125)
    check(len(result.err.strip()) > 80, f"no explanation: {result.err!r}")


def one(world, report, name, profile_path, case, identity, uid):
    started = time.monotonic()
    status, reason = PASSED, ""
    world.begin_test("user")
    try:
        if not profile_path.exists():
            raise Skip("Docker's seccomp profile is not beside the checkout (../shared/data/docker-seccomp-default.json)")
        if os.uname().machine != "x86_64":
            raise Skip("the profile is flattened for x86_64 only")
        with Container(world, f"{name}-{identity}", profile_path, case) as container:
            (works if case[3] else explains)(container, uid)
    except Skip as skip:
        status, reason = SKIPPED, str(skip)
    except Exception as error:
        status, reason = FAILED, str(error)
    found = world.end_test(())
    if found and status == PASSED:
        status, reason = FAILED, "left behind: " + "; ".join(found)
    report.add(status, f"oci/{name}:{identity}", time.monotonic() - started, reason.replace("\n", " ")[:600], world.transcript())


def run_all(world, report, top, patterns):
    profile_path = pathlib.Path(top).parent / "shared/data/docker-seccomp-default.json"
    overlay_space = world.base / "oci"
    overlay_space.mkdir()
    # An overlay's upper directory may not lie inside its lower one.
    system.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(overlay_space)])
    world.undo.push(system.run, ["umount", "-l", str(overlay_space)])
    for name, case in CASES.items():
        for identity, uid in (("root", 0), ("user", 1000)):
            if selected(f"oci/{name}:{identity}", patterns):
                one(world, report, name, profile_path, case, identity, uid)
