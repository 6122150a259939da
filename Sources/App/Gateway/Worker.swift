import Bytes
import Flags
import HTTP
import Loop
import Processes
import SSE
import Sockets
import Streams
import Telemetry
import Time

/// Everything that lives on one event loop: its listener, its clients, its connections to backends, its counters.
///
/// Confined to its loop's thread. Others reach it by posting to the loop's mailbox.
final class Worker {
  let index: Int
  let loop: EventLoop
  let dialer: Dialer
  let metrics: GatewayMetrics
  let shard: MetricShard
  let log: WorkerLog
  let books: StreamBooks
  let tails = ShadowTails()

  let hub: RunHub
  /// The runs whose readers are on this loop.
  private(set) lazy var runs = RunRoster(worker: self, hub: hub)
  /// What requests begin with now.
  private(set) var inForce: LoopSettings
  private(set) var flags: FlagSnapshot
  let plainRules = ResponseRules()
  let streamRules = StreamRules()

  private var listener: Listener?
  private(set) var clients: [ClientConnection] = []
  let room: ConnectionRoom
  private(set) lazy var turns = FairTurns(loop: loop)
  private(set) var isDraining = false
  private(set) var isStopping = false

  // Shared by all connections of the loop; each is empty again when its writer returns.
  var clientHead = ByteBuffer()
  var upstreamHead = ByteBuffer()

  private var randomPool: [UInt64] = []

  init(
    index: Int, loop: EventLoop, settings: Settings, flags: FlagSnapshot, metrics: GatewayMetrics, log: WorkerLog,
    hub: RunHub, room: ConnectionRoom
  ) {
    self.index = index
    self.hub = hub
    self.loop = loop
    inForce = LoopSettings(withoutPools: settings)
    self.flags = flags
    self.metrics = metrics
    self.log = log
    self.room = room
    dialer = Dialer(loop: loop)
    shard = MetricShard(metrics.registry)
    books = StreamBooks(loop: loop, metrics: metrics, shard: shard, log: log, identitySeed: hub.identitySeed)
    adopt(settings)
    hub.join(self)
  }

  // MARK: - Settings and flags

  /// Takes a new configuration. What is running keeps what it started with.
  func adopt(_ settings: Settings) {
    let old = pools
    inForce = LoopSettings(settings, keeping: old) { UpstreamPool($0, worker: self) }
    for pool in old where !pools.contains(where: { $0 === pool }) { pool.retire() }
    for pool in pools where !old.contains(where: { $0 === pool }) { pool.start() }
    log.level = settings.configuration.logLevel
    runs.settingsChanged()
  }

  func adopt(_ flags: FlagSnapshot) {
    self.flags = flags
    books.isRecalled = recall != .none
  }

  var settings: Settings { inForce.shared }
  var pools: [UpstreamPool] { inForce.pools }
  var lingerTime: Nanoseconds { settings.linger }
  var flagVersion: String { flags.version }
  /// What taking the new closing back means for the streams that are open: the file's word, or what holds beside it.
  var recall: Recall { max(flags.recall, override.recall) }
  /// What holds whatever the file says.
  private(set) var override = ClosingOverride()

  func adopt(_ override: ClosingOverride) {
    self.override = override
    books.isRecalled = recall != .none
  }

  /// The variant that the flag gives a client.
  func decide(
    for request: borrowing RequestHead, capability: Capability, route: Route, identity: IdentitySettings
  ) -> ModeDecision {
    if let fixed = flags.fixed {
      return ModeDecision(variant: count(fixed), clientKey: nil)
    }
    let context = ClientIdentity.context(
      of: request, capability: capability, route: route, settings: identity,
      seconds: loop.wallTime().milliseconds / 1000)
    if context.targetingKey == nil { shard.increment(metrics.evaluationsWithoutKey) }
    let decision = flags.decide(in: context)
    let client = flags.clientHash(of: context)
    // What was taken back is no longer what the fraction gave.
    let standing: CohortStanding =
      override.isLegacy
      ? .noFraction
      : flags.standing(of: decision, isCapable: capability.understandsStreamEnd, client: client)
    return ModeDecision(variant: count(decision), clientKey: client, standing: standing)
  }

