import Bytes
import Loop
import Time

/// A command on its way through a cluster, kept until it is answered: it may have to go to another server.
final class RoutedCommand: RedisReceiver {
  /// The answer says where to go so often before it is taken for the answer.
  static let mostRedirects = 16

  let receiver: any RedisReceiver
  let tag: UInt64
  /// Of its first key; `nil` for one that is about no key.
  let slot: Int?
  /// Where it tells what it stores; `nil` for one that tells nothing.
  let channel: String?
  let kind: RedisCommandKind
  let bytes: [UInt8]
  let timeout: Nanoseconds?
  let mayWait: Bool
  let written: MonotonicTime
  /// Until when it is sent again, when no server takes it.
  let lastTry: MonotonicTime
  private let cluster: RedisCluster
  /// Where it was sent last.
  private(set) var address: RedisAddress?
  private(set) var redirects = 0
  /// Whether it was sent to a server that is only just getting the slot.
  private(set) var wasAsked = false

  init(
    _ receiver: any RedisReceiver, tag: UInt64, slot: Int?, channel: String?, kind: RedisCommandKind, bytes: [UInt8],
    timeout: Nanoseconds?,
    mayWait: Bool, in cluster: RedisCluster
  ) {
    self.receiver = receiver
    self.tag = tag
    self.slot = slot
    self.channel = channel
    self.kind = kind
    self.bytes = bytes
    self.timeout = timeout
    self.mayWait = mayWait
    self.cluster = cluster
    written = cluster.loop.now
    lastTry = cluster.lastTry
  }

  /// - Parameter mustAsk: the server takes it only behind `ASKING`, because it is only just getting the slot.
  /// - Returns: whether it was taken.
  func send(over connection: RedisConnection, at address: RedisAddress, mustAsk: Bool = false) -> Bool {
    self.address = address
    wasAsked = mustAsk
    if mustAsk { connection.send(to: RedisCompletion { _ in }) { $0.append("ASKING") } }
    return connection.send(to: self, tag: 0, timeout: timeout, mayWait: mayWait && !mustAsk) {
      $0.append(framed: bytes, kind)
    }
  }

  func redirected() { redirects += 1 }

  func fail(_ error: RedisError) { receiver.redisAnswered(.failure(error), tag: tag) }

  func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) { cluster.answered(self, result) }
}
