package import Configuration
import Flags
package import JSON
package import Logging
package import Loop
import RedisLog
import Sockets
import Telemetry
import Time

/// Shares kills, trips and what the guard has counted with the other gateways, over Redis.
///
/// Lives on the main loop. Nothing waits for it: what is decided here is in force at once, and told to Redis when there
/// is one.
package final class GuardShare {
  /// How often Redis is asked although it has said nothing, and while its channel is not heard.
  private static let interval = Nanoseconds.seconds(1)
  private static let shortInterval = Nanoseconds.milliseconds(200)
  /// The longest time between two exchanges of sums.
  private static let sumsInterval = Nanoseconds.seconds(5)
  /// How long a decision outlives the last gateway that knows it.
  private static let wordLifetime = Nanoseconds.seconds(86_400)
  private static let sumsLifetime = Nanoseconds.seconds(600)
  /// Bytes of what another gateway says that are read.
  private static let textLimit = 1 << 16

  private let keeper: GuardKeeper
  private let loop: EventLoop
  private let log: WorkerLog
  private let dialer: Dialer
  private var store: GuardStore
  /// No other process has it.
  private let name = String(UInt64.random(in: 1 ... .max), radix: 16)
  private var kill: SharedWord
  private var latch: SharedWord
  private var peers = PeerSums()
  private var timer: Timer?
  /// Questions without an answer, by what they are about.
  private var asking: Set<String> = []
  private var lastAsked = MonotonicTime(nanoseconds: 0)
  private var lastSums = MonotonicTime(nanoseconds: 0)
  private var refusals: [String: String] = [:]
  private var toldFault: String?
  private var hasToldConnection = false

  /// What other gateways have decided and was taken over here, by what it was.
  package private(set) var adopted: [String: Int] = [:]
  /// Exchanges that did not come to their end.
  package private(set) var failures = 0

  /// `nil` where nothing is shared.
  package init?(_ configuration: Configuration, keeper: GuardKeeper, loop: EventLoop, log: WorkerLog) {
    guard let wanted = configuration.guardRedis else { return nil }
    self.keeper = keeper
    self.loop = loop
    self.log = log
    dialer = Dialer(loop: loop)
    store = GuardStore(dialer: dialer, settings: wanted.settings, tls: wanted.tls, names: wanted.names)
    kill = SharedWord(keeper.shared["kill"], inForce: keeper.kill?.json)
    latch = SharedWord(keeper.shared["latch"], inForce: keeper.machine.latch?.json)
  }

  package func start() {
    keeper.onDecision = { [unowned self] decision in
      switch decision {
      case .kill(let wanted): kill.set(wanted?.json.text() ?? "")
      case .trip(let made): latch.set(made.json.text())
      }
      keeper.shared = state
      exchangeNow()
    }
    begin()
    tick()
  }

  private func begin() {
    store.onNews = { [unowned self] in exchangeNow() }
    store.start()
  }

  /// Another configuration is in force.
  package func settingsChanged(_ configuration: Configuration) {
    guard let wanted = configuration.guardRedis, wanted.settings != store.settings else { return }
    guard store.settings.isSamePlace(as: wanted.settings), store.settings.prefix == wanted.settings.prefix else {
      store.close()
      store = GuardStore(dialer: dialer, settings: wanted.settings, tls: wanted.tls, names: wanted.names)
      return begin()
    }
    store.adopt(wanted.settings, tls: wanted.tls)
  }

  package func close() {
    timer?.cancel()
    store.close()
    keeper.onDecision = { _ in }
  }

  // MARK: - When

  private func tick() {
    let timer = Timer(loop: loop) { [unowned self] in
      let now = loop.readClock()
      if now - lastAsked >= (store.isListening ? Self.interval : Self.shortInterval) { exchangeNow() }
      if now - lastSums >= min(keeper.machine.policy.interval, Self.sumsInterval) { exchangeSums(now) }
      tell()
      tick()
    }
    timer.schedule(after: min(Self.shortInterval, keeper.machine.policy.interval))
    self.timer = timer
  }

  private func exchangeNow() {
    guard store.isReady else { return }
    lastAsked = loop.readClock()
    // A flag file that acknowledges the trip opens the latch for all whose file it is.
    if let tripped = GuardMachine.Latch(text: latch.text), keeper.acknowledges(tripped) { latch.set("") }
    exchange(
      "kill", \.kill, isSame: Self.isSameKill, isHarder: Self.isHarderKill,
      isReadable: { OperatorKill(text: $0) != nil },
      adopt: { $0.adoptKill($1) })
    exchange(
      "latch", \.latch, isSame: Self.isSameLatch, isHarder: Self.isHarderLatch,
      isReadable: { GuardMachine.Latch(text: $0) != nil },
      adopt: { $0.adoptLatch($1) })
  }

  private static func isSameKill(_ one: String, _ other: String) -> Bool {
    OperatorKill(text: one)?.isHard == OperatorKill(text: other)?.isHard
  }

  private static func isHarderKill(_ one: String, _ other: String) -> Bool {
    guard let one = OperatorKill(text: one), let other = OperatorKill(text: other) else { return false }
    return one.isHard && !other.isHard
  }

  private static func isHarderLatch(_ one: String, _ other: String) -> Bool {
    guard let one = GuardMachine.Latch(text: one), let other = GuardMachine.Latch(text: other) else { return false }
    return one.effect == .rollback && other.effect == .hold
  }

  private static func isSameLatch(_ one: String, _ other: String) -> Bool {
    let (one, other) = (GuardMachine.Latch(text: one), GuardMachine.Latch(text: other))
    return one?.revision == other?.revision && one?.effect == other?.effect
  }

  // MARK: - Words

  private func exchange(
    _ name: String, _ word: ReferenceWritableKeyPath<GuardShare, SharedWord>,
    isSame: @escaping (String, String) -> Bool, isHarder: @escaping (String, String) -> Bool,
    isReadable: @escaping (String) -> Bool,
    adopt: @escaping (GuardShare, String) -> Void
  ) {
    guard asking.insert(name).inserted else { return }
    let offer = self[keyPath: word].offer()
    store.exchange(name, number: offer.number, text: offer.text, lifetime: Self.wordLifetime) { [weak self] result in
      guard let self else { return }
      asking.remove(name)
      guard let entry = entry(of: result, name, isReadable) else { return self[keyPath: word].fail() }
      let before = self[keyPath: word]
      let news = self[keyPath: word].take(entry, isSame: isSame, isHarder: isHarder)
      if let news { adopt(self, news) }
      guard self[keyPath: word] != before || news != nil else { return }
      keeper.shared = state
      keeper.save()
      // What somebody else was quicker with goes out again with the next number.
      if self[keyPath: word].wish != nil { exchangeNow() }
    }
  }

  private func entry(
    of result: Result<(number: String, text: String), RedisError>, _ name: String, _ isReadable: (String) -> Bool
  ) -> SharedWord.Entry? {
    switch result {
    case .failure(let error):
      failed(name, error.reason)
      return nil
    case .success(let (number, text)):
      guard let number = Int(number), (0...SharedWord.limit).contains(number), text.utf8.count <= Self.textLimit,
        text.isEmpty || isReadable(text)
      else {
        failed(name, "\(store.key(name)) was not written by a gateway: delete it")
        return nil
      }
      refusals[name] = nil
      return SharedWord.Entry(number: number, text: text)
    }
  }

  private func failed(_ name: String, _ reason: String) {
    failures += 1
    refusals[name] = reason
  }

  private func adoptKill(_ text: String) {
    guard keeper.adopt(OperatorKill(text: text)) else { return }
    adopted[text.isEmpty ? "unkill" : "kill", default: 0] += 1
  }

  /// A latch that another gateway has opened stays here until the file that opens it is here too.
  private func adoptLatch(_ text: String) {
    guard let tripped = GuardMachine.Latch(text: text), !keeper.acknowledges(tripped), keeper.adopt(tripped) else {
      return
    }
    adopted["trip", default: 0] += 1
  }

  /// For the state file.
  private var state: JSONValue { ["kill": kill.json, "latch": latch.json] }

  // MARK: - Sums

  private func exchangeSums(_ now: MonotonicTime) {
    guard store.isReady, !keeper.isResting, asking.insert("sums").inserted else { return }
    lastSums = now
    let report = PeerSums.Report(hash: keeper.hash, arms: keeper.ownPhase)
    store.exchangeSums(of: name, report.json.text(), lifetime: Self.sumsLifetime) { [weak self] result in
      guard let self else { return }
      asking.remove("sums")
      switch result {
      case .failure(let error): failed("sums", error.reason)
      case .success(let others):
        refusals["sums"] = nil
        let reports = others.lazy.filter { $0.text.utf8.count <= Self.textLimit }.compactMap { other in
          PeerSums.Report(try? JSONValue(parsing: other.text)).map { (other.name, $0) }
        }
        peers.take(Dictionary(Array(reports)) { first, _ in first }, hash: keeper.hash)
        keeper.others = peers.sums
      }
    }
  }

  // MARK: - Telling

  /// Why nothing is shared now; `nil` when all is well, and before the first try is over.
  package var fault: String? {
    if let absence = store.absence { return absence }
    return refusals.sorted { $0.key < $1.key }.first?.value
  }

  /// Whether what is decided here is known to all.
  package var isDone: Bool { store.isReady && kill.wish == nil && latch.wish == nil }
  package var isConnected: Bool { store.isReady && fault == nil }

  /// For `/flags` and `/readyz`.
  package var standing: JSONValue {
    var object: JSONObject = [
      "redis": .string(store.settings.description),
      "status": .string(fault != nil ? "lost" : store.isReady ? "connected" : "connecting"),
      "done": .bool(isDone), "gateways": JSONValue(peers.count + 1),
    ]
    if let fault { object["reason"] = .string(fault) }
    return .object(object)
  }

  private func tell() {
    let fault = fault
    if let fault, toldFault == nil {
      log.write(.error, .guardRedisLost, at: loop.wallTime()) { line in
        line.field("redis", store.settings.description)
        line.field("reason", fault)
      }
    } else if fault == nil, store.isReady, toldFault != nil || !hasToldConnection {
      hasToldConnection = true
      log.write(.info, .guardRedisConnected, at: loop.wallTime()) { line in
        line.field("redis", store.settings.description)
      }
    }
    // The next try may fail for another reason, which is not worth a line.
    toldFault = fault == nil && !store.isReady ? toldFault : fault
  }
}

extension SharedWord {
  /// Reads what `json` wrote.
  ///
  /// - Parameter inForce: what holds although nothing was written: it was decided before anything was shared.
  fileprivate init(_ json: JSONValue?, inForce: JSONValue?) {
    let number = json?["number"]?.integer ?? 0
    guard let text = json?["text"]?.string, (0...Self.limit).contains(number) else {
      self.init(wish: inForce?.text())
      return
    }
    self.init(stored: Entry(number: number, text: text), wish: json?["wish"]?.string)
  }

  fileprivate var json: JSONValue {
    [
      "number": JSONValue(stored.number), "text": .string(stored.text), "wish": wish.map { .string($0) } ?? .null,
    ]
  }
}

extension OperatorKill {
  fileprivate init?(text: String) {
    self.init(text.isEmpty ? nil : try? JSONValue(parsing: text))
  }
}

extension GuardMachine.Latch {
  fileprivate init?(text: String) {
    self.init(text.isEmpty ? nil : try? JSONValue(parsing: text))
  }
}
