"""An incremental parser for ``text/event-stream`` (WHATWG HTML 9.2.5 and 9.2.6). Pure: bytes in, blocks out."""

from __future__ import annotations

from typing import List, Optional, Union

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
RETRY_DIGITS = 15


class _LimitExceeded(Exception):
    pass


class Comment:
    """A comment line, which shows that the server is alive."""


class Retry:
    """A ``retry:`` line."""

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds


class Block:
    """What one blank line ended."""

    __slots__ = ("type", "data", "id")

    def __init__(self, type: str, data: Optional[str], id: Optional[str]) -> None:
        self.type = type
        """Empty without an ``event:`` line."""
        self.data = data
        """None without a ``data:`` line: such a block is no event."""
        self.id = id
        """None without a valid ``id:`` line."""


class TooLarge:
    """One event has more bytes than allowed. Nothing follows."""


Item = Union[Block, Comment, Retry, TooLarge]
COMMENT = Comment()
TOO_LARGE = TooLarge()


class EventParser:
    """Parses one response body. Every byte is scanned once, whatever the size of the pieces."""

    def __init__(self, max_event_bytes: int) -> None:
        self._limit = max_event_bytes
        self._start: Optional[bytes] = b""
        self._pieces: List[bytes] = []
        self._pending = 0
        self._after_cr = False
        self._data: List[bytes] = []
        self._type = b""
        self._id: Optional[bytes] = None
        self._touched = False
        self._size = 0
        self._dead = False

    def feed(self, data: bytes) -> List[Item]:
        """Adds a piece of the body and returns what it completed."""
        if self._dead:
            return []
        if self._start is not None:
            data = self._skip_mark(data)
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        items: List[Item] = []
        try:
            self._lines(data, items)
        except _LimitExceeded:
            self._dead = True
            items.append(TOO_LARGE)
        return items

    def _lines(self, data: bytes, items: List[Item]) -> None:
        # `bytes.splitlines` ends lines at CR, LF and CRLF only, which is what the format says.
        for line in data.splitlines(keepends=True):
            last = line[-1:]
            if last != b"\n" and last != b"\r":
                self._hold(line)
                break
            self._line(self._complete(line.rstrip(b"\r\n")), items)
        if data[-1:] == b"\r":
            self._after_cr = True

    def finish(self) -> List[Item]:
        """The body ended cleanly: a last event without its blank line is completed."""
        items: List[Item] = []
        if self._dead:
            return items
        try:
            if self._start:
                self._hold(self._start)
            if self._pieces:
                self._line(self._complete(b""), items)
            self._dispatch(items)
        except _LimitExceeded:
            items.append(TOO_LARGE)
        return items

    def _skip_mark(self, data: bytes) -> bytes:
        assert self._start is not None
        seen = self._start + data
        if len(seen) < 3 and BYTE_ORDER_MARK.startswith(seen):
            self._start = seen
            return b""
        self._start = None
        return seen[3:] if seen.startswith(BYTE_ORDER_MARK) else seen

    def _hold(self, piece: bytes) -> None:
        # Nothing of a comment is needed but that it is one.
        if (self._pieces[0] if self._pieces else piece)[:1] == b":":
            self._pieces = [b":"]
            return
        self._pieces.append(piece)
        self._pending += len(piece)
        if self._size + self._pending > self._limit:
            raise _LimitExceeded()

    def _complete(self, rest: bytes) -> bytes:
        if not self._pieces:
            return rest
        self._pieces.append(rest)
        line = b"".join(self._pieces)
        self._pieces = []
        self._pending = 0
        return line

    def _line(self, line: bytes, items: List[Item]) -> None:
        if not line:
            self._dispatch(items)
            return
        if line[:1] == b":":
            items.append(COMMENT)
            return
        self._size += len(line)
        if self._size > self._limit:
            raise _LimitExceeded()
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        self._field(name, value, items)

    def _field(self, name: bytes, value: bytes, items: List[Item]) -> None:
        if name == b"data":
            self._data.append(value)
            self._touched = True
        elif name == b"event":
            self._type = value
            self._touched = True
        elif name == b"id":
            if b"\0" not in value:
                self._id = value
                self._touched = True
        elif name == b"retry" and value.isdigit():
            # A longer number is only larger than any that is kept.
            items.append(Retry(int(value.lstrip(b"0")[:RETRY_DIGITS] or b"0")))

    def _dispatch(self, items: List[Item]) -> None:
        self._size = 0
        if not self._touched:
            return
        data = b"\n".join(self._data).decode("utf-8", "replace") if self._data else None
        identifier = None if self._id is None else self._id.decode("utf-8", "replace")
        items.append(Block(self._type.decode("utf-8", "replace"), data, identifier))
        self._data, self._type, self._id, self._touched = [], b"", None, False
