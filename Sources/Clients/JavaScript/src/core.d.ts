import type { FermataStream, StreamEvent, StreamOptions, StreamReset } from "./index.js";

export { FermataStreamError } from "./index.js";

/**
 * Bodies as `fetch` takes them, keys of the caller's own, no logger; for `onDisconnect` the field `X-On-Disconnect` among
 * the caller's. An option that can't be meant is not refused.
 */
export interface CoreOptions extends Omit<StreamOptions, "logger" | "body" | "idempotencyKey" | "onDisconnect"> {
  /** A function is called for each request that has a body. */
  body?: BodyInit | null | (() => BodyInit | null) | undefined;
  /** The request may be sent again under this key without doing anything twice. */
  idempotencyKey?: string | undefined;
}

/** A stream as far as the core has it. */
export type CoreStream = AsyncIterable<StreamEvent | StreamReset> &
  Pick<FermataStream, "state" | "done" | "close" | "cancel" | "wake">;

/**
 * The `openStream` of `fermata-client`, for pages that count every byte. It asks, resumes, checks, cancels and tells in
 * the same way, and has the iterator, `done`, `close` and `cancel`. It does not watch the page's life: call `wake()` when
 * the page comes back.
 */
export declare function openStream(url: string | URL, options?: CoreOptions): CoreStream;
