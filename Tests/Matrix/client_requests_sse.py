"""requests-sse, which asks again by itself; only where the job wants it."""

from datetime import timedelta

from matrix_adapter import only_http1, pause, serve, unavailable

try:
    from importlib.metadata import version

    import requests
    from requests_sse import EventSource, InvalidStatusCodeError
    from requests_sse.client import ReadyState
except ImportError as caught:
    unavailable(caught)


CLOSED = ReadyState.CLOSED


class Over(Exception):
    """The stream is over. The library would ask again, after a cut and after an end alike."""


def run(job, answer):
    def ended():
        # What can't be opened raises an exception of its own.
        if not job.get("resume") and source.ready_state != CLOSED:
            raise Over

    only_http1(job)
    session = requests.Session()
    session.trust_env = False
    session.verify = job.get("roots") or True
    opened = []
    attempts = 5 if job.get("resume") else 0
    source = EventSource(
        job["url"],
        session=session,
        headers=job["headers"],
        reconnection_time=timedelta(milliseconds=50),
        max_connect_retry=attempts,
        on_error=ended,
        on_open=lambda: opened.append(1),
        timeout=job["deadlineMs"] / 1000,
    )
    try:
        with source:
            for event in source:
                answer.event(event.type, event.last_event_id, event.data)
                pause(job)
                if event.type == "stream_end" or (job.get("resume") and event.type == "complete"):
                    break
    except Over:
        pass
    except InvalidStatusCodeError as caught:
        answer.status = caught.status_code
        answer.fail(caught)
    answer.reconnects = max(0, len(opened) - 1)


if __name__ == "__main__":
    serve("requests-sse", version("requests-sse"), run)
