import Harness
import Loop
import Testing
import Time

@Suite struct BackendTests {
  let clients: ClientLoop

  init() throws {
    clients = try ClientLoop.start()
  }

  /// One request to a new backend that answers with `script`.
  func play(
    _ script: Script, _ request: ClientRequest = ClientRequest(), _ behaviour: ClientBehaviour = ClientBehaviour()
  ) async throws -> (ClientResult, ScriptedBackend) {
    let backend = try ScriptedBackend.start { _ in script }
    let result = await clients.fetch(request, from: backend.address, behaviour: behaviour)
    return (result, backend)
  }

  @Test(arguments: [Script.Framing.chunked, .length(nil), .untilClose])
  func `an event stream comes whole in every framing`(framing: Script.Framing) async throws {
    let script = Script([
      .head(Script.Head(framing: framing)), .event("a", "1"), .pause(.milliseconds(5)), .event(nil, "2\n3", id: "x"),
      .end,
    ])
    let (result, backend) = try await play(script)
    #expect(result.end == .clean && result.status == 200)
    #expect(result.events == [ReceivedEvent(type: "a", data: "1"), ReceivedEvent(data: "2\n3", id: "x")])
    #expect(await eventually { backend.requests.first?.state == .finished(.clean) })
    backend.stop()
  }

  @Test(arguments: [Script.Framing.chunked, .length(1000)], [Script.End.unterminated, .midChunk, .cut])
  func `a stream that breaks never looks clean`(framing: Script.Framing, end: Script.End) async throws {
    let script = Script([
      .head(Script.Head(framing: framing)), .event(nil, "1"), .pause(.milliseconds(20)), .finish(end),
    ])
    let (result, backend) = try await play(script)
    #expect(result.end == (end == .cut ? .reset : .truncated))
    #expect(result.events == [ReceivedEvent(data: "1")])
    backend.stop()
  }

  @Test func `a client that leaves is noticed, and when`() async throws {
    let script = Script([.head(), .event("complete", "1"), .stall])
    let (result, backend) = try await play(script, ClientRequest(), .hangingUp(at: "event: complete"))
    #expect(result.end == .hungUp)
    #expect(await eventually { backend.requests.first?.state == .abandoned })
    #expect(backend.requests.first?.peerClosedAt != nil && backend.openRequests == 0)
    backend.stop()
  }

  @Test func `a client that half-closes gets its whole answer`() async throws {
    var behaviour = ClientBehaviour()
    behaviour.halfCloses = true
    let script = Script([.head(), .pause(.milliseconds(30)), .event(nil, "1"), .end])
    let (result, backend) = try await play(script, ClientRequest(), behaviour)
    #expect(result.end == .clean && result.events.count == 1)
    backend.stop()
  }

