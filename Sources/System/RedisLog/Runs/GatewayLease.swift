import Bytes
import Loop
import Runs
import Time

/// Who has to write its keys again after the lease of its loop had run out, or Redis may have lost them.
protocol GatewayLeaseMember: AnyObject {
  func mustAssert()
}

/// The one key that keeps all that a loop holds in Redis its own: its runs, and its readers of others'. However many they
/// are, one command renews it.
///
/// Who finds it gone may end the loop's runs, and counts its readers no more. A loop that finds its own key gone (it stood
/// still, or Redis was away for too long) writes all that it holds again, under the next term: who has read the former one
/// then ends nothing. Confined to the loop's thread; retained by its loop until `close()`.
final class GatewayLease {
  private static let pauseAfterFailure = Nanoseconds.milliseconds(500)

  /// This loop among all; no other has that name, nor had it.
  let place = String(UInt64.random(in: .min ... .max), radix: 36)
  /// How often everything was written again.
  private(set) var term: UInt64 = 0

  private let redis: any RedisLink
  private let settings: RedisSettings
  private let key: String
  private var members: [ObjectIdentifier: any GatewayLeaseMember] = [:]
  /// Those who wait for the key to be there, and until when a lost connection is no answer to them.
  private var waiting: [(lastTry: MonotonicTime, completion: (RedisError?) -> Void)] = []
  private var handle: DeadlineHandle?
  private var isClosed = false
  /// The commands that have no answer yet, by their tags: when each was sent, and whether all was written again behind it.
  private var asked: [UInt64: (at: MonotonicTime, hasAsserted: Bool)] = [:]
  private var lastTag: UInt64 = 0
  /// Since when the key was last there for sure; `nil` before the first time.
  private var confirmed: MonotonicTime?

  init(redis: any RedisLink, settings: RedisSettings, keys: RunKeys) {
    self.redis = redis
    self.settings = settings
    key = keys.gateway(place)
  }

  /// What stands in the `owner` of a run: `<token> <place> <term>`.
  func title(_ token: String) -> String { "\(token) \(place) \(term)" }

  /// The place in such a title; `nil` when there is none.
  static func place(_ title: String) -> String? {
    let words = title.utf8.split(separator: 0x20)
    return words.count == 3 && words[1].count <= 13 ? String(words[1]) : nil
  }

  func add(_ member: any GatewayLeaseMember) {
    guard !isClosed else { return }
    members[ObjectIdentifier(member)] = member
    if handle == nil { begin() }
  }

  func remove(_ member: any GatewayLeaseMember) { members[ObjectIdentifier(member)] = nil }

  /// Calls back when the key is there: at once when it is known to be, or never can be.
  func whenHeld(_ completion: @escaping (RedisError?) -> Void) {
    guard !isClosed else { return completion(nil) }
    if let confirmed, redis.loop.now - confirmed < settings.lease { return completion(nil) }
    waiting.append((redis.lastTry, completion))
    if handle == nil { begin() } else if asked.isEmpty { renew() }
  }

  /// Nobody is told any more. The key runs out by itself.
  func close() {
    isClosed = true
    members = [:]
    tellWaiting(.notConnected("closed"))
    if let handle { redis.loop.deadlines.remove(handle) }
    handle = nil
  }

  private func begin() {
    handle = redis.loop.deadlines.add(self, at: redis.loop.now + settings.renewal)
    renew()
  }

  private func renew(asserting: Bool = false) {
    lastTag += 1
    asked[lastTag] = (redis.loop.now, asserting)
    redis.send(to: self, tag: lastTag) { command in
      command.append("SET")
      command.append(key: key)
      command.append("1")
      command.append("PX")
      command.append(RunRecords.milliseconds(settings.lease))
      // Answers what was there: nothing, if the lease had run out.
      command.append("GET")
    }
  }

  private func assertAll() {
    term += 1
    for member in Array(members.values) { member.mustAssert() }
  }

  private func tellWaiting(_ error: RedisError?) {
    let told = waiting
    waiting = []
    for (_, completion) in told { completion(error) }
  }

  /// Asks again for those who still have time, and tells the others that it has failed.
  private func retry(after error: RedisError) {
    let told = waiting
    waiting = told.filter { $0.lastTry > redis.loop.now }
    if !waiting.isEmpty, asked.isEmpty { renew() }
    for (lastTry, completion) in told where lastTry <= redis.loop.now { completion(error) }
  }
}

extension GatewayLease: RedisReceiver, DeadlineMember, StoreLifeObserver {
  func storeMayHaveForgotten() {
    guard handle != nil else { return }
    // In front of everything that waits for the connection.
    renew(asserting: true)
    assertAll()
  }

  func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) {
    guard let (time, hasAsserted) = asked.removeValue(forKey: tag), handle != nil else { return }
    switch result {
    case .failure(let error): failed(error)
    case .success(let reply) where reply.isError: failed(.refused(reply.errorText))
    case .success(let reply):
      let hadRunOut = reply.isNull && confirmed != nil
      confirmed = time
      tellWaiting(nil)
      if hadRunOut, !hasAsserted { assertAll() }
    }
  }

  private func failed(_ error: RedisError) {
    if case .connectionLost = error { retry(after: error) } else { tellWaiting(error) }
    // What counts is whether Redis is back before others look.
    if let handle { redis.loop.deadlines.move(handle, to: redis.loop.now + Self.pauseAfterFailure) }
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    if asked.isEmpty { renew() }
    return now + settings.renewal
  }
}
