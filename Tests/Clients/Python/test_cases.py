"""Cases of our own, in the format of the given ones: each complaint about other libraries that the wire can show."""

import asyncio
import os
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import adapter
import pytest
import trio

from case_checks import play_and_check
from case_server import CaseServer, load
from conftest import HERE, KINDS

CASES = load(os.path.join(HERE, "cases.json"))


@pytest.fixture(scope="module")
def server():
    return CaseServer()


def play(kind, job):
    if kind == "sync":
        return adapter.play_sync(job)
    if kind == "trio":
        return trio.run(adapter.play_async, job)
    return asyncio.run(adapter.play_async(job))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case, server):
    """All kinds of the library at once: the cases wait more than they work."""
    with ThreadPoolExecutor(len(KINDS)) as pool:
        plays = {
            kind: pool.submit(play_and_check, {**case, "name": f"{case['name']}-{kind}"}, partial(play, kind), server)
            for kind in KINDS
        }
    for kind, done in plays.items():
        if error := done.exception():
            pytest.fail(f"{kind}: {''.join(traceback.format_exception(None, error, error.__traceback__))}", pytrace=False)
