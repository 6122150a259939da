import Time

/// What a client of a stream knows and decides: whether all of it came, and whether to ask again. Pure.
struct TailMachine {
  /// How one response ended.
  enum Ending: Equatable {
    /// Its framing says that it is complete.
    case clean
    /// Before that; says how.
    case cut(String)
    /// There was no connection; says why.
    case unreachable(String)
  }

  /// What an event is.
  enum Role: Equatable {
    /// One of the backend's.
    case counted
    /// The gateway's own.
    case uncounted
    /// Says how the stream ended.
    case end(StreamEndReport)
  }

  enum Decision: Equatable {
    case goOn
    case finish(TailConclusion)
    case resume(after: Nanoseconds, because: String)
  }

  /// The response's head, as far as it matters here.
  struct Head: Equatable {
    var status: Int
    var isEventStream: Bool
    var streamID: String?
    var mode: String?
    /// `Retry-After` in seconds.
    var retryAfter: Int?
  }

  /// Attempts in a row without an event after which it gives up.
  static let attemptLimit = 5
  static let longestPause = Nanoseconds.seconds(30)

  private let mayResume: Bool
  /// The backend's events that have come.
  private(set) var events = 0
  /// The last id that came, of whatever event.
  private(set) var lastEventID = ""
  private(set) var streamID: String?
  private var hasStream = false
  private var isGraceful = false
  private var retry = Nanoseconds.seconds(1)
  private var retryAfter: Nanoseconds?
  private var end: StreamEndReport?
  private(set) var isResuming = false
  private var fruitlessAttempts = 0

  init(mayResume: Bool) {
    self.mayResume = mayResume
  }

  // MARK: - What comes

  mutating func headCame(_ head: Head) -> Decision {
    retryAfter = head.retryAfter.map { .seconds(max(0, min($0, 3600))) }
    if isResuming { return resumedHeadCame(head) }
    guard (200..<300).contains(head.status) else {
      return .finish(TailConclusion(.noStream, "the server answered with status \(head.status)"))
    }
    guard head.isEventStream else { return .finish(TailConclusion(.noStream, "the answer is no event stream")) }
    hasStream = true
    streamID = head.streamID
    isGraceful = head.mode == "graceful"
    return .goOn
  }

  private mutating func resumedHeadCame(_ head: Head) -> Decision {
    switch head.status {
    case 204: return .finish(TailConclusion(.completed, "\(events) events; the server has nothing more"))
    case 429, 502, 503, 504: return tryAgain("the server answered with status \(head.status)")
    case 200 where head.isEventStream && head.streamID == streamID: return .goOn
    case 200 where head.isEventStream:
      return .finish(
        TailConclusion(.missing, "cut after \(events) events; the server began another stream instead of resuming"))
    default:
      return .finish(
        TailConclusion(.missing, "cut after \(events) events; the server does not resume: status \(head.status)"))
    }
  }

  /// - Parameter id: the event's `id` line, if it has one.
  mutating func eventCame(type: String, data: String, id: String?) -> Role {
    if let id { lastEventID = id }
    fruitlessAttempts = 0
    if type == "stream_end", let report = StreamEndReport(parsing: data) {
      end = report
      return .end(report)
    }
    // Without an opt-in nothing is the gateway's own.
    if isGraceful, type == "error", StreamEndReport.isGatewayError(data) { return .uncounted }
    events += 1
    return .counted
  }

  /// A block without data came that sets the id.
  mutating func idCame(_ id: String) { lastEventID = id }

  /// A `retry:` line came.
  mutating func retryCame(_ time: Nanoseconds) {
    if time > .zero { retry = min(time, Self.longestPause) }
  }

  // MARK: - What to do at the end

  mutating func ended(_ ending: Ending) -> Decision {
    if let end { return concluded(end) }
    switch ending {
    case .clean where !isGraceful:
      return .finish(TailConclusion(.unchecked, "\(events) events; without stream_end nothing can be checked"))
    case .clean: return tryAgain("the stream ended without stream_end")
    case .cut(let why), .unreachable(let why):
      return hasStream ? tryAgain(why) : .finish(TailConclusion(.noStream, why))
    }
  }

  private mutating func concluded(_ report: StreamEndReport) -> Decision {
    // The reader ended, the run goes on.
    if report.isResumable, ["draining", "client_stalled", "gateway_error"].contains(report.outcome) {
      end = nil
      return tryAgain("\(report.outcome): \(report.reason)")
    }
    guard report.events == events, report.lastEventID == lastEventID else {
      let text = "\(report.outcome), but \(events) of \(report.events) events came, the last with the id "
      return .finish(TailConclusion(.missing, "\(text)\"\(lastEventID)\" instead of \"\(report.lastEventID)\""))
    }
    let counts = "\(events) of \(report.events) events"
    if report.outcome == "completed" { return .finish(TailConclusion(.completed, "completed: \(counts)")) }
    return .finish(TailConclusion(.ended, "\(report.outcome): \(report.reason); \(counts)"))
  }

  private mutating func tryAgain(_ why: String) -> Decision {
    fruitlessAttempts += 1
    guard mayResume, isGraceful, !lastEventID.isEmpty, fruitlessAttempts <= Self.attemptLimit else {
      return .finish(TailConclusion(.missing, "cut after \(events) events: \(why)"))
    }
    isResuming = true
    var pause = retry
    for _ in 1..<fruitlessAttempts { pause = min(pause + pause, Self.longestPause) }
    return .resume(after: max(pause, retryAfter ?? .zero), because: why)
  }

  /// A random part of `pause`, at least half of it: clients that were cut together don't come back together.
  static func jittered(_ pause: Nanoseconds, random: UInt64) -> Nanoseconds {
    let half = pause.value / 2
    return Nanoseconds(half + Int64(random % UInt64(max(1, half + 1))))
  }
}

/// How it all ended.
struct TailConclusion: Equatable {
  enum Kind: String {
    case completed
    case noStream = "no_stream"
    /// The server told an outcome other than `completed`.
    case ended
    case missing
    case unchecked
  }

  let kind: Kind
  let text: String

  init(_ kind: Kind, _ text: String) {
    self.kind = kind
    self.text = text
  }

  var exitStatus: Int32 {
    switch kind {
    case .completed: ExitStatus.success
    case .noStream: ExitStatus.failure
    case .ended: 4
    case .missing: 5
    case .unchecked: 6
    }
  }
}
