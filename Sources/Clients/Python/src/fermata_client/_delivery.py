"""The queue between what is read and what the consumer takes: order, filter, back-pressure. Pure."""

from __future__ import annotations

from collections import deque
from typing import Deque, Optional, Tuple

from ._classify import GATEWAY_ID, Meaning, json_object, whole_number
from ._clocks import Clocks
from ._events import Message, ServerEvent, StreamReset
from ._options import StreamOptions
from ._order import IndexOrder

# What a waiting event costs beyond its text.
EVENT_COST = 200


class Delivery:
    """Messages that wait for the consumer."""

    def __init__(self, options: StreamOptions, clocks: Clocks, given_id: str) -> None:
        self._options = options
        self._clocks = clocks
        self._queue: Deque[Tuple[Message, int]] = deque()
        self._bytes = 0
        self._taken_id = given_id
        self._newest_id = given_id
        self._order = IndexOrder(None if given_id else 0) if options.order == "index" else None
        self._filter = options.filter_stream_id if isinstance(options.filter_stream_id, str) else None

    @property
    def is_full(self) -> bool:
        """Whether enough waits."""
        return self._bytes >= self._options.high_water

    @property
    def has_items(self) -> bool:
        """Whether something waits."""
        return bool(self._queue)

    @property
    def last_taken_id(self) -> str:
        """The last event id in force for the consumer."""
        return self._taken_id if self._queue else self._newest_id

    def id_changed(self, identifier: str) -> None:
        """An id came without an event."""
        self._newest_id = identifier

    def add(self, event: ServerEvent, meaning: Meaning, now: float) -> bool:
        """Takes one event. False if the filter leaves it out."""
        payload = meaning.payload
        if payload is None and (self._options.filter_stream_id or self._order):
            payload = json_object(event.data)
        if payload and self._options.filter_stream_id:
            named = payload.get("streamId")
            if isinstance(named, str):
                if self._filter is None:
                    self._filter = named
                if named != self._filter:
                    self._newest_id = event.id
                    return False
        self._newest_id = event.id
        index = whole_number(payload.get("index")) if payload and self._order else None
        if self._order is None or meaning.kind != "event":
            self._put(event)
        elif index is not None and not GATEWAY_ID.fullmatch(event.id):
            self._add_in_order(event, index, now)
        else:
            self.release(now)
            self._put(event)
        return True

    def reset(self, reset: StreamReset, now: float) -> None:
        """What follows does not continue what came."""
        self.release(now)
        if self._order:
            self._order.restart()
        self._newest_id = ""
        self._put(reset)

    def release(self, now: Optional[float]) -> None:
        """Lets out what waits for a hole in the order."""
        if self._order and self._order.is_waiting:
            for event in self._order.release():
                self._put(event)
        self._clocks.clear("order")

    def fill(self, now: float) -> None:
        """Called after each piece that was read: the clocks stop while the queue is full."""
        if self.is_full:
            self._clocks.pause(now)

    def take(self, now: float) -> Optional[Message]:
        """The next message."""
        if not self._queue:
            return None
        message, cost = self._queue.popleft()
        self._bytes -= cost
        self._taken_id = message.id if isinstance(message, ServerEvent) else ""
        if not self.is_full:
            self._clocks.go_on(now)
        return message

    def drop(self) -> None:
        """The consumer left."""
        self._newest_id = self.last_taken_id
        self._queue.clear()
        self._bytes = 0
        if self._order:
            self._order.restart()

    def _add_in_order(self, event: ServerEvent, index: int, now: float) -> None:
        assert self._order is not None
        for ready in self._order.add(event, index):
            self._put(ready)
        if not self._order.is_waiting:
            self._clocks.clear("order")
        elif self._order.held_bytes >= self._options.high_water:
            self.release(now)
        elif not self._clocks.has("order"):
            self._clocks.set("order", now + self._options.order_wait)

    def _put(self, message: Message) -> None:
        cost = EVENT_COST + (len(message.data) + len(message.id) if isinstance(message, ServerEvent) else 0)
        self._bytes += cost
        self._queue.append((message, cost))
