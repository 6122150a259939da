"""Puts events into the order of their ``index``, where asked. Pure."""

from __future__ import annotations

from typing import Dict, List, Optional, Set, Tuple

from ._events import ServerEvent

MOST_HOLES = 1024


class IndexOrder:
    """Holds back what came too early until the hole is filled, or `release` is called."""

    def __init__(self, first: Optional[int]) -> None:
        self._next = first
        self._held: Dict[int, ServerEvent] = {}
        self._missed: Set[int] = set()
        self.held_bytes = 0

    @property
    def is_waiting(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def add(self, event: ServerEvent, index: int) -> List[ServerEvent]:
        """Takes an event and returns those that may go out now."""
        if self._next is None:
            self._next = index
        if index < self._next:
            if index not in self._missed:
                return []
            self._missed.discard(index)
            return [event]
        if index in self._held:
            return []
        self._held[index] = event
        self.held_bytes += len(event.data)
        return self._ready()

    def release(self) -> List[ServerEvent]:
        """Everything that is held, in order: the holes stay."""
        rest: List[Tuple[int, ServerEvent]] = sorted(self._held.items(), key=lambda pair: pair[0])
        self._held = {}
        self.held_bytes = 0
        for index, _ in rest:
            assert self._next is not None
            for hole in range(self._next, min(index, self._next + MOST_HOLES)):
                if len(self._missed) < MOST_HOLES:
                    self._missed.add(hole)
            self._next = index + 1
        return [event for _, event in rest]

    def restart(self) -> None:
        """After a reset, numbering begins anew."""
        self.__init__(None)  # type: ignore[misc]

    def _ready(self) -> List[ServerEvent]:
        ready: List[ServerEvent] = []
        while self._next in self._held:
            assert self._next is not None
            event = self._held.pop(self._next)
            self.held_bytes -= len(event.data)
            ready.append(event)
            self._next += 1
        return ready
