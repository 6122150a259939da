/// Why a stream is not complete. Thrown after the last event.
public struct FermataError: Error, Sendable, CustomStringConvertible {
  /// The outcome, or the code that the server gave with its refusal.
  public var code: String
  /// A sentence for people.
  public var message: String
  /// The HTTP status of the last response, if it was refused.
  public var status: Int?
  /// The time that the server asked to wait.
  public var retryAfter: Duration?
  /// The gateway's `error` event, or the JSON document of the refusal.
  public var detail: JSONValue?
  /// Whether the same request may succeed later.
  public var isRetryable: Bool

  /// The code and the message.
  public var description: String { "\(code): \(message)" }
}

/// How a stream ended. Only `isComplete` means that the whole answer came.
public struct StreamResult: Sendable {
  /// The server's word from `stream_end`, or the client's: `completed`, `ended`, `cut`, `missing_events`, `empty`,
  /// `no_stream`, `timeout`, `event_too_large`, `consumer_too_slow`, `upstream_error`, `aborted`.
  public var outcome: String
  /// The outcome is `completed`.
  public var isComplete: Bool { outcome == "completed" }
  /// The server's counts agree with what came.
  public var isVerified: Bool
  /// A sentence for people.
  public var reason: String
  /// Counted events: the backend's, with data, without repeats; since the last reset.
  public var events: Int
  /// Bytes of all response bodies.
  public var bytes: Int
  /// The id of the last event that the consumer took; where to resume.
  public var lastEventID: String
  /// The gateway's id of the stream (`X-Stream-Id`).
  public var streamID: String?
  /// The gateway's id of the run.
  public var runID: String?
  /// `graceful`, `legacy`, `shield`; nil from a server that is no gateway.
  public var mode: String?
  /// Requests that were sent.
  public var attempts: Int
  /// The payload of `stream_end`.
  public var end: [String: JSONValue]?
  /// Nil if the stream ended as it should, or as the caller asked.
  public var error: FermataError?
}

/// A response began.
public struct StreamInfo: Sendable, Hashable {
  /// The HTTP status.
  public var status: Int
  /// The gateway's id of the stream (`X-Stream-Id`).
  public var streamID: String?
  /// `graceful`, `legacy`, `shield`; nil from a server that is no gateway.
  public var mode: String?
  /// 1 for the first request.
  public var attempt: Int
}

/// What a stream does.
public enum StreamState: Sendable {
  /// A response began.
  case opened(StreamInfo)
  /// A request will be sent again after this time.
  case reconnecting(after: Duration, error: FermataError)
  /// No event came within `firstTokenTimeout`.
  case late
  /// The answer is over; what may follow is waited for.
  case completing
  /// The connection was given up by `pause`.
  case paused
  /// It is over: there is a result.
  case closed
}

enum Outcomes {
  static let retryable: Set<String> = [
    "cut", "draining", "timeout", "first_token_timeout", "idle_timeout", "upstream_truncated", "gateway_error",
    "consumer_too_slow",
  ]
  static let retryableStatuses: Set<Int> = [408, 425, 429, 500, 502, 503, 504]
  /// What a cancellation may look like if the server does not say how the run ended.
  static let unsaid: Set<String> = ["cut", "ended", "no_stream", "timeout"]
  static let quiet: Set<String> = ["completed", "ended", "empty", "aborted", "replaced_by_new_stream"]
}
