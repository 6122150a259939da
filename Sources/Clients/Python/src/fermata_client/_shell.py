"""What the two shells share: the request's parts, logging, callbacks."""

from __future__ import annotations

import functools
import json as _json
import logging
import ssl
from dataclasses import dataclass, replace
from typing import Any, Callable, List, Mapping, Optional, Tuple, Union
from urllib.parse import urlsplit

import httpx

from ._events import StreamReset
from ._machine import Effect, Machine
from ._options import RetryPolicy, StreamOptions
from ._requests import HeadersInput
from ._result import FermataError, OpenInfo, RetryInfo, StreamResult

logger = logging.getLogger("fermata_client")
logger.addHandler(logging.NullHandler())
CONNECT, WRITE, POOL = 10.0, 30.0, 10.0
CANCEL_TIMEOUT = 10.0
READ_SIZE_HINT = 64 * 1024


@dataclass(frozen=True)
class Handlers:
    """Functions that are told what happens. One that raises is logged and does not end the stream."""

    on_open: Optional[Callable[[OpenInfo], None]] = None
    """A response began."""
    on_late: Optional[Callable[[], None]] = None
    """No event came within `StreamOptions.first_token_timeout`."""
    on_retry: Optional[Callable[[RetryInfo], None]] = None
    """A request will be sent again."""
    on_reset: Optional[Callable[[StreamReset], None]] = None
    """What follows does not continue what came. The consumer is given the reset too."""
    on_state: Optional[Callable[[str], None]] = None
    """``connecting``, ``open``, ``completing``, ``reconnecting`` or ``closed``."""


@dataclass(frozen=True)
class Call:
    """What the caller asked for."""

    method: str
    url: str
    body: Optional[bytes]
    body_type: Optional[str]
    headers: Any
    options: StreamOptions
    handlers: Handlers
    last_event_id: str
    run_id: Optional[str]
    idempotency_key: Optional[str]

    def machine(self) -> Machine:
        """The decisions for this call."""
        return Machine(
            self.method,
            self.url,
            self.options,
            self.last_event_id,
            self.run_id,
            self.idempotency_key,
            callable(self.headers),
        )


@functools.lru_cache(maxsize=1)
def ssl_context() -> ssl.SSLContext:
    """For clients of our own. Reading the certificates takes longer than most requests: once is enough."""
    return httpx.create_ssl_context()


def make_call(
    method: str,
    url: Union[str, httpx.URL],
    *,
    json: Any,
    content: Union[bytes, str, None],
    headers: Any,
    options: Optional[StreamOptions],
    handlers: Optional[Handlers],
    last_event_id: str,
    run_id: Optional[str],
    idempotency_key: Optional[str],
    client: Union[httpx.Client, httpx.AsyncClient, None],
) -> Call:
    """Checks the arguments. Raises ValueError and TypeError."""
    if json is not None and content is not None:
        raise ValueError("give json or content, not both")
    if any(character in last_event_id for character in "\0\r\n"):
        raise ValueError("last_event_id must not contain NUL or line breaks")
    body = content.encode("utf-8") if isinstance(content, str) else content
    if json is not None:
        body = _json.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    # A client may have a base address; the address is needed whole, to know the origin.
    address = str(client.build_request(method, url).url) if client is not None and _is_relative(url) else str(url)
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"not an http or https URL: {address!r}")
    return Call(
        method.upper(),
        address,
        body,
        "application/json" if json is not None else None,
        headers,
        options or StreamOptions(),
        handlers or Handlers(),
        last_event_id,
        run_id,
        idempotency_key,
    )


def _is_relative(url: Union[str, httpx.URL]) -> bool:
    return not httpx.URL(url).scheme


def list_of(headers: HeadersInput) -> List[Tuple[str, Union[str, bytes]]]:
    """Fields as a list."""
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])


