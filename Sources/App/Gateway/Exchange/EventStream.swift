import Bytes
import Loop
import SSE
import Streams
import Time

/// An event stream that is open towards a client: its run, its reader, its clock and its close.
final class EventStream {
  let id: StreamID
  /// `nil` when the events come from a run's log.
  private let run: Run?
  /// What this client got, then.
  private var tally = StreamTally()
  let reader: any Reader
  var clock: StreamClock
  /// Whether the client takes what is queued for it.
  private var sendWatch = SendWatch()
  var closing = ClosingMachine()
  let capability: Capability
  /// Whether the guard judges it, and in which arm.
  let standing: CohortStanding
  /// A hash of the client's identity, if it has one.
  let clientKey: Int?
  /// The revision of the flag file that decided the mode.
  let flagVersion: String
  let openedAt: MonotonicTime
  /// The route's name; empty until it is in the books.
  var route = ""
  /// Whose it is, for the census.
  var visitor = CensusVisitor()
  /// Whether comment lines may be sent on it.
  let keepsAlive: Bool
  private(set) var hasFirstEvent = false
  private var hasContent = false
  var bodyBytes: UInt64 = 0
  /// The trace that the request belongs to, for log lines.
  let trace: String?

  /// - Parameter run: the backend's response that this client alone reads; `nil` when a run's log is read.
  init(
    id: StreamID, run: Run?, reader: any Reader, clock: StreamClock, capability: Capability, decision: ModeDecision,
    flagVersion: String, openedAt: MonotonicTime, keepsAlive: Bool, trace: String?
  ) {
    self.id = id
    self.run = run
    self.reader = reader
    self.clock = clock
    self.capability = capability
    standing = decision.standing
    clientKey = decision.clientKey
    self.flagVersion = flagVersion
    self.openedAt = openedAt
    self.keepsAlive = keepsAlive
    self.trace = trace
  }

  var mode: Mode { reader.mode }

  /// What its close is counted under. The guard leaves closes out that the gateway or an operator brought about.
  func closeLabel(_ outcome: Outcome, _ end: BodyEnd) -> CloseLabel {
    CloseLabel(mode: mode, cohort: outcome.isCensored || end == .cut ? nil : standing.cohort)
  }

  var events: UInt64 { run?.events ?? tally.events }
  var eventBytes: UInt64 { run?.eventBytes ?? tally.bytes }
  var marks: EventMark { run?.marks ?? tally.marks }
  var eventsAfterCompletion: UInt64 { run?.eventsAfterCompletion ?? tally.eventsAfterCompletion }

  /// What came with a piece of the backend's body.
  struct Arrival {
    /// How the piece goes to the client.
    let delivery: Delivery
    var isFirstEvent = false
    /// The first event that bears content in the dialect's eyes.
    var isFirstContent = false
  }

  /// Takes in the next piece of the backend's body.
  func receive(_ bytes: Span<UInt8>, at now: MonotonicTime, into out: inout ByteBuffer) -> Arrival {
    clock.backendSent(at: now)
    guard let run else { return Arrival(delivery: .buffered) }
    var arrival = Arrival(delivery: run.receive(bytes, for: reader, into: &out))
    // Shield holds it back: what the client was not sent it can't have taken for the end.
    if run.hasTerminal, reader.mode != .shield { closing.terminalWasSent() }
    if hasContent { return arrival }
    if run.hasContent {
      hasContent = true
      arrival.isFirstContent = true
    }
    if !hasFirstEvent, run.events > 0 {
      hasFirstEvent = true
      arrival.isFirstEvent = true
      clock.firstTokenCame()
    }
    return arrival
  }

  /// Takes note of entries of the run's log on their way to the client.
  ///
  /// - Returns: whether the first event is among them.
  func delivered(_ entries: StreamTally) -> Bool {
    tally.add(entries)
    // Shield holds it back: what the client was not sent it can't have taken for the end.
    if entries.hasTerminal, reader.mode != .shield { closing.terminalWasSent() }
    guard !hasFirstEvent, entries.events > 0 else { return false }
    hasFirstEvent = true
    return true
  }

  /// Whether a comment line may be put in now: between events only.
  var mayKeepAlive: Bool {
    // Graceful and shield send whole events, so they are always between two of them; so are all that read a log.
    guard let run else { return true }
    return !reader.isVerbatim || run.isBetweenEvents
  }

  // MARK: - The client's clock

  /// Something was sent to the client, or queued for it.
  ///
  /// - Returns: the bytes that wait for the client.
  @discardableResult
  func wasSent(to client: any ClientStream, at now: MonotonicTime) -> Int {
    clock.sent(at: now)
    let queued = client.queuedBytes
    if queued > 0 { clock.clientBlocked(at: now) }
    return queued
  }

  /// Looks at whether the client takes what is queued for it.
  ///
  /// - Returns: when to look again.
  func look(at client: any ClientStream, _ now: MonotonicTime) -> MonotonicTime {
    guard client.queuedBytes > 0 else {
      sendWatch.caughtUp()
      clock.clientCaughtUp(at: now)
      return now + .seconds(3600)
    }
    clock.clientBlocked(at: now)
    client.look(with: &sendWatch, now)
    if let progressAt = sendWatch.progressAt { clock.clientProgressed(at: progressAt) }
    return now + SendWatch.pause(of: clock.clientStall)
  }

  /// Sends a comment line, so that nobody on the way takes the silence for an end.
  ///
  /// - Returns: when to look at the clock again.
  /// - Parameter out: an empty buffer, which is empty again afterwards.
  func keepAlive(_ client: any ClientStream, through out: inout ByteBuffer, at now: MonotonicTime) -> MonotonicTime {
    run?.completeLine(into: &out)
    EventWriter.keepalive(to: &out)
    client.send(&out)
    wasSent(to: client, at: now)
    return now + EventLoop.tickInterval
  }

  // MARK: - The end of a stream that is not read from a log

  var hasPartialEvent: Bool { run?.hasPartialEvent ?? false }
  var hasTerminal: Bool { marks.contains(.terminal) }

  func outcome(of end: UpstreamEnd) -> Outcome { run?.outcome(of: end) ?? .gatewayError }

  func finish(_ ending: Ending, into out: inout ByteBuffer) -> BodyEnd {
    guard let run else { return ending.framing }
    return reader.finish(ending, run: run, into: &out)
  }
}
