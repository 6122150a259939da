package import Loop
import Sockets
package import Time

/// A Redis Cluster: a connection to each of its masters, and a map of who has which slot.
///
/// The map is asked for (`CLUSTER SLOTS`) at the start, when a server moves a key or can't be had, and every ten seconds. One
/// of a server that has missed a change (`CLUSTER INFO`, the epoch) is passed over.
/// A command goes to the server that has its first key, and after `MOVED`, `ASK`, `TRYAGAIN` and `CLUSTERDOWN` it goes on
/// from there, for as long as one command may take: none of these was carried out. As with one server, a command whose
/// connection was lost fails, and may have been carried out. When a replica has taken slots over, observers are told as if
/// Redis had come back: it may lack what its master had acknowledged. Retained by the loop until `close()`.
package final class RedisCluster: RedisLink {
  /// How long the map may be old, and how long while something is wrong.
  private static let refreshing = Nanoseconds.seconds(10)
  private static let hurrying = Nanoseconds.milliseconds(250)
  /// How long after a loss of data others may need to notice it.
  private static let longestReturn = Nanoseconds.seconds(10)

  package let loop: EventLoop
  package internal(set) var limits: RedisConnection.Limits
  private let seeds: [RedisAddress]
  private(set) var greeting: RedisConnection.Greeting
  private var reach: (RedisAddress) -> any RedisTransport
  private let meters: RedisMeters?

  private(set) var nodes: [RedisAddress: ClusterNode] = [:]
  /// Who has which slot, as far as is known now; `nil` before the first answer.
  private var map: SlotMap?
  /// The same as it was last answered whole.
  private var answeredMap: SlotMap?
  /// Commands that no server takes at the moment.
  private var postponed: [(command: RoutedCommand, reason: String)] = []
  private let command = RedisCommand(notesSlot: true)
  /// Called when other servers have slots than before.
  var mapChanged: (() -> Void)?
  /// Called when a command has told something on a channel at a server that has its slot not yet.
  var toldUnheard: ((String) -> Void)?
  private var observers: [ObjectIdentifier: any RedisConnectionObserver] = [:]
  package weak var forerunner: (any RedisConnectionObserver)?
  private var handle: DeadlineHandle?
  package private(set) var isClosed = false
  private var isTurnDue = false
  private var isAsking = false
  /// The latest epoch of the cluster that a server knew.
  private var epoch: UInt64 = 0
  private var asked: MonotonicTime
  private var mustHurry = true
  /// Whose turn it is to be asked, or to be listened to.
  private var turn = 0
  /// Since when a server may lack what was acknowledged.
  private var doubts: [RedisAddress: MonotonicTime] = [:]
  private var mapFault: String?
  /// What the connections that are closed had counted.
  private var formerCounts = RedisConnection.Counts()

  /// - Parameter seeds: servers of the cluster, never empty; it is enough if one of them answers.
  package init(
    loop: EventLoop, seeds: [RedisAddress], greeting: RedisConnection.Greeting, limits: RedisConnection.Limits,
    reach: @escaping (RedisAddress) -> any RedisTransport, meters: RedisMeters? = nil
  ) {
    self.meters = meters
    self.loop = loop
    self.seeds = seeds
    self.greeting = greeting
    self.limits = limits
    self.reach = reach
    asked = loop.now
  }

  // MARK: - What is known

  package var isReady: Bool { map != nil && nodes.values.contains { $0.connection.isReady } }
  package var hasJustReturned: Bool {
    if let doubtful = doubtful(in: nil), loop.now - doubtful <= Self.longestReturn { return true }
    return nodes.values.contains { $0.connection.hasJustReturned }
  }
  package func doubtful(in slot: Int?) -> MonotonicTime? {
    guard let slot else { return doubts.values.max() }
    return map?[slot].flatMap { doubts[$0] }
  }
  package var pendingCommands: Int { postponed.count + nodes.values.reduce(0) { $0 + $1.connection.pendingCommands } }
  package var counts: RedisConnection.Counts {
    nodes.values.reduce(into: formerCounts) { $0.add($1.connection.counts) }
  }
  package var lastFault: String? {
    let faults = nodes.compactMap { address, node in
      node.connection.isReady ? nil : node.connection.lastFault.map { "\(address): \($0)" }
    }
    return faults.min() ?? mapFault
  }
  package var lastRefusal: String? { nodes.values.lazy.compactMap { $0.connection.lastRefusal }.first }
  package var refusal: String? { nodes.values.lazy.compactMap { $0.connection.refusal }.first }
  package var serverID: String { "" }
  package var connectionCount: Int { nodes.count }

  func address(of slot: Int) -> RedisAddress? { map?[slot] }
  /// Whether the cluster has such a server, as far as is known.
  func hasServer(at address: RedisAddress) -> Bool { map?.servers.contains(address) ?? false }

  /// A server has said where a slot lies.
  func learn(_ redirect: ClusterRedirect) {
    hurry()
    guard map != nil, map?[redirect.slot] != redirect.address else { return }
    map?.move(redirect.slot, to: redirect.address)
    mapChanged?()
  }

  // MARK: - Coming and going

  package func start() {
    guard handle == nil, !isClosed else { return }
    handle = loop.deadlines.add(self, at: loop.now + EventLoop.tickInterval)
    connectToSeeds()
  }

  private func connectToSeeds() {
    for seed in seeds { node(at: seed).connection.start() }
  }

  package func close() {
    guard !isClosed else { return }
    isClosed = true
    for node in nodes.values { node.connection.close() }
    wantTurn()
    observers = [:]
    if let handle { loop.deadlines.remove(handle) }
    handle = nil
  }

  private func node(at address: RedisAddress) -> ClusterNode {
    if let node = nodes[address] { return node }
    let connection = RedisConnection(loop: loop, transport: reach(address), greeting: greeting, limits: limits)
    connection.meters = meters.map { make in { make($0, .commands) } }
    let node = ClusterNode(connection, at: address, in: self)
    nodes[address] = node
    return node
  }

  /// Takes over another account, other time limits and other ways to the same servers.
  func adopt(
    _ greeting: RedisConnection.Greeting, limits: RedisConnection.Limits,
    reach: @escaping (RedisAddress) -> any RedisTransport
  ) {
    self.greeting = greeting
    self.limits = limits
    self.reach = reach
    for (address, node) in nodes {
      node.connection.limits = limits
      node.connection.adopt(greeting, over: reach(address))
    }
  }

  package func add(_ observer: any RedisConnectionObserver) { observers[ObjectIdentifier(observer)] = observer }
  package func remove(_ observer: any RedisConnectionObserver) { observers[ObjectIdentifier(observer)] = nil }

  /// A way to whichever server has the next turn, for what is the same on all: channels.
  func anyTransport() -> any RedisTransport { AnyNodeTransport(self) }

  fileprivate func nextAddress() -> RedisAddress {
    let ready = nodes.filter { $0.value.connection.isReady }.keys.sorted { $0.description < $1.description }
    let places = ready.isEmpty ? seeds : ready
    turn = (turn + 1) % places.count
    return places[turn]
  }

  fileprivate func transport(to address: RedisAddress) -> any RedisTransport { reach(address) }

  // MARK: - Sending

  package func hasRoom(for key: String) -> Bool {
    guard !isClosed, postponed.count < 1000, let map else { return false }
    guard let address = map[RedisSlot.of(key.utf8Span.span)], let node = nodes[address] else { return false }
    return node.connection.hasRoom
  }

  package func send(
    to receiver: any RedisReceiver, tag: UInt64, timeout: Nanoseconds?, mayWait: Bool, _ write: (RedisCommand) -> Void
  ) -> Bool {
    write(command)
    let routed = RoutedCommand(
      receiver, tag: tag, slot: command.slot, channel: command.channel, kind: command.kind, bytes: command.takeBytes(),
      timeout: timeout,
      mayWait: mayWait, in: self)
    guard !isClosed else {
      postponed.append((routed, "closed"))
      wantTurn()
      return false
    }
    start()
    return dispatch(routed)
  }

  package func sendToAll(_ receiver: any RedisReceiver, tag: UInt64, _ write: (RedisCommand) -> Void) {
    for node in nodes.values where node.connection.isReady { node.connection.send(to: receiver, tag: tag, write) }
  }

  @discardableResult
  private func dispatch(_ routed: RoutedCommand) -> Bool {
    guard let map else { return postpone(routed, mapFault ?? lastFault ?? "no server of the cluster has answered yet") }
    guard let slot = routed.slot else {
      let node = anyNode()
      return routed.send(over: node.connection, at: node.address)
    }
    guard let address = map[slot] else { return postpone(routed, "CLUSTERDOWN no server has the slot \(slot)") }
    return routed.send(over: node(at: address).connection, at: address)
  }

  private func anyNode() -> ClusterNode {
    nodes.values.first { $0.connection.isReady } ?? nodes.values.first ?? node(at: seeds[0])
  }

  private func postpone(_ routed: RoutedCommand, _ reason: String) -> Bool {
    hurry()
    guard postponed.count < limits.commands else {
      postponed.insert((routed, reason), at: 0)
      wantTurn()
      return false
    }
    postponed.append((routed, reason))
    return true
  }

  // MARK: - Answers

  func answered(_ routed: RoutedCommand, _ result: Result<RedisReply, RedisError>) {
    // It waited for a server that has left the cluster, and was not sent.
    if case .failure(.notConnected) = result, let asked = routed.address, nodes[asked] == nil, !isClosed,
      loop.now < routed.lastTry
    {
      again(routed) { dispatch(routed) }
      return
    }
    guard case .success(let reply) = result, reply.isError, let asked = routed.address, !isClosed,
      routed.redirects < RoutedCommand.mostRedirects, loop.now < routed.lastTry
    else { return pass(result, to: routed) }
    switch reply.withBytes({ RedisFault($0) }) {
    case .moved:
      guard let redirect = ClusterRedirect(reply.errorText, from: asked) else { return pass(result, to: routed) }
      // It may be a replica that has taken over.
      if answeredMap?.servers.contains(redirect.address) != true { doubts[redirect.address] = loop.now }
      learn(redirect)
      routed.redirected()
      again(routed) { _ = routed.send(over: node(at: redirect.address).connection, at: redirect.address) }
    case .ask:
      guard let redirect = ClusterRedirect(reply.errorText, from: asked) else { return pass(result, to: routed) }
      routed.redirected()
      _ = routed.send(over: node(at: redirect.address).connection, at: redirect.address, mustAsk: true)
    case .tryAgain, .clusterDown:
      _ = postpone(routed, reply.errorText)
    default: pass(result, to: routed)
    }
  }

  /// What was written before something may have been lost can say too little of it: whoever sent it may send it anew.
  private func again(_ routed: RoutedCommand, _ send: () -> Void) {
    if let doubtful = doubtful(in: routed.slot), routed.written <= doubtful {
      return routed.fail(.connectionLost("a server of the cluster may have lost data"))
    }
    send()
  }

  private func pass(_ result: Result<RedisReply, RedisError>, to routed: RoutedCommand) {
    switch result {
    case .failure: hurry()
    case .success(let reply): if !reply.isError, routed.wasAsked, let channel = routed.channel { toldUnheard?(channel) }
    }
    routed.receiver.redisAnswered(result, tag: routed.tag)
  }

  private func wantTurn() {
    guard !isTurnDue else { return }
    isTurnDue = true
    loop.callAfterThisCallback(self)
  }

  // MARK: - The map

  private func hurry() { mustHurry = true }

  private func askForMap() {
    let ready = nodes.values.filter { $0.connection.isReady }
    guard !isAsking, !ready.isEmpty else { return }
    turn = (turn + 1) % ready.count
    let node = ready[turn]
    isAsking = true
    mustHurry = false
    asked = loop.now
    var known: UInt64?
    node.connection.send { command in
      command.append("CLUSTER")
      command.append("INFO")
    } completion: { result in
      known = (try? result.get())?.withBytes { SlotMap.epoch(in: $0) }
    }
    node.connection.send { command in
      command.append("CLUSTER")
      command.append("SLOTS")
    } completion: { [weak self] result in
      guard let self, !isClosed else { return }
      isAsking = false
      switch result {
      case .success(let reply):
        if let map = SlotMap(reply, from: node.address) {
          guard (known ?? epoch) >= epoch else { return hurry() }
          epoch = known ?? epoch
          return take(map)
        }
        mapFault = "\(node.address): \(reply.isError ? reply.errorText : "no server has any slot")"
      case .failure(let error): mapFault = "\(node.address): \(error.reason)"
      }
      hurry()
    }
  }

  private func take(_ new: SlotMap) {
    mapFault = nil
    retire(nodes.keys.filter { !new.servers.contains($0) })
    let isFirst = map == nil
    let former = answeredMap
    let hasTakenOver = former.map { new.hasTakenOver(from: $0) } ?? false
    guard new != answeredMap || new != map else { return }
    map = new
    answeredMap = new
    for address in new.servers { node(at: address).connection.start() }
    doubts = doubts.filter { new.servers.contains($0.key) }
    if hasTakenOver, let former {
      for server in new.servers where !former.servers.contains(server) { doubts[server] = loop.now }
      forerunner?.redisBecameReady()
    }
    if isFirst { for observer in observers.values { observer.redisBecameReady() } }
    sendPostponed()
    mapChanged?()
    for observer in observers.values { observer.redisHasRoom() }
  }

  /// What waits for these servers' answers fails: it may have been carried out.
  private func retire(_ addresses: [RedisAddress]) {
    for address in addresses {
      guard let node = nodes.removeValue(forKey: address) else { continue }
      node.isRetired = true
      node.connection.moveOn(because: "it has no slot of the cluster any more")
      formerCounts.add(node.connection.counts)
      node.connection.close()
    }
  }

  private func sendPostponed() {
    let waiting = postponed
    postponed = []
    for (routed, reason) in waiting {
      if routed.lastTry > loop.now {
        again(routed) { dispatch(routed) }
      } else {
        // By now more may be known than when it was put back.
        routed.fail(.refused(map == nil ? mapFault ?? lastFault ?? reason : reason))
      }
    }
  }

  fileprivate func becameReady(_ node: ClusterNode) {
    guard !node.isRetired else { return }
    if map == nil { askForMap() } else { hurry() }
    for observer in observers.values { observer.redisBecameReady() }
  }

  fileprivate func leads(_ node: ClusterNode) {
    guard !node.isRetired else { return }
    if node.wasStartedAnew() { doubts[node.address] = loop.now }
    forerunner?.redisBecameReady()
  }

  fileprivate func wasLost(_ node: ClusterNode) {
    guard !node.isRetired else { return }
    hurry()
    if !isReady { for observer in observers.values { observer.redisWasLost() } }
  }

  fileprivate func hasRoom(_ node: ClusterNode) {
    for observer in observers.values { observer.redisHasRoom() }
  }
}

