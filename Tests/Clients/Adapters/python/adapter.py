#!/usr/bin/env python3
"""Plays jobs to fermata_client, a line of JSON each: adapter.py sync|asyncio|trio"""

import asyncio
import json
import os
import sys
import threading
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../../.."))
sys.path.insert(0, os.path.join(ROOT, "Sources/Clients/Python/src"))

import anyio  # noqa: E402
import fermata_client as fc  # noqa: E402

FEATURES = [
    "feed",
    "resume",
    "post",
    "cancel",
    "abort",
    "timers",
    "order",
    "filter",
    "dedupe",
    "redirect",
    "dynamic-headers",
    "unicode-id",
    "early-hints",
    "bytes",
    "backoff",
]
SECONDS = {
    "headTimeoutMs": "head_timeout",
    "firstTokenTimeoutMs": "first_token_timeout",
    "deadTimeoutMs": "dead_timeout",
    "endWaitMs": "end_wait",
    "hardEndWaitMs": "hard_end_wait",
    "drainMs": "drain_wait",
    "cancelWaitMs": "cancel_wait",
    "orderWaitMs": "order_wait",
}
PLAIN = {
    "profile": "profile",
    "optIn": "opt_in",
    "resume": "resume",
    "streamPath": "stream_path",
    "runPath": "run_path",
    "maxEventBytes": "max_event_bytes",
    "order": "order",
    "filterStreamId": "filter_stream_id",
}
RETRY = {"retryBaseMs": "base", "retryMaxMs": "max", "retryAfterMaxMs": "retry_after_max"}


def arguments(job, notices):
    given = job.get("options") or {}
    retry = {name: given[key] / 1000 for key, name in RETRY.items() if key in given}
    if "maxRetries" in given:
        retry["attempts"] = given["maxRetries"]
    settings = {name: given[key] / 1000 for key, name in SECONDS.items() if key in given}
    settings.update({name: given[key] for key, name in PLAIN.items() if key in given})
    headers = [tuple(pair) for pair in job.get("headers") or []]
    dynamic = job.get("dynamicHeaders")

    def fresh(attempt):
        return headers + [tuple(dynamic[min(max(attempt, 1), len(dynamic)) - 1])]

    return dict(
        method=job["method"],
        url=job["url"],
        content=job.get("body"),
        headers=fresh if dynamic else headers,
        options=fc.StreamOptions(retry=fc.RetryPolicy(**retry), **settings),
        handlers=fc.Handlers(on_late=lambda: notices.append("late")),
        last_event_id=given.get("lastEventId", ""),
        idempotency_key=given.get("idempotencyKey"),
    )


def answer(events, notices, result):
    error = result.error
    return {
        "events": events,
        "notices": notices,
        "result": {
            "outcome": result.outcome,
            "complete": result.complete,
            "verified": result.verified,
            "error": error
            and {
                "code": error.code,
                "status": error.status,
                "retryAfterMs": None if error.retry_after is None else round(error.retry_after * 1000),
            },
            "lastEventId": result.last_event_id,
            "bytes": result.bytes,
            "streamId": result.stream_id,
            "mode": result.mode,
        },
    }


def row(message):
    if isinstance(message, fc.StreamReset):
        return ["@reset", message.reason]
    return [message.type, message.data, message.id]


def due(job, count):
    return [action["do"] for action in job.get("actions", []) if action.get("after_events") == count]


def play_sync(job):
    events, notices = [], []
    with fc.stream(**arguments(job, notices)) as stream:

        def act(what):
            if what == "close":
                stream.close()
            else:
                stream.cancel()
                if what == "cancel_twice":
                    stream.cancel()

        timers = [
            threading.Timer(action["after_ms"] / 1000, act, [action["do"]])
            for action in job.get("actions", [])
            if "after_ms" in action
        ]
        for timer in timers:
            timer.daemon = True
            timer.start()
        try:
            for message in stream:
                events.append(row(message))
                for what in due(job, len(events)):
                    act(what)
                time.sleep(job.get("consumerDelayMs", 0) / 1000)
        except fc.FermataError:
            pass
        for timer in timers:
            timer.cancel()
    return answer(events, notices, stream.result)


async def play_async(job):
    events, notices = [], []
    async with fc.astream(**arguments(job, notices)) as stream:

        async def act(what):
            if what == "close":
                await stream.aclose()
            else:
                await stream.cancel()
                if what == "cancel_twice":
                    await stream.cancel()

        async def later(action):
            await anyio.sleep(action["after_ms"] / 1000)
            await act(action["do"])

        async with anyio.create_task_group() as group:
            for action in job.get("actions", []):
                if "after_ms" in action:
                    group.start_soon(later, action)
            try:
                async for message in stream:
                    events.append(row(message))
                    for what in due(job, len(events)):
                        await act(what)
                    if job.get("consumerDelayMs"):
                        await anyio.sleep(job["consumerDelayMs"] / 1000)
            except fc.FermataError:
                pass
            group.cancel_scope.cancel()
    return answer(events, notices, stream.result)


async def serve_async():
    while True:
        line = await anyio.to_thread.run_sync(sys.stdin.readline)
        if not line:
            return
        print(json.dumps(await play_async(json.loads(line))), flush=True)


def main():
    kind = sys.argv[1] if len(sys.argv) > 1 else "asyncio"
    print(json.dumps({"client": f"fermata-client (Python, {kind}) {fc.__version__}", "features": FEATURES}), flush=True)
    if kind == "sync":
        for line in sys.stdin:
            print(json.dumps(play_sync(json.loads(line))), flush=True)
    elif kind == "trio":
        import trio

        trio.run(serve_async)
    else:
        asyncio.run(serve_async())


if __name__ == "__main__":
    main()
