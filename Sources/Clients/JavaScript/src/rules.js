/**
 * Decisions without state: what ends a stream, what may be asked again, and after which pause.
 *
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 */

export const SSE_EVENTS = Object.freeze(
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
    if (!("_json" in this)) Object.defineProperty(this, "_json", { value: JSON.parse(this.data) });
    return /** @type {any} */ (this)._json;
  }
}

/**
 * The event's data as a JSON object, or an empty object.
 * @param {StreamEvent} event
 * @returns {Record<string, any>}
 */
export function members(event) {
  if (event.data[0] !== "{") return {};
  try {
    return event.json();
  } catch {
    return {};
  }
}

const HARD = ["message_stop", "response.completed", "response.incomplete", "response.failed"];

/**
 * Finds the events that say that the answer is over. Soft ones may be followed by others, hard ones are the protocol's
 * last word.
 * @param {readonly string[]} soft types of soft terminals
 */
export function terminals(soft) {
  // JSON is parsed only where one of the names stands in it: nearly all events are none of these.
  const hint = new RegExp(`"(?:${[...soft, ...HARD].map((name) => name.replace(/\W/g, "\\$&")).join("|")})"`);
  /**
   * @param {StreamEvent} event
   * @param {boolean} named
   * @returns {"soft" | "hard" | "failed" | ""}
   */
  return (event, named) => {
    if (event.data === "[DONE]") return "hard";
    const type = named ? event.type : hint.test(event.data) ? members(event).type : "";
    if (type === "response.failed") return "failed";
    return HARD.includes(type) ? "hard" : soft.includes(type) ? "soft" : "";
  };
}

/**
 * Whether a backend tells of an error by this event.
 * @param {StreamEvent | null} event
 */
export function isError(event) {
  if (!event) return false;
  if (event.type !== "message") return event.type === SSE_EVENTS.ERROR;
  const { type, error } = members(event);
  return type === SSE_EVENTS.ERROR || (typeof error === "object" && error !== null);
}

/**
 * The gateway's ids: the stream's, a full stop, the event's number.
 * @param {string} id
 */
export function gatewayId(id) {
  const parts = /^([\w-]{22})\.(\d{1,15})$/.exec(id);
  return parts && { streamId: parts[1], number: Number(parts[2]) };
}

/** @param {number} status */
export function isWorthAnotherTry(status) {
  return [408, 425, 429, 500, 502, 503, 504].includes(status);
}

/**
 * Reads Retry-After: seconds, or a date.
 * @param {string | null} text
 * @param {number} now
 * @returns {number | undefined} milliseconds
 */
export function retryAfter(text, now) {
  if (!text) return undefined;
  const wait = /^\s*\d+\s*$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return wait >= 0 ? wait : wait < 0 ? 0 : undefined;
}

/**
 * The pause before try `tries`: it doubles each time, and half of it is left to chance.
 * @param {number} tries since the last new event, from 1
 * @param {number} base milliseconds
 * @param {number} max milliseconds
 * @param {() => number} random
 */
export function pause(tries, base, max, random) {
  const ceiling = Math.max(base, Math.min(base * 2 ** (tries - 1), max));
  return ceiling / 2 + (random() * ceiling) / 2;
}

/**
 * Whether asking again may give what is missing.
 * @param {string} outcome
 * @param {number | undefined} status
 */
export function isRetryable(outcome, status) {
  if (outcome === "no_stream") return !status || isWorthAnotherTry(status);
  return ["cut", "draining", "upstream_truncated", "gateway_error"].includes(outcome) || /timeout$/.test(outcome);
}
