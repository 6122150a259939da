"""The library `websockets` on both sides of the gateway.

    websockets_echo.py server              echoes; prints its port, and ends with its input
    websockets_echo.py client URL [ROOTS]  sends what it should get back: one JSON object on standard output
"""

import asyncio
import hashlib
import json
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

LIMIT = 32 << 20


async def echo(connection):
    try:
        async for message in connection:
            if message == "close":
                await connection.close(4321, "as you wish")
            else:
                await connection.send(message)
    except ConnectionClosed:
        pass


async def server():
    async with serve(echo, "127.0.0.1", 0, max_size=LIMIT, subprotocols=["chat"]) as listening:
        print(listening.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def messages():
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20]:
        yield "a" * size
        yield hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1)


async def client(url, roots):
    context = ssl.create_default_context(cafile=roots) if roots else None
    report = {"same": 0, "sent": 0}
    try:
        async with connect(
            url, ssl=context, max_size=LIMIT, subprotocols=["chat"], additional_headers={"X-Own": "1"}
        ) as connection:
            report["subprotocol"] = connection.subprotocol
            report["extensions"] = [extension.name for extension in connection.protocol.extensions]
            for message in messages():
                report["sent"] += 1
                await connection.send(message)
                if await connection.recv() == message:
                    report["same"] += 1
            pong = await connection.ping()
            report["latency"] = await pong
            many = [f"{index}" for index in range(2000)]
            await asyncio.gather(*(connection.send(text) for text in many))
            report["inOrder"] = [await connection.recv() for _ in many] == many
            await connection.send("close")
            try:
                await connection.recv()
            except ConnectionClosed as closed:
                report["close"] = [closed.rcvd.code, closed.rcvd.reason]
    except InvalidStatus as refused:
        report["status"] = refused.response.status_code
    print(json.dumps(report))


if sys.argv[1] == "server":
    asyncio.run(server())
else:
    asyncio.run(client(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None))
