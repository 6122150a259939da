import Glibc
import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Two gateways that ask Sentinels where Redis is.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaSentinels {
    private static let length = 400

    /// How many runs are open at a failover: more in a longer run of the tests.
    private static let runs = Host.environment["FERMATA_SENTINEL_RUNS"].flatMap { Int($0) } ?? 20

    enum Fault: String, CaseIterable { case killed, hangs, commanded }

    @Test(arguments: Fault.allCases)
    func `a failover by Sentinel loses no event and starts no run twice`(fault: Fault) async throws {
      let group = try await SentinelGroup()
      defer { group.stop() }
      let (primary, replica) = (group.servers[0], group.servers[1])
      var setup = Replicas.Setup { _ in RunWorld.ticking(Self.length, every: .milliseconds(25)) }
      setup.url = group.url
      try await Replicas.with(setup, primary) { replicas in
        let runs = (1...Self.runs).map { replicas.post("k-\($0)", of: replicas.world.gateway) }
        for run in runs { #expect(await run.receives("data: 5\n")) }
        let begin = replicas.world.clock
        switch fault {
        case .killed: primary.kill()
        case .hangs: primary.signal(SIGSTOP)
        case .commanded: try group.failOver()
        }
        let isOver = await eventually(within: .seconds(20)) {
          (try? replica.cli("info", "replication").contains("role:master")) == true
        }
        #expect(isOver)
        let promoted = replicas.world.clock
        // Until then the other gateway does what the route wants done without a store (`whenStoreFails`).
        let stream = try await runs[0].streamID()
        let isFollowed = await eventually(within: .seconds(10)) {
          // Both loops: one alone could by chance be asked each time.
          guard await replicas.other.metric("fermata_redis_connected") == 2 else { return false }
          for _ in 0..<8 {
            let told = await replicas.ask("/api/agents/run/\(stream)", fields: [.authorization("Bearer me")])
            if told.status != 200 { return false }
          }
          return true
        }
        #expect(isFollowed)
        let followed = replicas.world.clock
        let again = (1...Self.runs).map { replicas.post("k-\($0)", of: replicas.other) }
        for (run, repeated) in zip(runs, again) {
          let (result, other) = (await run.result(), await repeated.result())
          for result in [result, other] {
            #expect(result.payloads == RunWorld.numbers(1...Self.length) && result.outcome == "completed")
            #expect(result.streamEnd?["resumable"]?.bool == true)
          }
          #expect(other.streamID == result.streamID)
        }
        #expect(replicas.world.backend.requests.count == Self.runs)
        let fresh = await replicas.ask("/")
        #expect(fresh.outcome == "completed" && fresh.streamEnd?["resumable"]?.bool == true)
        #expect(try replica.cli("exists", "ai:run:\(fresh.streamID ?? ""):events") == "1")
        for gateway in replicas.both {
          let told = gateway.logText.split(separator: "\n").filter { $0.contains("store") || $0.contains("redis") }
          #expect(gateway.log("run_store_lost").isEmpty, "\(told.joined(separator: "\n"))")
        }
        if fault == .hangs { primary.signal(SIGCONT) }
        let (wait, more) = ((promoted - begin).milliseconds, (followed - promoted).milliseconds)
        print("\(fault): promoted after \(wait) ms, followed after \(more) more, \(Self.runs) runs and repeats whole")
      }
    }
  }
}
