"""What the programs of Tests/Matrix share: jobs come as lines of JSON, answers go out as lines, several at a time."""

import hashlib
import json
import os
import ssl
import sys
import threading
import time

UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h: the client is not installed.
LIMIT = 2000  # Bytes beyond which data is told by its digest and length.


class Unsupported(Exception):
    """The client has no such ability."""


class Missing(Exception):
    """What the job needs is not there on this machine."""


def pause(job):
    """What a slow reader does after each event, and one that stops for a while after its first."""
    time.sleep((job.get("readDelayMs") or 0) / 1000)
    time.sleep((job.pop("stallMs", None) or 0) / 1000)


def trusted(job):
    """What checks the gateway's certificate. Without TLS the system's certificates need not be read."""
    return ssl.create_default_context(cafile=job["roots"]) if job.get("roots") else False


def only_http1(job):
    """For clients that can't speak HTTP/2."""
    if job.get("http") == "2":
        raise Unsupported


def speaks_http2(job):
    return job.get("http") == "2"


class Answer:
    """What a client saw so far."""

    def __init__(self):
        self.events, self.end, self.error = [], "closed", None
        self.status, self.reconnects, self.outcome = None, 0, None

    def event(self, type, id, data):
        self.events.append([type or "", id or "", short(data)])

    def fail(self, error):
        self.end, self.error = "error", describe(error)

    def object(self):
        return {
            "events": self.events,
            "end": self.end,
            "error": self.error,
            "status": self.status,
            "reconnects": self.reconnects,
            "sawOutcome": self.outcome,
        }


def short(data):
    """Long data as its digest and length, so that answers stay short."""
    raw = data.encode()
    return data if len(raw) <= LIMIT else f"sha256:{hashlib.sha256(raw).hexdigest()}:{len(raw)}"


def describe(error):
    """The kind of an error, and its first line."""
    if isinstance(error, str):
        return error
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]


def outcome_of(data):
    """The outcome in the payload of a stream_end."""
    try:
        return json.loads(data).get("outcome")
    except (ValueError, AttributeError):
        return None


def serve(name, version, run):
    """Answers jobs until standard input ends. run(job, answer) fills the answer; what it raises is the client's error."""
    lock = threading.Lock()

    def play(job):
        answer = Answer()
        result = {"id": job.get("id"), "name": name, "version": version}
        try:
            run(job, answer)
        except Unsupported:
            result["unsupported"] = True
        except Missing as caught:
            result["missing"] = str(caught)
        except Exception as caught:
            answer.fail(caught)
        result.update(answer.object())
        with lock:
            print(json.dumps(result), flush=True)

    for line in sys.stdin:
        threading.Thread(target=play, args=(json.loads(line),), daemon=True).start()
    os._exit(0)


def unavailable(what):
    print(what, file=sys.stderr)
    sys.exit(UNAVAILABLE)
