import Harness
import JSON
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// Clients over HTTP/2, in plain and over TLS, as curl sees them.
  @Suite(.enabled(if: Tools.haveCurl)) struct HTTP2 {
    enum Way: String, CaseIterable {
      case plain
      case secure

      var settings: [String: String] {
        get throws {
          guard self == .secure else { return ["http2": "cleartext"] }
          let identity = try HTTPS.localhost.get()
          return ["tls.cert": identity.certificate, "tls.key": identity.key]
        }
      }

      var options: [String] {
        get throws {
          guard self == .secure else { return ["--http2-prior-knowledge"] }
          return ["--http2", "--cacert", try HTTPS.certificates.get().roots]
        }
      }
    }

    static func withWorld(
      _ way: Way, _ variant: String = "legacy", _ more: [String: String] = [:], _ body: (World) async throws -> Void
    ) async throws {
      var settings = try way.settings
      for (name, value) in more { settings[name] = value }
      try await World.with(World.Setup(variant: variant, settings: settings), body)
    }

    /// Runs curl; its last line is the version that was spoken and the status.
    static func curl(_ way: Way, _ options: [String] = [], _ path: String, from world: World) throws -> Tools.Run {
      let port = world.gateway.address.port
      let base = way == .secure ? "https://localhost:\(port)" : "http://127.0.0.1:\(port)"
      return try Tools.run(
        ["curl", "-sSN", "--max-time", "20", "-w", "\\n%{http_version} %{http_code}\\n"] + way.options + options
          + [base + path])
    }

    @Test(arguments: Way.allCases, ["legacy", "shield", "graceful"])
    func `a stream has every event in every mode, and its close is confirmed`(way: Way, mode: String) async throws {
      try await Self.withWorld(way, mode) { world in
        let options = mode == "graceful" ? ["-H", "Prefer: stream-end"] : []
        let run = try Self.curl(way, options, "/script?events=20&burst=1&complete=complete", from: world)
        #expect(run.exit == .code(0) && run.lines.last == "2 200", "\(run)")
        let payloads = run.lines.filter { $0.hasPrefix("data:") }
        #expect(payloads.prefix(20) == ArraySlice((1...20).map { "data: {\"n\":\($0)}" }))
        #expect(run.lines.contains { $0.contains("stream_end") } == (mode == "graceful"))
        let isConfirmed = await eventually {
          await world.gateway.metric("fermata_close_total", ["mode": mode, "result": "confirmed"]) == 1
        }
        #expect(isConfirmed)
        #expect(await world.gateway.metric("fermata_http2_connections_total") == 1)
      }
    }

    @Test(arguments: Way.allCases, ["legacy", "shield"])
    func `a cut is a reset behind the last event`(way: Way, mode: String) async throws {
      try await Self.withWorld(way, mode) { world in
        let run = try Self.curl(way, [], "/?events=3&cut=3", from: world)
        // 92: the stream was not closed cleanly.
        #expect(run.exit == .code(92), "\(run)")
        #expect(run.lines.filter { $0.hasPrefix("data:") }.count == 3, "\(run)")
        #expect(await world.outcomes(1) == ["upstream_truncated"])
      }
    }

    @Test func `a cut in graceful is told`() async throws {
      try await Self.withWorld(.secure, "graceful") { world in
        let run = try Self.curl(.secure, ["-H", "Prefer: stream-end"], "/?events=3&cut=3", from: world)
        #expect(run.exit == .code(0))
        #expect(run.lines.contains { $0.contains("\"outcome\":\"upstream_truncated\"") }, "\(run)")
      }
    }

    @Test(arguments: Way.allCases)
    func `bodies of requests come whole, with and without their length`(way: Way) async throws {
      try await Self.withWorld(way) { world in
        let body = String(repeating: "0123456789abcdef", count: 6000)
        for options in [[], ["-H", "Transfer-Encoding: chunked"]] {
          let run = try Self.curl(way, options + ["--data-binary", body], "/script?events=1&complete=c", from: world)
          #expect(run.exit == .code(0) && run.lines.last == "2 200", "\(run)")
        }
        let requests = world.backend.requests
        #expect(requests.count == 2 && requests.allSatisfy { $0.body.count == body.utf8.count })
        let scheme = way == .secure ? "https" : "http"
        let fields = requests.flatMap(\.head.fields).filter { $0.name == "X-Forwarded-Proto" }
        #expect(fields.map(\.value) == [scheme, scheme])
      }
    }

    @Test func `both protocols are served on a port in plain`() async throws {
      try await Self.withWorld(.plain) { world in
        let old = try Tools.run(
          ["curl", "-sSN", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_version}\\n"]
            + ["http://\(world.gateway.address)/script?events=2&complete=c"])
        #expect(old.lines.last == "1.1")
        let new = try Self.curl(.plain, [], "/script?events=2&complete=c", from: world)
        #expect(new.lines.last == "2 200")
        #expect(await world.gateway.metric("fermata_http2_connections_total") == 1)
      }
    }

    @Test func `a listener without HTTP/2 speaks HTTP/1.1 with clients that would rather not`() async throws {
      try await Self.withWorld(.secure, "legacy", ["http2": "false"]) { world in
        let run = try Self.curl(.secure, [], "/script?events=2&complete=c", from: world)
        #expect(run.exit == .code(0) && run.lines.last == "1.1 200", "\(run)")
        #expect(await world.gateway.metric("fermata_http2_connections_total") == 0)
      }
    }

    @Test func `answers of the gateway's own, and those without a body, end as they should`() async throws {
      try await Self.withWorld(.secure) { world in
        let trace = try Self.curl(.secure, ["-X", "TRACE"], "/", from: world)
        #expect(trace.lines.last == "2 405" && trace.lines.contains { $0.contains("trace_refused") }, "\(trace)")
        let head = try Self.curl(.secure, ["-I"], "/script?events=1&complete=c", from: world)
        #expect(head.exit == .code(0) && head.lines.last == "2 200", "\(head)")
      }
    }

    @Test func `many streams share a connection, and one that is cut leaves the others alone`() async throws {
      try await Self.withWorld(.secure) { world in
        let base = "https://localhost:\(world.gateway.address.port)"
        var urls = (1...20).map { "\(base)/?events=10&interval=20&done=1&k=\($0)" }
        urls.insert("\(base)/?events=2&interval=20&cut=2", at: 5)
        let run = try Tools.run(
          ["curl", "-sSN", "--max-time", "20", "--parallel", "--parallel-max", "30"] + Way.secure.options + urls)
        #expect(run.lines.filter { $0 == "data: [DONE]" }.count == 20, "\(run.lines.suffix(4))")
        #expect(run.lines.filter { $0 == "data: {\"n\":10}" }.count == 20)
        #expect(await world.outcomes(21).count { $0 == "upstream_truncated" } == 1)
      }
    }
  }
}