extension RedisCluster: TurnMember, DeadlineMember {
  /// Fails what was refused.
  package func turnCame() {
    isTurnDue = false
    var failed = postponed
    postponed = []
    if !isClosed {
      let count = max(0, failed.count - limits.commands)
      postponed = Array(failed.dropFirst(count))
      failed = Array(failed.prefix(count))
    }
    for (routed, _) in failed { routed.fail(isClosed ? .notConnected("closed") : .overloaded) }
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    if isClosed { return nil }
    let isWhole = map != nil && nodes.values.allSatisfy { $0.connection.isReady }
    let pause = mustHurry || !isWhole ? Self.hurrying : Self.refreshing
    if now - asked >= pause {
      // Nobody of the map can be had: the cluster may have moved as a whole.
      if !nodes.values.contains(where: { $0.connection.isReady }) { connectToSeeds() }
      askForMap()
    }
    if !postponed.isEmpty { sendPostponed() }
    return now + EventLoop.tickInterval
  }
}

/// One server of a cluster.
final class ClusterNode {
  let connection: RedisConnection
  let address: RedisAddress
  private weak var cluster: RedisCluster?
  private var leader: ClusterLeader?
  /// The server's `run_id`; empty where it is not known.
  private var process = ""
  /// Whether the cluster has no use for it any more.
  var isRetired = false