def raw_headers(items: List[Tuple[str, Union[str, bytes]]]) -> List[Tuple[bytes, bytes]]:
    """Fields as bytes: UTF-8 where there are letters beyond ASCII."""
    return [(name.encode("ascii"), value.encode("utf-8") if isinstance(value, str) else value) for name, value in items]


def request_headers(call: Call, callers: HeadersInput, plan: Any) -> List[Tuple[bytes, bytes]]:
    """All fields of one request."""
    items = plan.merged(callers)
    names = {name.lower() for name, _ in items}
    if plan.with_body and call.body_type and "content-type" not in names:
        items.append(("Content-Type", call.body_type))
    return raw_headers(items)


def limits(call: Call) -> httpx.Timeout:
    """The limits of httpx itself. The silence of a stream is the machine's business, once its head is there."""
    return httpx.Timeout(connect=CONNECT, read=call.options.head_timeout + 1, write=WRITE, pool=POOL)


def forget_read_timeout(response: httpx.Response) -> None:
    """Takes the read timeout away that ends a wait for a head: it would end quiet streams."""
    timeout = response.request.extensions.get("timeout")
    if isinstance(timeout, dict):
        timeout["read"] = None


def wrapped_call(response: httpx.Response, options: Optional[StreamOptions], handlers: Optional[Handlers]) -> Call:
    """The call of a response that is there already."""
    options = replace(options or StreamOptions(), resume="off", retry=RetryPolicy(attempts=0))
    request = response.request
    sent = request.headers.get("last-event-id", "")
    return Call(request.method, str(request.url), None, None, None, options, handlers or Handlers(), sent, None, None)


# Asking again can't help where a redirect leads nowhere.
FINAL_ERRORS = (httpx.TooManyRedirects, httpx.UnsupportedProtocol)


def describe(error: BaseException) -> str:
    """A sentence about an error of httpx. Never an address: it may hold a token."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def report(machine: Machine, handlers: Handlers, effect: Effect) -> None:
    """Logs one effect and calls the caller's function for it."""
    ids = {"runId": machine.stream_id}
    if effect.kind == "open":
        logger.info("SSE open", extra={"fermata": {**ids, "attempt": effect.value.attempt, "mode": effect.value.mode}})
        _call(handlers.on_open, effect.value)
    elif effect.kind == "retry":
        info: RetryInfo = effect.value
        data = {**ids, "attempt": info.attempt, "status": info.error.status}
        logger.warning("SSE connection error", extra={"fermata": data})
        logger.info("SSE reconnect", extra={"fermata": {**ids, "delayMs": round(info.delay * 1000)}})
        _call(handlers.on_retry, info)
    elif effect.kind == "late":
        _call(handlers.on_late)
    elif effect.kind == "reset":
        _call(handlers.on_reset, effect.value)
    elif effect.kind == "state":
        if effect.value == "closed" and machine.result is not None:
            _log_end(machine.result)
        _call(handlers.on_state, effect.value)


def _log_end(result: StreamResult) -> None:
    data = {"runId": result.run_id, "outcome": result.outcome, "events": result.events, "bytes": result.bytes}
    if result.error is not None:
        logger.error("Agent run error", extra={"fermata": {**data, "errorData": result.error.code}})
    elif result.outcome == "aborted":
        logger.debug("SSE end", extra={"fermata": data})
    else:
        logger.info("SSE end", extra={"fermata": data})


def _call(handler: Optional[Callable[..., None]], *arguments: object) -> None:
    if handler is None:
        return
    try:
        handler(*arguments)
    except Exception:
        logger.exception("A handler raised")


def log_cancel_failure(machine: Machine, error: BaseException) -> None:
    """The DELETE had no answer."""
    data = {"runId": machine.stream_id, "errorMessage": type(error).__name__}
    logger.warning("Failed to cancel", extra={"fermata": data})


def raise_for(result: StreamResult) -> None:
    """Raises FermataError if the stream is not what was asked for."""
    if result.error is not None:
        raise FermataError(result, result.error)
