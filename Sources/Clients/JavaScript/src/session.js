/**
 * One stream over as many requests as it takes: asks, reads, asks again, and says how it ended.
 */
import { createAccount } from "./account.js";
import { createClock, later } from "./clock.js";
import { createReader } from "./format.js";
import { createRequests, refusal } from "./request.js";
import { FermataStreamError, isFailure } from "./result.js";
import { HARD, isAll, isWorthAnotherTry, retryAfter, ServerEvent } from "./rules.js";

/**
 * @typedef {import("./result.js").Failure} Failure
 * @typedef {import("./account.js").Verdict} Verdict
 * @typedef {import("./index.js").State} State
 */

/**
 * The stream's other half: where what comes is put.
 * @typedef {object} Queue
 * @property {(item: import("./index.js").StreamEvent | import("./index.js").StreamReset) => void} _deliver
 * @property {() => Promise<void> | undefined} _room a promise if the consumer has too much already
 * @property {() => void} _flow reads on all the same
 * @property {(released: Promise<void> | undefined) => void} _finish
 */

const noop = () => {};

/**
 * @param {any} stream gets what can be done with it
 * @param {string | URL} url
 * @param {import("./stream.js").Settings} options
 * @param {boolean} mayFeed
 * @param {Queue} queue
 */
export function startSession(stream, url, options, mayFeed, { _deliver, _room, _flow, _finish }) {
  const { signal, timeout = Infinity, deadTimeout = "auto", resume = "auto", endWait = 30000, retry = {} } = options;
  const { max = 30000, attempts = 5, retryAfterMax = 120000, random = Math.random } = retry;
  let { base = 1000 } = retry;
  const isFeed = isAll && mayFeed;
  /** @type {import("./stream.js").LiveResult} */
  const result = stream._result;
  const requests = createRequests(url, options);
  /** @param {import("./index.js").StreamEvent | import("./index.js").StreamReset} item */
  const deliver = (item) => {
    _deliver(item);
    if (item.kind === "reset") tell("onReset", item);
  };
  const awaitFirst = () => clock._set("late", options.firstTokenTimeout ?? 35000, () => tell("onLate"));
  const account = createAccount(options, isFeed, result, deliver, progress, awaitFirst);
  const clock = createClock();
  /** Requests in a row that brought no new event. */
  let tries = 0;
  let wasOpen = false;
  let hasRenewed = false;
  let isCancelling = false;
  let isSuspended = false;
  let isOver = false;
  // Of the request that is under way.
  let controller = new AbortController();
  /** @type {import("./framing.js").Track} */
  let track;
  /**
   * Its connection is being read to its end, and is free or gone then.
   * @type {Promise<void> | undefined}
   */
  let released;
  /**
   * How the last stream ended that is to be resumed.
   * @type {Verdict}
   */
  let ended = { outcome: "cut" };
  let endPause = noop;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let totalTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let cancelTimer;

  const isGraceful = () => result.mode === "graceful";

  /**
   * A handler that throws does not end the stream.
   * @param {"onState" | "onOpen" | "onReset" | "onLate" | "onRetry" | "onCancelError"} name
   * @param {any} [value]
   */
  function tell(name, value) {
    try {
      options[name]?.(value);
    } catch (error) {
      console.error(error);
    }
  }

  /** @param {State} state */
  function become(state) {
    if (stream.state === state || isOver) return;
    stream.state = state;
    tell("onState", state);
  }

  async function run() {
    await account._prepare();
    while (!isOver) {
      const failure = await attempt();
      if (!failure || isOver) return;
      ended = failure._verdict || ended;
      await rest(failure);
    }
  }

  /**
   * One request, to its end.
   * @returns {Promise<Failure | undefined>} undefined: the stream is over
   */
  async function attempt() {
    controller = new AbortController();
    const { signal } = controller;
    /** @type {import("./framing.js").Track} */
    const mine = (track = {});
    released = undefined;
    let isTimeout = false;
    clock._set("head", options.headTimeout ?? 60000, () => {
      isTimeout = true;
      controller.abort();
    });
    try {
      /** @type {Response} */
      const response = await new Promise((resolve, reject) => {
        const answer = requests._send(wasOpen && !isFeed, result, signal, mine);
        answer.then(resolve, reject);
        // For a fetch that does not look at the signal.
        signal.onabort = () => {
          reject();
          answer.then(({ body }) => (mine._reader || body)?.cancel()).catch(noop);
        };
      });
      return await answered(response);
    } catch (cause) {
      return { cause, _isTimeout: isTimeout, _isFinal: !wasOpen && !requests._isHarmless };
    } finally {
      clock._clearAll();
    }
  }

  /** @type {(response: Response) => Promise<Failure | undefined>} */
  async function answered(response) {
    const { status, headers, body, ok } = response;
    if (status === 204) return conclude(account._nothingMore(headers.get("X-Stream-Outcome"), wasOpen));
    if (ok && /^text\/event-stream\s*([,;]|$)/i.test(`${headers.get("Content-Type")}`)) {
      clock._clearAll();
      if (!body?.getReader) return { status, code: "no_streaming", _isFinal: true };
      open(response);
      if (!isOver) return read((track._reader = body.getReader()));
      return;
    }
    const wait = retryAfter(headers.get("Retry-After"));
    return { status, retryAfter: wait, _isFinal: !mayAsk(status, wait), ...(await refusal(response)) };
  }

  /**
   * @param {number} status
   * @param {number | undefined} wait
   */
  function mayAsk(status, wait) {
    const { _isRepeatable, _isHarmless } = requests;
    if (status === 401) {
      const isFirst = !hasRenewed && typeof options.headers === "function";
      hasRenewed = true;
      return isFirst && (wasOpen || _isRepeatable);
    }
    // These two did nothing, and say when to come back.
    const didNothing = _isRepeatable && (status === 429 || status === 503) && wait !== undefined;
    return isWorthAnotherTry(status) && (wasOpen || _isHarmless || didNothing);
  }

  /** @param {Response} response */
  function open({ headers, status, url }) {
    const mode = headers.get("X-Stream-Mode");
    const streamId = headers.get("X-Stream-Id");
    const isResumed = wasOpen;
    account._begin(mode, streamId, isResumed);
    wasOpen = true;
    hasRenewed = false;
    requests._told = headers.get("X-Stream-Resume") || requests._told;
    // Before the caller hears of it, who may cancel then.
    if (isCancelling && !isResumed) stop();
    if (isOver || account._isRefused) return;
    become(account._terminal ? "completing" : "open");
    tell("onOpen", { status, url, headers, mode, streamId, attempt: result.attempts, isResumed });
  }

  /**
   * @param {ReadableStreamDefaultReader<Uint8Array>} reader
   * @returns {Promise<Failure | undefined>}
   */
  async function read(reader) {
    const { signal } = controller;
    const format = createEvents();
    const next = () => reader.read().catch(noop);
    let piece;
    while (!account._isRefused && (piece = await next()) && !piece.done && !signal.aborted) {
      result.bytes += piece.value.length;
      clock._renew("dead");
      if (!format._feed(piece.value)) return conclude({ outcome: "event_too_large" });
      if (result.end || isOver) break;
      const emptied = !isCancelling && _room();
      if (emptied) await clock._pause(emptied);
    }
    if (isOver) return;
    clock._clearAll();
    const isWhole = piece?.done && !signal.aborted && !track._isBroken;
    account._isTail = isGraceful();
    format._end(isWhole && !isFeed);
    account._release();
    if (result.end) released = drain(next);
    else controller.abort();
    if (account._isRefused) return { message: "another stream", _isFinal: true };
    return conclude(account._verdict(isWhole ? "clean" : "cut", canResume()));
  }

  function createEvents() {
    const isAuto = deadTimeout === "auto";
    let lastId = result.lastEventId;
    let lastComment = 0;
    let longestGap = 0;
    /** @param {number} limit */
    const expectLife = (limit) => clock._set("dead", limit, () => controller.abort());
    // The gateway sends comments; others may, and are believed once they do.
    expectLife(isAuto && isGraceful() ? 45000 : +deadTimeout || Infinity);
    if (!result.events) awaitFirst();
    return createReader(
      options.maxEventBytes ?? 1 << 24,
      (type, data, id) => {
        const isIdentified = id !== undefined;
        if (isIdentified) lastId = id;
        if (isOver) return;
        if (data !== undefined) {
          account._take(new ServerEvent(type || "message", data, lastId), !!type, isIdentified);
          // It is taken away by a reset.
          if (!result.lastEventId) lastId = "";
        } else if (isIdentified && !account._isTail) result.lastEventId = id;
      },
      () => {
        const now = Date.now();
        // One alone says nothing of how often they come.
        if (isAuto && lastComment) {
          longestGap = Math.max(longestGap, now - lastComment);
          expectLife(Math.min(Math.max(30000, 2.5 * longestGap), 120000));
        }
        lastComment = now;
      },
      // Up to five minutes.
      (time) => (base = Math.min(time, 300000) || base),
    );
  }

  /** A new event came: tries are counted anew, and the end is waited for if it was a terminal, or came behind one. */
  function progress(/** @type {boolean} */ isNew) {
    tries = 0;
    clock._clear("late");
    const terminal = account._terminal;
    if (!terminal) return;
    become("completing");
    // What follows the last word of a dialect does not put the end off.
    const isLong = isGraceful() || terminal < HARD;
    if (isFeed || !(isLong || isNew)) return;
    const wait = isLong ? endWait : options.hardEndWait ?? 1000;
    clock._set("end", wait, () => over(account._verdict("quiet", false)));
  }

  /**
   * Reads what may follow the end, so that the connection can be used again.
   * @param {() => Promise<any>} next
   */
  async function drain(next) {
    const mine = controller;
    const timer = setTimeout(() => mine.abort(), 1000);
    while ((await next())?.done === false);
    clearTimeout(timer);
  }

  function canResume() {
    if (isFeed) return requests._isHarmless;
    if (resume === "auto" && isGraceful()) return !!result.streamId;
    return resume !== "off" && requests._isSafe && !!result.lastEventId;
  }

  /** @type {(verdict: Verdict) => Failure | undefined} */
  function conclude(verdict) {
    if (verdict._again) return { _verdict: verdict };
    over(verdict);
  }

  /**
   * Waits before the next request, or gives up.
   * @param {Failure} failure
   */
  async function rest(failure) {
    const { retryAfter = 0, _isTimeout, _isFinal } = failure;
    if (!isSuspended) tries++;
    if (isCancelling && !wasOpen) return close();
    // What it comes to if nothing helps.
    const given = wasOpen ? ended : { outcome: _isTimeout ? "timeout" : "no_stream" };
    if (_isFinal || retryAfter > retryAfterMax || (tries > attempts && !isFeed)) return over(given, failure);
    // It doubles each time, and half of it is left to chance.
    const ceiling = Math.max(base, Math.min(base * 2 ** (tries - 1), max));
    const delay = isSuspended ? Infinity : Math.max((ceiling * (1 + random())) / 2, retryAfter);
    become("reconnecting");
    tell("onRetry", { attempt: tries, delay, error: errorOf({ ...result, ...told(given) }, failure) });
    if (isCancelling || isOver) return;
    let timer;
    await new Promise((/** @type {(value?: any) => void} */ resolve) => {
      endPause = resolve;
      timer = later(resolve, delay);
    });
    clearTimeout(timer);
  }

  /** Stops the run by its name; where it has none, leaving is all that can be done. */
  function stop() {
    const id = options.runId || result.streamId;
    if (!id) return close();
    cancelTimer = later(close, options.cancelWait ?? 2000);
    requests._stop(id, result.attempts).catch((error) => tell("onCancelError", error));
    endPause();
  }

  /** @param {Verdict} verdict */
  const told = ({ outcome, verified = false, reason }) => ({
    outcome,
    complete: outcome === "completed",
    verified,
    reason: reason || null,
    runId: result.end?.runId || options.runId || result.streamId,
  });

  /** @type {(result: import("./index.js").StreamResult, failure?: Failure) => any} */
  const errorOf = (result, failure) => new FermataStreamError(result, { detail: account._detail, ...failure });

  /**
   * @param {Verdict} verdict
   * @param {Failure} [failure]
   */
  function over(verdict, failure) {
    if (isOver) return;
    const isLeft = isCancelling && /^(cut|ended|no_stream|timeout)$/.test(verdict.outcome);
    Object.assign(result, told(isLeft ? { outcome: "aborted" } : verdict));
    const { outcome } = result;
    account._release(outcome === "aborted");
    if (isFailure(outcome, isCancelling, options.requireTerminal)) result.error = errorOf(result, failure);
    become("closed");
    isOver = true;
    clock._clearAll();
    clearTimeout(totalTimer);
    clearTimeout(cancelTimer);
    signal?.removeEventListener("abort", onAbort);
    endPause();
    if (!released) controller.abort();
    _finish(released);
  }

  /** @param {any} [reason] */
  function close(reason) {
    over({ outcome: "aborted", reason: reason && String(reason.message ?? reason) });
  }

  /** The machine or the page came back: a pause is over, and silence is looked at. */
  function wake() {
    isSuspended = false;
    clock._renew("dead", true);
    endPause();
  }

  /** The page goes: a connection that can be made again is given up. */
  function suspend() {
    if (released || !isGraceful() || !canResume()) return;
    isSuspended = true;
    controller.abort();
  }

  const onAbort = () => close(signal?.reason);

  Object.assign(stream, {
    close,
    wake,

    /** Stops the run. Before there is an answer this is only remembered. */
    async cancel() {
      if (!isCancelling && !isOver) {
        isCancelling = true;
        if (wasOpen) stop();
        _flow();
      }
      await stream.done;
    },
  });
  if (isAll) Object.assign(stream, { url: requests._url.href, _suspend: suspend });
  if (signal?.aborted) return onAbort();
  signal?.addEventListener("abort", onAbort);
  if (timeout < Infinity) totalTimer = later(() => over({ outcome: "timeout" }), timeout);
  run().catch((cause) => over({ outcome: "no_stream" }, { cause }));
}
