/**
 * What is known of a stream: how many events came, which was the last, how it ended. Bytes and clocks are elsewhere.
 */
import { gatewayId, isError, members, SSE_EVENTS, terminals } from "./rules.js";

/**
 * @typedef {import("./index.js").StreamOptions} StreamOptions
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 * @typedef {import("./index.js").StreamReset} StreamReset
 */

/**
 * @typedef {{ outcome: string, verified?: boolean, reason?: string, again?: boolean }} Verdict `again`: ask again, and
 *   only if that fails it ended so
 */

/** Outcomes of a connection, not of the run. */
const RESUMABLE = ["draining", "client_stalled", "gateway_error"];
const REMEMBERED_EVENTS = 256;
const REMEMBERED_CHARACTERS = 1 << 20;

export class Account {
  /**
   * @param {StreamOptions} options
   * @param {boolean} isFeed
   * @param {(item: StreamEvent | StreamReset) => void} deliver
   */
  constructor(options, isFeed, deliver) {
    this._isFeed = isFeed;
    this._deliver = deliver;
    this._terminal = terminals(options.completionEvents || ["complete", "completion", "done"]);
    this._options = options;
    /** @type {import("./sorter.js").Sorter | undefined} */
    this._sorter = undefined;
    this.lastId = options.lastEventId || "";
    /** @type {string | null} */
    this.mode = null;
    /** @type {string | null} */
    this.streamId = null;
    const given = gatewayId(this.lastId);
    // How many events came before ours: not known if the caller goes on behind an id that has no number.
    this._base = given ? given.number : this.lastId ? NaN : 0;
    this._counted = 0;
    /** The highest number in the gateway's ids. */
    this._number = given ? given.number : 0;
    /** Events with data that were new, over all requests. */
    this.total = 0;
    /** @type {"soft" | "hard" | "failed" | ""} */
    this.terminal = "";
    /**
     * The data of stream_end.
     * @type {Record<string, any> | null}
     */
    this.end = null;
    /**
     * What the gateway's `error` event said.
     * @type {any}
     */
    this.detail = undefined;
    /**
     * The stream that this one must be resumed as, while a reset has not allowed another.
     * @type {string | null}
     */
    this._foreign = null;
    this.isRefused = false;
    this._isAnnounced = false;
    this._lost = false;
    /** @type {StreamEvent | null} */
    this._last = null;
    /** @type {StreamEvent[]} */
    this._recent = [];
    this._recentSize = 0;
    this._mayRepeat = false;
  }

  /** Loads what only few streams need. */
  async prepare() {
    const { order, filterStreamId } = this._options;
    if (order !== "index" && !filterStreamId) return;
    const { Sorter } = await import("./sorter.js");
    this._sorter = new Sorter(this._options, this._deliver, members, gatewayId);
  }

  /**
   * A response begins.
   * @param {string | null} mode
   * @param {string | null} streamId
   * @param {boolean} isResumed whether it must go on where the last one was cut
   */
  begin(mode, streamId, isResumed) {
    const isJoined = isResumed && this.mode === "graceful" && !this._isFeed;
    this.end = null;
    this._mayRepeat = isResumed;
    this._foreign = isJoined && streamId !== this.streamId ? streamId : null;
    this.isRefused = isJoined && (mode !== "graceful" || !streamId);
    if (isJoined) return;
    if (isResumed && streamId !== this.streamId) {
      this._base = this._isFeed ? 0 : NaN;
      this._counted = this._number = 0;
    }
    this.mode = mode;
    this.streamId = streamId;
  }

  /**
   * Takes an event. `announced`, `new` and `reset` are for the clocks.
   * @param {StreamEvent} event
   * @param {boolean} named
   * @param {boolean} identified
   * @returns {"new" | "announced" | "reset" | ""}
   */
  take(event, named, identified) {
    if (this.end || this.isRefused || this._isEnd(event, named, identified)) return "";
    if (this.mode === "graceful" && named && !identified) {
      const own = this._own(event);
      if (own !== undefined) return own;
    }
    if (this._foreign) {
      this.isRefused = true;
      return "";
    }
    if (this._isRepeat(event, identified)) return "";
    this._count(event);
    this.terminal = this._terminal(event, named) || this.terminal;
    if (this._sorter) this._sorter.take(event);
    else this._deliver(event);
    return "new";
  }

  /** The response is over: what was held back comes out. */
  flush() {
    this._sorter?.flush();
  }

  /** What was held back is nobody's any more. */
  drop() {
    this._sorter?.reset();
  }

  /**
   * @param {StreamEvent} event
   * @param {boolean} named
   * @param {boolean} identified
   */
  _isEnd(event, named, identified) {
    if (this.mode === "graceful" && identified) return false;
    if (named ? event.type !== SSE_EVENTS.STREAM_END : !event.data.includes(SSE_EVENTS.STREAM_END)) return false;
    const value = members(event);
    if (value.type !== SSE_EVENTS.STREAM_END) return false;
    this.end = value;
    return true;
  }

