"""The programs people run in the jail, unchanged and without settings of their own."""

import os
import re
import shutil

import system
from jail import jail, shell
from registry import check, test
from report import Skip

GIT = "domain=git.example"


@test(root=True)
def wget(w):
    for scheme in ("http", "https"):
        jail(w, ["wget", "-q", "-O", "-", f"{scheme}://api.example/v1/x"], "domain=api.example").expect(0, out=f"GET {scheme}://api.example/v1/x")


@test(root=True)
def python_urllib(w):
    script = "import urllib.request as u; print(u.urlopen('%s://api.example/v1/x').read())"
    for scheme in ("http", "https"):
        jail(w, ["/usr/bin/python3", "-c", script % scheme], "domain=api.example").expect(0, out=f"GET {scheme}://api.example/v1/x")


@test(root=True)
def node_fetch(w):
    if not shutil.which("node", path=w.identity.environment()["PATH"]):
        raise Skip("no node on this machine")
    script = "fetch('%s://%s.example/v1/x').then(r => r.text().then(t => console.log(r.status, t)))"
    for scheme in ("http", "https"):
        jail(w, ["node", "-e", script % (scheme, "api")], "domain=api.example").expect(0, out=f"200 GET {scheme}://api.example/v1/x")
        jail(w, ["node", "-e", script % (scheme, "two")], "domain=api.example").expect(0, out="403 ")


@test(root=True)
def git_clone_smart(w):
    target = w.identity.home / "clone-smart"
    shell(w, f"git clone -q https://git.example/git/project.git {target} && git -C {target} log --format=%s", GIT).expect(0, out="one")
    shutil.rmtree(target)


@test()
def git_clone_dumb(w):
    target = w.identity.home / "clone-dumb"
    shell(w, f"git clone -q https://git.example/dumb/project.git {target} && git -C {target} log --format=%s", GIT).expect(0, out="one")
    shutil.rmtree(target)


@test()
def git_denied(w):
    result = jail(w, ["git", "clone", "-q", "https://git.example/git/project.git", w.identity.home / "no"], "domain=api.example")
    check(result.code == 128 and "403" in result.err, f"exit {result.code}: {result.err!r}")


@test()
def ca_variables(w):
    """Each variable names a readable file that holds our authority and the system's."""
    names = ("SSL_CERT_FILE CURL_CA_BUNDLE GIT_SSL_CAINFO REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS PIP_CERT CARGO_HTTP_CAINFO AWS_CA_BUNDLE "
             "DENO_CERT NIX_SSL_CERT_FILE BUNDLE_SSL_CA_CERT HEX_CACERTS_PATH GRPC_DEFAULT_SSL_ROOTS_FILE_PATH "
             "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE npm_config_cafile JULIA_SSL_CA_ROOTS_PATH")
    script = f"for n in {names}; do eval f=\\$$n; grep -c BEGIN.CERTIFICATE \"$f\" || echo missing $n; done; test -d \"$SSL_CERT_DIR\" || echo no dir"
    result = shell(w, script).expect(0)
    counts = result.out.split()
    with open("/etc/ssl/certs/ca-certificates.crt", encoding="utf-8") as f:
        system_count = f.read().count("BEGIN CERTIFICATE")
    check(set(counts) == {str(system_count + 1)} and len(counts) == len(names.split()), f"{result.out!r}, the system has {system_count}")


@test()
def proxy_variables_are_dropped(w):
    environment = {"http_proxy": "http://198.51.100.2:1", "HTTPS_PROXY": "http://198.51.100.2:1", "no_proxy": "*", "ALL_PROXY": "http://198.51.100.2:1"}
    jail(w, ["sh", "-c", "env | grep -i _proxy; curl -sS http://api.example/x"], "domain=api.example", environment=environment).expect(
        0, out="GET http://api.example/x")
    result = shell(w, "env | grep -ic _proxy", environment=environment)
    check(result.out.strip() == "0", f"{result.out!r}")


# The machine's own network: registries as they are configured on it --------------------------------------------------


