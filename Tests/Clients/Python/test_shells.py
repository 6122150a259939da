"""What the shells must not do: leave connections, threads, tasks or secrets behind, or read more than is wanted."""

import asyncio
import gc
import logging
import threading
import time
import warnings

import anyio
import fermata_client as fc
import httpx
import pytest
import trio

from case_checks import wait_until
from case_server import CaseServer
from conftest import KINDS

ID = "K4iOEHrIqKEd8FsJcnNBlQ"
PLAIN = [["Content-Type", "text/event-stream"]]
GRACEFUL = [*PLAIN, ["X-Stream-Mode", "graceful"], ["X-Stream-Id", ID]]
END = 'event: stream_end\ndata: {"type":"stream_end","outcome":"completed","events":0,"lastEventId":""}\n\n'
FAST = fc.StreamOptions(retry=fc.RetryPolicy(base=0.02, attempts=1))
TICKS = {"headers": PLAIN, "segments": [{"text": f"data: {n}\n\n", "wait": 30} for n in range(300)]}


@pytest.fixture(scope="module")
def server():
    return CaseServer()


def run(kind, body):
    if kind == "trio":
        trio.run(body)
    else:
        asyncio.run(body())


def left(play):
    return wait_until(lambda: play.exchanges and play.exchanges[0]["left"] is not None, 3)


def start(server, name, *exchanges):
    return server.start({"name": name, "server": list(exchanges)})


@pytest.mark.parametrize("way", ["break", "raise", "close"])
def test_leaving_a_loop_closes_the_connection_sync(server, way):
    play, url = start(server, f"sync-{way}", TICKS)
    stream = fc.stream("GET", url)
    try:
        for _ in stream:
            if way == "break":
                break
            if way == "raise":
                raise KeyError
            stream.close()
    except KeyError:
        pass
    assert left(play)
    assert stream.result.outcome == "aborted"


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
@pytest.mark.parametrize("way", ["break", "raise", "aclose", "cancel"])
def test_leaving_a_loop_closes_the_connection_async(server, way, kind):
    play, url = start(server, f"{kind}-{way}", TICKS)

    async def loop(stream):
        async for _ in stream:
            if way == "break":
                break
            if way == "raise":
                raise KeyError
            if way == "aclose":
                await stream.aclose()

    async def body():
        stream = fc.astream("GET", url)
        if way == "cancel":
            with anyio.CancelScope() as scope:
                async with stream, anyio.create_task_group() as group:
                    group.start_soon(loop, stream)
                    while not play.exchanges:
                        await anyio.sleep(0.01)
                    scope.cancel()
        else:
            try:
                await loop(stream)
            except KeyError:
                pass
        with anyio.fail_after(2):
            while not (play.exchanges and play.exchanges[0]["left"] is not None):
                await anyio.sleep(0.01)
        assert stream.result.outcome == "aborted"

    run(kind, body)


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_another_task_may_close_a_stream(server, kind):
    play, url = start(server, f"{kind}-other-task", {"headers": PLAIN, "segments": [], "end": "hold"})

    async def body():
        stream = fc.astream("GET", url)
        seen = []

        async def read():
            async for message in stream:
                seen.append(message)
            seen.append("over")

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            with anyio.fail_after(5):
                while not play.exchanges:
                    await anyio.sleep(0.01)
                await stream.aclose()
                await stream.aclose()
        assert seen == ["over"]

    run(kind, body)
    assert left(play)


@pytest.mark.parametrize("kind", KINDS)
def test_a_forgotten_stream_warns_and_closes(server, kind):
    play, url = start(server, f"{kind}-forgotten", TICKS)

    def forget_sync():
        stream = fc.stream("GET", url)
        stream.__enter__()
        wait_until(lambda: play.requests, 2)

    async def forget_async():
        async def inner():
            stream = fc.astream("GET", url)
            await stream.__aenter__()
            with anyio.fail_after(5):
                while not play.exchanges:
                    await anyio.sleep(0.01)

        await inner()
        gc.collect()
        await anyio.sleep(0.3)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if kind == "sync":
            forget_sync()
        else:
            run(kind, forget_async)
        gc.collect()
        assert left(play)
    assert any(issubclass(warning.category, ResourceWarning) for warning in caught)


def test_no_thread_stays(server):
    _, url = start(server, "threads", *[{"headers": PLAIN, "segments": [{"text": "data: [DONE]\n\n"}]}] * 20)
    for _ in range(20):
        with fc.stream("GET", url) as stream:
            assert len(list(stream)) == 1
    assert wait_until(lambda: not any(t.name.startswith("fermata") for t in threading.enumerate()), 2)