  /// Counts what the flag gave, and says what holds: operators and the guard have the last word.
  private func count(_ decision: FlagDecision) -> Mode {
    let variant = override.isLegacy ? .legacy : decision.variant
    let reason = override.kill != .none ? .killed : override.isRolledBack ? .guarded : decision.reason
    shard.increment(metrics.evaluations[variant, reason])
    return variant
  }

  /// The route's candidates in the order in which they are tried now.
  ///
  /// - Parameter pools: theirs.
  func order(of route: Route, _ pools: [UpstreamPool]) -> [Int] {
    guard pools.count > 1 else { return route.fileOrder }
    let candidates = zip(route.candidates, pools).enumerated().map { index, member in
      let (candidate, pool) = member
      return UpstreamOrder.Candidate(
        upstream: index, tier: candidate.tier, weight: candidate.weight, busy: pool.busy,
        health: pool.health.state(at: loop.now))
    }
    return UpstreamOrder.choose(candidates, random: UInt64.random(in: .min ... .max))
  }

  // MARK: - Clients

  func listen(at address: SocketAddress) throws(SocketError) {
    var options = SocketOptions()
    options.unsentLimit = Self.unsentLimit
    let listener = try Listener(loop: loop, address: address, options: options) { [unowned self] connection in
      accepted(connection)
    }
    self.listener = listener
    runs.connect()
  }

  /// Bytes of one client's answers that the kernel takes before it has sent them.
  private static let unsentLimit = 128 << 10

  var localAddress: SocketAddress? { listener?.localAddress }

  private func accepted(_ connection: TCPConnection) {
    shard.increment(metrics.connections)
    if !room.admitsClient(beside: clients.count) {
      shard.increment(metrics.refusals[.overload])
      return refuseQuickly(connection)
    }
    let client = ClientConnection(connection: connection, worker: self)
    client.rosterIndex = clients.count
    clients.append(client)
    client.start()
    // The request is here by now in most cases; to be told so would take another turn.
    connection.readNow()
  }

  /// What backends are told of a client at `peer`. Many connections in a row come from the same address, a load
  /// balancer's for instance.
  func forwardedClient(for peer: SocketAddress) -> ForwardedClient {
    var host = peer
    host.port = 0
    if let lastForwarded, host == lastForwardedHost, lastForwardedSettings === settings { return lastForwarded }
    let isTrusted = settings.configuration.trustedProxies.contains { $0.contains(peer) }
    let client = ForwardedClient(address: peer.host, isSecure: false, isTrusted: isTrusted)
    (lastForwarded, lastForwardedHost, lastForwardedSettings) = (client, host, settings)
    return client
  }

  private var lastForwarded: ForwardedClient?
  private var lastForwardedHost: SocketAddress?
  private var lastForwardedSettings: Settings?

  private func refuseQuickly(_ connection: TCPConnection) {
    var answer = ByteBuffer()
    var fields = Fields()
    fields.append(.retryAfter, decimal: 1)
    StandardResponses.write(
      status: 503, code: "overload", message: "too many connections", fields: fields, into: &answer)
    connection.write(answer.span)
    connection.close()
  }

  func clientLeft(_ client: ClientConnection) {
    let index = client.rosterIndex
    guard index >= 0, index < clients.count, clients[index] === client else { return }
    clients.swapAt(index, clients.count - 1)
    clients[index].rosterIndex = index
    clients.removeLast()
    client.rosterIndex = -1
    if isDraining { settleDrain() }
  }

  /// 128 unguessable bits. Drawn in batches: asking the kernel is a system call.
  func nextStreamID() -> StreamID {
    if randomPool.count < 2 { randomPool = Host.randomWords(128) }
    return StreamID(random: (randomPool.removeLast(), randomPool.removeLast()))
  }

  // MARK: - Telemetry

  /// Hands the log lines of this loop over, again and again.
  func flushLogRegularly() {
    _ = loop.deadlines.add(LogFlush(worker: self), at: loop.now)
  }

  /// The counters of this loop with the gauges of this moment.
  func snapshot() -> MetricSnapshot {
    shard.set(metrics.streamsActive, to: Double(books.openStreams))
    shard.set(metrics.clients, to: Double(clients.count))
    shard.set(metrics.runsActive, to: Double(runs.running))
    runs.countStore()
    showBounds()
    for pool in pools { pool.showState() }
    return shard.snapshot()
  }

