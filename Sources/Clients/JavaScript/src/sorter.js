/**
 * Order by `index` and filter by `streamId`, for backends whose events say so. Both are off unless asked for.
 */
/**
 * @typedef {import("./index.js").StreamOptions} StreamOptions
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 */

/** How many indices that were given up are remembered, in case that they come after all. */
const REMEMBERED_HOLES = 10000;
const MOST_HELD = 1000;
const MOST_CHARACTERS_HELD = 1 << 20;

export class Sorter {
  /**
   * @param {StreamOptions} options
   * @param {(event: StreamEvent) => void} deliver
   * @param {typeof import("./rules.js").members} members passed on, so that this file needs no other
   * @param {typeof import("./rules.js").gatewayId} gatewayId
   */
  constructor(options, deliver, members, gatewayId) {
    this._members = members;
    this._gatewayId = gatewayId;
    this._filter = options.filterStreamId;
    this._sorts = options.order === "index";
    this._wait = options.orderWait === undefined ? 2000 : options.orderWait;
    this._deliver = deliver;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    this._only = "";
    this._next = 0;
    /** @type {Map<number, StreamEvent>} */
    this._held = new Map();
    this._heldSize = 0;
    /** @type {Set<number>} */
    this._holes = new Set();
    this._reset();
  }

  _reset() {
    clearTimeout(this._timer);
    this._timer = undefined;
    this._only = typeof this._filter === "string" ? this._filter : "";
    this._next = this._heldSize = 0;
    this._held.clear();
    this._holes.clear();
  }

  /**
   * @param {StreamEvent} event
   * @returns {boolean} false: it is another stream's, and left out
   */
  _take(event) {
    const { streamId, index } = this._members(event);
    if (this._filter && typeof streamId === "string") {
      this._only = this._only || streamId;
      if (streamId !== this._only) return false;
    }
    if (this._sorts && Number.isInteger(index) && !this._gatewayId(event.id)) this._sort(event, index);
    else {
      this._flush();
      this._deliver(event);
    }
    return true;
  }

  /** All that is held comes out, in order. */
  _flush() {
    while (this._held.size) this._skip();
  }

  /**
   * @param {StreamEvent} event
   * @param {number} index
   */
  _sort(event, index) {
    if (index < this._next) {
      // It came before, unless it was given up.
      if (this._holes.delete(index)) this._deliver(event);
      return;
    }
    if (this._held.has(index)) return;
    this._held.set(index, event);
    this._heldSize += event.data.length;
    this._release();
    if (this._held.size > MOST_HELD || this._heldSize > MOST_CHARACTERS_HELD) this._flush();
    if (this._held.size && this._timer === undefined) this._startTimer();
  }

  _startTimer() {
    this._timer = setTimeout(() => {
      this._timer = undefined;
      this._skip();
      if (this._held.size) this._startTimer();
    }, this._wait);
  }

  /** Gives up the hole before the first event that is held. */
  _skip() {
    const first = Math.min(...this._held.keys());
    for (let index = this._next; index < first && this._holes.size < REMEMBERED_HOLES; index++) this._holes.add(index);
    this._next = first;
    this._release();
  }

  _release() {
    for (let event = this._held.get(this._next); event; event = this._held.get(this._next)) {
      this._held.delete(this._next++);
      this._heldSize -= event.data.length;
      this._deliver(event);
    }
    if (this._held.size || this._timer === undefined) return;
    clearTimeout(this._timer);
    this._timer = undefined;
  }
}
