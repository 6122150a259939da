"""A client for Server-Sent Event streams: complete, resumed, cancelled, and never sent twice by mistake.

import fermata_client

with fermata_client.stream("POST", url, json={"prompt": "hello"}) as stream:
    for event in stream:
        print(event)
print(stream.result.complete)
"""

from __future__ import annotations

from ._async import AsyncHeaders, AsyncStream, astream, awrap
from ._events import Message, ServerEvent, StreamReset
from ._options import RetryPolicy, StreamOptions
from ._result import ErrorInfo, FermataError, OpenInfo, RetryInfo, StreamResult
from ._shell import Handlers
from ._sync import SyncHeaders, SyncStream, stream, wrap

__version__ = "1.0.0"

__all__ = [
    "AsyncHeaders",
    "AsyncStream",
    "ErrorInfo",
    "FermataError",
    "Handlers",
    "Message",
    "OpenInfo",
    "RetryInfo",
    "RetryPolicy",
    "ServerEvent",
    "StreamOptions",
    "StreamReset",
    "StreamResult",
    "SyncHeaders",
    "SyncStream",
    "astream",
    "awrap",
    "stream",
    "wrap",
]
