"""A service manager's end of sd_notify: prints each message that comes, its lines joined by spaces.

usage: notified.py SOCKET
A name that begins with "@" is in the abstract space.
"""
import socket
import sys


def main():
    name = sys.argv[1]
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind("\0" + name[1:] if name.startswith("@") else name)
    print("listening", flush=True)
    while True:
        print(listener.recv(4096).decode().replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
