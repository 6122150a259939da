// What event streams may look like, read by the browser's own EventSource and by ours: both must see the same.
import { FermataEventSource } from "fermata-client";
import { createParser } from "/Sources/Clients/JavaScript/src/parser.js";
import { equal, plain, play, test } from "./harness.js";

// WebKitGTK's own loses what follows a mark that comes in pieces.
const isReference = navigator.userAgent.includes("Chrome/");
const bytesOf = ({ text, hex }) =>
  hex === undefined
    ? new TextEncoder().encode(text)
    : Uint8Array.from(hex.match(/../g), (digits) => parseInt(digits, 16));

/** What a source shows until the server ends its stream. */
function shown(source, types) {
  const seen = [];
  for (const type of types) {
    source.addEventListener(type, ({ data, lastEventId }) => seen.push([type, data, lastEventId]));
  }
  return new Promise((resolve) => {
    source.addEventListener("error", () => {
      source.close();
      resolve(seen);
    });
  });
}

test("our EventSource and our parser see what the browser's EventSource sees, in one piece and in small ones", async () => {
  const formats = await (await fetch("/Tests/Clients/formats.json")).json();
  const types = new Set(formats.flatMap(({ events }) => events.map(([type]) => type)));
  for (const { name, events, ...format } of formats) {
    const bytes = bytesOf(format);
    for (const split of bytes.length < 400 ? [undefined, 1, 7] : [undefined, 1460]) {
      const segment = { ...format, split };
      const { url } = await play([plain([segment]), plain([segment])]);
      const what = `${name} by ${split}`;
      if (isReference) equal(await shown(new EventSource(url), types), events, `the browser's, ${what}`);
      equal(await shown(new FermataEventSource(url, { optIn: "off" }), types), events, `ours, ${what}`);
      const parsed = [];
      const parser = createParser({ onEvent: ({ type, data, id }) => parsed.push([type, data, id]) });
      const step = split || bytes.length;
      for (let at = 0; at < bytes.length; at += step) parser.feed(bytes.subarray(at, at + step));
      parser.end(false);
      equal(parsed, events, `the parser's, ${what}`);
    }
  }
});
