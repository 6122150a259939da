/** What is sent: addresses, fields, bodies. */
import { isAll } from "./rules.js";

/**
 * @typedef {import("./stream.js").Settings} Settings
 * @typedef {import("./framing.js").Track} Track
 */

// See framing.js. Bun and Deno call themselves Node as well.
const versions = /** @type {any} */ (globalThis).process?.versions;
const framing = versions?.node && !versions.bun && !versions.deno && parseInt(versions.node) < 24 &&
  import("./framing.js");

/** @type {Location | undefined} */
const here = globalThis.document && globalThis.location;

/** What no field can carry: controls, and white space at the ends. */
const UNSENDABLE = /^ | $|[\0-\x1f\x7f]/;

/**
 * @param {string | URL} address
 * @param {Settings} options
 */
export function createRequests(address, options) {
  const { body, idempotencyKey, optIn = "auto", onDisconnect, streamPath, requestInit, fetch, _encode } = options;
  const url = new URL(address, here?.href);
  const method = (options.method || (body == null ? "GET" : "POST")).toUpperCase();
  /** Asking again changes nothing. */
  const isSafe = /^(GET|HEAD)$/.test(method);
  // A stream as body can be sent once.
  const isRepeatable = !(/** @type {any} */ (body)?.getReader);
  // Fields of our own force a preflight across origins, and servers with a fixed list refuse it.
  const byQuery = optIn === "query" || (optIn === "auto" && !!here && url.origin !== here.origin);

  const headersFor = async (/** @type {number} */ attempt) =>
    new Headers(typeof options.headers === "function" ? await options.headers(attempt) : options.headers);

  /** @param {string} path @param {string} id */
  const resolve = (path, id) => new URL(path.replace("{id}", encodeURIComponent(id)), url);

  /**
   * @param {URL} target
   * @param {RequestInit} init
   */
  function send({ href }, init) {
    const all = { ...requestInit, ...init };
    return fetch ? fetch(href, all) : globalThis.fetch(href, all);
  }

  /**
   * Where the stream goes on: at the caller's path, or the one that the server named, if it is the server's own.
   * @param {string} streamId
   */
  function whereToResume(streamId) {
    const named = new URL(requests._told || "", url);
    return streamPath || !requests._told || named.origin !== url.origin
      ? resolve(streamPath || "/fermata/streams/{id}", streamId)
      : named;
  }

  /**
   * Says what the library has to say, by fields or by the query.
   * @param {URL} target
   * @param {Headers} headers
   * @param {string} lastId
   */
  function say(target, headers, lastId) {
    // Not by searchParams: that would write the caller's own query anew.
    const add = (/** @type {string} */ text) => (target.search += (target.search && "&") + text);
    if (optIn !== "off") {
      if (byQuery) add("stream_end=1");
      else headers.append("Prefer", "stream-end");
    }
    if (!lastId) return;
    const escaped = encodeURIComponent(lastId);
    // Ids are UTF-8 on the wire; `fetch` takes fields by their bytes.
    if (byQuery || UNSENDABLE.test(lastId)) add(`last_event_id=${escaped}`);
    else headers.set("Last-Event-ID", unescape(escaped));
  }

  const requests = {
    _url: url,
    _isSafe: isSafe,
    _isRepeatable: isRepeatable,
    /** Asking once more can't do anything twice. */
    _isHarmless: isSafe || (isRepeatable && !!idempotencyKey),
    /**
     * What X-Stream-Resume says.
     * @type {string | null}
     */
    _told: null,

    /**
     * @param {boolean} isResume
     * @param {import("./stream.js").LiveResult} result
     * @param {AbortSignal} signal
     * @param {Track} track
     * @returns {Promise<Response>}
     */
    async _send(isResume, result, signal, track) {
      const { lastEventId, streamId, mode } = result;
      const isKept = isResume && mode === "graceful" && streamId && options.resume !== "same-url";
      const target = isKept ? whereToResume(streamId) : new URL(url);
      const headers = await headersFor(++result.attempts);
      /** @type {RequestInit & { method: string, duplex?: string }} */
      const init = { method: isResume ? "GET" : method, headers, signal };
      if (!headers.has("Accept")) headers.set("Accept", "text/event-stream");
      if (isResume) headers.delete("Content-Type");
      else {
        const value = typeof body === "function" ? body() : body;
        init.body = isAll && _encode ? _encode(value, headers) : value;
        if (!isRepeatable) init.duplex = "half";
        if (idempotencyKey) headers.set("Idempotency-Key", /** @type {string} */ (idempotencyKey));
      }
      if (isAll && onDisconnect) headers.set("X-On-Disconnect", onDisconnect);
      say(target, headers, lastEventId);
      return framing
        ? (await framing).watched(target, init.method, track, () => send(target, init))
        : send(target, init);
    },

    /**
     * Asks the server to stop the run.
     * @param {string} id
     * @param {number} attempt
     */
    async _stop(id, attempt) {
      /** @type {RequestInit} */
      const init = { method: "DELETE", headers: await headersFor(attempt) };
      if (here) init.keepalive = true;
      const { status, body } = await send(resolve(options.runPath || "/api/agents/run/{id}", id), init);
      body?.cancel().catch(() => {});
      if (status >= 400) throw `status ${status}`;
    },
  };
  return requests;
}

/**
 * What a refusal says of itself, in its first 64 KiB.
 * @param {Response} response
 * @returns {Promise<{ code?: string, message?: string, detail?: any }>}
 */
export async function refusal({ body }) {
  let text = "";
  /** @param {any[]} values */
  const firstText = (...values) => values.find((value) => typeof value === "string");
  try {
    const reader = body?.getReader();
    const decoder = new TextDecoder();
    let piece;
    // What came before a cut may say enough.
    while (reader && text.length < 65536 && (piece = await reader.read().catch(() => {})) && !piece.done) {
      text += decoder.decode(piece.value, { stream: true });
    }
    reader?.cancel().catch(() => {});
    const detail = JSON.parse(text);
    const { code, message } = Object(detail.error);
    return { code: firstText(detail.code, code), message: firstText(detail.detail, message), detail };
  } catch {
    return text ? { detail: text } : {};
  }
}
