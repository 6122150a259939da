// @ts-self-types="./index.d.ts"
import { prepare } from "./options.js";
import { watchPage } from "./page.js";
import { createStream } from "./stream.js";

export { FermataEventSource } from "./eventsource.js";
export { createParser } from "./parser.js";
export { FermataStreamError } from "./result.js";
export { SSE_EVENTS } from "./rules.js";

/** @typedef {import("./index.js").StreamEvent} StreamEvent */

/**
 * Asks for an event stream.
 * @param {string | URL} url
 * @param {import("./index.js").StreamOptions} [options]
 * @returns {import("./index.js").FermataStream}
 */
export function openStream(url, options = {}) {
  const prepared = prepare(options);
  /** @type {(info: import("./index.js").OpenInfo) => void} */
  let resolveOpened;
  const opened = new Promise((resolve) => (resolveOpened = resolve));
  const { onOpen } = prepared;
  prepared.onOpen = (/** @type {import("./index.js").OpenInfo} */ info) => {
    resolveOpened(info);
    onOpen(info);
  };
  const stream = createStream(url, prepared);
  const ended = stream.done.then((/** @type {import("./index.js").StreamResult} */ { outcome, error }) => {
    throw error || new Error(`no stream: ${outcome}`);
  });
  stream.done.then(prepared._ended);
  watchPage(stream);
  Object.defineProperty(stream, "lastEventId", { get: stream._takenId, enumerable: true });
  for (const name of ["streamId", "mode", "bytesReceived", "eventsReceived"]) {
    const member = name.replace("Received", "");
    Object.defineProperty(stream, name, { get: () => stream._result[member], enumerable: true });
  }
  stream.opened = Promise.race([opened, ended]);
  // Nobody has to look at it.
  stream.opened.catch(() => {});

  stream.events = async function* () {
    for await (const item of stream) {
      if (item.kind === "event") yield item;
      else if (!options.onReset) {
        throw Object.assign(new Error(`the stream began anew: ${item.reason}`), { code: "stream_reset", reset: item });
      }
    }
  };

  stream.json = async function* () {
    for await (const event of stream.events()) {
      if (event.data !== "[DONE]") yield event.json();
    }
  };

  stream.text = async (/** @type {(event: StreamEvent) => string | undefined} */ pick) => {
    let text = "";
    for await (const item of stream) text = item.kind === "reset" ? "" : text + (pick(item) || "");
    return text;
  };

  stream.toReadableStream = () => {
    const events = stream.events();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await events.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      // Not by the generator: its return waits for a next that is pending.
      cancel: (reason) => stream.close(reason),
    });
  };

  stream[/** @type {any} */ (Symbol).asyncDispose || "@@asyncDispose"] = async () => {
    stream.close();
    await stream.done;
  };
  return stream;
}
