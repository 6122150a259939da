import Files
import Flags
import Harness
import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  /// What the guard does with real traffic, and the ways out of what it did.
  @Suite struct `The guard with real traffic` {
    private static let half = """
      { "flags": { "stream-closing": { "state": "ENABLED",
          "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" }, "defaultVariant": "legacy",
          "targeting": { "fractional": [["graceful", 5000], ["legacy", 5000]] } } },
        "metadata": { "version": "7", "fractional": "v2" } }
      """

    private static func stage(margin: Double = 0.1) throws -> Stage {
      let stage = try Stage(margin: margin)
      try AtomicFile.replace(stage.bench.file, with: [UInt8](half.utf8))
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      return stage
    }

    @Test(.timeLimit(.minutes(15)))
    func `one capable client in ten, and a fault in one graceful stream of twenty, are enough to act`() async throws {
      let stage = try Self.stage(margin: 0.005)
      let set = try FlagSet(parsing: [UInt8](Self.half.utf8))
      var (number, treated, tripped) = (0, 0, false)
      for _ in 0..<30 where !tripped {
        var streams: [LiveStream] = []
        for _ in 0..<600 {
          number += 1
          let key = "client-\(number % 900)"
          var fields = [Script.Field("X-Client-Id", key)]
          var query = "events=2&done=1"
          if number.isMultiple(of: 10) {
            fields.append(Script.Field("Prefer", "stream-end"))
            let isTreated =
              set.evaluate(.streamClosing, EvaluationContext(targetingKey: key)).variant == "graceful"
            if isTreated { treated += 1 }
            if isTreated, treated.isMultiple(of: 20) { query = "events=2&cut=1" }
          }
          streams.append(stage.clients.open(ClientRequest("GET", "/s?\(query)", fields: fields), from: stage.listen))
          if streams.count == 60 {
            for stream in streams { _ = await stream.result() }
            streams = []
          }
        }
        tripped = try stage.status()["guard"]?["effect"] == "rollback"
      }
      print("tripped after \(number) streams, \(treated) of them in graceful")
      #expect(tripped)
      #expect(try stage.status()["guard"]?["latch"]?["reason"]?.string?.hasPrefix("truncation") == true)
    }

    @Test(.timeLimit(.minutes(15)))
    func `one client that opens streams and hangs up takes the closing from nobody`() async throws {
      let stage = try Self.stage()
      let set = try FlagSet(parsing: [UInt8](Self.half.utf8))
      let names: [String] = (0..<100).map { "hostile-\($0)" }
      let hostile = names.first { name in
        set.evaluate(.streamClosing, EvaluationContext(targetingKey: name)).variant == "graceful"
      }
      let fields = [Script.Field("X-Client-Id", try #require(hostile)), Script.Field("Prefer", "stream-end")]
      var behaviour = ClientBehaviour()
      behaviour.hangUpAt = [UInt8]("data: ".utf8)
      for _ in 0..<6 {
        let rude = (0..<60).map { _ in
          stage.clients.open(
            ClientRequest("GET", "/s?events=3&stall=2", fields: fields), from: stage.listen, behaviour: behaviour)
        }
        _ = try await stage.play(perCohort: 60)
        for stream in rude { _ = await stream.result() }
      }
      let report = try stage.eventually { ($0["guard"]?["phase"]?["streams"]?.integer ?? 0) >= 700 }["guard"]
      #expect((report?["phase"]?["streams"]?.integer ?? 0) >= 700)
      // Some more looks, and nothing more to see.
      SystemClock.sleep(.milliseconds(900))
      #expect(try stage.status()["guard"]?["effect"] == "none", "\(report?.text() ?? "")")
      #expect(try await stage.play(perCohort: 10) == ["graceful": 10])
    }

    @Test(.timeLimit(.minutes(15)))
    func `a drain of a hundred open streams trips nothing, and the next process is not latched`() async throws {
      let stage = try Self.stage()
      _ = try await stage.play(perCohort: 120)
      let set = try FlagSet(parsing: [UInt8](Self.half.utf8))
      var open: [(isTreated: Bool, stream: LiveStream)] = []
      var wanted = [true: 50, false: 50]
      var number = 0
      while wanted.values.contains(where: { $0 > 0 }) {
        number += 1
        let key = "open-\(number)"
        let isTreated = set.evaluate(.streamClosing, EvaluationContext(targetingKey: key)).variant == "graceful"
        guard let rest = wanted[isTreated], rest > 0 else { continue }
        wanted[isTreated] = rest - 1
        let fields = [Script.Field("X-Client-Id", key), Script.Field("Prefer", "stream-end")]
        let request = ClientRequest("GET", "/s?events=3&stall=2", fields: fields)
        open.append((isTreated, stage.clients.open(request, from: stage.listen)))
      }
      for (_, stream) in open { #expect(await stream.receives("{\"n\":2}")) }
      stage.terminate()
      for (isTreated, stream) in open {
        let result = await stream.result()
        let end = result.events.last.flatMap { $0.type == "stream_end" ? try? JSONValue(parsing: $0.data) : nil }
        #expect(end?["outcome"] == (isTreated ? "draining" : nil), "\(result.end)")
      }
      #expect(stage.ended() == .code(0))
      let log = String(
        decoding: try readFile(stage.bench.directory.path + "/gateway.log", limit: 1 << 24).bytes, as: UTF8.self)
      #expect(!log.contains("guard_tripped"))
      try stage.restartGateway()
      #expect(try stage.status()["guard"]?["effect"] == "none")
      #expect(try await stage.play(perCohort: 10) == ["graceful": 10])
    }

    @Test(.timeLimit(.minutes(15)))
    func `a new flag file does not begin with the faults of streams from before it`() async throws {
      let stage = try Self.stage()
      let set = try FlagSet(parsing: [UInt8](Self.half.utf8))
      // All of the new variant will be cut, when the next file is in force.
      var streams: [LiveStream] = []
      var wanted = [true: 120, false: 120]
      for number in 1...1000 where wanted.values.contains(where: { $0 > 0 }) {
        let key = "early-\(number)"
        let isTreated = set.evaluate(.streamClosing, EvaluationContext(targetingKey: key)).variant == "graceful"
        guard let rest = wanted[isTreated], rest > 0 else { continue }
        wanted[isTreated] = rest - 1
        let query = isTreated ? "events=3&interval=1500&cut=2" : "events=2&interval=1500&done=1"
        let fields = [Script.Field("X-Client-Id", key), Script.Field("Prefer", "stream-end")]
        streams.append(stage.clients.open(ClientRequest("GET", "/s?\(query)", fields: fields), from: stage.listen))
      }
      for stream in streams { #expect(await stream.receives("{\"n\":1}")) }
      let next = Self.half.replacing("\"version\": \"7\"", with: "\"version\": \"8\"")
      try AtomicFile.replace(stage.bench.file, with: [UInt8](next.utf8))
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      for stream in streams { _ = await stream.result() }
      _ = try await stage.play(perCohort: 60)
      let report = try stage.eventually { ($0["guard"]?["phase"]?["streams"]?.integer ?? 0) >= 60 }["guard"]
      SystemClock.sleep(.milliseconds(900))
      #expect(try stage.status()["guard"]?["effect"] == "none", "\(report?.text() ?? "")")
      #expect(report?["outside"]?["other_file"]?.integer == 240, "\(report?["outside"]?.text() ?? "")")
    }

    @Test(.timeLimit(.minutes(15)))
    func `a trip without a rollout is acknowledged by its own number alone`() async throws {
      let stage = try Self.stage()
      #expect(try stage.change("ack", "--revision", "7").code == "no_trip")
      for _ in 0..<20 where try stage.status()["guard"]?["effect"] != "rollback" {
        _ = try await stage.play(perCohort: 100, fault: "events=3&cut=2")
        SystemClock.sleep(.milliseconds(250))
      }
      let status = try stage.status()
      #expect(status["guard"]?["latch"]?["revision"] == "7")
      #expect(status["availableActions"]?.array == ["ack --revision 7"])
      #expect(
        try stage.bench.run("rollout", "status", "--admin", stage.admin).text.contains("fermata flags ack --revision 7")
      )
      let second = try stage.startSecondGateway()
      let both = try stage.bench.run("rollout", "status", "--admin", stage.admin, "--admin", second)
      #expect(both.exit == 0 && both.text.contains("THE GATEWAYS DISAGREE") && both.text.contains(second))
      let wrong = try stage.change("ack", "--revision", "6")
      #expect(wrong.exit == 6 && wrong.code == "wrong_revision")
      #expect(try stage.flags("ack", "--revision", "7", "--reason", "unasked").code == "not_checked")
      let rule = try stage.bench.document()[path: ["flags", "stream-closing"]]
      #expect(try stage.change("ack", "--revision", "7").exit == 0)
      #expect(try stage.eventually { $0["guard"]?["effect"] == "none" }["guard"]?["effect"] == "none")
      #expect(try stage.bench.document()[path: ["flags", "stream-closing"]] == rule)
      #expect(try await stage.play(perCohort: 10) == ["graceful": 10])
    }
  }
}
