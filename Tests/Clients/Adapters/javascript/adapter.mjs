// Wraps fermata-client for the conformance cases: a job a line in, an answer a line out.
// FERMATA_CLIENT, in the environment or global, names another module that has its `openStream`: a built one, or the core.
import * as sources from "../../../../Sources/Clients/JavaScript/src/index.js";

const named = globalThis.FERMATA_CLIENT || globalThis.process?.env.FERMATA_CLIENT;
const { openStream, FermataEventSource } = { ...sources, ...(named ? await import(named) : {}) };

const FEATURES = [
  "feed",
  "resume",
  "post",
  "cancel",
  "abort",
  "timers",
  "order",
  "filter",
  "dedupe",
  "redirect",
  "dynamic-headers",
  "unicode-id",
  "early-hints",
  "bytes",
  "backoff",
];
const SAME = [
  "optIn",
  "resume",
  "streamPath",
  "runPath",
  "lastEventId",
  "idempotencyKey",
  "maxEventBytes",
  "order",
  "filterStreamId",
];
const TIMES = {
  headTimeoutMs: "headTimeout",
  firstTokenTimeoutMs: "firstTokenTimeout",
  deadTimeoutMs: "deadTimeout",
  endWaitMs: "endWait",
  hardEndWaitMs: "hardEndWait",
  cancelWaitMs: "cancelWait",
  orderWaitMs: "orderWait",
};
const RETRIES = { retryBaseMs: "base", retryMaxMs: "max", maxRetries: "attempts", retryAfterMaxMs: "retryAfterMax" };

const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));

function optionsOf(job, notices) {
  const given = job.options || {};
  const options = { method: job.method, retry: {}, onLate: () => notices.push("late") };
  if (job.body !== undefined) options.body = job.body;
  if (job.headers) options.headers = job.headers;
  const { dynamicHeaders: dynamic } = job;
  if (dynamic) options.headers = (attempt) => [...(job.headers || []), dynamic[Math.min(attempt, dynamic.length) - 1]];
  for (const name of SAME) if (given[name] !== undefined) options[name] = given[name];
  for (const [name, ours] of Object.entries(TIMES)) if (given[name] !== undefined) options[ours] = given[name];
  for (const [name, ours] of Object.entries(RETRIES)) if (given[name] !== undefined) options.retry[ours] = given[name];
  return options;
}

function act(what, stream) {
  if (what === "close") stream.close();
  else stream.cancel();
  if (what === "cancel_twice") stream.cancel();
}

async function read(job, options, events) {
  const stream = openStream(job.url, options);
  for (const { after_ms: time, do: what } of job.actions || []) {
    if (time !== undefined) sleep(time).then(() => act(what, stream));
  }
  try {
    for await (const item of stream) {
      events.push(item.kind === "reset" ? ["@reset", item.reason] : [item.type, item.data, item.id]);
      for (const { after_events: count, do: what } of job.actions || []) if (count === events.length) act(what, stream);
      if (job.consumerDelayMs) await sleep(job.consumerDelayMs);
    }
  } catch (error) {
    if (error !== (await stream.done).error) throw error;
  }
  return stream.done;
}

/** An EventSource of which every event can be seen, whatever its type. */
class Recorder extends FermataEventSource {
  dispatchEvent(event) {
    if (event instanceof MessageEvent) this.record([event.type, event.data, event.lastEventId]);
    return super.dispatchEvent(event);
  }
}

async function follow(job, options, events) {
  const source = new Recorder(job.url, options);
  source.record = (event) => {
    events.push(event);
    for (const { after_events: count } of job.actions || []) if (count === events.length) source.close();
  };
  for (const { after_ms: time } of job.actions || []) if (time !== undefined) sleep(time).then(() => source.close());
  const result = await source.done;
  await sleep(0);
  return result;
}

export async function run(job) {
  const events = [];
  const notices = [];
  const options = optionsOf(job, notices);
  const profile = job.options && job.options.profile === "feed" ? follow : read;
  const { outcome, complete, verified, error, lastEventId, bytes, streamId, mode } = await profile(
    job,
    options,
    events,
  );
  const told = error && { code: error.code, status: error.status, retryAfterMs: error.retryAfter };
  return { events, notices, result: { outcome, complete, verified, error: told, lastEventId, bytes, streamId, mode } };
}

export const hello = { client: "fermata-client", features: FEATURES };

async function* linesOf(stream) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of stream) {
    const lines = (text + decoder.decode(piece, { stream: true })).split("\n");
    text = lines.pop();
    yield* lines;
  }
}

async function main() {
  const { default: process } = await import("node:process");
  process.stdout.write(JSON.stringify(hello) + "\n");
  for await (const line of linesOf(process.stdin)) {
    if (line) process.stdout.write(JSON.stringify(await run(JSON.parse(line))) + "\n");
  }
  process.exit(0);
}

const isProgram = globalThis.process?.argv[1]?.endsWith("adapter.mjs");
if (isProgram) main();
