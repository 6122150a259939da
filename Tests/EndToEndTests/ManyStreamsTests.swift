import EventSamples
import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Random streams, many clients, long runs.
  @Suite struct ManyStreams {
    /// A random event stream and its pieces, the same for a seed in every process.
    static func sample(_ seed: Int) -> (stream: [UInt8], pieces: [[UInt8]]) {
      var random = SeededGenerator(seed: UInt64(seed))
      let stream =
        seed < EventSamples.all.count ? EventSamples.all[seed] : EventSamples.random(blocks: 6, using: &random)
      return (stream, EventSamples.pieces(stream, using: &random))
    }

    /// `/stream/SEED`: its pieces, some of which come a little later than the others.
    static let setup: @Sendable (RecordedRequest) -> Script = { request in
      let seed = Int(request.path.dropFirst("/stream/".count)) ?? 0
      let framings: [Script.Framing] = [.chunked, .chunked, .length(nil), .untilClose]
      let pieces = sample(seed).pieces.filter { !$0.isEmpty }
      let steps = pieces.enumerated().flatMap { index, piece -> [Script.Step] in
        (index + seed) % 3 == 0 && pieces.count < 40 ? [.pause(.milliseconds(1)), .body(piece)] : [.body(piece)]
      }
      return Script([.head(Script.Head(framing: framings[seed % 4]))] + steps + [.end])
    }

    /// Fetches `/stream/0` to `/stream/COUNT`, many at a time, and hands each result on.
    static func fetchAll(
      _ count: Int, _ world: World, fields: [Script.Field], _ check: (Int, ClientResult) -> Void
    ) async {
      await withTaskGroup(of: (Int, ClientResult).self) { group in
        var next = 0
        func startOne() {
          let seed = next
          next += 1
          group.addTask { (seed, await world.fetch("/stream/\(seed)", fields: fields)) }
        }
        while next < min(32, count) { startOne() }
        for await (seed, result) in group {
          check(seed, result)
          if next < count { startOne() }
        }
      }
    }

    @Test func `legacy is byte for byte the backend's, over thousands of random streams and splits`() async throws {
      try await World.with(World.Setup(script: Self.setup)) { world in
        var wrong: [Int] = []
        await Self.fetchAll(3000, world, fields: [.prefersStreamEnd]) { seed, result in
          if result.body != Self.sample(seed).stream || result.end != .clean || result.mode != "legacy" {
            wrong.append(seed)
          }
        }
        #expect(wrong.isEmpty, "\(wrong.count) streams, such as \(wrong.prefix(5))")
      }
    }

    @Test func `graceful loses no event of the same streams and keeps their order`() async throws {
      try await World.with(World.Setup(variant: "graceful", script: Self.setup)) { world in
        var wrong: [String] = []
        await Self.fetchAll(1500, world, fields: [.prefersStreamEnd]) { seed, result in
          let sent = Self.messages(Self.sample(seed).stream)
          let came = Self.messages(result.body).filter { !$0.hasPrefix("stream_end: ") }
          let isTold = result.streamEnd?["events"]?.integer == sent.count
          if came != sent || !isTold || result.end != .clean { wrong.append("\(seed): \(sent) became \(came)") }
        }
        #expect(wrong.isEmpty, "\(wrong.count) streams: \(wrong.prefix(3))")
      }
    }

    @Test func `shield loses no event of the same streams, and only holds some back`() async throws {
      try await World.with(World.Setup(variant: "shield", script: Self.setup)) { world in
        var wrong: [String] = []
        await Self.fetchAll(1500, world, fields: []) { seed, result in
          let sent = Self.messages(Self.sample(seed).stream)
          let came = Self.messages(result.body)
          if !Self.isHeldBack(came, from: sent) || result.end != .clean {
            wrong.append("\(seed): \(sent) became \(came)")
          }
        }
        #expect(wrong.isEmpty, "\(wrong.count) streams: \(wrong.prefix(3))")
      }
    }

    /// What a client's parser dispatches, an event that lacks its blank line included: that is delivered too.
    static func messages(_ stream: [UInt8]) -> [String] {
      EventSourceClient.messages(in: stream + Array("\n\n".utf8)).map { "\($0.type): \($0.data)" }
    }

    /// Whether `came` is `sent` with some messages moved to the end, in their order.
    static func isHeldBack(_ came: [String], from sent: [String]) -> Bool {
      var held: [String] = []
      var rest = came[...]
      for message in sent {
        if rest.first == message { rest.removeFirst() } else { held.append(message) }
      }
      return Array(rest) == held
    }

    @Test func `two hundred clients lose nothing while the flag file is rewritten a hundred times`()
      async throws
    {
      let target = "/?events=12&interval=40&complete=done&trailing=2"
      let expected = (1...12).map { "{\"n\":\($0)}" } + ["{\"type\":\"done\"}", "{\"trailing\":1}", "{\"trailing\":2}"]
      try await World.with { world in
        let editor = Task { await Self.rewriteFlags(world.flags, times: 100, every: .milliseconds(60)) }
        let faults = await withTaskGroup(of: [String].self) { group in
          for number in 0..<200 {
            group.addTask {
              var faults: [String] = []
              for _ in 0..<8 {
                let isNew = number % 2 == 0
                let result = isNew ? await world.fetchNew(target) : await world.fetch(target)
                let isWhole =
                  result.mode == "shield"
                  ? Self.isHeldBack(result.payloads, from: expected) : result.payloads == expected
                let isTold = result.mode != "graceful" || result.outcome == "completed" || result.streamEnd == nil
                if !isWhole || !isTold || result.end != .clean {
                  faults.append("\(result.mode ?? "none") \(result.status) \(result.end): \(result.payloads)")
                }
              }
              return faults
            }
          }
          return await group.reduce(into: [String]()) { $0 += $1 }
        }
        await editor.value
        #expect(faults.isEmpty, "\(faults.count): \(faults.prefix(3))")
        #expect(world.gateway.log("flags_loaded").count >= 20)
        #expect(!world.gateway.log("flags_refused").isEmpty)
        #expect(await world.setFlags(FlagFile.document("graceful", version: "last"), version: "last"))
        let metrics = try await world.gateway.metrics()
        for mode in ["legacy", "shield", "graceful"] {
          #expect(metrics.value("fermata_streams_total", ["mode": mode]) > 10, "\(mode) was among them")
        }
      }
    }

    /// Good files, garbage, half files, no file, edits in place and by replacement, one after the other.
    static func rewriteFlags(_ flags: FlagFile, times: Int, every pause: Duration) async {
      let variants = ["graceful", "shield", "legacy"]
      for number in 0..<times {
        let good = FlagFile.document(variants[number % 3], version: "v\(number)")
        switch number % 8 {
        case 1: flags.write("garbage \(number) {{{")
        case 3: flags.write(String(good.prefix(good.count / 2)))
        case 5: flags.delete()
        case 6: flags.write(good)
        default: flags.replace(good)
        }
        try? await Task.sleep(for: pause)
      }
    }
  }
}
