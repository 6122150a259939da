"""The whole behaviour of one stream. Pure: no clock, no socket; bytes and times come in, decisions go out."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any, Deque, Dict, List, Optional, Sequence, Tuple

from ._backoff import Backoff
from ._classify import Classifier, Meaning
from ._clocks import Clocks, DeadRule
from ._delivery import Delivery
from ._events import Message, ServerEvent, StreamReset
from ._options import StreamOptions
from ._parser import Block, Comment, EventParser, Item, Retry, TooLarge
from ._reading import Books
from ._requests import (
    REFUSAL_LIMIT,
    SAFE_METHODS,
    Head,
    HeaderItems,
    RequestPlan,
    at_origin,
    id_fits_field,
    named_path,
    refusal_code,
    with_query,
)
from ._result import (
    QUIET_OUTCOMES,
    RETRYABLE_OUTCOMES,
    RETRYABLE_STATUSES,
    UNSAID_OUTCOMES,
    ErrorInfo,
    OpenInfo,
    RetryInfo,
    StreamResult,
)

REFUSAL_WAIT = 5.0
RESUMED_ENDS = frozenset({"draining", "client_stalled", "gateway_error"})


class Phase(Enum):
    """Where a stream is."""

    IDLE = "idle"
    PAUSE = "pause"
    SEND = "send"
    HEAD = "head"
    BODY = "body"
    REFUSAL = "refusal"
    CLOSED = "closed"


class Effect:
    """Something that the shell must do or report."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: str, value: Any = None) -> None:
        self.kind = kind
        """``open``, ``late``, ``retry``, ``reset``, ``state``, ``cancel`` (value: the address of the DELETE)."""
        self.value = value


class Ending:
    """How the stream ends if nothing better comes of the next request."""

    def __init__(self, outcome: str, reason: str, end: Optional[Dict[str, Any]] = None) -> None:
        self.outcome = outcome
        self.reason = reason
        self.end = end


