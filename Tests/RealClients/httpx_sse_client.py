"""What httpx-sse makes of an event stream: one JSON object on standard output.

    httpx_sse_client.py URL [prefer] [http2 ROOTS]
"""

import json
import ssl
import sys

import httpx
from httpx_sse import connect_sse

url, *options = sys.argv[1:]
headers = {"Prefer": "stream-end"} if "prefer" in options else {}
verify = ssl.create_default_context(cafile=options[-1]) if "http2" in options else False
events, error, served, version = [], None, None, None
try:
    with httpx.Client(timeout=20, http2="http2" in options, verify=verify) as client:
        with connect_sse(client, "GET", url, headers=headers) as source:
            served = source.response.headers.get("x-stream-mode")
            version = source.response.http_version
            for event in source.iter_sse():
                events.append([event.event, event.id, event.data])
except httpx.HTTPError as caught:
    error = f"{type(caught).__name__}: {caught}"
print(json.dumps({"events": events, "error": error, "mode": served, "version": version}))
