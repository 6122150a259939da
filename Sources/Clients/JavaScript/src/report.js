/** What a stream says of itself: states, results, log lines. */
import { FermataStreamError } from "./result.js";

/**
 * @typedef {import("./index.js").StreamOptions} StreamOptions
 * @typedef {import("./index.js").StreamResult} StreamResult
 * @typedef {import("./index.js").State} State
 * @typedef {import("./index.js").Mode} Mode
 * @typedef {import("./result.js").Failure} Failure
 * @typedef {import("./account.js").Account} Account
 * @typedef {import("./account.js").Verdict} Verdict
 *
 * @typedef {object} Sink
 * @property {(item: import("./index.js").StreamEvent | import("./index.js").StreamReset) => void} item
 * @property {(info: import("./index.js").OpenInfo) => void} open
 * @property {(name: "onState" | "onLate" | "onRetry", value?: any) => void} tell
 * @property {(result: StreamResult, released: Promise<void> | undefined) => void} finish
 * @property {() => boolean} isFull
 * @property {() => Promise<void>} room
 */

export class Report {
  /**
   * @param {StreamOptions} options
   * @param {Sink} sink
   * @param {Account} account
   */
  constructor(options, sink, account) {
    this._options = options;
    this._sink = sink;
    this.account = account;
    /** @type {State} */
    this.state = "connecting";
    this.bytes = 0;
    this._attempts = 0;
    this._isOver = false;
  }

  /** @param {State} state */
  _setState(state) {
    if (this.state === state || this._isOver) return;
    this.state = state;
    this._sink.tell("onState", state);
  }

  _runId() {
    const { end, streamId } = this.account;
    return (end && end.runId) || this._options.runId || streamId || null;
  }

  /**
   * @param {Verdict} verdict
   * @param {Failure} failure
   */
  _error(verdict, failure) {
    return new FermataStreamError(this._result(verdict), { detail: this.account.detail, ...failure });
  }

  /**
   * @param {Verdict} verdict
   * @returns {StreamResult}
   */
  _result({ outcome, verified = false, reason }) {
    const { total: events, lastId: lastEventId, streamId, mode, end } = this.account;
    return {
      outcome,
      complete: outcome === "completed",
      verified,
      reason: reason || null,
      events,
      bytes: this.bytes,
      lastEventId,
      streamId,
      runId: this._runId(),
      mode: /** @type {Mode | null} */ (mode),
      attempts: this._attempts,
      end: /** @type {any} */ (end),
      error: null,
    };
  }

  /**
   * @param {"debug" | "info" | "warn" | "error"} level
   * @param {string} message
   * @param {Record<string, unknown>} metadata
   */
  log(level, message, metadata) {
    const { logger } = this._options;
    try {
      if (logger) logger[level](message, metadata);
    } catch {
      // A logger that throws must not end the stream.
    }
  }
}
