import Harness
import JSON
import Processes
import RunningGateway
import Synchronization
import Testing
import Time

extension EndToEnd {
  /// Scenarios of runs that are drawn from seeds, many at a time, over two gateways and what they may have for Redis,
  /// while that is disturbed.
  ///
  /// `FERMATA_SCENARIOS` (100) says how many for each, `FERMATA_SCENARIOS_FROM` (1) where the seeds begin.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaScenarios {
    private static let count = number("FERMATA_SCENARIOS") ?? 100
    private static let first = number("FERMATA_SCENARIOS_FROM") ?? 1
    /// At once.
    private static let width = 24

    private static func number(_ name: String) -> UInt64? { Host.environment[name].flatMap { UInt64($0) } }

    private static var setup: Replicas.Setup {
      Replicas.Setup { request in ReplicaScenario(target: request.path)?.script ?? Script([.head(), .end]) }
    }

    @Test func `one server whose connections break again and again`() async throws {
      try await Replicas.with(Self.setup) { replicas in
        try await Self.play("one server", in: replicas) {
          try await Task.sleep(for: .milliseconds(400))
          for kind in ["normal", "pubsub"] { try replicas.redis.cli("CLIENT", "KILL", "TYPE", kind) }
        }
      }
    }

    /// Takes an hour from the time of day of the process that loads it.
    private static let lateClock = """
      #define _GNU_SOURCE
      #include <sys/syscall.h>
      #include <time.h>
      #include <unistd.h>
      int clock_gettime(clockid_t clock, struct timespec *time) {
        int result = syscall(SYS_clock_gettime, clock, time);
        if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec -= 3600;
        return result;
      }

      """

    @Test func `gateways whose clocks are an hour apart`() async throws {
      let folder = try ScratchDirectory()
      folder.write("clock.c", Self.lateClock)
      let compiler = try ChildProcess(["clang", "-shared", "-fPIC", "-o", folder["clock.so"], folder["clock.c"]])
      #expect(compiler.wait(timeout: .seconds(60)) == .code(0))
      var setup = Self.setup
      setup.otherEnvironment = ["LD_PRELOAD": folder["clock.so"]]
      try await Replicas.with(setup) { replicas in
        try await Self.play("clocks an hour apart", in: replicas) { try await Task.sleep(for: .milliseconds(100)) }
        let time = replicas.both.map { $0.log("started").first?["time"]?.string ?? "" }
        #expect(time[1] < time[0], "\(time)")
      }
    }

    @Test func `Sentinels that fail over`() async throws {
      let group = try await SentinelGroup()
      defer { group.stop() }
      let failovers = Counter()
      var setup = Self.setup
      setup.url = group.url
      // Longer than the machine may stand still: so long what a primary has forgotten proves nothing.
      setup.redis = "lease: \"5s\""
      try await Replicas.with(setup, group.servers[0]) { replicas in
        // What a primary has acknowledged and its replica has not yet is lost with it: readers are told.
        try await Self.play("Sentinels", mayLose: true, in: replicas) {
          try await Task.sleep(for: .seconds(2))
          // Not each is granted: the one before has to be over, and the new replica to have everything.
          if try group.failOver() == "OK" { failovers.count() }
          try await Task.sleep(for: .seconds(8))
        }
        #expect(failovers.value > 0)
      }
    }

    @Test func `a Cluster whose slots move`() async throws {
      let cluster = try await ClusterGroup()
      defer { cluster.kill() }
      var setup = Self.setup
      setup.url = "redis+cluster://127.0.0.1:\(cluster.servers[1].port)"
      try await Replicas.with(setup, cluster.servers[0]) { replicas in
        try await Self.play("a Cluster", in: replicas) {
          let turn = Int.random(in: 0..<3)
          let (source, target) = (cluster.servers[turn], cluster.servers[(turn + 1) % 3])
          for slot in try cluster.occupied(source) { try cluster.move(slot, from: source, to: target) }
          try await Task.sleep(for: .milliseconds(50))
        }
      }
    }

    private final class Counter: Sendable {
      private let number = Mutex(0)
      var value: Int { number.withLock { $0 } }
      func count() { number.withLock { $0 += 1 } }
    }

    // MARK: - Playing

