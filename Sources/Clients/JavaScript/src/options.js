/** What `fermata-client` does with options before the core sees them: checks, bodies, keys, log lines. */

/** @typedef {import("./index.js").StreamOptions} StreamOptions */

/** @type {Record<string, RegExp>} */
const WORDS = {
  optIn: /^(auto|header|query|off)$/,
  resume: /^(auto|same-url|off)$/,
  order: /^(arrival|index)$/,
  deadTimeout: /^(auto|off|[1-9.].*|Infinity)$/,
};
const NUMBERS = /^((head|firstToken)Timeout|timeout|(end|hardEnd|cancel|order)Wait|maxEventBytes|highWater)$/;

/**
 * Refuses what can't be meant.
 * @param {StreamOptions} options
 */
function check(options) {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const isRight = WORDS[name]
      ? WORDS[name].test(`${value}`)
      : !NUMBERS.test(name) || (typeof value === "number" && value >= 0);
    if (!isRight) throw new TypeError(`${name} can't be ${value}`);
  }
}

/** A key that nobody else has. `crypto.randomUUID` is missing on pages without https. */
function makeKey() {
  const bytes = new Uint8Array(16).map(() => Math.random() * 256);
  globalThis.crypto?.getRandomValues?.(bytes);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * An object or array is sent as JSON.
 * @param {any} value
 * @param {Headers} headers
 */
function encode(value, headers) {
  const prototype = Object.getPrototypeOf(Object(value));
  if (!value || ![Object.prototype, Array.prototype, null].includes(prototype)) return value;
  if (!headers.has("Content-Type")) headers.set("Content-Type", "application/json");
  return JSON.stringify(value);
}

/**
 * @param {StreamOptions} options
 * @returns {any} the core's
 */
export function prepare(options) {
  check(options);
  const { idempotencyKey, logger, runId } = options;
  /**
   * @param {"debug" | "info" | "warn" | "error"} level
   * @param {string} message
   * @param {Record<string, unknown>} metadata
   */
  function log(level, message, metadata) {
    try {
      logger?.[level](message, metadata);
    } catch {
      // A logger that throws does not end the stream.
    }
  }
  let streamId = runId;
  /**
   * The caller's handler behind a log line. One that throws does not end the stream.
   * @param {"onOpen" | "onReset" | "onLate" | "onRetry" | "onState" | "onCancelError"} name
   * @param {(value: any) => void} [line]
   */
  const heard = (name, line) => (/** @type {any} */ value) => {
    line?.(value);
    try {
      options[name]?.(value);
    } catch (error) {
      log("error", "A handler threw", { handler: name, errorMessage: String(error) });
    }
  };
  return {
    ...options,
    idempotencyKey: idempotencyKey === true ? makeKey() : idempotencyKey,
    _encode: encode,
    onState: heard("onState"),
    onLate: heard("onLate"),
    onReset: heard("onReset"),
    onOpen: heard("onOpen", ({ attempt, mode, ...info }) => {
      streamId = runId || info.streamId;
      log("info", "SSE open", { runId: streamId, attempt, mode });
    }),
    onRetry: heard("onRetry", ({ delay, error: { status, result } }) => {
      log("warn", "SSE connection error", { runId: streamId, attempt: result.attempts, status });
      log("info", "SSE reconnect", { delayMs: Math.round(delay) });
    }),
    onCancelError: heard("onCancelError", (error) => {
      log("warn", "Failed to cancel", { runId: streamId, errorMessage: String(error) });
    }),

    /** @param {import("./index.js").StreamResult} result */
    _ended({ outcome, events, bytes, attempts, error, end, runId }) {
      if (error && end) log("error", "Agent run error", { runId, errorData: { code: outcome } });
      else if (error) log("warn", "SSE connection error", { runId, attempt: attempts, status: error.status });
      log(outcome === "aborted" ? "debug" : "info", "SSE end", { outcome, events, bytes });
    },
  };
}
