import { createElement, createRoot, hydrateRoot, renderToString, StrictMode } from "react";
import { useAgentStream } from "fermata-client/react";
import { equal, graceful, ID, play, sleep, streamEnd, test, token, until } from "./harness.js";

const fast = { retry: { base: 40, attempts: 1 } };
const container = () => document.getElementById("root");

/** Shows a stream; `seen` is what was rendered. */
function show({ isStrict = true, ...props }) {
  const seen = [];
  const View = ({ url, options }) => {
    const state = useAgentStream(url, options);
    seen.push(state);
    return createElement("p", null, `${state.status} ${state.partials.length}`);
  };
  const root = createRoot(container());
  const render = (next) => {
    const view = createElement(View, next);
    root.render(isStrict ? createElement(StrictMode, null, view) : view);
  };
  render(props);
  return { seen, render, root, last: () => seen.at(-1) };
}

const select = (event) => event.json().n;

test("React: StrictMode makes one request and shows all events", async () => {
  const { url, report } = await play([graceful([token(1), token(2, 100), streamEnd(2)])]);
  let finished;
  const view = show({ url, options: { select, onFinish: (result) => (finished = result) } });
  await until("done", () => view.last()?.status === "done");
  const { partials, isComplete, lastEventId, bytesReceived, result, streamId } = view.last();
  equal(partials, [1, 2]);
  equal([isComplete, lastEventId, result.verified, streamId], [true, `${ID}.2`, true, ID]);
  equal(bytesReceived > 0, true);
  equal(finished.outcome, "completed");
  equal((await report()).requests.length, 1);
  equal(container().textContent, "done 2");
});

test("React: five thousand events in one piece make few renders", async () => {
  const text = Array.from({ length: 5000 }, (_, at) => token(at + 1).text).join("");
  const { url } = await play([graceful([{ text }, streamEnd(5000)])]);
  const view = show({ url, options: { select } });
  await until("done", () => view.last()?.status === "done");
  equal(view.last().partials.length, 5000);
  if (view.seen.length >= 60) throw new Error(`${view.seen.length} renders`);
});

test("React: what is shown is the same object until something changes", async () => {
  const { url } = await play([graceful([token(1)], { end: "hold" })]);
  const options = { select };
  const view = show({ url, options, isStrict: false });
  await until("the event", () => view.last()?.partials.length === 1);
  await sleep(100);
  const before = view.last();
  view.render({ url, options });
  await sleep(50);
  equal(view.last() === before, true);
  view.root.unmount();
});

test("React: events that come slowly are told within the throttle", async () => {
  const { url } = await play([graceful([...Array.from({ length: 40 }, (_, at) => token(at + 1, 10)), streamEnd(40)])]);
  const view = show({ url, options: { select, throttle: 100 }, isStrict: false });
  await until("done", () => view.last()?.status === "done");
  const sizes = [...new Set(view.seen.map(({ partials }) => partials.length))];
  if (sizes.length < 3 || sizes.length > 12) throw new Error(`${sizes}`);
});

test("React: leaving closes the stream and leaves no timers", async () => {
  const { url, report } = await play([graceful([token(1)], { end: "hold" })]);
  const view = show({ url, options: { select } });
  await until("the event", () => view.last()?.partials.length === 1);
  const timers = new Set();
  const [set, clear] = [window.setTimeout, window.clearTimeout];
  view.root.unmount();
  await until("the server sees it", async () => (await report()).open === 0);
  window.setTimeout = (act, time) => {
    const id = set(() => (timers.delete(id), act()), time);
    timers.add(id);
    return id;
  };
  window.clearTimeout = (id) => (timers.delete(id), clear(id));
  await new Promise((resolve) => set(resolve, 200));
  Object.assign(window, { setTimeout: set, clearTimeout: clear });
  equal([...timers], []);
  equal((await report()).deletes, []);
});

test("React: leaving may cancel the run", async () => {
  const { url, report } = await play([graceful([token(1)], { end: "hold" })]);
  const view = show({ url, options: { onUnmount: "cancel" } });
  await until("the event", () => view.last()?.partials.length === 1);
  view.root.unmount();
  await until("the DELETE", async () => (await report()).deletes.length === 1);
});

