import Harness
import JSON
import RunningGateway
import Testing
import Time

extension Replicas {
  /// Two gateways with a route whose path names its runs, and one whose path does not.
  static func withNames(
    _ runs: String = "onDisconnect: \"cancel\"", script: Script,
    _ body: (Replicas) async throws -> Void
  ) async throws {
    let redis = try await RedisProcess()
    defer { redis.kill() }
    let setup = World.Setup(
      variant: "graceful",
      configuration: """
        { upstreams: { main: { url: "UPSTREAM" } }, workers: 2,
          runs: { redis: { url: "redis://127.0.0.1:\(redis.port)", lease: "2s" } },
          routes: [
            { name: "agents", path: "/agents/:runId", runs: { source: "redis" } },
            { name: "named", path: "/named/:runId", upstreams: ["main"],
              runs: { store: "redis", name: "runId", \(runs) } },
            { name: "all", upstreams: ["main"], runs: { store: "redis", \(runs) } } ] }
        """, script: { _ in script })
    try await World.with(setup) { world in
      let arguments = ["--flags", world.flags.path, "--config", world.flags.directory["fermata.json5"]]
      let other = try await GatewayProcess.start(arguments, clients: world.clients)
      defer { other.signal(9) }
      try await body(Replicas(world: world, other: other, redis: redis))
    }
  }

  /// What both gateways say of a run.
  func states(of run: String, fields: [Script.Field] = []) async throws -> [JSONValue] {
    let path = "/api/agents/run/\(run)"
    let answers = [await world.send(ClientRequest("GET", path, fields: fields)), await ask(path, fields: fields)]
    return try answers.map { answer in
      #expect(answer.status == 200)
      return try JSONValue(parsing: answer.body)
    }
  }
}

extension EndToEnd {
  /// What one replica knows of a run that another has.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaStates {
    private static let ticking = RunWorld.ticking(200, every: .milliseconds(20))

    @Test func `every replica tells the same of a run, while it goes on and when it is over`() async throws {
      let short = RunWorld.ticking(40, every: .milliseconds(50))
      try await Replicas.withNames(script: short) { replicas in
        let first = replicas.world.openNew("/x")
        #expect(await first.receives("data: 2\n"))
        let stream = await first.soFar().head.value("X-Stream-Id") ?? ""
        let others = [replicas.open("/fermata/streams/\(stream)"), replicas.open("/fermata/streams/\(stream)")]
        let near = replicas.world.openNew("/fermata/streams/\(stream)")
        for reader in others + [near] { #expect(await reader.receives("data: 3\n")) }
        let areCounted = try await eventually {
          try await replicas.states(of: stream).allSatisfy { $0["readers"]?.integer == 4 }
        }
        let running = try await replicas.states(of: stream)
        #expect(areCounted, "\(running)")
        for state in running {
          #expect(state["streamId"]?.string == stream && state["state"]?.string == "running")
          #expect(state["attempts"]?.integer == 1 && state["outcome"] == .null)
          #expect((3...40).contains(state["sequence"]?.integer ?? 0), "\(state)")
        }
        for reader in others { reader.hangUp() }
        let haveLeft = try await eventually {
          try await replicas.states(of: stream).allSatisfy { $0["readers"]?.integer == 2 }
        }
        #expect(haveLeft)
        #expect(await first.result().outcome == "completed")
        let isSame = try await eventually {
          let states = try await replicas.states(of: stream)
          return states[0] == states[1] && states[0]["readers"]?.integer == 0
        }
        let states = try await replicas.states(of: stream)
        #expect(isSame, "\(states)")
        #expect(states[1]["state"]?.string == "ended" && states[1]["outcome"]?.string == "completed")
        #expect(states[1]["sequence"]?.integer == 41 && states[1]["attempts"]?.integer == 1)
        #expect((states[1]["milliseconds"]?.integer ?? 0) >= 1900)
      }
    }

    @Test func `a worker's run that nobody has read tells its events`() async throws {
      try await Replicas.withNames(script: Self.ticking) { replicas in
        for number in 1...3 { try replicas.redis.cli("xadd", "ai:run:job-1:events", "*", "data", "\(number)") }
        for state in try await replicas.states(of: "job-1") {
          #expect(state["streamId"] == .null && state["state"]?.string == "running")
          #expect(state["sequence"]?.integer == 3 && state["readers"]?.integer == 0)
        }
        let reader = replicas.open("/agents/job-1")
        #expect(await reader.receives("data: 3\n"))
        let stream = await reader.soFar().head.value("X-Stream-Id")
        for state in try await replicas.states(of: "job-1") {
          #expect(state["streamId"]?.string == stream && state["readers"]?.integer == 1)
        }
        try replicas.redis.cli("xadd", "ai:run:job-1:events", "*", "end", "completed")
        #expect(await reader.result().outcome == "completed")
        for state in try await replicas.states(of: "job-1") {
          #expect(state["state"]?.string == "ended" && state["sequence"]?.integer == 3)
          #expect(state["outcome"]?.string == "completed")
        }
      }
    }

    @Test func `a client's second stream of the same name on another replica ends its first at once`() async throws {
      try await Replicas.withNames(script: Self.ticking) { replicas in
        let fields: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .signedIn, .clientStream("tab")]
        let first = replicas.world.open("/x", fields: fields)
        #expect(await first.receives("data: 5\n"))
        let second = replicas.open("/x", fields: [.signedIn, .clientStream("tab")])
        #expect(await second.receives("data: 5\n"))
        let attached = replicas.world.clock
        let ended = await first.result()
        let took = replicas.world.clock - attached
        #expect(ended.outcome == "replaced_by_new_stream" && ended.end == .clean)
        #expect(took < .milliseconds(250) + MachineDelay.since(attached), "\(took.milliseconds) ms")
        // The first was the last reader on its replica: the run goes on, because there is one elsewhere.
        let result = await second.result()
        #expect(result.outcome == "completed" && result.payloads == RunWorld.numbers(1...200))
        #expect(result.streamID == ended.streamID && replicas.world.backend.requests.count == 1)
      }
    }