    /// Plays the scenarios while `disturb` is done over and over.
    ///
    /// - Parameter mayLose: whether readers may be told that events are lost.
    private static func play(
      _ name: String, mayLose: Bool = false, in replicas: Replicas,
      while disturb: @escaping @Sendable () async throws -> Void
    ) async throws {
      let disturber = Task {
        while !Task.isCancelled { try await disturb() }
      }
      let total = await withTaskGroup(of: Verdict.self) { group in
        var sum = Verdict()
        for seed in first..<first + count {
          if seed >= first + UInt64(width), let verdict = await group.next() { sum.add(verdict) }
          group.addTask { await judge(ReplicaScenario(seed: seed), mayLose: mayLose, in: replicas) }
        }
        for await verdict in group { sum.add(verdict) }
        return sum
      }
      disturber.cancel()
      if case .failure(let error) = await disturber.result, !(error is CancellationError) {
        Issue.record("nothing was disturbed any more: \(error)")
      }
      let faults = total.faults.prefix(8).joined(separator: "\n")
      #expect(total.faults.isEmpty, "\(total.faults.count) of \(count):\n\(faults)")
      for gateway in replicas.both { #expect(gateway.isRunning) }
      let text = "\(count) scenarios from seed \(first): \(total.readers) readers on \(total.connections) connections"
      print("\(name): \(text), \(total.resets) told of a loss")
    }

    private struct Verdict {
      var faults: [String] = []
      var readers = 0
      var connections = 0
      var resets = 0

      mutating func add(_ other: Verdict) {
        faults += other.faults
        readers += other.readers
        connections += other.connections
        resets += other.resets
      }
    }

    private static func judge(
      _ scenario: ReplicaScenario, mayLose: Bool, in replicas: Replicas
    ) async -> Verdict {
      let stream = FirstStream()
      async let stopping = stop(scenario, in: replicas, stream)
      let readings = await withTaskGroup(of: ScenarioReading.self) { group in
        for reader in scenario.readers {
          group.addTask {
            await ScenarioReading.play(reader, of: scenario, in: replicas) { stream.opened($0) }
          }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
      var verdict = Verdict()
      verdict.readers = readings.count
      verdict.connections = readings.reduce(0) { $0 + $1.connections }
      let resets = readings.flatMap(\.resets)
      verdict.resets = resets.count
      var faults = readings.compactMap(\.fault)
      if let fault = await stopping { faults.append(fault) }
      if faults.isEmpty {
        let asked = replicas.world.backend.requests.count { $0.path == scenario.target }
        if asked != 1 { faults.append("the backend was asked \(asked) times") }
        if Set(readings.map(\.stream)).count != 1 { faults.append("several runs: \(readings.map(\.stream))") }
        if Set(readings.map(\.outcome)).count != 1 || !scenario.outcomes.contains(readings[0].outcome ?? "") {
          faults.append("outcomes \(readings.map(\.outcome))")
        }
        if Set(readings.map(\.position)).count != 1 { faults.append("read to \(readings.map(\.position))") }
        let lengths = scenario.lengths(readings[0].outcome)
        if !lengths.contains(readings[0].position) {
          faults.append("read to \(readings[0].position) of \(lengths.upperBound)")
        }
        if !mayLose { faults += resets }
      }
      if !faults.isEmpty { verdict.faults = ["\(scenario): \(faults.joined(separator: "; "))"] }
      return verdict
    }

    /// The id of a scenario's run, once somebody reads it.
    private final class FirstStream: Sendable {
      private let known = Mutex<String?>(nil)
      var id: String? { known.withLock { $0 } }
      func opened(_ id: String) { known.withLock { $0 = $0 ?? id } }
    }

    /// Stops the run, if the scenario says so.
    private static func stop(
      _ scenario: ReplicaScenario, in replicas: Replicas, _ stream: FirstStream
    ) async -> String? {
      guard case .stopped(let delay, let gateway) = scenario.ending else { return nil }
      let isOpen = await eventually(within: .seconds(60)) { stream.id != nil }
      guard isOpen, let stream = stream.id else { return "no stream to stop" }
      try? await Task.sleep(for: .nanoseconds(delay.value))
      for _ in 0..<300 {
        let answer = await replicas.open(
          "/api/agents/run/\(stream)", of: replicas.both[gateway], method: "DELETE", fields: [.signedIn]
        ).result()
        if answer.status == 204 { return nil }
        if answer.status != 503 { return "DELETE answered \(answer.status): \(answer.text)" }
        try? await Task.sleep(for: .milliseconds(100))
      }
      return "DELETE answered 503 all the time"
    }
  }
}
