#!/usr/bin/env python3
"""Runs the commands of the documentation as they stand there, and compares what the pages say that is printed.

usage: pages.py PROGRAM    as root

Each page has folders and a network of its own, so its ports are free and its paths may be written to. What would build,
install or restart something is replaced by a program that checks what it is told (pages_stand_in.py).
"""

import difflib
import fcntl
import http.server
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STAND_INS = ["apt-get", "swift", "systemctl", "editor", "podman", "pip"]
# What these languages show is compared with what was printed. Who checks the others: DocumentationTests.
SHOWN = {"http", "sse", "json"}
CHECKED_HERE = {"sh", "console"} | SHOWN

failures = []
counts = dict.fromkeys(sorted(CHECKED_HERE), 0)


def fail(place, *reasons):
    failures.append(place)
    print(f"FAIL {place}:", *reasons, sep="\n     ")


def pages():
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("Sources/Clients/*/README.md"))]


def blocks(page):
    """The fenced blocks of a page: where each begins, its language and its lines."""
    found, block = [], None
    for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), 1):
        if line.startswith("```") and block is None:
            block = (f"{page.relative_to(ROOT)}:{number}", line[3:], [])
        elif line == "```":
            found.append(block)
            block = None
        elif block is not None:
            block[2].append(line)
    return found


class Backend(http.server.BaseHTTPRequestHandler):
    """Streams the same events whatever it is asked for."""

    protocol_version = "HTTP/1.1"
    body = b'event: token\ndata: {"n":1}\n\nevent: complete\ndata: {"type":"complete"}\n\n'

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


class Sandbox:
    """A folder to work in, with what the pages name, and the processes that a page needs."""

    def __init__(self, program):
        self.program = program
        self.scratch = Path(tempfile.mkdtemp(prefix="fermata-pages-"))
        self.folder = self.scratch / "work"
        self.processes = []
        self.backend = None
        self.make_folder()
        self.environment = {
            **os.environ,
            "PATH": f"{self.scratch}/bin:{os.environ['PATH']}",
            "FERMATA_PAGES_PROGRAM": program,
            "FERMATA_PAGES_ROOT": str(ROOT),
            "FERMATA_PAGES_SWIFT": shutil.which("swift") or "",
            "NO_PROXY": "*",
            "STATE_DIRECTORY": str(self.scratch / "state"),
        }

    def make_folder(self):
        for name in ["bin", "state", "work/.build/release", "work/.ci"]:
            (self.scratch / name).mkdir(parents=True)
        (self.scratch / "bin/fermata").symlink_to(self.program)
        for name in STAND_INS:
            (self.scratch / "bin" / name).symlink_to(HERE / "pages_stand_in.py")
        for name in [".ci/test", ".ci/deb", ".build/release/fermata"]:
            (self.folder / name).symlink_to(HERE / "pages_stand_in.py")
        for name in ["Package.swift", "Sources", "docs", ".git"]:
            (self.folder / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "flags", self.folder / "flags")
        shutil.copy(ROOT / "Sources/Packaging/container/fermata.json5", self.folder)

    def run(self, command, stdin=None):
        """How a command ended, and all that it printed."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=self.folder, env=self.environment, text=True, timeout=120,
            stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout

    def start(self, command, log="log"):
        """Starts a server and waits until it says that it is ready."""
        path = self.folder / log
        with open(path, "w") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, start_new_session=True,
            )
        self.processes.append(process)
        self.wait(lambda: re.search(r'"event":"started"|"listening":', path.read_text()) or process.poll() is not None)
        assert process.poll() is None, f"{command} did not start: {path.read_text()}"

    @staticmethod
    def wait(is_so):
        until = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < until, "nothing came of it within 30 s"
            select.select([], [], [], 0.02)

    def loads(self):
        """How often the gateway has taken a new flag file."""
        path = self.folder / "log"
        return path.read_text().count('"event":"flags_loaded"') if path.exists() else 0

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        self.processes.remove(process)

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        if self.backend:
            self.backend.shutdown()
            self.backend.server_close()
        shutil.rmtree(self.scratch)


def flags(sandbox, variant):
    code, text = sandbox.run(
        f"fermata flags set --default {variant} --reason test --file flags/stream-closing.flagd.json")
    assert code == 0, text


SERVE = "fermata serve --upstream http://127.0.0.1:9000 --flags flags/stream-closing.flagd.json --workers 2"


def prepare(page, sandbox):
    """What is there before a page's first command."""
    name = str(page.relative_to(ROOT))
    if name == "README.md":
        sandbox.backend = http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Backend)
        threading.Thread(target=sandbox.backend.serve_forever, daemon=True).start()
    if name in ["docs/protocol.md", "docs/migration.md", "docs/operations.md"]:
        sandbox.start("fermata backend --listen 127.0.0.1:9000", "backend.log")
    if name in ["docs/protocol.md", "docs/migration.md"]:
        flags(sandbox, "graceful")
        sandbox.start(SERVE)
    if name == "README.md":
        code, text = sandbox.run(
            "mkdir -p /etc/fermata && cp Sources/Packaging/debian/fermata.json5 /etc/fermata && openssl req -x509 -nodes "
            "-newkey rsa:2048 -keyout /etc/fermata/key.pem -out /etc/fermata/cert.pem -days 2 -subj /CN=localhost "
            "-addext subjectAltName=DNS:localhost")
        assert code == 0, text
    if name == "docs/configuration.md":
        (sandbox.folder / "bad.json5").write_text(
            '{ upstream: "http://127.0.0.1:9000", stream: { idle: "never" }, strem: {} }\n')
    if name == "docs/operations.md":
        operated(sandbox)


