import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What one client's runs may take of what all runs share.
  @Suite struct Shares {
    private static let block = String(repeating: "x", count: 9_990)
    private static let whole = Script([.head(), .repeated(count: 10, interval: .zero, [.event(nil, block)]), .end])
    private static let held = Script([
      // Each event is read before the next one comes: what makes room is what the reader has.
      .head(), .repeated(count: 10, interval: .milliseconds(20), [.event(nil, block)]), .pause(.seconds(4)),
      .event(nil, "[DONE]"), .end,
    ])

    private static func use(_ bound: String, _ world: World) async -> Double {
      await world.gateway.metric("fermata_bound_used", ["bound": bound])
    }

    /// Credentials of one who opens many runs, and of another.
    private static let clients: [([Script.Field], [Script.Field])] = [
      ([.authorization("many")], [.authorization("few")]), ([], [.authorization("few")]),
      ([.authorization("many")], []),
    ]

    @Test(arguments: clients)
    func `one who opens many runs makes its own finished runs be forgotten, not those of others`(
      _ many: [Script.Field], _ few: [Script.Field]
    ) async throws {
      let setup = RunWorld.setup(workers: 2, common: "{ memory: \"4MiB\" }", script: { _ in Self.whole })
      try await World.with(setup) { world in
        let other = await world.fetchNew(fields: few).streamID ?? ""
        var streams: [String] = []
        for _ in 0..<100 {
          let result = await world.fetchNew(fields: many)
          #expect(result.end == .clean && result.payloads.count == 10)
          streams.append(result.streamID ?? "")
          // What other loops have is asked for at most ten times a second.
          if streams.count % 10 == 0 { try await Task.sleep(for: .milliseconds(120)) }
        }
        let theirs = await world.fetchNew("/fermata/streams/\(other)", fields: few)
        #expect(theirs.status == 200 && theirs.payloads.count == 10)
        #expect(await world.fetchNew("/fermata/streams/\(streams[0])", fields: many).status == 404)
        #expect(await Self.use("run_memory", world) <= 4 * 1024 * 1024)
        let largest = await Self.use("principal_memory", world)
        #expect(largest > 1024 * 1024 && largest <= 4 * 1024 * 1024, "\(largest)")
      }
    }

    @Test func `while one client's running runs hold more than a share, another's are kept, and all go on`()
      async throws
    {
      let setup = RunWorld.setup(common: "{ memory: \"2MiB\", memoryShare: 25 }", script: { _ in Self.held })
      try await World.with(setup) { world in
        let few = [Script.Field.authorization("few")]
        var open: [LiveStream] = []
        for _ in 0..<40 {
          let stream = world.open(fields: [.acceptsEvents, .prefersStreamEnd, .authorization("many")])
          #expect(await stream.receives("data: "))
          open.append(stream)
        }
        for _ in 0..<2 {
          let result = await world.fetchNew(fields: few + [.idempotencyKey("\(Int.random(in: 0..<1 << 40))")])
          #expect(result.payloads.count == 11 && result.streamEnd?["resumable"]?.bool == true)
        }
        var many: [ClientResult] = []
        for stream in open { many.append(await stream.result()) }
        #expect(many.allSatisfy { $0.outcome == "completed" && $0.payloads.count == 11 })
        #expect(await Self.use("run_memory", world) <= 2 * 1024 * 1024)
      }
    }

    @Test func `one client alone may use nearly all memory for runs`() async throws {
      let setup = RunWorld.setup(common: "{ memory: \"4MiB\", memoryShare: 10 }", script: { _ in Self.whole })
      try await World.with(setup) { world in
        for _ in 0..<60 { #expect(await world.fetchNew().streamEnd?["resumable"]?.bool == true) }
        let used = await Self.use("run_memory", world)
        #expect(used > 0.8 * 4 * 1024 * 1024, "\(used)")
      }
    }
  }

  /// What one client makes Redis keep.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct StoredShares {
    private static func replicas(_ common: String, _ body: (Replicas) async throws -> Void) async throws {
      var setup = Replicas.Setup(script: { _ in Script([.head(), .event(nil, "1"), .event(nil, "[DONE]"), .end]) })
      setup.common = common
      try await Replicas.with(setup, body)
    }

    private static func post(_ who: String, _ key: String) -> ClientRequest {
      ClientRequest(
        "POST", "/", fields: [.acceptsEvents, .prefersStreamEnd, .authorization(who), .idempotencyKey(key)],
        body: Array("{}".utf8))
    }

    @Test func `beyond its share one client's runs are not kept in Redis, and keys get 503; others go on`() async throws
    {
      // Beyond a share while less than three quarters are in use: six of eight.
      try await Self.replicas("stored: 8, storedPerPrincipal: 2,") { replicas in
        let world = replicas.world
        var kept = 0
        for number in 0..<10 {
          let result = await world.fetchNew(fields: [.authorization("many")])
          #expect(result.outcome == "completed" && result.payloads.count == 2)
          if result.streamEnd?["resumable"]?.bool == true { kept += 1 }
          #expect(kept == min(number + 1, 6))
        }
        let runs = try replicas.redis.cli("KEYS", "ai:run:*:meta").count
        for number in 0..<5 {
          let refused = await world.send(Self.post("many", "\(number)"))
          #expect(refused.status == 503 && refused.text.contains("\"overload\""))
        }
        // Other keys come when they come: how the runs from before stand, and what the guards count.
        #expect(await eventually { (try? replicas.redis.cli("KEYS", "ai:idem:*")) == "" })
        #expect(try replicas.redis.cli("KEYS", "ai:run:*:meta").count == runs)
        let first = await world.send(Self.post("few", "k"))
        let again = await world.send(Self.post("few", "k"))
        #expect(first.status == 200 && again.streamID == first.streamID)
        #expect(await world.fetchNew(fields: [.authorization("few")]).streamEnd?["resumable"]?.bool == true)
        // One who has reached the bound can repeat what was begun before.
        #expect(await world.send(Self.post("few", "new")).status == 503)
        #expect(await world.send(Self.post("few", "k")).streamID == first.streamID)
        func use(_ name: String) async -> Double { await world.gateway.metric("fermata_bound_used", ["bound": name]) }
        #expect(await use("stored_runs") == 8)
        #expect(await use("principal_stored_runs") == 6)
      }
    }

    @Test
    func `ids of workers' runs and names of streams that a client makes up leave no more in Redis than its share`()
      async throws
    {
      try await Self.replicas("stored: 4, storedPerPrincipal: 1,") { replicas in
        let run = await replicas.world.fetchNew(fields: [.signedIn])
        let size = Int(try replicas.redis.cli("dbsize")) ?? 0
        for number in 0..<20 {
          let fields: [Script.Field] = [
            .signedIn, .clientStream("made-up-\(number)"), .lastEventID("\(run.streamID ?? "").1"),
          ]
          let read = await replicas.world.fetchNew(fields: fields)
          #expect(read.payloads.count == 1 && read.streamID == run.streamID)
        }
        var refused = 0
        for number in 0..<10 {
          let result = await replicas.world.fetchNew(
            "/quick/guess-\(number)", fields: [.authorization("other \(number % 2)")], behaviour: .hangingUp(at: ":ok"))
          if result.status == 503 { refused += 1 }
        }
        let grown = (Int(try replicas.redis.cli("dbsize")) ?? 0) - size
        #expect(refused >= 8 && grown <= 12, "\(refused) \(grown)")
      }
    }
  }
}
