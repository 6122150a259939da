import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import test, { afterEach, beforeEach } from "node:test";
import { FermataStreamError, openStream } from "../../../Sources/Clients/JavaScript/src/index.js";
import { collect, fakeClock, fakeFetch, fakeLogger, GRACEFUL } from "./support/fakes.mjs";

const URL = "http://example.test/stream";
// What Node needs is loaded when it is first needed, by a clock that these tests do not move.
await import("../../../Sources/Clients/JavaScript/src/framing.js");

const ID = GRACEFUL["X-Stream-Id"];
const token = (number) => `id: ${ID}.${number}\ndata: ${number}\n\n`;
const end = (members) =>
  `event: stream_end\ndata: ${JSON.stringify({ type: "stream_end", outcome: "completed", ...members })}\n\n`;

let clock;
let net;
beforeEach(() => {
  clock = fakeClock();
  net = fakeFetch();
});
afterEach(() => clock.restore());

/** A stream whose items are taken as they come. */
function open(options = {}) {
  const stream = openStream(URL, { fetch: net.fetch, retry: { random: () => 1 }, ...options });
  return { stream, items: collect(stream) };
}

test("nothing but a new event starts the tries anew", async () => {
  const delays = [];
  const { stream } = open({ onRetry: ({ delay }) => delays.push(delay) });
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  net.calls[0].break();
  await clock.settle();
  const useless = [": comment\n", token(1), "", `event: error\ndata: {"source":"gateway"}\n\n`, token(1)];
  for (const [at, text] of useless.entries()) {
    await clock.advance(40000);
    net.calls[at + 1].answer(GRACEFUL).write(text);
    await clock.settle();
    net.calls[at + 1].break();
    await clock.settle();
  }
  await clock.advance(600000);
  assert.equal(net.calls.length, 6);
  assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16000]);
  assert.equal((await stream.done).outcome, "cut");
  assert.equal(clock.timers.size, 0);
});

test("a new event starts the tries anew", async () => {
  const delays = [];
  open({ onRetry: ({ delay }) => delays.push(delay) });
  await clock.settle();
  for (let number = 1; number < 10; number++) {
    net.calls[number - 1].answer(GRACEFUL).write(token(number));
    await clock.settle();
    net.calls[number - 1].break();
    await clock.advance(1000);
  }
  assert.deepEqual(delays, Array(9).fill(1000));
});

test("half of a pause is left to chance, and the server's retry is the base", async () => {
  const delays = [];
  open({ retry: { random: () => 0 }, onRetry: ({ delay }) => delays.push(delay) });
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write("retry: 0\n" + token(1));
  await clock.settle();
  net.calls[0].break();
  await clock.advance(500);
  net.calls[1].answer(GRACEFUL).write("retry: 4000\n" + token(2));
  await clock.settle();
  net.calls[1].break();
  await clock.settle();
  assert.deepEqual(delays, [500, 2000]);
});

test("Retry-After as a date is kept, and one that is too long is told", async () => {
  const { stream } = open();
  await clock.settle();
  net.calls[0].respond(
    new Response("{}", { status: 503, headers: { "Retry-After": new Date(clock.now() + 20000).toUTCString() } }),
  );
  await clock.advance(18000);
  assert.equal(net.calls.length, 1);
  await clock.advance(3000);
  assert.equal(net.calls.length, 2);
  net.calls[1].respond(new Response("{}", { status: 429, headers: { "Retry-After": "3600" } }));
  const { error } = await stream.done;
  assert.deepEqual([error.status, error.retryAfter, error.isRetryable], [429, 3600000, true]);
});

test("after ten minutes of sleep a stream gets five seconds, then it is resumed", async () => {
  open();
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.advance(1000);
  await clock.freeze(600000);
  assert.equal(net.calls.length, 1);
  await clock.advance(4900);
  assert.equal(net.calls.length, 1);
  await clock.advance(1200);
  assert.equal(net.calls.length, 2);
  assert.equal(net.calls[1].headers.get("Last-Event-ID"), `${ID}.1`);
  assert.equal(net.calls[1].url, `http://example.test/fermata/streams/${ID}`);
});

