import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import test from "node:test";
import { openStream } from "../../../Sources/Clients/JavaScript/src/index.js";
import { collect, fakeLogger, GRACEFUL } from "./support/fakes.mjs";
import { clock, end, ID, net, open, token, URL } from "./support/streams.mjs";

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

test("a clock that is set back puts the end of a silent stream off by its own time at most", async () => {
  open();
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  clock.setBack(3_600_000);
  await clock.advance(46000);
  assert.equal(net.calls[0].init.signal.aborted, false);
  await clock.advance(46000);
  assert.equal(net.calls[0].init.signal.aborted, true);
  assert.equal(net.calls.length, 2);
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
