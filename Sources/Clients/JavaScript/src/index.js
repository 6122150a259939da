// @ts-self-types="./index.d.ts"
import { createStream } from "./stream.js";

export { FermataEventSource } from "./eventsource.js";
export { createParser } from "./parser.js";
export { FermataStreamError } from "./result.js";
export { SSE_EVENTS } from "./rules.js";

/**
 * Asks for an event stream.
 * @param {string | URL} url
 * @param {import("./index.js").StreamOptions} [options]
 * @returns {import("./index.js").FermataStream}
 */
export function openStream(url, options = {}) {
  return createStream(url, options, false);
}
