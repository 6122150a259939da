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

/** How a stream ended, by whoever says so. Servers may have words that nobody knows yet. */
export type Outcome = ServerOutcome | ClientOutcome | (string & {});

/** How the gateway treats the stream. Null for any other server. */
export type Mode = "legacy" | "shield" | "graceful";

/** What a stream does. `completing`: its completion event came, and what may follow is waited for. */
export type State = "connecting" | "open" | "completing" | "reconnecting" | "closed";

/** An event with data. */
export interface StreamEvent {
  /** What tells it from a reset. */
  readonly kind: "event";
  /** `message` if the event names no type. */
  readonly type: string;
  /** Its data lines, joined by line feeds. */
  readonly data: string;
  /** The last event id: the event's own, or that of one before it. */
  readonly id: string;
  /** The data as JSON. It is parsed at the first call. @throws SyntaxError */
  json<T = unknown>(): T;
}

/** What follows does not go on where the stream was: forget what you have. */
export interface StreamReset {
  /** What tells it from an event. */
  readonly kind: "reset";
  /** `unknown`: another run; `evicted`: what came next is not kept any more; `epoch`: the id was another stream's. */
  readonly reason: "unknown" | "evicted" | "epoch" | (string & {});
  /** The id of the oldest event that is kept. */
  readonly oldest: string | null;
  /** The stream that follows. */
  readonly streamId: string;
}

/** The data of `stream_end`. Servers may add members. */
export interface StreamEndEvent {
  /** What tells it from a backend's event. */
  type: "stream_end";
  /** The stream that ended. */
  streamId?: string;
  /** The run whose stream it is. */
  runId?: string;
  /** When it ended, as RFC 3339 has it. */
  timestamp?: string;
  /** How it ended. Servers of before do not say it. */
  outcome?: Outcome;
  /** A sentence for people. */
  reason?: string;
  /** How many events the whole run has, without the gateway's own. */
  events?: number;
  /** How many bytes its backend sent. */
  bytes?: number;
  /** The id of its last event; empty if there was none. */
  lastEventId?: string;
  /** Whether its rest can be asked for. */
  resumable?: boolean;
  /** Whether the backend's last event was not whole. */
  partialEvent?: boolean;
  /** A constant sentence, for clients of before. */
  message?: string;
  /** Members that nobody knows yet. */
  [member: string]: unknown;
}

/** The data of the gateway's `error` event. */
export interface GatewayErrorEvent {
  /** What tells it from other payloads. */
  type: "error";
  /** What tells it from a backend's event. */
  source: "gateway";
  /** The stream that it is about. */
  streamId: string;
  /** What went wrong, for programs and for people. */
  error: { type: string; code: string; message: string };
}

/** The data of the `control` event that tells that the run has begun. */
export interface PromptReadyEvent {
  /** What tells it from other payloads. */
  type: "prompt_ready";
  /** The stream that begins. */
  streamId: string;
  /** When it began, as RFC 3339 has it. */
  at: string;
  /** How long that took, in milliseconds. */
  sinceStartMs: number;
  /** The name that the client gave its message. */
  client_message_id?: string;
}

/** The data of `stream_reset`. */
export interface StreamResetEvent {
  /** What tells it from other payloads. */
  type: "stream_reset";
  /** The stream that follows. */
  streamId: string;
  /** Why it does not go on: see `StreamReset`. */
  reason: "unknown" | "evicted" | "epoch";
  /** The id of the oldest event that is kept. */
  oldest: string | null;
  /** When that was, as RFC 3339 has it. */
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
  /** What the caller did itself, such as leaving. */
  debug(message: string, metadata: Record<string, unknown>): void;
  /** What goes well: it opened, it reconnects, it ended. */
  info(message: string, metadata: Record<string, unknown>): void;
  /** What went wrong and may be mended by itself. */
  warn(message: string, metadata: Record<string, unknown>): void;
  /** A run that failed, or a handler that threw. */
  error(message: string, metadata: Record<string, unknown>): void;
}

