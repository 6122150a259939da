/** What is sent: addresses, fields, bodies. */

/**
 * @typedef {import("./stream.js").Settings} Settings
 * @typedef {import("./framing.js").Track} Track
 */

// See framing.js. Bun and Deno call themselves Node as well.
const { versions } = /** @type {any} */ (globalThis).process ?? {};
const framing = versions?.node && !versions.bun && !versions.deno && parseInt(versions.node) < 24 &&
  import("./framing.js");

const here = typeof document === "object" && typeof location === "object" ? location : undefined;

/** What no field can carry: controls, and white space at the ends. */
const UNSENDABLE = /^ | $|[\0-\x1f\x7f]/;

/** A key that nobody else has. `crypto.randomUUID` is missing on pages without https. */
function makeKey() {
  const bytes = new Uint8Array(16).map(() => Math.random() * 256);
  globalThis.crypto?.getRandomValues?.(bytes);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {string | URL} address
 * @param {Settings} options
 */
export function createRequests(address, options) {
  const { body, idempotencyKey, optIn, onDisconnect, streamPath, runPath, requestInit, fetch } = options;
  const url = new URL(address, here?.href);
  const method = (options.method || (body == null ? "GET" : "POST")).toUpperCase();
  /** Asking again changes nothing. */
  const isSafe = /^(GET|HEAD)$/.test(method);
  // A stream as body can be sent once.
  const isRepeatable = isSafe || !(/** @type {any} */ (body)?.getReader);
  const key = idempotencyKey === true ? makeKey() : idempotencyKey;
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
   * @param {string | null} streamId
   */
  function whereToResume(streamId) {
    if (options.resume === "same-url" || !streamId) return new URL(url);
    if (streamPath) return resolve(streamPath, streamId);
    const told = new URL(requests.told || url, url);
    return told.origin === url.origin && requests.told ? told : resolve("/fermata/streams/{id}", streamId);
  }

  /**
   * @param {RequestInit & { duplex?: string }} init
   * @param {Headers} headers
   */
  function setBody(init, headers) {
    const value = typeof body === "function" ? body() : body;
    const prototype = Object.getPrototypeOf(Object(value));
    const isPlain = value && [Object.prototype, Array.prototype, null].includes(prototype);
    init.body = /** @type {BodyInit} */ (isPlain ? JSON.stringify(value) : value);
    if (isPlain && !headers.has("Content-Type")) headers.set("Content-Type", "application/json");
    if (!isRepeatable) init.duplex = "half";
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
    url,
    isSafe,
    isRepeatable,
    /** Asking once more can't do anything twice. */
    isHarmless: isSafe || (isRepeatable && !!key),
    /**
     * What X-Stream-Resume says.
     * @type {string | null}
     */
    told: null,

    /**
     * @param {boolean} isResume
     * @param {string} lastId
     * @param {string | null} streamId
     * @param {number} attempt
     * @param {AbortSignal} signal
     * @param {Track} track
     * @returns {Promise<Response>}
     */
    async send(isResume, lastId, streamId, attempt, signal, track) {
      const target = isResume ? whereToResume(streamId) : new URL(url);
      const headers = await headersFor(attempt);
      /** @type {RequestInit & { method: string }} */
      const init = { method: isResume ? "GET" : method, headers, signal };
      if (!headers.has("Accept")) headers.set("Accept", "text/event-stream");
      if (isResume) headers.delete("Content-Type");
      else if (body != null) setBody(init, headers);
      if (key && !isResume) headers.set("Idempotency-Key", key);
      if (onDisconnect) headers.set("X-On-Disconnect", onDisconnect);
      say(target, headers, lastId);
      return framing
        ? (await framing).watched(target, init.method, track, () => send(target, init))
        : send(target, init);
    },

    /**
     * Asks the server to stop the run.
     * @param {string} id
     * @param {number} attempt
     */
    async stop(id, attempt) {
      /** @type {RequestInit} */
      const init = { method: "DELETE", headers: await headersFor(attempt) };
      if (here) init.keepalive = true;
      const { status, body } = await send(resolve(runPath, id), init);
      body?.cancel().catch(() => {});
      if (status >= 400) throw `status ${status}`;
    },
  };
  return requests;
}

const MOST_OF_A_REFUSAL = 65536;

/**
 * What a refusal says of itself.
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
    while (reader && text.length < MOST_OF_A_REFUSAL && !(piece = await reader.read()).done) {
      text += decoder.decode(piece.value, { stream: true });
    }
    reader?.cancel().catch(() => {});
    text = text.slice(0, MOST_OF_A_REFUSAL);
    const detail = JSON.parse(text);
    const { code, type, message } = Object(detail.error);
    return { code: firstText(detail.code, code, type), message: firstText(detail.detail, message), detail };
  } catch {
    return text ? { detail: text } : {};
  }
}
