/**
 * `fermata-client`: event streams that say how they ended.
 *
 * All times are milliseconds, all sizes bytes.
 */
export { createParser } from "./parser.js";
export type { ParsedEvent, Parser, ParserOptions } from "./parser.js";

/** The names of the events that agents' streams have. */
export declare const SSE_EVENTS: {
  readonly STATUS: "status";
  readonly DELTA: "delta";
  readonly PARTIAL: "partial";
  readonly COMPLETE: "complete";
  readonly COMPLETION: "completion";
  readonly DONE: "done";
  readonly ERROR: "error";
  readonly CONTROL: "control";
  readonly STREAM_END: "stream_end";
  readonly STREAM_RESET: "stream_reset";
};

/** How the gateway says that a stream ended. */
export type ServerOutcome =
  | "completed"
  | "incomplete"
  | "upstream_error"
  | "upstream_truncated"
  | "first_token_timeout"
  | "idle_timeout"
  | "event_too_large"
  | "cancelled"
  | "draining"
  | "gateway_error"
  | "client_stalled"
  | "replaced_by_new_stream"
  | "run_too_large";

/**
 * How this library says that a stream ended.
 *
 * - `cut`: it broke before its end and could not be resumed
 * - `missing_events`: the server counts more events, or other ones, than came
 * - `ended`: a clean end that nobody calls complete
 * - `empty`: 204, there is nothing
 * - `no_stream`: the answer is no event stream; the error says why
 * - `timeout`: no head in time, or the time for all of it (`timeout`) was up
 * - `aborted`: the caller left
 */
export type ClientOutcome =
  | "cut"
  | "missing_events"
  | "ended"
  | "empty"
  | "no_stream"
  | "timeout"
  | "event_too_large"
  | "upstream_error"
  | "aborted";

export type Outcome = ServerOutcome | ClientOutcome | (string & {});

/** How the gateway treats the stream. Null for any other server. */
export type Mode = "legacy" | "shield" | "graceful";

export type State = "connecting" | "open" | "completing" | "reconnecting" | "closed";

/** An event with data. */
export interface StreamEvent {
  readonly kind: "event";
  /** `message` if the event names no type. */
  readonly type: string;
  readonly data: string;
  /** The last event id: the event's own, or that of one before it. */
  readonly id: string;
  /** The data as JSON. It is parsed at the first call. @throws SyntaxError */
  json<T = unknown>(): T;
}

/** What follows does not go on where the stream was: forget what you have. */
export interface StreamReset {
  readonly kind: "reset";
  /** `unknown`: another run; `evicted`: what came next is not kept any more; `epoch`: the id was another stream's. */
  readonly reason: "unknown" | "evicted" | "epoch" | (string & {});
  /** The id of the oldest event that is kept. */
  readonly oldest: string | null;
  readonly streamId: string;
}

/** The data of `stream_end`. Servers may add members. */
export interface StreamEndEvent {
  type: "stream_end";
  streamId?: string;
  runId?: string;
  timestamp?: string;
  outcome?: Outcome;
  reason?: string;
  events?: number;
  bytes?: number;
  lastEventId?: string;
  resumable?: boolean;
  partialEvent?: boolean;
  message?: string;
  [member: string]: unknown;
}

/** The data of the gateway's `error` event. */
export interface GatewayErrorEvent {
  type: "error";
  source: "gateway";
  streamId: string;
  error: { type: string; code: string; message: string };
}

/** The data of the `control` event that tells that the run has begun. */
export interface PromptReadyEvent {
  type: "prompt_ready";
  streamId: string;
  at: string;
  sinceStartMs: number;
  client_message_id?: string;
}

/** The data of `stream_reset`. */
export interface StreamResetEvent {
  type: "stream_reset";
  streamId: string;
  reason: "unknown" | "evicted" | "epoch";
  oldest: string | null;
  timestamp: string;
}

/** The data of the events that agents send, told apart by `type`. */
export type AgentEvent =
  | { type: "status"; [member: string]: unknown }
  | { type: "delta"; text?: string; [member: string]: unknown }
  | { type: "partial"; [member: string]: unknown }
  | { type: "complete" | "completion" | "done"; [member: string]: unknown }
  | { type: "error"; error?: unknown; [member: string]: unknown }
  | PromptReadyEvent
  | StreamEndEvent
  | StreamResetEvent;

