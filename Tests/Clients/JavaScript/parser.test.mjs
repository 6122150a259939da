import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { createParser } from "../../../Sources/Clients/JavaScript/src/parser.js";

function parse(pieces, { whole = false, ...options } = {}) {
  const events = [];
  const parser = createParser({ onEvent: ({ type, data, id }) => events.push([type, data, id]), ...options });
  const isRead = pieces.map((piece) => parser.feed(piece));
  parser.end(whole);
  return { events, isRead, parser };
}

const bytes = (text) => new TextEncoder().encode(text);

test("the same events come out wherever the bytes are cut", () => {
  const text = "\ufeffid: 1\r\nevent: a\r\ndata: ä€😀\r\n\r\n:c\rdata:x\rdata: y\r\rid\ndata\n\ndata: z\r\n\r\n";
  const { events } = parse([bytes(text)]);
  const [second, third] = [["message", "x\ny", "1"], ["message", "", ""]];
  assert.deepEqual(events, [["a", "ä€😀", "1"], second, third, ["message", "z", ""]]);
  const all = bytes(text);
  for (let at = 0; at <= all.length; at++) {
    assert.deepEqual(parse([all.slice(0, at), all.slice(at)]).events, events, `cut at ${at}`);
  }
  assert.deepEqual(parse(Array.from(all, (byte) => Uint8Array.of(byte))).events, events);
});

test("all that event streams may look like is read alike wherever the bytes are cut", () => {
  for (const { name, text, hex, events } of JSON.parse(readFileSync(new URL("../formats.json", import.meta.url)))) {
    const all = hex === undefined ? bytes(text) : Uint8Array.from(Buffer.from(hex, "hex"));
    const places = all.length < 1000 ? all.length : 0;
    for (let at = 0; at <= places; at++) {
      assert.deepEqual(parse([all.slice(0, at), all.slice(at)]).events, events, `${name}, cut at ${at}`);
    }
    assert.deepEqual(parse(Array.from(all, (byte) => Uint8Array.of(byte))).events, events, name);
  }
});

test("a byte order mark behind an empty piece is skipped, a second one is not", () => {
  const mark = Uint8Array.of(0xef, 0xbb, 0xbf);
  const { events } = parse([new Uint8Array(0), mark, bytes("data: a\n\n"), mark, bytes("data: b\n\ndata: c\n\n")]);
  assert.deepEqual(events, [["message", "a", ""], ["message", "c", ""]]);
});

test("an event in small pieces costs no more than ten times one piece", () => {
  const all = bytes("data: " + "x".repeat(8 << 20) + "\n\n");
  const time = (size) => {
    const pieces = [];
    for (let at = 0; at < all.length; at += size) pieces.push(all.subarray(at, at + size));
    const began = performance.now();
    assert.equal(parse(pieces).events[0][1].length, 8 << 20);
    return performance.now() - began;
  };
  const best = (size) => Math.min(time(size), time(size), time(size));
  const whole = best(all.length);
  const small = best(1460);
  assert.ok(small < 10 * Math.max(whole, 5), `${small} ms in pieces, ${whole} ms at once`);
});

test("an event without end is given up at the limit", () => {
  for (const line of ["x".repeat(100), "data: x\n", "data: \u20ac\n"]) {
    const { isRead, events } = parse([bytes("data: a\n\n"), ...Array(2000).fill(bytes(line))], { maxEventBytes: 1000 });
    assert.equal(isRead.at(-1), false, line);
    assert.equal(events.length, 1);
  }
});

test("the limit is in bytes, for all lines of an event together", () => {
  const text = "data: €€\ndata: €€\n\n";
  assert.equal(parse([bytes(text)], { maxEventBytes: 24 }).isRead[0], true);
  assert.equal(parse([bytes(text)], { maxEventBytes: 23 }).isRead[0], false);
  assert.equal(parse([text], { maxEventBytes: 23 }).isRead[0], false);
});

test("comments that ended do not count against the limit", () => {
  const { isRead, events } = parse([...Array(2000).fill(bytes(": keepalive\n")), bytes("data: a\n\n")], {
    maxEventBytes: 1000,
  });
  assert.equal(isRead.at(-1), true);
  assert.equal(events.length, 1);
});

test("a comment may be as long as it likes, and only its beginning is told", () => {
  const comments = [];
  const options = { maxEventBytes: 1000, onComment: (text) => comments.push(text) };
  const pieces = [bytes(":"), ...Array(2000).fill(bytes("x".repeat(100))), bytes("\ndata: a\n\n:short\n")];
  const { isRead, events } = parse(pieces, options);
  assert.equal(isRead.at(-1), true);
  assert.deepEqual(events, [["message", "a", ""]]);
  assert.deepEqual(comments, ["x".repeat(1024), "short"]);
});

test("an event without its blank line is handed out at a whole end only", () => {
  assert.deepEqual(parse([bytes("id: 7\ndata: a")], { whole: true }).events, [["message", "a", "7"]]);
  const cut = parse([bytes("id: 7\ndata: a\n")]);
  assert.deepEqual(cut.events, []);
  assert.equal(cut.parser.lastEventId, "");
});

test("retry counts only as digits, ids with NUL not at all, and an id without data is told", () => {
  const seen = [];
  const note = (name) => (value) => seen.push([name, value]);
  const text = "retry: 5\nretry: 5s\nretry:\nid: a\0b\n\nid: c\n\n:hello\n";
  createParser({ onEvent() {}, onRetry: note("retry"), onId: note("id"), onComment: note("comment") }).feed(text);
  assert.deepEqual(seen, [["retry", 5], ["id", "c"], ["comment", "hello"]]);
});
