/**
 * One stream over as many requests as it takes: asks, reads, asks again, and says how it ended.
 */
import { Account } from "./account.js";
import { Clock } from "./clock.js";
import { Keepalive } from "./keepalive.js";
import { enter, leave } from "./page.js";
import { createParser } from "./parser.js";
import { refusal, Requests, whenAborted } from "./request.js";
import { Report } from "./report.js";
import { FermataStreamError, isFailure } from "./result.js";
import { isWorthAnotherTry, pause, retryAfter, ServerEvent } from "./rules.js";

/**
 * @typedef {import("./index.js").StreamOptions} StreamOptions
 * @typedef {import("./index.js").Mode} Mode
 * @typedef {import("./result.js").Failure} Failure
 * @typedef {import("./account.js").Verdict} Verdict
 * @typedef {import("./report.js").Sink} Sink
 */

const LONGEST_RETRY = 300000;
const noop = () => {};

export class Session extends Report {
  /**
   * @param {string | URL} url
   * @param {StreamOptions} options
   * @param {boolean} isFeed
   * @param {Sink} sink
   */
  constructor(url, options, isFeed, sink) {
    super(options, sink, new Account(options, isFeed, (item) => sink.item(item)));
    this._isFeed = isFeed;
    this._requests = new Requests(url, options);
    this.url = this._requests.url.href;
    this._retry = { base: 1000, max: 30000, attempts: 5, retryAfterMax: 120000, random: Math.random, ...options.retry };
    this._clock = new Clock();
    // What a slow consumer does not prolong.
    this._limits = new Clock();
    this._tries = 0;
    this._wasOpen = false;
    this._hasRenewed = false;
    this._track = { isBroken: false };
    this._isCancelling = false;
    this._isSuspended = false;
    /**
     * The last connection is free, or gone.
     * @type {Promise<void> | undefined}
     */
    this._released = undefined;
    /** @type {AbortController | undefined} */
    this._controller = undefined;
    /**
     * How the last stream ended that is to be resumed.
     * @type {Verdict}
     */
    this._ended = { outcome: "cut" };
    this._endPause = noop;
    this._onAbort = () => this.close(options.signal && options.signal.reason);
  }

  start() {
    const { signal, timeout = Infinity } = this._options;
    if (signal && signal.aborted) return this._onAbort();
    if (signal) signal.addEventListener("abort", this._onAbort);
    this._limits.set("total", timeout, () => this._finish({ outcome: "timeout" }));
    enter(this);
    this._run().catch((cause) => this._finish({ outcome: "no_stream" }, { cause, message: String(cause) }));
  }

  /** @param {unknown} [reason] */
  close(reason) {
    const text = reason instanceof Error ? reason.message : reason;
    this._finish({ outcome: "aborted", reason: text === undefined ? undefined : String(text) });
  }

  /** Stops the run. Before there is an answer this is only remembered. */
  cancel() {
    if (this._isCancelling || this._isOver) return;
    this._isCancelling = true;
    if (this._wasOpen) this._stop();
  }

  /** The machine or the page came back: a pause is over, and silence is looked at. */
  wake() {
    this._isSuspended = false;
    this._clock.wake("dead");
    this._endPause();
  }

  /** The page goes: a connection that can be made again is given up. */
  suspend() {
    if (!this._controller || this.account.mode !== "graceful" || !this._canResume()) return;
    this._isSuspended = true;
    this._controller.abort();
  }

  async _run() {
    await this.account.prepare();
    while (!this._isOver) {
      const failure = await this._attempt();
      if (!failure || this._isOver) return;
      if (failure.verdict) this._ended = failure.verdict;
      await this._rest(failure);
    }
  }

  /**
   * One request, to its end.
   * @returns {Promise<Failure | undefined>} undefined: the stream is over
   */
  async _attempt() {
    const controller = (this._controller = new AbortController());
    const { signal } = controller;
    const { headTimeout = 60000 } = this._options;
    const { lastId, mode, streamId } = this.account;
    let isTimeout = false;
    this._clock.set("head", headTimeout, () => {
      isTimeout = true;
      controller.abort();
    });
    const track = (this._track = { isBroken: false });
    const knownId = mode === "graceful" ? streamId : null;
    const asking = { isResume: this._wasOpen && !this._isFeed, lastId, streamId: knownId, track, signal };
    try {
      const answer = this._requests.send({ ...asking, attempt: ++this._attempts });
      // For a fetch that does not look at the signal.
      answer.then(({ body }) => (signal.aborted && body ? body.cancel() : undefined), noop).catch(noop);
      return await this._answered(await Promise.race([answer, whenAborted(signal)]), controller);
    } catch (cause) {
      const isFinal = !this._mayRepeat();
      const message = isTimeout ? undefined : cause instanceof Error ? cause.message : String(cause);
      return { cause, isTimeout, isFinal, message };
    } finally {
      this._clock.clear("head");
    }
  }

  /** Whether asking once more can't do anything twice. */
  _mayRepeat() {
    const { isSafe, isRepeatable, key } = this._requests;
    return this._wasOpen || isSafe || (isRepeatable && !!key);
  }

