"""What the measures of shared runs start on loopback: servers, gateways, and requests that open runs."""
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

FLAGS = """{ "flags": { "stream-closing": { "state": "ENABLED", "defaultVariant": "graceful",
  "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" } } } }"""
REQUEST = """POST /?events={events}&interval={interval}&size=120&complete=complete HTTP/1.1\r
Host: h\r
Accept: text/event-stream\r
Prefer: stream-end\r
Authorization: Bearer measure\r
Idempotency-Key: k-{key}\r
Content-Length: 0\r
\r
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Processes:
    """What was started, and is ended at the end."""

    def __init__(self, folder):
        self.folder, self.all = Path(folder), []

    def start(self, name, *words):
        with open(self.folder / f"{name}.log", "w") as log:
            process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
        self.all.append(process)
        return process

    def end(self):
        for process in self.all:
            process.kill()
            process.wait()


def wait_for(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on port {port}")


def start_gateways(processes, program, redis_url, backend_port, *, count=2, store="redis", run_options=""):
    """Gateways before one backend: the port of each for clients, and for operators, and its process."""
    folder = processes.folder
    (folder / "flags.json").write_text(FLAGS)
    (folder / "fermata.json5").write_text(f"""
      {{ upstreams: {{ main: {{ url: "http://127.0.0.1:{backend_port}" }} }},
        runs: {{ redis: {{ url: "{redis_url}" }} }},
        routes: [{{ name: "all", path: "/*", upstreams: ["main"], runs: {{ store: "{store}" {run_options} }} }}] }}""")
    gateways = []
    for number in range(count):
        port, admin = free_port(), free_port()
        process = processes.start(
            f"gateway-{number}", program, "serve", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}",
            "--config", str(folder / "fermata.json5"), "--flags", str(folder / "flags.json"))
        wait_for(port)
        gateways.append((port, admin, process))
    return gateways


def start_backend(processes, program):
    port = free_port()
    processes.start("backend", program, "backend", "--listen", f"127.0.0.1:{port}")
    wait_for(port)
    return port


def allow_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
