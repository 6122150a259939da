"""curl, and the simplest parser of what it prints."""

import json
import shutil
import subprocess

from matrix_adapter import pause, serve, speaks_http2, unavailable

curl = shutil.which("curl") or unavailable("curl is not installed")
version = subprocess.run([curl, "--version"], capture_output=True, text=True).stdout.split()[1]


def events_of(body):
    if body.startswith("\ufeff"):
        body = body[1:]
    type, data, id = "", [], ""
    for line in body.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if data:
                yield type, id, "\n".join(data)
            type, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "event":
            type = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            id = value


def run(job, answer):
    if job.get("resume"):
        from matrix_adapter import Unsupported

        raise Unsupported
    command = [curl, "-sSN", "--max-time", str(job["deadlineMs"] / 1000), "-w", "%{stderr}%{http_code}"]
    if job.get("roots"):
        command += ["--cacert", job["roots"], "--http2" if speaks_http2(job) else "--http1.1"]
    if job.get("readDelayMs"):
        command += ["--limit-rate", "4M"]
    if job["method"] != "GET":
        command += ["-X", job["method"], "--data", job.get("body") or ""]
    for name, value in job["headers"].items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.Popen(command + [job["url"]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    # A pipe that nobody reads from stops curl.
    first = done.stdout.read(1) if job.get("stallMs") else b""
    job["readDelayMs"] = 0
    pause(job)
    rest, said = done.communicate()
    for type, id, data in events_of((first + rest).decode("utf-8", "replace")):
        answer.event(type, id, data)
    said = said.decode()
    answer.status = int(said.strip()[-3:] or 0)
    if answer.status >= 400:
        answer.events = []
    if done.returncode == 28:
        answer.end = "timeout"
    elif done.returncode:
        answer.fail(f"exit status {done.returncode}")
    elif answer.status >= 400:
        answer.fail(f"status {answer.status}")


if __name__ == "__main__":
    serve("curl", version, run)
