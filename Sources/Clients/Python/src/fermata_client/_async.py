"""The asynchronous shell, for asyncio and trio: one task reads ahead and runs the clocks, the consumer takes."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import time
import warnings
from types import TracebackType
from typing import Any, AsyncIterator, Awaitable, Callable, Optional, Type, Union

import anyio
import httpx

from ._events import Message
from ._machine import Effect, Machine, Phase
from ._options import StreamOptions
from ._requests import HeadersInput, RequestPlan
from ._result import StreamResult
from ._shell import (
    CANCEL_TIMEOUT,
    FINAL_ERRORS,
    READ_SIZE_HINT,
    Call,
    Handlers,
    describe,
    forget_read_timeout,
    limits,
    list_of,
    log_cancel_failure,
    make_call,
    raise_for,
    raw_headers,
    report,
    request_headers,
    ssl_context,
    wrapped_call,
)

AsyncHeaders = Union[HeadersInput, Callable[[int], Union[HeadersInput, Awaitable[HeadersInput]]]]
CLOSE_TIMEOUT = 5.0


def _trio() -> Any:
    """The trio module if this is code of a trio task."""
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return None
    return trio


class _Engine:
    """Everything of a stream but the object that the caller holds, so that this one can be collected.

    Its task is no child of the caller's: any task may close the stream, and no scope is left open in the caller's.
    """

    def __init__(
        self, call: Call, client: Optional[httpx.AsyncClient], response: Optional[httpx.Response] = None
    ) -> None:
        self.call = call
        self.machine: Machine = call.machine()
        self._owns_client = client is None and response is None
        self._client = client
        self._given = response
        self._started = False
        self._task: Any = None
        self._run_soon: Optional[Callable[[Callable[[], None]], Any]] = None
        self._arrived = anyio.Event()
        self._room = anyio.Event()
        self._wake = anyio.Event()
        self._asleep_until: Optional[float] = None
        self._finished = anyio.Event()
        self._deleted = anyio.Event()
        self._exchange: Optional[anyio.CancelScope] = None
        self._exchange_number = 0
        self._group: Any = None

    # Called by the consumer's tasks.

    def start(self) -> None:
        if self._started:
            return
        self._started = True
        self.machine.start(time.monotonic())
        trio = _trio()
        if trio is not None:
            token = trio.lowlevel.current_trio_token()
            self._run_soon = lambda do: token.run_sync_soon(do)
            context = contextvars.copy_context()
            trio.lowlevel.spawn_system_task(self._run_for_trio, name="fermata-client", context=context)
        else:
            loop = asyncio.get_running_loop()
            self._run_soon = loop.call_soon_threadsafe
            self._task = loop.create_task(self._run(), name="fermata-client")

    async def next(self) -> Optional[Message]:
        """The next message; None at the end."""
        self.start()
        while True:
            message = self.machine.take(time.monotonic())
            if message is not None:
                if not self.machine.is_full:
                    self._room.set()
                    # The clocks that stood still while the queue was full go on.
                    self._wake.set()
                return message
            if self.machine.phase is Phase.CLOSED:
                return None
            self._arrived = anyio.Event()
            await self._arrived.wait()

    async def close(self) -> None:
        self.machine.close(time.monotonic())
        if not self._started:
            self._started = True
            if self._given is not None:
                await self._given.aclose()
            return
        self._settle()
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(CLOSE_TIMEOUT + self.call.options.drain_wait):
                await self._finished.wait()

    def abandon(self) -> None:
        """As `close`, from a finalizer, which may run in any thread."""
        if self._run_soon is None or self.machine.phase is Phase.CLOSED:
            return
        try:
            self._run_soon(self._close_now)
        except Exception:  # The loop is over, and its tasks with it.
            pass

    def _close_now(self) -> None:
        self.machine.close(time.monotonic())
        self._settle()

    async def cancel(self) -> None:
        self.machine.cancel(time.monotonic())
        sends = any(effect.kind == "cancel" for effect in self.machine.effects)
        self._settle()
        if sends:
            with anyio.move_on_after(CANCEL_TIMEOUT):
                await self._deleted.wait()

    @property
    def is_running(self) -> bool:
        return self._started and self.machine.phase is not Phase.CLOSED

    def _settle(self) -> None:
        """After each input: what the machine decided is done."""
        machine = self.machine
        while machine.effects:
            effect = machine.effects.popleft()
            if effect.kind != "cancel":
                report(machine, self.call.handlers, effect)
            elif self._group is not None:
                self._group.start_soon(self._delete, effect)
        if machine.has_items or machine.phase is Phase.CLOSED:
            self._arrived.set()
        if machine.phase is Phase.CLOSED or machine.exchange != self._exchange_number:
            self._room.set()
        if self._exchange is not None and self._exchange_number != machine.exchange:
            self._exchange.cancel()
        deadline = machine.deadline()
        asleep = self._asleep_until
        if machine.phase is Phase.CLOSED or (deadline is not None and (asleep is None or deadline < asleep)):
            self._wake.set()

    # The reading task.

    async def _run_for_trio(self) -> None:
        # An error that leaves a system task ends the whole program.
        try:
            await self._run()
        except Exception as error:
            self._fail(error)

    async def _run(self) -> None:
        client = self._client or (httpx.AsyncClient(verify=ssl_context()) if self._owns_client else None)
        self._client = client
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                group.start_soon(self._watch_clocks)
                try:
                    await self._exchanges()
                except Exception as error:
                    self._fail(error)
                self._wake.set()
        finally:
            self._group = None
            self._close_now()
            with anyio.CancelScope(shield=True):
                if self._owns_client and client is not None:
                    with anyio.move_on_after(CLOSE_TIMEOUT):
                        await client.aclose()
            self._finished.set()

    def _fail(self, error: Exception) -> None:
        self.machine.fail(describe(error))
        self._settle()

    async def _watch_clocks(self) -> None:
        machine = self.machine
        while not machine.is_over:
            machine.tick(time.monotonic())
            self._settle()
            self._wake = anyio.Event()
            deadline = self._asleep_until = machine.deadline()
            if machine.is_over:
                return
            if deadline is None:
                await self._wake.wait()
            else:
                with anyio.move_on_after(max(deadline - time.monotonic(), 0.0)):
                    await self._wake.wait()

    async def _exchanges(self) -> None:
        machine = self.machine
        while not machine.is_over:
            if machine.phase is not Phase.SEND:
                self._room = anyio.Event()
                await self._room.wait()
                continue
            plan = machine.plan(time.monotonic())
            self._exchange_number = plan.exchange
            self._settle()
            with anyio.CancelScope() as scope:
                self._exchange = scope
                await self._send(plan)
            self._exchange = None
            self._settle()

    async def _callers_headers(self, attempt: int) -> HeadersInput:
        headers = self.call.headers
        made = headers(attempt) if callable(headers) else headers
        if inspect.isawaitable(made):
            made = await made
        fields: HeadersInput = made
        return fields

    async def _send(self, plan: RequestPlan) -> None:
        number = plan.exchange
        if self._given is not None:
            response, self._given = self._given, None
            await self._read(response, number)
            return
        client = self._client
        assert client is not None
        headers = request_headers(self.call, await self._callers_headers(plan.attempt), plan)
        try:
            request = client.build_request(
                plan.method,
                plan.url,
                headers=headers,
                content=self.call.body if plan.with_body else None,
                timeout=limits(self.call),
            )
            response = await client.send(request, stream=True, follow_redirects=True)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            self._over(number, False, describe(error), isinstance(error, FINAL_ERRORS))
            return
        await self._read(response, number)

    async def _read(self, response: httpx.Response, number: int) -> None:
        machine = self.machine
        forget_read_timeout(response)
        clean, message = True, ""
        try:
            fields = response.headers.multi_items()
            machine.head(number, time.monotonic(), time.time(), response.status_code, fields)
            self._settle()
            pieces = response.aiter_bytes()
            while await self._wants_more(number):
                piece = await _next(pieces)
                if piece is None:
                    break
                machine.data(number, time.monotonic(), piece)
                self._settle()
            await self._drain(pieces, number)
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError) as error:
            clean, message = False, describe(error)
        finally:
            with anyio.CancelScope(shield=True):
                with anyio.move_on_after(CLOSE_TIMEOUT):
                    await response.aclose()
        self._over(number, clean, message)

    def _over(self, number: int, clean: bool, message: str, is_final: bool = False) -> None:
        self.machine.over(number, time.monotonic(), clean, message, is_final)
        self._settle()

    async def _wants_more(self, number: int) -> bool:
        """Whether to read on. Waits while enough is read ahead."""
        machine = self.machine
        while machine.exchange == number and machine.phase is Phase.BODY and machine.is_full:
            self._room = anyio.Event()
            await self._room.wait()
        return machine.exchange == number and machine.phase is not Phase.CLOSED

    async def _drain(self, pieces: AsyncIterator[bytes], number: int) -> None:
        """After stream_end: reads to the end of the response, so that the caller's client can reuse the connection."""
        machine = self.machine
        if not machine.drains or machine.exchange != number or self._owns_client:
            return
        with anyio.move_on_after(self.call.options.drain_wait):
            drained = 0
            while drained <= READ_SIZE_HINT:
                piece = await _next(pieces)
                if piece is None:
                    return
                drained += len(piece)

    async def _delete(self, effect: Effect) -> None:
        client = self._client
        try:
            with anyio.fail_after(CANCEL_TIMEOUT):
                headers = raw_headers(list_of(await self._callers_headers(0)))
                if client is not None:
                    await client.request("DELETE", effect.value, headers=headers, timeout=CANCEL_TIMEOUT)
                else:
                    async with httpx.AsyncClient(timeout=CANCEL_TIMEOUT, verify=ssl_context()) as own:
                        await own.request("DELETE", effect.value, headers=headers)
        except Exception as error:
            log_cancel_failure(self.machine, error)
        finally:
            self._deleted.set()


