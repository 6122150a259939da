package import Loop
package import Sockets
package import TLS

/// One loop's way to Redis: a connection for commands, and where they are needed one that blocks and one that listens to
/// channels.
package final class RedisClient {
  package let loop: EventLoop
  package private(set) var settings: RedisSettings
  package let store: RunRecords
  private let dialer: Dialer
  private var transport: any RedisTransport

  private var connections: [RedisConnection]
  private var madeFollower: RedisFollower?
  private var madeChannels: RedisChannels?
  private var madeCancelWatch: CancelWatch?
  private var madeClientStreams: ClientStreams?
  private var madeStatusBoard: StatusBoard?
  private var queues: [String: BullMQQueue] = [:]

  /// - Parameter tls: needed where the settings say TLS; may be shared by loops.
  package init(loop: EventLoop, dialer: Dialer, settings: RedisSettings, tls: TLSContext? = nil) {
    self.loop = loop
    self.settings = settings
    self.dialer = dialer
    transport = Self.makeTransport(settings, dialer, tls)
    let redis = Self.makeConnection("commands", loop: loop, transport: transport, settings: settings)
    store = RunRecords(redis: redis, settings: settings)
    connections = [redis]
    followMoves()
  }

  /// Another server is the primary now: what is sent to the former one would be lost.
  private func followMoves() {
    transport.onMove = { [weak self] in
      guard let self else { return }
      for connection in connections { connection.moveOn(because: RedisClient.moved) }
    }
  }

  static let moved = "Sentinel names another primary"

  /// Runs that are written elsewhere.
  package var follower: RedisFollower {
    if let madeFollower { return madeFollower }
    let follower = RedisFollower(store: store, blocking: makeConnection("blocking"), channels: channels)
    madeFollower = follower
    return follower
  }

  package var channels: RedisChannels {
    if let madeChannels { return madeChannels }
    let channels = RedisChannels(redis: makeConnection("channels"))
    madeChannels = channels
    return channels
  }

  /// Runs of this loop that somebody may want to stop.
  package var cancelWatch: CancelWatch {
    if let madeCancelWatch { return madeCancelWatch }
    let watch = CancelWatch(store: store, channels: channels)
    madeCancelWatch = watch
    return watch
  }

  package var clientStreams: ClientStreams {
    if let madeClientStreams { return madeClientStreams }
    let streams = ClientStreams(store: store, channels: channels)
    madeClientStreams = streams
    return streams
  }

  /// How this loop's runs stand, for all replicas.
  package var statusBoard: StatusBoard {
    if let madeStatusBoard { return madeStatusBoard }
    let board = StatusBoard(store: store)
    madeStatusBoard = board
    return board
  }

  /// One reader for all jobs of a queue.
  func queue(_ name: String) -> BullMQQueue {
    if let queue = queues[name] { return queue }
    let queue = BullMQQueue(name: name, follower: follower)
    queues[name] = queue
    return queue
  }

  /// Whether commands are carried out at once.
  package var isReady: Bool { store.redis.isReady }
  /// Whether Redis is known not to be had. Not so before the first connection is made or refused.
  package var isAway: Bool { !isReady && lastFault != nil }
  /// What was wrong when Redis was last not to be had; never with a password in it.
  package var lastFault: String? { store.redis.lastFault }

  /// Why it can't be used or does not do what it is asked: what was wrong with the connection, or what Redis last
  /// refused. Never with a password in it.
  package var fault: String {
    (isReady ? store.redis.lastRefusal : nil) ?? lastFault ?? store.redis.lastRefusal ?? "no connection yet"
  }

  /// What has happened on all its connections.
  package var counts: RedisConnection.Counts {
    connections.reduce(into: RedisConnection.Counts()) { sum, connection in
      sum.add(connection.counts)
    }
  }

  /// Connects, so that the first run does not have to wait for it.
  package func start() { store.redis.start() }

  /// Ends all connections. What waits for an answer gets a failure; what follows runs is not called any more.
  package func close() {
    store.close()
    madeCancelWatch?.close()
    madeClientStreams?.close()
    madeStatusBoard?.close()
    madeChannels?.close()
    madeFollower?.close()
    for connection in connections { connection.close() }
    transport.close()
  }

  /// Takes over another account, other time limits and another trust for the same Redis: for all connections, those of
  /// runs that are going on too.
  package func adopt(_ wanted: RedisSettings, tls: TLSContext?) {
    settings = settings.withAccount(of: wanted)
    transport.close()
    transport = Self.makeTransport(settings, dialer, tls)
    followMoves()
    for connection in connections {
      connection.limits = Self.limits(settings)
      var greeting = connection.greeting
      greeting.user = settings.user
      greeting.password = settings.password
      connection.adopt(greeting, over: transport)
    }
  }

  static func makeTransport(
    _ settings: RedisSettings, _ dialer: Dialer, _ tls: TLSContext?
  ) -> any RedisTransport {
    func reach(_ address: RedisAddress) -> any RedisTransport {
      guard let tls else { return PlainRedisTransport(dialer: dialer, host: address.host, port: address.port) }
      return EncryptedRedisTransport(dialer: dialer, host: address.host, port: address.port, context: tls)
    }
    guard let sentinel = settings.sentinel else {
      return reach(RedisAddress(host: settings.host, port: settings.port))
    }
    return SentinelTransport(
      loop: dialer.loop, sentinel: sentinel, clientName: settings.clientName, reach: reach)
  }

  static func limits(_ settings: RedisSettings) -> RedisConnection.Limits {
    var limits = RedisConnection.Limits()
    limits.connect = settings.connectTimeout
    limits.command = settings.commandTimeout
    return limits
  }

  private func makeConnection(_ purpose: String) -> RedisConnection {
    let connection = Self.makeConnection(purpose, loop: loop, transport: transport, settings: settings)
    connections.append(connection)
    return connection
  }

  static func makeConnection(
    _ purpose: String, loop: EventLoop, transport: any RedisTransport, settings: RedisSettings
  ) -> RedisConnection {
    var greeting = RedisConnection.Greeting()
    greeting.user = settings.user
    greeting.password = settings.password
    greeting.database = settings.database
    // Redis takes no spaces in a name.
    greeting.name = settings.clientName.isEmpty ? "" : "\(settings.clientName)-\(purpose)"
    greeting.allowsCluster = settings.usesHashTags
    return RedisConnection(loop: loop, transport: transport, greeting: greeting, limits: limits(settings))
  }
}
