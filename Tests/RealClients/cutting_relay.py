"""Relays connections to a server, and breaks those that read a stream after so many bytes of its response.

    cutting_relay.py HOST:PORT BYTES

Prints its own address, and ends with its standard input.
"""

import socket
import struct
import sys
import threading

host, port = sys.argv[1].rsplit(":", 1)
limit = int(sys.argv[2])


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client):
    request = client.recv(65536)
    server = socket.create_connection((host, int(port)))
    server.sendall(request)
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    if not request.startswith(b"GET /stream"):
        pump(server, client)
        return
    left = limit
    try:
        while left > 0 and (data := server.recv(min(65536, left))):
            client.sendall(data)
            left -= len(data)
        if left <= 0:
            # Without waiting, and with a reset: a cut.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    client.close()
    server.close()


listener = socket.create_server(("127.0.0.1", 0), backlog=64)
print("127.0.0.1:%d" % listener.getsockname()[1], flush=True)


def accept():
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


threading.Thread(target=accept, daemon=True).start()
sys.stdin.read()
