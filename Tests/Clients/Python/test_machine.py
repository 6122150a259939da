"""The decisions, with a clock of the test's own."""

import json

import pytest
from fermata_client import RetryPolicy, ServerEvent, StreamOptions
from fermata_client._backoff import Backoff
from fermata_client._clocks import Clocks, DeadRule
from fermata_client._machine import Machine, Phase
from fermata_client._requests import Head, id_fits_field

ID = "K4iOEHrIqKEd8FsJcnNBlQ"
PLAIN = [("Content-Type", "text/event-stream")]
GRACEFUL = [*PLAIN, ("X-Stream-Mode", "graceful"), ("X-Stream-Id", ID)]


def options(**settings):
    return StreamOptions(**{"retry": RetryPolicy(random=lambda: 1.0), **settings})


class Stream:
    """A machine and the time that passes."""

    def __init__(self, method="GET", given=None, **arguments):
        self.machine = Machine(method, "http://host/path?x=1", given or options(), **arguments)
        self.now = 1000.0
        self.machine.start(self.now)
        self.plan = self.machine.plan(self.now)

    def head(self, status=200, fields=PLAIN):
        self.machine.head(self.plan.exchange, self.now, 0.0, status, fields)
        return self

    def data(self, text):
        self.machine.data(self.plan.exchange, self.now, text.encode())
        return self

    def over(self, clean=False):
        self.machine.over(self.plan.exchange, self.now, clean)
        return self

    def wait(self, seconds):
        """Time passes, and the timer fires when it should."""
        end = self.now + seconds
        while True:
            deadline = self.machine.deadline()
            if deadline is None or deadline > end:
                break
            self.now = max(deadline, self.now)
            self.machine.tick(self.now)
        self.now = end
        return self

    def sleep(self, seconds):
        """Time passes, and nothing runs."""
        self.now += seconds
        self.machine.tick(self.now)
        return self

    def again(self):
        """The next request, once its pause is over."""
        self.wait(1000)
        assert self.machine.phase is Phase.SEND
        self.plan = self.machine.plan(self.now)
        return self

    def taken(self):
        messages = []
        while True:
            message = self.machine.take(self.now)
            if message is None:
                return messages
            messages.append(message)

    @property
    def outcome(self):
        return self.machine.result and self.machine.result.outcome


def token(number, stream=ID):
    return f"id: {stream}.{number}\nevent: token\ndata: {number}\n\n"


def end(**members):
    return "event: stream_end\ndata: " + json.dumps({"type": "stream_end", **members}) + "\n\n"


def test_a_quiet_plain_stream_lives_for_ever():
    stream = Stream().head()
    for number in range(10):
        stream.data(f"data: {number}\n\n").wait(400)
    assert stream.outcome is None
    assert len(stream.taken()) == 10


def test_a_graceful_stream_without_keepalives_is_dead_after_45_seconds():
    stream = Stream().head(200, GRACEFUL).data(token(1)).wait(44)
    assert stream.machine.phase is Phase.BODY
    assert stream.wait(2).machine.state == "reconnecting"


def test_silence_is_measured_against_the_gaps_between_comments():
    rule = DeadRule(None, automatic=True)
    assert (rule.seconds(True), rule.seconds(False)) == (45.0, None)
    rule.comment(0.0)
    assert rule.seconds(False) is None
    rule.comment(25.0)
    assert rule.seconds(False) == 62.5
    rule.comment(30.0)
    assert rule.seconds(False) == 62.5
    rule.comment(1030.0)
    assert rule.seconds(False) == 120.0


def test_a_machine_that_slept_gives_one_grace_of_five_seconds():
    stream = Stream().head(200, GRACEFUL).data(token(1))
    stream.sleep(600)
    assert stream.machine.phase is Phase.BODY
    assert stream.machine.deadline() == pytest.approx(stream.now + 5)
    stream.wait(5.1)
    assert stream.machine.phase is not Phase.BODY
    assert stream.again().plan.method == "GET"