  @Test func `requests are recorded with head and body, several on one connection`() async throws {
    let backend = try ScriptedBackend.start()
    var request = ClientRequest("POST", "/echo", fields: [.init("Content-Type", "x/y")], body: Array("hello".utf8))
    let echoed = await clients.fetch(request, from: backend.address)
    #expect(echoed.text == "hello" && echoed.head.value("content-type") == "x/y")
    request = .raw(
      "PUT /a?plain=2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        + "GET /b?plain=3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    // Whether the client sees the second answer as bytes behind the first depends on how they arrive.
    _ = await clients.fetch(request, from: backend.address)
    #expect(await eventually { backend.requests.count == 3 && backend.openRequests == 0 })
    let records = backend.requests
    #expect(records.map(\.path) == ["/echo", "/a", "/b"] && records.map(\.connection) == [0, 1, 1])
    #expect(records[1].body == Array("abc".utf8) && records[1].query == "plain=2" && records[1].method == "PUT")
    backend.stop()
  }

  @Test func `pipelined requests are answered in their order`() async throws {
    let backend = try ScriptedBackend.start()
    var behaviour = ClientBehaviour()
    behaviour.pipelined = [
      ClientRequest("HEAD", "/?plain=7"), ClientRequest("GET", "/?events=2&interval=3"),
      ClientRequest("GET", "/?fin=0"),
    ]
    let last = await clients.fetch(ClientRequest("GET", "/?plain=3"), from: backend.address, behaviour: behaviour)
    #expect(last.end == .truncated && last.earlier.map(\.end) == [.clean, .clean, .clean])
    #expect(last.earlier.map(\.body.count) == [3, 0, 56])
    #expect(backend.connectionCount == 1)
    backend.stop()
  }

  @Test func `a client that asks to be told to continue is told`() async throws {
    let backend = try ScriptedBackend.start()
    let request = ClientRequest(
      "POST", "/echo", fields: [.init("Expect", "100-continue")], body: Array("x".utf8))
    let result = await clients.fetch(request, from: backend.address)
    #expect(result.interim == [100] && result.text == "x")
    backend.stop()
  }

  @Test func `an answer to HEAD has no body, and its connection stays good`() async throws {
    let backend = try ScriptedBackend.start()
    let result = await clients.fetch(ClientRequest("HEAD", "/?plain=10"), from: backend.address)
    #expect(result.end == .clean && result.head.value("content-length") == "10" && result.body.isEmpty)
    backend.stop()
  }

  @Test func `garbage instead of a head is malformed`() async throws {
    let (result, backend) = try await play(.garbage("SMTP ready\r\n\r\n"))
    #expect(result.end == .malformed("no status"))
    backend.stop()
  }

  @Test func `a flood waits for a slow reader and comes whole`() async throws {
    var behaviour = ClientBehaviour()
    behaviour.readInterval = .milliseconds(1)
    let (result, backend) = try await play(Script([.head(), .flood(8 << 20), .end]), ClientRequest(), behaviour)
    #expect(result.end == .clean && result.body.count == 8 << 20)
    backend.stop()
  }

  @Test func `a client that stops reading holds the backend, until it is gone`() async throws {
    let backend = try ScriptedBackend.start { _ in Script([.head(), .flood(64 << 20), .end]) }
    var behaviour = ClientBehaviour()
    behaviour.stopsReadingAfter = 100_000
    behaviour.timeout = .seconds(120)
    let stream = clients.open(ClientRequest(), from: backend.address, behaviour: behaviour)
    #expect(await eventually { await stream.soFar().body.count >= 100_000 })
    try await Task.sleep(for: .milliseconds(100))
    #expect(backend.requests.first?.state == .playing && !stream.isFinished)
    stream.hangUp()
    #expect(await stream.result().end == .hungUp)
    #expect(await eventually { backend.requests.first?.state == .abandoned })
    backend.stop()
  }

  @Test func `silence ends at the client's limit`() async throws {
    var behaviour = ClientBehaviour()
    behaviour.timeout = .milliseconds(150)
    let (result, backend) = try await play(Script([.head(), .stall]), ClientRequest(), behaviour)
    #expect(result.end == .timedOut && result.status == 200)
    backend.stop()
  }

  @Test func `a backend that is not there is unreachable`() async throws {
    let backend = try ScriptedBackend.start()
    backend.stop()
    let result = await clients.fetch(ClientRequest(), from: backend.address)
    guard case .unreachable = result.end else {
      Issue.record("\(result.end)")
      return
    }
  }

  @Test func `two hundred streams at once all come whole and in order`() async throws {
    let backend = try ScriptedBackend.start()
    let request = ClientRequest("GET", "/script?events=20&interval=2")
    let results = await withTaskGroup(of: ClientResult.self) { group in
      for _ in 0..<200 { group.addTask { await clients.fetch(request, from: backend.address) } }
      return await group.reduce(into: [ClientResult]()) { $0.append($1) }
    }
    let expected = (1...20).map { ReceivedEvent(type: "token", data: "{\"n\":\($0)}") }
    #expect(results.count == 200 && results.allSatisfy { $0.end == .clean && $0.events == expected })
    #expect(backend.connectionCount == 200)
    backend.stop()
  }
}

@Suite struct LoadTests {
  func measure(_ plan: LoadPlan) throws -> LoadReport {
    let loop = try EventLoop()
    let generator = LoadGenerator(loop: loop, plan: plan)
    var report = LoadReport()
    generator.start(
      measuring: {},
      done: { measured in
        report = measured
        generator.stop()
        loop.stop()
      })
    loop.run()
    return report
  }

  @Test func `a steady load counts every event and its latency`() throws {
    let backend = try ScriptedBackend.start()
    let plan = LoadPlan(
      address: backend.address, request: ClientRequest("GET", "/script?events=100000&interval=10&size=120"),
      shape: .steady, streams: 20, eventsPerStream: 100_000, duration: .milliseconds(500))
    let report = try measure(plan)
    #expect(report.failures == 0 && report.events > 200 && report.latency.count == report.events)
    #expect(report.latency.quantile(0.5) < .seconds(1))
    backend.stop()
  }

  @Test func `a ramp opens the streams over its time, however fast the server is`() throws {
    let backend = try ScriptedBackend.start()
    let plan = LoadPlan(
      address: backend.address, request: ClientRequest("GET", "/script?events=100000&interval=10&size=120"),
      shape: .steady, streams: 20, eventsPerStream: 100_000, duration: .milliseconds(100), ramp: .milliseconds(600))
    let start = ContinuousClock.now
    let report = try measure(plan)
    #expect(report.failures == 0 && report.events > 20)
    // The last of them begins at 19/20 of the ramp; a second to settle and what is measured come on top.
    #expect(ContinuousClock.now - start >= .milliseconds(570 + 1000 + 100))
    backend.stop()
  }

  @Test func `a cycling load counts complete streams`() throws {
    let backend = try ScriptedBackend.start()
    let plan = LoadPlan(
      address: backend.address, request: ClientRequest("GET", "/script?events=10&burst=1&size=120"),
      shape: .cycling, streams: 10, eventsPerStream: 10, duration: .milliseconds(300))
    let report = try measure(plan)
    #expect(report.failures == 0 && report.streams > 10)
    #expect(abs(report.events - report.streams * 10) <= 200)
    backend.stop()
  }

  @Test(arguments: ["events=10&burst=1&size=120&cut=10", "events=9&burst=1&size=120", "status=500&events=10&size=120"])
  func `streams that are cut, short or refused are failures`(query: String) throws {
    let backend = try ScriptedBackend.start()
    let plan = LoadPlan(
      address: backend.address, request: ClientRequest("GET", "/script?" + query),
      shape: .cycling, streams: 5, eventsPerStream: 10, duration: .milliseconds(200))
    let report = try measure(plan)
    #expect(report.failures > 0 && report.streams == 0)
    backend.stop()
  }
}
