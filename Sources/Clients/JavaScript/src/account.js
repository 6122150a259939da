/**
 * What is known of a stream: how many events came, which was the last, how it ended. Bytes and clocks are elsewhere.
 */
import { gatewayId, isError, members, terminal } from "./rules.js";

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
 * @param {boolean} isFeed
 * @param {LiveResult} result where the counts are kept
 * @param {(item: StreamEvent | StreamReset) => void} deliver
 * @param {() => void} progress a new event came
 * @param {() => void} announced the run has begun
 */
export function createAccount(options, isFeed, result, deliver, progress, announced) {
  const { order, filterStreamId, completionEvents = COMPLETION_EVENTS } = options;
  const { lastEventId } = result;
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
   * @param {StreamEvent} event
   * @param {boolean} isNamed
   */
  function isEnd(event, isNamed) {
    const isHinted = isNamed ? event.type === "stream_end" : event.data.includes("stream_end");
    /** @type {any} */
    const value = isHinted && members(event);
    if (value.type !== "stream_end") return false;
    result.end = value;
    return true;
  }

  /**
   * Takes the gateway's own events, which nobody counts.
   * @param {StreamEvent} event
   * @returns {boolean | undefined} whether it is one
   */
  function own(event) {
    const { type } = event;
    if (!/^(control|error|stream_reset)$/.test(type)) return;
    const value = members(event);
    const isGateways = value.source === "gateway";
    if (type === "error") {
      if (isGateways) account._detail = value.error || value;
      return isGateways;
    }
    if (value.streamId !== (foreign || result.streamId)) return;
    if (type === "stream_reset") reset(value);
    else {
      if (!isGateways && value.type !== "prompt_ready") return;
      if (!isAnnounced && !foreign) {
        isAnnounced = true;
        deliver(event);
        announced();
      }
    }
    return true;
  }

  /** @param {Record<string, any>} value */
  function reset({ reason = "unknown", oldest = null }) {
    sorter?._reset();
    result.streamId = foreign || result.streamId;
    foreign = null;
    mayRepeat = false;
    recent = [];
    recentSize =
      base =
      counted =
      highest =
        0;
    result.lastEventId = account._terminal = "";
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
    last = event;
    if (!event.id || gatewayId(event.id)) return;
    recent.push(event);
    recentSize += event.data.length;
    // So many are remembered, and so many characters of them.
    while (recent.length > 256 || recentSize > 1 << 20) {
      recentSize -= /** @type {StreamEvent} */ (recent.shift()).data.length;
    }
  }

  /**
   * @param {boolean} canResume
   * @returns {Verdict}
   */
  function checked(canResume) {
    const { outcome, events, lastEventId: lastId, resumable, reason } = /** @type {any} */ (result.end);
    if (typeof outcome !== "string") return { outcome: account._terminal ? "completed" : "ended" };
    const again = resumable === true && canResume;
    // Outcomes of a connection, not of the run.
    if (again && /^(draining|client_stalled|gateway_error)$/.test(outcome)) return { outcome, reason, _again: again };
    const got = base + counted;
    if (!Number.isInteger(events) || typeof lastId !== "string" || isNaN(got)) return { outcome, reason };
    // What goes on behind a given id and brings nothing may not name it.
    const isLast = lastId === result.lastEventId || (!lastId && !counted);
    const verified = events === got && isLast;
    // These two are the caller's doing, and nothing is asked for again.
    if (verified || /^(cancelled|replaced_by_new_stream)$/.test(outcome)) return { outcome, reason, verified };
    // Behind the last id there is nothing more: what is missing came before it.
    isLost = isLast || events <= got;
    const missing = { outcome: "missing_events", reason: `${got} of ${events} events came`, _again: again && !isLost };
    // What failed has failed, whatever is missing beside.
    return outcome === "completed" || missing._again ? missing : { outcome, reason };
  }

  const account = {
    /** @type {"soft" | "hard" | "failed" | ""} */
    _terminal: "",
    /**
     * What the gateway's `error` event said.
     * @type {any}
     */
    _detail: undefined,
    _isRefused: false,

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
      const isPlain = result.mode !== "graceful";
      if (result.end || account._isRefused || ((isPlain || !isIdentified) && isEnd(event, isNamed))) return;
      if (!isPlain && isNamed && !isIdentified && own(event)) return;
      account._isRefused = !!foreign;
      if (foreign || isRepeat(event, isIdentified)) return;
      count(event);
      account._terminal = terminal(event, isNamed, completionEvents) || account._terminal;
      if (sorter) sorter._take(event);
      else deliver(event);
      progress();
    },

    /**
     * A response is over: what was held back comes out, or is nobody's any more.
     * @param {boolean} [isLeft]
     */
    _release: (isLeft) => (isLeft ? sorter?._reset() : sorter?._flush()),

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
      const done = { outcome: terminal === "failed" ? "upstream_error" : "completed" };
      if (how === "quiet") return done;
      if (isFeed) return { outcome: "cut", _again: true };
      if (terminal && (isPlain || isClean)) return done;
      if (terminal && terminal !== "soft") return { ...done, _again: canResume };
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
      return { outcome: !isResumed ? "empty" : account._terminal && !isFeed ? "completed" : "ended" };
    },
  };
  return account;
}
