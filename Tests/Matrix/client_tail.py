"""fermata tail: client_tail.py PROGRAM"""

import json
import subprocess
import sys

from matrix_adapter import Unsupported, outcome_of, pause, serve

program = sys.argv[1]
version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split()[1]


def run(job, answer):
    command = [program, "tail", "--json"]
    prefers = job["capability"] == "stream-end"
    headers = {**job["headers"], **({} if prefers else {"Prefer": "stream-end=0"})}
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    if job["method"] == "POST":
        command += ["--data", job.get("body") or ""]
    if job.get("roots"):
        command += ["--roots", job["roots"]]
    done = subprocess.Popen(command + [job["url"]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
    # A pipe that nobody reads from stops it.
    first = done.stdout.read(1) if job.get("stallMs") else b""
    pause(job)
    try:
        rest, _ = done.communicate(timeout=job["deadlineMs"] / 1000)
    except subprocess.TimeoutExpired:
        done.kill()
        raise
    id = ""
    for line in (first + rest).decode().splitlines():
        event = json.loads(line)
        if "conclusion" in event:
            kind, text = event["conclusion"], event["text"]
            continue
        id = event.get("id", id)
        answer.event(event["event"], id, event["data"])
        if event["event"] == "stream_end":
            answer.outcome = outcome_of(event["data"])
    if "nothing more" in text:
        answer.status = 204
    elif done.returncode in (1, 4, 5):
        answer.fail(f"exit status {done.returncode}")
    if kind == "no_stream" and "status" in text:
        answer.status = int(text.split()[-1])
    answer.reconnects = 1 if job.get("resume") and done.returncode == 0 else 0


if __name__ == "__main__":
    serve("fermata tail", version, run)
