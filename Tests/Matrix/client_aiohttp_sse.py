"""aiohttp-sse-client2, which asks again by itself; only where the job wants it."""

import asyncio
from datetime import timedelta

from matrix_adapter import only_http1, serve, trusted, unavailable

try:
    from importlib.metadata import version

    import aiohttp
    from aiohttp_sse_client2 import client as sse
except ImportError as caught:
    unavailable(caught)


CLOSED = sse.READY_STATE_CLOSED


class Over(Exception):
    """The stream is over. The library would ask again, after a cut and after an end alike."""


async def read(job, answer):
    def ended():
        # What can't be opened raises an exception of its own.
        if not job.get("resume") and source.ready_state != CLOSED:
            raise Over

    opened = []
    secured = {"ssl": trusted(job)} if job.get("roots") else {}
    timeout = aiohttp.ClientTimeout(total=job["deadlineMs"] / 1000)
    source = sse.EventSource(
        job["url"],
        headers=job["headers"],
        reconnection_time=timedelta(milliseconds=50),
        max_connect_retry=5 if job.get("resume") else 0,
        on_error=ended,
        on_open=lambda: opened.append(1),
        timeout=timeout,
        **secured,
    )
    try:
        async with source:
            async for event in source:
                answer.event(event.type, event.last_event_id, event.data)
                await asyncio.sleep(((job.get("readDelayMs") or 0) + (job.pop("stallMs", None) or 0)) / 1000)
                if event.type == "stream_end" or (job.get("resume") and event.type == "complete"):
                    break
    except Over:
        pass
    finally:
        answer.reconnects = max(0, len(opened) - 1)


def run(job, answer):
    only_http1(job)
    asyncio.run(read(job, answer))


if __name__ == "__main__":
    serve("aiohttp-sse-client2", version("aiohttp-sse-client2"), run)
