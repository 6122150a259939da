/** The stream as its consumer sees it: a queue between what comes and what is taken. */
import { isAll } from "./rules.js";
import { startSession } from "./session.js";

/**
 * @typedef {import("./index.js").StreamOptions} StreamOptions
 * @typedef {import("./index.js").StreamResult} StreamResult
 * @typedef {import("./index.js").StreamEvent | import("./index.js").StreamReset} Item
 *
 * @typedef {StreamResult} LiveResult what is known so far; when the stream is over, its result
 * @typedef {StreamOptions & { _encode?: (body: any, headers: Headers) => any }} Settings `_encode` makes a body of what
 *   is given as one
 */

/** What an item costs beside its data. */
const ITEM = 64;

const END = { done: true, value: undefined };

/** @param {Item} item */
const sizeOf = (item) => ITEM + (item.kind === "event" ? item.data.length : 0);

/**
 * @param {string | URL} url
 * @param {Settings} options
 * @param {boolean} [isFeed] it has no end but those that the server tells
 * @returns {any} the stream; in `_result` is what is known so far, `_put` adds to what its consumer takes
 */
export function createStream(url, options, isFeed = false) {
  const { lastEventId = "", highWater = 1 << 20 } = options;
  /** @type {any} */
  const result = {
    events: 0,
    bytes: 0,
    attempts: 0,
    lastEventId,
    streamId: null,
    mode: null,
    end: null,
    error: null,
  };
  /**
   * A chain: each link has the item behind it.
   * @typedef {{ _item?: any, _next?: Link }} Link
   * @type {Link}
   */
  let taken = { _item: { id: lastEventId } };
  let last = taken;
  let queued = 0;
  let isOver = false;
  let isConsumed = false;
  let hasThrown = false;
  /** Wakes the consumer that waits for an item. */
  let arrived = () => {};
  /** Wakes the reader that waits for room. */
  let emptied = arrived;
  /** @type {(result: StreamResult | PromiseLike<StreamResult>) => void} */
  let resolveDone;

  async function take() {
    while (!taken._next && !isOver) {
      await new Promise((/** @type {(value?: any) => void} */ resolve) => (arrived = resolve));
    }
    if (taken._next) {
      taken = taken._next;
      const value = taken._item;
      queued -= sizeOf(value);
      if (queued <= highWater / 2) emptied();
      return { done: false, value };
    }
    if (result.error && !hasThrown) {
      hasThrown = true;
      throw result.error;
    }
    return END;
  }

  /** @param {any} item taken behind all that came before it */
  function put(item) {
    last = last._next = { _item: item };
    queued += sizeOf(item);
    arrived();
  }

  /** @type {any} */
  const stream = {
    state: "connecting",
    done: new Promise((resolve) => (resolveDone = resolve)),
    _result: result,

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
          return END;
        },
      };
    },
  };

  if (isAll) {
    stream._put = put;
    // What waits nobody saw: another stream would go on behind what was taken.
    stream._takenId = () => (taken === last ? result.lastEventId : taken._item.id || "");
  }
  startSession(stream, url, options, isFeed, {
    _deliver: put,
    _room: () => (queued < highWater || !queued ? undefined : new Promise((resolve) => (emptied = resolve))),
    _flow: () => emptied(),

    _finish(released) {
      if (result.outcome === "aborted" && taken !== last) {
        // Nobody saw the rest: the stream is gone on with behind what was taken.
        result.lastEventId = taken._item.id || "";
        taken = last;
      }
      isOver = true;
      resolveDone(Promise.resolve(released).then(() => result));
      arrived();
      emptied();
    },
  });
  return stream;
}
