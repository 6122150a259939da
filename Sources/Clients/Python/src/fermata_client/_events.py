"""What a consumer is given: events and resets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Optional, Union


@dataclass(frozen=True)
class ServerEvent:
    """One Server-Sent Event with data."""

    type: str
    """The value of its ``event:`` line; ``message`` without one."""
    data: str
    """Its data lines, joined by line feeds."""
    id: str = ""
    """The last event id in force when it came; empty if there is none."""
    _parsed: Any = field(default=None, init=False, repr=False, compare=False)

    def json(self) -> Any:
        """The data as JSON, parsed once. Raises ``json.JSONDecodeError`` if it is not JSON."""
        if self._parsed is None:
            object.__setattr__(self, "_parsed", json.loads(self.data))
        return self._parsed


@dataclass(frozen=True)
class StreamReset:
    """The next events do not continue the previous ones: drop what you have shown."""

    reason: str
    """``unknown`` (a new run follows), ``evicted`` or ``epoch`` (everything still stored follows)."""
    oldest: Optional[str]
    """The id of the oldest event that the gateway still stores."""
    stream_id: str
    """The stream that follows."""


Message = Union[ServerEvent, StreamReset]