class Machine:
    """One stream, from its first request to its result.

    Every input names the time in seconds of any steady clock. Inputs about a response also name its exchange; those of
    an exchange that is over are ignored.
    """

    def __init__(
        self,
        method: str,
        url: str,
        options: StreamOptions,
        last_event_id: str = "",
        run_id: Optional[str] = None,
        idempotency_key: Optional[str] = None,
        has_fresh_headers: bool = False,
    ) -> None:
        self.options = options
        self.phase = Phase.IDLE
        self.exchange = 0
        self.effects: Deque[Effect] = deque()
        self.result: Optional[StreamResult] = None
        self.drains = False
        """The stream is over, and its response is about to be: reading on makes the connection reusable."""
        self.bytes = 0
        self.stream_id: Optional[str] = None
        self.mode: Optional[str] = None
        self._method = method.upper()
        self._url = url
        self._run_id = run_id
        self._key = idempotency_key
        self._has_fresh_headers = has_fresh_headers
        self._feed = options.profile == "feed"
        retry = options.retry
        self._backoff = Backoff(retry.base, retry.max, None if self._feed else retry.attempts, retry.random)
        self._clocks = Clocks()
        automatic = options.dead_timeout == "auto"
        self._dead = DeadRule(None if isinstance(options.dead_timeout, str) else options.dead_timeout, automatic)
        self._classifier = Classifier(frozenset(options.completion_events))
        self._books = Books(last_event_id)
        self._given_id = last_event_id
        self._delivery = Delivery(options, self._clocks, last_event_id)
        self._parser = EventParser(options.max_event_bytes)
        self._attempts = 0
        self._opened = False
        self._resuming_kept = False
        self._asked_401 = False
        self._graceful = False
        self._was_graceful = False
        self._foreign = False
        self._candidate: Optional[str] = None
        self._named: Optional[str] = None
        self._candidate_named: Optional[str] = None
        self._announced = False
        self._was_late = False
        self._cancelling = False
        self._fallback: Optional[Ending] = None
        self._head: Optional[Head] = None
        self._refusal = bytearray()
        self._retry_after: Optional[float] = None
        self._terminal: Optional[str] = None
        self._failed = False
        self._last_was_error = False
        self._detail: Optional[Dict[str, Any]] = None
        self._end: Optional[Dict[str, Any]] = None
        self._state = "connecting"

    # What the shell looks at.

    @property
    def state(self) -> str:
        """``connecting``, ``open``, ``completing``, ``reconnecting`` or ``closed``."""
        return self._state

    @property
    def last_event_id(self) -> str:
        """The id of the last event that the consumer took."""
        return self._delivery.last_taken_id

    @property
    def events(self) -> int:
        """Counted events so far."""
        return self._books.counted

    @property
    def is_over(self) -> bool:
        """Whether there is a result."""
        return self.phase is Phase.CLOSED

    @property
    def is_full(self) -> bool:
        """Enough is read ahead: read nothing more until something was taken."""
        return self._delivery.is_full

    @property
    def has_items(self) -> bool:
        """Whether `take` gives something."""
        return self._delivery.has_items

    def deadline(self) -> Optional[float]:
        """When `tick` must be called at the latest."""
        return None if self.phase is Phase.CLOSED else self._clocks.deadline()

    def take(self, now: float) -> Optional[Message]:
        """The next message for the consumer, or None."""
        return self._delivery.take(now)

    # Inputs.

    def start(self, now: float) -> None:
        """Begins. The first `plan` follows at once."""
        if self.phase is not Phase.IDLE:
            return
        if self.options.timeout is not None:
            self._clocks.set("total", now + self.options.timeout)
        self.phase = Phase.SEND

    def plan(self, now: float) -> RequestPlan:
        """The request to send now. Only in phase SEND."""
        assert self.phase is Phase.SEND
        self.phase = Phase.HEAD
        self.exchange += 1
        self._attempts += 1
        self._head = None
        self._clocks.set("head", now + self.options.head_timeout)
        if not self._resuming_kept:
            return self._first_plan()
        assert self.stream_id is not None
        path = self.options.stream_path
        url = self._named if path is None else None
        url, headers = self._common(url or at_origin(self._url, path or "/fermata/streams/{id}", self.stream_id))
        return RequestPlan(self.exchange, self._attempts, "GET", url, False, headers, at_stream_path=True)

    def head(
        self, exchange: int, now: float, wall_clock: float, status: int, fields: Sequence[Tuple[str, str]]
    ) -> None:
        """The head of a response came."""
        if exchange != self.exchange or self.phase is not Phase.HEAD or 100 <= status < 200:
            return
        head = self._head = Head(status, fields)
        self._clocks.clear("head")
        self._retry_after = head.retry_after(wall_clock)
        if status == 204:
            self._nothing(head)
        elif head.is_event_stream:
            self._open(now, head)
        else:
            self.phase = Phase.REFUSAL
            self._refusal = bytearray()
            self._clocks.set("refusal", now + min(REFUSAL_WAIT, self.options.head_timeout))

    def data(self, exchange: int, now: float, data: bytes) -> None:
        """A piece of the body came."""
        if exchange != self.exchange or not data:
            return
        if self.phase is Phase.REFUSAL:
            self._refusal += data[: REFUSAL_LIMIT - len(self._refusal)]
            if len(self._refusal) >= REFUSAL_LIMIT:
                self._refused(now)
        elif self.phase is Phase.BODY:
            self.bytes += len(data)
            self._clocks.sign_of_life()
            self._items(self._parser.feed(data), now)
            if self.phase is Phase.BODY and exchange == self.exchange:
                self._expect_life(now)
                self._delivery.fill(now)

    def over(self, exchange: int, now: float, clean: bool, message: str = "", is_final: bool = False) -> None:
        """The response ended: with its framing complete (`clean`), or cut. Or no response came at all.

        `is_final`: none will come, however often one asks.
        """
        if exchange != self.exchange:
            return
        if self.phase is Phase.HEAD and is_final:
            self._clocks.clear("head")
            if self._fallback is None:
                self._finish("no_stream", False, message)
            else:
                self._finish_fallback(message, None)
        elif self.phase is Phase.HEAD:
            self._try_again_or_end(now, None, message or "the connection was closed without a response")
        elif self.phase is Phase.REFUSAL:
            self._refused(now)
        elif self.phase is Phase.BODY:
            # In a feed a half event comes again; nobody takes it for a whole one.
            if clean and not self._feed:
                self._items(self._parser.finish(), now)
            if self.phase is Phase.BODY and exchange == self.exchange:
                self._body_over(now, clean)

    def tick(self, now: float) -> None:
        """The time of `deadline` has come."""
        for name in self._clocks.due(now):
            if self.phase is Phase.CLOSED:
                return
            self._passed(name, now)

    def close(self, now: float) -> None:
        """The caller leaves: nothing more is delivered."""
        if self.phase is not Phase.CLOSED:
            self._delivery.drop()
            self._finish("aborted", False, "the caller closed the stream")

    def fail(self, message: str) -> None:
        """The caller's own code failed: there is no request to send."""
        if self.phase is not Phase.CLOSED:
            self._finish("no_stream", False, message)

    def cancel(self, now: float) -> None:
        """The caller stops the run: once, and as soon as its id is known."""
        if self._cancelling or self.phase is Phase.CLOSED:
            return
        self._cancelling = True
        if self._opened:
            self._send_cancel(now)

    # Requests.

    def _first_plan(self) -> RequestPlan:
        url, headers = self._common(self._url)
        if self._key:
            headers.append(("Idempotency-Key", self._key))
        return RequestPlan(self.exchange, self._attempts, self._method, url, True, headers)

    def _common(self, url: str) -> Tuple[str, HeaderItems]:
        headers: HeaderItems = [
            ("Accept", "text/event-stream"),
            # Compression holds events back in many servers.
            ("Accept-Encoding", "identity"),
            ("Cache-Control", "no-store"),
        ]
        if self.options.opt_in == "header":
            headers.append(("Prefer", "stream-end"))
        elif self.options.opt_in == "query":
            url = with_query(url, "stream_end", "1")
        last = self._books.last_id
        if last and id_fits_field(last):
            headers.append(("Last-Event-ID", last.encode("utf-8", "replace")))
        elif last:
            url = with_query(url, "last_event_id", last)
        return url, headers

    # Heads.

    def _nothing(self, head: Head) -> None:
        outcome = head.get("x-stream-outcome")
        if outcome:
            verified, reason = True, "the server has nothing more"
            if outcome == "completed" and self._books.lost:
                outcome, verified, reason = "missing_events", False, "events of this stream are not stored any more"
            self._finish(outcome, verified, reason)
        elif not self._opened:
            self._finish("empty", False, "the server has nothing to send")
        else:
            outcome = self._plain_outcome("ended") if not self._feed else "ended"
            self._finish(outcome, False, "the server has nothing more")

    def _open(self, now: float, head: Head) -> None:
        mode, stream_id = head.get("x-stream-mode"), head.get("x-stream-id")
        graceful = mode == "graceful"
        resumes = self._opened
        self._asked_401 = False
        if resumes and not self._feed and self._was_graceful and not graceful:
            self._finish_fallback("the stream came back in another mode", None)
            return
        self._foreign = resumes and self._was_graceful and not self._feed and stream_id != self.stream_id
        if resumes:
            self._continue(graceful, stream_id)
        self._graceful = graceful
        self._was_graceful = self._was_graceful or graceful
        self._candidate, self._candidate_named = stream_id, named_path(head.get("x-stream-resume"), self._url)
        if not self._foreign:
            self._named = self._candidate_named or (self._named if stream_id == self.stream_id else None)
            self.stream_id, self.mode = stream_id, mode
        self._opened = True
        self._parser = EventParser(self.options.max_event_bytes)
        self._dead.response()
        self.phase = Phase.BODY
        self._expect_life(now)
        self._expect_first_token(now)
        self.effects.append(Effect("open", OpenInfo(head.status, stream_id, mode, self._attempts)))
        self._set_state("open")
        if self._cancelling and not resumes:
            self._send_cancel(now)

    def _continue(self, graceful: bool, stream_id: Optional[str]) -> None:
        """The books of a stream that goes on in another response."""
        self._books.reconnected()
        if self._feed and stream_id != self.stream_id:
            self._books.counted = 0
            self._books.base = 0
        elif graceful and not self._was_graceful:
            self._books.base = None

    def _refused(self, now: float) -> None:
        assert self._head is not None
        status = self._head.status
        self._try_again_or_end(now, status, f"the server answered with status {status}")

    def _try_again_or_end(self, now: float, status: Optional[int], message: str, timed_out: bool = False) -> None:
        self._clocks.clear("refusal", "head")
        if status == 401 and self._has_fresh_headers and not self._asked_401:
            self._asked_401 = True
            self.phase = Phase.SEND
            self.exchange += 1
            return
        pause = self._pause_after(status) if self._may_repeat(status) else None
        error = self._refusal_error(status, message, timed_out)
        if pause is None:
            if self._fallback is not None:
                self._finish_fallback(message, status, error)
            else:
                self._finish("timeout" if timed_out else "no_stream", False, message, error)
            return
        self._wait(now, pause, error)

    def _may_repeat(self, status: Optional[int]) -> bool:
        if status is not None and status not in RETRYABLE_STATUSES:
            return False
        if self._cancelling and not self._opened:
            return False
        if status is not None and (self._retry_after or 0) > self.options.retry.retry_after_max:
            return False
        if self._opened or self._method in SAFE_METHODS or self._key:
            return True
        # Sending a POST again may start a second run, unless the server says that none was started.
        return status in (429, 503) and self._retry_after is not None

    def _pause_after(self, status: Optional[int]) -> Optional[float]:
        return self._backoff.next(self._retry_after if status is not None else None)

    def _refusal_error(self, status: Optional[int], message: str, timed_out: bool) -> ErrorInfo:
        code, said, document = refusal_code(bytes(self._refusal)) if status is not None else (None, None, None)
        retryable = status is None or status in RETRYABLE_STATUSES
        return ErrorInfo(
            code or ("timeout" if timed_out else "no_stream"),
            said or message,
            status,
            self._retry_after if status is not None else None,
            document,
            retryable,
        )

    # Bodies.

    def _items(self, items: List[Item], now: float) -> None:
        exchange = self.exchange
        for item in items:
            if self.phase is not Phase.BODY or self.exchange != exchange:
                return
            if isinstance(item, Block):
                self._block(item, now)
            elif isinstance(item, Comment):
                self._dead.comment(now)
            elif isinstance(item, Retry):
                self._backoff.server_asks(item.milliseconds)
            elif isinstance(item, TooLarge):
                self._finish("event_too_large", False, f"an event has more than {self.options.max_event_bytes} bytes")

    def _block(self, block: Block, now: float) -> None:
        if block.data is None:
            if block.id is not None and not self._foreign:
                self._books.last_id = block.id
                self._delivery.id_changed(block.id)
            return
        meaning = self._classifier.classify(block, self._graceful, self._candidate)
        if meaning.kind == "event":
            self._event(block, meaning, now)
        elif meaning.kind == "end":
            self._stream_end(meaning.payload or {}, now)
        elif meaning.kind == "error":
            self._detail = meaning.payload
        elif meaning.kind == "reset":
            self._reset(meaning.payload or {}, now)
        elif meaning.kind == "ready":
            self._expect_first_token(now)
            if not self._announced and not self._foreign:
                self._announced = True
                self._delivery.add(ServerEvent(block.type or "message", block.data, self._books.last_id), meaning, now)

    def _event(self, block: Block, meaning: Meaning, now: float) -> None:
        if self._foreign:
            self._finish_fallback("the server answered with another stream", None)
            return
        identifier = self._books.last_id if block.id is None else block.id
        event = ServerEvent(block.type or "message", block.data or "", identifier)
        if self._books.is_repeat(event, block.id is not None, self._graceful):
            return
        self._books.last_id = identifier
        self._books.counted += 1
        self._backoff.progress()
        self._clocks.clear("late")
        # What the filter leaves out ends nothing.
        if self._delivery.add(event, meaning, now):
            self._last_was_error = meaning.is_error
            self._note_terminal(meaning, now)

    def _note_terminal(self, meaning: Meaning, now: float) -> None:
        if meaning.terminal and self._terminal != "hard":
            self._terminal = meaning.terminal
            self._clocks.clear("end")
        self._failed = self._failed or meaning.failed
        if self._terminal is None or self._feed:
            return
        self._set_state("completing")
        if self._terminal == "hard" and not self._graceful:
            if not self._clocks.has("end"):
                self._clocks.set("end", now + self.options.hard_end_wait)
        else:
            self._clocks.set("end", now + self.options.end_wait)

    def _reset(self, payload: Dict[str, Any], now: float) -> None:
        reason, oldest = payload.get("reason"), payload.get("oldest")
        reason = reason if isinstance(reason, str) else "unknown"
        self._foreign = False
        if self._candidate is not None:
            if self._candidate != self.stream_id:
                self._named = self._candidate_named
            self.stream_id, self.mode = self._candidate, "graceful"
        self._books.reset(reason)
        self._terminal, self._failed, self._last_was_error, self._detail = None, False, False, None
        self._clocks.clear("end")
        self._set_state("open")
        reset = StreamReset(reason, oldest if isinstance(oldest, str) else None, self.stream_id or "")
        self._delivery.reset(reset, now)
        self.effects.append(Effect("reset", reset))

    def _stream_end(self, end: Dict[str, Any], now: float) -> None:
        if self._foreign:
            self._finish_fallback("the server answered with another stream", None)
            return
        self.drains = True
        self._end = end
        said, reason = end.get("outcome"), end.get("reason")
        reason = reason if isinstance(reason, str) else ""
        if not isinstance(said, str):
            self._finish(self._plain_outcome("ended"), False, reason or "the server ended the stream")
            return
        agreement = self._books.agreement(end)
        resumable = end.get("resumable") is True
        tail_is_missing = agreement == "fewer" and end.get("lastEventId") not in ("", None, self._books.last_id)
        if resumable and said != "replaced_by_new_stream" and (said in RESUMED_ENDS or tail_is_missing):
            outcome = said if said in RESUMED_ENDS else "missing_events"
            if self._resume(now, Ending(outcome, reason, end)):
                return
        if said == "completed" and (agreement in ("fewer", "differs") or self._books.lost and agreement != "agrees"):
            self._finish("missing_events", False, "the server sent more or other events than came")
            return
        self._finish(said, agreement == "agrees", reason)

    def _body_over(self, now: float, clean: bool) -> None:
        self._clocks.clear("dead", "end", "late")
        self._delivery.release(now)
        how = "ended without its end" if clean else "was cut"
        if self._foreign:
            self._finish_fallback("the server answered with another stream", None)
        elif self._cancelling and not (self._terminal and (clean or not self._graceful)):
            # `cancelled` is the server's word: that the run ended so nobody said, so one that was cut is asked for it.
            untold = Ending("aborted", "the run was cancelled, the server did not say how it ended")
            if clean or not self._graceful or not self._resume(now, untold):
                self.close(now)
        elif self._feed:
            if not self._resume(now, Ending("cut", f"the stream {how}")):
                self._finish("ended" if clean else "cut", False, f"the stream {how}")
        elif self._graceful:
            self._graceful_over(now, clean, how)
        elif self._terminal or clean:
            plain = self._plain_outcome("upstream_error" if self._last_was_error else "ended")
            self._finish(plain, False, "the server ended the stream")
        elif not self._resume(now, Ending("cut", f"the stream {how}")):
            self._finish("cut", False, f"the stream {how}")

    def _graceful_over(self, now: float, clean: bool, how: str) -> None:
        if self._terminal and clean:
            self._finish(self._plain_outcome("ended"), False, "the server ended the stream without stream_end")
            return
        outcome = self._plain_outcome("cut") if self._terminal == "hard" else "cut"
        ending = Ending(outcome, f"the stream {how}")
        if not self._resume(now, ending):
            self._finish(outcome, False, ending.reason)

    def _plain_outcome(self, without_terminal: str) -> str:
        if not self._terminal:
            return without_terminal
        return "upstream_error" if self._failed else "completed"

    # Going on.

    def _resume(self, now: float, ending: Ending) -> bool:
        """Plans a request that goes on where this response ended. False if there is none."""
        kept = self._can_resume()
        if kept is None:
            return False
        pause = self._backoff.next()
        if pause is None:
            return False
        self._resuming_kept = kept
        self._fallback = ending
        self._end = None
        self._delivery.release(now)
        self._wait(now, pause, self._error(ending.outcome, ending.reason, None))
        if self._cancelling:
            self._end_pause()
        return True

    def _can_resume(self) -> Optional[bool]:
        """True: at the stream path; False: at the own address; None: not at all."""
        mode = self.options.resume
        if mode == "off" or self._foreign:
            return None
        if self._feed:
            return False if self._method in SAFE_METHODS or self._key else None
        if mode == "auto" and self._was_graceful and self.stream_id:
            return True
        return False if self._method in SAFE_METHODS and self._books.last_id else None

    def _wait(self, now: float, pause: float, error: ErrorInfo) -> None:
        self.exchange += 1
        self._clocks.clear("head", "dead", "end", "late", "refusal")
        self._clocks.set("pause", now + pause)
        self.phase = Phase.PAUSE
        self.drains = False
        self.effects.append(Effect("retry", RetryInfo(self._attempts + 1, pause, error)))
        self._set_state("reconnecting")

    def _end_pause(self) -> None:
        # The end of a cancelled run is waited for no longer than the cancellation allows.
        self._clocks.clear("pause")
        self.phase = Phase.SEND

    def _send_cancel(self, now: float) -> None:
        name = self._run_id or self.stream_id
        if not name:
            self.close(now)
            return
        self._clocks.set("cancel", now + self.options.cancel_wait)
        self.effects.append(Effect("cancel", at_origin(self._url, self.options.run_path, name)))
        if self.phase is Phase.PAUSE:
            self._end_pause()

    # Clocks.

    def _expect_life(self, now: float) -> None:
        seconds = self._dead.seconds(self._graceful)
        if seconds is None:
            self._clocks.clear("dead")
        else:
            self._clocks.set("dead", now + seconds)

    def _expect_first_token(self, now: float) -> None:
        if self.options.first_token_timeout is not None and not self._books.counted and not self._was_late:
            self._clocks.set("late", now + self.options.first_token_timeout)

    def _passed(self, name: str, now: float) -> None:
        if name == "pause":
            self.phase = Phase.SEND
        elif name == "head":
            self.exchange += 1
            self._try_again_or_end(now, None, "no response came in time", timed_out=True)
        elif name == "refusal":
            self._refused(now)
        elif name == "late":
            self._was_late = True
            self.effects.append(Effect("late"))
        elif name == "dead":
            self._body_over(now, clean=False)
        elif name == "end":
            self._delivery.release(now)
            self._finish(self._plain_outcome("ended"), False, "nothing more came after the end of the answer")
        elif name == "order":
            self._delivery.release(now)
        elif name == "cancel":
            self.close(now)
        elif name == "total":
            self._finish("timeout", False, "the time for the whole stream is over")

    # The end.

    def _finish_fallback(self, message: str, status: Optional[int], error: Optional[ErrorInfo] = None) -> None:
        ending = self._fallback or Ending("cut", message)
        self._end = ending.end
        info = self._error(ending.outcome, f"{ending.reason}; {message}", status)
        if info and error:
            info = ErrorInfo(info.code, info.message, status, error.retry_after, error.detail, info.is_retryable)
        self._finish(ending.outcome, False, ending.reason, info)

    def _error(self, outcome: str, reason: str, status: Optional[int]) -> ErrorInfo:
        message, detail = reason, self._detail
        inner = detail.get("error") if detail else None
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            message = inner["message"]
        return ErrorInfo(outcome, message, status, None, detail, outcome in RETRYABLE_OUTCOMES)

    def _finish(self, outcome: str, verified: bool, reason: str, error: Optional[ErrorInfo] = None) -> None:
        self._delivery.release(None)
        self.phase = Phase.CLOSED
        self.exchange += 0 if self.drains else 1
        if self._cancelling and outcome in UNSAID_OUTCOMES:
            outcome = "aborted"
        quiet = outcome in QUIET_OUTCOMES or (outcome == "cancelled" and self._cancelling)
        if outcome == "ended" and self.options.require_terminal:
            quiet = False
        info = None if quiet else error or self._error(outcome, reason, None)
        run_id = self._end.get("runId") if self._end else None
        self.result = StreamResult(
            outcome=outcome,
            complete=outcome == "completed",
            verified=verified and outcome != "missing_events",
            reason=reason,
            events=self._books.counted,
            bytes=self.bytes,
            last_event_id=self._books.last_id if outcome != "aborted" else self._delivery.last_taken_id,
            stream_id=self.stream_id,
            run_id=run_id if isinstance(run_id, str) else self._run_id or self.stream_id,
            mode=self.mode,
            attempts=self._attempts,
            end=self._end,
            error=info,
        )
        self._set_state("closed")

    def _set_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self.effects.append(Effect("state", state))
