import { isRetryable } from "./rules.js";

/**
 * @typedef {import("./index.js").StreamResult} StreamResult
 * @typedef {import("./account.js").Verdict} Verdict
 */

/**
 * Why a request gave no stream, or a stream no end.
 * @typedef {object} Failure
 * @property {Verdict} [verdict] how the stream ended, if there was one
 * @property {number} [status]
 * @property {string} [code]
 * @property {string} [message]
 * @property {any} [detail]
 * @property {number} [retryAfter]
 * @property {boolean} [isTimeout]
 * @property {boolean} [isFinal]
 * @property {unknown} [cause]
 */

export class FermataStreamError extends Error {
  /**
   * @param {StreamResult} result
   * @param {Failure} failure
   */
  constructor(result, { message, code, status, retryAfter, detail, cause }) {
    const { outcome, reason } = result;
    super(message || reason || `the stream's outcome is ${outcome}`);
    this.name = "FermataStreamError";
    /** @type {string} */
    this.code = (outcome === "no_stream" && code) || outcome;
    this.outcome = outcome;
    this.status = status;
    this.retryAfter = retryAfter;
    this.isRetryable = isRetryable(outcome, status);
    this.detail = detail;
    // A result and its error hold each other: one of them must not be looked into by printers.
    Object.defineProperties(this, { result: { value: result }, cause: { value: cause } });
  }
}

/**
 * @param {string} outcome
 * @param {boolean} isOurs whether the caller cancelled
 * @param {boolean} [requireTerminal]
 */
export function isFailure(outcome, isOurs, requireTerminal) {
  if (outcome === "ended") return !!requireTerminal;
  return !/^(completed|empty|aborted|replaced_by_new_stream)$/.test(outcome) && !(isOurs && outcome === "cancelled");
}
