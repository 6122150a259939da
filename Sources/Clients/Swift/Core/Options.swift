/// How long silence may last.
public enum DeadTimeout: Sendable, Hashable {
  /// Derived from the server's comments.
  case automatic
  /// So long.
  case after(Duration)
  /// It may last for ever.
  case off
}

/// When a request is sent again.
public struct RetryPolicy: Sendable {
  /// The first pause, unless the server sends `retry:`.
  public var base: Duration = .seconds(1)
  /// The longest pause of the client's own.
  public var maximum: Duration = .seconds(30)
  /// Requests in a row without a new event before it gives up. A feed never gives up.
  public var attempts = 5
  /// The longest `Retry-After` that is waited for; a longer one is final and reported.
  public var maximumRetryAfter: Duration = .seconds(120)
  /// A number from 0 to 1, for the jitter.
  public var random: @Sendable () -> Double = { Double.random(in: 0...1) }

  /// The values above.
  public init() {}
}

/// The settings of a stream.
public struct StreamOptions: Sendable {
  /// What kind of stream it is.
  public enum Profile: Sendable {
    /// One run, which has an end.
    case answer
    /// It has no end and is always reconnected, as EventSource does.
    case feed
  }
  /// How the gateway is asked for `stream_end`.
  public enum OptIn: Sendable {
    /// By the field `Prefer: stream-end`.
    case header
    /// By the query: `stream_end=1`.
    case query
    /// Not at all.
    case off
  }
  /// Where a stream that was cut goes on.
  public enum Resume: Sendable {
    /// Kept runs at `streamPath`, others at their own address if the method is GET and there is an id.
    case automatic
    /// Kept runs only where the server names the path in `X-Stream-Resume`.
    case named
    /// Always at its own address.
    case sameURL
    /// Nowhere.
    case off
  }
  /// In which order events are delivered.
  public enum Order: Sendable {
    /// As they come.
    case arrival
    /// By the integer member `index` of their JSON.
    case index
  }
  /// Which events are left out by the `streamId` in their JSON.
  public enum Filter: Sendable, Hashable {
    /// None.
    case off
    /// Those that name another stream than the first that is named.
    case first
    /// Those that name another stream than this one.
    case only(String)
  }

  /// Whether it has an end.
  public var profile: Profile = .answer
  /// How the gateway is asked for `stream_end`.
  public var optIn: OptIn = .header
  /// Where it goes on when it was cut.
  public var resume: Resume = .automatic
  /// Where a gateway's stream is resumed, at the request's origin; `{id}` stands for the stream's id. Without one it is
  /// the path that the server names in `X-Stream-Resume`, or `/fermata/streams/{id}`.
  public var streamPath: String?
  /// Where a run is cancelled, at the request's origin.
  public var runPath = "/api/agents/run/{id}"
  /// Where an earlier stream is continued.
  public var lastEventID = ""
  /// The name of the run for `cancelRun`; the stream's id without one.
  public var runID: String?
  /// Says that sending the request again is safe.
  public var idempotencyKey: String?
  /// Fields made for each request: attempt 1, 2, ...; 0 for the cancellation.
  public var headers: (@Sendable (Int) async throws -> [String: String])?
  /// Event types that say that the work is done.
  public var completionEvents = ["complete", "completion", "done"]
  /// A clean end without a terminal throws.
  public var requiresTerminal = false
  /// `index` orders events by the integer member `index` of their JSON.
  public var order: Order = .arrival
  /// Leaves out events whose JSON names another `streamId`.
  public var filterStreamID: Filter = .off
  /// The longest wait for a response.
  public var headTimeout: Duration = .seconds(60)
  /// After this time without an event the state `late` is reported; nothing is closed.
  public var firstTokenTimeout: Duration? = .seconds(35)
  /// The longest silence.
  public var deadTimeout: DeadTimeout = .automatic
  /// How long events may follow a completion event before the stream counts as over.
  public var endWait: Duration = .seconds(30)
  /// The same after `[DONE]` and other ends of a dialect, of a server that is not graceful.
  public var hardEndWait: Duration = .seconds(1)
  /// How long the server's own end is waited for after a cancellation.
  public var cancelWait: Duration = .seconds(2)
  /// How long a hole in the order is waited for.
  public var orderWait: Duration = .seconds(2)
  /// How long the end of a response is waited for, so that its connection can be used again.
  public var drainWait: Duration = .seconds(1)
  /// The longest time for the whole stream.
  public var timeout: Duration?
  /// When a request is sent again.
  public var retry = RetryPolicy()
  /// The largest event, in bytes.
  public var maximumEventBytes = 16 << 20
  /// With so many bytes of events waiting, nothing more is parsed.
  public var maximumQueuedBytes = 1 << 20
  /// Delivers the gateway's own events, too, in their place: for programs that show a stream.
  package var deliversGatewayEvents = false
  /// Is told what happens.
  public var logger: (any StreamLogger)?

  /// The values above.
  public init() {}
}

/// Receives constant messages, with the data beside them. Never headers, bodies or addresses.
public protocol StreamLogger: Sendable {
  /// Takes one line; called from any thread.
  func log(_ level: StreamLogLevel, _ message: String, _ metadata: [String: String])
}

/// How much a line of the log matters.
public enum StreamLogLevel: Sendable {
  /// What the caller did itself.
  case debug
  /// What goes well.
  case info
  /// What went wrong and may be mended by itself.
  case warning
  /// What failed.
  case error
}

extension Duration {
  var inSeconds: Double {
    let (seconds, attoseconds) = components
    return Double(seconds) + Double(attoseconds) / 1e18
  }
}