test("a stream that lives after the sleep goes on", async () => {
  open();
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.advance(1000);
  await clock.freeze(600000);
  net.calls[0].write(":\n");
  await clock.advance(20000);
  assert.equal(net.calls.length, 1);
});

test("a stream lives as long as it gives signs of life", async () => {
  const { stream } = open();
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  for (let time = 0; time < 400; time += 12) {
    net.calls[0].write(":\n");
    await clock.advance(12000);
  }
  assert.equal(stream.state, "open");
  assert.equal(net.calls.length, 1);
});

test("a silent gateway is dead after 45 seconds, one with comments after 2.5 of their gaps", async () => {
  open();
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(":\n" + token(1));
  await clock.advance(44000);
  assert.equal(net.calls[0].cancelled || net.calls[0].init.signal.aborted, false);
  await clock.advance(3000);
  assert.equal(net.calls.length, 2);
  net.calls[1].answer(GRACEFUL).write(":\n");
  await clock.advance(20000);
  net.calls[1].write(":\n");
  await clock.advance(49000);
  assert.equal(net.calls[1].init.signal.aborted, false);
  await clock.advance(2000);
  assert.equal(net.calls[1].init.signal.aborted, true);
});

test("a plain server may be silent until its comments show otherwise", async () => {
  open();
  await clock.settle();
  net.calls[0].answer().write(":hello\ndata: a\n\n");
  await clock.advance(3600000);
  assert.equal(net.calls[0].init.signal.aborted, false);
  net.calls[0].write(":\n");
  await clock.advance(119000);
  assert.equal(net.calls[0].init.signal.aborted, false);
  await clock.advance(2000);
  assert.equal(net.calls[0].init.signal.aborted, true);
});

test("the consumer's time is no silence", async () => {
  const stream = openStream(URL, { fetch: net.fetch, highWater: 100 });
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1) + token(2) + token(3));
  await clock.advance(600000);
  assert.equal(net.calls[0].init.signal.aborted, false);
  const iterator = stream[Symbol.asyncIterator]();
  for (const number of [1, 2, 3]) assert.equal((await iterator.next()).value.data, String(number));
  await clock.advance(44000);
  assert.equal(net.calls[0].init.signal.aborted, false);
  await clock.advance(2000);
  assert.equal(net.calls[0].init.signal.aborted, true);
});

test("no more is read ahead than the high water", async () => {
  let pulled = 0;
  const body = new ReadableStream({
    async pull(controller) {
      controller.enqueue(new TextEncoder().encode(`data: ${"x".repeat(1000)}\n\n`));
      if (++pulled === 10000) controller.close();
    },
  });
  const fetch = async () => new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  const stream = openStream(URL, { fetch, highWater: 50000 });
  await clock.settle();
  await clock.settle();
  assert.ok(pulled > 40 && pulled < 60, `${pulled} pieces`);
  assert.equal((await collect(stream)).length, 10000);
});

test("the caller's reason to abort is no error and no error line", async () => {
  const logger = fakeLogger();
  const controller = new AbortController();
  const { stream, items } = open({ signal: controller.signal, logger });
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  controller.abort(new Error("mine"));
  const result = await stream.done;
  assert.deepEqual([result.outcome, result.error, result.reason], ["aborted", null, "mine"]);
  assert.equal((await items).length, 1);
  assert.deepEqual(logger.lines.filter(({ level }) => level !== "info").map(({ level }) => level), ["debug"]);
});

test("an aborted signal sends nothing", async () => {
  const { stream } = open({ signal: AbortSignal.abort() });
  assert.equal((await stream.done).outcome, "aborted");
  assert.equal(net.calls.length, 0);
});

test("one signal for many streams keeps no listeners", async () => {
  const { signal } = new AbortController();
  for (let count = 0; count < 200; count++) {
    const { stream } = open({ signal });
    await new Promise((resolve) => setImmediate(resolve));
    if (count % 2) stream.close();
    else net.calls.at(-1).answer({}, 204);
    await stream.done;
  }
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a stream that fails unseen rejects nothing", async () => {
  const seen = [];
  const note = (error) => seen.push(error);
  process.on("unhandledRejection", note);
  const stream = openStream(URL, { fetch: net.fetch, method: "POST", body: "{}" });
  await clock.settle();
  net.calls[0].refuse(new TypeError("fetch failed"));
  assert.equal((await stream.done).outcome, "no_stream");
  stream.cancel();
  await clock.settle();
  process.removeListener("unhandledRejection", note);
  assert.deepEqual(seen, []);
});

