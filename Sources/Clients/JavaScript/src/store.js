/** A stream's state for a view. It knows nothing of React: any view can subscribe. */
import { openStream } from "./index.js";

/**
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 * @typedef {import("./index.js").StreamReset} StreamReset
 * @typedef {import("./index.js").StreamResult} StreamResult
 * @typedef {import("./index.js").FermataStream} FermataStream
 * @typedef {import("./react.js").UseAgentStreamOptions<any>} Options
 * @typedef {import("./react.js").AgentStreamSnapshot<any>} Snapshot
 */

/** @type {Snapshot} */
export const IDLE = Object.freeze({
  status: "idle",
  partials: Object.freeze([]),
  lastEventId: "",
  isComplete: false,
  bytesReceived: 0,
  result: null,
  error: null,
  streamId: null,
  isLate: false,
  partialsDropped: 0,
});

const STATUS = /** @type {const} */ ({
  connecting: "connecting",
  open: "streaming",
  completing: "completing",
  reconnecting: "reconnecting",
});
const noop = () => {};

/** @param {StreamResult} result */
function statusOf({ outcome, error }) {
  if (error) return "error";
  return outcome === "cancelled" || outcome === "aborted" ? "cancelled" : "done";
}

/**
 * What makes two streams the same one.
 * @param {string | null} url
 * @param {Options} options
 */
export function identityOf(url, options) {
  const { method, body, key, enabled = true } = options;
  return url === null || !enabled ? null : [url, method, typeof body === "string" ? body : undefined, key];
}

/**
 * @param {unknown[] | null} one
 * @param {unknown[] | null} other
 */
export function isSame(one, other) {
  if (!one || !other) return one === other;
  return one.every((value, at) => Object.is(value, other[at]));
}

export class AgentStreamStore {
  constructor() {
    /** @type {Options} */
    this.options = {};
    /** @type {unknown[] | null} */
    this.identity = null;
    this._url = "";
    /** @type {FermataStream | null} */
    this._stream = null;
    /** @type {Set<() => void>} */
    this._listeners = new Set();
    /** @type {Snapshot} */
    this._snapshot = IDLE;
    /** @type {any[]} */
    this._partials = [];
    /** @type {number[]} */
    this._sizes = [];
    this._size = 0;
    /** @type {{ -readonly [Name in keyof Snapshot]?: Snapshot[Name] }} */
    this._facts = {};
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._commitTimer = undefined;
    this._committedAt = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._leaveTimer = undefined;
    this.subscribe = this.subscribe.bind(this);
    this.getSnapshot = this.getSnapshot.bind(this);
    this.cancel = this.cancel.bind(this);
    this.close = this.close.bind(this);
    this.restart = this.restart.bind(this);
  }

  /** @param {() => void} listener */
  subscribe(listener) {
    this._listeners.add(listener);
    return () => void this._listeners.delete(listener);
  }

  getSnapshot() {
    return this._snapshot;
  }

  /**
   * Shows this stream from now on. The same one goes on, also if it was just let go.
   * @param {string | null} url
   * @param {Options} options
   */
  show(url, options) {
    this.options = options;
    clearTimeout(this._leaveTimer);
    const identity = identityOf(url, options);
    if (isSame(identity, this.identity) && (this._stream || !identity)) return;
    this._stop();
    this.identity = identity;
    this._url = url || "";
    if (identity) this._start();
    else this._commit();
  }

  /** The view is gone. In a macrotask, so that one that comes back at once finds its stream. */
  leave() {
    this._leaveTimer = setTimeout(() => {
      const { onUnmount = "close" } = this.options;
      if (onUnmount === "cancel" && this._stream) this._stream.cancel();
      if (onUnmount === "close") this._stop();
      clearTimeout(this._commitTimer);
      this._commitTimer = undefined;
    });
  }

  /** Asks the server to stop the run. */
  async cancel() {
    if (this._stream) await this._stream.cancel();
  }

  /** Ends the request. */
  close() {
    if (this._stream) this._stream.close();
  }

  /** Begins anew. */
  restart() {
    if (!this.identity) return;
    this._stop();
    this._start();
  }

  /** Tells that the app came back to the front. */
  wake() {
    if (this._stream) this._stream.wake();
  }

  _stop() {
    const stream = this._stream;
    this._stream = null;
    this.identity = null;
    if (stream) stream.close();
    this._empty();
    this._facts = {};
  }

