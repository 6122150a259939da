"""MCP's client over streamable HTTP: what its transport makes of the answer to one call of a tool."""

import asyncio
import logging

from matrix_adapter import Unsupported, serve, speaks_http2, trusted, unavailable

try:
    from importlib.metadata import version

    import httpx2
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared.message import SessionMessage
    from mcp.types import JSONRPCError, JSONRPCNotification, JSONRPCRequest
except ImportError as caught:
    unavailable(caught)

# What it says of events that it does not know.
logging.disable(logging.CRITICAL)
CALL = {"name": "answer", "arguments": {}}


async def read(job, answer):
    limit = job["deadlineMs"] / 1000
    async with (
        httpx2.AsyncClient(
            headers=job["headers"], timeout=limit, http2=speaks_http2(job), verify=trusted(job), trust_env=False
        ) as client,
        streamable_http_client(job["url"], http_client=client, terminate_on_close=False) as (incoming, outgoing),
    ):
        await outgoing.send(
            SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call", params=CALL))
        )
        async for item in incoming:
            if isinstance(item, Exception):
                raise item
            if isinstance(item.message, JSONRPCError):
                return answer.fail(item.message.error.message)
            if not isinstance(item.message, JSONRPCNotification):
                return
            answer.event("", "", (item.message.params or {}).get("data", ""))
            await asyncio.sleep(((job.get("readDelayMs") or 0) + (job.pop("stallMs", None) or 0)) / 1000)


def run(job, answer):
    if job.get("resume") or job.get("lastEventId"):
        raise Unsupported
    asyncio.run(asyncio.wait_for(read(job, answer), job["deadlineMs"] / 1000))


if __name__ == "__main__":
    serve("mcp", version("mcp"), run)
