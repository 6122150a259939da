import Bytes
import Loop
import Time

/// Where a follower hears what is new.
protocol NewsChannels: AnyObject {
  /// Listens until `remove`. The listener is told when the channel opens, not before this returns.
  func add(_ listener: any ChannelListener, to name: String)
  func remove(_ listener: any ChannelListener, from name: String)
  /// Whether what is told on the channel is heard.
  func isOpen(_ name: String) -> Bool
}

extension RedisChannels: NewsChannels {}

/// The channels of a Redis Cluster that a loop listens to, each at the server that has the slot of its name
/// (`SSUBSCRIBE`, Redis 7.0): what is told there goes to no other server.
///
/// A server that gives a slot away ends what is listened to there (`sunsubscribe`), which begins anew where the slot is
/// then. On its way a slot's entries may be stored by the server that is getting it, whom nobody hears yet: who stores them
/// names the channel on another one, which everybody hears. Servers that know no such channels, and accounts that may not
/// use them, are listened to as without a cluster. Confined to the loop's thread; retained by it until `close()`.
final class ShardChannels: NewsChannels {
  private final class Channel {
    let name: String
    let slot: Int
    var listeners: [any ChannelListener] = []
    /// The server that has its slot, as far as is known.
    var place: RedisAddress?
    var isOpen = false
    /// Whether it is listened to as without a cluster.
    var isPlain = false

    init(_ name: String) {
      self.name = name
      slot = RedisSlot.of(name.utf8Span.span)
    }
  }

  /// When a server is asked again that has no answer at the moment.
  private static let pause = Nanoseconds.milliseconds(250)

  private let cluster: RedisCluster
  private let plain: RedisChannels
  /// Where channels are named whose news nobody has heard.
  private let unheard: String
  private let connect: (RedisAddress) -> RedisConnection
  private let release: (RedisConnection) -> Void
  private var channels: [String: Channel] = [:]
  private var servers: [RedisAddress: ShardServer] = [:]
  /// Channels that are to be asked for again, and when.
  private var due: [String: MonotonicTime] = [:]
  private var handle: DeadlineHandle?
  private var lastKeepAlive: MonotonicTime

  /// - Parameters:
  ///   - plain: the channels that are the same on all servers.
  ///   - unheard: where the name of a channel is told whose news may not have been heard.
  ///   - connect: makes a connection to a server for this alone.
  ///   - release: ends such a connection.
  init(
    _ cluster: RedisCluster, plain: RedisChannels, unheard: String,
    connect: @escaping (RedisAddress) -> RedisConnection,
    release: @escaping (RedisConnection) -> Void
  ) {
    self.cluster = cluster
    self.plain = plain
    self.unheard = unheard
    self.connect = connect
    self.release = release
    lastKeepAlive = cluster.loop.now
  }

  func add(_ listener: any ChannelListener, to name: String) {
    begin()
    let channel = channels[name] ?? Channel(name)
    channels[name] = channel
    channel.listeners.append(listener)
    if channel.isPlain { return plain.add(listener, to: name) }
    // Answered anew for a channel that is open already: then everybody is told once more.
    listen(to: channel)
  }

  func remove(_ listener: any ChannelListener, from name: String) {
    guard let channel = channels[name] else { return }
    channel.listeners.removeAll { $0 === listener }
    if channel.isPlain { plain.remove(listener, from: name) }
    guard channel.listeners.isEmpty else { return }
    channels[name] = nil
    due[name] = nil
    leave(channel)
  }

  func isOpen(_ name: String) -> Bool {
    guard let channel = channels[name] else { return false }
    return channel.isPlain ? plain.isOpen(name) : channel.isOpen
  }

  func close() {
    if let handle {
      cluster.loop.deadlines.remove(handle)
      plain.remove(self, from: unheard)
    }
    handle = nil
    cluster.mapChanged = nil
    channels = [:]
    due = [:]
    for server in servers.values { release(server.connection) }
    servers = [:]
  }

  private func begin() {
    guard handle == nil else { return }
    handle = cluster.loop.deadlines.add(self, at: cluster.loop.now + EventLoop.tickInterval)
    cluster.mapChanged = { [weak self] in self?.mapChanged() }
    cluster.start()
    plain.add(self, to: unheard)
  }

  // MARK: - Where a channel is

  private func server(at address: RedisAddress) -> ShardServer {
    if let server = servers[address] { return server }
    let server = ShardServer(connect(address), at: address, for: self)
    servers[address] = server
    return server
  }

  /// Without a map, or a connection, that is left to the next.
  private func listen(to channel: Channel) {
    due[channel.name] = nil
    guard let address = cluster.address(of: channel.slot) else { return }
    channel.place = address
    let server = server(at: address)
    if server.isPlain { becomePlain(channel) } else { server.ask(.listen(channel.name)) }
  }

  private func leave(_ channel: Channel) {
    guard !channel.isPlain, let place = channel.place else { return }
    servers[place]?.ask(.leave(channel.name))
  }

  private func close(_ channel: Channel) {
    guard channel.isOpen else { return }
    channel.isOpen = false
    for listener in channel.listeners { listener.channelClosed() }
  }

  private func becomePlain(_ channel: Channel) {
    guard !channel.isPlain else { return }
    close(channel)
    channel.isPlain = true
    for listener in channel.listeners { plain.add(listener, to: channel.name) }
  }