def test_no_task_and_no_unseen_error_stays(server):
    _, url = start(server, "tasks", *[{"end": "refuse"}] * 20)
    problems = []

    async def body():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        for _ in range(5):
            async with fc.astream("GET", url, options=FAST) as stream:
                await anyio.sleep(0.2)
            assert stream.result.outcome in ("no_stream", "aborted")
        gc.collect()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(body())
    assert problems == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_read_timeout_of_httpx_does_not_end_quiet_streams(server, kind):
    quiet = {"headers": PLAIN, "segments": [{"text": "data: a\n\n"}, {"text": "data: [DONE]\n\n", "wait": 2000}]}
    play, url = start(server, f"{kind}-quiet", quiet)
    given = fc.StreamOptions(head_timeout=0.3)

    async def body():
        async with fc.astream("GET", url, options=given) as stream:
            assert len([message async for message in stream]) == 2

    if kind == "sync":
        with fc.stream("GET", url, options=given) as stream:
            assert len(list(stream)) == 2
    else:
        run(kind, body)
    assert len(play.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_client_keeps_its_connection(kind):
    server = CaseServer()
    kept = {"headers": GRACEFUL, "segments": [{"text": END}], "keep": True}
    play, url = start(server, f"{kind}-kept", *[kept] * 3)

    async def body():
        async with httpx.AsyncClient() as client:
            for _ in range(3):
                async with fc.astream("GET", url, client=client) as stream:
                    assert [message async for message in stream] == []
                assert stream.result.verified
                assert server.accepted == 1

    if kind == "sync":
        with httpx.Client() as client:
            for _ in range(3):
                with fc.stream("GET", url, client=client) as stream:
                    assert list(stream) == []
                assert server.accepted == 1
    else:
        run(kind, body)
    assert len(play.requests) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_has_one_consumer(server, kind):
    _, url = start(server, f"{kind}-consumers", {"headers": PLAIN, "segments": [{"text": "data: [DONE]\n\n"}]})

    async def body():
        async with fc.astream("GET", url) as stream:
            assert len([message async for message in stream]) == 1
            with pytest.raises(RuntimeError, match="one consumer"):
                stream.__aiter__()

    if kind == "sync":
        with fc.stream("GET", url) as stream:
            assert len(list(stream)) == 1
            with pytest.raises(RuntimeError, match="one consumer"):
                iter(stream)
    else:
        run(kind, body)


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_is_read_than_the_queue_holds(server, kind):
    flood = {"headers": PLAIN, "segments": [{"text": "", "repeat": ["data: " + "x" * 1000 + "\n\n", 30_000]}]}
    _, url = start(server, f"{kind}-flood", flood)
    given = fc.StreamOptions(high_water=256 * 1024)

    def standstill(stream):
        """Tells, once a second, whether the queue is full and nothing more was read in that second."""
        before = 0
        for _ in range(60):
            yield before > 200_000 and stream.bytes_received == before
            before = stream.bytes_received
        raise AssertionError(f"{before} bytes were read in a minute")

    async def body():
        async with fc.astream("GET", url, options=given) as stream:
            for is_full in standstill(stream):
                if is_full:
                    break
                await anyio.sleep(1)
            assert stream.bytes_received < 1_000_000
            assert len([message async for message in stream]) == 30_000

    if kind == "sync":
        with fc.stream("GET", url, options=given) as stream:
            for is_full in standstill(stream):
                if is_full:
                    break
                time.sleep(1)
            assert stream.bytes_received < 1_000_000
            assert len(list(stream)) == 30_000
    else:
        run(kind, body)


@pytest.mark.parametrize("kind", KINDS)
def test_silence_behind_a_queue_that_was_full_is_noticed(server, kind):
    event = {"text": "data: " + "x" * 1000 + "\n\n"}
    _, url = start(server, f"{kind}-silent-behind", {"headers": PLAIN, "segments": [event], "end": "hold"})
    given = fc.StreamOptions(high_water=500, dead_timeout=0.5)
    begun = time.monotonic()

    async def body():
        async with fc.astream("GET", url, options=given) as stream:
            with pytest.raises(fc.FermataError, match="cut"):
                async for _ in stream:
                    await anyio.sleep(0.3)

    if kind == "sync":
        with fc.stream("GET", url, options=given) as stream, pytest.raises(fc.FermataError, match="cut"):
            for _ in stream:
                time.sleep(0.3)
    else:
        run(kind, body)
    assert time.monotonic() - begun < 5


def test_an_abort_is_a_debug_line_and_nothing_secret_is_logged(server, caplog):
    play, url = start(server, "logs", TICKS)
    caplog.set_level(logging.DEBUG, logger="fermata_client")
    stream = fc.stream("POST", url + "?key=secret1", json={"prompt": "secret2"}, headers={"Authorization": "secret3"})
    for _ in stream:
        break
    assert left(play)
    with fc.stream("GET", "http://127.0.0.1:1/?key=secret1", options=FAST) as refused, pytest.raises(fc.FermataError):
        list(refused)
    records = [record for record in caplog.records if record.name == "fermata_client"]
    assert {record.getMessage() for record in records} <= {
        "SSE open", "SSE end", "SSE connection error", "SSE reconnect", "Agent run error",
    }  # fmt: skip
    keys = {
        "SSE open": {"runId", "attempt", "mode"}, "SSE connection error": {"runId", "attempt", "status"},
        "SSE reconnect": {"runId", "delayMs"}, "SSE end": {"runId", "outcome", "events", "bytes"},
        "Agent run error": {"runId", "outcome", "events", "bytes", "errorData"},
    }  # fmt: skip
    assert all(set(record.fermata) == keys[record.getMessage()] for record in records)
    assert {"SSE connection error", "Agent run error"} <= {record.getMessage() for record in records}
    aborted = [record for record in records if getattr(record, "fermata", {}).get("outcome") == "aborted"]
    assert all(record.levelno == logging.DEBUG for record in aborted)
    assert "secret" not in repr([record.__dict__ for record in records])


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_that_raises_does_not_end_the_stream(server, kind):
    def fails(*_):
        raise RuntimeError("mine")

    _, url = start(server, f"{kind}-handler", {"headers": GRACEFUL, "segments": [{"text": END}]})
    given = fc.Handlers(on_open=fails, on_state=fails)

    async def body():
        async with fc.astream("GET", url, handlers=given) as stream:
            assert [message async for message in stream] == []
        assert stream.result.complete

    if kind == "sync":
        with fc.stream("GET", url, handlers=given) as stream:
            assert list(stream) == []
    else:
        run(kind, body)


def test_a_hundred_streams_at_once(server):
    ticks = {"headers": PLAIN, "segments": [{"text": f"data: {n}\n\n", "wait": 5} for n in range(20)]}
    _, url = start(server, "hundred", *[ticks] * 100)
    whole = []

    async def one(client):
        async with fc.astream("GET", url, client=client) as stream:
            whole.append(len([message async for message in stream]))

    async def body():
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(limits=limits) as client, anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(one, client)

    asyncio.run(body())
    assert whole == [20] * 100


@pytest.mark.parametrize("kind", KINDS)
def test_a_response_of_another_library_is_checked_and_never_resumed(server, kind):
    cut = {"headers": GRACEFUL, "segments": [{"text": f"id: {ID}.1\ndata: a\n\n"}], "end": "fin"}
    play, url = start(server, f"{kind}-wrapped", cut, cut)

    async def body():
        async with httpx.AsyncClient() as client:
            response = await client.send(client.build_request("GET", url), stream=True)
            async with fc.awrap(response) as stream:
                with pytest.raises(fc.FermataError, match="cut"):
                    async for _ in stream:
                        pass
        assert response.is_closed

    if kind == "sync":
        with httpx.Client() as client:
            response = client.send(client.build_request("GET", url), stream=True)
            with fc.wrap(response) as stream, pytest.raises(fc.FermataError, match="cut"):
                list(stream)
        assert response.is_closed
    else:
        run(kind, body)
    assert len(play.requests) == 1


def test_a_fresh_headers_function_may_be_async_and_its_error_reaches_the_caller(server):
    _, url = start(server, "async-headers", {"headers": GRACEFUL, "segments": [{"text": END}]})

    async def fresh(attempt):
        await anyio.sleep(0)
        return {"X-Attempt": str(attempt)}

    async def fails(attempt):
        raise RuntimeError("no token")

    async def body():
        async with fc.astream("GET", url, headers=fresh) as stream:
            assert [message async for message in stream] == []
        async with fc.astream("GET", url, headers=fails) as stream:
            with pytest.raises(fc.FermataError, match="no token"):
                await stream.__aiter__().__anext__()

    asyncio.run(body())


@pytest.mark.parametrize("wrong", [{"url": "ftp://x/"}, {"url": "/relative"}, {"json": {}, "content": "x"}, {"last_event_id": "a\nb"}])  # fmt: skip  # noqa: E501
def test_wrong_arguments_are_refused_before_anything_is_sent(wrong):
    arguments = {"url": "http://127.0.0.1:1/", **wrong}
    with pytest.raises(ValueError):
        fc.stream("GET", **arguments)
    with pytest.raises(ValueError):
        fc.astream("GET", **arguments)


def test_the_address_of_a_client_is_the_base(server):
    _, url = start(server, "base", {"headers": GRACEFUL, "segments": [{"text": END}]})
    with httpx.Client(base_url=url[:-2]) as client, fc.stream("GET", "/s", client=client) as stream:
        assert list(stream) == []
