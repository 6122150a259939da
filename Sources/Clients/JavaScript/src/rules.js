/**
 * Decisions without state: what ends a stream, what may be asked again, and after which pause.
 *
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 */

/** Whether this is all of the library. The core is built without what only EventSource and pages need. */
export const isAll = !(/** @type {any} */ (globalThis).FERMATA_CORE);

export const SSE_EVENTS = /* @__PURE__ */ Object.freeze(
  /** @type {const} */ ({
    STATUS: "status",
    DELTA: "delta",
    PARTIAL: "partial",
    COMPLETE: "complete",
    COMPLETION: "completion",
    DONE: "done",
    ERROR: "error",
    CONTROL: "control",
    STREAM_END: "stream_end",
    STREAM_RESET: "stream_reset",
  }),
);

/** @implements {StreamEvent} */
export class ServerEvent {
  /**
   * @param {string} type
   * @param {string} data
   * @param {string} id
   */
  constructor(type, data, id) {
    this.kind = /** @type {const} */ ("event");
    this.type = type;
    this.data = data;
    this.id = id;
  }

  /** @returns {any} */
  json() {
    const value = JSON.parse(this.data);
    // Parsed once. Not enumerable, so that printers and comparisons do not see it.
    Object.defineProperty(this, "json", { value: () => value });
    return value;
  }
}

/**
 * The event's data as a JSON object, or an empty object.
 * @param {StreamEvent} event
 * @returns {Record<string, any>}
 */
export function members(event) {
  try {
    return /^\s*\{/.test(event.data) ? event.json() : {};
  } catch {
    return {};
  }
}

/** What says that the answer is over: 1, or the protocol's last word, or that and a failure. */
export const HARD = 2;
const FAILED = 3;

/**
 * Whether an event says that the answer is over. Soft terminals may be followed by others, hard ones are the
 * protocol's last word.
 * @param {StreamEvent} event
 * @param {boolean} isNamed
 * @param {readonly string[]} soft types of soft terminals
 * @returns {number} 0: it does not
 */
export function terminal(event, isNamed, soft) {
  if (event.data === "[DONE]") return HARD;
  const type = isNamed ? event.type : event.data.includes('"type"') && members(event).type;
  if (type === "response.failed") return FAILED;
  return /^(message_stop|response\.(completed|incomplete))$/.test(type) ? HARD : +soft.includes(type);
}

/**
 * Whether a backend tells of an error by this event.
 * @param {StreamEvent | undefined} event
 */
export function isError(event) {
  if (!event || event.type !== "message") return event?.type === "error";
  const { type, error } = members(event);
  return type === "error" || error;
}

/**
 * The gateway's ids: the stream's, a full stop, the event's number. Both are given, behind the whole.
 * @param {string} id
 */
export const gatewayId = (id) => /^([\w-]{22})\.(\d{1,15})$/.exec(id);

/** @param {any} status a number */
export const isWorthAnotherTry = (status) => /^(408|425|429|50[0234])$/.test(status);

/**
 * Reads Retry-After: seconds, or a date in one of the three ways of HTTP, of which one names no time zone.
 * @param {any} text a string, or null
 * @returns {number | undefined} milliseconds
 */
export function retryAfter(text) {
  // Others take "1.5" for a date, too.
  const date = /\d:/.test(text) ? text.replace(/ GMT|$/, " GMT") : "";
  const wait = /^\d+$/.test(text) ? +text * 1000 : Date.parse(date) - Date.now();
  return isNaN(wait) ? undefined : Math.max(wait, 0);
}

/**
 * Whether asking again may give what is missing.
 * @param {string} outcome
 * @param {number | undefined} status
 */
export function isRetryable(outcome, status) {
  if (outcome === "no_stream") return !status || isWorthAnotherTry(status);
  return /^(cut|draining|upstream_truncated|gateway_error)$|timeout$/.test(outcome);
}
