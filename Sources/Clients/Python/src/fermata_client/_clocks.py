"""The timers of one stream, as time stamps. Pure: the time comes in."""

from __future__ import annotations

from typing import Dict, List, Optional

SILENCE = frozenset({"head", "dead", "end", "late", "refusal", "order"})
GRACED = frozenset({"head", "dead", "end"})
LATENESS = 2.0
GRACE = 5.0


class Clocks:
    """Named deadlines. One timer of the shell is enough for all."""

    def __init__(self) -> None:
        self._at: Dict[str, float] = {}
        self._graced = False
        self._full_since: Optional[float] = None

    def set(self, name: str, at: float) -> None:
        """Sets or moves a deadline."""
        self._at[name] = at

    def clear(self, *names: str) -> None:
        """Removes deadlines."""
        for name in names:
            self._at.pop(name, None)

    def has(self, name: str) -> bool:
        """Whether this deadline is set."""
        return name in self._at

    def sign_of_life(self) -> None:
        """A byte came: the next late timer gets its grace again."""
        self._graced = False

    def deadline(self) -> Optional[float]:
        """When `due` must be called next."""
        full = self._full_since is not None
        return min((at for name, at in self._at.items() if not (full and name in SILENCE)), default=None)

    def pause(self, now: float) -> None:
        """The consumer's queue is full: its time is not the server's silence."""
        if self._full_since is None:
            self._full_since = now

    def go_on(self, now: float) -> None:
        """The queue has room again."""
        if self._full_since is None:
            return
        held = now - self._full_since
        self._full_since = None
        for name in self._at:
            if name in SILENCE:
                self._at[name] += held

    def due(self, now: float) -> List[str]:
        """The deadlines that have passed, which are removed. A timer that fires late may get a grace first."""
        if self._full_since is not None:
            names = [name for name, at in self._at.items() if at <= now and name not in SILENCE]
        else:
            names = [name for name, at in self._at.items() if at <= now]
        passed: List[str] = []
        for name in sorted(names, key=lambda name: self._at[name]):
            # The process slept: the bytes that came meanwhile are read first.
            if name in GRACED and now - self._at[name] > LATENESS and not self._graced:
                self._graced = True
                self._at[name] = now + GRACE
                continue
            del self._at[name]
            passed.append(name)
        return passed


class DeadRule:
    """How long silence may last before a connection counts as dead."""

    FIRST = 45.0
    SHORTEST = 30.0
    LONGEST = 120.0

    def __init__(self, timeout: Optional[float], automatic: bool) -> None:
        self._timeout = timeout
        self._automatic = automatic
        self._last_comment: Optional[float] = None
        self._gap = 0.0

    def response(self) -> None:
        """A new response begins: the time until its first comment is no gap."""
        self._last_comment = None

    def comment(self, now: float) -> None:
        """A comment came."""
        if self._last_comment is not None:
            self._gap = max(self._gap, now - self._last_comment)
        self._last_comment = now

    def seconds(self, graceful: bool) -> Optional[float]:
        """The time that is allowed now; None for no limit."""
        if not self._automatic:
            return self._timeout
        if self._gap > 0:
            return min(max(self.SHORTEST, 2.5 * self._gap), self.LONGEST)
        return self.FIRST if graceful else None
