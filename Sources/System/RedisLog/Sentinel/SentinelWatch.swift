import Loop
import Sockets
import Streams
import Time

/// Asks Redis Sentinels which server is the primary of a group, once a second for as long as it is open.
///
/// One Sentinel is asked at a time, the next when it can't be reached, does not answer or does not know the group. The
/// answer is taken as it is: https://redis.io/docs/latest/develop/reference/sentinel-clients/ wants that, and that the
/// server itself is asked for its role, which the greeting of every connection does.
final class SentinelWatch {
  typealias Completion = (Result<RedisAddress, RedisError>) -> Void

  /// How long after a failover connections may still stand that lead to the former primary.
  private static let interval = Nanoseconds.seconds(1)
  /// For a Sentinel to be reached, and to answer.
  private static let patience = Nanoseconds.seconds(1)

  /// Who waits for an answer.
  final class Search {
    fileprivate let end: MonotonicTime
    /// Tries that had failed when it began.
    fileprivate let failures: UInt64
    fileprivate var completion: Completion?

    fileprivate init(end: MonotonicTime, failures: UInt64, _ completion: @escaping Completion) {
      self.end = end
      self.failures = failures
      self.completion = completion
    }

    func cancel() { completion = nil }
  }

  private let redis: RedisConnection
  private let settings: SentinelSettings
  /// What was last answered, and when.
  private var primary: RedisAddress?
  private var answered: MonotonicTime
  private var asked: MonotonicTime
  private var isAsking = false
  private var searches: [Search] = []
  private var handle: DeadlineHandle?
  /// Called when another server has become the primary.
  var onChange: () -> Void = {}

  /// - Parameter reach: makes the way to one of the addresses.
  init(
    loop: EventLoop, settings: SentinelSettings, clientName: String,
    reach: @escaping (RedisAddress) -> any RedisTransport
  ) {
    self.settings = settings
    var greeting = RedisConnection.Greeting()
    greeting.user = settings.user
    greeting.password = settings.password
    greeting.name = clientName.isEmpty ? "" : "\(clientName)-sentinel"
    greeting.peer = .sentinel
    var limits = RedisConnection.Limits()
    limits.connect = Self.patience
    limits.command = Self.patience
    let rota = RotatingTransport(settings.addresses.map(reach))
    redis = RedisConnection(loop: loop, transport: rota, greeting: greeting, limits: limits)
    (answered, asked) = (loop.now, loop.now)
  }

  /// Tells the primary's address: at once where it was answered a moment ago, else with the next answer. When no Sentinel
  /// can say it, the address that was last known, if any: its role is asked in any case.
  ///
  /// - Parameter completion: called once, unless the search is cancelled; perhaps before this returns.
  func locate(within time: Nanoseconds, _ completion: @escaping Completion) -> Search {
    let search = Search(end: redis.loop.now + time, failures: failures, completion)
    if handle == nil {
      redis.add(self)
      redis.start()
      handle = redis.loop.deadlines.add(self, at: redis.loop.now + EventLoop.tickInterval)
    }
    if let primary, redis.loop.now - answered <= Self.interval + EventLoop.tickInterval {
      completion(.success(primary))
    } else {
      searches.append(search)
      ask()
    }
    return search
  }

  func close() {
    onChange = {}
    finish { _ in .failure(.notConnected("closed")) }
    if let handle { redis.loop.deadlines.remove(handle) }
    handle = nil
    redis.close()
  }

  private var failures: UInt64 { redis.counts.failures &+ redis.counts.losses }

  private func ask() {
    guard redis.isReady, !isAsking else { return }
    isAsking = true
    asked = redis.loop.now
    redis.send { command in
      command.append("SENTINEL")
      command.append("GET-MASTER-ADDR-BY-NAME")
      command.append(settings.primary)
    } completion: { [weak self] result in
      guard let self else { return }
      isAsking = false
      if case .success(let reply) = result { read(reply) }
    }
  }

  private func read(_ reply: RedisReply) {
    guard let (host, port) = reply.firstTwo, let port = UInt16(port.text), port > 0, case let host = host.text,
      (1...255).contains(host.utf8.count), host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
    else {
      let what = reply.isError ? reply.text : "it knows no primary \"\(settings.primary)\""
      return redis.drop(because: what)
    }
    answered = redis.loop.now
    let address = RedisAddress(host: host, port: port)
    let hasChanged = primary != nil && primary != address
    primary = address
    finish { _ in .success(address) }
    if hasChanged { onChange() }
  }

  private func finish(_ result: (Search) -> Result<RedisAddress, RedisError>?) {
    let waiting = searches
    searches = []
    for search in waiting {
      guard let completion = search.completion else { continue }
      guard let result = result(search) else {
        searches.append(search)
        continue
      }
      search.completion = nil
      completion(result)
    }
  }
}

extension SentinelWatch: RedisConnectionObserver, DeadlineMember {
  func redisBecameReady() {
    isAsking = false
    ask()
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    if now - asked >= Self.interval { ask() }
    finish { search in
      // Each has been asked since, or there is no time left.
      let tries = Int(clamping: failures &- search.failures)
      guard search.end <= now || tries >= settings.addresses.count else { return nil }
      if let primary { return .success(primary) }
      return .failure(.notConnected("no Sentinel says where Redis is: \(redis.lastFault ?? "no answer in time")"))
    }
    return now + EventLoop.tickInterval
  }
}

/// Leads to one of several places, the next with each attempt.
private final class RotatingTransport: RedisTransport {
  private let places: [any RedisTransport]
  private var next = 0

  /// - Parameter places: at least one.
  init(_ places: [any RedisTransport]) {
    self.places = places
  }

  func open(
    timeout: Nanoseconds, completion: @escaping (Result<any Connection, RedisError>) -> Void
  ) -> () -> Void {
    let place = places[next]
    next = (next + 1) % places.count
    return place.open(timeout: timeout, completion: completion)
  }
}