/** What the head of an answer says. */
export interface OpenInfo {
  /** The HTTP status. */
  status: number;
  /** The address that answered, behind all redirects. */
  url: string;
  /** All fields of the answer that the platform shows. */
  headers: Headers;
  /** How the gateway treats the stream; null for any other server. */
  mode: Mode | null;
  /** The gateway's name of the stream; null for any other server. */
  streamId: string | null;
  /** The request's number, from 1. */
  attempt: number;
  /** Whether it goes on with a stream that was cut. */
  isResumed: boolean;
}

/** How a stream ended. */
export interface StreamResult {
  /** How it ended, in one word. */
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
  /** The id of the last event; if the caller left, of the last one taken: where another stream would go on. */
  lastEventId: string;
  /** The gateway's name of the stream (`X-Stream-Id`). */
  streamId: string | null;
  /** The gateway's name of the run, or `StreamOptions.runId`. */
  runId: string | null;
  /** How the gateway treated the stream; null for any other server. */
  mode: Mode | null;
  /** How many requests were made, without the one that cancels. */
  attempts: number;
  /** The data of `stream_end`. */
  end: StreamEndEvent | null;
  /** What iterating throws; null if the stream ended as it should, or as the caller asked. */
  error: FermataStreamError | null;
}

/** What iterating throws when a stream failed, after its last event. */
export declare class FermataStreamError extends Error {
  private constructor();
  /** The outcome, or the code of the answer that refused the stream. `no_streaming`: this `fetch` can't stream. */
  code: string;
  /** How the stream ended. */
  outcome: Outcome;
  /** The status of the last answer that was no stream. */
  status: number | undefined;
  /** How long the server asks to wait. */
  retryAfter: number | undefined;
  /** Whether asking again may help. */
  isRetryable: boolean;
  /** The whole result. */
  result: StreamResult;
  /** What the gateway's `error` event, or the refusal's body, says. */
  detail?: any;
}

/** What can be sent: what `fetch` takes, or an object or array, which is sent as JSON. */
export type RequestBody = BodyInit | null | object;

/** The settings of a stream. Those that are missing have the values that stand first in their comments. */
export interface StreamOptions {
  /** GET, or POST if there is a body. */
  method?: string | undefined;
  /** Fields. A function is called for each request, and once more after a 401. */
  headers?: HeadersInit | ((attempt: number) => HeadersInit | Promise<HeadersInit>) | undefined;
  /** An object or array is sent as JSON. A function is called for each request that has a body. */
  body?: RequestBody | (() => RequestBody) | undefined;
  /** Ends the request when it is aborted, and nothing else: a run goes on, or not, as the server has it. */
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
  /**
   * `auto`: kept runs where the gateway keeps them, other GET streams with ids at their own address. `same-url`: the
   * latter only. `off`: never.
   */
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
  /** When a request is sent again. */
  retry?: RetryOptions | undefined;
  /** 16 MiB. */
  maxEventBytes?: number | undefined;
  /** 1 MiB. What is read ahead of the consumer. */
  highWater?: number | undefined;
  /** Is told what happens. None if absent. */
  logger?: Logger | undefined;
  /** An answer's head came. For each connection. */
  onOpen?(info: OpenInfo): void;
  /** What follows does not go on where the stream was. With it, `events` and `json` do not throw. */
  onReset?(reset: StreamReset): void;
  /** No event came within `firstTokenTimeout`. */
  onLate?(): void;
  /** A request will be sent again. */
  onRetry?(info: RetryInfo): void;
  /** The state changed. */
  onState?(state: State): void;
  /** The request that cancels the run failed. */
  onCancelError?(error: unknown): void;
}

