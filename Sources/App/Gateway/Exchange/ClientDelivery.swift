import Bytes
import FlagControl
import Logging
import Loop
package import SSE
package import Streams
package import Time
import Tracing

/// The client's half of an event stream: sends what its mode's reader makes of the events, watches whether the client
/// takes that, keeps it alive, ends it, and enters all this in the books.
///
/// The other half is a `BackendFeed`, or a run's log. Lives on the client's loop.
package final class ClientDelivery {
  package let id: StreamID
  let client: any ClientStream
  private let context: LoopContext
  private let books: StreamBooks
  /// The parser of the one backend whose events go straight to this client; `nil` when a run's log is read.
  private let parser: EventFeed?
  /// What this client got of the log, then.
  private var tally = StreamTally()
  let reader: any Reader
  private var clock: StreamClock
  /// Whether the client takes what is queued for it.
  private var sendWatch = SendWatch()
  var closing = ClosingMachine()
  package let capability: Capability
  /// Whether the guard judges it, and in which arm.
  let standing: CohortStanding
  /// A hash of the client's identity, if it has one.
  let clientKey: Int?
  /// Why the flag gave what it gave.
  let flagReason: FlagReason
  /// The revision of the flag file that decided the mode.
  package let flagVersion: String
  package let openedAt: MonotonicTime
  /// The route's name; empty until it is in the books.
  package internal(set) var route = ""
  /// The request that it answers.
  package internal(set) var record: RequestRecord?
  /// Whose it is, for the census.
  var visitor = CensusVisitor()
  /// Whether comment lines may be sent on it.
  private let keepsAlive: Bool
  private var hasFirstEvent = false
  package private(set) var bodyBytes: UInt64 = 0
  /// What the counters have of it.
  private var counted = (events: UInt64(0), bytes: UInt64(0))
  /// When something else than a comment line was sent last.
  package private(set) var lastSentAt: MonotonicTime
  /// The most bytes that waited for the client at a time.
  private(set) var queuedMax = 0
  /// Since when more waits for the client than may, and how long it did before.
  private var blocked: (since: MonotonicTime?, before: Nanoseconds) = (nil, .zero)
  /// When the log is told how the stream stands; never where there is no such time.
  private var nextProgress: MonotonicTime?

  /// - Parameters:
  ///   - parser: counts the events that this client alone gets; `nil` when a run's log is read.
  ///   - limits: of the client; those of a backend are not looked at.
  init(
    of id: StreamID, to client: any ClientStream, parser: EventFeed?, reader: any Reader, limits: Watchdogs,
    capability: Capability, decision: ModeDecision, flagVersion: String, openedAt: MonotonicTime, keepsAlive: Bool,
    books: StreamBooks, context: LoopContext
  ) {
    self.id = id
    self.client = client
    self.parser = parser
    self.reader = reader
    clock = StreamClock(limits: limits.ofClient, openedAt: openedAt)
    self.capability = capability
    standing = decision.standing
    clientKey = decision.clientKey
    flagReason = decision.reason
    self.flagVersion = flagVersion
    self.openedAt = openedAt
    lastSentAt = openedAt
    self.keepsAlive = keepsAlive
    self.books = books
    self.context = context
    if context.log.progress > .zero { nextProgress = openedAt + context.log.progress }
  }

  package var mode: Mode { reader.mode }

  package var events: UInt64 { parser?.events ?? tally.events }
  var eventBytes: UInt64 { parser?.eventBytes ?? tally.bytes }
  var marks: EventMark { parser?.marks ?? tally.marks }
  var eventsAfterCompletion: UInt64 { parser?.eventsAfterCompletion ?? tally.eventsAfterCompletion }

  /// What it has carried since it was last asked.
  func takeUncounted() -> (events: UInt64, bytes: UInt64) {
    let now = (events: events, bytes: bodyBytes)
    defer { counted = now }
    return (now.events - counted.events, now.bytes - counted.bytes)
  }

  // MARK: - Sending

  /// The head was sent: sends what the reader begins with, and what `more` appends to that.
  func open(_ more: (inout ByteBuffer) -> Void = { _ in }) {
    let scratch = context.loop.scratch
    reader.open(into: &scratch.buffer)
    more(&scratch.buffer)
    clock.sent(at: context.loop.now)
    send(&scratch.buffer)
    client.exchangeNeedsTime()
  }

  /// Sends a piece of the backend's body as it is.
  ///
  /// - Returns: the bytes that wait for the client.
  func send(_ input: InputBuffer, _ range: Range<Int>) -> Int {
    bodyBytes += UInt64(range.count)
    client.send(input, range)
    return wasSent()
  }

  /// Sends what is in `out`, and empties it.
  ///
  /// - Returns: the bytes that wait for the client; 0 when there was nothing to send.
  @discardableResult
  func send(_ out: inout ByteBuffer) -> Int {
    guard !out.isEmpty else { return 0 }
    bodyBytes += UInt64(out.count)
    client.send(&out)
    return wasSent()
  }

  /// Sends what a log lends.
  func send(_ bytes: Span<UInt8>) {
    bodyBytes += UInt64(bytes.count)
    client.send(bytes)
    _ = wasSent()
  }

  private func wasSent() -> Int {
    let now = context.loop.now
    lastSentAt = now
    clock.sent(at: now)
    let queued = client.queuedBytes
    if queued > 0 {
      clock.clientBlocked(at: now)
      queuedMax = max(queuedMax, queued)
    }
    return queued
  }

  /// The stream's first event is here.
  func firstEventCame() { books.firstEventCame(self) }

  /// The dialect's terminal was sent, unless the reader holds it back: what the client was not sent it can't have taken
  /// for the end.
  func terminalCame() {
    if mode != .shield { closing.terminalWasSent() }
  }

  /// Takes note of entries of the run's log on their way to the client.
  ///
  /// - Returns: whether the first event is among them.
  func delivered(_ entries: StreamTally) -> Bool {
    tally.add(entries)
    if entries.hasTerminal { terminalCame() }
    guard !hasFirstEvent, entries.events > 0 else { return false }
    hasFirstEvent = true
    return true
  }

  // MARK: - Back-pressure

  /// More waits for the client than may: it is waited for until no more than `lowWater` bytes are left.
  func block(until lowWater: Int) {
    client.setLowWaterMark(lowWater)
    if blocked.since == nil { blocked.since = context.loop.now }
    record?.spans?.streamPaused()
    clock.clientBlocked(at: context.loop.now)
    client.exchangeNeedsTime()
  }

  /// The client's queue is down to its low-water mark.
  func drained() { clock.clientCaughtUp(at: context.loop.now) }

  /// It is not waited for any more.
  func unblock() {
    client.setLowWaterMark(0)
    blocked = (nil, timeBlocked(until: context.loop.now))
    record?.spans?.streamResumed()
  }

  /// How long more has waited for the client than may.
  func timeBlocked(until now: MonotonicTime) -> Nanoseconds {
    blocked.before + (blocked.since.map { now - $0 } ?? .zero)
  }

  // MARK: - The client's clock

  /// Looks at the client's clock.
  ///
  /// - Parameter mayKeepAlive: whether a comment line may be put in now: between events only.
  func verdict(at now: MonotonicTime, mayKeepAlive: Bool = true) -> StreamClock.Verdict {
    var due = noteProgress(at: now) ?? now + .seconds(3600)
    if let spans = record?.spans, let next = spans.streamPassed(now, self) { due = min(due, next) }
    if client.queuedBytes == 0 {
      sendWatch.caughtUp()
      clock.clientCaughtUp(at: now)
    } else {
      clock.clientBlocked(at: now)
      client.measureProgress(with: &sendWatch, now)
      if let progressAt = sendWatch.progressAt { clock.clientProgressed(at: progressAt) }
      due = min(due, now + SendWatch.pause(of: clock.clientStall))
    }
    let verdict = clock.verdict(at: now, keepsAlive: keepsAlive && mayKeepAlive)
    guard case .quiet(let until) = verdict else { return verdict }
    // Inside an event it is soon looked at again.
    if keepsAlive, !mayKeepAlive { due = min(due, now + .seconds(1)) }
    return .quiet(until: min(until, due))
  }

  /// - Returns: when the log is told the next time.
  private func noteProgress(at now: MonotonicTime) -> MonotonicTime? {
    guard let next = nextProgress else { return nil }
    guard now >= next else { return next }
    books.progressed(self)
    nextProgress = context.log.progress > .zero ? now + context.log.progress : nil
    return nextProgress
  }

  /// Sends a comment line, so that nobody on the way takes the silence for an end.
  ///
  /// - Parameter completeLine: ends the line of which the client has the beginning.
  /// - Returns: when to look at the clock again.
  func keepAlive(at now: MonotonicTime, completeLine: (inout ByteBuffer) -> Void) -> MonotonicTime {
    books.keptAlive()
    record?.spans?.streamKeptAlive(after: lastSentAt)
    let scratch = context.loop.scratch
    completeLine(&scratch.buffer)
    EventWriter.keepalive(to: &scratch.buffer)
    client.send(&scratch.buffer)
    let sentAt = lastSentAt
    _ = wasSent()
    lastSentAt = sentAt
    return now + EventLoop.tickInterval
  }

  // MARK: - Ends

  /// How streams that were promised `stream_end` are to end now.
  var recall: Recall { books.recall }

  /// Sends the last bytes of the body, which are in `rest`, and its end.
  func end(_ bodyEnd: BodyEnd, _ rest: inout ByteBuffer, _ outcome: Outcome, reason: String) {
    bodyBytes += UInt64(rest.count)
    client.end(bodyEnd, &rest, closing: (closing, closeLabel(outcome, bodyEnd)))
    books.closed(self, outcome: outcome, reason: reason)
  }

  /// What its close is counted under. The guard leaves closes out that the gateway or an operator brought about.
  private func closeLabel(_ outcome: Outcome, _ end: BodyEnd) -> CloseLabel {
    CloseLabel(mode: mode, cohort: outcome.isCensored || end == .cut ? nil : standing.cohort)
  }

  /// The client's connection is gone.
  func clientGone() { books.clientLeft(self, isStopping: context.isStopping) }

  /// What its backend sent after the client had left was read, for the shadow alone.
  ///
  /// - Parameter eventsBefore: events behind the completion event that came before.
  func tailEnded(eventsBefore: UInt64) { books.tailEnded(self, eventsBefore: eventsBefore) }

  /// The client takes nothing any more: breaks its connection.
  func breakOff() {
    books.clientStalled(self)
    client.abandon()
  }
}
