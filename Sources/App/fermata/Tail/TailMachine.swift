import JSON
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
    /// One that has come before.
    case repeated
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
    /// `X-Stream-Resume`: where the stream can be resumed.
    var resumePath: String?
    /// `Retry-After` in seconds.
    var retryAfter: Int?
  }

  /// Where a cut stream is asked for again.
  enum Resumption: Equatable {
    /// Where the gateway keeps it. Asking there never begins a run, so a POST can be resumed too.
    case at(path: String)
    /// By the same request, from a backend that knows its own ids.
    case sameRequest
  }

  /// Attempts in a row without a new event of the backend's after which it gives up.
  static let attemptLimit = 5
  static let longestPause = Nanoseconds.seconds(30)

  private let mayResume: Bool
  /// Whether the request may be sent twice.
  private let mayRepeat: Bool
  /// The backend's events that have come on this stream.
  private(set) var events = 0
  /// The last id that came, of whatever event.
  private(set) var lastEventID = ""
  private(set) var streamID: String?
  private var hasStream = false
  private var isGraceful = false
  private var retry = Nanoseconds.seconds(1)
  private var retryAfter: Nanoseconds?
  private var end: StreamEndReport?
  private var resumePath: String?
  /// How the stream is asked for again; `nil` before the first cut.
  private(set) var resumption: Resumption?
  /// The number of the last event that the gateway has numbered.
  private var lastNumber = 0
  private var fruitlessAttempts = 0

  init(mayResume: Bool, mayRepeat: Bool) {
    self.mayResume = mayResume
    self.mayRepeat = mayRepeat
  }

  var isResuming: Bool { resumption != nil }

  // MARK: - What comes

  mutating func headCame(_ head: Head) -> Decision {
    retryAfter = head.retryAfter.map { .seconds(max(0, min($0, 3600))) }
    if isResuming { return resumedHeadCame(head) }
    guard (200..<300).contains(head.status) else {
      return .finish(TailConclusion(.noStream, "the server answered with status \(head.status)"))
    }
    guard head.isEventStream else { return .finish(TailConclusion(.noStream, "the answer is no event stream")) }
    hasStream = true
    begin(head)
    return .goOn
  }

  private mutating func begin(_ head: Head) {
    streamID = head.streamID
    isGraceful = head.mode == "graceful"
    resumePath = head.resumePath.flatMap { $0.hasPrefix("/") && !$0.hasPrefix("//") ? $0 : nil }
  }

  private mutating func resumedHeadCame(_ head: Head) -> Decision {
    switch head.status {
    case 204: return .finish(TailConclusion(.completed, "\(events) events; the server has nothing more"))
    case 429, 502, 503, 504: return tryAgain("the server answered with status \(head.status)")
    case 200 where head.isEventStream && head.streamID == streamID: return .goOn
    case 200 where head.isEventStream && head.mode == "graceful" && resumption == .sameRequest:
      // Another stream, which counts for itself; the backend goes on from its own id.
      begin(head)
      events = 0
      lastNumber = 0
      return .goOn
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
    if type == "stream_end", let report = StreamEndReport(parsing: data), isThis(report.streamID) {
      end = report
      return .end(report)
    }
    if isGateways(type, data) {
      if type == "stream_reset" { startOver() }
      return .uncounted
    }
    if let number = id.flatMap(number(in:)) {
      if number <= lastNumber { return .repeated }
      lastNumber = number
    }
    if let id { lastEventID = id }
    fruitlessAttempts = 0
    events += 1
    return .counted
  }

  /// Whether an event is the gateway's own. Without an opt-in none is.
  private func isGateways(_ type: String, _ data: String) -> Bool {
    guard isGraceful, Self.ownTypes.contains(type), let value = try? JSONValue(parsing: data) else { return false }
    return value["source"]?.string == "gateway" && isThis(value["streamId"]?.string)
  }

  private static let ownTypes: Set<String> = ["error", "control", "stream_reset"]

  /// Whether an event that names `stream` is about this one: a gateway behind the gateway says the same of its own.
  private func isThis(_ stream: String?) -> Bool { !isGraceful || stream == nil || stream == streamID }

  /// The number of an id that the gateway gave.
  private func number(in id: String) -> Int? {
    guard isGraceful, let streamID, id.hasPrefix(streamID + ".") else { return nil }
    return Int(id.dropFirst(streamID.count + 1))
  }

  /// What follows does not go on from what has come.
  private mutating func startOver() {
    events = 0
    lastNumber = 0
    lastEventID = ""
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
    guard mayResume, fruitlessAttempts <= Self.attemptLimit, let way = wayToResume else {
      return .finish(TailConclusion(.missing, "cut after \(events) events: \(why)"))
    }
    resumption = way
    var pause = retry
    for _ in 1..<fruitlessAttempts { pause = min(pause + pause, Self.longestPause) }
    return .resume(after: max(pause, retryAfter ?? .zero), because: why)
  }

  private var wayToResume: Resumption? {
    // Without an id of the last event, what has come would come again.
    guard isGraceful, !lastEventID.isEmpty || events == 0 else { return nil }
    if let resumePath { return .at(path: resumePath) }
    // The gateway keeps nothing: its own ids mean nothing to the backend.
    guard mayRepeat, !lastEventID.isEmpty, number(in: lastEventID) == nil else { return nil }
    return .sameRequest
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