  _empty() {
    this._partials = [];
    this._sizes = [];
    this._size = 0;
    this._facts.partialsDropped = 0;
  }

  _start() {
    this.identity = identityOf(this._url, this.options);
    this._facts = { status: "connecting", isLate: false, partialsDropped: 0 };
    const {
      key,
      enabled,
      select,
      reduce,
      throttle,
      maxPartials,
      maxPartialBytes,
      onEvent,
      onFinish,
      onUnmount,
      ...options
    } = this.options;
    /** @type {FermataStream | undefined} */
    let stream = undefined;
    stream = openStream(this._url, {
      ...options,
      onState: (state) => this._told(stream, state),
      onLate: () => {
        this._facts.isLate = true;
        this._call("onLate");
        this._changed();
      },
      onOpen: (info) => this._call("onOpen", info),
      onReset: (reset) => this._call("onReset", reset),
      onRetry: (info) => this._call("onRetry", info),
    });
    this._stream = stream;
    this._commit();
    this._pump(stream);
  }

  /**
   * @param {FermataStream | undefined} stream
   * @param {import("./index.js").State} state
   */
  _told(stream, state) {
    this._call("onState", state);
    if (stream !== this._stream || state === "closed") return;
    this._facts.status = STATUS[state];
    this._commit();
  }

  /** @param {FermataStream} stream */
  async _pump(stream) {
    try {
      for await (const item of stream) {
        if (stream !== this._stream) return;
        this._take(item);
      }
    } catch {
      // It is in the result.
    }
    const result = await stream.done;
    if (stream !== this._stream) return;
    this._facts = {
      ...this._facts,
      status: statusOf(result),
      result,
      error: result.error,
      isComplete: result.complete,
    };
    this._commit();
    this._call("onFinish", result);
  }

  /** @param {StreamEvent | StreamReset} item */
  _take(item) {
    if (item.kind === "reset") {
      this._empty();
      return this._commit();
    }
    this._call("onEvent", item);
    const { select, reduce } = this.options;
    if (reduce) this._partials = [...reduce(this._partials, item)];
    else this._add(select ? select(item) : item, item.data.length);
    this._changed();
  }

  /**
   * @param {any} partial
   * @param {number} size
   */
  _add(partial, size) {
    if (partial === undefined) return;
    const { maxPartials = 10000, maxPartialBytes = 10 << 20 } = this.options;
    this._partials.push(partial);
    this._sizes.push(size);
    this._size += size;
    let dropped = 0;
    while (
      this._sizes.length - dropped > maxPartials || (this._size > maxPartialBytes && dropped < this._sizes.length - 1)
    ) {
      this._size -= this._sizes[dropped++];
    }
    if (!dropped) return;
    // In large steps: the front of an array is not taken off for nothing.
    this._facts.partialsDropped = (this._facts.partialsDropped || 0) + dropped;
    this._partials.splice(0, dropped);
    this._sizes.splice(0, dropped);
  }

  _changed() {
    if (this._commitTimer !== undefined) return;
    const { throttle = 50 } = this.options;
    const wait = Math.max(this._committedAt + throttle - Date.now(), 0);
    this._commitTimer = setTimeout(() => this._commit(), Math.min(wait, throttle));
  }

  /** Makes a new snapshot and tells the views. */
  _commit() {
    clearTimeout(this._commitTimer);
    this._commitTimer = undefined;
    this._committedAt = Date.now();
    const { lastEventId = "", bytesReceived = 0, streamId = null } = this._stream || {};
    const partials = this._partials.slice();
    this._snapshot = this._stream ? { ...IDLE, ...this._facts, partials, lastEventId, bytesReceived, streamId } : IDLE;
    this._listeners.forEach((listener) => listener());
  }

  /**
   * Calls one of the caller's handlers, the latest.
   * @param {"onEvent" | "onFinish" | "onOpen" | "onReset" | "onLate" | "onRetry" | "onState"} name
   * @param {any} [value]
   */
  _call(name, value) {
    const { [name]: handler = noop, logger } = this.options;
    try {
      /** @type {(value: any) => void} */ (handler)(value);
    } catch (error) {
      if (logger) logger.error("A handler threw", { handler: name, errorMessage: String(error) });
    }
  }
}
