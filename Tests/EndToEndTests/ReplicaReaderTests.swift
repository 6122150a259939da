import Harness
import JSON
import RunningGateway
import Testing
import Time

/// A reader that is cut again and again, and what it has in the end.
private struct CutReader: Sendable {
  private static let tail = "abcdefgh"

  private(set) var payloads: [String] = []
  private(set) var ids: [String] = []
  private(set) var stream = ""
  private(set) var statuses: Set<Int> = []

  static func script(_ count: Int, every interval: Nanoseconds) -> Script {
    var steps: [Script.Step] = [.head()]
    for number in 1...count { steps += [.event(nil, "\(number)-\(tail)"), .pause(interval)] }
    return Script(steps + [.event(nil, "[DONE]"), .end])
  }

  static func expected(_ count: Int) -> [String] { (1...count).map { "\($0)-\(tail)" } + ["[DONE]"] }

  /// Where the round ends: behind an event, inside the next one's id, inside its data, in front of its blank line.
  private func mark(_ number: Int) -> String {
    let next = ids.count + 2
    return switch number % 4 {
    case 0: "data: \(next - 1)-\(Self.tail)\n\n"
    case 1 where !stream.isEmpty: "id: \(stream).\(next)"
    case 2: "data: \(next)-abc"
    default: "data: \(next)-\(Self.tail)\n"
    }
  }

  /// Reads on until the cut, or to the end.
  mutating func read(_ round: Int, isLast: Bool, _ ask: ([Script.Field], ClientBehaviour) async -> ClientResult) async {
    let mark = mark(round)
    let result = await ask(
      ids.last.map { [.lastEventID($0)] } ?? [], isLast ? ClientBehaviour() : .hangingUp(at: mark))
    var text = result.text[...]
    // More may have come in the same packet: a client that was cut there has not got it.
    if !isLast, let range = text.firstRange(of: mark) { text = text[..<range.upperBound] }
    let events = ReceivedEvent.all(in: Array(text.utf8)).filter { $0.type == "message" }
    statuses.insert(result.status)
    if stream.isEmpty { stream = result.streamID ?? "" }
    #expect(result.streamID == stream)
    payloads += events.map(\.data)
    ids += events.compactMap(\.id)
  }

  /// The number in each id.
  var numbers: [Int] {
    ids.map { id in id.hasPrefix(stream + ".") ? Int(id.dropFirst(stream.count + 1)) ?? 0 : 0 }
  }
}

extension EndToEnd {
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaReaders {
    @Test func `a reader that is slower than its run has every event, where memory has room for less than the run`()
      async throws
    {
      let block = String(repeating: "x", count: 9_990)
      var setup = Replicas.Setup { _ in
        Script([
          .head(), .event(nil, "1"), .pause(.seconds(3)), .repeated(count: 500, interval: .zero, [.event(nil, block)]),
          .event(nil, "[DONE]"), .end,
        ])
      }
      setup.common = "memory: \"2MiB\","
      setup.runs = "onDisconnect: \"continue\", limit: \"1GB\""
      try await Replicas.with(setup) { replicas in
        let first = await replicas.world.fetchNew(behaviour: .hangingUp(at: "data: 1\n\n"))
        var slow = ClientBehaviour()
        slow.readInterval = .milliseconds(5)
        let path = "/fermata/streams/\(first.streamID ?? "")"
        let readers = [replicas.world.openNew(path, behaviour: slow), replicas.open(path, behaviour: slow)]
        for reader in readers {
          let result = await reader.result()
          #expect(result.payloads.count == 502 && result.payloads.last == "[DONE]", "\(result.payloads.count)")
          #expect(result.outcome == "completed" && !result.events.contains { $0.type == "stream_reset" })
        }
      }
    }

    @Test(arguments: [false, true])
    func `a reader that is cut, in all a thousand times, gets every event once, in order`(
      changesReplica: Bool
    ) async throws {
      let (runs, count) = (8, 125)
      var setup = Replicas.Setup { _ in CutReader.script(count, every: .milliseconds(20)) }
      setup.redis = "lease: \"10s\""
      try await Replicas.with(setup) { replicas in
        let readers = await withTaskGroup(of: CutReader.self) { group in
          for run in 0..<runs {
            group.addTask {
              var reader = CutReader()
              for round in 1...count {
                let gateway = replicas.both[changesReplica ? (round + run) % 2 : run % 2]
                await reader.read(round, isLast: round == count) { fields, behaviour in
                  await replicas.open("/\(run)", of: gateway, fields: fields, behaviour: behaviour).result()
                }
              }
              return reader
            }
          }
          return await group.reduce(into: []) { $0.append($1) }
        }
        for reader in readers {
          let isWhole = reader.payloads == CutReader.expected(count)
          #expect(isWhole && reader.statuses == [200], "\(reader.payloads.count) events, \(reader.statuses)")
          #expect(reader.numbers == Array(1...count + 1))
          for gateway in replicas.both {
            let done = await replicas.open("/", of: gateway, fields: [.lastEventID(reader.ids.last ?? "")]).result()
            #expect(done.status == 204)
          }
          let ends = try replicas.ends(of: reader.stream)
          #expect(ends == ["completed"])
        }
        #expect(replicas.world.backend.requests.count == runs)
        #expect(Set(readers.map(\.stream)).count == runs)
      }
    }

    private static let bodies: [String: (String, Script.Step)] = [
      "/whole": ("data: 1\n\n\n:c\n\nevent: x\r\nid: own\r\ndata: 2\r\n\r\nretry: 7\n\ndata: [DONE]\n\n", .end),
      "/unterminated": ("data: 1\n\nevent: complete\ndata: last\n", .end),
      "/incomplete": ("data: 1\n\n:only a comment\n", .end),
      "/cut": ("data: 1\n\ndata: ha", .cut),
      "/silent": (":nothing\n\n", .end),
    ]

    @Test(arguments: ["legacy", "shield", "graceful"])
    func `what a backend sends is the same on both replicas, and so is its end`(variant: String) async throws {
      var setup = Replicas.Setup { request in
        let (body, end) = Self.bodies[request.path] ?? ("", .end)
        return Script([.head(), .trickle(Array(body.utf8), piece: 3, interval: .milliseconds(3)), end])
      }
      setup.variant = variant
      try await Replicas.with(setup) { replicas in
        for (path, (body, _)) in Self.bodies {
          func ask(_ gateway: GatewayProcess) -> LiveStream {
            let fields: [Script.Field] = [.acceptsEvents, .signedIn, .idempotencyKey(path)]
            let request = ClientRequest("POST", path, fields: fields + (variant == "shield" ? [] : [.prefersStreamEnd]))
            return replicas.world.clients.open(request, from: gateway.address)
          }
          let first = ask(replicas.world.gateway)
          #expect(await first.receives(variant == "graceful" ? ":ok" : path == "/silent" ? "" : "data"))
          let original = await first.result()
          if variant == "legacy" { #expect(original.text == body, "\(path)") }
          for result in [await ask(replicas.other).result(), await ask(replicas.world.gateway).result()] {
            #expect(plain(result) == plain(original) && result.end == original.end, "\(path)")
            #expect(result.mode == variant)
          }
        }
        #expect(replicas.world.backend.requests.count == Self.bodies.count)
      }
    }

    /// The body without what is of the moment.
    private func plain(_ result: ClientResult) -> String {
      result.text.replacing(#/"timestamp":"[^"]*"/#, with: "")
    }
  }
}
