/**
 * What is known of a stream: how many events came, which was the last, how it ended. Bytes and clocks are elsewhere.
 */
import { gatewayId, HARD, isAll, isError, members, terminal } from "./rules.js";

/**
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 * @typedef {import("./index.js").StreamReset} StreamReset
 * @typedef {import("./stream.js").Settings} Settings
 * @typedef {import("./stream.js").LiveResult} LiveResult
 */

/**
 * @typedef {{ outcome: string, verified?: boolean, reason?: string, _again?: boolean }} Verdict `_again`: ask again,
 *   and only if that fails it ended so
 */

/** @type {readonly string[]} */
const COMPLETION_EVENTS = ["complete", "completion", "done"];

/**
 * @param {Settings} options
 * @param {boolean} mayFeed
 * @param {LiveResult} result where the counts are kept
 * @param {(item: StreamEvent | StreamReset) => void} deliver
 * @param {(isNew: boolean) => void} progress a new event came; `isNew`: it is a terminal above those before
 * @param {() => void} announced the run has begun
 */
export function createAccount(options, mayFeed, result, deliver, progress, announced) {
  const { order, filterStreamId, completionEvents = COMPLETION_EVENTS } = options;
  const { lastEventId } = result;
  const isFeed = isAll && mayFeed;
  const given = gatewayId(lastEventId);
  // How many events came before ours: not known if the caller goes on behind an id that has no number.
  let base = given ? +given[2] : lastEventId ? NaN : 0;
  let counted = 0;
  /** The highest number in the gateway's ids. */
  let highest = base || 0;
  /**
   * A stream that came instead of ours. It is taken only if it says first that it is another.
   * @type {string | null}
   */
  let foreign = null;
  let isAnnounced = false;
  /** Whether events are missing that can't come any more. */
  let isLost = false;
  let mayRepeat = false;
  /** @type {StreamEvent | undefined} */
  let last;
  /** @type {StreamEvent[]} */
  let recent = [];
  let recentSize = 0;
  /** @type {import("./sorter.js").Sorter | undefined} */
  let sorter;

  /**
   * Takes the gateway's own events, which nobody counts.
   * @param {StreamEvent} event
   * @param {boolean} isNamed
   * @param {boolean} isPlain then `stream_end` is the only one
   * @returns {boolean | undefined} whether it is one
   */
  function own(event, isNamed, isPlain) {
    const kind = isNamed ? event.type : event.data.includes("stream_end") ? "stream_end" : "";
    if (kind !== "stream_end" && (isPlain || !/^(control|error|stream_reset)$/.test(kind))) return;
    const value = members(event);
    const { type, source, streamId } = value;
    // A gateway behind the gateway says the same of its own stream.
    if (!isPlain && streamId && streamId !== (foreign || result.streamId || streamId)) return;
    const isGateways = source === "gateway";
    if (kind === "error") return isGateways && (account._detail = value.error || value);
    if (kind === "control") {
      if (!streamId || !(isGateways || type === "prompt_ready")) return;
      if (!(isAnnounced || foreign)) {
        isAnnounced = true;
        deliver(event);
        announced();
      }
    } else if (type !== kind) return;
    else if (kind === "stream_reset") reset(value);
    else if (foreign) return;
    else result.end = /** @type {any} */ (value);
    return true;
  }

  /** @param {Record<string, any>} value */
  function reset({ reason = "unknown", oldest = null }) {
    sorter?._reset();
    result.streamId = foreign || result.streamId;
    foreign = null;
    mayRepeat = false;
    recent = [];
    recentSize = base = counted = highest = 0;
    result.lastEventId = "";
    account._terminal = 0;
    last = undefined;
    isLost = reason === "evicted";
    deliver({ kind: "reset", reason, oldest, streamId: result.streamId || "" });
  }

  /**
   * Whether the event came before. Equal ids alone say nothing: backends use one for several events.
   * @param {StreamEvent} event
   * @param {boolean} isIdentified
   */
  function isRepeat({ id, type, data }, isIdentified) {
    const own = isIdentified && gatewayId(id);
    if (own && own[1] === result.streamId) {
      if (+own[2] <= highest) return true;
      highest = +own[2];
      return false;
    }
    mayRepeat = mayRepeat && recent.some((old) => old.id === id && old.type === type && old.data === data);
    return mayRepeat;
  }

  /** @param {StreamEvent} event */
  function count(event) {
    mayRepeat = false;
    counted++;
    result.events++;
    result.lastEventId = event.id;
    if (!event.id || gatewayId(event.id)) return;
    recent.push(event);
    recentSize += event.data.length;
    // So many are remembered, and so many characters of them.
    while (recent.length > 256 || recentSize > 1 << 24) {
      recentSize -= /** @type {StreamEvent} */ (recent.shift()).data.length;
    }
  }

  /**
   * What the terminal says, if nobody else does.
   * @param {string} otherwise without one
   */
  const said = (otherwise) =>
    account._terminal > HARD ? "upstream_error" : account._terminal ? "completed" : otherwise;

  /**
   * @param {boolean} canResume
   * @returns {Verdict}
   */
  function checked(canResume) {
    const { outcome, events, lastEventId: lastId, resumable, reason } = /** @type {any} */ (result.end);
    if (typeof outcome !== "string") return { outcome: said("ended") };
    const again = resumable === true && canResume;
    // Outcomes of a connection, not of the run.
    if (again && /^(draining|client_stalled|gateway_error)$/.test(outcome)) return { outcome, reason, _again: again };
    const got = base + counted;
    const id = result.lastEventId;
    // What goes on behind a given id and brings nothing may not name it.
    const isLast = (lastId ?? id) === id || (!lastId && !counted);
    const verified = events === got && isLast;
    // These two are the caller's doing, and nothing is asked for again.
    if (verified || /^(cancelled|replaced_by_new_stream)$/.test(outcome)) return { outcome, reason, verified };
    // Not zero, and known.
    const isOther = typeof events === "number" && events - got;
    if (isLast && !isOther) return { outcome, reason };
    // Behind the last id there is nothing more: what is missing came before it.
    isLost = isLast || !(events > got);
    const missing = { outcome: "missing_events", reason: `${got} of ${events} events came`, _again: again && !isLost };
    // What failed has failed, whatever is missing beside.
    return outcome === "completed" || missing._again ? missing : { outcome, reason };
  }

  const account = {
    /** The last word so far: none, soft, hard, or a failure. */
    _terminal: 0,
    /**
     * What the gateway's `error` event said.
     * @type {any}
     */
    _detail: undefined,
    /** @type {any} */
    _isRefused: false,
    /** What comes was left open at a graceful end. */
    _isTail: false,

    /** Loads what only few streams need. */
    async _prepare() {
      if (order !== "index" && !filterStreamId) return;
      const { Sorter } = await import("./sorter.js");
      sorter = new Sorter(options, deliver, members, gatewayId);
    },

    /**
     * A response begins.
     * @param {string | null} mode
     * @param {string | null} streamId
     * @param {boolean} isResumed whether it must go on where the last one was cut
     */
    _begin(mode, streamId, isResumed) {
      const isJoined = isResumed && result.mode === "graceful" && !isFeed;
      const isOther = streamId !== result.streamId;
      result.end = null;
      account._isTail = false;
      mayRepeat = isResumed;
      foreign = isJoined && isOther ? streamId : null;
      account._isRefused = isJoined && (mode !== "graceful" || !streamId);
      if (isJoined) return;
      if (isResumed && isOther) {
        base = isFeed ? 0 : NaN;
        counted = highest = 0;
      }
      result.mode = /** @type {import("./index.js").Mode} */ (mode);
      result.streamId = streamId;
    },

    /**
     * @param {StreamEvent} event
     * @param {boolean} isNamed
     * @param {boolean} isIdentified
     */
    _take(event, isNamed, isIdentified) {
      if (result.end || account._isRefused) return;
      const isPlain = result.mode !== "graceful";
      if ((isPlain || !isIdentified) && own(event, isNamed, isPlain)) return;
      account._isRefused = foreign;
      // The gateway ends its events: of what it left open nothing is whole but JSON that says so itself.
      if (foreign || account._isTail || isRepeat(event, isIdentified)) return;
      count(event);
      const before = account._terminal;
      if (!sorter) deliver(event);
      // What the filter leaves out ends nothing.
      if (!sorter || sorter._take(event)) {
        last = event;
        account._terminal = Math.max(before, terminal(event, isNamed, completionEvents));
      }
      progress(before !== account._terminal);
    },

    /**
     * A response is over: what was held back comes out, or is nobody's any more.
     * @param {boolean} [isLeft]
     */
    _release(isLeft) {
      // A stream that came instead of ours and did not say so.
      account._isRefused ||= foreign;
      if (isLeft) sorter?._reset();
      else sorter?._flush();
    },

    /**
     * What a response's end means.
     * @param {"clean" | "cut" | "quiet"} how it ended; `quiet`: nothing more came behind a terminal
     * @param {boolean} canResume
     * @returns {Verdict}
     */
    _verdict(how, canResume) {
      if (result.end) return checked(canResume);
      const terminal = account._terminal;
      const isClean = how === "clean";
      const isPlain = result.mode !== "graceful";
      const done = { outcome: said("ended") };
      if (how === "quiet") return done;
      if (isFeed) return { outcome: isClean && !canResume ? "ended" : "cut", _again: canResume };
      if (terminal && (isPlain || isClean)) return done;
      if (terminal >= HARD) return { ...done, _again: canResume };
      if (isClean && isPlain) return { outcome: isError(last) ? "upstream_error" : "ended" };
      return { outcome: "cut", _again: canResume };
    },

    /**
     * What a 204 means: there is nothing more.
     * @param {string | null} outcome as the server says
     * @param {boolean} isResumed
     * @returns {Verdict}
     */
    _nothingMore(outcome, isResumed) {
      if (isLost && (!outcome || outcome === "completed")) return { outcome: "missing_events" };
      if (outcome) return { outcome, verified: true };
      return { outcome: !isResumed ? "empty" : isFeed ? "ended" : said("ended") };
    },
  };
  return account;
}
