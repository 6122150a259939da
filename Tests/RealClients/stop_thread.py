"""Stops one thread of a process, as a debugger does, until its standard input ends.

usage: stop_thread.py PID THREAD-NAME
"""
import ctypes
import os
import sys
from pathlib import Path

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
ALL_THREADS = 0x40000000  # __WALL


def call(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(f"ptrace {request:#x}: {os.strerror(ctypes.get_errno())}")


def main():
    pid, name = sys.argv[1:]
    threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()
               if (task / "comm").read_text().strip() == name]
    if len(threads) != 1:
        sys.exit(f"{len(threads)} threads are called {name}")
    call(PTRACE_SEIZE, threads[0])
    call(PTRACE_INTERRUPT, threads[0])
    os.waitpid(threads[0], ALL_THREADS)
    print("stopped", flush=True)
    sys.stdin.read()
    call(PTRACE_DETACH, threads[0])
    print("going on", flush=True)


if __name__ == "__main__":
    main()
