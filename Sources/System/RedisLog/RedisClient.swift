package import Loop
package import Sockets
package import TLS

/// One loop's way to Redis: a connection for commands, and where they are needed one that blocks and one that listens to
/// channels.
package final class RedisClient {
  package let loop: EventLoop
  package var settings: RedisSettings { connections.settings }
  package let store: RunRecords
  private let connections: RedisConnections

  let owners: OwnerWatch
  private var madeFollower: RedisFollower?
  private var madeChannels: RedisChannels?
  private var madeNews: ShardChannels?
  private var madeCancelWatch: CancelWatch?
  private var madeClientStreams: ClientStreams?
  private var madeStatusBoard: StatusBoard?
  private var queues: [String: BullMQQueue] = [:]

  /// - Parameters:
  ///   - tls: needed where the settings say TLS; may be shared by loops.
  ///   - meters: who counts what happens, by servers.
  package init(
    loop: EventLoop, dialer: Dialer, settings: RedisSettings, tls: TLSContext? = nil, meters: RedisMeters? = nil
  ) {
    self.loop = loop
    connections = RedisConnections(
      RedisUse.commands.rawValue, dialer: dialer, settings: settings, tls: tls, meters: meters)
    store = RunRecords(redis: connections.commands, settings: settings)
    owners = OwnerWatch(store: store)
    connections.cluster?.toldUnheard = { [weak store] in store?.tellUnheard($0) }
  }

  /// Connections that it has, or tries to have.
  package var connectionCount: Int { connections.count }

  /// Runs that are written elsewhere.
  package var follower: RedisFollower {
    if let madeFollower { return madeFollower }
    // Of a cluster no command may name keys of several slots: there each run is read for itself.
    let blocking = settings.cluster == nil ? connections.make(.blocking) : nil
    let follower = RedisFollower(store: store, blocking: blocking, channels: news, owners: owners)
    madeFollower = follower
    return follower
  }

  package var channels: RedisChannels {
    if let madeChannels { return madeChannels }
    let channels = RedisChannels(redis: connections.make(.channels))
    madeChannels = channels
    return channels
  }

  /// Where runs' news are told: in a cluster, at the server that stores them.
  private var news: any NewsChannels {
    guard let cluster = connections.cluster else { return channels }
    if let madeNews { return madeNews }
    let news = ShardChannels(
      cluster, plain: channels, unheard: store.keys.unheardNews,
      connect: { [connections] in connections.make(.channels, at: $0) },
      release: { [connections] in connections.release($0) })
    madeNews = news
    return news
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
  package var counts: RedisConnection.Counts { connections.counts }

  /// Connects, so that the first run does not have to wait for it.
  package func start() { store.redis.start() }

  /// Ends all connections. What waits for an answer gets a failure; what follows runs is not called any more.
  package func close() {
    store.close()
    madeCancelWatch?.close()
    madeClientStreams?.close()
    madeStatusBoard?.close()
    madeNews?.close()
    madeChannels?.close()
    madeFollower?.close()
    owners.close()
    connections.close()
  }

  /// Takes over another account, other time limits and another trust for the same Redis: for all connections, those of
  /// runs that are going on too.
  package func adopt(_ wanted: RedisSettings, tls: TLSContext?) { connections.adopt(wanted, tls: tls) }
}