/** Constant messages; what varies is in the metadata. Never fields, bodies or queries. */
export interface Logger {
  debug(message: string, metadata: Record<string, unknown>): void;
  info(message: string, metadata: Record<string, unknown>): void;
  warn(message: string, metadata: Record<string, unknown>): void;
  error(message: string, metadata: Record<string, unknown>): void;
}

export interface OpenInfo {
  status: number;
  url: string;
  headers: Headers;
  mode: Mode | null;
  streamId: string | null;
  /** The request's number, from 1. */
  attempt: number;
  /** Whether it goes on with a stream that was cut. */
  isResumed: boolean;
}

/** How a stream ended. */
export interface StreamResult {
  outcome: Outcome;
  /** The whole answer came: the outcome is `completed`. */
  complete: boolean;
  /** The server's own counts agree with what came. */
  verified: boolean;
  /** A sentence for people. */
  reason: string | null;
  /** Events with data, without repeats and without the gateway's own. */
  events: number;
  /** Bytes of all bodies. */
  bytes: number;
  lastEventId: string;
  streamId: string | null;
  runId: string | null;
  mode: Mode | null;
  /** How many requests were made, without the one that cancels. */
  attempts: number;
  /** The data of `stream_end`. */
  end: StreamEndEvent | null;
  error: FermataStreamError | null;
}

/** What iterating throws when a stream failed, after its last event. */
export declare class FermataStreamError extends Error {
  private constructor();
  /** The outcome, or the code of the answer that refused the stream. `no_streaming`: this `fetch` can't stream. */
  code: string;
  outcome: Outcome;
  /** The status of the last answer that was no stream. */
  status: number | undefined;
  /** How long the server asks to wait. */
  retryAfter: number | undefined;
  /** Whether asking again may help. */
  isRetryable: boolean;
  result: StreamResult;
  /** What the gateway's `error` event, or the refusal's body, says. */
  detail?: any;
}

export type RequestBody = BodyInit | null | object;

export interface StreamOptions {
  /** GET, or POST if there is a body. */
  method?: string | undefined;
  /** Fields. A function is called for each request, and once more after a 401. */
  headers?: HeadersInit | ((attempt: number) => HeadersInit | Promise<HeadersInit>) | undefined;
  /** An object or array is sent as JSON. A function is called for each request that has a body. */
  body?: RequestBody | (() => RequestBody) | undefined;
  signal?: AbortSignal | undefined;
  /** Used instead of the global `fetch`. */
  fetch?: typeof fetch | undefined;
  /** Further members for `fetch`, such as `credentials`. */
  requestInit?: RequestInit | undefined;
  /** Go on behind this event. */
  lastEventId?: string | undefined;
  /** The name by which the run is cancelled; the stream's id if absent. */
  runId?: string | undefined;
  /** The request may be sent again under this key without doing anything twice. `true`: a key is made. */
  idempotencyKey?: string | true | undefined;
  /** How the new closing is asked for. `auto`: by the query from pages of another origin, else by a field. */
  optIn?: "auto" | "header" | "query" | "off" | undefined;
  resume?: "auto" | "same-url" | "off" | undefined;
  /** Where a stream is gone on with, at the request's origin. What `X-Stream-Resume` says, or `/fermata/streams/{id}`. */
  streamPath?: string | undefined;
  /** `/api/agents/run/{id}`. What is deleted to cancel. */
  runPath?: string | undefined;
  /** What becomes of the run when its last reader leaves. Sent as a field, which costs a preflight across origins. */
  onDisconnect?: "cancel" | "continue" | `grace=${number}` | undefined;
  /** Types of events that say that the work is done. `complete`, `completion`, `done`. */
  completionEvents?: readonly string[] | undefined;
  /** A clean end without such an event is an error. */
  requireTerminal?: boolean | undefined;
  /** `index`: by the payload's `index`, from 0. */
  order?: "arrival" | "index" | undefined;
  /** Leave payloads of other streams out: those of this id, or (`true`) of the first that is named, stay. */
  filterStreamId?: boolean | string | undefined;
  /** 60 s. For the head of each answer. */
  headTimeout?: number | undefined;
  /** 35 s. After that `onLate` is called; nothing is closed. */
  firstTokenTimeout?: number | undefined;
  /**
   * Silence after which a connection counts as dead. `auto`: 45 s from the gateway, else none, until comments show
   * how often they come.
   */
  deadTimeout?: number | "auto" | "off" | undefined;
  /** 30 s. How long what may follow a completion event is waited for; events prolong it. */
  endWait?: number | undefined;
  /** 1 s. The same behind `[DONE]` and its like, from servers other than the gateway. */
  hardEndWait?: number | undefined;
  /** 2 s. How long the end is waited for after `cancel()`. */
  cancelWait?: number | undefined;
  /** 2 s. How long an index that is missing is waited for. */
  orderWait?: number | undefined;
  /** For all of it. None if absent. */
  timeout?: number | undefined;
  retry?: RetryOptions | undefined;
  /** 16 MiB. */
  maxEventBytes?: number | undefined;
  /** 1 MiB. What is read ahead of the consumer. */
  highWater?: number | undefined;
  logger?: Logger | undefined;
  onOpen?(info: OpenInfo): void;
  onReset?(reset: StreamReset): void;
  onLate?(): void;
  onRetry?(info: RetryInfo): void;
  onState?(state: State): void;
  /** The request that cancels the run failed. */
  onCancelError?(error: unknown): void;
}

