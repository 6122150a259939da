import Files
import Flags
import Harness
import JSON
import Loop
import Processes
import RunningGateway
import Testing
import Time

extension `fermata flags` {
  /// A rollout over all phases with the default conditions, at two gateways that share a Redis, under a steady load.
  ///
  /// By default half of the streams are of clients in graceful, so that 1 % takes seconds.
  /// `FERMATA_ROLLOUT_RATE=20` plays 20 streams a second of clients of whom chance alone decides: 20 minutes.
  @Suite(.enabled(if: GuardRedis.isAvailable)) struct `A rollout at two gateways` {
    @Test(.timeLimit(.minutes(60)))
    func `passes every phase without force, and a fault at 25 % takes it back at both`() throws {
      let rate = Host.environment["FERMATA_ROLLOUT_RATE"].flatMap(Int.init)
      try TwoGatewayPlay(rate: rate ?? 120, isBiased: rate == nil).run()
    }
  }
}

/// A redis-server for one play.
final class GuardRedis {
  let port: Int
  private let directory: TemporaryDirectory
  private let process: ChildProcess

  static let isAvailable: Bool = {
    let found = (try? ChildProcess(["redis-server", "--version"]))?.wait(timeout: .seconds(10)) == .code(0)
    if !found {
      print("*** redis-server is missing: a rollout at two gateways is NOT played ***")
      if Host.environment["CI"] != nil { Issue.record("redis-server is missing") }
    }
    return found
  }()

  init() throws {
    port = try FreePort.pick()
    directory = try TemporaryDirectory(prefix: "flags-redis")
    process = try ChildProcess([
      "redis-server", "--bind", "127.0.0.1", "--port", "\(port)", "--dir", directory.path, "--save", "", "--logfile",
      directory.path + "/log",
    ])
  }

  deinit {
    process.stop()
    directory.remove()
  }
}

private struct TwoGatewayPlay {
  private let redis: GuardRedis
  private let stage: Stage
  private let second: Stage.Second
  private let load: SteadyLoad
  private let isBiased: Bool
  private let begun = SystemClock.now

  init(rate: Int, isBiased: Bool) throws {
    redis = try GuardRedis()
    // The guard's own margins and metrics; only the time between looks is shortened.
    let configuration = "guardRedis: { url: \"redis://127.0.0.1:\(redis.port)\" }, guard: { interval: \"500ms\" }"
    stage = try Stage(flags: configuration)
    second = try stage.startSecond()
    self.isBiased = isBiased
    load = try SteadyLoad(
      rate: rate, isBiased: isBiased, flags: try Self.flags(stage), addresses: [stage.listen, second.listen])
  }

  private static func flags(_ stage: Stage) throws -> FlagSet {
    try FlagSet(parsing: try readFile(stage.bench.file, limit: 1 << 20).bytes)
  }

  private func say(_ text: String) {
    let counts = load.counts
    let seconds = Int((SystemClock.now - begun).seconds)
    print("\(seconds) s, \(counts.over) streams, \(counts.modes["graceful"] ?? 0) in graceful: \(text)")
  }

  private var both: [String] { ["--admin", stage.admin, "--admin", second.admin] }

  private func change(_ words: String...) throws -> Workbench.Answer {
    let answer = try stage.bench.run(words + both + ["--json", "--reason", "play"])
    if answer.exit == 0 { load.use(try Self.flags(stage)) }
    return answer
  }

  private func status() throws -> JSONValue {
    try stage.bench.run(["rollout", "status", "--json"] + both).data
  }

  /// Tries again and again until the conditions hold.
  private func take(_ words: String...) throws {
    let deadline = SystemClock.now + .seconds(isBiased ? 60 : 1500)
    var last = Workbench.Answer(exit: -1, lines: [])
    while SystemClock.now < deadline {
      last = try stage.bench.run(words + both + ["--json", "--reason", "play"])
      if last.exit == 0 {
        load.use(try Self.flags(stage))
        return say("\(words.joined(separator: " ")) to \(last.data["rollout"]?["phase"]?.string ?? "")")
      }
      try #require(last.exit == 6, "\(last.text)")
      SystemClock.sleep(.milliseconds(500))
    }
    throw Stage.ProcessFailure(text: "\(words) was refused to the end: \(last.text) \(try status().text())")
  }