  /**
   * @param {Response} response
   * @param {AbortController} controller
   * @returns {Promise<Failure | undefined>}
   */
  async _answered(response, controller) {
    const { status, headers } = response;
    if (status === 204) return this._conclude(this.account.nothingMore(headers.get("X-Stream-Outcome"), this._wasOpen));
    if (response.ok && /^\s*text\/event-stream\s*(;|$)/i.test(headers.get("Content-Type") || "")) {
      this._clock.clear("head");
      return this._open(response, controller);
    }
    const wait = retryAfter(headers.get("Retry-After"), Date.now());
    const isFinal = !this._mayAsk(status, wait);
    return { status, retryAfter: wait, isFinal, ...(await refusal(response)) };
  }

  /**
   * @param {number} status
   * @param {number | undefined} wait
   */
  _mayAsk(status, wait) {
    const { isRepeatable } = this._requests;
    if (status === 401) {
      const isFirst = !this._hasRenewed && typeof this._options.headers === "function";
      this._hasRenewed = true;
      return isFirst && (this._wasOpen || isRepeatable);
    }
    if (!isWorthAnotherTry(status)) return false;
    // These two did nothing, and say when to come back.
    return this._mayRepeat() || (isRepeatable && (status === 429 || status === 503) && wait !== undefined);
  }

  /**
   * @param {Response} response
   * @param {AbortController} controller
   * @returns {Promise<Failure | undefined>}
   */
  async _open(response, controller) {
    const { headers, status, url, body } = response;
    if (!body || !body.getReader) {
      return { status, code: "no_streaming", message: "this fetch has no streaming bodies", isFinal: true };
    }
    const mode = /** @type {Mode | null} */ (headers.get("X-Stream-Mode"));
    const streamId = headers.get("X-Stream-Id");
    const isResumed = this._wasOpen;
    this.account.begin(mode, streamId, isResumed);
    this._wasOpen = true;
    this._requests.told = headers.get("X-Stream-Resume") ?? this._requests.told;
    this._hasRenewed = false;
    if (!this.account.isRefused) {
      this._setState(this.account.terminal ? "completing" : "open");
      this.log("info", "SSE open", { runId: this._runId(), attempt: this._attempts, mode });
      this._sink.open({ status, url, headers, mode, streamId, attempt: this._attempts, isResumed });
      if (this._isCancelling && !isResumed) this._stop();
    }
    return this._isOver ? undefined : this._read(body.getReader(), controller);
  }

  /**
   * @param {ReadableStreamDefaultReader<Uint8Array>} reader
   * @param {AbortController} controller
   * @returns {Promise<Failure | undefined>}
   */
  async _read(reader, controller) {
    const { account } = this;
    const parser = this._parser();
    const next = () => reader.read().catch(() => null);
    controller.signal.addEventListener("abort", () => reader.cancel().catch(noop), { once: true });
    let piece;
    while (!account.isRefused && (piece = await next()) && !piece.done && !controller.signal.aborted) {
      this.bytes += piece.value.length;
      this._clock.touch("dead");
      if (!parser.feed(piece.value)) return this._conclude({ outcome: "event_too_large" });
      if (account.end || this._isOver) break;
      if (this._sink.isFull() && !this._isCancelling) await this._room();
    }
    if (this._isOver) return undefined;
    this._clock.clear("late", "dead", "end");
    const isWhole = !!piece && piece.done && !controller.signal.aborted && !this._track.isBroken;
    parser.end(isWhole && !this._isFeed);
    account.flush();
    if (account.end) this._released = this._drain(reader, controller);
    else controller.abort();
    if (account.isRefused) return { message: "another stream came instead of the rest", isFinal: true };
    return this._conclude(account.verdict(isWhole ? "clean" : "cut", this._canResume()));
  }

  _parser() {
    const { account } = this;
    const { maxEventBytes, deadTimeout = "auto" } = this._options;
    const keepalive = new Keepalive(this._clock, deadTimeout, account.mode === "graceful", () => {
      if (this._controller) this._controller.abort();
    });
    if (!account.total) this._awaitFirst();
    const parser = createParser({
      lastEventId: account.lastId,
      maxEventBytes,
      onEvent: (raw, named, identified) => {
        if (this._isOver) return;
        const what = account.take(new ServerEvent(raw.type, raw.data, raw.id), named, identified);
        if (what === "new") this._progress();
        else if (what === "announced") this._awaitFirst();
        else if (what === "reset") parser.lastEventId = "";
      },
      onComment: () => keepalive.comment(),
      onRetry: (time) => (this._retry.base = time ? Math.min(time, LONGEST_RETRY) : this._retry.base),
      onId: (id) => (account.lastId = id),
    });
    return parser;
  }

  _awaitFirst() {
    const { firstTokenTimeout = 35000 } = this._options;
    this._clock.set("late", firstTokenTimeout, () => this._sink.tell("onLate"));
  }