test("React: another stream shows nothing of the one before", async () => {
  const first = await play([graceful([token(1), ...Array.from({ length: 50 }, (_, at) => token(at + 2, 20))])]);
  const second = await play([
    graceful([{ text: "data: 1000\n\n" }, { text: "data: 1001\n\n", wait: 300 }, streamEnd(2, { lastEventId: "" })]),
  ]);
  const options = { select: (event) => Number(event.data) || event.json().n };
  const view = show({ url: first.url, options });
  await until("an event", () => view.last()?.partials.length >= 3);
  const from = view.seen.length;
  view.render({ url: second.url, options });
  await until("done", () => view.last()?.status === "done");
  for (const { partials } of view.seen.slice(from)) {
    if (partials.some((number) => number < 1000)) throw new Error(`shown: ${partials}`);
  }
  equal(view.last().partials, [1000, 1001]);
  equal((await first.report()).open, 0);
});

test("React: an error is an error, never a stream that goes on for ever", async () => {
  const refused = {
    status: 503,
    headers: [["Content-Type", "application/json"]],
    segments: [{ text: '{"error":{"code":"overload"}}' }],
  };
  const { url } = await play([refused, refused, refused]);
  const view = show({ url, options: fast });
  await until("the error", () => view.last()?.status === "error");
  const { error, isComplete } = view.last();
  equal([error.code, error.status, isComplete], ["overload", 503, false]);
});

test("React: restart begins anew, cancel stops, and both stay the same functions", async () => {
  const cancelled = streamEnd(1, { outcome: "cancelled" }, { until: "delete" });
  const { url, report } = await play([graceful([token(1), streamEnd(1)]), graceful([token(1), cancelled])]);
  const view = show({ url, options: { select } });
  await until("done", () => view.last()?.status === "done");
  const { restart, cancel, close } = view.last();
  restart();
  await until("the second one", () => view.last().status === "streaming" && view.last().partials.length === 1);
  equal([view.last().restart === restart, view.last().cancel === cancel, view.last().close === close], [
    true,
    true,
    true,
  ]);
  await cancel();
  await until("cancelled", () => view.last().status === "cancelled");
  equal([view.last().error, (await report()).deletes.length], [null, 1]);
});

test("React: a reset empties what is shown", async () => {
  const reset = {
    text: `event: stream_reset\ndata: {"type":"stream_reset","reason":"epoch","streamId":"${ID}","oldest":null}\n\n`,
    wait: 200,
  };
  const { url } = await play([graceful([token(1), token(2), reset, token(1), streamEnd(1)])]);
  const view = show({ url, options: { select } });
  await until("done", () => view.last()?.status === "done");
  equal(view.last().partials, [1]);
  equal(view.seen.some(({ partials }) => partials.length === 2), true);
});

test("React: what is kept is bounded", async () => {
  const { url } = await play([
    graceful([{ text: Array.from({ length: 100 }, (_, at) => token(at + 1).text).join("") }, streamEnd(100)]),
  ]);
  const view = show({ url, options: { select, maxPartials: 10 } });
  await until("done", () => view.last()?.status === "done");
  equal([view.last().partials, view.last().partialsDropped], [[91, 92, 93, 94, 95, 96, 97, 98, 99, 100], 90]);
});

test("React: reduce makes what is shown, with the latest handlers", async () => {
  const { url } = await play([graceful([token(1), token(2, 300), streamEnd(2)])]);
  const seen = [];
  const options = (name) => ({
    reduce: (all, event) => [...all, `${name}${event.json().n}`],
    onEvent: () => seen.push(name),
  });
  const view = show({ url, options: options("a") });
  await until("the first", () => view.last()?.partials.length === 1);
  view.render({ url, options: options("b") });
  await until("done", () => view.last().status === "done");
  equal(view.last().partials, ["a1", "b2"]);
  equal(seen, ["a", "b"]);
});

test("React: rendering on a server asks for nothing, and hydrating says nothing", async () => {
  const { url, report } = await play([graceful([token(1), streamEnd(1)])]);
  const View = () => {
    const { status, partials } = useAgentStream(url, { select });
    return createElement("p", null, `${status} ${partials.length}`);
  };
  const view = createElement(StrictMode, null, createElement(View));
  const html = renderToString(view);
  equal(html, "<p>idle 0</p>");
  await sleep(100);
  equal((await report()).requests.length, 0);
  container().innerHTML = html;
  hydrateRoot(container(), view);
  await until("done", () => container().textContent === "done 1");
  equal((await report()).requests.length, 1);
});

test("React: nothing is asked for while it is not enabled, or has no address", async () => {
  const { url, report } = await play([graceful([token(1), streamEnd(1)])]);
  const view = show({ url, options: { enabled: false } });
  await sleep(100);
  view.render({ url: null, options: {} });
  await sleep(100);
  equal([view.last().status, (await report()).requests.length], ["idle", 0]);
  view.render({ url, options: {} });
  await until("done", () => view.last().status === "done");
  view.render({ url: null, options: {} });
  await until("idle", () => view.last().status === "idle" && view.last().partials.length === 0);
});
