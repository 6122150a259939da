import Harness
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Routes that are made for streams carry what is none: nothing of it is changed, held back or asked for twice.
  @Suite struct PassThrough {
    static let routes = ["lone", "loneGate", "tiers", "event", "token", "runs"]
    static let variants = ["legacy", "shield", "graceful"]

    static func configuration(_ dialect: String) -> String {
      """
      {
        defaults: { budget: "20s", answerBudget: "20s" }, stream: { dialect: "\(dialect)" },
        upstreams: { a: { url: "UPSTREAM/a" }, b: { url: "UPSTREAM/b" } },
        routes: [
          { name: "lone", path: "/lone/*", upstreams: "a" },
          { name: "loneGate", path: "/loneGate/*", upstreams: "a", gate: "firstToken" },
          { name: "tiers", path: "/tiers/*", upstreams: ["a", "b"] },
          { name: "event", path: "/event/*", upstreams: ["a", "b"], gate: "firstEvent" },
          { name: "token", path: "/token/*", upstreams: ["a", "b"], gate: "firstToken" },
          { name: "runs", path: "/runs/*", upstreams: ["a", "b"], gate: "firstEvent", runs: {} },
        ],
      }
      """
    }

    /// Plays `script` at the first upstream; the second must not be asked.
    static func with(
      _ variant: String, dialect: String = "openai",
      _ script: @escaping @Sendable (RecordedRequest) -> Script, _ body: (World, String) async throws -> Void
    ) async throws {
      let setup = World.Setup(
        variant: variant, settings: ["workers": "1"], configuration: configuration(dialect)
      ) { request in
        request.path.hasPrefix("/a/") ? script(request) : .plain(status: 599, Array("not asked".utf8))
      }
      try await World.with(setup) { world in
        for route in routes { try await body(world, route) }
        #expect(world.backend.requests.allSatisfy { $0.path.hasPrefix("/a/") })
      }
    }

    /// A client that understands `stream_end` gets graceful where shield is what others get.
    static func preference(_ variant: String) -> [Script.Field] { variant == "graceful" ? [.prefersStreamEnd] : [] }

    /// All bytes, in an order that has no period of a power of two.
    static func bytes(_ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 / 251) }
    }

    static func script(_ status: Int, _ framing: Script.Framing, _ fields: [(String, String)], _ body: [UInt8])
      -> Script
    {
      let head = Script.Head(status: status, framing: framing, fields: fields.map { Script.Field($0.0, $0.1) })
      return Script([.head(head), .body(body), .end])
    }

    /// Whether the client got what the backend sent. Outside the macro, which would look for a difference for minutes.
    static func isSame(_ result: ClientResult, _ status: Int, _ fields: [(String, String)], _ body: [UInt8]) -> Bool {
      result.status == status && result.end == .clean && result.body == body && result.mode == nil
        && result.head.value("X-Accel-Buffering") == nil
        && fields.allSatisfy { result.head.value($0.0) == $0.1 }
    }

    // MARK: gRPC-web

    private static func frame(_ flag: UInt8, _ body: [UInt8]) -> [UInt8] {
      [flag, UInt8(body.count >> 24), UInt8(body.count >> 16 & 255), UInt8(body.count >> 8 & 255)]
        + [UInt8(body.count & 255)] + body
    }

    @Test(arguments: variants, ["application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"])
    func `gRPC-web's messages and the trailers in its body pass as they are`(
      variant: String, type: String
    ) async throws {
      let messages = Self.frame(0, Self.bytes(70_000)) + Self.frame(0, []) + Self.frame(0, Array("data: x\n\n".utf8))
      let trailers = Self.frame(0x80, Array("grpc-status: 0\r\ngrpc-message: OK\r\n".utf8))
      let fields = [("Content-Type", type), ("Grpc-Accept-Encoding", "identity,gzip"), ("X-Own", "1")]
      let call = Self.frame(0, Self.bytes(5000))
      try await Self.with(variant) { request in
        guard !request.path.hasSuffix("/refused") else {
          return Self.script(200, .length(0), fields + [("Grpc-Status", "16"), ("Grpc-Message", "no")], [])
        }
        let head = Script.Head(framing: .chunked, fields: fields.map { Script.Field($0.0, $0.1) })
        return Script([
          .head(head), .trickle(messages, piece: 30_011, interval: .milliseconds(2)), .body(trailers), .end,
        ])
      } _: { world, route in
        let asked =
          [
            Script.Field("Content-Type", type), Script.Field("Accept", type), Script.Field("X-Grpc-Web", "1"),
          ] + Self.preference(variant)
        let result = await world.send(ClientRequest("POST", "/\(route)/s.S/Call", fields: asked, body: call))
        let isSame = Self.isSame(result, 200, fields, messages + trailers)
        #expect(isSame, "\(route): \(result.status) \(result.end) \(result.body.count) bytes")
        let seen = world.backend.requests.last
        #expect(seen?.body == call && seen?.head.value("X-Grpc-Web") == "1")
        let refused = await world.send(ClientRequest("POST", "/\(route)/refused", fields: asked, body: call))
        #expect(Self.isSame(refused, 200, fields + [("Grpc-Status", "16"), ("Content-Length", "0")], []), "\(route)")
        #expect(world.backend.requests.count { $0.path.hasPrefix("/a/\(route)/") } == 2)
      }
    }

    // MARK: Downloads

    @Test(arguments: variants, [Script.Framing.length(nil), .chunked, .untilClose])
    func `a large download passes byte for byte, with its length and its validators`(
      variant: String, framing: Script.Framing
    ) async throws {
      let file = Self.bytes(5 << 20)
      let fields = [
        ("Content-Type", "application/octet-stream"), ("ETag", "\"v1\""), ("Accept-Ranges", "bytes"),
        ("Last-Modified", "Sat, 28 Nov 2026 10:00:00 GMT"), ("Content-Disposition", "attachment; filename=\"a b\""),
        ("Content-Encoding", "gzip"),
      ]
      try await Self.with(variant) { _ in
        Self.script(200, framing, fields, file)
      } _: { world, route in
        let result = await world.fetch("/\(route)/file", fields: Self.preference(variant))
        let isSame = Self.isSame(result, 200, fields, file)
        #expect(isSame, "\(route): \(result.status) \(result.end) \(result.body.count) bytes")
        #expect(result.head.value("Content-Length") == (framing == .length(nil) ? "\(file.count)" : nil), "\(route)")
        guard framing == .length(nil) else { return }
        let head = await world.send(ClientRequest("HEAD", "/\(route)/file"))
        #expect(Self.isSame(head, 200, fields + [("Content-Length", "\(file.count)")], []), "\(route)")
      }
    }

    // MARK: Ranges

    private static let file = bytes(200_000)

    /// A file server of one file: RFC 9110, sections 13 and 14.
    @Sendable private static func serve(_ request: RecordedRequest) -> Script {
      let fields = [("Content-Type", "video/mp4"), ("ETag", "\"v2\""), ("Accept-Ranges", "bytes")]
      let condition = request.head.value("If-Range")
      guard let range = request.head.value("Range"), condition == nil || condition == "\"v2\"" else {
        return script(200, .length(nil), fields, file)
      }
      let ends = range.dropFirst("bytes=".count).split(separator: "-").compactMap { Int($0) }
      guard !range.contains(",") else {
        let parts = Array(
          "--cut\r\nContent-Range: bytes 0-0/200000\r\n\r\n\(Character(UnicodeScalar(file[0])))\r\n".utf8)
        return script(206, .length(nil), [("Content-Type", "multipart/byteranges; boundary=cut")], parts)
      }
      guard let first = ends.first, first < file.count else {
        return script(
          416, .length(nil), [("Content-Range", "bytes */\(file.count)"), ("Content-Type", "text/plain")], [])
      }
      let last = min(ends.count > 1 ? ends[1] : .max, file.count - 1)
      let part = ("Content-Range", "bytes \(first)-\(last)/\(file.count)")
      return script(206, .length(nil), fields + [part], Array(file[first...last]))
    }

    @Test(arguments: variants)
    func `a range of a file is asked for, answered and refused as without the gateway`(variant: String) async throws {
      let cases: [(range: String, condition: String?, status: Int, answer: String?, body: Range<Int>)] = [
        ("bytes=0-0", nil, 206, "bytes 0-0/200000", 0..<1),
        ("bytes=100-99999", nil, 206, "bytes 100-99999/200000", 100..<100_000),
        ("bytes=199999-", nil, 206, "bytes 199999-199999/200000", 199_999..<200_000),
        ("bytes=5-9", "\"v2\"", 206, "bytes 5-9/200000", 5..<10),
        ("bytes=5-9", "\"v1\"", 200, nil, 0..<200_000),
        ("bytes=200000-", nil, 416, "bytes */200000", 0..<0),
      ]
      try await Self.with(variant, Self.serve) { world, route in
        for (range, condition, status, answer, body) in cases {
          var fields = [Script.Field("Range", range), Script.Field("Accept", "*/*")]
          if let condition { fields.append(Script.Field("If-Range", condition)) }
          let result = await world.fetch("/\(route)/film", fields: fields)
          let expected = [("Content-Length", "\(body.count)")] + (answer.map { [("Content-Range", $0)] } ?? [])
          let isSame = Self.isSame(result, status, expected, Array(Self.file[body]))
          #expect(isSame, "\(route) \(range): \(result.status) \(result.body.count) bytes")
          #expect(answer != nil || result.head.value("Content-Range") == nil)
          let seen = world.backend.requests.last
          #expect(seen?.head.value("Range") == range && seen?.head.value("If-Range") == condition)
        }
        let several = await world.fetch("/\(route)/film", fields: [Script.Field("Range", "bytes=0-0,5-9")])
        #expect(several.status == 206 && several.text.hasPrefix("--cut\r\n"))
        #expect(several.head.value("Content-Type") == "multipart/byteranges; boundary=cut")
      }
    }

    // MARK: Lines of JSON

    @Test(arguments: variants)
    func `lines of JSON reach the client one by one, not when all are there`(variant: String) async throws {
      let line = "{\"message\":{\"content\":\"x\"},\"done\":false}\n"
      let fields = [Script.Field("Content-Type", "application/x-ndjson")]
      try await Self.with(variant) { _ in
        Script([.head(.init(fields: fields)), .body(line), .stall])
      } _: { world, route in
        let connection = try RawConnection(to: world.gateway.address)
        let body = #"{"model":"m","stream":true}"#
        connection.send(
          "POST /\(route)/api/chat HTTP/1.1\r\nHost: h\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body)
        #expect(connection.receives(line, seconds: 5), "\(route)")
        connection.close()
        #expect(await eventually { world.backend.openRequests == 0 }, "\(route)")
      }
    }
  }
}
