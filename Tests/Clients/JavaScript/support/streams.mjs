// A stream without network and with a clock that is moved by hand, made anew for each test.
import { afterEach, beforeEach } from "node:test";
import { openStream } from "../../../../Sources/Clients/JavaScript/src/index.js";
import { collect, fakeClock, fakeFetch, GRACEFUL } from "./fakes.mjs";

// What Node needs is loaded when it is first needed, by a clock that these tests do not move.
await import("../../../../Sources/Clients/JavaScript/src/framing.js");

export const URL = "http://example.test/stream";
export const ID = GRACEFUL["X-Stream-Id"];
export const token = (number) => `id: ${ID}.${number}\ndata: ${number}\n\n`;
export const end = (members) =>
  `event: stream_end\ndata: ${JSON.stringify({ type: "stream_end", outcome: "completed", ...members })}\n\n`;

export let clock;
export let net;
beforeEach(() => {
  clock = fakeClock();
  net = fakeFetch();
});
afterEach(() => clock.restore());

/** A stream whose items are taken as they come. */
export function open(options = {}) {
  const stream = openStream(URL, { fetch: net.fetch, retry: { random: () => 1 }, ...options });
  return { stream, items: collect(stream) };
}
