"""What `compare.py` compares: each proxy, configured for keep-alive and started on its cores."""

import contextlib
import dataclasses
import hashlib
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

KEY = "sk-bench"
STOCK = "stock pingora"
STOCK_PROFILED = "stock pingora, with a profile"
PLAIN = "tollgate, without a profile"
START_SECONDS = 10

NGINX = """
worker_processes {threads}; worker_rlimit_nofile 65536; daemon off;
pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  keepalive_requests 1000000000; client_max_body_size 64m; client_body_buffer_size 4m;
  http2_max_concurrent_streams 1000;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{tls_port} ssl http2;
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""

HAPROXY = """
global
  nbthread {threads}
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:{port}
  bind 127.0.0.1:{tls_port} ssl crt {dir}/both.pem alpn h2,http/1.1
  default_backend model
backend model
  server model 127.0.0.1:{upstream}
"""


@dataclasses.dataclass
class Peer:
    """Something to put under load."""
    name: str
    url: str
    tls_url: str
    # The processes it works in; none for what is not measured.
    pids: list
    version: str

    def resident_bytes(self):
        text = (pathlib.Path(f"/proc/{pid}/status").read_text() for pid in self.pids)
        return sum(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024 for status in text)


def start_all(stack, args, folder):
    """The model server, then each proxy in front of it."""
    certificate(folder)
    log = stack.enter_context(open(folder / "log", "w"))
    upstream = free_port()
    # Streams are as long as a request's `max_tokens` says, up to this.
    process(stack, args.upstream_cores, str(args.load), "mock", "--listen", f"127.0.0.1:{upstream}",
            "--threads", str(args.upstream_threads), "--tokens", "200", port=upstream, log=log)
    starting = Starting(stack, args, folder, upstream, log)
    started = [Peer("direct", f"http://127.0.0.1:{upstream}", None, [], "")]
    able = {"tollgate": tollgate, PLAIN: plain, STOCK: stock, STOCK_PROFILED: stock_profiled,
            "nginx": nginx, "haproxy": haproxy}
    wanted = (start(starting) for name, start in able.items() if re.search(args.peers, name))
    return starting, started + [peer for peer in wanted if peer]


class Starting:
    """What each proxy needs to be started."""

    def __init__(self, stack, args, folder, upstream, log):
        self.stack, self.args, self.folder, self.log = stack, args, folder, log
        self.upstream = upstream

    def within(self, stack):
        """The same, for processes that end with that stack."""
        return Starting(stack, self.args, self.folder, self.upstream, self.log)

    def place(self):
        return {"dir": self.folder, "port": free_port(), "tls_port": free_port(),
                "upstream": self.upstream, "threads": self.args.proxy_threads}

    def peer(self, name, place, version, *command):
        started = process(self.stack, self.args.proxy_cores, *command, port=place["port"],
                          log=self.log)
        wait_for(place["tls_port"])
        # nginx works in its children.
        children = pathlib.Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text()
        return Peer(name, f"http://127.0.0.1:{place['port']}",
                    f"https://127.0.0.1:{place['tls_port']}",
                    [started.pid, *map(int, children.split())], version)


def tollgate(starting, name="tollgate", binary=None, **changes):
    """The gateway as `bench.yaml` has it, but for the changed values of its marks."""
    place, binary = starting.place(), str(binary or starting.args.bin / "tollgate")
    text = (pathlib.Path(__file__).parent / "bench.yaml").read_text()
    values = {"PORT": place["port"], "TLS_PORT": place["tls_port"], "ADMIN": free_port(),
              "THREADS": place["threads"], "HASH": output(binary, "key", "hash", KEY).strip(),
              "DIR": place["dir"], "PROVIDERS": "", "MODELS": "", "KEYS": "", "QUOTA": "",
              **changes}
    for mark, value in values.items():
        text = text.replace(f"@{mark}@", str(value))
    # Among what was put in, too.
    text = text.replace("@UPSTREAM@", str(place["upstream"]))
    config = starting.folder / f"{place['port']}.yaml"
    config.write_text(text)
    version = output(binary, "--version").strip()
    return starting.peer(name, place, version, binary, "run", "--config", str(config))


def plain(starting):
    """The same sources, compiled without a profile, where that was done."""
    binary = starting.args.plain / "tollgate"
    return tollgate(starting, PLAIN, binary) if binary.exists() else None


MANY = "tollgate with 1,000 keys, 100 aliases, 1,000 endpoints"
MORE_THREADS = "tollgate with twice the threads"
NO_QUOTA = "tollgate without limits, budgets and prices"
KEYS = "tollgate with 1,000 keys"
KEYS_LIMITED = "tollgate with limits of 1,000 keys"

# Keys that take turns under load: as many as a mix may have entries.
TURNS = [f"sk-bench-{number}" for number in range(100)]


def variant(starting, name):
    """Tollgate in another configuration, for the scenarios that ask for it."""
    if name == MORE_THREADS:
        return tollgate(starting, name, THREADS=2 * starting.args.proxy_threads)
    if name == NO_QUOTA:
        return tollgate(starting, name, QUOTA="#")
    if name in (KEYS, KEYS_LIMITED):
        return tollgate(starting, name, QUOTA="#", KEYS=keys(name == KEYS_LIMITED))
    return many(starting, name)


def keys(limited):
    """A thousand keys, of which some take turns; their limits are never met."""
    limits = "    limits: {requests_per_minute: 1000000000, tokens_per_minute: 1000000000000}\n"
    secrets = [*TURNS, *(f"sk-idle-{number}" for number in range(1000 - len(TURNS)))]
    return "".join(f"  - id: key-{number}\n    tenant: bench\n"
                   f"    hash: sha256:{hashlib.sha256(secret.encode()).hexdigest()}\n"
                   f"{limits if limited else ''}" for number, secret in enumerate(secrets))


def many(starting, name):
    """As many as a large company has of everything."""
    endpoints = [[f"{{url: 'http://127.0.0.1:@UPSTREAM@/v1', name: p{provider}-{number}}}"
                  for number in range(10)] for provider in range(100)]
    providers = [f"  p{number}:\n    health: {{path: /health}}\n"
                 f"    endpoints: [{', '.join(some)}]\n" for number, some in enumerate(endpoints)]
    models = [f"  m{number}:\n    candidates: [{{provider: p{number}, model: gpt-mock}}]\n"
              for number in range(100)]
    return tollgate(starting, name, PROVIDERS="".join(providers), MODELS="".join(models),
                    KEYS=keys(limited=True))


def stock(starting, name=STOCK, folder=None):
    place = starting.place()
    binary = str((folder or starting.args.plain) / "examples" / "stock_pingora")
    return starting.peer(
        name, place, "Pingora as in Cargo.lock, passing bytes through", binary,
        f"127.0.0.1:{place['port']}", f"127.0.0.1:{place['upstream']}", str(place["threads"]),
        "true", f"127.0.0.1:{place['tls_port']}", f"{place['dir']}/cert.pem",
        f"{place['dir']}/key.pem")


def stock_profiled(starting):
    """Laid out by its own profile, where `make pgo` was run."""
    folder = pathlib.Path(__file__).parents[1] / "target/pgo/release"
    is_there = (folder / "examples" / "stock_pingora").exists()
    return stock(starting, STOCK_PROFILED, folder) if is_there else None


def nginx(starting):
    binary = find("nginx")
    if not binary:
        return None
    place, conf = starting.place(), starting.folder / "nginx.conf"
    conf.write_text(NGINX.format(**place))
    version = subprocess.run([binary, "-v"], capture_output=True, text=True).stderr.strip()
    return starting.peer("nginx", place, version, binary, "-c", str(conf), "-e",
                         str(starting.folder / "e"))


def haproxy(starting):
    binary = find("haproxy")
    if not binary:
        return None
    place, conf = starting.place(), starting.folder / "haproxy.cfg"
    conf.write_text(HAPROXY.format(**place))
    version = output(binary, "-v").splitlines()[0]
    return starting.peer("haproxy", place, version, binary, "-db", "-f", str(conf))


def process(stack, cores, *command, port, log):
    """Starts a command on its cores and waits until it listens; it is stopped with the stack."""
    started = subprocess.Popen(["taskset", "-c", cores, *command], stdout=log, stderr=log)

    def stop():
        started.send_signal(signal.SIGTERM if "nginx" in command[0] else signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(5)
            return
        started.kill()

    stack.callback(stop)
    if not wait_for(port, lambda: started.poll() is None):
        log.flush()
        sys.exit(f"{command[0]} does not listen on port {port}:\n"
                 + pathlib.Path(log.name).read_text())
    return started


def wait_for(port, lives=lambda: True):
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and lives():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.02)
    return False


def certificate(folder):
    """One that nobody trusts, for all proxies."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                    "/CN=localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True)
    # HAProxy wants both in one file.
    (folder / "both.pem").write_text(
        (folder / "cert.pem").read_text() + (folder / "key.pem").read_text())


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def find(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
