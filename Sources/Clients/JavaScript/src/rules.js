/**
 * Decisions without state: what ends a stream, what may be asked again, and after which pause.
 *
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 */

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
  /** @param {import("./parser.js").ParsedEvent} event */
  constructor({ type, data, id }) {
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
    return event.data[0] === "{" ? event.json() : {};
  } catch {
    return {};
  }
}

/**
 * Whether an event says that the answer is over. Soft terminals may be followed by others, hard ones are the
 * protocol's last word.
 * @param {StreamEvent} event
 * @param {boolean} isNamed
 * @param {readonly string[]} soft types of soft terminals
 * @returns {"soft" | "hard" | "failed" | ""}
 */
export function terminal(event, isNamed, soft) {
  if (event.data === "[DONE]") return "hard";
  const type = isNamed ? event.type : event.data.includes('"type"') && members(event).type;
  if (type === "response.failed") return "failed";
  if (/^(message_stop|response\.(completed|incomplete))$/.test(type)) return "hard";
  return soft.includes(type) ? "soft" : "";
}

/**
 * Whether a backend tells of an error by this event.
 * @param {StreamEvent | undefined} event
 */
export function isError(event) {
  if (!event || event.type !== "message") return event?.type === "error";
  const { type, error } = members(event);
  return type === "error" || (!!error && typeof error === "object");
}

/**
 * The gateway's ids: the stream's, a full stop, the event's number.
 * @param {string} id
 */
export function gatewayId(id) {
  const parts = /^([\w-]{22})\.(\d{1,15})$/.exec(id);
  return parts && { streamId: parts[1], number: +parts[2] };
}

/** @param {number} status */
export const isWorthAnotherTry = (status) => [408, 425, 429, 500, 502, 503, 504].includes(status);

/**
 * Reads Retry-After: seconds, or a date.
 * @param {string | null} text
 * @returns {number | undefined} milliseconds
 */
export function retryAfter(text) {
  const wait = /^\s*\d+\s*$/.test(text || "") ? Number(text) * 1000 : Date.parse(text || "") - Date.now();
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
