import type { FermataStreamError, StreamEvent, StreamOptions, StreamResult } from "./index.js";

export type AgentStreamStatus =
  | "idle"
  | "connecting"
  | "streaming"
  | "completing"
  | "reconnecting"
  | "done"
  | "error"
  | "cancelled";

export interface UseAgentStreamOptions<P = StreamEvent> extends StreamOptions {
  /** With another key, address, method or body (if it is a string) another stream is opened. */
  key?: unknown;
  /** `true`. Nothing is asked for while it is false. */
  enabled?: boolean | undefined;
  /** What is kept of an event; nothing if undefined. Absent: the event. */
  select?: ((event: StreamEvent) => P | undefined) | undefined;
  /** Makes the partials from those before and an event, instead of `select`. */
  reduce?: ((partials: readonly P[], event: StreamEvent) => readonly P[]) | undefined;
  /** 50 ms. The view is told so often at most; at once at open, completion, reset and end. */
  throttle?: number | undefined;
  /** 10,000. The oldest are dropped. */
  maxPartials?: number | undefined;
  /** 10 MiB of the events' data. The oldest are dropped. */
  maxPartialBytes?: number | undefined;
  onEvent?: ((event: StreamEvent) => void) | undefined;
  onFinish?: ((result: StreamResult) => void) | undefined;
  /** `close`. What becomes of the stream when the component goes. */
  onUnmount?: "close" | "cancel" | "keep" | undefined;
}

/** What a view sees. Its identity changes when something in it does. */
export interface AgentStreamSnapshot<P = StreamEvent> {
  readonly status: AgentStreamStatus;
  readonly partials: readonly P[];
  readonly lastEventId: string;
  /** The whole answer came. */
  readonly isComplete: boolean;
  readonly bytesReceived: number;
  /** How it ended, once it has. */
  readonly result: StreamResult | null;
  readonly error: FermataStreamError | null;
  readonly streamId: string | null;
  /** The first event is late. */
  readonly isLate: boolean;
  readonly partialsDropped: number;
}

export interface AgentStream<P = StreamEvent> extends AgentStreamSnapshot<P> {
  /** Asks the server to stop the run. These three never change. */
  readonly cancel: () => Promise<void>;
  /** Begins anew. */
  readonly restart: () => void;
  /** Ends the request; the run goes on, or not, as the server has it. */
  readonly close: () => void;
}

/**
 * Follows an event stream. Nothing is asked for on a server, or if `url` is null.
 *
 * React 18 or later. One request in StrictMode too.
 */
export declare function useAgentStream<P = StreamEvent>(
  url: string | null,
  options?: UseAgentStreamOptions<P>,
): AgentStream<P>;

/** The same without React, for other views. */
export declare class AgentStreamStore<P = StreamEvent> {
  readonly subscribe: (listener: () => void) => () => void;
  readonly getSnapshot: () => AgentStreamSnapshot<P>;
  readonly cancel: () => Promise<void>;
  readonly restart: () => void;
  readonly close: () => void;
  /** Shows this stream. The same one (address, method, string body, key) goes on. */
  show(url: string | null, options: UseAgentStreamOptions<P>): void;
  /** The view is gone; a `show` of the same stream in this turn takes it back. */
  leave(): void;
  /** Tells that the app came back to the front. */
  wake(): void;
}