def machine_jail(w, command, allow, flags=(), timeout=120):
    """boundary-launch by the test user in the machine's own network namespace."""
    import subprocess

    argv = [*w.user.argv(), str(w.launch)]
    for rule in allow:
        argv += ["--allow", rule]
    w.note("$ " + " ".join(map(str, [*argv, *flags, "--", *command])))
    settings = {k: v for k, v in os.environ.items() if k.lower().startswith("npm_config_") or k in ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")}
    process = w.popen([*argv, *flags, "--", *command], netns="machine-as-root", environment=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=timeout)
    w.note(f"exit {process.returncode}\n{out.decode(errors='replace')}\n{err.decode(errors='replace')}")
    if process.returncode:
        outside = w.popen([*w.user.argv(), *command], netns="machine-as-root", environment=settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        reason = outside.communicate(timeout=timeout)[1].decode(errors="replace")
        if outside.returncode:
            raise Skip(f"fails without the jail, too: {reason.strip()[-200:]}")
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def reachable_host(url):
    """The host of a registry's URL; skips when it does not answer outside the jail."""
    host = re.sub(r"^[a-z]+://([^/:]+).*", r"\1", url.strip())
    answer = system.run(["curl", "-sS", "-o", "/dev/null", "--max-time", "8", url.strip()], check=False)
    if not host or answer.returncode != 0:
        raise Skip(f"offline: the machine's registry does not answer ({answer.stderr.strip()[:80]})")
    return host


def rules_for(host, extra=""):
    """A rule for the host, with the addresses it has where those are not global (a mirror in a private network)."""
    import ipaddress
    import socket

    addresses = {ipaddress.ip_address(a[4][0]) for a in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    documentation = [ipaddress.ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
    special = [str(a) for a in addresses if not a.is_global and not any(a in n for n in documentation)]
    return [f"domain={host}{extra}", *([f"domain={host}{extra} ip={','.join(special)}"] if special else [])]


@test(timeout=200)
def npm_install(w):
    """npm against the machine's registry: a small package with a dependency."""
    if not shutil.which("npm", path=w.user.environment()["PATH"]):
        raise Skip("no npm on this machine")
    registry = system.run(["npm", "config", "get", "registry"], check=False, cwd="/").stdout
    host = reachable_host(registry)
    project = w.user.home / "npm"
    project.mkdir()
    os.chown(project, w.user.uid, w.user.gid)
    (project / "package.json").write_text('{"name": "t", "version": "1.0.0", "dependencies": {"has-flag": "4.0.0"}}')
    command = ["sh", "-c", f"cd {project} && npm install --no-audit --no-fund --registry {registry.strip()} && ls node_modules"]
    code, out, err = machine_jail(w, command, rules_for(host))
    shutil.rmtree(project)
    check(code == 0 and "has-flag" in out, f"exit {code}: {err[-300:]}")


@test(timeout=200)
def apt_update_and_download(w):
    """apt as an unprivileged user with its own state directories: the release files, and one package."""
    lines = system.run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT) $(SIGNED_BY)", "Created-By: Packages"], check=False).stdout
    debian = [l.split() for l in lines.splitlines() if re.match(r"https?://\S*debian\S* \S+ main", l)]
    if not debian:
        raise Skip("no Debian source among the machine's")
    site, release = debian[0][0], debian[0][1]
    host = reachable_host(site)
    state = w.user.home / "apt"
    script = f"""set -e
mkdir -p {state}/lists/partial {state}/cache/archives/partial; cd {state}
echo 'deb [trusted=yes] {site} {release} main' >list
o="-o Dir::Etc::SourceList={state}/list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists={state}/lists -o Dir::Cache={state}/cache -o Debug::NoLocking=1 -o Acquire::Languages=none -o APT::Sandbox::User="
apt-get $o -q update && apt-get $o -q download hostname && ls
"""
    code, out, err = machine_jail(w, ["sh", "-c", script], rules_for(host, " method=GET"), timeout=180)
    shutil.rmtree(state, ignore_errors=True)
    check(code == 0 and "hostname_" in out, f"exit {code}: {err[-300:]}")
    check(not re.search(r"^(Err|W:|E:)", out + err, re.M), f"errors in {out[-300:]} {err[-300:]}")
