/** The stream as its consumer sees it: a queue between what comes and what is taken. */
import { createSession } from "./session.js";

/**
 * @typedef {import("./index.js").StreamOptions} StreamOptions
 * @typedef {import("./index.js").StreamResult} StreamResult
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 * @typedef {import("./index.js").StreamReset} StreamReset
 *
 * @typedef {StreamResult} LiveResult what is known so far; when the stream is over, its result
 * @typedef {StreamOptions & typeof DEFAULTS & { isFeed: boolean, retry: typeof RETRY }} Settings
 */

const DEFAULTS = {
  lastEventId: "",
  runPath: "/api/agents/run/{id}",
  completionEvents: /** @type {readonly string[]} */ (["complete", "completion", "done"]),
  optIn: /** @type {"auto" | "header" | "query" | "off"} */ ("auto"),
  resume: /** @type {"auto" | "same-url" | "off"} */ ("auto"),
  deadTimeout: /** @type {number | "auto" | "off"} */ ("auto"),
  headTimeout: 60000,
  firstTokenTimeout: 35000,
  endWait: 30000,
  hardEndWait: 1000,
  cancelWait: 2000,
  orderWait: 2000,
  timeout: Infinity,
  maxEventBytes: 1 << 24,
  highWater: 1 << 20,
};

const RETRY = { base: 1000, max: 30000, attempts: 5, retryAfterMax: 120000, random: Math.random };

/** @type {Record<string, RegExp>} */
const WORDS = {
  optIn: /^(auto|header|query|off)$/,
  resume: /^(auto|same-url|off)$/,
  order: /^(arrival|index)$/,
  deadTimeout: /^(auto|off|[1-9.].*|Infinity)$/,
};

/**
 * Fills in what is not given, and refuses what can't be meant.
 * @param {StreamOptions} given
 * @param {boolean} isFeed
 */
function settingsOf(given, isFeed) {
  /** @type {any} */
  const settings = { ...DEFAULTS, isFeed };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const isNumber = typeof settings[name] === "number";
    const isRight = WORDS[name] ? WORDS[name].test(`${value}`) : !isNumber || (typeof value === "number" && value >= 0);
    if (!isRight) throw new TypeError(`${name} can't be ${value}`);
    settings[name] = value;
  }
  settings.retry = { ...RETRY, ...given.retry };
  return /** @type {Settings} */ (settings);
}

/** What an item costs beside its data. */
const ITEM = 64;
const noop = () => {};

/**
 * @param {string | URL} url
 * @param {StreamOptions} given
 * @param {boolean} isFeed
 * @returns {import("./index.js").FermataStream & { url: string }}
 */
export function createStream(url, given, isFeed) {
  const options = settingsOf(given, isFeed);
  const { logger, lastEventId } = options;
  const highWater = Math.max(options.highWater, 1);
  /** @type {LiveResult} */
  const result = {
    outcome: "",
    complete: false,
    verified: false,
    reason: null,
    events: 0,
    bytes: 0,
    lastEventId,
    streamId: null,
    runId: null,
    mode: null,
    attempts: 0,
    end: null,
    error: null,
  };
  // What came is turned around when the consumer has taken what came before: all is cheap, however much there is.
  /** @type {(StreamEvent | StreamReset)[]} */
  let came = [];
  /** @type {(StreamEvent | StreamReset)[]} */
  let taken = [];
  let queued = 0;
  let isOver = false;
  let isConsumed = false;
  let hasThrown = false;
  /** Wakes the consumer that waits for an item. */
  let arrived = noop;
  /** Wakes the reader that waits for room. */
  let emptied = noop;
  /** @type {(result: StreamResult) => void} */
  let resolveDone;
  /** @type {(info: import("./index.js").OpenInfo) => void} */
  let resolveOpened;
  /** @type {(error: unknown) => void} */
  let rejectOpened;

  /** @param {StreamEvent | StreamReset} item */
  const sizeOf = (item) => ITEM + (item.kind === "event" ? item.data.length : 0);

  /** @type {import("./session.js").Consumer} */
  const consumer = {
    deliver(item) {
      came.push(item);
      queued += sizeOf(item);
      if (item.kind === "reset") consumer.tell("onReset", item);
      arrived();
    },

    // A handler that throws does not end the stream.
    tell(name, value) {
      if (name === "onOpen") resolveOpened(value);
      try {
        options[name]?.(value);
      } catch (error) {
        consumer.log("error", "A handler threw", { handler: name, errorMessage: String(error) });
      }
    },

    log(level, message, metadata) {
      try {
        logger?.[level](message, metadata);
      } catch {
        // Nor does a logger.
      }
    },

    room: () => (queued < highWater ? undefined : new Promise((resolve) => (emptied = resolve))),

    finish(released) {
      if (result.outcome === "aborted") came = taken = [];
      isOver = true;
      rejectOpened(result.error || new Error(`no stream: ${result.outcome}`));
      Promise.resolve(released).then(() => resolveDone(result));
      arrived();
      emptied();
    },
  };

  async function take() {
    while (!came.length && !taken.length && !isOver) {
      await new Promise((resolve) => (arrived = () => resolve(undefined)));
    }
    if (!taken.length) {
      taken = came.reverse();
      came = [];
    }
    const value = taken.pop();
    if (value) {
      queued -= sizeOf(value);
      if (queued < highWater / 2) emptied();
      return { done: false, value };
    }
    const { error } = result;
    if (error && !hasThrown) {
      hasThrown = true;
      throw error;
    }
    return { done: true, value };
  }

  /** @type {any} */
  const stream = {
    done: new Promise((resolve) => (resolveDone = resolve)),
    opened: new Promise((resolve, reject) => {
      resolveOpened = resolve;
      rejectOpened = reject;
    }),
    get state() {
      return session.state;
    },
    get lastEventId() {
      return result.lastEventId;
    },
    get streamId() {
      return result.streamId;
    },
    get mode() {
      return result.mode;
    },
    get bytesReceived() {
      return result.bytes;
    },
    get eventsReceived() {
      return result.events;
    },

    async cancel() {
      session.cancel();
      emptied();
      await stream.done;
    },

    [Symbol.asyncIterator]() {
      if (isConsumed) throw new TypeError("a stream has one consumer");
      isConsumed = true;
      /** @type {Promise<any>} */
      let turn = Promise.resolve();
      return {
        // One behind the other, if somebody asks twice.
        next: () => (turn = turn.then(take, take)),
        async return() {
          stream.close();
          return { done: true, value: undefined };
        },
      };
    },

    async *events() {
      for await (const item of stream) {
        if (item.kind === "event") yield item;
        else if (!options.onReset) {
          throw Object.assign(new Error(`the stream began anew: ${item.reason}`), {
            code: "stream_reset",
            reset: item,
          });
        }
      }
    },

    async *json() {
      for await (const event of stream.events()) {
        if (event.data !== "[DONE]") yield event.json();
      }
    },

    /** @param {(event: StreamEvent) => string | undefined} pick */
    async text(pick) {
      let text = "";
      for await (const item of stream) text = item.kind === "reset" ? "" : text + (pick(item) || "");
      return text;
    },

    toReadableStream() {
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
    },

    async [/** @type {any} */ (Symbol).asyncDispose || "@@asyncDispose"]() {
      stream.close();
      await stream.done;
    },
  };
  // Nobody has to look at it.
  stream.opened.catch(noop);
  const session = createSession(url, options, result, consumer);
  stream.url = session.url;
  stream.close = session.close;
  stream.wake = session.wake;
  session.start();
  return stream;
}