def test_a_machine_that_slept_believes_the_bytes_that_wait():
    stream = Stream().head(200, GRACEFUL).data(token(1)).sleep(600).data(token(2))
    assert stream.wait(40).machine.phase is Phase.BODY


def test_a_full_queue_stops_the_clocks():
    stream = Stream(given=options(dead_timeout=10, high_water=10)).head(200, GRACEFUL).data(token(1))
    assert stream.machine.is_full
    stream.wait(500)
    assert stream.machine.phase is Phase.BODY
    stream.taken()
    assert stream.wait(9).machine.phase is Phase.BODY
    assert stream.wait(2).machine.phase is not Phase.BODY


@pytest.mark.parametrize(
    ("named", "url"),
    [
        (None, f"http://host/fermata/streams/{ID}"),
        ("/kept/1?a=b", "http://host/kept/1?a=b"),
        ("http://host/kept/1", "http://host/kept/1"),
        ("//elsewhere/1", f"http://host/fermata/streams/{ID}"),
        ("http://elsewhere/1", f"http://host/fermata/streams/{ID}"),
        ("http://host.elsewhere/1", f"http://host/fermata/streams/{ID}"),
        ("/a b", f"http://host/fermata/streams/{ID}"),
    ],
)
def test_a_kept_run_is_resumed_where_the_server_says_at_the_same_origin(named, url):
    fields = GRACEFUL + ([("X-Stream-Resume", named)] if named else [])
    assert Stream("POST").head(200, fields).data(token(1)).over().again().plan.url == url


def test_the_callers_own_path_for_resuming_wins():
    stream = Stream(given=options(stream_path="/mine/{id}")).head(200, [*GRACEFUL, ("X-Stream-Resume", "/kept/1")])
    assert stream.over().again().plan.url == f"http://host/mine/{ID}"


def test_a_cancelled_run_that_is_cut_is_asked_once_more_how_it_ended():
    stream = Stream().head(200, GRACEFUL).data(token(1))
    stream.machine.cancel(stream.now)
    assert stream.over().machine.phase is Phase.SEND
    stream.plan = stream.machine.plan(stream.now)
    stream.head(200, GRACEFUL).data(end(outcome="cancelled", events=1, lastEventId=f"{ID}.1"))
    assert [effect.kind for effect in stream.machine.effects].count("cancel") == 1
    assert (stream.outcome, stream.machine.result.verified, stream.machine.result.error) == ("cancelled", True, None)


def test_a_cancelled_run_whose_end_nobody_tells_was_left():
    stream = Stream().head(200, GRACEFUL).data(token(1))
    stream.machine.cancel(stream.now)
    stream.wait(3)
    assert stream.outcome == "aborted" and stream.machine.result.error is None


def test_a_feed_that_has_nothing_more_ended():
    feed = Stream(given=options(profile="feed")).head().data("data: [DONE]\n\n").over(clean=True).again()
    assert feed.head(204, []).outcome == "ended"


def test_the_end_of_another_gateways_stream_is_an_event():
    inner = end(outcome="completed", events=9, lastEventId="x.9", streamId="x")
    stream = Stream().head(200, GRACEFUL).data(inner)
    assert stream.outcome is None and len(stream.taken()) == 1