/** When a request is sent again. All times are milliseconds. */
export interface RetryOptions {
  /** 1 s. The server's `retry` is used instead if there is one. */
  base?: number;
  /** 30 s. */
  max?: number;
  /** 5. How many tries in a row may bring no new event. */
  attempts?: number;
  /** 2 min. A `Retry-After` above it is the caller's decision. */
  retryAfterMax?: number;
  /** A number from 0 to 1, for the half of a pause that is left to chance. `Math.random`. */
  random?: () => number;
}

/** A request will be sent again. */
export interface RetryInfo {
  /** How many tries in a row brought no new event. */
  attempt: number;
  /** Milliseconds until then. */
  delay: number;
  /** Why. */
  error: FermataStreamError;
}

/** A stream of events. It has one consumer. `break`, `return` and `throw` close it. */
export interface FermataStream extends AsyncIterable<StreamEvent | StreamReset> {
  /** What the stream does now. */
  readonly state: State;
  /**
   * How it ended, once its connection is free (a second after the end at most). It never rejects. It reads nothing:
   * without a consumer, reading stops at `highWater`.
   */
  readonly done: Promise<StreamResult>;
  /** The first answer's head. It rejects if there is none; nobody has to look. */
  readonly opened: Promise<OpenInfo>;
  /** The id of the last event taken: where another stream would go on. */
  readonly lastEventId: string;
  /** The gateway's name of the stream; null before the head, and from any other server. */
  readonly streamId: string | null;
  /** Null before the head, and from any other server. */
  readonly mode: Mode | null;
  /** Bytes of all bodies so far. */
  readonly bytesReceived: number;
  /** Events with data so far, without repeats and without the gateway's own. */
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
  /** All events as a stream of the platform. Cancelling it closes this one. A reset is an error of it. */
  toReadableStream(): ReadableStream<StreamEvent>;
}

/**
 * Asks for an event stream, at once.
 *
 * @throws TypeError if an option or the address is wrong; all else is told by iterating, or by `done`
 */
export declare function openStream(url: string | URL, options?: StreamOptions): FermataStream;

/** The settings of an EventSource: those of a stream, and the browser's own. */
export interface EventSourceOptions extends StreamOptions {
  /** `false`. Sends cookies to other origins, too. */
  withCredentials?: boolean | undefined;
}

/** An `error` event: a connection was lost (`readyState` 0), or it is over (2). */
export interface StreamErrorEvent extends Event {
  /** Why: `cut`, `draining`, a final outcome. */
  readonly outcome: Outcome;
  /** The status of the answer that was no stream, if there was one. */
  readonly status: number | undefined;
  /** The error as a stream would throw it; null if the server ended the stream as it should. */
  readonly error: FermataStreamError | null;
}

/**
 * The browser's EventSource, with fields, methods and bodies. It reconnects after every end but `stream_end`, 204 and
 * a status that is final, and closes at these.
 */
export declare class FermataEventSource extends EventTarget {
  /** It connects, or waits before it does. */
  static readonly CONNECTING: 0;
  /** It is connected. */
  static readonly OPEN: 1;
  /** It is over, and does not come back. */
  static readonly CLOSED: 2;
  /** Connects at once. @throws TypeError if an option or the address is wrong */
  constructor(url: string | URL, options?: EventSourceOptions);
  /** The address that is asked. */
  readonly url: string;
  /** Whether cookies go to other origins. */
  readonly withCredentials: boolean;
  /** `CONNECTING`, `OPEN` or `CLOSED`. */
  readonly readyState: number;
  /** How it ended. It never rejects. */
  readonly done: Promise<StreamResult>;
  /** Called for each connection. */
  onopen: ((event: Event) => void) | null;
  /** Called for each event that names no type. Others: `addEventListener`. */
  onmessage: ((event: MessageEvent<string>) => void) | null;
  /** Called when a connection is lost, and at the end. */
  onerror: ((event: StreamErrorEvent) => void) | null;
  /** Ends it. Nothing is dispatched behind that. */
  close(): void;
}
