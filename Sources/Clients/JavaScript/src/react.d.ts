import type { FermataStreamError, StreamEvent, StreamOptions, StreamResult } from "./index.js";

/** How a stream stands, for a view. */
export type AgentStreamStatus =
  | "idle"
  | "connecting"
  | "streaming"
  | "completing"
  | "reconnecting"
  | "done"
  | "error"
  | "cancelled";

/** The settings of the hook: those of a stream, and what a view keeps of it. */
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
  /** Called for each event, before the view is told. The latest handler is. */
  onEvent?: ((event: StreamEvent) => void) | undefined;
  /** Called at the end. The latest handler is. */
  onFinish?: ((result: StreamResult) => void) | undefined;
  /** `close`. What becomes of the stream when the component goes. */
  onUnmount?: "close" | "cancel" | "keep" | undefined;
}

/** What a view sees. Its identity changes when something in it does. */
export interface AgentStreamSnapshot<P = StreamEvent> {
  /** How the stream stands. */
  readonly status: AgentStreamStatus;
  /** What came so far: events, or what `select` and `reduce` make of them. */
  readonly partials: readonly P[];
  /** The id of the last event shown: where another stream would go on. */
  readonly lastEventId: string;
  /** The whole answer came. */
  readonly isComplete: boolean;
  /** Bytes of all bodies so far. */
  readonly bytesReceived: number;
  /** How it ended, once it has. */
  readonly result: StreamResult | null;
  /** Why the answer is not whole; null if it is, or may still become so. */
  readonly error: FermataStreamError | null;
  /** The gateway's name of the stream; null before the head, and from any other server. */
  readonly streamId: string | null;
  /** The first event is late. */
  readonly isLate: boolean;
  /** How many of the oldest `partials` were dropped. */
  readonly partialsDropped: number;
}

/** What the hook gives: the snapshot and three functions. */
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
  /** Calls the listener at each change of the snapshot, until the function that it returns is called. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The snapshot now. The same object until something in it changes. */
  readonly getSnapshot: () => AgentStreamSnapshot<P>;
  /** Asks the server to stop the run. Resolves when the stream is over. */
  readonly cancel: () => Promise<void>;
  /** Begins anew. */
  readonly restart: () => void;
  /** Ends the request; the run goes on, or not, as the server has it. */
  readonly close: () => void;
  /** Shows this stream. The same one (address, method, string body, key) goes on. */
  show(url: string | null, options: UseAgentStreamOptions<P>): void;
  /** The view is gone; a `show` of the same stream in this turn takes it back. */
  leave(): void;
  /** Tells that the app came back to the front. */
  wake(): void;
}
