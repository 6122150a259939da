"""Plays cases (cases.json) to a client and records what it did. Loopback only, one thread, picked port."""

import asyncio
import json
import socket
import struct
import threading
import time


def payload(segment):
    if "hex" in segment:
        return bytes.fromhex(segment["hex"])
    text = segment.get("text", "")
    if "repeat" in segment:
        piece, times = segment["repeat"]
        text += piece * times + segment.get("tail", "")
    return text.encode()


class Play:
    """One playing of one case."""

    def __init__(self, case):
        self.case = case
        self.begun = time.monotonic()
        self.requests, self.deletes, self.exchanges = [], [], []

    def now(self):
        return (time.monotonic() - self.begun) * 1000


class Answer:
    """One response, as the case says."""

    def __init__(self, play, script, record, reader, writer):
        self.play, self.script, self.record, self.reader, self.writer = play, script, record, reader, writer
        self.status = script.get("status", 200)
        self.framing = script.get("framing", "chunked")
        self.chunked = self.framing == "chunked" and self.status not in (204, 304)
        self.gone = None

    async def run(self):
        """Returns whether the connection may be used again."""
        end = self.script.get("end", "finish")
        if end == "refuse":
            return self.ended(False)
        if not self.script.get("keep"):
            self.gone = asyncio.ensure_future(self.watch())
        try:
            await self.pause(self.script.get("stall"))
            if end == "drop":
                return self.ended(False)
            # `raw`: the segments bring their own head.
            if self.framing != "raw":
                self.send_head()
            for segment in self.script.get("segments", []):
                if not await self.send(segment):
                    break
            return await self.finish(end)
        except (ConnectionError, RuntimeError):
            self.left()
            return False
        finally:
            if self.gone is not None:
                self.gone.cancel()

    async def watch(self):
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.left()

    def left(self):
        if self.record["left"] is None:
            self.record["left"] = self.play.now()

    def ended(self, reusable):
        self.record["ended"] = self.play.now()
        return reusable

    async def pause(self, milliseconds):
        if milliseconds and self.gone is not None:
            await asyncio.wait({self.gone}, timeout=milliseconds / 1000)
        elif milliseconds:
            await asyncio.sleep(milliseconds / 1000)

    def send_head(self):
        lines = [f"HTTP/{'1.0' if self.framing == 'close10' else '1.1'} {self.status} X"]
        for name, value in self.script.get("headers", []):
            lines.append(f"{name}: {value.replace('{case}', self.play.case['name'])}")
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif self.framing == "length":
            whole = sum(len(payload(segment)) for segment in self.script.get("segments", []))
            lines.append(f"Content-Length: {self.script.get('length', whole)}")
        if self.script.get("early"):
            lines.insert(0, "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n")
        if not self.script.get("keep"):
            lines.append("Connection: close")
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def send(self, segment):
        deadline = time.monotonic() + 5
        while segment.get("until") == "delete" and not self.play.deletes and time.monotonic() < deadline:
            await self.pause(5)
        await self.pause(segment.get("wait"))
        data = payload(segment)
        step = segment.get("split") or len(data) or 1
        for at in range(0, len(data), step):
            if self.gone is not None and self.gone.done():
                return False
            piece = data[at : at + step]
            self.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece)
            await self.writer.drain()
            if segment.get("split"):
                await asyncio.sleep(segment.get("gap", 0) / 1000)
        return True

    async def finish(self, end):
        if end == "hold":
            await self.pause(self.script.get("hold", 8000))
        elif end in ("fin", "rst"):
            await self.writer.drain()
            await self.pause(30)
        elif self.chunked:
            self.writer.write(b"0\r\n\r\n")
            await self.writer.drain()
        self.ended(False)
        if end == "rst":
            connection = self.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        return bool(self.script.get("keep")) and end == "finish"


class CaseServer:
    """Serves /NAME/... for the play of that name."""

    def __init__(self):
        self.plays = {}
        self.accepted = 0
        ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        ready.wait(10)

    def start(self, case):
        """A new play and the address of its stream."""
        play = self.plays[case["name"]] = Play(case)
        return play, f"http://127.0.0.1:{self.port}/{case['name']}/s"

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        listener = self.loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0, limit=1 << 20))
        self.port = listener.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    async def _connection(self, reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted += 1
        try:
            while await self._request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _request(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:] if line}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        play = self.plays[target.split("/")[1]]
        seen = {"method": method, "target": target, "fields": fields, "body": body.decode(), "at": play.now()}
        if method == "DELETE":
            play.deletes.append(seen)
            answers = play.case.get("deletes", [{}])
            answer = answers[min(len(play.deletes), len(answers)) - 1]
            writer.write(f"HTTP/1.1 {answer.get('status', 204)} X\r\nContent-Length: 0\r\n\r\n".encode())
            return True
        play.requests.append(seen)
        number = len(play.requests) - 1
        if number >= len(play.case["server"]):
            writer.write(b"HTTP/1.1 410 X\r\nContent-Length: 0\r\n\r\n")
            return False
        record = {"begun": play.now(), "ended": None, "left": None}
        play.exchanges.append(record)
        return await Answer(play, play.case["server"][number], record, reader, writer).run()


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)["cases"]