  private func showBounds() {
    show(.clientConnections, used: clients.count + room.lingeringCount, limit: room.clientLimit)
    show(.upstreamConnections, used: room.upstreams, limit: room.upstreamLimit)
    // One loop tells what is shared.
    guard index == 0 else { return }
    shard.set(metrics.runBytes, to: Double(hub.budget.used))
    show(.runMemory, used: hub.budget.used, limit: hub.budget.limit)
    show(.principalMemory, used: hub.memories.largest, limit: hub.memories.rule.share)
    let stored = hub.stored.use(at: loop.now)
    show(.storedRuns, used: stored.count, limit: stored.limit)
    show(.principalStoredRuns, used: stored.largest, limit: stored.share)
    show(.unreadRuns, used: hub.unread.count, limit: hub.unread.limit)
    show(.requestBodies, used: hub.bodies.used, limit: hub.bodies.limit)
  }

  private func show(_ bound: Bound, used: Int, limit: Int) {
    shard.set(metrics.boundUse[bound], to: Double(used))
    shard.set(metrics.boundLimits[bound], to: Double(limit))
  }

  /// Whether another connection to a backend may be needed now; see `ConnectionRoom`.
  var admitsUpstreamRequest: Bool {
    if room.admitsRequest(keeping: keptUpstreams) { return true }
    // What is read for the shadow alone has to make room.
    guard !tails.isEmpty else { return false }
    tails.end()
    return room.admitsRequest(keeping: keptUpstreams)
  }
  private var keptUpstreams: Int { pools.reduce(0) { $0 + $1.idleCount } }

  /// Closes a connection that is kept for a backend's next request, so that one to another backend can be made.
  func makeRoomForUpstream() {
    guard room.upstreams >= room.upstreamLimit else { return }
    pools.max { $0.idleCount < $1.idleCount }?.closeOldest()
  }

  // MARK: - Drain

  private var drained: (() -> Void)?

  /// Takes no more connections and no more streams; calls `completion` when the last client has left.
  func drain(_ completion: @escaping () -> Void) {
    guard !isDraining else { return }
    isDraining = true
    tails.end()
    drained = completion
    // Who is in the kernel's queue already was promised an answer: the last of them are accepted, then served.
    listener?.closeAfterBacklog()
    listener = nil
    for client in clients where client.isIdle && client.wasServed { client.close() }
    settleDrain()
  }

  /// A connection was closed with care.
  func lingerEnded() {
    if isDraining { settleDrain() }
  }

  /// A run is over, or gone.
  func runLeft() {
    if isDraining { settleDrain() }
  }

  private func settleDrain() {
    // Runs that nobody reads now were promised to go on.
    // A connection that lingers has its last bytes, or the reset that shows a cut, still to come.
    guard clients.isEmpty, room.lingeringCount == 0, runs.running == 0, let completion = drained.take() else { return }
    completion()
  }

  /// The drain time is over: open streams end with `draining`, spread over `jitter` so that clients don't all come
  /// back at once.
  func endStreams(jitter: Nanoseconds) {
    for client in clients {
      guard let exchange = client.activeExchange, exchange.stream != nil else { continue }
      let delay = Nanoseconds(Int64.random(in: 0...max(1, jitter.value)))
      let timer = Timer(loop: loop) { [weak exchange] in
        exchange?.finishStream(.draining, reason: "the gateway is shutting down")
      }
      timer.schedule(after: delay)
      drainTimers.append(timer)
    }
  }

  /// Ends the runs that nobody reads too.
  func endRuns() { runs.endAll(.draining, reason: "the gateway is shutting down") }

  private var drainTimers: [Timer] = []

  /// Ends everything at once, stuck sockets included.
  func stop() {
    isStopping = true
    tails.end()
    hub.leave(self)
    listener?.close()
    for client in clients { client.abandon() }
    room.endLingering()
    for pool in pools { pool.retire() }
    runs.close()
    log.flush()
    loop.stop()
  }
}

/// Hands over a worker's log lines at every tick that has some.
private final class LogFlush: DeadlineMember {
  private unowned let worker: Worker

  init(worker: Worker) {
    self.worker = worker
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    worker.log.flush()
    return worker.isStopping ? nil : now
  }
}
