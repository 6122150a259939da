import assert from "node:assert/strict";
import test from "node:test";
import { FermataStreamError, openStream } from "../../../Sources/Clients/JavaScript/src/index.js";
import { fakeFetch, fakeLogger, GRACEFUL } from "./support/fakes.mjs";
import { clock, end, ID, net, open, token, URL } from "./support/streams.mjs";

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

test("cancelling when the stream opens sends one DELETE", async () => {
  const { stream } = open({ onOpen: () => stream.cancel() });
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  assert.deepEqual(net.calls.map(({ init }) => init.method), ["GET", "DELETE"]);
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

test("each line of the log is a fixed sentence, and says as data what happened", async () => {
  const logger = fakeLogger();
  const { stream } = open({ logger, headers: { Authorization: "Bearer secret" } });
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(token(1));
  await clock.settle();
  net.calls[0].break();
  await clock.advance(100);
  await clock.advance(1000);
  net.calls[1].respond(new Response("", { status: 503 }));
  await clock.advance(2000);
  const last = net.calls[2].answer(GRACEFUL);
  last.write(end({ events: 1, lastEventId: `${ID}.1` }));
  last.end();
  await stream.done;
  const opened = { runId: ID, attempt: 1, mode: "graceful" };
  assert.deepEqual(logger.lines, [
    { level: "info", message: "SSE open", metadata: opened },
    { level: "warn", message: "SSE connection error", metadata: { runId: ID, attempt: 1, status: undefined } },
    { level: "info", message: "SSE reconnect", metadata: { delayMs: 1000 } },
    { level: "warn", message: "SSE connection error", metadata: { runId: ID, attempt: 2, status: 503 } },
    { level: "info", message: "SSE reconnect", metadata: { delayMs: 2000 } },
    { level: "info", message: "SSE open", metadata: { ...opened, attempt: 3 } },
    { level: "info", message: "SSE end", metadata: { outcome: "completed", events: 1, bytes: stream.bytesReceived } },
  ]);
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
      `data: {"t":"a"}\n\nevent: stream_reset\ndata: {"type":"stream_reset","reason":"epoch","streamId":"${ID}"}\n\ndata: {"t":"b"}\n\ndata: [DONE]\n\n`,
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

test("an id that no field can carry goes by the query, the rest by fields", async () => {
  for (const [lastEventId, sent] of [["a\x01b", "a%01b"], [" a", "%20a"], ["a ", "a%20"], ["a\x7f", "a%7F"]]) {
    const { fetch, calls } = fakeFetch();
    open({ fetch, lastEventId });
    await clock.settle();
    assert.equal(calls[0].url, `${URL}?last_event_id=${sent}`);
    assert.deepEqual([calls[0].headers.get("Last-Event-ID"), calls[0].headers.get("Prefer")], [null, "stream-end"]);
  }
});

test("large events that come again are left out, too", async () => {
  const { items } = open();
  const events = Array.from({ length: 100 }, (_, number) => `id: ${number}\ndata: ${"x".repeat(20_000)}\n\n`).join("");
  await clock.settle();
  net.calls[0].answer().write(events);
  await clock.settle();
  net.calls[0].break();
  await clock.advance(1000);
  net.calls[1].answer().write(`${events}data: [DONE]\n\n`);
  net.calls[1].end();
  assert.equal((await items).length, 101);
});

test("where a stream would go on is where its consumer is, not what was read ahead", async () => {
  const { fetch, calls } = fakeFetch();
  const stream = openStream(URL, { fetch, lastEventId: `${ID}.1` });
  await clock.settle();
  calls[0].answer(GRACEFUL).write(token(2) + token(3));
  await clock.settle();
  const iterator = stream[Symbol.asyncIterator]();
  assert.equal(stream.lastEventId, `${ID}.1`);
  await iterator.next();
  assert.equal(stream.lastEventId, `${ID}.2`);
  stream.close();
  assert.equal((await stream.done).lastEventId, `${ID}.2`);
});

test("half an event of the gateway's is never one, however its body ends", async () => {
  open();
  await clock.settle();
  net.calls[0].answer(GRACEFUL).write(`${token(1)}id: ${ID}.2\ndata: ha`);
  net.calls[0].end();
  await clock.advance(1000);
  assert.equal(net.calls[1].headers.get("Last-Event-ID"), `${ID}.1`);
});