test("Node's end of a silent body is a cut, and is resumed", async () => {
  open();
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  net.calls[0].break(new TypeError("terminated"));
  await clock.advance(1000);
  assert.equal(net.calls.length, 2);
});

test("a key is made where crypto.randomUUID is missing", async () => {
  const real = globalThis.crypto?.randomUUID;
  if (real) Object.defineProperty(globalThis.crypto, "randomUUID", { value: undefined, configurable: true });
  open({ method: "POST", body: { a: 1 }, idempotencyKey: true });
  open({ method: "POST", body: { a: 1 }, idempotencyKey: true });
  await clock.settle();
  if (real) delete globalThis.crypto.randomUUID;
  const [one, other] = net.calls.map(({ headers }) => headers.get("Idempotency-Key"));
  assert.match(one, /^[0-9a-f]{32}$/);
  assert.notEqual(one, other);
});

test("the request has the same key and body each time", async () => {
  open({ body: { prompt: "hello" }, idempotencyKey: true });
  await clock.settle();
  net.calls[0].refuse(new TypeError("fetch failed"));
  await clock.advance(1000);
  const [first, second] = net.calls;
  assert.equal(second.init.method, "POST");
  assert.equal(second.init.body, '{"prompt":"hello"}');
  assert.equal(first.headers.get("Idempotency-Key"), second.headers.get("Idempotency-Key"));
  assert.equal(second.headers.get("Content-Type"), "application/json");
});

test("fetch gets no member that some platforms refuse", async () => {
  const banned = ["cache", "mode", "keepalive", "credentials", "redirect", "referrer", "integrity", "window", "duplex"];
  const strict = (url, init) => {
    for (const name of banned) if (name in init) throw new Error(`${name} is not implemented`);
    return net.fetch(url, init);
  };
  const { stream } = open({ fetch: strict });
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  stream.cancel();
  await clock.settle();
  assert.equal(net.calls[1].init.method, "DELETE");
});

test("a fetch without streaming bodies is told as such", async () => {
  for (const body of [null, { text: () => "" }]) {
    const headers = new Headers({ "Content-Type": "text/event-stream" });
    const { stream } = open({ fetch: async () => ({ ok: true, status: 200, headers, body, url: URL }) });
    const { outcome, error } = await stream.done;
    assert.deepEqual([outcome, error.code], ["no_stream", "no_streaming"]);
  }
});

test("closing in a pause asks for nothing more", async () => {
  const { stream } = open();
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  net.calls[0].break();
  await clock.advance(100);
  assert.equal(stream.state, "reconnecting");
  stream.close();
  await clock.advance(600000);
  assert.equal(net.calls.length, 1);
  assert.equal(clock.timers.size, 0);
});

test("waking up ends a pause", async () => {
  const { stream } = open();
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  net.calls[0].break();
  await clock.advance(100);
  stream.wake();
  await clock.settle();
  assert.equal(net.calls.length, 2);
});

test("cancelling in a pause stops the run and reads its end", async () => {
  const { stream } = open();
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  net.calls[0].break();
  await clock.advance(100);
  stream.cancel();
  await clock.settle();
  assert.deepEqual(net.calls.slice(1).map(({ init }) => init.method).sort(), ["DELETE", "GET"]);
  const read = net.calls.find(({ init }, at) => at && init.method === "GET").answer(GRACEFUL);
  read.write(end({ outcome: "cancelled", events: 1, lastEventId: `${ID}.1` }));
  read.end();
  const result = await stream.done;
  assert.deepEqual([result.outcome, result.verified, result.error], ["cancelled", true, null]);
});

test("a run that does not end after cancelling is left after two seconds", async () => {
  const logger = fakeLogger();
  const { stream } = open({ logger });
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  stream.cancel();
  await clock.settle();
  net.calls[1].respond(new Response("", { status: 500 }));
  await clock.advance(1900);
  assert.equal(stream.state, "open");
  await clock.advance(200);
  assert.equal((await stream.done).outcome, "aborted");
  const line = logger.lines.find(({ message }) => message === "Failed to cancel");
  assert.deepEqual(line.metadata, { runId: ID, errorMessage: "status 500" });
});

