"""What one event means: the backend's own, the gateway's, or a terminal. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, FrozenSet, Optional

from ._parser import Block

HARD = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})
GATEWAY_ID = re.compile(r"([A-Za-z0-9_-]{22})\.([0-9]{1,15})")


class Meaning:
    """The result of `classify`."""

    __slots__ = ("kind", "payload", "terminal", "failed", "is_error")

    def __init__(self, kind: str, payload: Optional[Dict[str, Any]] = None) -> None:
        self.kind = kind
        """``event`` (the backend's), ``end``, ``error``, ``reset`` or ``ready`` (the gateway's)."""
        self.payload = payload
        self.terminal: Optional[str] = None
        """``hard`` or ``soft`` if this event says that the answer is over."""
        self.failed = False
        """The terminal is one of failure."""
        self.is_error = False
        """The backend reports an error."""


def whole_number(value: Any) -> Optional[int]:
    """The number, if it is a whole one: JSON does not tell 1.0 from 1."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def json_object(text: str) -> Optional[Dict[str, Any]]:
    """The JSON object that the text is, or None. Never raises."""
    if not text.lstrip()[:1] == "{":
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class Classifier:
    """Knows the completion events of one stream."""

    def __init__(self, completion_events: FrozenSet[str]) -> None:
        self._soft = completion_events
        words = sorted(completion_events | HARD | {"stream_end", "error"})
        self._interesting = re.compile("|".join(re.escape(json.dumps(word, ensure_ascii=False)) for word in words))

    def classify(self, block: Block, graceful: bool, stream_id: Optional[str]) -> Meaning:
        """Says what a block with data is. `stream_id` is the one of the response."""
        data = block.data or ""
        payload: Optional[Dict[str, Any]] = None
        kind = block.type
        # A word may be written with escapes.
        if not kind and ("\\u" in data or self._interesting.search(data)):
            payload = json_object(data)
            named = payload.get("type") if payload else None
            kind = named if isinstance(named, str) else ""
        own = self._own(kind, payload, data, block, graceful, stream_id)
        return own or self._backend(kind, payload, data)

    def _own(
        self,
        kind: str,
        payload: Optional[Dict[str, Any]],
        data: str,
        block: Block,
        graceful: bool,
        stream_id: Optional[str],
    ) -> Optional[Meaning]:
        # The gateway names its events; for `stream_end` the type in the data does, too.
        wanted = kind == "stream_end" or (graceful and block.type in ("error", "stream_reset", "control"))
        if not wanted or (graceful and block.id is not None):
            return None
        payload = payload if payload is not None else json_object(data)
        if payload is None:
            return None
        about = payload.get("streamId")
        # A gateway behind the gateway says the same of its own stream: that is one of the backend's events.
        if graceful and stream_id is not None and isinstance(about, str) and about != stream_id:
            return None
        if kind == "stream_end":
            return Meaning("end", payload) if payload.get("type") == "stream_end" else None
        if kind == "error":
            return Meaning("error", payload) if payload.get("source") == "gateway" else None
        if kind == "stream_reset":
            return Meaning("reset", payload) if payload.get("type") == "stream_reset" else None
        ours = payload.get("type") == "prompt_ready" or payload.get("source") == "gateway"
        return Meaning("ready", payload) if ours and stream_id is not None and about == stream_id else None

    def _backend(self, kind: str, payload: Optional[Dict[str, Any]], data: str) -> Meaning:
        meaning = Meaning("event", payload)
        if data == "[DONE]" or kind in HARD:
            meaning.terminal = "hard"
            meaning.failed = kind == "response.failed"
        elif kind in self._soft:
            meaning.terminal = "soft"
        meaning.is_error = kind == "error" or (not kind and payload is not None and bool(payload.get("error")))
        return meaning
