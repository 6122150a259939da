/**
 * One stream over as many requests as it takes: asks, reads, asks again, and says how it ended.
 */
import { createAccount } from "./account.js";
import { createClock } from "./clock.js";
import { enter, leave } from "./page.js";
import { createParser } from "./parser.js";
import { createRequests, refusal } from "./request.js";
import { FermataStreamError, isFailure } from "./result.js";
import { isWorthAnotherTry, retryAfter, ServerEvent } from "./rules.js";

/**
 * @typedef {import("./result.js").Failure} Failure
 * @typedef {import("./account.js").Verdict} Verdict
 * @typedef {import("./index.js").State} State
 */

/**
 * The stream's other half: what comes out of a session.
 * @typedef {object} Consumer
 * @property {(item: import("./index.js").StreamEvent | import("./index.js").StreamReset) => void} deliver
 * @property {(name: "onState" | "onOpen" | "onReset" | "onLate" | "onRetry", value?: any) => void} tell
 * @property {(level: "debug" | "info" | "warn" | "error", message: string, metadata: Record<string, unknown>) => void} log
 * @property {() => Promise<void> | undefined} room a promise if the consumer has too much already
 * @property {(released: Promise<void> | undefined) => void} finish
 */

const LONGEST_RETRY = 300000;
const noop = () => {};

/**
 * @param {string | URL} url
 * @param {import("./stream.js").Settings} options
 * @param {import("./stream.js").LiveResult} result
 * @param {Consumer} consumer
 */
