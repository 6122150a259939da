import Bytes
package import Time

/// What a connection to Redis is for.
package enum RedisUse: String, CaseIterable, Sendable {
  case commands
  /// Waits for what workers write.
  case blocking
  /// Listens to channels.
  case channels
}

/// What a command asks of Redis.
package enum RedisCommandKind: String, CaseIterable, Sendable {
  case read
  case write
  case script
  /// Says nothing for seconds while nothing comes.
  case wait
  case publish
  /// About the connection or the server.
  case control

  private static let kinds: [String: RedisCommandKind] = [
    "GET": .read, "MGET": .read, "EXISTS": .read, "HGETALL": .read, "XLEN": .read, "XRANGE": .read, "XREVRANGE": .read,
    "SET": .write, "HSET": .write, "PEXPIRE": .write, "EVAL": .script, "EVALSHA": .script, "SCRIPT": .script,
    "XREAD": .wait, "PUBLISH": .publish,
  ]

  init(of name: String) { self = Self.kinds[name] ?? .control }
}

/// Counts what happens to one connection with one server. Called from the loop.
package protocol RedisMeter: AnyObject {
  /// There is a connection.
  func connected()
  /// It could not be made, or was lost.
  ///
  /// - Parameter waiting: what the command asked that had waited longest for its answer.
  func lost(_ reason: String, wasMade: Bool, waiting: RedisCommandKind?)
  /// The server has answered a command, or refused it.
  ///
  /// - Parameter time: since the command was written.
  func answered(_ kind: RedisCommandKind, after time: Nanoseconds)
  func refused(_ fault: RedisFault)
  /// No connection with this server is wanted any more.
  func left()
}

/// Makes the meter of a connection with a server.
package typealias RedisMeters = (RedisAddress, RedisUse) -> any RedisMeter

/// Tells how long the oldest commands of a connection have been on their way. They leave in few writes, and the clock is
/// read for each of these.
struct WriteTimes {
  private var waiting = Queue<(commands: Int, at: MonotonicTime)>()
  private var oldest: (commands: Int, at: MonotonicTime)?

  mutating func wrote(_ commands: Int, at time: MonotonicTime) {
    guard commands > 0 else { return }
    if oldest == nil { oldest = (commands, time) } else { waiting.append((commands, time)) }
  }

  /// When the command was written whose answer has come.
  mutating func next() -> MonotonicTime? {
    guard let (commands, time) = oldest else { return nil }
    oldest = commands > 1 ? (commands - 1, time) : waiting.popFirst()
    return time
  }
}
