"""Relays connections to a server, and breaks each that reads a stream after so many bytes of the response.

    cutting_relay.py HOST:PORT BYTES

Prints its own address, and ends with its standard input.
"""

import socket
import sys
import threading

host, port = sys.argv[1].rsplit(":", 1)
limit = int(sys.argv[2])


class Relay:
    def __init__(self, client):
        self.client = client
        self.server = socket.create_connection((host, int(port)))
        self.reads_stream = False
        threading.Thread(target=self.send_requests, daemon=True).start()
        threading.Thread(target=self.send_responses, daemon=True).start()

    def send_requests(self):
        try:
            while data := self.client.recv(65536):
                self.reads_stream = data.startswith(b"GET /stream")
                self.server.sendall(data)
            self.server.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def send_responses(self):
        left = limit
        try:
            while left > 0 and (data := self.server.recv(min(left, 65536))):
                self.client.sendall(data)
                left -= len(data) if self.reads_stream else 0
        except OSError:
            pass
        # The other thread may be reading either: closing alone would tell nobody.
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def accept(listener):
    while True:
        Relay(listener.accept()[0])


listener = socket.create_server(("127.0.0.1", 0), backlog=64)
print("127.0.0.1:%d" % listener.getsockname()[1], flush=True)
threading.Thread(target=accept, args=(listener,), daemon=True).start()
sys.stdin.read()