test("an error tells what the gateway said, by code and in detail", async () => {
  const logger = fakeLogger();
  const { stream, items } = open({ logger, headers: { Authorization: "Bearer secret" } });
  await clock.settle();
  const call = net.calls[0].answer(GRACEFUL);
  call.write(
    `event: error\ndata: {"type":"error","source":"gateway","error":{"code":"idle_timeout","message":"silent"}}\n\n`,
  );
  call.write(end({ outcome: "idle_timeout", events: 0, lastEventId: "", runId: "run-7" }));
  call.end();
  const [error] = await items;
  assert.ok(error instanceof FermataStreamError);
  assert.deepEqual([error.code, error.isRetryable, error.detail.message], ["idle_timeout", true, "silent"]);
  assert.equal(error.result, await stream.done);
  assert.deepEqual(logger.lines.find(({ level }) => level === "error").metadata, {
    runId: "run-7",
    errorData: { code: "idle_timeout" },
  });
  assert.ok(!JSON.stringify(logger.lines).includes("secret"));
});

test("a handler or logger that throws does not end the stream", async () => {
  const bad = () => {
    throw new Error("bad handler");
  };
  const logger = { debug: bad, info: bad, warn: bad, error: bad };
  const { stream } = open({ logger, onOpen: bad, onState: bad, onRetry: bad });
  await clock.settle();
  net.calls[0].answer().write("data: [DONE]\n\n");
  net.calls[0].end();
  assert.equal((await stream.done).outcome, "completed");
});

test("a wrong option throws at once", () => {
  for (
    const options of [{ optIn: "always" }, { order: "id" }, { headTimeout: -1 }, { deadTimeout: "never" }, {
      highWater: "1",
    }]
  ) {
    assert.throws(() => openStream(URL, options), TypeError, JSON.stringify(options));
  }
  assert.throws(() => openStream("not a url"), TypeError);
});

test("the total time ends a stream, whether its consumer reads or not", async () => {
  const stream = openStream(URL, { fetch: net.fetch, timeout: 5000, highWater: 1 });
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.advance(5000);
  assert.equal((await stream.done).outcome, "timeout");
  assert.equal(net.calls[0].init.signal.aborted, true);
});

test("text, json, events and a readable stream read the same stream", async () => {
  const read = async (take, options) => {
    const { fetch, calls } = fakeFetch();
    const stream = openStream(URL, { fetch, ...options });
    const taken = take(stream);
    await clock.settle();
    const call = calls[0].answer(GRACEFUL);
    call.write(
      `data: {"t":"a"}\n\nevent: stream_reset\ndata: {"reason":"epoch","streamId":"${ID}"}\n\ndata: {"t":"b"}\n\ndata: [DONE]\n\n`,
    );
    call.write(end({ events: 2, lastEventId: "" }));
    call.end();
    return taken;
  };
  assert.equal(
    await read((stream) => stream.text((event) => (event.data[0] === "{" ? event.json().t : undefined))),
    "b",
  );
  const all = async (items) => {
    const taken = [];
    for await (const item of items) taken.push(item);
    return taken;
  };
  await assert.rejects(read((stream) => all(stream.json())), { code: "stream_reset" });
  assert.deepEqual(await read((stream) => all(stream.json()), { onReset() {} }), [{ t: "a" }, { t: "b" }]);
  const events = await read((stream) => all(stream.toReadableStream()), { onReset() {} });
  assert.deepEqual(events.map(({ data }) => data), ['{"t":"a"}', '{"t":"b"}', "[DONE]"]);
});

test("a stream is gone on with where the server says, never at another origin", async () => {
  for (const [told, wanted] of [["/own/run-7", "http://example.test/own/run-7"], ["http://evil.test/x", null]]) {
    const { fetch, calls } = fakeFetch();
    open({ fetch });
    await clock.settle();
    calls[0].answer({ ...GRACEFUL, "X-Stream-Resume": told }).write(token(1));
    await clock.settle();
    calls[0].break();
    await clock.advance(1000);
    assert.equal(calls[1].url, wanted || `http://example.test/fermata/streams/${ID}`);
  }
});

