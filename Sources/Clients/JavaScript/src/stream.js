/** The stream as its consumer sees it: a queue between what comes and what is taken. */
import { Session } from "./session.js";

/**
 * @typedef {import("./index.js").StreamOptions} StreamOptions
 * @typedef {import("./index.js").StreamResult} StreamResult
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 * @typedef {import("./index.js").StreamReset} StreamReset
 * @typedef {import("./index.js").OpenInfo} OpenInfo
 * @typedef {import("./index.js").FermataStream} FermataStream
 */

const DEFAULT_HIGH_WATER = 1 << 20;
/** What an item costs beside its data. */
const ITEM = 64;
const noop = () => {};

/** @param {StreamEvent | StreamReset} item */
const sizeOf = (item) => ITEM + (item.kind === "event" ? item.data.length : 0);

/** @implements {FermataStream} */
export class Stream {
  /**
   * @param {string | URL} url
   * @param {StreamOptions} options
   * @param {boolean} isFeed
   */
  constructor(url, options, isFeed) {
    this._options = options;
    const { highWater = DEFAULT_HIGH_WATER } = options;
    this._highWater = Math.max(highWater, 1);
    /** @type {(StreamEvent | StreamReset)[]} */
    this._queue = [];
    this._first = 0;
    this._queued = 0;
    /**
     * Wakes the consumer that waits for an item.
     * @type {() => void}
     */
    this._arrived = noop;
    /**
     * Wakes the reader that waits for room.
     * @type {() => void}
     */
    this._taken = noop;
    /** @type {StreamResult | undefined} */
    this._result = undefined;
    this._isConsumed = false;
    this._hasThrown = false;
    /** @type {(result: StreamResult) => void} */
    this._resolveDone = noop;
    /** @type {(info: OpenInfo) => void} */
    this._resolveOpened = noop;
    /** @type {(error: unknown) => void} */
    this._rejectOpened = noop;
    /** @type {Promise<StreamResult>} */
    this.done = new Promise((resolve) => (this._resolveDone = resolve));
    /** @type {Promise<OpenInfo>} */
    this.opened = new Promise((resolve, reject) => {
      this._resolveOpened = resolve;
      this._rejectOpened = reject;
    });
    // Nobody has to look at it.
    this.opened.catch(noop);
    this._session = new Session(url, options, isFeed, this._sink());
    this._session.start();
  }

  get state() {
    return this._session.state;
  }

  /** The address, as it was resolved. */
  get url() {
    return this._session.url;
  }

  get lastEventId() {
    return this._session.account.lastId;
  }

  get streamId() {
    return this._session.account.streamId;
  }

  get mode() {
    return /** @type {import("./index.js").Mode | null} */ (this._session.account.mode);
  }

  get bytesReceived() {
    return this._session.bytes;
  }

  get eventsReceived() {
    return this._session.account.total;
  }

  /** @param {unknown} [reason] */
  close(reason) {
    this._session.close(reason);
  }

  async cancel() {
    this._session.cancel();
    this._taken();
    await this.done;
  }

  wake() {
    this._session.wake();
  }

  /** @returns {AsyncIterator<StreamEvent | StreamReset, undefined, undefined>} */
  [Symbol.asyncIterator]() {
    if (this._isConsumed) throw new TypeError("a stream has one consumer");
    this._isConsumed = true;
    const leave = async () => {
      this.close();
      return /** @type {const} */ ({ done: true, value: undefined });
    };
    return {
      next: () => this._next(),
      return: leave,
      throw: async (error) => {
        await leave();
        throw error;
      },
    };
  }

  /** @returns {AsyncGenerator<StreamEvent, void, undefined>} */
  async *events() {
    for await (const item of this) {
      if (item.kind === "event") yield item;
      else if (!this._options.onReset) throw resetError(item);
    }
  }

  /** @returns {AsyncGenerator<any, void, undefined>} */
  async *json() {
    for await (const event of this.events()) {
      if (event.data !== "[DONE]") yield event.json();
    }
  }

  /** @param {(event: StreamEvent) => string | undefined} pick */
  async text(pick) {
    let text = "";
    for await (const item of this) {
      if (item.kind === "reset") text = "";
      else text += pick(item) || "";
    }
    return text;
  }

