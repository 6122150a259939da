"""How long to wait before the next request. Pure: randomness comes in."""

from __future__ import annotations

from typing import Callable, Optional

LONGEST_SERVER_RETRY = 300.0


class Backoff:
    """Exponential pauses with half jitter. Only a new counted event starts them anew."""

    def __init__(self, base: float, maximum: float, attempts: Optional[int], random: Callable[[], float]) -> None:
        self._base = base
        self._maximum = maximum
        self._attempts = attempts
        self._random = random
        self.failures = 0
        """Requests in a row that brought no new counted event."""

    def server_asks(self, milliseconds: int) -> None:
        """The server sent ``retry:``. Zero is ignored."""
        if milliseconds > 0:
            self._base = min(milliseconds / 1000, LONGEST_SERVER_RETRY)

    def progress(self) -> None:
        """A new counted event came."""
        self.failures = 0

    def next(self, retry_after: Optional[float] = None) -> Optional[float]:
        """Seconds until the next request, or None to give up."""
        self.failures += 1
        if self._attempts is not None and self.failures > self._attempts:
            return None
        # The exponent is bounded: an endless feed must not overflow.
        doubled = self._base * 2.0 ** min(self.failures - 1, 60)
        ceiling = max(self._base, min(doubled, self._maximum))
        pause = ceiling / 2 + min(max(self._random(), 0.0), 1.0) * ceiling / 2
        return max(pause, retry_after or 0.0)