test("events that only look like the gateway's own are the backend's", async () => {
  const { stream, items } = open();
  await clock.settle();
  const call = net.calls[0].answer(GRACEFUL);
  call.write(`event: stream_reset\ndata: {"streamId":"another"}\n\nevent: control\ndata: {"type":"prompt_ready"}\n\n`);
  call.write(`event: error\ndata: {"streamId":"${ID}"}\n\n`);
  call.write(end({ events: 3, lastEventId: "" }));
  call.end();
  assert.deepEqual((await items).map(({ type }) => type), ["stream_reset", "control", "error"]);
  assert.equal((await stream.done).verified, true);
});

test("a view that was replaced, or a run that was cancelled, asks for nothing more, whatever is missing", async () => {
  for (const outcome of ["replaced_by_new_stream", "cancelled"]) {
    const { fetch, calls } = fakeFetch();
    const { stream, items } = open({ fetch });
    await clock.settle();
    const call = calls[0].answer(GRACEFUL);
    call.write(token(1) + end({ outcome, events: 3, lastEventId: `${ID}.3`, resumable: true }));
    call.end();
    await clock.advance(60000);
    const result = await stream.done;
    assert.deepEqual([result.outcome, result.verified, calls.length], [outcome, false, 1]);
    assert.equal(result.error?.code, outcome === "cancelled" ? "cancelled" : undefined);
    assert.equal((await items).length, outcome === "cancelled" ? 2 : 1);
  }
});

test("break, return and throw end the request at once, and nothing is deleted", async () => {
  const ways = {
    async break(stream) {
      for await (const _ of stream) break;
    },
    async throw(stream) {
      await assert.rejects(async () => {
        for await (const _ of stream) throw new Error("mine");
      }, /mine/);
    },
    async return(stream) {
      const iterator = stream[Symbol.asyncIterator]();
      await iterator.next();
      await iterator.return();
    },
    // One that waits for an event meanwhile gets its end.
    async waiting(stream) {
      const iterator = stream[Symbol.asyncIterator]();
      await iterator.next();
      const next = iterator.next();
      await iterator.return();
      assert.deepEqual(await next, { done: true, value: undefined });
    },
  };
  for (const [way, leave] of Object.entries(ways)) {
    const { fetch, calls } = fakeFetch();
    const stream = openStream(URL, { fetch });
    const left = leave(stream);
    await clock.settle();
    calls[0].answer(GRACEFUL).write(token(1));
    await left;
    assert.equal(calls[0].init.signal.aborted, true, way);
    assert.equal((await stream.done).outcome, "aborted", way);
    assert.equal(calls.length, 1, way);
  }
});

test("two calls of next that wait at once are both answered, in order", async () => {
  const stream = openStream(URL, { fetch: net.fetch });
  const iterator = stream[Symbol.asyncIterator]();
  const both = Promise.all([iterator.next(), iterator.next(), iterator.next()]);
  await clock.settle();
  const call = net.calls[0].answer(GRACEFUL);
  call.write(token(1) + token(2));
  call.write(end({ events: 2, lastEventId: `${ID}.2` }));
  call.end();
  assert.deepEqual((await both).map(({ done, value }) => (done ? "end" : value.data)), ["1", "2", "end"]);
});

test("a stream has one consumer", async () => {
  const { stream } = open();
  assert.throws(() => stream[Symbol.asyncIterator](), TypeError);
});

test("an id of any script is sent as UTF-8", async () => {
  open({ lastEventId: "größe-7-日本" });
  await clock.settle();
  const sent = net.calls[0].headers.get("Last-Event-ID");
  assert.equal(Buffer.from(sent, "latin1").toString("utf8"), "größe-7-日本");
});

test("by the query nothing is added to the fields, and the caller's query stays as it is", async () => {
  const stream = openStream("http://example.test/s?sig=a%20b", {
    fetch: net.fetch,
    optIn: "query",
    lastEventId: "a&b",
  });
  await clock.settle();
  assert.equal(net.calls[0].url, "http://example.test/s?sig=a%20b&stream_end=1&last_event_id=a%26b");
  assert.deepEqual([...net.calls[0].headers.keys()], ["accept"]);
  stream.close();
});
