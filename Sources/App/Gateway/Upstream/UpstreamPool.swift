import Bytes
package import Configuration
import HTTP
import Logging
import Loop
import SSE
import Sockets
package import Streams
import Telemetry
package import Time
import Upstreams

/// The connections of one loop to one backend that wait for their next request. The one used last is taken first, so
/// that the others can grow old and be closed.
package final class UpstreamPool: DeadlineMember, UpstreamHome, ConnectionKeeper {
  private let context: LoopContext
  private let room: UpstreamRoom
  package let settings: UpstreamSettings
  private let rules: ForwardingRules
  private let streamingRules: ForwardingRules
  package private(set) var health: UpstreamHealth
  /// Whether the configuration says nothing else of `X-Request-Id`.
  private let tellsID: Bool
  /// The same of `X-Stream-Id`.
  private let tellsStream: Bool
  /// The same of `traceparent`.
  private let tellsTrace: Bool
  /// What the log says of it.
  private var lastToldState = UpstreamHealth.State.Label.available
  private var statistics: UpstreamStatistics
  /// The last attempt or check that went wrong.
  package private(set) var lastFault: LastFault?
  /// When it was last told that the backend's state has changed.
  package private(set) var changedAt: WallTime?
  private var checker: UpstreamChecker?
  private var idle: [UpstreamConnection] = []
  private var deadline: DeadlineHandle?
  /// The configuration has it no more: who began with it may still ask it, and leaves nothing behind.
  private var isRetired = false

  init(_ settings: UpstreamSettings, room: UpstreamRoom, context: LoopContext) {
    self.settings = settings
    self.room = room
    self.context = context
    health = UpstreamHealth(policy: settings.health)
    statistics = UpstreamStatistics(
      upstream: settings.name, metrics: context.metrics.upstreams, shard: context.shard)
    func tells(_ field: KnownField) -> Bool {
      !settings.overrides.contains(field) && !settings.removedHeaders.contains { $0.known == field }
    }
    tellsID = tells(.xRequestID)
    tellsStream = tells(.xStreamID)
    tellsTrace = tells(.traceparent)
    rules = Self.rules(settings, asksForIdentity: false)
    streamingRules = Self.rules(settings, asksForIdentity: true)
  }

  /// Begins to keep connections, and the active checks, if any are wanted.
  func start() {
    room.add(self)
    guard let policy = settings.health.check else { return }
    checker = UpstreamChecker(
      policy, of: settings, on: context.loop, connect: { [unowned self] in open($0) },
      completion: { [unowned self] in wasChecked(isWell: $0) })
  }

  private static func rules(_ settings: UpstreamSettings, asksForIdentity: Bool) -> ForwardingRules {
    var overrides = settings.overrides
    let removed = KnownFieldSet(settings.removedHeaders.compactMap(\.known))
    // The gateway's own take the place of the client's.
    let replaced = removed.union([.xRequestID, .xStreamID])
    // What the operator says of it goes first.
    if asksForIdentity, !removed.contains(.acceptEncoding), !overrides.contains(.acceptEncoding) {
      overrides.set(.acceptEncoding, FieldValue(literal: "identity"))
    }
    return ForwardingRules(
      upstreamAuthority: settings.url.authorityValue, host: settings.preservesHost ? .preserve : .upstream,
      basePath: settings.url.basePath, strippedParameters: ["stream_end"],
      dropped: replaced,
      droppedNames: settings.removedHeaders.filter { $0.known == nil }, dropsTwins: settings.dropsTwins,
      overrides: overrides, via: ViaName.own)
  }

  /// Appends the head of the request as it is written for this backend.
  ///
  /// A response that may be an event stream is asked for uncompressed: events can't be told apart otherwise. Plain
  /// downloads keep their compression. An id that this gateway made is its own business; the backend sees its own.
  func writeHead(for search: UpstreamSearch, into out: inout ByteBuffer) {
    let (request, client, record) = (search.request, search.forwarded, search.record)
    let trace = tellsTrace ? record.traceForBackend : nil
    let mayStream = !request.method.isSafe || search.acceptsStream
    let (hasOwnID, hasOtherTrace) = (Self.hasOwnID(request), trace != nil && request.fields.contains(.traceparent))
    if hasOwnID || hasOtherTrace {
      var chosen = mayStream ? streamingRules : rules
      if hasOwnID {
        chosen.dropped.insert(.lastEventID)
        chosen.strippedParameters.append("last_event_id")
      }
      if hasOtherTrace { chosen.dropped.insert(.traceparent) }
      Forwarding.writeRequest(request, from: client, as: chosen, into: &out)
    } else if mayStream {
      // Not chosen into a variable, for that would be a copy of all rules for each request.
      Forwarding.writeRequest(request, from: client, as: streamingRules, into: &out)
    } else {
      Forwarding.writeRequest(request, from: client, as: rules, into: &out)
    }
    if let trace { record.addTrace(trace, to: &out) }
    // Whatever is asked for may be answered with an event stream.
    if tellsID || tellsStream { record.addIDs(ofRequest: tellsID, stream: tellsStream ? search.stream : nil, to: &out) }
  }

  /// Whether the client goes on from an id that this gateway made; the header counts before the query.
  private static func hasOwnID(_ request: borrowing RequestHead) -> Bool {
    let fields = request.fields
    if let index = fields.firstIndex(of: .lastEventID) {
      return EventID(parsing: fields.value(at: index)) != nil
    }
    guard let query = request.query, let value = QueryString.value(of: "last_event_id", in: query) else { return false }
    return EventID(parsing: value.span) != nil
  }

  package var idleCount: Int { idle.count }

  // MARK: - Books

  /// Attempts under way.
  package var busy: Int { statistics.busy }

  package var statuses: StatusCounts { statistics.statuses }

  private func noteFault(_ word: String, _ detail: String? = nil) {
    lastFault = LastFault(at: context.loop.wallTime(), word: word, detail: detail)
  }

  func attemptBegan() { statistics.began() }

  /// The head of an answer came, good or not.
  func headCame(_ status: Int) { statistics.answered(status) }

  /// An attempt gave no good response.
  ///
  /// - Parameter phase: how far it had come.
  func attemptFailed(
    _ fault: AttemptFault, in phase: AttemptPhase, of request: borrowing RequestHead, timeline: AttemptTimeline,
    at now: MonotonicTime
  ) {
    statistics.ended(timeline, result: .failed(fault.kind), in: phase)
    noteFault(fault.reason, fault.status.map { "\($0)" } ?? fault.detail)
    let isClients = fault.status != nil && rules.passesCredentials(of: request)
    noteChange(at: now) { $0.attemptFailed(fault, hasClientCredentials: isClients, at: now) }
  }

  /// A response goes to the client that is no event stream.
  ///
  /// - Parameter isJudged: whether its status may speak against the backend; on a route that has no other it need not.
  func answered(_ answer: Answer, to request: borrowing RequestHead, isJudged: Bool, at now: MonotonicTime) {
    guard isJudged, answer.status >= 400 else { return attemptSucceeded(at: now) }
    noteFault(AttemptFault.Kind.status.rawValue, "\(answer.status)")
    let isClients = rules.passesCredentials(of: request)
    noteChange(at: now) {
      $0.answered(answer.status, retryAfter: answer.retryAfter, hasClientCredentials: isClients, at: now)
    }
  }

  /// A response was good enough for a client.
  func attemptSucceeded(at now: MonotonicTime) {
    if isUntroubled { return health.succeeded(at: now) }
    noteChange(at: now) { $0.succeeded(at: now) }
  }

  /// A good response is over.
  func attemptEnded(_ result: AttemptResult, timeline: AttemptTimeline, at now: MonotonicTime) {
    statistics.ended(timeline, result: result, in: .streaming)
    switch result {
    case .ended(.completed), .ended(.incomplete), .ended(.upstreamError), .relayed:
      if isUntroubled { return health.completed(at: now) }
      noteChange(at: now) { $0.completed(at: now) }
    case .ended(.upstreamTruncated), .ended(.firstTokenTimeout), .ended(.idleTimeout), .failed(.cut),
      .failed(.timedOut):
      noteFault(result.word)
      noteChange(at: now) { $0.truncated(at: now) }
    case .ended, .failed: break
    }
  }

  /// An active check is over.
  func wasChecked(isWell: Bool) {
    let now = context.loop.now
    statistics.checked(isWell ? .passed : .failed)
    if !isWell { noteFault("check_failed") }
    noteChange(at: now) { isWell ? $0.checkPassed(at: now) : $0.checkFailed(at: now) }
  }

  /// Brings the gauges up to date, just before they are read.
  func showState() { statistics.show(health.state(at: context.loop.now)) }

  /// The configuration has no such backend any more.
  func retire() {
    isRetired = true
    room.remove(self)
    closeAll()
    checker?.cancel()
    checker = nil
    statistics.retire()
  }

  /// Whether a good response changes no state, so that nothing has to be compared or told. It is so nearly always.
  private var isUntroubled: Bool { lastToldState == .available && health.isUntroubled }

  /// Changes the health and tells when that put the backend out or brought it back. That an ejection's time is over
  /// nobody notices by itself: it is told when the next response shows how things are.
  private func noteChange(at now: MonotonicTime, _ change: (inout UpstreamHealth) -> Void) {
    let ejections = health.counts.ejections
    let (before, after) = health.changeLabel(at: now, by: change)
    statistics.ejected(health.counts.ejections - ejections)
    guard after != before || after != lastToldState else { return }
    let level: LogLevel = after == .available ? .info : .warning
    context.log.write(level, .upstreamState, at: context.loop.wallTime()) { line in
      line.field("upstream", settings.name)
      line.field("from", (after == before ? lastToldState : before).rawValue)
      line.field("to", after.rawValue)
    }
    lastToldState = after
    changedAt = context.loop.wallTime()
  }

  /// A connection that is ready for a request, if one is kept.
  func take() -> UpstreamConnection? {
    guard let connection = idle.popLast() else { return nil }
    context.shard.increment(context.metrics.upstreamReuses)
    return connection
  }

  func keep(_ connection: UpstreamConnection) {
    guard idle.count < settings.idleConnections, !isRetired, !context.isStopping else { return connection.close() }
    idle.append(connection)
    if deadline == nil {
      deadline = context.loop.deadlines.add(self, at: context.loop.now + settings.idleTimeout)
    }
  }

  func forget(_ connection: UpstreamConnection) {
    idle.removeAll { $0 === connection }
  }

  func counted(_ use: ConnectionUse, by change: Int) { statistics.connections(use, by: change) }

  /// Makes a new connection for requests.
  func connect(
    _ completion: @escaping (Result<UpstreamConnection, UpstreamConnectError>) -> Void
  ) -> UpstreamDial {
    context.shard.increment(context.metrics.upstreamConnects)
    return open { [self] result in completion(result.map { UpstreamConnection(connection: $0, room: room, home: self) })
    }
  }

  /// Makes a new connection.
  func open(_ completion: @escaping (Result<any Connection, UpstreamConnectError>) -> Void) -> UpstreamDial {
    room.makeRoom()
    return UpstreamDial(settings, dialer: context.backends, room: room, completion: completion)
  }

  /// Closes the connection that has been kept longest.
  func closeOldest() { idle.first?.close() }

  func closeAll() {
    for connection in idle { connection.close() }
    idle.removeAll()
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    // The oldest stand first, for the newest are taken from and put back at the end.
    let fresh = idle.firstIndex { now < $0.idleSince + settings.idleTimeout } ?? idle.count
    let old = idle[..<fresh]
    idle.removeFirst(fresh)
    for connection in old { connection.close() }
    guard let next = idle.first else {
      deadline = nil
      return nil
    }
    return next.idleSince + settings.idleTimeout
  }
}

extension UpstreamHealth {
  /// The state's label before and after `change`.
  fileprivate mutating func changeLabel(
    at now: MonotonicTime, by change: (inout UpstreamHealth) -> Void
  ) -> (before: State.Label, after: State.Label) {
    let before = state(at: now).label
    change(&self)
    return (before, state(at: now).label)
  }
}

/// Something that went wrong with a backend.
package struct LastFault: Sendable {
  package let at: WallTime
  /// As log lines and metrics have it: `connect_failed`.
  package let word: String
  /// The status, or what is known beyond the word.
  package let detail: String?
}