def operated(sandbox):
    """A gateway that has logged what the page asks its log for."""
    flags(sandbox, "graceful")
    (sandbox.folder / "gateway.json5").write_text("""{
      upstreams: { main: { url: "http://127.0.0.1:9000" } }, trustedProxies: ["127.0.0.0/8"],
      routes: [{ name: "chat", upstreams: "main", stream: { idle: "300ms" } }],
      flags: { file: "flags/stream-closing.flagd.json" }, workers: 2,
    }""")
    sandbox.start("fermata serve --config gateway.json5")
    for head, query in [
        ("-H 'X-Request-Id: yKLG7jQGFqpVMANJrya-2Q'", "events=2&complete=complete"),
        ("-H 'Accept: text/event-stream'", "events=1&stall=1"),
        ("", "status=503&plain=10"),
        ("-X POST -d {} -H 'Prefer: stream-end'", "events=2&cut=2"),
    ]:
        sandbox.run(f"curl -s {head} 'http://127.0.0.1:8080/v1/messages?{query}'")


# How else the text of a block comes about: its page, how it begins, and the command.
MADE_BY = [
    ("docs/protocol.md", "event: error",
     "curl -sN -H 'Prefer: stream-end' 'http://127.0.0.1:8080/script?events=1&mid=1'"),
    ("docs/protocol.md", "HTTP/1.1 502", "curl -si http://127.0.0.1:8082/"),
    ("docs/protocol.md", '{"error":{"code":"no_route"', "curl -s http://127.0.0.1:8083/elsewhere"),
    ("docs/operations.md", '{"time"', "jq -c 'select(.outcome == \"upstream_truncated\")' log"),
]
# What a command of a page must print, beyond its status.
MUST_PRINT = {
    "curl -iN http://127.0.0.1:8080/your/stream": "X-Stream-Mode: legacy",
    "curl -s http://127.0.0.1:8081/metrics | grep shadow": "fermata_shadow_",
    "curl -iN -H 'Prefer: stream-end' http://127.0.0.1:8080/your/stream": "event: stream_end",
    "curl -N --cacert": "event: complete",
    "curl -N -H 'Prefer: stream-end' http://127.0.0.1:8080/stream": "event: stream_end",
    "fermata tail": "fermata tail: completed",
    "jq -c 'select(.requestId": '"status":200',
    "jq -r": "1 main",
    "jq -c 'select(.event": '"limit":"stream.idle"',
    ".build/release/fermata bench": "CPU us/event",
    "swift build -c release && .build/release/fermata bench": "x graceful",
}


def shape(text):
    """A text without what differs from run to run."""
    text = re.sub(r"(?<![\w-])[\w-]{22}(?![\w-])", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r'("milliseconds":|after |Content-Length: |"flags":")\d+', r"\1N", text)
    text = re.sub(r'"attempts":\[\{"upstream":"[\d.:]+"', '"attempts":[{"upstream":"A"', text)
    return [line.rstrip() for line in text.replace("\r", "").strip().split("\n")]


def names(value):
    """The names of a JSON document, in its order, without its values."""
    if isinstance(value, dict):
        return {name: names(item) for name, item in value.items()}
    return [names(item) for item in value[:1]] if isinstance(value, list) else None


def is_shown(shown, printed):
    """Whether lines of a page stand, in one piece, in what was printed; `...` stands for anything."""
    patterns = [".*".join(re.escape(piece) for piece in re.split(r" ?\.\.\. ?", line)) for line in shown]
    return any(
        all(re.fullmatch(pattern, line) for pattern, line in zip(patterns, printed[start:]))
        for start in range(len(printed) - len(patterns) + 1)
    )


def compare(place, language, lines, printed):
    counts[language] += language in SHOWN
    text = "\n".join(lines)
    if language == "json":
        if names(json.loads(text)) != names(json.loads(printed.strip().split("\n")[-1])):
            fail(place, f"shown:   {text}", f"printed: {printed}")
        return
    shown, printed = shape(text + "\n"), shape(printed + "\n")
    if not is_shown(shown, printed):
        fail(place, *difflib.unified_diff(shown, printed, "shown", "printed", lineterm="", n=0))


