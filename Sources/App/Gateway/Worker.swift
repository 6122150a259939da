package import Configuration
package import FlagControl
package import HTTP
import Logging
import Loop
package import Sockets
import Streams
package import TLS
import Telemetry
package import Time
import Tracing
package import Upstreams

/// One event loop with its listener and its clients, put together from parts that know each other only as far as they
/// must; see the picture in docs/architecture.md.
///
/// Confined to its loop's thread. Others reach it by posting to the loop's mailbox.
package final class Worker {
  package let context: LoopContext
  package let decider: ModeDecider
  package let books: StreamBooks
  package let runs: LoopRuns
  package let upstreams: UpstreamRoom
  private let tails: ShadowTails
  private let exchanges: ExchangeMaker
  package let clients: ClientRoster
  let peers: LoopPeers<LoopRuns>
  private let listeners: ClientListeners
  private var drained: (() -> Void)?

  /// - Parameter stores: the loop's way to stores of runs.
  package init(
    context: LoopContext, settings: Settings, flags: FlagSnapshot, process: ProcessRuns, peers: LoopPeers<LoopRuns>,
    limits: ConnectionLimits, tickets: TicketKeys, stores: any RunStores
  ) {
    self.context = context
    self.peers = peers
    let books = StreamBooks(context, flags: flags, identitySeed: process.identitySeed)
    let tails = ShadowTails(context)
    decider = ModeDecider(flags, loop: context.loop)
    // The runs and the clients ask each other questions that only the worker can pass on.
    let links = WorkerLinks()
    let runs = LoopRuns(
      process: process, peers: peers, context: context, stores: stores,
      isAwaited: { links.worker?.clients.waits(for: $0) ?? false },
      somethingLeft: { links.worker?.endDrainIfIdle() })
    let upstreams = UpstreamRoom(limit: limits.upstreams) { [weak tails] in tails?.endAll() ?? false }
    tails.upstreams = upstreams
    let exchanges = ExchangeMaker(
      settings: LoopSettings(withoutPools: settings),
      streams: StreamOpener(decider: decider, books: books, context: context), upstreams: upstreams, tails: tails,
      runs: runs, context: context)
    self.books = books
    self.runs = runs
    self.upstreams = upstreams
    self.tails = tails
    self.exchanges = exchanges
    clients = ClientRoster(
      settings, limits: limits, books: books, context: context, tickets: tickets,
      makeExchange: { exchanges.make($0, for: $1) }, makeClient: ClientMaker.make,
      somebodyLeft: { links.worker?.endDrainIfIdle() })
    listeners = ClientListeners(clients)
    links.worker = self
    adopt(settings)
    peers.join(runs, of: context.index, on: context.loop)
  }

  /// What serves a request of `client`; `begin()` is to be called next.
  package func exchange(for request: consuming RequestHead, of client: any ClientStream) -> any ClientExchange {
    exchanges.make(request, for: client)
  }

  /// Serves a client's connection, whatever carries it.
  package func serve(_ connection: any Connection, at listener: ListenerSettings) {
    clients.serve(connection, at: listener)
  }

  // MARK: - Settings and flags

  /// What requests begin with now.
  package var settings: LoopSettings { exchanges.settings }

  /// Takes a new configuration. What is running keeps what it started with.
  package func adopt(_ settings: Settings) {
    let old = exchanges.settings.pools
    exchanges.settings = LoopSettings(settings, keeping: old) { [context, room = upstreams] in
      UpstreamPool($0, room: room, context: context)
    }
    let new = exchanges.settings.pools
    for pool in old where !new.contains(where: { $0 === pool }) { pool.retire() }
    for pool in new where !old.contains(where: { $0 === pool }) { pool.start() }
    // So that their numbers are there, as zeros, from the start.
    for route in settings.routes { _ = context.routes[route.settings.name] }
    clients.settings = settings
    context.log.level = settings.configuration.log.level
    context.log.progress = settings.configuration.log.progress
    context.tracer = Tracer(settings.configuration.tracing, sink: settings.spans, loop: context.loop)
    runs.adopt(settings)
  }

  package func adopt(_ flags: FlagSnapshot) {
    decider.adopt(flags)
    books.adopt(flags)
    books.recall = decider.recall
  }

  package func adopt(_ override: ClosingOverride) {
    decider.adopt(override)
    books.recall = decider.recall
  }

  // MARK: - Start and end

  /// Opens the listeners, in the order of the configuration's places.
  ///
  /// - Parameter sockets: those in the file system, which all loops share.
  /// - Returns: where they listen.
  func listen(
    at addresses: [SocketAddress], _ sockets: [SocketAddress: UnixSocket] = [:]
  ) throws(ListenFault) -> [SocketAddress] {
    let places = try listeners.open(at: addresses, sockets, on: context.loop)
    runs.connect()
    let now = context.loop.now
    _ = context.loop.deadlines.add(EachTick(context), at: now)
    _ = context.loop.deadlines.add(MemoryReturn(context, clients: clients, books: books), at: now)
    return places
  }

  /// Tells clients with each answer to connect anew, which they do elsewhere once no balancer sends them here.
  func leave() { context.leaveBegan() }

  /// Takes no more connections and no more streams; calls `completion` when the last client has left.
  package func drain(_ completion: @escaping () -> Void) {
    guard !context.isDraining else { return }
    context.drainBegan()
    _ = tails.endAll()
    runs.drainBegan()
    drained = completion
    // Who is in the kernel's queue already was promised an answer: the last of them are accepted, then served.
    listeners.closeAfterBacklog()
    clients.retire()
    endDrainIfIdle()
  }

  private func endDrainIfIdle() {
    // Runs that nobody reads now were promised to go on.
    guard context.isDraining, clients.isEmpty, runs.running == 0, let completion = drained.take() else {
      return
    }
    completion()
  }

  /// The drain time is over: open streams end with `draining`, spread over `jitter` so that clients don't all come
  /// back at once.
  ///
  /// - Parameter sparesRuns: those that read runs go on.
  package func endStreams(jitter: Nanoseconds, sparesRuns: Bool = false) {
    clients.endStreams(jitter: jitter, sparesRuns: sparesRuns, .draining, reason: EndReason.shuttingDown.text)
  }

  /// Ends the runs that nobody reads too.
  package func endRuns() { runs.endAll(.draining, reason: EndReason.shuttingDown.text) }

  /// Ends everything at once, stuck sockets included.
  package func stop() {
    context.stopBegan()
    _ = tails.endAll()
    peers.leave(context.index)
    listeners.close()
    clients.stop()
    for pool in exchanges.settings.pools { pool.retire() }
    runs.close()
    context.attempts.tell(at: context.loop.now, isLast: true)
    context.log.flush()
    context.loop.stop()
  }
}

/// Leads from the parts of a worker back to it, once it is complete.
private final class WorkerLinks {
  weak var worker: Worker?
}

/// Hands over a loop's log lines at every tick that has some, and counts how late it came.
private final class EachTick: DeadlineMember {
  private let context: LoopContext

  init(_ context: LoopContext) {
    self.context = context
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    context.shard.observe(context.metrics.loopLag, context.loop.tickLag.seconds)
    context.attempts.tell(at: now)
    context.log.flush()
    return context.isStopping ? nil : now
  }
}
