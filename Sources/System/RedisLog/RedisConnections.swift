import Loop
import Sockets
import TLS

/// A loop's connections to one Redis, or to one cluster: where its commands go, and further ones for what needs one of its
/// own.
final class RedisConnections {
  let commands: any RedisLink
  private(set) var settings: RedisSettings
  private let dialer: Dialer
  private let names: RedisConnection.Limits
  private var tls: TLSContext?
  /// Leads to the one server; to one after the other of a cluster.
  private var transport: any RedisTransport
  /// With the server of a cluster that a connection is to, if it is to that alone.
  private var others: [(connection: RedisConnection, place: RedisAddress?)] = []
  private let meters: RedisMeters?
  /// What the connections that are closed had counted.
  private var formerCounts = RedisConnection.Counts()

  /// - Parameters:
  ///   - purpose: what the connection for commands is called.
  ///   - tls: needed where the settings say TLS.
  ///   - names: what the time limits are called in messages.
  ///   - meters: who counts what happens, by servers.
  init(
    _ purpose: String, dialer: Dialer, settings: RedisSettings, tls: TLSContext?,
    names: RedisConnection.Limits = RedisConnection.Limits(), meters: RedisMeters? = nil
  ) {
    self.meters = meters
    self.dialer = dialer
    self.settings = settings
    self.names = names
    self.tls = tls
    let (greeting, limits) = (Self.greeting(settings, purpose), Self.limits(settings, names))
    if let seeds = settings.cluster {
      let cluster = RedisCluster(
        loop: dialer.loop, seeds: seeds, greeting: greeting, limits: limits, reach: Self.reach(dialer, tls),
        meters: meters)
      transport = cluster.anyTransport()
      commands = cluster
    } else {
      transport = Self.transport(settings, dialer, tls)
      let connection = RedisConnection(loop: dialer.loop, transport: transport, greeting: greeting, limits: limits)
      connection.meters = meters.map { make in { make($0, .commands) } }
      commands = connection
    }
    followMoves()
  }

  var cluster: RedisCluster? { commands as? RedisCluster }

  /// A connection for one purpose alone.
  ///
  /// - Parameter name: what it is called, if not as what it is for.
  /// - Parameter place: the server of a cluster; `nil` for whichever has the next turn, or where there is but one.
  func make(_ use: RedisUse, named name: String? = nil, at place: RedisAddress? = nil) -> RedisConnection {
    let connection = RedisConnection(
      loop: dialer.loop, transport: place.map { Self.reach(dialer, tls)($0) } ?? transport,
      greeting: Self.greeting(settings, name ?? use.rawValue), limits: Self.limits(settings, names))
    connection.meters = meters.map { make in { make($0, use) } }
    others.append((connection, place))
    return connection
  }

  /// Ends a connection that `make` has made.
  func release(_ connection: RedisConnection) {
    connection.close()
    for index in others.indices.reversed() where others[index].connection === connection {
      formerCounts.add(connection.counts)
      others.remove(at: index)
    }
  }

  private var all: [any RedisLink] { [commands] + others.map(\.connection) }
  var count: Int { others.count + (cluster?.connectionCount ?? 1) }
  /// What has happened on all of them.
  var counts: RedisConnection.Counts { all.reduce(into: formerCounts) { $0.add($1.counts) } }

  /// What waits for an answer gets a failure.
  func close() {
    for link in all { link.close() }
    transport.close()
  }

  /// Takes over another account, other time limits and another trust for the same Redis.
  func adopt(_ wanted: RedisSettings, tls: TLSContext?) {
    settings = settings.withAccount(of: wanted)
    self.tls = tls
    let limits = Self.limits(settings, names)
    transport.close()
    if let cluster {
      transport = cluster.anyTransport()
      cluster.adopt(account(of: cluster.greeting), limits: limits, reach: Self.reach(dialer, tls))
    } else {
      transport = Self.transport(settings, dialer, tls)
      followMoves()
    }
    let single = (commands as? RedisConnection).map { [(connection: $0, place: RedisAddress?.none)] } ?? []
    for (connection, place) in single + others {
      connection.limits = limits
      let transport = place.map { Self.reach(dialer, tls)($0) } ?? transport
      connection.adopt(account(of: connection.greeting), over: transport)
    }
  }

  private func account(of greeting: RedisConnection.Greeting) -> RedisConnection.Greeting {
    var greeting = greeting
    greeting.user = settings.user
    greeting.password = settings.password
    return greeting
  }

  /// Another server is the primary now: what is sent to the former one would be lost.
  private func followMoves() {
    transport.onMove = { [weak self] in
      guard let self else { return }
      for case let connection as RedisConnection in all {
        connection.moveOn(because: "Sentinel names another primary")
      }
    }
  }

  // MARK: - What the settings make of a connection

  private static func reach(_ dialer: Dialer, _ tls: TLSContext?) -> (RedisAddress) -> any RedisTransport {
    { address in
      guard let tls else { return PlainRedisTransport(dialer: dialer, host: address.host, port: address.port) }
      return EncryptedRedisTransport(dialer: dialer, host: address.host, port: address.port, context: tls)
    }
  }

  private static func transport(
    _ settings: RedisSettings, _ dialer: Dialer, _ tls: TLSContext?
  ) -> any RedisTransport {
    let reach = reach(dialer, tls)
    guard let sentinel = settings.sentinel else {
      return reach(RedisAddress(host: settings.host, port: settings.port))
    }
    return SentinelTransport(loop: dialer.loop, sentinel: sentinel, clientName: settings.clientName, reach: reach)
  }

  private static func limits(_ settings: RedisSettings, _ names: RedisConnection.Limits) -> RedisConnection.Limits {
    var limits = names
    limits.connect = settings.connectTimeout
    limits.command = settings.commandTimeout
    return limits
  }

  private static func greeting(_ settings: RedisSettings, _ purpose: String) -> RedisConnection.Greeting {
    var greeting = RedisConnection.Greeting()
    greeting.user = settings.user
    greeting.password = settings.password
    greeting.database = settings.database
    // Redis takes no spaces in a name.
    greeting.name = settings.clientName.isEmpty ? "" : "\(settings.clientName)-\(purpose)"
    greeting.allowsCluster = settings.usesHashTags
    greeting.peer = settings.cluster == nil ? .primary : .node
    return greeting
  }
}
