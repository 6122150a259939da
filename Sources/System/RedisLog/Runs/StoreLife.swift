import Bytes
import Loop
package import Runs
package import Time

/// Notices that Redis may have lost data: it was restarted, emptied (`FLUSHALL`), or replaced by a replica.
///
/// The key `epoch` names the life of the data: the server's `run_id`, and when that life was first seen, by Redis's own
/// clock. Where the key is missing, or names another server, a new life begins. In its first lease no key is given away
/// and no run is closed (`RedisScript.remainingWait`), while every gateway writes its keys again: at the head of a new
/// connection, and within a second where the connection has stayed. A cluster has no such key: there it counts when this
/// gateway has noticed that a server has lost its data or a replica has taken over.
package final class StoreLife {
  private static let interval = Nanoseconds.seconds(1)

  private let redis: any RedisLink
  private let settings: RedisSettings
  let key: String
  private var observers: [ObjectIdentifier: any StoreLifeObserver] = [:]
  private var handle: DeadlineHandle?
  private var isAsking = false
  /// The marker that was last read.
  private var marker: [UInt8]?
  private var hasConnected = false
  /// Lives that have begun since the first marker was read.
  package private(set) var changes: UInt64 = 0

  init(redis: any RedisLink, settings: RedisSettings, key: String) {
    self.redis = redis
    self.settings = settings
    self.key = key
    redis.forerunner = self
  }

  /// Whether the marker is used. Not in a cluster, where each node has a life of its own and a script may not name keys
  /// of several.
  private var isWatched: Bool { !settings.usesHashTags }

  package func add(_ observer: any StoreLifeObserver) { observers[ObjectIdentifier(observer)] = observer }
  package func remove(_ observer: any StoreLifeObserver) { observers[ObjectIdentifier(observer)] = nil }

  /// The key, for a script that asks how long to wait; empty when it need not.
  var keys: [String] { isWatched ? [key] : [] }

  /// What such a script is told behind its own arguments, after its keys.
  func writeArguments(to command: RedisCommand) {
    command.append(redis.serverID)
    command.append(isWatched ? RunRecords.milliseconds(settings.lease) : remainingDoubt(in: command.slot))
  }

  /// In milliseconds; 0 where nothing is known to have been lost in the last lease.
  private func remainingDoubt(in slot: Int?) -> Int {
    guard let since = redis.doubtful(in: slot), case let left = settings.lease - (redis.loop.now - since), left > .zero
    else {
      return 0
    }
    return RunRecords.milliseconds(left)
  }

  /// Nobody is told any more, and the loop lets it go.
  package func close() {
    observers = [:]
    if let handle { redis.loop.deadlines.remove(handle) }
    handle = nil
  }

  private func tellAll() {
    for observer in Array(observers.values) { observer.storeMayHaveForgotten() }
  }

  private func askForMarker() {
    guard isWatched, redis.isReady, !isAsking else { return }
    isAsking = true
    redis.send(to: self) { command in
      command.begin(RedisScript.epoch, keys: keys)
      writeArguments(to: command)
    }
  }
}

extension StoreLife: RedisConnectionObserver, RedisReceiver, DeadlineMember {
  package func redisBecameReady() {
    isAsking = false
    askForMarker()
    if hasConnected { tellAll() }
    hasConnected = true
    if handle == nil, isWatched { handle = redis.loop.deadlines.add(self, at: redis.loop.now + Self.interval) }
  }

  package func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) {
    isAsking = false
    guard case .success(let reply) = result, reply.kind == .bulk else { return }
    let bytes = reply.bytes
    defer { marker = bytes }
    guard let marker, marker != bytes else { return }
    changes &+= 1
    tellAll()
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    if redis.isClosed {
      handle = nil
      return nil
    }
    askForMarker()
    return now + Self.interval
  }
}
