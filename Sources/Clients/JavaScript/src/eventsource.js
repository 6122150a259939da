// @ts-self-types="./eventsource.d.ts"
import { prepare } from "./options.js";
import { watchPage } from "./page.js";
import { createStream } from "./stream.js";

/**
 * @typedef {import("./index.js").EventSourceOptions} EventSourceOptions
 * @typedef {import("./index.js").StreamResult} StreamResult
 * @typedef {import("./index.js").StreamEvent} StreamEvent
 */

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 2;

/**
 * The browser's EventSource, with fields, methods and bodies, and an end.
 */
export class FermataEventSource extends EventTarget {
  /**
   * @param {string | URL} url
   * @param {EventSourceOptions} [options]
   */
  constructor(url, options = {}) {
    super();
    const { withCredentials = false, ...rest } = options;
    this.withCredentials = withCredentials;
    this.readyState = CONNECTING;
    /** @type {((event: any) => void) | null} */
    this.onopen = null;
    /** @type {((event: any) => void) | null} */
    this.onmessage = null;
    /** @type {((event: any) => void) | null} */
    this.onerror = null;
    this._origin = "";
    const requestInit = withCredentials
      ? { ...rest.requestInit, credentials: /** @type {const} */ ("include") }
      : rest.requestInit;
    const prepared = prepare({ ...rest, requestInit, ...this._handlers(rest) });
    this._stream = createStream(url, prepared, true);
    this._stream.done.then(prepared._ended);
    watchPage(this._stream);
    this.url = this._stream.url;
    /** @type {Promise<StreamResult>} */
    this.done = this._stream.done;
    this._deliver();
  }

  close() {
    this.readyState = CLOSED;
    this._stream.close();
  }

  /**
   * Changes of the state stand in one row with the events: what a connection brought is seen before its end.
   * @param {EventSourceOptions} options
   */
  _handlers(options) {
    return {
      /** @param {import("./index.js").OpenInfo} info */
      onOpen: (info) => {
        this._stream._put({ kind: "state", state: OPEN, type: "open", url: info.url, id: this._stream._result.lastEventId });
        if (options.onOpen) options.onOpen(info);
      },
      /** @param {{ attempt: number, delay: number, error: import("./index.js").FermataStreamError }} info */
      onRetry: (info) => {
        const { outcome, status } = info.error;
        const members = { outcome, status, error: info.error };
        this._stream._put({
          kind: "state",
          state: CONNECTING,
          type: "error",
          members,
          id: this._stream._result.lastEventId,
        });
        if (options.onRetry) options.onRetry(info);
      },
    };
  }

  async _deliver() {
    try {
      for await (const item of this._stream) {
        if (item.kind === "event") this._message(item);
        else if (item.kind === "state") this._change(item);
      }
    } catch {
      // It is in the result.
    }
    const { outcome, error } = await this.done;
    if (this.readyState !== CLOSED) {
      this._become(CLOSED, "error", { outcome, status: error ? error.status : undefined, error });
    }
  }

  /** @param {StreamEvent} item */
  _message({ type, data, id }) {
    if (this.readyState === CLOSED) return;
    this._dispatch(new MessageEvent(type, { data, lastEventId: id, origin: this._origin }));
  }

  /** @param {{ state: number, type: string, url?: string, members?: object }} change */
  _change({ state, type, url, members = {} }) {
    if (type === "open") this._origin = new URL(url || this.url).origin;
    this._become(state, type, members);
  }

  /**
   * @param {number} state
   * @param {string} type
   * @param {object} members
   */
  _become(state, type, members) {
    if (this.readyState === CLOSED) return;
    this.readyState = state;
    this._dispatch(Object.assign(new Event(type), members));
  }

  /**
   * A handler that throws does not end the stream.
   * @param {Event} event
   */
  _dispatch(event) {
    this.dispatchEvent(event);
    const handler = { open: this.onopen, message: this.onmessage, error: this.onerror }[event.type];
    try {
      if (handler) handler.call(this, event);
    } catch (error) {
      console.error(error);
    }
  }
}

for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSED })) {
  Object.defineProperty(FermataEventSource, name, { value, enumerable: true });
  Object.defineProperty(FermataEventSource.prototype, name, { value, enumerable: true });
}