  /**
   * Takes the gateway's own events, which nobody counts. Undefined: it is none.
   * @param {StreamEvent} event
   * @returns {"announced" | "reset" | "" | undefined}
   */
  _own(event) {
    const { CONTROL, ERROR, STREAM_RESET } = SSE_EVENTS;
    if (![CONTROL, ERROR, STREAM_RESET].some((type) => type === event.type)) return undefined;
    const value = members(event);
    const isOwn = value.source === "gateway" || event.type === STREAM_RESET || value.type === "prompt_ready";
    if (!isOwn || (event.type !== ERROR && value.streamId !== (this._foreign || this.streamId))) return undefined;
    if (event.type === STREAM_RESET) {
      this._reset(value);
      return "reset";
    }
    if (event.type === ERROR) {
      this.detail = value.error || value;
      return "";
    }
    if (this._isAnnounced || this._foreign) return "";
    this._isAnnounced = true;
    this._deliver(event);
    return "announced";
  }

  /** @param {Record<string, any>} value */
  _reset(value) {
    this._sorter?.reset();
    this.streamId = this._foreign || this.streamId;
    this._foreign = null;
    this._mayRepeat = false;
    this._recent = [];
    this._recentSize =
      this._base =
      this._counted =
      this._number =
        0;
    this.lastId = this.terminal = "";
    this._last = null;
    this._lost = value.reason === "evicted";
    const { reason = "unknown", oldest = null } = value;
    this._deliver({ kind: "reset", reason, oldest, streamId: this.streamId || "" });
  }

  /**
   * Whether the event came before. Equal ids alone say nothing: backends use one for several events.
   * @param {StreamEvent} event
   * @param {boolean} identified
   */
  _isRepeat(event, identified) {
    const id = identified && gatewayId(event.id);
    if (id && id.streamId === this.streamId) {
      if (id.number <= this._number) return true;
      this._number = id.number;
      return false;
    }
    if (!this._mayRepeat) return false;
    const { type, data } = event;
    this._mayRepeat = this._recent.some((old) => old.id === event.id && old.type === type && old.data === data);
    return this._mayRepeat;
  }

  /** @param {StreamEvent} event */
  _count(event) {
    this._mayRepeat = false;
    this._counted++;
    this.total++;
    this.lastId = event.id;
    this._last = event;
    if (!event.id || gatewayId(event.id)) return;
    this._recent.push(event);
    this._recentSize += event.data.length;
    while (this._recent.length > REMEMBERED_EVENTS || this._recentSize > REMEMBERED_CHARACTERS) {
      this._recentSize -= /** @type {StreamEvent} */ (this._recent.shift()).data.length;
    }
  }

  /**
   * What a response's end means.
   * @param {"clean" | "cut" | "quiet"} how it ended; `quiet`: nothing more came behind a terminal
   * @param {boolean} canResume
   * @returns {Verdict}
   */
  verdict(how, canResume) {
    if (this.end) return this._checked(this.end, canResume);
    const done = { outcome: this.terminal === "failed" ? "upstream_error" : "completed" };
    const isGraceful = this.mode === "graceful";
    if (how === "quiet") return done;
    if (this._isFeed) return { outcome: "cut", again: true };
    if (this.terminal && (!isGraceful || how === "clean")) return done;
    if (this.terminal && this.terminal !== "soft") return { ...done, again: canResume };
    if (how === "clean" && !isGraceful) return { outcome: isError(this._last) ? "upstream_error" : "ended" };
    return { outcome: "cut", again: canResume };
  }

  /**
   * What a 204 means: there is nothing more.
   * @param {string | null} outcome as the server says
   * @param {boolean} isResumed
   * @returns {Verdict}
   */
  nothingMore(outcome, isResumed) {
    if (this._lost && (!outcome || outcome === "completed")) return { outcome: "missing_events" };
    if (outcome) return { outcome, verified: true };
    return { outcome: !isResumed ? "empty" : this.terminal && !this._isFeed ? "completed" : "ended" };
  }

  /**
   * @param {Record<string, any>} end
   * @param {boolean} canResume
   * @returns {Verdict}
   */
  _checked(end, canResume) {
    const { outcome, events, lastEventId, resumable, reason } = end;
    if (typeof outcome !== "string") return { outcome: this.terminal ? "completed" : "ended" };
    const again = resumable === true && canResume;
    if (RESUMABLE.includes(outcome) && again) return { outcome, reason, again };
    const got = this._base + this._counted;
    const isKnown = Number.isInteger(events) && typeof lastEventId === "string" && !isNaN(got);
    if (!isKnown) return { outcome, reason };
    if (events === got && lastEventId === this.lastId) return { outcome, reason, verified: true };
    // Behind the last id there is nothing more: what is missing came before it.
    this._lost = lastEventId === this.lastId || events <= got;
    return { outcome: "missing_events", reason: `${got} of ${events} events came`, again: again && !this._lost };
  }
}
