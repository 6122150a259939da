/// Why a command has no answer.
package enum RedisError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Not sent: there is no connection. Holds what was wrong at the last try.
  case notConnected(String)
  /// Not sent: too much waits already.
  case overloaded
  /// Sent; whether Redis has carried it out is not known.
  case connectionLost(String)
  /// No answer in time. As with `connectionLost` it may have been carried out, or will be.
  case timedOut
  /// What came was no answer in Redis's protocol.
  case protocolViolation(String)
  /// Redis answered with an error, or with something else than the command brings.
  case refused(String)

  /// Whether the command may have been carried out.
  var leavesDoubt: Bool {
    switch self {
    case .connectionLost, .timedOut, .protocolViolation: true
    case .notConnected, .overloaded, .refused: false
    }
  }

  package var description: String {
    switch self {
    case .notConnected(let reason): "Redis: not connected (\(reason))"
    case .overloaded: "Redis: too many commands wait"
    case .connectionLost(let reason): "Redis: connection lost (\(reason))"
    case .timedOut: "Redis: no answer in time"
    case .protocolViolation(let text): "Redis: \(text)"
    case .refused(let text): "Redis: \(text)"
    }
  }
}

/// Who gets the answers to its commands. Always called from the loop, never from inside `send`.
package protocol RedisReceiver: AnyObject {
  /// - Parameter tag: what was given to `send`.
  func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64)
}

/// A receiver for one command, where it is no matter that it costs memory of its own.
final class RedisCompletion: RedisReceiver {
  private let body: (Result<RedisReply, RedisError>) -> Void

  init(_ body: @escaping (Result<RedisReply, RedisError>) -> Void) { self.body = body }

  func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) { body(result) }
}

/// Who wants to know when a connection comes and goes.
package protocol RedisConnectionObserver: AnyObject {
  /// Commands are carried out from now on.
  func redisBecameReady()
  /// The connection is lost; the answers that were due have been told to be lost before.
  func redisWasLost()
  /// It has read most of what was sent.
  func redisHasRoom()
}

extension RedisConnectionObserver {
  package func redisBecameReady() {}
  package func redisWasLost() {}
  package func redisHasRoom() {}
}
