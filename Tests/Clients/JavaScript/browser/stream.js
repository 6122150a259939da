import { FermataEventSource, openStream } from "fermata-client";
import {
  coverPage,
  cutWhenTold,
  equal,
  graceful,
  ID,
  plain,
  play,
  pretend,
  sleep,
  streamEnd,
  test,
  token,
  until,
} from "./harness.js";

const fast = { retry: { base: 40 } };

async function read(stream) {
  const items = [];
  try {
    for await (const item of stream) items.push(item.kind === "reset" ? "reset" : item.json().n);
  } catch {
    // It is in the result.
  }
  return { items, result: await stream.done };
}

test("a stream is read and verified across origins, without a preflight", async () => {
  const { url, report } = await play([graceful([{ text: ":ok\n" }, token(1), token(2), streamEnd(2)])]);
  const { items, result } = await read(openStream(url));
  equal(items, [1, 2]);
  equal([result.outcome, result.verified, result.mode], ["completed", true, "graceful"]);
  const { requests, preflights } = await report();
  equal([requests.length, preflights, requests[0].target], [1, 0, "/s?stream_end=1"]);
});

test("a POST is sent once while the page is covered and shown again", async () => {
  const { url, report } = await play([graceful([token(1), token(2, 1500), streamEnd(2)])]);
  const reading = read(openStream(url, { method: "POST", body: "hello" }));
  await sleep(200);
  const seen = await coverPage();
  pretend("hidden");
  await sleep(50);
  pretend("visible");
  const { items, result } = await reading;
  equal(items, [1, 2]);
  equal(result.complete, true);
  equal((await report()).requests.length, 1, `requests, after ${seen}`);
});

test("fifty quick changes of visibility leave one stream", async () => {
  const { url, report } = await play([graceful([token(1), token(2, 800), streamEnd(2)])]);
  const reading = read(openStream(url));
  await sleep(200);
  for (let count = 0; count < 50; count++) {
    pretend("hidden");
    if (count % 7 === 0) await sleep(1);
    pretend("visible");
  }
  equal((await reading).items, [1, 2]);
  equal((await report()).requests.length, 1);
});

test("a cut stream is resumed by the query where the server allows no fields", async () => {
  const exchanges = [graceful([token(1)], cutWhenTold), graceful([token(2), streamEnd(2)])];
  const { url, report, cut } = await play(exchanges, { allowHeaders: false });
  const stream = openStream(url, fast);
  const reading = read(stream);
  await until("the first event", () => stream.eventsReceived === 1);
  await cut();
  const { items, result } = await reading;
  equal(items, [1, 2]);
  equal([result.outcome, result.verified], ["completed", true]);
  const { requests, preflights } = await report();
  equal(preflights, 0);
  equal(requests[1].target, `/fermata/streams/${ID}?stream_end=1&last_event_id=${ID}.1`);
});

test("what a browser throws away with a cut is asked for again, whatever came together with it", async () => {
  for (const end of ["fin", "rst"]) {
    const events = 30;
    const { url } = await play([], { run: { events, end } });
    const { items, result } = await read(openStream(url, { retry: { base: 1, attempts: 100 } }));
    equal(items, Array.from({ length: events }, (_, index) => index + 1), end);
    equal([result.outcome, result.verified], ["completed", true], end);
  }
});

test("a page that goes gives its connection up, and goes on when it comes back, restored or not", async () => {
  for (const persisted of [true, false]) {
    const { url, report } = await play([graceful([token(1)], { end: "hold" }), graceful([token(2), streamEnd(2)])]);
    const stream = openStream(url, fast);
    const reading = read(stream);
    await until("the first event", () => stream.eventsReceived === 1);
    dispatchEvent(new PageTransitionEvent("pagehide", { persisted }));
    await until("the connection is given up", async () => (await report()).open === 0);
    await sleep(300);
    equal((await report()).requests.length, 1, "requests while the page is away");
    dispatchEvent(new PageTransitionEvent("pageshow", { persisted }));
    equal((await reading).items, [1, 2]);
  }
});

