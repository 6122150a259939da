import Harness
import JSON
import Loop
import Processes
import RunningGateway
import Synchronization
import Testing
import Time

/// The collector in Tests/Support/Collector, and what it has said.
private final class Collector: Sendable {
  private let child: Mutex<ChildProcess>
  private let said = Mutex<[JSONValue]>([])
  let url: String

  init(_ mode: String = "good") throws {
    let child = try ChildProcess(["/usr/bin/python3", "Tests/Support/Collector/collector.py", mode])
    let first = try #require(child.readLine(timeout: .seconds(60)))
    let port = try #require(try JSONValue(parsing: first)["port"]?.integer)
    self.child = Mutex(child)
    url = "http://127.0.0.1:\(port)"
  }

  private func read() -> [JSONValue] {
    let lines = child.withLock { child in
      var lines: [JSONValue] = []
      while let line = child.readLine(timeout: .milliseconds(1)) {
        if let value = try? JSONValue(parsing: line) { lines.append(value) }
      }
      return lines
    }
    return said.withLock {
      $0 += lines
      return $0
    }
  }

  var spans: [JSONValue] { read().compactMap { $0["span"] } }
  var requests: [JSONValue] { read().filter { $0["request"] != nil } }
  var faults: [JSONValue] { read().filter { $0["fault"] != nil } }
  var resources: [JSONValue] { read().compactMap { $0["resource"] } }

  func spans(named name: String) -> [JSONValue] { spans.filter { $0["name"]?.string == name } }

  func stop() { child.withLock { _ = $0.stop() } }
}

/// The `traceparent` of each request that reached a backend.
private final class Passed: Sendable {
  let traces = Mutex<[String]>([])
}

extension EndToEnd {
  /// What reaches a collector of traces.
  @Suite struct Traces {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let given = Script.Field("traceparent", "00-\(trace)-00f067aa0ba902b7-01")

    private static func with(
      _ mode: String = "good", tracing: String = "", script: @escaping @Sendable (RecordedRequest) -> Script,
      _ body: (World, Collector) async throws -> Void
    ) async throws {
      let collector = try Collector(mode)
      defer { collector.stop() }
      let configuration = """
        {
          upstreams: { main: { url: "UPSTREAM" }, down: { url: "http://127.0.0.1:1" } }, workers: 2, drain: "1s",
          tracing: { endpoint: "\(collector.url)", sample: 1, headers: { "X-Key": "k-1" }, \(tracing) },
          routes: [
            { name: "two", path: "/two", upstreams: ["down", "main"] },
            { name: "kept", path: "/kept", upstreams: ["main"], runs: { onDisconnect: "continue" } },
            { name: "all", path: "/*", upstreams: ["main"] },
          ],
        }
        """
      let setup = World.Setup(variant: "graceful", configuration: configuration, script: script)
      try await World.with(setup) { try await body($0, collector) }
      #expect(collector.faults.isEmpty, "\(collector.faults)")
    }

    @Test func `another upstream's turn is a span of its own, which comes while the stream runs`() async throws {
      let seen = Passed()
      try await Self.with(
        script: { request in
          seen.traces.withLock { $0.append(request.head.value("traceparent") ?? "none") }
          return Script([.head(), .event(nil, "1"), .pause(.seconds(9)), .event(nil, "[DONE]"), .end])
        },
        { world, collector in
          let stream = world.open("/two?secret", fields: [.acceptsEvents, .prefersStreamEnd, Self.given])
          #expect(await stream.receives("data: 1"))
          #expect(await eventually { collector.spans.count == 2 })
          #expect(await world.gateway.metric("ai_stream_connections_active") == 1, "the stream still runs")
          let failed = try #require(collector.spans(named: "attempt down").first)
          let good = try #require(collector.spans(named: "attempt main").first)
          #expect(failed["status"]?["code"]?.integer == 2 && good["status"]?["code"] == nil)
          #expect(failed["attributes"]?["error.type"]?.string == "connect_failed" && failed["kind"]?.integer == 3)
          #expect(good["events"]?.array?.first?["name"]?.string == "head")
          #expect(good["attributes"]?["fermata.upstream"]?.string == "main")
          #expect(good["attributes"]?["server.address"]?.string == "127.0.0.1")
          #expect(seen.traces.withLock { $0 } == ["00-\(Self.trace)-\(good["spanId"]?.string ?? "")-01"])
          _ = await stream.result()
          #expect(await eventually { collector.spans.count == 4 })
          let server = try #require(collector.spans(named: "GET two").first)
          #expect(server["parentSpanId"]?.string == "00f067aa0ba902b7" && server["kind"]?.integer == 2)
          let others = collector.spans.filter { $0["name"]?.string != "GET two" }
          #expect(others.allSatisfy { $0["parentSpanId"] == server["spanId"] })
          #expect(collector.spans.allSatisfy { $0["traceId"]?.string == Self.trace })
          let line = try #require(world.gateway.log("request_done").first)
          #expect(line["spanId"] == server["spanId"] && line["traceId"]?.string == Self.trace)
          #expect(server["attributes"]?["fermata.request_id"] == line["requestId"])
          #expect(server["attributes"]?["fermata.outcome"]?.string == "completed")
          #expect(server["status"]?["code"] == nil)
          #expect(!collector.spans.map { $0.text() }.joined().contains("secret"), "no query is in a span")
          #expect(collector.requests.allSatisfy { $0["key"]?.string == "k-1" })
          #expect(collector.resources.allSatisfy { $0["service.name"]?.string == "fermata" })
        })
    }