  /** @returns {ReadableStream<StreamEvent>} */
  toReadableStream() {
    const events = this.events();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await events.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      // Not by the generator: its return waits for a next that is pending.
      cancel: (reason) => this.close(reason),
    });
  }

  async [/** @type {any} */ (Symbol).asyncDispose || "@@asyncDispose"]() {
    this.close();
    await this.done;
  }

  /** @returns {Promise<IteratorResult<StreamEvent | StreamReset, undefined>>} */
  async _next() {
    while (this._first === this._queue.length && !this._result) {
      await new Promise((resolve) => (this._arrived = () => resolve(undefined)));
    }
    if (this._first < this._queue.length) return { done: false, value: this._take() };
    const error = this._result && this._result.error;
    if (error && !this._hasThrown) {
      this._hasThrown = true;
      throw error;
    }
    return { done: true, value: undefined };
  }

  _take() {
    const item = this._queue[this._first];
    // Taken one by one from the front, and moved up in one go: both are cheap.
    this._queue[this._first++] = /** @type {any} */ (undefined);
    this._queued -= sizeOf(item);
    if (this._first === this._queue.length || this._first > 1024) {
      this._queue.splice(0, this._first);
      this._first = 0;
    }
    if (this._queued < this._highWater / 2) this._taken();
    return item;
  }

  /** @returns {import("./session.js").Sink} */
  _sink() {
    return {
      item: (item) => this._push(item),
      open: (info) => {
        this._resolveOpened(info);
        this._tell("onOpen", info);
      },
      tell: (name, value) => this._tell(name, value),
      finish: (result, released) => this._finish(result, released),
      isFull: () => this._queued >= this._highWater,
      room: () => new Promise((resolve) => (this._taken = resolve)),
    };
  }

  /** @param {StreamEvent | StreamReset} item */
  _push(item) {
    this._queue.push(item);
    this._queued += sizeOf(item);
    if (item.kind === "reset") this._tell("onReset", item);
    this._arrived();
  }

  /**
   * @param {StreamResult} result
   * @param {Promise<void> | undefined} released
   */
  _finish(result, released) {
    if (result.outcome === "aborted") {
      this._queue = [];
      this._first = this._queued = 0;
    }
    this._result = result;
    this._rejectOpened(result.error || new Error(`no stream: ${result.outcome}`));
    if (released) released.then(() => this._resolveDone(result));
    else this._resolveDone(result);
    this._arrived();
    this._taken();
  }

  /**
   * Calls one of the caller's handlers. One that throws does not end the stream.
   * @param {"onOpen" | "onReset" | "onLate" | "onRetry" | "onState"} name
   * @param {any} [value]
   */
  _tell(name, value) {
    const { [name]: handler } = this._options;
    try {
      if (handler) handler(value);
    } catch (error) {
      this._session.log("error", "A handler threw", { handler: name, errorMessage: String(error) });
    }
  }
}

/** @param {StreamReset} reset */
function resetError(reset) {
  return Object.assign(new Error(`the stream began anew: ${reset.reason}`), { code: "stream_reset", reset });
}

const isTime = (/** @type {any} */ value) => value >= 0 && typeof value === "number";
/** @type {Record<string, (value: any) => boolean>} */
const CHECKS = {
  optIn: (value) => /^(auto|header|query|off)$/.test(value),
  resume: (value) => /^(auto|same-url|off)$/.test(value),
  order: (value) => /^(arrival|index)$/.test(value),
  deadTimeout: (value) => value > 0 || /^(auto|off)$/.test(value),
};
for (
  const name of ["headTimeout", "firstTokenTimeout", "endWait", "hardEndWait", "cancelWait", "orderWait", "timeout"]
) {
  CHECKS[name] = isTime;
}
CHECKS.maxEventBytes = CHECKS.highWater = isTime;

/**
 * Refuses options that can't be meant.
 * @param {StreamOptions} options
 */
export function checkOptions(options) {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && CHECKS[name]?.(value) === false) throw new TypeError(`${name} can't be ${value}`);
  }
  return options;
}