test("a stream that can't be resumed stays when the page goes", async () => {
  const { url, report } = await play([
    plain([{ text: 'data: {"n":1}\n\n' }, {
      text: 'data: {"n":2}\n\ndata: {"n":0}\n\nevent: done\ndata: {"n":3}\n\n',
      wait: 500,
    }]),
  ]);
  const stream = openStream(url);
  const reading = read(stream);
  await until("the first event", () => stream.eventsReceived === 1);
  dispatchEvent(new PageTransitionEvent("pagehide", { persisted: false }));
  equal((await reading).items, [1, 2, 0, 3]);
  equal((await report()).requests.length, 1);
});

test("cancelling stops the run by its name", async () => {
  const { url, report } = await play([
    graceful([token(1), streamEnd(1, { outcome: "cancelled" }, { until: "delete" })]),
  ]);
  const stream = openStream(url);
  const reading = read(stream);
  await until("the first event", () => stream.eventsReceived === 1);
  await stream.cancel();
  const { result } = await reading;
  equal([result.outcome, result.error], ["cancelled", null]);
  equal((await report()).deletes, [`/api/agents/run/${ID}`]);
});

test("leaving a loop ends the request at once", async () => {
  const { url, report } = await play([graceful([token(1)], { end: "hold" })]);
  for await (const event of openStream(url)) if (event) break;
  const began = performance.now();
  await until("the server sees it", async () => (await report()).open === 0);
  if (performance.now() - began > 1000) throw new Error("later than a second");
  equal((await report()).deletes, []);
});

test("coming online ends a pause", async () => {
  const { url, cut } = await play([graceful([token(1)], cutWhenTold), graceful([token(2), streamEnd(2)])]);
  const stream = openStream(url, { retry: { base: 60000 } });
  const reading = read(stream);
  await until("the first event", () => stream.eventsReceived === 1);
  await cut();
  await until("the pause", () => stream.state === "reconnecting");
  dispatchEvent(new Event("online"));
  equal((await reading).items, [1, 2]);
});

test("an EventSource reconnects, and closes at 204", async () => {
  const { url, report } = await play([
    plain([{ text: "id: 1\ndata: a\n\n" }]),
    plain([{ text: "id: 2\nevent: x\ndata: b\n\ndata: lost" }]),
    { status: 204 },
  ]);
  const source = new FermataEventSource(url, fast);
  const seen = [];
  source.onopen = () => seen.push("open");
  source.onmessage = ({ data, lastEventId }) => seen.push(`${data} ${lastEventId}`);
  source.addEventListener(
    "x",
    ({ data, lastEventId, origin }) => seen.push(`x ${data} ${lastEventId} ${origin === new URL(url).origin}`),
  );
  source.onerror = ({ target, outcome }) => seen.push(`error ${target.readyState} ${outcome}`);
  await source.done;
  await sleep(20);
  equal(seen, ["open", "a 1", "error 0 cut", "open", "x b 2 true", "error 0 cut", "error 2 ended"]);
  equal((await report()).requests.map(({ target }) => target), [
    "/s?stream_end=1",
    "/s?stream_end=1&last_event_id=1",
    "/s?stream_end=1&last_event_id=2",
  ]);
  equal([source.readyState, source.CLOSED, FermataEventSource.CLOSED], [2, 2, 2]);
});

test("a handler that throws leaves the EventSource open", async () => {
  const { url } = await play([plain([{ text: "data: a\n\ndata: b\n\n" }]), { status: 204 }]);
  const source = new FermataEventSource(url, fast);
  const seen = [];
  const { error } = console;
  console.error = () => seen.push("told");
  source.onmessage = ({ data }) => {
    seen.push(data);
    throw new Error(data);
  };
  await source.done;
  await sleep(20);
  console.error = error;
  equal(seen, ["a", "told", "b", "told"]);
});