def test_pauses_double_up_to_the_longest_with_half_of_them_by_chance():
    low, high = Backoff(1, 30, None, lambda: 0.0), Backoff(1, 30, None, lambda: 1.0)
    assert [low.next() for _ in range(7)] == [0.5, 1, 2, 4, 8, 15, 15]
    assert [high.next() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    for _ in range(5000):
        assert high.next() == 30
    high.progress()
    assert high.next(retry_after=7.0) == 7.0


def test_a_pause_of_the_server_is_kept_within_five_minutes():
    backoff = Backoff(1, 30, None, lambda: 1.0)
    backoff.server_asks(0)
    assert backoff.next() == 1
    backoff.server_asks(10**14)
    assert backoff.next() == 300


@pytest.mark.parametrize(
    "value, seconds",
    [("3", 3.0), ("Thu, 01 Jan 1970 00:00:10 GMT", 10.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert Head(503, [("Retry-After", value)]).retry_after(0.0) == seconds


def test_five_failures_in_a_row_are_enough():
    stream = Stream()
    for _ in range(5):
        stream.head(503, []).over()
        assert stream.machine.phase is Phase.PAUSE
        stream.again()
    stream.head(503, []).over()
    assert (stream.outcome, stream.machine.result.attempts) == ("no_stream", 6)
    assert stream.machine.result.error.is_retryable


def test_a_feed_never_gives_up():
    stream = Stream(given=options(profile="feed"))
    for _ in range(50):
        stream.head(503, []).over().again()
    assert stream.outcome is None


@pytest.mark.parametrize("status", [400, 403, 404, 409, 424, 426, 428, 431, 451, 501, 304, 300])
def test_final_statuses_are_not_asked_again(status):
    stream = Stream().head(status, []).over(clean=True)
    assert (stream.outcome, stream.machine.result.error.status) == ("no_stream", status)
    assert not stream.machine.result.error.is_retryable


def test_a_wait_of_hours_is_the_callers_decision():
    stream = Stream().head(503, [("Retry-After", "7200")]).over(clean=True)
    assert stream.machine.result.error.retry_after == 7200


def test_a_post_is_asked_again_only_where_nothing_can_have_begun():
    for status, fields, again in [(500, [], False), (503, [], False), (503, [("Retry-After", "1")], True), (429, [("Retry-After", "1")], True), (502, [("Retry-After", "1")], False)]:  # fmt: skip  # noqa: E501
        stream = Stream("POST").head(status, fields).over(clean=True)
        assert (stream.machine.phase is Phase.PAUSE) == again, status
    assert Stream("POST").over().outcome == "no_stream"
    assert Stream("POST", idempotency_key="k").over().machine.phase is Phase.PAUSE


def test_a_backends_own_stream_end_is_an_event():
    stream = Stream().head(200, GRACEFUL)
    stream.data(f'id: {ID}.1\nevent: stream_end\ndata: {{"type":"stream_end"}}\n\n')
    stream.data(f"id: {ID}.2\nevent: stream_end\ndata: over\n\n")
    assert [message.type for message in stream.taken()] == ["stream_end", "stream_end"]
    assert stream.outcome is None


def test_announcements_of_this_stream_are_delivered_once_and_not_counted():
    ready = 'event: control\ndata: {"type":"prompt_ready","streamId":"%s"}\n\n'
    stream = Stream().head(200, GRACEFUL).data(ready % ID).data(ready % ID).data(ready % "other").data(token(2))
    assert [message.type for message in stream.taken()] == ["control", "control", "token"]
    stream.data(end(outcome="completed", events=2, lastEventId=f"{ID}.2"))
    assert (stream.outcome, stream.machine.result.verified) == ("completed", True)


def test_an_answer_from_another_stream_is_not_mixed_in():
    stream = Stream().head(200, GRACEFUL).data(token(1)).over().again()
    other = "u_Fjta2ydpXNqCdA3FQs_w"
    stream.head(200, [*PLAIN, ("X-Stream-Mode", "graceful"), ("X-Stream-Id", other)]).data(token(1, other))
    assert stream.outcome == "cut"
    assert [message.data for message in stream.taken()] == ["1"]


def test_counts_of_a_stream_that_continues_an_unknown_id_are_not_believed():
    stream = Stream(last_event_id="backend-7").head(200, GRACEFUL).data("id: backend-8\ndata: a\n\n")
    stream.data(end(outcome="completed", events=8, lastEventId="backend-8"))
    assert (stream.outcome, stream.machine.result.verified) == ("completed", False)


def test_more_events_than_the_server_counts_are_not_complete():
    stream = Stream().head(200, GRACEFUL).data(token(1) + token(2))
    stream.data(end(outcome="completed", events=1, lastEventId=f"{ID}.2"))
    assert (stream.outcome, stream.machine.result.complete) == ("missing_events", False)


def test_the_gateways_error_is_the_detail():
    detail = {
        "type": "error",
        "source": "gateway",
        "error": {"code": "idle_timeout", "message": "the backend is silent"},
    }
    stream = Stream().head(200, GRACEFUL).data(f"event: error\ndata: {json.dumps(detail)}\n\n")
    stream.data(end(outcome="idle_timeout", events=0, lastEventId=""))
    error = stream.machine.result.error
    assert (error.code, error.message, error.detail, error.is_retryable) == (
        "idle_timeout", "the backend is silent", detail, True,
    )  # fmt: skip
    assert stream.taken() == []


def test_a_terminal_then_a_cut_of_a_kept_run_is_asked_for():
    stream = Stream().head(200, GRACEFUL).data(token(1) + "data: [DONE]\n\n").over()
    assert stream.again().plan.url == f"http://host/fermata/streams/{ID}"
    assert stream.head(404, []).over(clean=True).outcome == "completed"
    assert not stream.machine.result.verified


def test_the_place_to_resume_is_what_the_consumer_took():
    stream = Stream().head(200, GRACEFUL).data(token(1) + token(2) + token(3))
    assert isinstance(stream.machine.take(stream.now), ServerEvent)
    assert stream.machine.last_event_id == f"{ID}.1"
    stream.machine.close(stream.now)
    assert (stream.outcome, stream.machine.result.last_event_id) == ("aborted", f"{ID}.1")
    assert stream.taken() == []


def test_inputs_of_an_exchange_that_is_over_change_nothing():
    stream = Stream().head(200, GRACEFUL).data(token(1))
    old = stream.plan.exchange
    stream.over().again().head(200, GRACEFUL)
    stream.machine.data(old, stream.now, token(9).encode())
    stream.machine.over(old, stream.now, True)
    assert stream.machine.phase is Phase.BODY
    assert [message.data for message in stream.taken()] == ["1"]


def test_ids_that_no_field_can_carry_go_by_the_query():
    for identifier in ("a\x01b", " a", "a ", "a\tb"):
        assert not id_fits_field(identifier)
        plan = Stream(last_event_id=identifier).plan
        assert "last_event_id=" in plan.url
        assert all(name != "Last-Event-ID" for name, _ in plan.own_headers)
    assert id_fits_field("\u00e9 \u2603")


def test_hostile_payloads_are_plain_events():
    deep = "[" * 100_000
    for data in (deep, '{"type":"stream_end","a":' + deep, '{"type":["stream_end"]}', "{", "null", '{"error":1e999'):
        stream = Stream(given=options(order="index", filter_stream_id=True)).head(200, GRACEFUL)
        stream.data(f"data: {data}\n\n")
        assert len(stream.taken()) == 1 and stream.outcome is None


def test_ends_with_strange_members_are_not_believed():
    for members in (
        {"events": True},
        {"events": "1"},
        {"events": 1.5},
        {"events": -1},
        {"lastEventId": 7, "events": None},
    ):
        stream = Stream().head(200, GRACEFUL).data(token(1)).data(end(outcome="completed", **members))
        assert stream.outcome in ("completed", "missing_events")
        assert not stream.machine.result.verified


def test_order_holds_no_more_than_the_queue():
    stream = Stream(given=options(order="index", high_water=10_000)).head()
    for index in range(1, 200):
        stream.data('data: {"index": %d, "x": "%s"}\n\n' % (index, "y" * 100))
    assert len(stream.taken()) >= 80


def test_clocks_name_what_is_due_in_its_order():
    clocks = Clocks()
    clocks.set("late", 5)
    clocks.set("dead", 4)
    assert clocks.deadline() == 4
    assert clocks.due(4.5) == ["dead"]
    assert clocks.due(6) == ["late"]
    assert clocks.deadline() is None


@pytest.mark.parametrize("wrong", [{"profile": "x"}, {"resume": "x"}, {"order": "x"}, {"opt_in": "x"}, {"dead_timeout": "x"}, {"head_timeout": 0}, {"end_wait": -1}, {"max_event_bytes": 0}])  # fmt: skip  # noqa: E501
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StreamOptions(**wrong)