  private func becomeSharded(_ channel: Channel) {
    guard channel.isPlain else { return }
    let wasOpen = plain.isOpen(channel.name)
    channel.isPlain = false
    for listener in channel.listeners {
      plain.remove(listener, from: channel.name)
      if wasOpen { listener.channelClosed() }
    }
  }

  private func mapChanged() {
    for channel in Array(channels.values) {
      let address = cluster.address(of: channel.slot)
      guard address != channel.place else { continue }
      leave(channel)
      close(channel)
      becomeSharded(channel)
      channel.place = address
      listen(to: channel)
    }
    let used = Set(channels.values.compactMap(\.place))
    for (address, server) in servers where !used.contains(address) && !cluster.hasServer(at: address) {
      servers[address] = nil
      release(server.connection)
    }
  }

  private func channels(at server: ShardServer) -> [Channel] { channels.values.filter { $0.place == server.address } }

  // MARK: - What servers say

  fileprivate func becameReady(_ server: ShardServer) {
    for channel in channels(at: server) {
      becomeSharded(channel)
      listen(to: channel)
    }
  }

  fileprivate func wasLost(_ server: ShardServer) {
    for channel in channels(at: server) { close(channel) }
  }

  fileprivate func heard(_ message: RedisReply, on name: String) {
    for listener in channels[name]?.listeners ?? [] { listener.channelReceived(message) }
  }

  fileprivate func opened(_ name: String, by server: ShardServer) {
    guard let channel = channels[name], channel.place == server.address, !channel.isPlain else { return }
    channel.isOpen = true
    for listener in channel.listeners { listener.channelOpened() }
  }

  /// The server has the channel's slot no longer.
  fileprivate func ended(_ name: String, by server: ShardServer) {
    guard let channel = channels[name], channel.place == server.address else { return }
    close(channel)
    listen(to: channel)
  }

  fileprivate func refused(_ name: String, by server: ShardServer, _ reply: RedisReply) {
    guard let channel = channels[name], channel.place == server.address else { return }
    close(channel)
    switch reply.withBytes({ RedisFault($0) }) {
    case .moved:
      // Its servers may not agree yet.
      due[name] = cluster.loop.now + EventLoop.tickInterval
      if let redirect = ClusterRedirect(reply.errorText, from: server.address) { cluster.learn(redirect) }
    case .ask, .tryAgain, .clusterDown, .loading, .masterDown, .busy, .notAuthenticated:
      due[name] = cluster.loop.now + Self.pause
    default:
      server.isPlain = true
      for channel in channels(at: server) { becomePlain(channel) }
    }
  }
}

extension ShardChannels: ChannelListener, DeadlineMember {
  func channelOpened() {}
  func channelClosed() {}

  /// What was told on a channel may not have been heard.
  func channelReceived(_ message: RedisReply) {
    guard let channel = channels[message.text], channel.isOpen else { return }
    for listener in channel.listeners { listener.channelOpened() }
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    for (name, time) in due where time <= now {
      due[name] = nil
      if let channel = channels[name] { listen(to: channel) }
    }
    if now - lastKeepAlive >= .seconds(1) {
      lastKeepAlive = now
      for server in servers.values { server.keepAlive(at: now) }
    }
    return now + EventLoop.tickInterval
  }
}

/// A connection to one server of a cluster, for listening alone.
private final class ShardServer {
  enum Request: Equatable {
    case listen(String)
    case leave(String)
  }

  let connection: RedisConnection
  let address: RedisAddress
  private weak var owner: ShardChannels?
  /// Whether it knows no channels of slots, or grants none.
  var isPlain = false
  /// What it was asked and has not answered, in order: an error does not say what it is about.
  private var asked = Queue<Request>()

  init(_ connection: RedisConnection, at address: RedisAddress, for owner: ShardChannels) {
    self.connection = connection
    self.address = address
    self.owner = owner
    connection.listener = { [weak self] in self?.received($0) }
    connection.add(self)
    connection.start()
  }

  func ask(_ request: Request) {
    guard connection.isReady else { return }
    asked.append(request)
    connection.send(to: RedisCompletion { _ in }) { command in
      switch request {
      case .listen(let name):
        command.append("SSUBSCRIBE")
        command.append(name)
      case .leave(let name):
        command.append("SUNSUBSCRIBE")
        command.append(name)
      }
    }
  }

  func keepAlive(at now: MonotonicTime) {
    RedisChannels.keepAlive(connection, at: now)
  }

  private func received(_ reply: RedisReply) {
    if reply.isError {
      if case .listen(let name)? = asked.popFirst() { owner?.refused(name, by: self, reply) }
      return
    }
    var elements = reply.elements
    guard let kind = elements.next(), let channel = elements.next() else { return }
    if kind.withBytes({ $0.equals("smessage") }), let message = elements.next() {
      owner?.heard(message, on: channel.text)
    } else if kind.withBytes({ $0.equals("ssubscribe") }) {
      _ = asked.popFirst()
      owner?.opened(channel.text, by: self)
    } else if kind.withBytes({ $0.equals("sunsubscribe") }) {
      let name = channel.text
      if asked.first == .leave(name) { _ = asked.popFirst() } else { owner?.ended(name, by: self) }
    }
  }
}

extension ShardServer: RedisConnectionObserver {
  func redisBecameReady() {
    isPlain = false
    owner?.becameReady(self)
  }

  func redisWasLost() {
    asked = Queue()
    owner?.wasLost(self)
  }
}
