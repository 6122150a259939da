import { isRetryable } from "./rules.js";

/**
 * @typedef {import("./index.js").StreamResult} StreamResult
 * @typedef {import("./account.js").Verdict} Verdict
 */

/**
 * Why a request gave no stream, or a stream no end.
 * @typedef {object} Failure
 * @property {Verdict} [_verdict] how the stream ended, if there was one
 * @property {number} [status]
 * @property {string} [code]
 * @property {string} [message]
 * @property {any} [detail]
 * @property {number} [retryAfter]
 * @property {boolean} [_isTimeout]
 * @property {boolean} [_isFinal]
 * @property {unknown} [cause]
 */

export class FermataStreamError extends Error {
  /**
   * @param {StreamResult} result
   * @param {Failure} failure
   */
  constructor(result, { message, code, status, retryAfter, detail, cause }) {
    const { outcome, reason } = result;
    const said = outcome !== "timeout" && /** @type {any} */ (cause)?.message;
    // @ts-ignore: `cause` is younger than the library asks for, and left out where it is not known.
    super(message || said || reason || code || outcome, { cause });
    /** @type {string} */
    this.code = (outcome === "no_stream" && code) || outcome;
    this.isRetryable = isRetryable(outcome, status);
    Object.assign(this, { name: "FermataStreamError", outcome, status, retryAfter, detail });
    // A result and its error hold each other: one of them must not be looked into by printers.
    Object.defineProperty(this, "result", { value: result });
  }
}

/**
 * @param {string} outcome
 * @param {boolean | undefined} isOurs whether the caller cancelled
 * @param {boolean} [requireTerminal]
 */
export const isFailure = (outcome, isOurs, requireTerminal) =>
  !/^(completed|empty|aborted|replaced_by_new_stream)$/.test(outcome) &&
  !(outcome === "ended" && !requireTerminal) &&
  !(outcome === "cancelled" && isOurs);
