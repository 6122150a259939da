/** What is sent: addresses, fields, bodies. */

/**
 * @typedef {import("./index.js").StreamOptions} StreamOptions
 * @typedef {{ isResume: boolean, lastId: string, streamId: string | null, attempt: number, signal: AbortSignal,
 *   track: { isBroken: boolean } }} Asking
 */

// See framing.js. Bun and Deno call themselves Node as well.
const { versions } = /** @type {any} */ (globalThis).process ?? {};
const framing = versions?.node && !versions.bun && !versions.deno && parseInt(versions.node) < 24 &&
  import("./framing.js");

const isPage = typeof document !== "undefined" && typeof location !== "undefined";

/**
 * Ids are UTF-8 on the wire; `fetch` takes only bytes in fields.
 * @param {string} text
 */
const asBytes = (text) => Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");

/** A key that nobody else has. `crypto.randomUUID` is missing on pages without https. */
export function makeKey() {
  const bytes = new Uint8Array(16);
  const source = globalThis.crypto;
  if (source?.getRandomValues) source.getRandomValues(bytes);
  else bytes.forEach((_, at) => (bytes[at] = Math.random() * 256));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {any} body */
function isPlain(body) {
  if (!body || typeof body !== "object") return false;
  const prototype = Object.getPrototypeOf(body);
  return Array.isArray(body) || prototype === null || prototype === Object.prototype;
}

export class Requests {
  /**
   * @param {string | URL} url
   * @param {StreamOptions} options
   */
  constructor(url, options) {
    this._options = options;
    this.url = new URL(url, isPage ? location.href : undefined);
    const { body, method, idempotencyKey, resume, optIn = "auto" } = options;
    this.method = (method || (body == null ? "GET" : "POST")).toUpperCase();
    /** Asking again changes nothing. */
    this.isSafe = this.method === "GET" || this.method === "HEAD";
    this.key = idempotencyKey === true ? makeKey() : idempotencyKey || "";
    /** A stream as body can be sent once. */
    this.isRepeatable = this.isSafe || !body || typeof body !== "object" || !("getReader" in body);
    this.resume = resume || "auto";
    /**
     * What X-Stream-Resume says.
     * @type {string | null}
     */
    this.told = null;
    const isForeign = isPage && this.url.origin !== location.origin;
    // Fields of our own force a preflight across origins, and servers with a fixed list refuse it.
    this._byQuery = optIn === "query" || (optIn === "auto" && isForeign);
    this._optsIn = optIn !== "off";
  }

  /**
   * Sends a request.
   * @param {Asking} asking
   * @returns {Promise<Response>}
   */
  async send(asking) {
    const { body } = this._options;
    const url = new URL(asking.isResume ? this._streamPath(asking.streamId) : this.url, this.url);
    const headers = await this._headers(asking.attempt);
    if (!headers.has("Accept")) headers.set("Accept", "text/event-stream");
    /** @type {RequestInit & { duplex?: string }} */
    const init = { method: asking.isResume ? "GET" : this.method, headers, signal: asking.signal };
    if (asking.isResume) headers.delete("Content-Type");
    else if (body != null) this._setBody(init, headers);
    this._say(url, headers, asking);
    const fetch = () => this._fetch(url, init);
    return framing ? (await framing).watched(url, /** @type {string} */ (init.method), asking.track, fetch) : fetch();
  }

  /**
   * Asks the server to stop the run.
   * @param {string} id
   * @param {number} attempt
   */
  async stop(id, attempt) {
    const { runPath = "/api/agents/run/{id}" } = this._options;
    const url = new URL(runPath.replace("{id}", encodeURIComponent(id)), this.url);
    /** @type {RequestInit} */
    const init = { method: "DELETE", headers: await this._headers(attempt) };
    if (isPage) init.keepalive = true;
    const response = await this._fetch(url, init);
    response.body?.cancel().catch(() => {});
    return response.status;
  }

  /**
   * Where the stream goes on: at the caller's path, or the one that the server named, if it is the server's own.
   * @param {string | null} streamId
   */
  _streamPath(streamId) {
    const { streamPath = "/fermata/streams/{id}" } = this._options;
    if (this.resume === "same-url" || !streamId) return this.url;
    const told = !this._options.streamPath && this.told && new URL(this.told, this.url);
    if (told && told.origin === this.url.origin) return told;
    return streamPath.replace("{id}", encodeURIComponent(streamId));
  }

  /** @param {number} attempt */
  async _headers(attempt) {
    const { headers } = this._options;
    return new Headers(typeof headers === "function" ? await headers(attempt) : headers);
  }

  /**
   * @param {RequestInit & { duplex?: string }} init
   * @param {Headers} headers
   */
  _setBody(init, headers) {
    const { body } = this._options;
    const value = typeof body === "function" ? body() : body;
    if (isPlain(value)) {
      init.body = JSON.stringify(value);
      if (!headers.has("Content-Type")) headers.set("Content-Type", "application/json");
    } else {
      init.body = /** @type {BodyInit} */ (value);
      if (!this.isRepeatable) init.duplex = "half";
    }
  }

  /**
   * Says what the library has to say, by fields or by the query.
   * @param {URL} url
   * @param {Headers} headers
   * @param {Asking} asking
   */
  _say(url, headers, { isResume, lastId }) {
    const { onDisconnect } = this._options;
    if (this.key && !isResume) headers.set("Idempotency-Key", this.key);
    if (onDisconnect) headers.set("X-On-Disconnect", onDisconnect);
    if (this._byQuery) {
      // Not by searchParams: that would write the caller's own query anew.
      if (this._optsIn) url.search += `${url.search ? "&" : "?"}stream_end=1`;
      if (lastId) url.search += `${url.search ? "&" : "?"}last_event_id=${encodeURIComponent(lastId)}`;
      return;
    }
    if (this._optsIn && !/\bstream-end\b/.test(headers.get("Prefer") || "")) headers.append("Prefer", "stream-end");
    if (lastId) headers.set("Last-Event-ID", asBytes(lastId));
  }

  /**
   * @param {URL} url
   * @param {RequestInit} init
   */
  _fetch(url, init) {
    const { fetch, requestInit } = this._options;
    const all = { ...requestInit, ...init };
    return fetch ? fetch(url.href, all) : globalThis.fetch(url.href, all);
  }
}

/** @param {AbortSignal} signal */
export const whenAborted = (signal) =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

/**
 * What a refusal says of itself.
 * @param {Response} response
 * @returns {Promise<{ code?: string, message?: string, detail?: any }>}
 */
export async function refusal(response) {
  const text = await beginning(response).catch(() => "");
  try {
    const detail = JSON.parse(text);
    const error = Object(detail.error);
    const code = [detail.code, error.code, error.type].find((value) => typeof value === "string");
    const message = [detail.detail, error.message].find((value) => typeof value === "string");
    return { code, message, detail };
  } catch {
    return text ? { detail: text } : {};
  }
}

const MOST_OF_A_REFUSAL = 65536;

/** @param {Response} response */
async function beginning(response) {
  const reader = response.body?.getReader?.();
  if (!reader) return "";
  const decoder = new TextDecoder();
  let text = "";
  while (text.length < MOST_OF_A_REFUSAL) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  reader.cancel().catch(() => {});
  return text.slice(0, MOST_OF_A_REFUSAL);
}
