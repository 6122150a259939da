"""What a client must have done in a case. Standard library only."""

import time

DEFAULTS = {"retryBaseMs": 40, "retryMaxMs": 2000, "maxRetries": 3, "headTimeoutMs": 5000}


def utf8(value):
    return None if value is None else value.encode("latin-1").decode("utf-8")


def check_requests(case, played):
    expect = case["expect"]
    assert len(played.requests) == expect["requests"], [seen["target"] for seen in played.requests]
    for number, wanted in enumerate(expect.get("request", [])):
        seen = played.requests[number]
        for name, value in (wanted or {}).get("header", {}).items():
            assert seen["fields"].get(name) == value
        if "last_event_id" in (wanted or {}):
            assert utf8(seen["fields"].get("last-event-id")) == wanted["last_event_id"]
        for name in ("method", "body"):
            if name in (wanted or {}):
                assert seen[name] == wanted[name]
        if "path" in (wanted or {}):
            assert seen["target"] == f"/{case['name']}/{wanted['path']}"
        if "gap_ms" in (wanted or {}):
            before = played.exchanges[number - 1]
            gap = seen["at"] - min(at for at in (before["ended"], before["left"]) if at is not None)
            assert wanted["gap_ms"][0] <= gap <= wanted["gap_ms"][1]


def check_result(case, answer, took):
    expect, result = case["expect"], answer["result"]
    error = result.get("error") or {}
    assert answer["events"] == expect["events"]
    assert (result["outcome"], result["complete"]) == (expect["outcome"], expect["complete"])
    assert error.get("code") == expect["error"]
    for name, given in (
        ("verified", result["verified"]),
        ("error_status", error.get("status")),
        ("last_event_id", result["lastEventId"]),
        ("notices", answer["notices"]),
        ("bytes", result["bytes"]),
    ):
        if name in expect:
            assert given == expect[name], name
    if "duration_ms" in expect:
        assert expect["duration_ms"][0] <= took <= expect["duration_ms"][1]


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def play_and_check(case, play, server):
    """Plays one case to a client: `play` takes a job and returns an answer. Raises AssertionError."""
    played, url = server.start(case)
    base = f"/{case['name']}/"
    paths = {"streamPath": base + "fermata/streams/{id}", "runPath": base + "api/agents/run/{id}"}
    client = case.get("client", {})
    job = {"method": "GET", **client, "url": url, "options": {**DEFAULTS, **client.get("options", {}), **paths}}
    begun = time.monotonic()
    answer = play(job)
    took = (time.monotonic() - begun) * 1000
    check_result(case, answer, took)
    check_requests(case, played)
    if "deletes" in case["expect"]:
        # The run's end may be read before its DELETE is through.
        assert wait_until(lambda: len(played.deletes) == case["expect"]["deletes"], 1), len(played.deletes)
        assert all(seen["target"].startswith(base + "api/agents/run/") for seen in played.deletes)
    if "left_within_ms" in case["expect"]:
        assert wait_until(lambda: played.exchanges[0]["left"] is not None, 1)
        assert played.exchanges[0]["left"] <= case["expect"]["left_within_ms"]
