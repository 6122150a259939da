"""Finds the library's sources and starts what takes long before the first test."""

import os
import subprocess
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "../../.."))
LIBRARY = os.path.join(ROOT, "Sources/Clients/Python")
ADAPTERS = os.path.join(ROOT, "Tests/Clients/Adapters")
GIVEN = os.path.join(os.environ.get("FERMATA_SHARED", os.path.join(ROOT, "../shared")), "clients")
KINDS = ["sync", "asyncio", "trio"]
sys.path[:0] = [os.path.join(LIBRARY, "src"), os.path.join(ADAPTERS, "python"), HERE]


class GivenCases:
    """The given cases, played to one kind of the library by their own driver, in the background."""

    def __init__(self, kind: str) -> None:
        with subprocess.Popen(
            [os.path.join(ADAPTERS, "run"), "python", kind], stdout=subprocess.PIPE, text=True
        ) as made:
            command = made.communicate()[0].strip()
        self.output = tempfile.TemporaryFile("w+")
        driver = [sys.executable, os.path.join(GIVEN, "run.py"), "--all", "--port", str(free_port())]
        self.process = subprocess.Popen([*driver, "--adapter", command], stdout=self.output, stderr=subprocess.DEVNULL)

    def finish(self) -> str:
        try:
            self.process.wait(150)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.output.seek(0)
        return self.output.read()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pytest_collection_modifyitems(items):
    # They run in the background meanwhile.
    items.sort(key=lambda item: "test_given" in item.nodeid)


@pytest.fixture(scope="session", autouse=True)
def given_cases(request):
    wanted = any("test_given" in item.nodeid for item in request.session.items)
    runs = {kind: GivenCases(kind) for kind in KINDS} if wanted and os.path.exists(GIVEN) else {}
    yield runs
    for run in runs.values():
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
        run.output.close()
