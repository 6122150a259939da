// @ts-self-types="./core.d.ts"
import { createStream } from "./stream.js";

export { FermataStreamError } from "./result.js";

/**
 * Asks for an event stream.
 * @param {string | URL} url
 * @param {import("./core.js").CoreOptions} [options]
 * @returns {import("./core.js").CoreStream}
 */
export function openStream(url, options = {}) {
  return createStream(url, options);
}
