"""Our Swift library: the adapter that its conformance cases use, a process for each job."""

import functools
import json
import os
import subprocess

from matrix_adapter import Missing, serve, unavailable

TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
program = os.path.join(root, ".build/debug/FermataClientAdapter")
if not os.access(program, os.X_OK):
    unavailable(f"{program} is not built: swift build --build-tests")


@functools.cache
def own_system():
    """What makes a system of its own for a program."""
    command = ["unshare", "-rm"]
    if subprocess.run(command + ["true"], stderr=subprocess.DEVNULL).returncode:
        raise Missing("user namespaces (unshare -rm) are not allowed here")
    return command


def run(job, answer):
    options = {"optIn": "header" if job["capability"] == "stream-end" else "off", "retryBaseMs": 50, "retryMaxMs": 200}
    options["maxRetries"] = 5 if job.get("resume") else 0
    if job.get("lastEventId"):
        options["lastEventId"] = job["lastEventId"]
    headers = [[name, value] for name, value in job["headers"].items() if name != "Last-Event-ID"]
    wanted = {
        "url": job["url"],
        "method": job["method"],
        "body": job.get("body"),
        "headers": headers,
        "options": options,
        "consumerDelayMs": job.get("readDelayMs") or None,
    }
    command = [program]
    if job.get("roots"):
        # URLSession on Linux trusts what is in the system's file, so it gets a system of its own.
        command = own_system() + ["sh", "-c", 'mount --bind "$1" "$2" && exec "$3"', "-"]
        command += [job["roots"], TRUSTED, program]
    line = json.dumps({name: value for name, value in wanted.items() if value is not None})
    done = subprocess.run(
        command, input=line + "\n", capture_output=True, text=True, timeout=job["deadlineMs"] / 1000
    )
    told = json.loads(done.stdout.splitlines()[1])
    for type, data, id in told["events"]:
        answer.event(type, id, data)
    result = told["result"]
    answer.outcome = result["outcome"]
    if result.get("error"):
        answer.status = result["error"].get("status")
        answer.fail(result["error"]["code"])
    elif result["complete"] and not answer.events:
        answer.status = 204
    # The library makes no count of its connections; a job that is cut and whole has come back.
    answer.reconnects = 1 if job.get("resume") and result["complete"] else 0


if __name__ == "__main__":
    serve("FermataClient (Swift)", "1.0.0", run)