    @Test func `a context that is none begins a new trace, and one that is not recorded stays so`() async throws {
      let zeros = String(repeating: "0", count: 32)
      let seen = Passed()
      try await Self.with(
        script: { request in
          seen.traces.withLock { $0.append(request.head.value("traceparent") ?? "none") }
          return ScriptQuery("events=1&complete=done").script
        },
        { world, collector in
          let wrong = [
            "00-\(zeros)-00f067aa0ba902b7-01", "00-\(Self.trace.uppercased())-00f067aa0ba902b7-01",
            "ff-\(Self.trace)-00f067aa0ba902b7-01",
          ]
          for text in wrong { _ = await world.fetchNew("/x", fields: [Script.Field("traceparent", text)]) }
          let quiet = "00-\(Self.trace)-00f067aa0ba902b7-00"
          _ = await world.fetchNew("/x", fields: [Script.Field("traceparent", quiet)])
          #expect(await eventually { collector.spans(named: "GET all").count == 3 })
          let traces = Set(collector.spans.compactMap { $0["traceId"]?.string })
          #expect(traces.count == 3 && !traces.contains(zeros) && !traces.contains(Self.trace))
          #expect(collector.spans(named: "GET all").allSatisfy { $0["parentSpanId"] == nil })
          let told = seen.traces.withLock { $0 }
          #expect(told.last == quiet && told.dropLast().allSatisfy { $0.hasPrefix("00-") && $0.hasSuffix("-01") })
          #expect(Set(told.dropLast().map { String($0.dropFirst(3).prefix(32)) }) == traces)
        })
    }

    @Test func `a backend's own refusal is an error of its attempt and of the request`() async throws {
      try await Self.with(
        script: { _ in Script([.head(Script.Head(status: 500)), .end]) },
        { world, collector in
          _ = await world.fetch("/one", fields: [Self.given])
          #expect(await eventually { collector.spans.count == 2 })
          for span in collector.spans {
            #expect(span["status"]?["code"]?.integer == 2)
            #expect(span["attributes"]?["error.type"]?.string == "500", "\(span.text())")
          }
        })
    }

    @Test func `a long stream leaves a span in parts, with what happened to it`() async throws {
      let wait = Script.Step.pause(.milliseconds(2500))
      let script = Script([.head(), .event(nil, "1"), wait, .event(nil, "2"), .end])
      try await Self.with(
        tracing: "progress: \"1s\"", script: { _ in script },
        { world, collector in
          #expect(await world.fetchNew("/x").status == 200)
          #expect(await eventually { !collector.spans(named: "GET all").isEmpty })
          let parts = collector.spans(named: "stream").compactMap { $0["attributes"]?["fermata.part"]?.string }
          #expect(parts == ["1", "2", "3"])
          let bad = try #require(collector.spans(named: "GET all").first)
          #expect(bad["status"]?["code"]?.integer == 2, "a stream without its terminal is an error")
          #expect(bad["attributes"]?["error.type"]?.string == "incomplete")
        })
    }