export interface RetryOptions {
  /** 1 s. The server's `retry` is used instead if there is one. */
  base?: number;
  /** 30 s. */
  max?: number;
  /** 5. How many tries in a row may bring no new event. */
  attempts?: number;
  /** 2 min. A `Retry-After` above it is the caller's decision. */
  retryAfterMax?: number;
  random?: () => number;
}

export interface RetryInfo {
  attempt: number;
  delay: number;
  error: FermataStreamError;
}

/** A stream of events. It has one consumer. `break`, `return` and `throw` close it. */
export interface FermataStream extends AsyncIterable<StreamEvent | StreamReset> {
  readonly state: State;
  /**
   * How it ended, once its connection is free (a second after the end at most). It never rejects. It reads nothing:
   * without a consumer, reading stops at `highWater`.
   */
  readonly done: Promise<StreamResult>;
  /** The first answer's head. It rejects if there is none; nobody has to look. */
  readonly opened: Promise<OpenInfo>;
  readonly lastEventId: string;
  readonly streamId: string | null;
  readonly mode: Mode | null;
  readonly bytesReceived: number;
  readonly eventsReceived: number;
  /** Ends the request. The run goes on, or not, as the server has it. */
  close(reason?: unknown): void;
  /** Asks the server to stop the run, and reads on to its end. Never rejects. */
  cancel(): Promise<void>;
  /** Tells that the machine, the network or the app came back: for surroundings without page events. */
  wake(): void;
  /** Events alone. A reset throws, unless `onReset` takes it. */
  events(): AsyncIterable<StreamEvent>;
  /** Payloads as JSON, without `[DONE]`. A reset throws, unless `onReset` takes it. */
  json<T = unknown>(): AsyncIterable<T>;
  /** All texts that `pick` finds, joined. A reset begins anew. */
  text(pick: (event: StreamEvent) => string | undefined): Promise<string>;
  toReadableStream(): ReadableStream<StreamEvent>;
}

/**
 * Asks for an event stream, at once.
 *
 * @throws TypeError if an option or the address is wrong; all else is told by iterating, or by `done`
 */
export declare function openStream(url: string | URL, options?: StreamOptions): FermataStream;

export interface EventSourceOptions extends StreamOptions {
  withCredentials?: boolean | undefined;
}

/** An `error` event: a connection was lost (`readyState` 0), or it is over (2). */
export interface StreamErrorEvent extends Event {
  readonly outcome: Outcome;
  readonly status: number | undefined;
  readonly error: FermataStreamError | null;
}

/**
 * The browser's EventSource, with fields, methods and bodies. It reconnects after every end but `stream_end`, 204 and
 * a status that is final, and closes at these.
 */
export declare class FermataEventSource extends EventTarget {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;
  constructor(url: string | URL, options?: EventSourceOptions);
  readonly url: string;
  readonly withCredentials: boolean;
  readonly readyState: number;
  readonly done: Promise<StreamResult>;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent<string>) => void) | null;
  onerror: ((event: StreamErrorEvent) => void) | null;
  close(): void;
}
