"""Our Python library."""

import os
import sys

from matrix_adapter import pause, serve, speaks_http2, trusted, unavailable

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Sources/Clients/Python/src"))
try:
    import fermata_client as fc
    import httpx
except ImportError as caught:
    unavailable(caught)


def run(job, answer):
    headers = [(name, value) for name, value in job["headers"].items() if name != "Last-Event-ID"]
    asked = []

    def fresh(attempt):
        asked.append(attempt)
        return headers

    retry = fc.RetryPolicy(base=0.05, max=0.2, attempts=5 if job.get("resume") else 0)
    options = fc.StreamOptions(
        retry=retry, opt_in="header" if job["capability"] == "stream-end" else "off", head_timeout=8
    )
    client = httpx.Client(http2=True, verify=trusted(job)) if speaks_http2(job) else None
    with fc.stream(
        job["method"],
        job["url"],
        content=job.get("body"),
        headers=fresh,
        client=client,
        options=options,
        last_event_id=job.get("lastEventId") or "",
    ) as stream:
        try:
            for message in stream:
                if isinstance(message, fc.StreamReset):
                    answer.event("@reset", "", message.reason)
                else:
                    answer.event(message.type, message.id, message.data)
                pause(job)
        except fc.FermataError:
            pass
        result = stream.result
    if client:
        client.close()
    answer.outcome = result.outcome
    if result.error is not None:
        answer.status = result.error.status
        answer.fail(f"{result.error.code}")
    elif result.complete and not answer.events:
        answer.status = 204
    answer.reconnects = max(0, len(asked) - 1)


if __name__ == "__main__":
    serve("fermata-client (Python)", fc.__version__, run)
