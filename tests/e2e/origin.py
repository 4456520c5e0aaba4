"""The origins: a certificate authority, nginx, a server for what nginx does not do, and name service."""

import os
import pathlib
import subprocess

import system
from registry import wait_until
from system import run

HERE = pathlib.Path(__file__).resolve().parent
GOOD_NAMES = ("api.example www.example other.example two.example raw.example files.example *.files.example b.a.files.example "
              "git.example private.example self.example loop.example keep.example dns-only.example bench.example")

CA_CONFIG = """
[ca]
default_ca = d
[d]
dir = {dir}
new_certs_dir = {dir}
database = {dir}/index.txt
serial = {dir}/serial
default_md = sha256
policy = p
x509_extensions = e
unique_subject = no
copy_extensions = copy
[p]
commonName = supplied
[e]
basicConstraints = CA:false
"""

NGINX_CONFIG = """
user nobody nogroup;
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    keepalive_requests 100000;
    keepalive_timeout 60s;
    ssl_session_cache shared:s:1m;
    upstream odd {{ server 198.51.100.2:8080; }}
    server {{
        listen 80 default_server; listen 443 ssl default_server;
        server_name _;
        ssl_certificate {ca}/good.pem; ssl_certificate_key {ca}/good.key;
        location / {{ default_type text/plain; return 200 "$request_method $scheme://$host$request_uri\\n"; }}
        location = /connection {{ default_type text/plain; return 200 "$connection $connection_requests\\n"; }}
        location = /1k {{ default_type text/plain; return 200 "{kilobyte}"; }}
        location /files/ {{ alias {dir}/files/; }}
        location /dumb/ {{ alias {dir}/repos/; }}
        location /odd/ {{ proxy_pass http://odd/; proxy_buffering off; proxy_request_buffering off; proxy_http_version 1.1;
                          client_max_body_size 0; proxy_read_timeout 60s; proxy_set_header Host $host; }}
        location /git/ {{ proxy_pass http://odd/git/; proxy_buffering off; client_max_body_size 0; }}
    }}
    server {{ listen 443 ssl; server_name expired.example; ssl_certificate {ca}/expired.pem; ssl_certificate_key {ca}/expired.key;
              return 200 "SECRET\\n"; }}
    server {{ listen 443 ssl; server_name wrongname.example; ssl_certificate {ca}/wrongname.pem; ssl_certificate_key {ca}/wrongname.key;
              return 200 "SECRET\\n"; }}
    server {{ listen 443 ssl; server_name unknownca.example; ssl_certificate {ca}/unknownca.pem; ssl_certificate_key {ca}/unknownca.key;
              return 200 "SECRET\\n"; }}
}}
"""


def make_certificates(directory):
    """ca.pem, and NAME.pem with NAME.key for good, expired, wrongname, and unknownca of another authority."""
    directory.mkdir()
    for ca in ("ca", "otherca"):
        openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN=Boundary test {ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    (directory / "index.txt").touch()
    (directory / "serial").write_text("1000\n")
    (directory / "ca.cnf").write_text(CA_CONFIG.format(dir=directory))
    issue(directory, "good", GOOD_NAMES.split())
    issue(directory, "expired", ["expired.example"], dates=("20200101000000Z", "20210101000000Z"))
    issue(directory, "wrongname", ["elsewhere.example"])
    issue(directory, "unknownca", ["unknownca.example"], ca="otherca")
    for key in directory.glob("*.key"):
        key.chmod(0o600)


def issue(directory, name, hosts, ca="ca", dates=()):
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={hosts[0]}",
            "-addext", "subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts), "-keyout", f"{name}.key", "-out", f"{name}.csr")
    when = ["-startdate", dates[0], "-enddate", dates[1]] if dates else ["-days", "1"]
    openssl(directory, "ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", f"{ca}.pem", "-keyfile", f"{ca}.key", *when,
            "-in", f"{name}.csr", "-out", f"{name}.pem")


def openssl(directory, *arguments):
    run(["openssl", *arguments], cwd=directory, env={**os.environ, "OPENSSL_CONF": "/dev/null"})


class Servers:
    def __init__(self, world):
        self.world = world
        self.directory = world.base / "origin"
        self.directory.mkdir()
        self.certificates = world.base / "ca"
        make_certificates(self.certificates)
        self.ca = self.certificates / "ca.pem"
        self.key = self.certificates / "good.key"
        self._make_files()
        self._make_repository()
        config = self.directory / "nginx.conf"
        config.write_text(NGINX_CONFIG.format(dir=self.directory, ca=self.certificates, kilobyte="x" * 1023 + "\\n"))
        self.dns_log = self.directory / "dns.log"
        self.spawn("dns", ["/usr/bin/python3", HERE / "dns_stub.py", "198.51.100.53", self.dns_log])
        self.spawn("odd", ["/usr/bin/python3", HERE / "origin_server.py", "198.51.100.2", "8080", "8443",
                           self.certificates / "good.pem", self.key, self.directory / "repos"])
        self.spawn("nginx", ["nginx", "-c", config, "-e", self.directory / "error.log", "-p", self.directory])
        self.spawn("host-service", ["/usr/bin/python3", HERE / "host_service.py", "8088"], netns=world.host)
        self._wait_ready()

    def _make_files(self):
        files = self.directory / "files"
        files.mkdir()
        for name, size in (("1g", 1 << 30), ("64m", 64 << 20)):
            with open(files / name, "wb") as f:
                f.truncate(size)
        (files / "10m").write_bytes(os.urandom(10 << 20))

    def _make_repository(self):
        repos, work = self.directory / "repos", self.directory / "work"
        repos.mkdir()
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "GIT_CONFIG_NOSYSTEM": "1"}
        for argv in (["git", "init", "-q", "-b", "main", work],
                     ["git", "-C", work, "-c", "user.name=t", "-c", "user.email=t@t.example", "commit", "-q", "--allow-empty", "-m", "one"],
                     ["git", "clone", "-q", "--bare", work, repos / "project.git"],
                     ["git", "-C", repos / "project.git", "update-server-info"]):
            run(list(map(str, argv)), env=environment)

    def spawn(self, name, argv, netns=None):
        """A server for the length of the run."""
        log = open(self.directory / f"{name}.log", "wb")
        process = subprocess.Popen(["ip", "netns", "exec", netns or self.world.origin, *map(str, argv)], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log, start_new_session=True)
        log.close()
        self.world.undo.push(_end, process)
        return process

    def _wait_ready(self):
        for port in (80, 443, 8080, 8443):
            probe = ["python3", "-c", f"import socket; socket.create_connection(('198.51.100.2', {port}), 1)"]
            wait_until(lambda p=probe: self.world.run_in(p, user=self.world.root).returncode == 0, 10, f"origin on port {port}")

    def dns_queries(self):
        return self.dns_log.read_text().splitlines() if self.dns_log.exists() else []


def _end(process):
    """Ends a server and what it started; it leads its own session."""
    started = system.descendants(process.pid)
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in started:
        system.kill(pid)
