"""The synchronous shell: one thread reads ahead, the consumer's thread runs the clocks."""

from __future__ import annotations

import socket
import threading
import time
import warnings
from types import TracebackType
from typing import Any, Callable, Iterator, Optional, Type, Union

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

SyncHeaders = Union[HeadersInput, Callable[[int], HeadersInput]]
# The consumer's thread looks up at least this often, so that Ctrl-C works on every platform.
LONGEST_WAIT = 1.0


class _Exchange:
    """One request of the reading thread, which another thread may interrupt."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.network: Any = None
        self.is_shared = False
        self.interrupted = False

    def trace(self, name: str, info: Any) -> None:
        if name == "connection.connect_tcp.complete" or name == "connection.start_tls.complete":
            self.network = info.get("return_value")
            if self.interrupted:
                self.interrupt()

    def interrupt(self) -> None:
        """Ends a read that waits. A connection of HTTP/2 belongs to others too and is left alone."""
        self.interrupted = True
        network = self.network
        if network is None or self.is_shared:
            return
        try:
            connection = network.get_extra_info("socket")
            if connection is not None:
                # Of the plain socket, also below TLS: the reading thread uses the TLS object meanwhile.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass


class _Engine:
    """Everything of a stream but the object that the caller holds, so that this one can be collected."""

    def __init__(self, call: Call, client: Optional[httpx.Client], response: Optional[httpx.Response] = None) -> None:
        self.call = call
        self.machine: Machine = call.machine()
        self.changed = threading.Condition(threading.RLock())
        self._owns_client = client is None and response is None
        self._client = client
        self._given = response
        self._thread: Optional[threading.Thread] = None
        self._exchange: Optional[_Exchange] = None
        self._deleting: Optional[threading.Thread] = None

    # Called by the consumer's thread.

    def start(self) -> None:
        with self.changed:
            if self._thread is not None:
                return
            self.machine.start(time.monotonic())
            self._thread = threading.Thread(target=self._run, name="fermata-client", daemon=True)
            self._thread.start()

    def next(self) -> Optional[Message]:
        """The next message; None at the end."""
        self.start()
        while True:
            with self.changed:
                now = time.monotonic()
                message = self.machine.take(now)
                if message is None:
                    self.machine.tick(now)
                    self._settle()
                    message = self.machine.take(now)
                elif not self.machine.is_full:
                    self.changed.notify_all()
                if message is None and not self.machine.effects:
                    if self.machine.phase is Phase.CLOSED:
                        return None
                    self.changed.wait(self._patience(now))
            self._report()
            if message is not None:
                return message

    def close(self) -> None:
        with self.changed:
            self.machine.close(time.monotonic())
            self._settle()
            thread = self._thread
            if thread is None and self._given is not None:
                self._given.close()
        self._report()
        if thread is not None and thread is not threading.current_thread():
            # A connection that is being opened, or whose socket is not known, can't be interrupted: not waited for.
            thread.join(self.call.options.drain_wait + 0.5)

    def abandon(self) -> None:
        """As `close`, from a finalizer: nothing is waited for."""
        with self.changed:
            self.machine.close(time.monotonic())
            self._settle()
            if self._thread is None and self._given is not None:
                self._given.close()

    def cancel(self) -> None:
        with self.changed:
            self.machine.cancel(time.monotonic())
            self._settle()
            deleting = self._deleting
        if deleting is not None:
            deleting.join(CANCEL_TIMEOUT)

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self.machine.phase is not Phase.CLOSED

    def _patience(self, now: float) -> float:
        deadline = self.machine.deadline()
        return LONGEST_WAIT if deadline is None else min(max(deadline - now, 0.0), LONGEST_WAIT)

    def _report(self) -> None:
        while True:
            with self.changed:
                if not self.machine.effects:
                    return
                effect = self.machine.effects.popleft()
            report(self.machine, self.call.handlers, effect)

    def _settle(self) -> None:
        """After each input, with the lock held: what the machine decided is done."""
        for effect in [effect for effect in self.machine.effects if effect.kind == "cancel"]:
            self.machine.effects.remove(effect)
            self._deleting = threading.Thread(target=self._delete, args=(effect,), name="fermata-cancel", daemon=True)
            self._deleting.start()
        exchange = self._exchange
        if exchange is not None and exchange.number != self.machine.exchange:
            exchange.interrupt()
        self.changed.notify_all()

    def _delete(self, effect: Effect) -> None:
        client = self._client
        try:
            headers = self._callers_headers(0)
            timeout = httpx.Timeout(CANCEL_TIMEOUT)
            if client is not None and not self._owns_client:
                client.request("DELETE", effect.value, headers=raw_headers(list_of(headers)), timeout=timeout)
            else:
                with httpx.Client(timeout=timeout, verify=ssl_context()) as own:
                    own.request("DELETE", effect.value, headers=raw_headers(list_of(headers)))
        except Exception as error:
            log_cancel_failure(self.machine, error)

    # The reading thread.

    def _run(self) -> None:
        client = self._client or (httpx.Client(verify=ssl_context()) if self._owns_client else None)
        self._client = client
        try:
            while True:
                plan = self._wait_for_plan()
                if plan is None:
                    return
                self._send(client, plan)
        except Exception as error:
            with self.changed:
                self.machine.fail(describe(error))
        finally:
            with self.changed:
                self._exchange = None
                self.changed.notify_all()
            if self._owns_client and client is not None:
                client.close()

    def _wait_for_plan(self) -> Optional[RequestPlan]:
        with self.changed:
            while True:
                now = time.monotonic()
                self.machine.tick(now)
                if self.machine.phase is Phase.CLOSED:
                    return None
                if self.machine.phase is Phase.SEND:
                    plan = self.machine.plan(now)
                    self._exchange = _Exchange(plan.exchange)
                    self.changed.notify_all()
                    return plan
                self.changed.notify_all()
                self.changed.wait(self._patience(now))

    def _callers_headers(self, attempt: int) -> HeadersInput:
        headers = self.call.headers
        made: HeadersInput = headers(attempt) if callable(headers) else headers
        return made

    def _send(self, client: Optional[httpx.Client], plan: RequestPlan) -> None:
        exchange = self._exchange
        assert exchange is not None
        if self._given is not None:
            response, self._given = self._given, None
            self._read(response, exchange)
            return
        assert client is not None
        headers = request_headers(self.call, self._callers_headers(plan.attempt), plan)
        try:
            request = client.build_request(
                plan.method,
                plan.url,
                headers=headers,
                content=self.call.body if plan.with_body else None,
                timeout=limits(self.call),
                extensions={"trace": exchange.trace},
            )
            response = client.send(request, stream=True, follow_redirects=True)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            reason, is_final = describe(error), isinstance(error, FINAL_ERRORS)
            self._input(lambda now: self.machine.over(exchange.number, now, False, reason, is_final))
            return
        self._read(response, exchange)

    def _read(self, response: httpx.Response, exchange: _Exchange) -> None:
        number = exchange.number
        exchange.network = response.extensions.get("network_stream") or exchange.network
        exchange.is_shared = response.http_version == "HTTP/2"
        forget_read_timeout(response)
        clean, message = True, ""
        try:
            fields = response.headers.multi_items()
            self._input(lambda now: self.machine.head(number, now, time.time(), response.status_code, fields))
            pieces = response.iter_bytes()
            while self._wants_more(number):
                piece = next(pieces, None)
                if piece is None:
                    break
                with self.changed:
                    self.machine.data(number, time.monotonic(), piece)
                    self._settle()
            self._drain(pieces, exchange)
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError) as error:
            clean, message = False, describe(error)
        finally:
            response.close()
        self._input(lambda now: self.machine.over(number, now, clean and not exchange.interrupted, message))

    def _wants_more(self, number: int) -> bool:
        """Whether to read on. Waits while enough is read ahead."""
        with self.changed:
            while self.machine.exchange == number and self.machine.phase is Phase.BODY and self.machine.is_full:
                self.changed.wait(LONGEST_WAIT)
            return self.machine.exchange == number and self.machine.phase is not Phase.CLOSED

    def _drain(self, pieces: Iterator[bytes], exchange: _Exchange) -> None:
        """After stream_end: reads to the end of the response, so that the caller's client can reuse the connection."""
        with self.changed:
            wanted = self.machine.drains and self.machine.exchange == exchange.number and not self._owns_client
        if not wanted or exchange.is_shared or exchange.network is None:
            return
        timer = threading.Timer(self.call.options.drain_wait, exchange.interrupt)
        timer.daemon = True
        timer.start()
        drained = 0
        for piece in pieces:
            drained += len(piece)
            if drained > READ_SIZE_HINT:
                break
        timer.cancel()

    def _input(self, give: Callable[[float], None]) -> None:
        with self.changed:
            give(time.monotonic())
            self._settle()


