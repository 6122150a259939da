"""What is sent, and what an answer's head says. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union
from urllib.parse import quote, urlsplit, urlunsplit

from ._classify import json_object

HeaderValue = Union[str, bytes]
HeaderItems = List[Tuple[str, HeaderValue]]
HeadersInput = Union[Mapping[str, str], Sequence[Tuple[str, str]], None]
REFUSAL_LIMIT = 64 * 1024
SAFE_METHODS = frozenset({"GET", "HEAD"})
# What an HTTP field can carry (RFC 9110, 5.5), as UTF-8: no controls, no white space at its ends.
_SENDABLE = re.compile(r"(?! )[^\x00-\x1f\x7f]*(?<! )")


@dataclass(frozen=True)
class RequestPlan:
    """The next request."""

    exchange: int
    """A number for this request and its response."""
    attempt: int
    method: str
    url: str
    with_body: bool
    own_headers: HeaderItems = field(default_factory=list)
    """The library's fields; they go with the caller's."""
    at_stream_path: bool = False

    def merged(self, callers: HeadersInput) -> HeaderItems:
        """The caller's fields and the library's. The caller's Accept and Accept-Encoding win."""
        items = list(callers.items()) if isinstance(callers, Mapping) else list(callers or [])
        left_out = {"last-event-id"}
        if not self.with_body:
            left_out |= {"content-type", "content-length"}
        if self.at_stream_path:
            left_out.add("idempotency-key")
        merged: HeaderItems = [(name, value) for name, value in items if name.lower() not in left_out]
        given = {name.lower() for name, _ in merged}
        for name, value in self.own_headers:
            if name.lower() not in given or name.lower() in ("prefer", "last-event-id"):
                merged.append((name, value))
        return merged


def with_query(url: str, name: str, value: str) -> str:
    """The address with one more query parameter."""
    parts = urlsplit(url)
    pair = f"{name}={quote(value, safe='')}"
    return urlunsplit(parts._replace(query=f"{parts.query}&{pair}" if parts.query else pair))


def at_origin(url: str, template: str, identifier: str) -> str:
    """The address of a path at the origin of another address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{template.replace('{id}', quote(identifier, safe=''))}"


def named_path(value: Optional[str], url: str) -> Optional[str]:
    """The address that ``X-Stream-Resume`` names, if it is at the same origin."""
    origin = at_origin(url, "", "")
    if not value or any(not "!" <= letter <= "~" for letter in value):
        return None
    if value.startswith("/"):
        return None if value.startswith("//") else origin + value
    return value if value.startswith(origin + "/") else None


def id_fits_field(identifier: str) -> bool:
    """Whether an id can be sent as a header field."""
    return _SENDABLE.fullmatch(identifier) is not None


class Head:
    """The head of a response."""

    def __init__(self, status: int, fields: Sequence[Tuple[str, str]]) -> None:
        self.status = status
        self._fields: Dict[str, str] = {}
        for name, value in fields:
            self._fields.setdefault(name.lower(), value.strip())

    def get(self, name: str) -> Optional[str]:
        """The first field of this name, which is lower case; None if it is missing or empty."""
        return self._fields.get(name) or None

    @property
    def is_event_stream(self) -> bool:
        """A 2xx answer of the right type."""
        # A field that came twice may stand there in one, by commas.
        kind = re.split("[;,]", self.get("content-type") or "")[0].strip().lower()
        return 200 <= self.status < 300 and kind == "text/event-stream"

    def retry_after(self, wall_clock: float) -> Optional[float]:
        """Seconds to wait, from ``Retry-After`` (RFC 9110, 10.2.3: seconds or a date)."""
        value = self.get("retry-after")
        if value is None:
            return None
        if value.isascii() and value.isdigit():
            return float(value[:12])
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - wall_clock)
        except (TypeError, ValueError, OverflowError, IndexError):
            return None


def refusal_code(body: bytes) -> Tuple[Optional[str], Optional[str], Optional[object]]:
    """The code, the message and the document of a refusal (problem+json, or ``{"error": {"code": ...}}``)."""
    document = json_object(body[:REFUSAL_LIMIT].decode("utf-8-sig", "replace"))
    if document is None:
        return None, None, None
    error = document.get("error")
    inner = error if isinstance(error, dict) else {}
    code = document.get("code") or inner.get("code")
    message = inner.get("message") or document.get("detail") or document.get("title")
    if message is None and isinstance(error, str):
        message = error
    code = str(code) if isinstance(code, (str, int)) else None
    return code, message if isinstance(message, str) else None, document
