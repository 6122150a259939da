/// How a run ended, in one word. The same value feeds `stream_end`, the metric label and the log line, so the three
/// can't disagree.
package enum Outcome: String, CaseIterable, Sendable {
  /// A clean end after the dialect's terminal.
  case completed
  /// A clean end without it.
  case incomplete
  /// The backend said so, in-band or by its status.
  case upstreamError = "upstream_error"
  /// The backend's connection was cut, or its framing was broken.
  case upstreamTruncated = "upstream_truncated"
  case firstTokenTimeout = "first_token_timeout"
  case idleTimeout = "idle_timeout"
  /// Somebody asked for it to stop, or its total time was up.
  case cancelled
  case replacedByNewStream = "replaced_by_new_stream"
  case clientGone = "client_gone"
  /// The client took nothing for too long.
  case clientStalled = "client_stalled"
  case runTooLarge = "run_too_large"
  case eventTooLarge = "event_too_large"
  case draining
  case gatewayError = "gateway_error"

  /// Whether the body may end as a complete one. Everything else must stay visible as a cut where no `stream_end`
  /// tells it.
  package var isCleanEnd: Bool {
    switch self {
    case .completed, .incomplete, .upstreamError: true
    default: false
    }
  }

  /// Whether the gateway itself ended the run, for a reason of its own: whoever asks for the same again may have another.
  package var isGatewaysOwn: Bool { self == .draining || self == .gatewayError }

  /// Whether a graceful client is told by an `error` event too. What the backend said in-band is not said twice, and
  /// what the client or the operator wanted is no error.
  package var isToldAsError: Bool {
    switch self {
    case .upstreamTruncated, .firstTokenTimeout, .idleTimeout, .clientStalled, .runTooLarge, .eventTooLarge,
      .gatewayError:
      true
    case .completed, .incomplete, .upstreamError, .cancelled, .replacedByNewStream, .clientGone, .draining: false
    }
  }

  /// Whether the client got less than the backend had to say: by the backend's fault or the gateway's.
  package var isTruncation: Bool {
    switch self {
    case .upstreamTruncated, .runTooLarge, .eventTooLarge, .gatewayError: true
    default: false
    }
  }

  /// Whether somebody should look at it. A client that leaves is everyday life.
  package var isWorthAWarning: Bool {
    switch self {
    case .completed, .clientGone, .cancelled, .replacedByNewStream, .draining: false
    default: true
    }
  }
}

/// How the backend's body ended.
package enum UpstreamEnd: Equatable, Sendable {
  /// By its own framing: last chunk, full length, or the close of a close-delimited body.
  case clean
  /// Before that.
  case cut(UpstreamFault)
}

/// What cut a backend's body; `rawValue` is the `reason` that clients and operators read.
package enum UpstreamFault: String, Sendable {
  case closedEarly = "the backend closed the connection before its response was complete"
  case reset = "the backend reset the connection"
  case badFraming = "the backend's chunked framing was broken"
  case timedOut = "the connection to the backend timed out"
}