class _Messages:
    """The iterator of a `for` loop. Leaving the loop closes the stream."""

    def __init__(self, stream: "SyncStream") -> None:
        self._stream = stream
        self._over = False

    def __iter__(self) -> "_Messages":
        return self

    def __next__(self) -> Message:
        if self._over:
            raise StopIteration
        try:
            message = self._stream._engine.next()
        except BaseException:
            self._over = True
            self._stream.close()
            raise
        if message is not None:
            return message
        self._over = True
        raise_for(self._stream.result)
        raise StopIteration

    def __del__(self) -> None:
        if not self._over:
            self._stream._engine.abandon()


class SyncStream:
    """A stream: iterate it once, inside ``with``. Made by `fermata_client.stream`."""

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._is_consumed = False

    def __enter__(self) -> "SyncStream":
        self._engine.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Message]:
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
            warnings.warn("a stream was never closed: use `with`", ResourceWarning, stacklevel=1, source=self)
            engine.abandon()

    def close(self) -> None:
        """Ends the request and nothing else: a kept run goes on. May be called from any thread, and twice."""
        self._engine.close()

    def cancel(self) -> None:
        """Stops the run at the server. Iterate on to receive its end. May be called from any thread, and twice."""
        self._engine.cancel()

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


def stream(
    method: str,
    url: Union[str, httpx.URL],
    *,
    json: Any = None,
    content: Union[bytes, str, None] = None,
    headers: SyncHeaders = None,
    client: Optional[httpx.Client] = None,
    options: Optional[StreamOptions] = None,
    handlers: Optional[Handlers] = None,
    last_event_id: str = "",
    run_id: Optional[str] = None,
    idempotency_key: Optional[str] = None,
) -> SyncStream:
    """Opens a stream. The request is sent when the ``with`` block, or the loop, begins.

    `headers` may be a function of the attempt (1, 2, ...; 0 for the cancellation), called for each request. `client`
    brings connections, proxies, certificates and authentication; without one the stream has its own. `last_event_id`
    continues an earlier stream. `run_id` names the run for `cancel`. `idempotency_key` says that sending the request
    again is safe. Raises ValueError for arguments that make no sense.
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
    return SyncStream(_Engine(call, client))


def wrap(
    response: httpx.Response, *, options: Optional[StreamOptions] = None, handlers: Optional[Handlers] = None
) -> SyncStream:
    """Reads and checks a streaming response that another library opened. It is never resumed."""
    return SyncStream(_Engine(wrapped_call(response, options, handlers), None, response))
