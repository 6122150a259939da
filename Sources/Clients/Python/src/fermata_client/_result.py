"""How a stream ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional

RETRYABLE_OUTCOMES = frozenset(
    {"cut", "draining", "timeout", "first_token_timeout", "idle_timeout", "upstream_truncated", "gateway_error"}
)
RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# What a cancellation may look like if the server does not say how the run ended.
UNSAID_OUTCOMES = frozenset({"cut", "ended", "no_stream", "timeout"})
QUIET_OUTCOMES = frozenset({"completed", "ended", "empty", "aborted", "replaced_by_new_stream"})


@dataclass(frozen=True)
class ErrorInfo:
    """Why a stream is not complete."""

    code: str
    """The outcome, or the code that the server gave with its refusal."""
    message: str
    """A sentence for people."""
    status: Optional[int] = None
    """The HTTP status of the last response, if it was refused."""
    retry_after: Optional[float] = None
    """The seconds that the server asked to wait."""
    detail: Optional[Any] = None
    """The gateway's ``error`` event, or the JSON document of the refusal."""
    is_retryable: bool = False
    """Whether the same request may succeed later."""


@dataclass(frozen=True)
class StreamResult:
    """How a stream ended. Only `complete` means that the whole answer came."""

    outcome: str
    """The server's word from ``stream_end``, or the client's: ``completed``, ``ended``, ``cut``, ``missing_events``,
    ``empty``, ``no_stream``, ``timeout``, ``event_too_large``, ``upstream_error``, ``aborted``. ``cancelled`` is the
    server's word only: a run that was cancelled and did not say so in time is ``aborted``."""
    complete: bool
    """The outcome is ``completed``."""
    verified: bool
    """The server's counts agree with what came."""
    reason: str
    """A sentence for people."""
    events: int
    """Counted events: the backend's, with data, without repeats; since the last reset."""
    bytes: int
    """Bytes of all response bodies, after content decoding."""
    last_event_id: str
    """The id of the last event that the consumer took; where to resume."""
    stream_id: Optional[str]
    """The gateway's id of the stream (``X-Stream-Id``)."""
    run_id: Optional[str]
    """The gateway's id of the run."""
    mode: Optional[str]
    """``graceful``, ``legacy``, ``shield``; None from a server that is no gateway."""
    attempts: int
    """Requests that were sent."""
    end: Optional[Dict[str, Any]]
    """The payload of ``stream_end``."""
    error: Optional[ErrorInfo]
    """None if the stream ended as it should, or as the caller asked."""


class FermataError(Exception):
    """Raised after the last event of a stream that is not complete."""

    def __init__(self, result: StreamResult, info: ErrorInfo) -> None:
        super().__init__(f"{info.code}: {info.message}" if info.message else info.code)
        self.result = result
        """The whole result."""
        self.code = info.code
        """The outcome, or the code that the server gave with its refusal."""
        self.outcome = result.outcome
        """The outcome, one word."""
        self.status = info.status
        """The HTTP status of a refusal."""
        self.retry_after = info.retry_after
        """The seconds that the server asked to wait."""
        self.detail = info.detail
        """The gateway's ``error`` event, or the JSON document of the refusal."""
        self.is_retryable = info.is_retryable
        """Whether the same request may succeed later."""


@dataclass(frozen=True)
class OpenInfo:
    """A response began."""

    status: int
    """The HTTP status."""
    stream_id: Optional[str]
    """The gateway's id of the stream (``X-Stream-Id``)."""
    mode: Optional[str]
    """``graceful``, ``legacy``, ``shield``; None from a server that is no gateway."""
    attempt: int
    """1 for the first request."""


@dataclass(frozen=True)
class RetryInfo:
    """A request will be sent again."""

    attempt: int
    """The number of the request that follows; 2 is the first repeat."""
    delay: float
    """Seconds until then."""
    error: ErrorInfo
    """Why."""