    @Test func `who reads a run that another has opened is linked to it`() async throws {
      let script = RunWorld.ticking(4, every: .milliseconds(5))
      try await Self.with(
        script: { _ in script },
        { world, collector in
          let first = await world.fetchNew("/kept", fields: [Self.given])
          // Some of them come to the other worker.
          for _ in 0..<8 { _ = await world.fetchNew("/kept", fields: [.lastEventID("\(first.streamID ?? "").2")]) }
          #expect(await eventually { collector.spans(named: "GET kept").count == 9 })
          let opener = collector.spans(named: "GET kept").first { $0["traceId"]?.string == Self.trace }
          let links = collector.spans(named: "stream").compactMap { $0["links"]?.array?.first }
          #expect(links.count == 8 && opener != nil && links.allSatisfy { $0["spanId"] == opener?["spanId"] })
        })
    }

    @Test func `a collector that is busy is asked once more, and not sooner than it wants`() async throws {
      try await Self.with(
        "busy", script: { _ in ScriptQuery("events=1&complete=done").script },
        { world, collector in
          _ = await world.fetchNew("/x")
          #expect(await eventually { collector.spans.count == 3 })
          let times = collector.requests.compactMap { $0["at"]?.number }
          #expect(times.count == 2 && times[1] - times[0] >= 1)
          #expect(await world.gateway.metric("fermata_spans_total", ["result": "exported"]) == 3)
        })
    }

    @Test func `a collector that hangs costs spans, and no stream`() async throws {
      try await Self.with(
        "hung", script: { _ in ScriptQuery("events=3&complete=done").script },
        { world, collector in
          let whole = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<20 {
              group.addTask {
                var whole = 0
                for _ in 0..<50 where await world.fetchNew("/x").outcome == "completed" { whole += 1 }
                return whole
              }
            }
            return await group.reduce(0, +)
          }
          #expect(whole == 1000, "no stream has lost anything")
          #expect(await world.gateway.metric("fermata_spans_total", ["result": "dropped"]) > 0)
          #expect(await world.gateway.metric("fermata_unaccounted_memory_bytes") < 67_108_864)
          #expect(!collector.requests.isEmpty)
        })
    }

    @Test func `without a collector a request passes as it is, or both sides have a trace in their logs`() async throws
    {
      let seen = Passed()
      let script: @Sendable (RecordedRequest) -> Script = { request in
        seen.traces.withLock { $0.append(request.head.value("traceparent") ?? "none") }
        return ScriptQuery("events=1&complete=done").script
      }
      let made = World.Setup(variant: "graceful", settings: ["tracing.generate": "true"], script: script)
      try await World.with(made) { world in
        _ = await world.fetchNew("/")
        _ = await world.fetchNew("/", fields: [Self.given])
        #expect(await world.outcomes(2).count == 2)
        let traces = world.gateway.log("request_done").compactMap { $0["traceId"]?.string }
        let told = seen.traces.withLock { $0 }
        #expect(Set(told.map { String($0.dropFirst(3).prefix(32)) }) == Set(traces) && traces.contains(Self.trace))
        #expect(told.first?.hasSuffix("-00") == true && told.last == Self.given.value)
      }
      try await World.with(World.Setup(variant: "graceful", script: script)) { world in
        _ = await world.fetchNew("/")
        #expect(await world.outcomes().count == 1)
        #expect(
          seen.traces.withLock { $0.last } == "none" && world.gateway.log("request_done").first?["traceId"] == nil)
      }
    }

    @Test func `the variables of OpenTelemetry say where spans go, and what is said of them`() async throws {
      let collector = try Collector()
      defer { collector.stop() }
      let backend = try ScriptedBackend.start(choose: ScriptedBackend.byQuery)
      defer { backend.stop() }
      let clients = try ClientLoop.start()
      defer { clients.stop() }
      let environment = [
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b",
        "OTEL_SERVICE_NAME": "edge", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test,host.name=h",
        "FERMATA_TRACING_SAMPLE": "1.0",
      ]
      let gateway = try await GatewayProcess.start(
        ["--upstream", backend.url], environment: environment, clients: clients)
      let request = ClientRequest("GET", "/?events=1&complete=done", fields: [.acceptsEvents])
      _ = await clients.fetch(request, from: gateway.address)
      gateway.signal(15)
      #expect(await gateway.exit(within: .seconds(10)) == .code(0))
      #expect(collector.spans.count == 3, "the last spans are sent before the process ends")
      let resource = try #require(collector.resources.first)
      #expect(resource["service.name"]?.string == "edge" && resource["deployment.environment"]?.string == "test")
      #expect(collector.requests.first?["key"]?.string == "a b")
    }
  }
}