    @Test func `another request under the client's name has a run of its own, and replaces too`() async throws {
      try await Replicas.withNames(script: Self.ticking) { replicas in
        let fields: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .signedIn, .clientStream("tab")]
        let first = replicas.world.open("/one", fields: fields)
        #expect(await first.receives("data: 5\n"))
        let second = replicas.open("/two", fields: [.signedIn, .clientStream("tab")])
        #expect(await second.receives("data: 1\n"))
        let ended = await first.result()
        let stream = await second.soFar().head.value("X-Stream-Id")
        #expect(ended.outcome == "replaced_by_new_stream" && stream != ended.streamID)
        let theirs: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .authorization("Bearer you")]
        let foreign = replicas.world.open("/one", fields: theirs + [.clientStream("tab")])
        #expect(await foreign.receives("data: 5\n"))
        let isUnharmed = await second.soFar().events.last?.type != "stream_end"
        #expect(isUnharmed, "the name means another stream to somebody else")
        for reader in [second, foreign] { reader.hangUp() }
      }
    }

    @Test func `a run's name counts on all replicas: it is opened once, found, and stopped`() async throws {
      try await Replicas.withNames(script: Self.ticking) { replicas in
        for round in 1...10 {
          let path = "/named/order-\(round)"
          let fields: [Script.Field] = [.acceptsEvents, .prefersStreamEnd, .signedIn]
          let readers = [replicas.world.open(path, fields: fields), replicas.open(path, fields: [.signedIn])]
          for reader in readers { #expect(await reader.receives("data: 2\n")) }
          #expect(replicas.world.backend.requests.count == round)
          let states = try await replicas.states(of: "order-\(round)", fields: [.signedIn])
          #expect(states[0]["streamId"] == states[1]["streamId"])
          let stranger = await replicas.ask(
            "/api/agents/run/order-\(round)", method: "DELETE", fields: [.authorization("Bearer you")])
          #expect(stranger.status == 404)
          let stop = await replicas.ask("/api/agents/run/order-\(round)", method: "DELETE", fields: [.signedIn])
          #expect(stop.status == 204)
          for reader in readers { #expect(await reader.result().outcome == "cancelled") }
        }
      }
    }

    @Test func `a run goes on as long as somebody reads it on any replica`() async throws {
      let long = RunWorld.ticking(600, every: .milliseconds(20))
      try await Replicas.withNames("onDisconnect: \"grace=1\"", script: long) { replicas in
        let first = replicas.world.openNew("/x")
        #expect(await first.receives("data: 5\n"))
        let stream = await first.soFar().head.value("X-Stream-Id") ?? ""
        let second = replicas.open("/fermata/streams/\(stream)")
        #expect(await second.receives("data: 5\n"))
        first.hangUp()
        #expect(await second.receives("data: 120\n"), "two seconds later it still runs")
        second.hangUp()
        // When exactly is what played gateways show, whose clocks stand still.
        let isOver = await eventually(within: .seconds(10)) { !replicas.world.gateway.log("run_ended").isEmpty }
        let end = replicas.world.gateway.log("run_ended").first
        #expect(isOver && end?["outcome"]?.string == "cancelled")
        #expect(end?["reason"]?.string == "its last reader has left")
      }
    }

    @Test func `what a reader on another replica wishes counts when all have left`() async throws {
      let script = RunWorld.ticking(80, every: .milliseconds(50))
      try await Replicas.withNames(script: script) { replicas in
        let first = replicas.world.openNew("/x")
        #expect(await first.receives("data: 3\n"))
        let stream = await first.soFar().head.value("X-Stream-Id") ?? ""
        let second = replicas.open("/fermata/streams/\(stream)", fields: [.onDisconnect("continue")])
        #expect(await second.receives("data: 5\n"))
        first.hangUp()
        second.hangUp()
        let isOver = await eventually(within: .seconds(15)) { !replicas.world.gateway.log("run_ended").isEmpty }
        let end = replicas.world.gateway.log("run_ended").first
        #expect(isOver && end?["outcome"]?.string == "completed" && end?["events"]?.integer == 81)
      }
    }
  }
}
