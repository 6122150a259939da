import type { FermataStream, StreamEvent, StreamOptions, StreamReset } from "./index.js";

export { FermataStreamError } from "./index.js";

/** Bodies as `fetch` takes them, keys of the caller's own, no logger. An option that can't be meant is not refused. */
export interface CoreOptions extends Omit<StreamOptions, "logger" | "body" | "idempotencyKey"> {
  body?: BodyInit | null | (() => BodyInit | null) | undefined;
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
