"""The parser: what it reads, how it is cut, and what it costs."""

import json
import os
import random
import time

import pytest
from fermata_client._parser import Block, Comment, EventParser, Retry, TooLarge

SAMPLE = (
    "\ufeff: hello\r\nevent: add\r\nid: 1\r\ndata:a\ndata: \u00e9\u2603\r\r\nretry: 20\n"
    'data\n\nevent: none\n\nid: x\0y\ndata: b\n\nid\n\ndata: {"n": 1}\n\n'
).encode()


def shown(items):
    rows = []
    for item in items:
        if isinstance(item, Block):
            rows.append((item.type, item.data, item.id))
        elif isinstance(item, Retry):
            rows.append(item.milliseconds)
        else:
            rows.append(type(item).__name__)
    return rows


def parse(pieces, limit=1 << 20):
    parser = EventParser(limit)
    items = [item for piece in pieces for item in parser.feed(piece)]
    return shown(items + parser.finish())


def test_fields_are_read_as_the_standard_says():
    assert parse([SAMPLE]) == [
        "Comment", ("add", "a\n\u00e9\u2603", "1"), 20, ("", "", None), ("none", None, None), ("", "b", None),
        ("", None, ""), ("", '{"n": 1}', None),
    ]  # fmt: skip


def test_the_pieces_do_not_matter():
    whole = parse([SAMPLE])
    for size in range(1, 20):
        assert parse([SAMPLE[at : at + size] for at in range(0, len(SAMPLE), size)]) == whole
    chance = random.Random(7)
    for _ in range(200):
        cuts = sorted(chance.sample(range(len(SAMPLE)), 5))
        assert parse([SAMPLE[a:b] for a, b in zip([0, *cuts], [*cuts, len(SAMPLE)])]) == whole


def events_of(pieces):
    """What a consumer gets of them: the last id stays, blocks without data are no events."""
    parser = EventParser(1 << 20)
    events, last_id = [], ""
    for item in (item for piece in pieces for item in parser.feed(piece)):
        if isinstance(item, Block):
            last_id = last_id if item.id is None else item.id
            if item.data is not None:
                events.append([item.type or "message", item.data, last_id])
    return events


def test_all_that_event_streams_may_look_like_is_read_alike_wherever_the_bytes_are_cut():
    with open(os.path.join(os.path.dirname(__file__), "../formats.json"), encoding="utf-8") as file:
        formats = json.load(file)
    for format in formats:
        data = bytes.fromhex(format["hex"]) if "hex" in format else format["text"].encode()
        for at in range(len(data) + 1 if len(data) < 1000 else 1):
            assert events_of([data[:at], data[at:]]) == format["events"], (format["name"], at)
        assert events_of(data[at : at + 1] for at in range(len(data))) == format["events"], format["name"]


def test_a_mark_behind_an_empty_piece_is_skipped_once():
    assert parse([b"", b"\xef", b"", b"\xbb\xbf", b"data: a\n\n", b"\xef\xbb\xbfdata: b\n\n"]) == [("", "a", None)]


def test_what_only_begins_like_a_mark_is_kept():
    assert parse([b"\xef\xbb", b"data: a\n\n"]) == []
    assert parse([b"\xef\xbb"]) == []


def test_invalid_utf8_is_replaced_and_nothing_is_lost():
    assert parse([b"data: \xff\xe2\x82\n\n"]) == [("", "\ufffd\ufffd", None)]


@pytest.mark.parametrize("value", [b"-1", b"1.5", b" 1 ", b"", "\u0663".encode()])
def test_a_retry_that_is_no_number_is_ignored(value):
    assert parse([b"retry:" + value + b"\n"]) == []


def test_a_retry_is_a_number_however_it_is_written():
    for value, milliseconds in [(b"0" * 400 + b"300", 300), (b"0", 0), (b"9" * 400, 999_999_999_999_999)]:
        assert [item.milliseconds for item in EventParser(1000).feed(b"retry:" + value + b"\n")] == [milliseconds]


def test_a_clean_end_completes_the_last_event():
    for end in (b"", b"\n", b"\r", b"\r\n"):
        assert parse([b"data: a\n\ndata: b" + end]) == [("", "a", None), ("", "b", None)]


def test_too_large_counts_all_lines_and_keeps_what_came_before():
    assert parse([b"data: a\n\n" + b"data: xxxxxxxx\n" * 100], 500) == [("", "a", None), "TooLarge"]
    assert parse([b"data: a\n\n", b"data: " + b"x" * 300, b"x" * 300], 500)[:2] == [("", "a", None), "TooLarge"]
    assert parse([b"x" * 501 + b"\n"], 500) == ["TooLarge"]


def test_comments_are_not_part_of_an_event():
    assert parse([b":" + b"x" * 100 + b"\n"] * 20, 500) == ["Comment"] * 20


def test_a_comment_without_end_is_not_kept():
    pieces = [b"data: a\n", b": "] + [b"x" * 1000] * 100 + [b"\ndata: b\n\n"]
    assert parse(pieces, 500) == ["Comment", ("", "a\nb", None)]


def seconds(pieces):
    parser = EventParser(1 << 30)
    begun = time.perf_counter()
    items = [item for piece in pieces for item in parser.feed(piece)]
    assert len(items) == 1 and not isinstance(items[0], (Comment, TooLarge))
    return time.perf_counter() - begun


@pytest.mark.parametrize("event", [b"data: " + b"x" * (8 << 20) + b"\n\n", b"data: xxxxxxxxxx\n" * (1 << 17) + b"\n"])
def test_a_large_event_in_small_pieces_costs_less_than_ten_times_one_piece(event):
    one = min(seconds([event]) for _ in range(3))
    pieces = [event[at : at + 1460] for at in range(0, len(event), 1460)]
    assert min(seconds(pieces) for _ in range(3)) < 10 * max(one, 0.02)