  private func effects() throws -> [String] {
    try status()["gateways"]?.array?.map { $0["effect"]?.string ?? "" } ?? []
  }

  func run() throws {
    SystemClock.sleep(.seconds(1))
    let start = try stage.bench.change(
      "rollout", "start", "--variant", "graceful", "--internal", "qa", "--min-duration", "2s")
    try #require(start.exit == 0, "\(start.text)")
    load.use(try Self.flags(stage))
    say("started")
    for _ in 0..<3 { try take("rollout", "advance") }
    let shared = try status()
    #expect(shared["rollout"]?["share"] == 2500, "\(shared["rollout"]?.text() ?? "")")
    try takeBack()
    for _ in 0..<3 { try take("rollout", "advance") }
    try take("rollout", "finish")
    SystemClock.sleep(.seconds(1))
    let counts = load.stop()
    try compare(counts)
  }

  /// A fault in graceful at 25 %.
  private func takeBack() throws {
    SystemClock.sleep(.seconds(1))
    load.fail(inTen: 3)
    let begun = SystemClock.now
    let before = load.counts
    while SystemClock.now - begun < .seconds(300), try !effects().contains("rollback") {
      SystemClock.sleep(.milliseconds(50))
    }
    let tripped = SystemClock.now
    func isInTime() -> Bool { SystemClock.now - tripped < .seconds(1) + MachineDelay.since(tripped) }
    while isInTime(), try effects() != ["rollback", "rollback"] {
      SystemClock.sleep(.milliseconds(20))
    }
    #expect(try effects() == ["rollback", "rollback"])
    let faults = load.counts.faults - before.faults
    say("taken back at both after \((tripped - begun).seconds.rounded()) s and \(faults) faults")
    load.fail(inTen: 0)
    SystemClock.sleep(.seconds(1))
    let settled = load.counts
    SystemClock.sleep(.seconds(1))
    let later = load.counts
    #expect(later.modes["graceful"] == settled.modes["graceful"], "graceful went on after it was taken back")
    #expect(later.modes["legacy", default: 0] > settled.modes["legacy", default: 0])
    let refused = try change("rollout", "advance")
    #expect(refused.exit == 6, "\(refused.text)")
    let revision = try status()["guard"]?["latch"]?["revision"]?.string ?? ""
    #expect(try change("rollout", "resume", "--ack", "1").code == "wrong_revision")
    #expect(try change("rollout", "resume", "--ack", revision).exit == 0)
    let resumed = SystemClock.now
    while SystemClock.now - resumed < .seconds(5) + MachineDelay.since(resumed), try effects() != ["none", "none"] {
      SystemClock.sleep(.milliseconds(50))
    }
    #expect(try effects() == ["none", "none"])
    say("acknowledged and resumed")
  }

  /// What the gateways have counted is what the clients have seen.
  private func compare(_ counts: SteadyLoad.Counts) throws {
    let clients = try stage.bench.run(["rollout", "clients", "--json"] + both).data
    #expect(counts.refused == 0)
    #expect(clients["streams"]?.integer == counts.over, "\(clients["streams"]?.text() ?? "") of \(counts.over)")
    #expect(clients["staysLegacy"] == 0)
    let counted = Dictionary(uniqueKeysWithValues: counts.modes.keys.map { ($0, byMode($0, clients)) })
    #expect(counted == counts.modes)
    let log = try stage.flags("log", "--verify")
    #expect(log.exit == 0 && log.data["problems"] == [])
    #expect(!log.text.contains("\"forced\":[\""))
    say("finished: clients saw \(counts.modes), the gateways counted \(counted)")
  }

  private func byMode(_ mode: String, _ clients: JSONValue) -> Int {
    (clients["gateways"]?.array ?? []).reduce(0) { $0 + ($1["report"]?["byMode"]?[mode]?.integer ?? 0) }
  }
}