export function createSession(url, options, result, { deliver, tell, log, room, finish }) {
  const { isFeed, signal, timeout, cancelWait } = options;
  const { attempts, random, retryAfterMax, max } = options.retry;
  let { base } = options.retry;
  const account = createAccount(options, result, deliver);
  const requests = createRequests(url, options);
  const clock = createClock();
  // What a slow consumer does not prolong.
  const limits = createClock();
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
  let track = {};
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

  const isGraceful = () => result.mode === "graceful";

  /** @param {State} state */
  function become(state) {
    if (session.state === state || isOver) return;
    session.state = state;
    tell("onState", state);
  }

  async function run() {
    await account.prepare();
    while (!isOver) {
      const failure = await attempt();
      if (!failure || isOver) return;
      ended = failure.verdict || ended;
      await rest(failure);
    }
  }

  /**
   * One request, to its end.
   * @returns {Promise<Failure | undefined>} undefined: the stream is over
   */
  async function attempt() {
    const { signal } = (controller = new AbortController());
    track = {};
    released = undefined;
    let isTimeout = false;
    clock.set("head", options.headTimeout, () => {
      isTimeout = true;
      controller.abort();
    });
    try {
      const isResume = wasOpen && !isFeed;
      const knownId = isGraceful() ? result.streamId : null;
      const answer = requests.send(isResume, result.lastEventId, knownId, ++result.attempts, signal, track);
      // For a fetch that does not look at the signal.
      answer.then(({ body }) => (signal.aborted ? body?.cancel() : undefined)).catch(noop);
      const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      return await answered(await Promise.race([answer, aborted]));
    } catch (cause) {
      const message = isTimeout ? "no head in time" : /** @type {any} */ (cause)?.message || `${cause}`;
      return { cause, isTimeout, isFinal: !wasOpen && !requests.isHarmless, message };
    } finally {
      clock.clear("head");
    }
  }

  /** @type {(response: Response) => Promise<Failure | undefined>} */
  async function answered(response) {
    const { status, headers, body, ok } = response;
    if (status === 204) return conclude(account.nothingMore(headers.get("X-Stream-Outcome"), wasOpen));
    if (ok && /^\s*text\/event-stream\s*(;|$)/i.test(headers.get("Content-Type") || "")) {
      clock.clear("head");
      if (!body?.getReader) return { status, code: "no_streaming", message: "no streaming bodies", isFinal: true };
      open(response);
      return isOver ? undefined : read(body.getReader());
    }
    const wait = retryAfter(headers.get("Retry-After"));
    return { status, retryAfter: wait, isFinal: !mayAsk(status, wait), ...(await refusal(response)) };
  }

  /**
   * @param {number} status
   * @param {number | undefined} wait
   */
  function mayAsk(status, wait) {
    const { isRepeatable, isHarmless } = requests;
    if (status === 401) {
      const isFirst = !hasRenewed && typeof options.headers === "function";
      hasRenewed = true;
      return isFirst && (wasOpen || isRepeatable);
    }
    // These two did nothing, and say when to come back.
    const didNothing = isRepeatable && (status === 429 || status === 503) && wait !== undefined;
    return isWorthAnotherTry(status) && (wasOpen || isHarmless || didNothing);
  }

  /** @param {Response} response */
  function open({ headers, status, url }) {
    const mode = headers.get("X-Stream-Mode");
    const streamId = headers.get("X-Stream-Id");
    const isResumed = wasOpen;
    const { attempts: attempt } = result;
    account.begin(mode, streamId, isResumed);
    wasOpen = true;
    hasRenewed = false;
    requests.told = headers.get("X-Stream-Resume") ?? requests.told;
    if (account.isRefused) return;
    become(account.terminal ? "completing" : "open");
    log("info", "SSE open", { runId: runId(), attempt, mode });
    tell("onOpen", { status, url, headers, mode, streamId, attempt, isResumed });
    if (isCancelling && !isResumed) stop();
  }

  /**
   * @param {ReadableStreamDefaultReader<Uint8Array>} reader
   * @returns {Promise<Failure | undefined>}
   */
  async function read(reader) {
    const { signal } = controller;
    const parser = createEvents();
    const next = () => reader.read().catch(noop);
    signal.addEventListener("abort", () => reader.cancel().catch(noop));
    let piece;
    while (!account.isRefused && (piece = await next()) && !piece.done && !signal.aborted) {
      result.bytes += piece.value.length;
      clock.touch("dead");
      if (!parser.feed(piece.value)) return conclude({ outcome: "event_too_large" });
      if (result.end || isOver) break;
      const emptied = !isCancelling && room();
      if (emptied) await clock.pause(emptied);
    }
    if (isOver) return;
    clock.clear("late", "dead", "end");
    const isWhole = piece?.done && !signal.aborted && !track.isBroken;
    parser.end(isWhole && !isFeed);
    account.release();
    if (result.end) released = drain(next);
    else controller.abort();
    if (account.isRefused) return { message: "another stream came", isFinal: true };
    return conclude(account.verdict(isWhole ? "clean" : "cut", canResume()));
  }

  function createEvents() {
    const { deadTimeout, maxEventBytes } = options;
    const isAuto = deadTimeout === "auto";
    let lastComment = 0;
    let longestGap = 0;
    /** @param {number | "off"} limit */
    const expectLife = (limit) => clock.set("dead", limit === "off" ? Infinity : limit, () => controller.abort());
    // The gateway sends comments; others may, and are believed once they do.
    expectLife(!isAuto ? deadTimeout : isGraceful() ? 45000 : "off");
    if (!result.events) awaitFirst();
    const parser = createParser({
      lastEventId: result.lastEventId,
      maxEventBytes,
      onEvent(raw, isNamed, isIdentified) {
        if (isOver) return;
        const what = account.take(new ServerEvent(raw), isNamed, isIdentified);
        if (what === "new") progress();
        if (what === "announced") awaitFirst();
        if (what === "reset") parser.lastEventId = "";
      },
      onComment() {
        const now = Date.now();
        // One alone says nothing of how often they come.
        if (isAuto && lastComment) {
          longestGap = Math.max(longestGap, now - lastComment);
          expectLife(Math.min(Math.max(30000, 2.5 * longestGap), 120000));
        }
        lastComment = now;
      },
      onRetry: (time) => (base = Math.min(time, LONGEST_RETRY) || base),
      onId: (id) => (result.lastEventId = id),
    });
    return parser;
  }

  const awaitFirst = () => clock.set("late", options.firstTokenTimeout, () => tell("onLate"));

  /** A new event came: tries are counted anew, and the end is waited for if it was a terminal, or came behind one. */
  function progress() {
    tries = 0;
    clock.clear("late");
    if (!account.terminal) return;
    const isSoft = isGraceful() || account.terminal === "soft";
    become("completing");
    if (isFeed) return;
    const wait = isSoft ? options.endWait : options.hardEndWait;
    clock.set("end", wait, () => conclude(account.verdict("quiet", false)));
  }

  /**
   * Reads what may follow the end, so that the connection can be used again.
   * @param {() => Promise<any>} next
   */
  async function drain(next) {
    const mine = controller;
    const timer = setTimeout(() => mine.abort(), 1000);
    /** @type {any} */ (timer).unref?.();
    while ((await next())?.done === false);
    clearTimeout(timer);
  }

  function canResume() {
    const { resume } = options;
    if (isFeed) return true;
    if (resume === "auto" && isGraceful()) return !!result.streamId;
    return resume !== "off" && requests.isSafe && !!result.lastEventId;
  }

  /** @type {(verdict: Verdict) => Failure | undefined} */
  function conclude(verdict) {
    if (verdict.again) return { verdict };
    over(verdict);
  }

  /**
   * Waits before the next request, or gives up.
   * @param {Failure} failure
   */
  async function rest(failure) {
    const { status, retryAfter = 0, isTimeout, isFinal } = failure;
    if (!isSuspended) tries++;
    log("warn", "SSE connection error", { runId: runId(), attempt: result.attempts, status });
    if (isCancelling && !wasOpen) return session.close();
    // What it comes to if nothing helps.
    const given = wasOpen ? { ...ended, verified: false } : { outcome: isTimeout ? "timeout" : "no_stream" };
    const mayGoOn = isFeed || tries <= attempts;
    if (isFinal || !mayGoOn || retryAfter > retryAfterMax) return over(given, failure);
    // It doubles each time, and half of it is left to chance.
    const ceiling = Math.max(base, Math.min(base * 2 ** (tries - 1), max));
    const delay = isSuspended ? Infinity : Math.max((ceiling * (1 + random())) / 2, retryAfter);
    become("reconnecting");
    log("info", "SSE reconnect", { delayMs: Math.round(delay) });
    tell("onRetry", { attempt: tries, delay, error: errorOf({ ...result, ...told(given) }, failure) });
    if (isCancelling || isOver) return;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    await new Promise((resolve) => {
      endPause = () => resolve(undefined);
      timer = setTimeout(resolve, Math.min(delay, 0x7fffffff));
    });
    clearTimeout(timer);
  }

  const runId = () => result.end?.runId || options.runId || result.streamId;

  /** Stops the run by its name; where it has none, leaving is all that can be done. */
  function stop() {
    const id = options.runId || result.streamId;
    if (!id) return session.close();
    limits.set("cancel", cancelWait, session.close);
    requests.stop(id, result.attempts).catch((error) => {
      log("warn", "Failed to cancel", { runId: id, errorMessage: String(error) });
    });
    endPause();
  }

  /** @param {Verdict} verdict */
  const told = ({ outcome, verified = false, reason }) => ({
    outcome,
    complete: outcome === "completed",
    verified,
    reason: reason || null,
    runId: runId(),
  });

  /** @type {(result: import("./index.js").StreamResult, failure: Failure) => any} */
  const errorOf = (
    result,
    failure,
  ) => /** @type {any} */ (new FermataStreamError(result, { detail: account.detail, ...failure }));

  /**
   * @param {Verdict} verdict
   * @param {Failure} [failure]
   */
  function over(verdict, failure = {}) {
    if (isOver) return;
    const isLeft = isCancelling && /^(cut|ended|no_stream|timeout)$/.test(verdict.outcome);
    Object.assign(result, told(isLeft ? { outcome: "aborted" } : verdict));
    const { outcome, events, bytes } = result;
    const isAborted = outcome === "aborted";
    account.release(isAborted);
    if (isFailure(outcome, isCancelling, options.requireTerminal)) result.error = errorOf(result, failure);
    become("closed");
    isOver = true;
    clean();
    if (result.error && result.end) {
      log("error", "Agent run error", { runId: result.runId, errorData: { code: outcome } });
    }
    log(isAborted ? "debug" : "info", "SSE end", { outcome, events, bytes });
    finish(released);
  }

  function clean() {
    signal?.removeEventListener("abort", onAbort);
    clock.clear("head", "late", "dead", "end");
    limits.clear("total", "cancel");
    leave(session);
    endPause();
    if (!released) controller.abort();
  }

  const onAbort = () => session.close(signal?.reason);

  const session = {
    /** The address, as it was resolved. */
    url: requests.url.href,
    /** @type {State} */
    state: "connecting",

    start() {
      if (signal?.aborted) return onAbort();
      signal?.addEventListener("abort", onAbort);
      limits.set("total", timeout, () => over({ outcome: "timeout" }));
      enter(session);
      run().catch((cause) => over({ outcome: "no_stream" }, { cause, message: String(cause) }));
    },

    /** @param {any} [reason] */
    close(reason) {
      over({ outcome: "aborted", reason: reason === undefined ? reason : String(reason?.message ?? reason) });
    },

    /** Stops the run. Before there is an answer this is only remembered. */
    cancel() {
      if (isCancelling || isOver) return;
      isCancelling = true;
      if (wasOpen) stop();
    },

    /** The machine or the page came back: a pause is over, and silence is looked at. */
    wake() {
      isSuspended = false;
      clock.wake("dead");
      endPause();
    },

    /** The page goes: a connection that can be made again is given up. */
    suspend() {
      if (released || !isGraceful() || !canResume()) return;
      isSuspended = true;
      controller.abort();
    },
  };
  return session;
}