  init(_ connection: RedisConnection, at address: RedisAddress, in cluster: RedisCluster) {
    self.connection = connection
    self.address = address
    self.cluster = cluster
    let leader = ClusterLeader(self)
    self.leader = leader
    connection.forerunner = leader
    connection.add(self)
  }

  /// Whether it is another process than it was, which may have begun without data.
  fileprivate func wasStartedAnew() -> Bool {
    let former = process
    process = connection.server.runID
    return !former.isEmpty && former != process
  }

  fileprivate func leads() { cluster?.leads(self) }
}

extension ClusterNode: RedisConnectionObserver {
  func redisBecameReady() { cluster?.becameReady(self) }
  func redisWasLost() { cluster?.wasLost(self) }
  func redisHasRoom() { cluster?.hasRoom(self) }
}

/// Who is told of a server's new connection before all others.
private final class ClusterLeader: RedisConnectionObserver {
  private unowned let node: ClusterNode

  init(_ node: ClusterNode) { self.node = node }

  func redisBecameReady() { node.leads() }
}

/// Leads to one server of a cluster, another with each attempt.
private final class AnyNodeTransport: RedisTransport {
  private weak var cluster: RedisCluster?
  private(set) var place: RedisAddress?

  init(_ cluster: RedisCluster) { self.cluster = cluster }

  func open(
    timeout: Nanoseconds, completion: @escaping (Result<any Connection, RedisError>) -> Void
  ) -> () -> Void {
    guard let cluster else { return {} }
    let address = cluster.nextAddress()
    place = address
    return cluster.transport(to: address).open(timeout: timeout, completion: completion)
  }
}
