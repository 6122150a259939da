"""Reads many event streams at once on one connection of httpx over HTTP/2: one JSON object on standard output.

    many_streams.py URL COUNT ROOTS

Each stream asks with another `k`. Says of each how many events of the type `token` it had, and what its last event was.
"""

import asyncio
import json
import ssl
import sys

import httpx
from httpx_sse import aconnect_sse

url, count, roots = sys.argv[1], int(sys.argv[2]), sys.argv[3]


async def read(client, index):
    tokens, last = 0, ""
    try:
        async with aconnect_sse(client, "GET", f"{url}&k={index}") as source:
            async for event in source.aiter_sse():
                tokens += event.event == "token"
                last = event.data
    except httpx.HTTPError as error:
        last = f"{type(error).__name__}: {error}"
    return [tokens, last]


async def main():
    context = ssl.create_default_context(cafile=roots)
    async with httpx.AsyncClient(http2=True, verify=context, timeout=60) as client:
        streams = await asyncio.gather(*(read(client, index) for index in range(count)))
    print(json.dumps({"streams": streams}))


asyncio.run(main())
