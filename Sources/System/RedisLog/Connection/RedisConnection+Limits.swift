package import Streams
package import Time

// What a connection is given, and what it counts.
extension RedisConnection {
  /// Who is expected at the other end.
  package enum Peer: Sendable {
    /// A server that takes writes.
    case primary
    case sentinel
    /// A server of a Redis Cluster, which may be a replica: it says where to go.
    case node
  }

  /// What an established connection is told first.
  package struct Greeting: Sendable {
    package var user: String?
    package var password: String?
    package var database = 0
    /// Seen in `CLIENT LIST`; empty for none.
    package var name = ""
    /// Whether the server may be a node of a Redis Cluster: behind a proxy, which finds each key's node.
    package var allowsCluster = false
    package var peer = Peer.primary

    package init() {}
  }

  package struct Limits: Sendable {
    /// For making a connection, greeting included.
    package var connect = Nanoseconds.seconds(3)
    /// For the answer to a command; one that is late loses the connection.
    package var command = Nanoseconds.seconds(5)
    /// What the two are called in messages.
    package var connectName = TimeLimit.storeConnect
    package var commandName = TimeLimit.storeCommand
    /// While there is no connection commands wait for one, until there has been none for this long. Then they fail at
    /// once.
    package var patience = Nanoseconds.seconds(1)
    /// Commands without an answer, and bytes that wait for the turn to be written.
    package var commands = 100_000
    package var bytes = 64 << 20
    /// The pause after a failure; doubled from one to the next. Short, so that Redis is found soon after its return
    /// however long it was away.
    package var shortestPause = Nanoseconds.milliseconds(100)
    package var longestPause = Nanoseconds.milliseconds(500)

    package init() {}
  }

  package struct Counts: Equatable, Sendable {
    /// Commands that were taken.
    package var commands: UInt64 = 0
    /// Connections that could not be made.
    package var failures: UInt64 = 0
    /// Connections that were lost once they were made.
    package var losses: UInt64 = 0
    /// Commands that Redis has answered with an error, by what it said.
    package var errors: [RedisFault: UInt64] = [:]

    package init() {}

    /// Adds those of another connection.
    package mutating func add(_ other: Counts) {
      commands &+= other.commands
      failures &+= other.failures
      losses &+= other.losses
      errors.merge(other.errors) { $0 &+ $1 }
    }
  }
}

// Who counts what happens here, by servers.
extension RedisConnection {
  /// The transport may have led to another server than before.
  func followPlace() {
    guard let meters, !isClosed, let place = transport.place, place != metered?.place else { return }
    leaveMeter()
    metered = (place, meters(place))
  }

  func leaveMeter() {
    metered?.meter.left()
    metered = nil
  }
}