def run_lines(place, lines, sandbox):
    """Runs the lines of a block one after the other. Returns what they printed."""
    printed = ""
    for line in filter(str.strip, lines):
        counts["sh"] += 1
        # Those are run in their order, with the right time between them, by MigrationPageTests.
        if place.startswith("docs/migration.md") and line.startswith("fermata flags "):
            continue
        if line.startswith("fermata serve "):
            for process in [item for item in sandbox.processes if item.args[2].startswith("exec fermata serve")]:
                sandbox.stop(process)
            sandbox.start(line)
            continue
        loaded = sandbox.loads()
        code, text = sandbox.run(line)
        printed += text
        if line.startswith("fermata flags "):
            sandbox.wait(lambda: sandbox.loads() > loaded)
        if code != 0:
            fail(place, line, f"ended with {code}", text)
        for start, expected in MUST_PRINT.items():
            if line.startswith(start) and expected not in text:
                fail(place, line, f"did not print {expected}", text)
    return printed


def run_console(place, lines, sandbox):
    """A command after `$`, and what it prints."""
    counts["console"] += 1
    command = lines[0].removeprefix("$ ")
    if command == lines[0]:
        return fail(place, "no command")
    _, printed = sandbox.run(command.replace("=… ", "=x "))
    if lines[1:2] and lines[1].startswith("{"):
        return compare(place, "json", lines[1:], printed)
    # A command that says nothing is shown alone; what it prints all the same is too long for the page.
    if lines[1:]:
        compare(place, "console", lines[1:], printed)


def run_page(page, sandbox):
    found = blocks(page)
    prepare(page, sandbox)
    name = str(page.relative_to(ROOT))
    if name == "docs/protocol.md":
        away = "fermata serve --upstream http://127.0.0.1:9 --listen 127.0.0.1:8082 --admin 127.0.0.1:0"
        sandbox.start(away, "away.log")
        (sandbox.folder / "routes.json5").write_text(
            '{ upstreams: { a: { url: "http://127.0.0.1:9" } }, routes: [{ name: "r", path: "/r", upstreams: "a" }] }')
        sandbox.start("fermata serve --config routes.json5 --listen 127.0.0.1:8083 --admin 127.0.0.1:0", "routes.log")
    printed = None
    for place, language, lines in found:
        if language == "sh":
            printed = run_lines(place, lines, sandbox)
            continue
        if language == "console":
            run_console(place, lines, sandbox)
        elif language == "text" and lines[0].startswith("flag legacy"):
            compare(place, "console", lines, printed or "")
        elif language in SHOWN:
            commands = [how for where, start, how in MADE_BY if where == name and lines[0].startswith(start)]
            if not commands and printed is None:
                fail(place, "nothing says how this comes about")
            else:
                compare(place, language, lines, sandbox.run(commands[0])[1] if commands else printed)
        printed = None


def start_network():
    with socket.socket() as probe:
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh22x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running


def may_have_a_network():
    """A container may mount, and yet have no network of its own: then the pages' ports have to be free."""
    probe = subprocess.run(["unshare", "--net", sys.executable, __file__, "network"], capture_output=True, text=True)
    if probe.returncode != 0:
        print("*** no network of its own:", probe.stderr.strip().splitlines()[-1:], "***")
    return probe.returncode == 0


def be_alone():
    """Files that are written to are this process's own from here on, and the network, where it may be."""
    if os.environ["FERMATA_PAGES"] == "alone":
        start_network()
    folder = tempfile.mkdtemp(prefix="fermata-pages-etc-")
    for words in [
        ["mount", "-t", "tmpfs", "tmpfs", folder], ["mount", "-t", "tmpfs", "tmpfs", "/usr/local/bin"],
        ["cp", "-a", "/etc", folder], ["mount", "--bind", folder + "/etc", "/etc"],
    ]:
        subprocess.run(words, check=True)
    return folder


def main():
    if sys.argv[1:] == ["network"]:
        return start_network()
    program = os.path.realpath(sys.argv[1])
    if "FERMATA_PAGES" not in os.environ:
        own, networks = ("alone", ["--net"]) if may_have_a_network() else ("beside others", [])
        words = ["unshare", "--mount", *networks, "--propagation", "private", sys.executable, __file__, program]
        sys.exit(subprocess.run(words, env={**os.environ, "FERMATA_PAGES": own}).returncode)
    folder = be_alone()
    for page in pages():
        if not {language for _, language, _ in blocks(page)} & CHECKED_HERE:
            continue
        print(page.relative_to(ROOT), flush=True)
        sandbox = Sandbox(program)
        try:
            run_page(page, sandbox)
        except AssertionError as error:
            fail(page.relative_to(ROOT), str(error))
        finally:
            sandbox.close()
    subprocess.run(["umount", "/etc", folder], check=True)
    os.rmdir(folder)
    if failures:
        sys.exit(f"{len(failures)} of the pages' blocks are not right")
    print("blocks:", ", ".join(f"{count} {name}" for name, count in counts.items()))
    print("all as the pages say")


main()
