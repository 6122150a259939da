"""What came of a stream: counts, ids, repeats. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, Optional, Tuple

from ._classify import GATEWAY_ID, whole_number
from ._events import ServerEvent

REMEMBERED = 256


class Books:
    """The counts and ids of one stream, over all its responses."""

    def __init__(self, given_id: str) -> None:
        self.last_id = given_id
        self.counted = 0
        self.base: Optional[int] = 0
        """Events before the first one counted; None if unknown."""
        self.lost = False
        """The gateway said that events are gone for good."""
        self._given = given_id
        self._sequence: Optional[Tuple[str, int]] = None
        self._recent: Deque[Tuple[int, int]] = deque(maxlen=REMEMBERED)
        self._repeating = False
        if given_id:
            match = GATEWAY_ID.fullmatch(given_id)
            self.base = int(match.group(2)) if match else None
            self._sequence = (match.group(1), int(match.group(2))) if match else None

    @property
    def total(self) -> Optional[int]:
        """What ``events`` of stream_end must be, or None if unknown."""
        return None if self.base is None else self.base + self.counted

    def reconnected(self) -> None:
        """The events of the next response may repeat the last ones."""
        self._repeating = True

    def reset(self, reason: str) -> None:
        """What follows does not continue what came."""
        self.last_id, self._given = "", ""
        self.counted, self.base = 0, 0
        self.lost = reason == "evicted"
        self._sequence = None
        self._recent.clear()
        self._repeating = False

    def is_repeat(self, event: ServerEvent, has_id: bool, graceful: bool) -> bool:
        """Whether this event came before. Otherwise it is remembered."""
        match = GATEWAY_ID.fullmatch(event.id) if graceful and has_id else None
        if match:
            stream, number = match.group(1), int(match.group(2))
            if self._sequence and self._sequence[0] == stream and number <= self._sequence[1]:
                return True
            self._sequence = (stream, number)
            self._repeating = False
            return False
        if not event.id:
            self._repeating = False
            return False
        # A hash, so that large events are not kept.
        print_ = (hash((event.id, event.type, event.data)), len(event.data))
        if self._repeating and print_ in self._recent:
            return True
        self._repeating = False
        self._recent.append(print_)
        return False

    def agreement(self, end: Dict[str, Any]) -> str:
        """Compares stream_end with what came: ``agrees``, ``fewer``, ``differs`` or ``unknown``."""
        events, last = whole_number(end.get("events")), end.get("lastEventId")
        total = self.total
        if events is not None and total is not None and total != events:
            return "fewer" if total < events else "differs"
        if isinstance(last, str) and last != self.last_id:
            # A stream that continued after a given id and brought nothing may not name it.
            if not (last == "" and self.counted == 0 and self.last_id == self._given):
                return "differs"
        return "agrees" if events is not None and total is not None else "unknown"