  /** A new event came: tries are counted anew, and the end is waited for if it was a terminal, or came behind one. */
  _progress() {
    this._tries = 0;
    const { mode, terminal } = this.account;
    this._clock.clear("late");
    if (!terminal) return;
    const { endWait = 30000, hardEndWait = 1000 } = this._options;
    const wait = mode === "graceful" || terminal === "soft" ? endWait : hardEndWait;
    this._setState("completing");
    if (this._isFeed) return;
    this._clock.set("end", wait, () => this._conclude(this.account.verdict("quiet", false)));
  }

  /** The consumer has too much already. Its time is nobody's silence. */
  async _room() {
    this._clock.pause(true);
    await this._sink.room();
    this._clock.pause(false);
  }

  /**
   * Reads what may follow the end, so that the connection can be used again.
   * @param {ReadableStreamDefaultReader<Uint8Array>} reader
   * @param {AbortController} controller
   */
  async _drain(reader, controller) {
    this._controller = undefined;
    const timer = setTimeout(() => controller.abort(), 1000);
    if (typeof timer === "object") /** @type {any} */ (timer).unref();
    let piece;
    do piece = await reader.read().catch(() => null); while (piece && !piece.done);
    clearTimeout(timer);
  }

  _canResume() {
    const { resume, isSafe } = this._requests;
    const { mode, streamId, lastId } = this.account;
    if (this._isFeed) return true;
    if (resume === "auto" && mode === "graceful") return !!streamId;
    return resume !== "off" && isSafe && !!lastId;
  }

  /**
   * @param {Verdict} verdict
   * @returns {Failure | undefined}
   */
  _conclude(verdict) {
    if (verdict.again) return { verdict };
    this._finish(verdict);
    return undefined;
  }

  /**
   * Waits before the next request, or gives up.
   * @param {Failure} failure
   */
  async _rest(failure) {
    const { base, max, attempts, random, retryAfterMax } = this._retry;
    const { status, retryAfter: wait = 0 } = failure;
    if (!this._isSuspended) this._tries++;
    const mayGoOn = this._isFeed || this._tries <= attempts;
    this.log("warn", "SSE connection error", { runId: this._runId(), attempt: this._attempts, status });
    if (this._isCancelling && !this._wasOpen) return this.close();
    if (failure.isFinal || !mayGoOn || wait > retryAfterMax) return this._finish(this._given(failure), failure);
    const delay = this._isSuspended ? Infinity : Math.max(pause(this._tries, base, max, random), wait);
    this._setState("reconnecting");
    this.log("info", "SSE reconnect", { delayMs: Math.round(delay) });
    this._sink.tell("onRetry", { attempt: this._tries, delay, error: this._error(this._given(failure), failure) });
    if (this._isCancelling || this._isOver) return;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    await new Promise((resolve) => {
      this._endPause = () => resolve(undefined);
      if (delay < Infinity) timer = setTimeout(resolve, delay);
    });
    clearTimeout(timer);
    this._endPause = noop;
  }

  /**
   * What it comes to if nothing helps.
   * @param {Failure} failure
   */
  _given(failure) {
    if (this._wasOpen) return { ...this._ended, verified: false };
    return { outcome: failure.isTimeout ? "timeout" : "no_stream" };
  }

  /** Stops the run by its name; where it has none, leaving is all that can be done. */
  _stop() {
    const runId = this._options.runId || this.account.streamId;
    if (!runId) return this.close();
    const { cancelWait = 2000 } = this._options;
    /** @param {unknown} error */
    const failed = (error) => this.log("warn", "Failed to cancel", { runId, errorMessage: String(error) });
    this._limits.set("cancel", cancelWait, () => this.close());
    this._requests.stop(runId, this._attempts).then((status) => status >= 400 && failed(`status ${status}`), failed);
    this._endPause();
  }

  /**
   * @param {Verdict} verdict
   * @param {Failure} [failure]
   */
  _finish(verdict, failure = {}) {
    if (this._isOver) return;
    const isLeft = this._isCancelling && ["cut", "ended", "no_stream", "timeout"].includes(verdict.outcome);
    const result = this._result(isLeft ? { outcome: "aborted" } : verdict);
    const { outcome, events, bytes } = result;
    if (outcome === "aborted") this.account.drop();
    else this.account.flush();
    if (isFailure(outcome, this._isCancelling, this._options.requireTerminal)) {
      result.error = new FermataStreamError(result, { detail: this.account.detail, ...failure });
    }
    this._setState("closed");
    this._isOver = true;
    this._clean();
    const { error } = result;
    if (error && result.end) {
      this.log("error", "Agent run error", { runId: result.runId, errorData: { code: error.code } });
    }
    this.log(outcome === "aborted" ? "debug" : "info", "SSE end", { outcome, events, bytes });
    this._sink.finish(result, this._released);
  }

  _clean() {
    const { signal } = this._options;
    if (signal) signal.removeEventListener("abort", this._onAbort);
    this._clock.clear("head", "late", "dead", "end");
    this._limits.clear("total", "cancel");
    leave(this);
    this._endPause();
    if (this._controller) this._controller.abort();
  }
}