async def _next(pieces: AsyncIterator[bytes]) -> Optional[bytes]:
    try:
        return await pieces.__anext__()
    except StopAsyncIteration:
        return None


class _Messages:
    """The iterator of an ``async for`` loop. Leaving the loop closes the stream.

    It is no generator: nothing has to be awaited, in some other task, when it is dropped.
    """

    def __init__(self, stream: "AsyncStream") -> None:
        self._stream = stream
        self._over = False

    def __aiter__(self) -> "_Messages":
        return self

    async def __anext__(self) -> Message:
        if self._over:
            raise StopAsyncIteration
        message = await self._stream._engine.next()
        if message is not None:
            return message
        self._over = True
        raise_for(self._stream.result)
        raise StopAsyncIteration

    def __del__(self) -> None:
        if not self._over:
            self._stream._engine.abandon()


class AsyncStream:
    """A stream: iterate it once, inside ``async with``. Made by `fermata_client.astream`."""

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._is_consumed = False

    async def __aenter__(self) -> "AsyncStream":
        self._engine.start()
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Message]:
        """Events and resets, once. Raises FermataError after the last one if the stream is not complete.

        Raises RuntimeError at a second loop: a stream has one consumer.
        """
        if self._is_consumed:
            raise RuntimeError("a stream has one consumer, and is iterated once")
        self._is_consumed = True
        return _Messages(self)

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None and engine.is_running:
            warnings.warn("a stream was never closed: use `async with`", ResourceWarning, stacklevel=1, source=self)
            engine.abandon()

    async def aclose(self) -> None:
        """Ends the request and nothing else: a kept run goes on. May be called from any task of the loop, and twice."""
        await self._engine.close()

    async def cancel(self) -> None:
        """Stops the run at the server. Iterate on to receive its end. May be called from any task, and twice."""
        await self._engine.cancel()

    @property
    def result(self) -> StreamResult:
        """How the stream ended. Raises RuntimeError while it is open."""
        result = self._engine.machine.result
        if result is None:
            raise RuntimeError("the stream is still open")
        return result

    @property
    def state(self) -> str:
        """``connecting``, ``open``, ``completing``, ``reconnecting`` or ``closed``."""
        return self._engine.machine.state

    @property
    def last_event_id(self) -> str:
        """The id of the last event taken: where another stream would continue."""
        return self._engine.machine.last_event_id

    @property
    def stream_id(self) -> Optional[str]:
        """The gateway's id of the stream; None before the head, and from a plain server."""
        return self._engine.machine.stream_id

    @property
    def mode(self) -> Optional[str]:
        """``graceful``, ``legacy``, ``shield``; None before the head, and from a plain server."""
        return self._engine.machine.mode

    @property
    def bytes_received(self) -> int:
        """Bytes of all response bodies, after content decoding."""
        return self._engine.machine.bytes

    @property
    def events_received(self) -> int:
        """Counted events since the last reset."""
        return self._engine.machine.events


def astream(
    method: str,
    url: Union[str, httpx.URL],
    *,
    json: Any = None,
    content: Union[bytes, str, None] = None,
    headers: AsyncHeaders = None,
    client: Optional[httpx.AsyncClient] = None,
    options: Optional[StreamOptions] = None,
    handlers: Optional[Handlers] = None,
    last_event_id: str = "",
    run_id: Optional[str] = None,
    idempotency_key: Optional[str] = None,
) -> AsyncStream:
    """Opens a stream, as `stream` does, for asyncio and trio. The request is sent when ``async with`` begins.

    `headers` may also be an async function.
    """
    call = make_call(
        method,
        url,
        json=json,
        content=content,
        headers=headers,
        options=options,
        handlers=handlers,
        last_event_id=last_event_id,
        run_id=run_id,
        idempotency_key=idempotency_key,
        client=client,
    )
    return AsyncStream(_Engine(call, client))


def awrap(
    response: httpx.Response, *, options: Optional[StreamOptions] = None, handlers: Optional[Handlers] = None
) -> AsyncStream:
    """Reads and checks a streaming response that another library opened. It is never resumed."""
    return AsyncStream(_Engine(wrapped_call(response, options, handlers), None, response))
