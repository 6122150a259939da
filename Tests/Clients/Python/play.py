#!/usr/bin/env python3
"""Plays cases.json to the adapter of any client library: play.py COMMAND... Standard library only."""

import json
import os
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from case_checks import play_and_check
from case_server import CaseServer, load

AT_ONCE = 4


class Adapter:
    """One process that plays one job at a time."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.hello = json.loads(self.process.stdout.readline())

    def play(self, job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def main():
    cases = load(os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases.json"))
    server, free = CaseServer(), queue.Queue()
    adapters = [Adapter(sys.argv[1:]) for _ in range(AT_ONCE)]
    for adapter in adapters:
        free.put(adapter)

    def one(case):
        adapter = free.get()
        try:
            play_and_check(case, adapter.play, server)
        except Exception as error:
            return f"FAIL {case['name']}: {case['why']}\n     {error!r}"
        finally:
            free.put(adapter)
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        failed = [line for line in pool.map(one, cases) if line]
    for adapter in adapters:
        adapter.process.kill()
        adapter.process.wait()
    print(
        "\n".join([*failed, f"{adapters[0].hello['client']}: {len(cases) - len(failed)} passed, {len(failed)} failed"])
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
