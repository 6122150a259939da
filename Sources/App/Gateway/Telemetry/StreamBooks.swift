import FlagControl
import Flags
import HTTP
import Logging
import Loop
import SSE
import Streams
import Telemetry
import Time
import Tracing

/// What is counted and logged of one loop's event streams, for operators and for the guard.
package final class StreamBooks {
  private let loop: EventLoop
  private let metrics: GatewayMetrics
  private let shard: MetricShard
  private let log: WorkerLog
  private let routes: RouteBooks
  private(set) var openStreams = 0
  /// Whether the new closing is taken back now, and how.
  var recall = Recall.none
  /// Then what ends says nothing of it, and is not judged.
  private var isRecalled: Bool { recall != .none }
  private var cohorts: CohortCounts
  private var sightings: [Sighting] = []
  package let census: StreamCensus
  /// For the dashboard.
  package let badEnds: BadEnds
  /// Sightings kept between two questions of the guard.
  private static let sightingLimit = 16_384

  /// - Parameters:
  ///   - flags: what is in force.
  ///   - identitySeed: of the hashes of clients' identities; the same on all loops.
  init(_ context: LoopContext, flags: FlagSnapshot, identitySeed: UInt64) {
    cohorts = CohortCounts(file: flags.flagSet.hash)
    census = StreamCensus(seed: identitySeed)
    badEnds = BadEnds(worker: context.index)
    loop = context.loop
    metrics = context.metrics
    shard = context.shard
    log = context.log
    routes = context.routes
  }

  /// Another flag file is in force, maybe.
  func adopt(_ flags: FlagSnapshot) {
    if flags.flagSet.hash != cohorts.file { cohorts = CohortCounts(file: flags.flagSet.hash) }
  }

  func opened(_ stream: ClientDelivery, route: String, request: borrowing RequestHead, _ settings: Settings) {
    openStreams += 1
    stream.route = route
    stream.record?.spans?.streamBegan(stream.id, linkedTo: stream.record?.runTrace)
    stream.visitor = census.visitor(of: request, settings)
    shard.increment(metrics.identityStreams[stream.visitor.identity == nil ? .absent : .present])
    if stream.standing.cohort != nil { see(stream, left: nil) }
    shard.increment(metrics.streams[stream.mode, stream.capability.source])
    log.write(.info, .streamOpened, at: loop.wallTime()) { line in
      line.field("streamId") { stream.id.write(to: &$0) }
      line.field("route", route)
      line.field("method", word: request.method.name)
      if let path = stream.record?.target { line.field("path", path.span) }
      line.field("mode", word: stream.mode.rawValue)
      line.field("capability", word: stream.capability.source.rawValue)
      line.field("flags", stream.flagVersion)
      line.field("flagReason", word: stream.flagReason.rawValue)
      if let hash = stream.clientKey { line.field("clientHash", hash) }
      if let trace = stream.record?.trace { line.field("traceId") { trace.write(to: &$0) } }
    }
  }

  func firstEventCame(_ stream: ClientDelivery) {
    let now = loop.readClock()
    let milliseconds = (now - stream.openedAt).milliseconds
    stream.record?.firstEventCame(at: now)
    shard.observe(metrics.ttfb, milliseconds)
    shard.observe(routes[stream.route].firstEvent, milliseconds / 1000)
    guard let cohort = stream.standing.cohort else { return }
    cohorts.observe(.timeToFirstToken, Logarithm.of(max(1, milliseconds)), of: cohort)
  }

  /// Brings the counters up to date with what the stream has carried. Done when they are read and at the stream's end,
  /// so that no event costs anything.
  func count(_ stream: ClientDelivery) {
    let news = stream.takeUncounted()
    shard.increment(metrics.bytesSent, by: Int(news.bytes))
    shard.increment(metrics.events[stream.mode], by: Int(news.events))
  }

  /// The stream has been open for another `log.progress`.
  func progressed(_ stream: ClientDelivery) { stream.record?.writeProgress(of: stream, to: log, loop) }

  func keptAlive() { shard.increment(metrics.keepalives) }

  /// - Parameter leftAtCompletion: the client closed at the completion event, before the end.
  func closed(_ stream: ClientDelivery, outcome: Outcome, reason: String, leftAtCompletion: Bool = false) {
    openStreams -= 1
    census.closed(
      stream, isCompleted: outcome == .completed, leftAtCompletion: leftAtCompletion, loop: loop)
    let elapsed = (loop.readClock() - stream.openedAt).milliseconds
    shard.increment(metrics.outcomes[stream.mode, outcome])
    badEnds.closed(stream, outcome: outcome, reason: reason, after: elapsed, at: loop.wallTime())
    shard.observe(metrics.duration, elapsed)
    let route = routes[stream.route]
    shard.increment(route.outcomes[outcome])
    shard.observe(route.duration, elapsed / 1000)
    count(stream)
    if stream.mode == .legacy { countShadow(stream, outcome) }
    let isCensored = isRecalled || outcome.isCensored
    cohorts.closed(stream.standing, outcome, isCensored: isRecalled)
    if let cohort = stream.standing.cohort, outcome != .completed, !isCensored { see(stream, left: cohort) }
    stream.record?.write(stream, outcome, reason: reason, to: log, loop)
  }

  /// The client's connection is gone, and its stream was not over.
  ///
  /// - Parameter isStopping: the gateway broke the connection itself; the client did nothing.
  func clientLeft(_ stream: ClientDelivery, isStopping: Bool) {
    if isStopping { return closed(stream, outcome: .draining, reason: EndReason.stopped.text) }
    note(stream.closing.peerReset(), CloseLabel(mode: stream.mode, cohort: nil))
    // Shield holds it back: its clients can't have left at it.
    let isAtCompletion = stream.mode != .shield && stream.marks.contains(.completion)
    if stream.mode == .legacy, isAtCompletion { shard.increment(metrics.shadowLeftEarly) }
    let outcome: Outcome = stream.closing.hasSentTerminal ? .completed : .clientGone
    closed(
      stream, outcome: outcome, reason: EndReason.clientClosed.text, leftAtCompletion: isAtCompletion)
  }

  /// The client takes nothing any more; its connection is about to be broken.
  func clientStalled(_ stream: ClientDelivery) {
    routes.passed(.clientStall, on: stream.route)
    closed(
      stream, outcome: .clientStalled, reason: EndReason.clientStalled.text)
    note(stream.closing.aborted(), CloseLabel(mode: stream.mode, cohort: nil))
  }

  /// How a close went, once that is known. Closes without a label are not of event streams, and not counted.
  func note(_ result: ClosingMachine.Result?, _ label: CloseLabel?) {
    guard let result, let label else { return }
    shard.increment(metrics.closes[label.mode, result])
    guard let cohort = label.cohort, !isRecalled else { return }
    cohorts.observe(.unconfirmedCloses, result == .lingerTimeout || result == .reset ? 1 : 0, of: cohort)
  }

  /// What was counted for the guard, and who came and went since it last asked.
  func answerGuard() -> GuardKeeper.Answer {
    defer { sightings.removeAll() }
    return GuardKeeper.Answer(counts: cohorts, sightings: sightings)
  }

  private func see(_ stream: ClientDelivery, left: Cohort?) {
    guard let key = stream.clientKey, sightings.count < Self.sightingLimit else { return }
    var hasher = Hasher()
    hasher.combine(key)
    hasher.combine(stream.route)
    sightings.append(Sighting(key: hasher.finalize(), at: loop.readClock(), left: left))
  }

  /// A legacy stream was read on after its client had left.
  ///
  /// - Parameter eventsBefore: events behind the completion event that came before.
  func tailEnded(_ stream: ClientDelivery, eventsBefore: UInt64) {
    let events = Int(clamping: stream.eventsAfterCompletion - min(eventsBefore, stream.eventsAfterCompletion))
    shard.increment(metrics.shadowTails)
    shard.increment(metrics.shadowTrailingEvents, by: events)
    if eventsBefore == 0, events > 0 { shard.increment(metrics.shadowTrailingStreams) }
    census.tailEnded(stream, events: events, loop: loop)
  }

  private func countShadow(_ stream: ClientDelivery, _ outcome: Outcome) {
    shard.increment(metrics.shadowStreams)
    let trailing = stream.eventsAfterCompletion
    if trailing > 0 {
      shard.increment(metrics.shadowTrailingStreams)
      shard.increment(metrics.shadowTrailingEvents, by: Int(trailing))
    }
    if outcome == .upstreamTruncated { shard.increment(metrics.shadowTruncations) }
  }
}
