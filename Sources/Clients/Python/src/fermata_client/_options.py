"""The settings of a stream."""

from __future__ import annotations

import random as _random
from dataclasses import dataclass, field
from typing import Callable, Optional, Sequence, Union

DEFAULT_COMPLETION_EVENTS = ("complete", "completion", "done")


@dataclass(frozen=True)
class RetryPolicy:
    """When a request is sent again. Times are seconds."""

    base: float = 1.0
    """The first pause, unless the server sends ``retry:``."""
    max: float = 30.0
    """The longest pause of the client's own."""
    attempts: int = 5
    """Requests in a row without a new event before it gives up. A feed never gives up."""
    retry_after_max: float = 120.0
    """The longest ``Retry-After`` that is waited for; a longer one is final and reported."""
    random: Callable[[], float] = _random.random
    """A number from 0 to 1, for the jitter."""


@dataclass(frozen=True)
class StreamOptions:
    """The settings of a stream. Times are seconds, sizes are bytes.

    Raises ValueError for a value that makes no sense.
    """

    profile: str = "answer"
    """``answer``: one run, which has an end. ``feed``: no end, always reconnected, as EventSource does."""
    opt_in: str = "header"
    """``header`` sends ``Prefer: stream-end``; ``query`` adds ``stream_end=1``; ``off`` does neither."""
    resume: str = "auto"
    """``auto``: kept runs at `stream_path`, plain GET streams with ids at their own address. ``same-url``: GET
    streams with ids at their own address only. ``off``: never."""
    stream_path: Optional[str] = None
    """Where a gateway's stream is resumed, at the request's origin; ``{id}`` stands for the stream's id. None: the
    path that the server names in ``X-Stream-Resume``, or ``/fermata/streams/{id}``."""
    run_path: str = "/api/agents/run/{id}"
    """Where a run is cancelled, at the request's origin."""
    completion_events: Sequence[str] = DEFAULT_COMPLETION_EVENTS
    """Event types that say that the work is done."""
    require_terminal: bool = False
    """A clean end without a terminal raises."""
    order: str = "arrival"
    """``index`` orders events by the integer member ``index`` of their JSON."""
    filter_stream_id: Union[bool, str] = False
    """Leaves out events whose JSON names another ``streamId``: this one, or (True) the first that is named."""
    head_timeout: float = 60.0
    """The longest wait for a response."""
    first_token_timeout: Optional[float] = 35.0
    """After this time without an event `on_late` is called; nothing is closed."""
    dead_timeout: Union[float, str, None] = "auto"
    """The longest silence. ``auto`` derives it from the server's comments; None never gives up."""
    end_wait: float = 30.0
    """How long events may follow a completion event before the stream counts as over."""
    hard_end_wait: float = 1.0
    """The same after ``[DONE]`` and other ends of a dialect, of a server that is not graceful."""
    cancel_wait: float = 2.0
    """How long the server's own end is waited for after a cancellation."""
    order_wait: float = 2.0
    """How long a hole in the order is waited for."""
    drain_wait: float = 1.0
    """How long the end of a response is waited for, so that its connection can be used again."""
    timeout: Optional[float] = None
    """The longest time for the whole stream."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """When a request is sent again."""
    max_event_bytes: int = 16 * 1024 * 1024
    """The largest event."""
    high_water: int = 1024 * 1024
    """Read-ahead: with so many bytes of events waiting, nothing more is read."""

    def __post_init__(self) -> None:
        _one_of("profile", self.profile, "answer", "feed")
        _one_of("opt_in", self.opt_in, "header", "query", "off")
        _one_of("resume", self.resume, "auto", "same-url", "off")
        _one_of("order", self.order, "arrival", "index")
        if isinstance(self.dead_timeout, str):
            _one_of("dead_timeout", self.dead_timeout, "auto")
        for name in ("head_timeout", "max_event_bytes", "high_water"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")
        for name in ("end_wait", "hard_end_wait", "cancel_wait", "order_wait", "drain_wait"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative")


def _one_of(name: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
