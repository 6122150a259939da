// The client libraries' common cases: what a server sends, and what any client must deliver, ask for, and end with.
// FERMATA_ADAPTER names an adapter's command line; without it the library is used in this process.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { after } from "node:test";
import { run as runHere } from "../Adapters/javascript/adapter.mjs";
import { startAdapter } from "./support/adapter.mjs";
import { play } from "./support/player.mjs";

const { cases } = JSON.parse(readFileSync(new URL("../Python/cases.json", import.meta.url), "utf8"));
const DEFAULTS = { retryBaseMs: 40, retryMaxMs: 2000, maxRetries: 3, headTimeoutMs: 5000 };
const { FERMATA_ADAPTER: command } = process.env;
const adapter = command ? await startAdapter(command) : { run: runHere, stop() {} };
const utf8 = (text) => (text === undefined ? null : Buffer.from(text, "latin1").toString("utf8"));

function checkResult({ expect }, { events, notices, result }, took) {
  assert.deepEqual(events, expect.events);
  assert.deepEqual([result.outcome, result.complete], [expect.outcome, expect.complete]);
  assert.equal(result.error && result.error.code, expect.error);
  const given = {
    verified: result.verified,
    error_status: result.error?.status,
    last_event_id: result.lastEventId,
    notices,
    bytes: result.bytes,
  };
  for (const [name, value] of Object.entries(given)) if (name in expect) assert.deepEqual(value, expect[name], name);
  if (!expect.duration_ms) return;
  const [least, most] = expect.duration_ms;
  assert.ok(took >= least && took <= most, `it took ${took} ms`);
}

function checkRequest(wanted, the, number) {
  const seen = the.requests[number];
  for (const [name, value] of Object.entries(wanted.header || {})) assert.equal(seen.fields[name] ?? null, value);
  // A page may say by the query what others say by a field.
  const [target, query] = seen.target.split("?");
  const told = new URLSearchParams(query).get("last_event_id");
  if ("last_event_id" in wanted) assert.equal(told ?? utf8(seen.fields["last-event-id"]), wanted.last_event_id);
  for (const name of ["method", "body"]) if (name in wanted) assert.equal(seen[name], wanted[name]);
  if ("path" in wanted) assert.equal(wanted.path.includes("?") ? seen.target : target, `/${wanted.path}`);
  if (!wanted.gap_ms) return;
  const gap = seen.at - Math.min(...[the.ended[number - 1], the.left[number - 1]].filter(Boolean));
  assert.ok(gap >= wanted.gap_ms[0] && gap <= wanted.gap_ms[1], `request ${number + 1} came after ${gap} ms`);
}

/** A second at most; what was waited for is looked at afterwards. */
async function until(condition) {
  for (let waited = 0; !condition() && waited < 1000; waited += 10) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function check(given) {
  const { client = {}, server, deletes, expect } = given;
  const the = await play(server, { deletes });
  try {
    const began = performance.now();
    const answer = await adapter.run({ method: "GET", ...client, url: the.url, options: { ...DEFAULTS, ...client.options } });
    checkResult(given, answer, performance.now() - began);
    assert.equal(the.requests.length, expect.requests);
    (expect.request || []).forEach((wanted, number) => wanted && checkRequest(wanted, the, number));
    if ("deletes" in expect) {
      // The run's end may be read before its DELETE is through.
      await until(() => the.deletes.length === expect.deletes);
      assert.deepEqual(
        the.deletes.map(({ target }) => target.slice(0, 16)),
        Array(expect.deletes).fill("/api/agents/run/"),
      );
    }
    if (!("left_within_ms" in expect)) return;
    await until(() => the.left[0] !== undefined);
    assert.ok(the.left[0] - the.begun[0] <= expect.left_within_ms, "the client left too late");
  } finally {
    await the.close();
  }
}

after(() => adapter.stop());

// An adapter takes one job after the other.
test("common cases", { concurrency: command ? 1 : 4 }, async (context) => {
  await Promise.all(cases.map((each) => context.test(`${each.name}: ${each.why}`, () => check(each))));
});
