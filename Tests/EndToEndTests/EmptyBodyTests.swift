import Harness
import Loop
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Requests without a body, in every way in which a client can say so, on every kind of route.
  @Suite struct EmptyBodies {
    private static let configuration = """
      {
        upstreams: { a: { url: "UPSTREAM/a" }, b: { url: "UPSTREAM/b" } },
        stream: { dialect: "openai" },
        routes: [
          { name: "lone", path: "/lone", upstreams: ["a"] },
          { name: "tiers", path: "/tiers", upstreams: ["a", "b"] },
          { name: "gate", path: "/gate", upstreams: ["a", "b"], gate: "firstToken" },
          { name: "runs", path: "/runs", upstreams: ["a"], runs: { onDisconnect: "continue" } },
          { name: "gated runs", path: "/both", upstreams: ["a", "b"], gate: "firstToken", runs: {} },
        ],
      }
      """

    /// The fields and what follows the head.
    private static let forms: [(fields: String, body: String)] = [
      ("", ""),
      ("Content-Length: 0\r\n", ""),
      ("Content-Length: 0\r\nExpect: 100-continue\r\n", ""),
      ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
      ("Transfer-Encoding: chunked\r\n", "0;a=b\r\nX-Sum: 1\r\n\r\n"),
    ]

    private static let names = ["", "Idempotency-Key: KEY\r\n", "X-Client-Stream-Id: KEY\r\n"]

    private static func request(_ path: String, _ number: Int, _ name: String, _ fields: String) -> String {
      "POST \(path) HTTP/1.1\r\nHost: h\r\nPrefer: stream-end\r\nAuthorization: Bearer me\r\n"
        + name.replacing("KEY", with: "k\(path)\(number)") + fields + "\r\n"
    }

    /// The answer that is no interim one.
    private static func answer(_ connection: RawConnection) -> RawConnection.Response? {
      let response = connection.response(seconds: 5)
      return response?.status == 100 ? connection.response(seconds: 5) : response
    }

    /// All forms on one connection, one after the other, pipelined, and the last with a half-close behind it.
    private static func play(_ paths: [String], to address: SocketAddress) throws {
      var number = 0
      for path in paths {
        for name in names {
          for (fields, body) in forms {
            number += 1
            let what = "\(path) \(name) \(fields)"
            let connection = try RawConnection(to: address)
            connection.send(request(path, number, name, fields) + body)
            #expect(answer(connection)?.status == 200, "\(what)")
            connection.send(
              request(path, number + 1000, name, fields) + body + request(path, number + 2000, name, fields) + body)
            for _ in 0..<2 {
              let response = answer(connection)
              #expect(response?.status == 200 && response?.text.contains("data: end") == true, "\(what)")
              #expect(response?.head.value("Connection") == nil, "\(what)")
            }
            connection.send(request(path, number + 3000, name, fields) + body)
            connection.finishWriting()
            #expect(answer(connection)?.text.contains("data: end") == true, "\(what)")
            #expect(connection.rest(seconds: 5).isEmpty && connection.end == .finished, "\(what)")
          }
        }
      }
    }

    private static let script = Script.events([#"{"choices":[{"delta":{"content":"x"}}]}"#, "end", "[DONE]"])

    @Test func `every way to send no body is served alike on every route`() async throws {
      let setup = World.Setup(variant: "graceful", settings: ["workers": "1"], configuration: Self.configuration) { _ in
        Self.script
      }
      try await World.with(setup) { world in
        try Self.play(["/lone", "/tiers", "/gate", "/runs", "/both"], to: world.gateway.address)
        #expect(world.backend.requests.allSatisfy { $0.bodyLength == 0 })
        #expect(world.backend.requests.count == 5 * Self.names.count * Self.forms.count * 4)
      }
    }

    @Test(.enabled(if: RedisProcess.isAvailable))
    func `every way to send no body is served alike where runs are kept in Redis`() async throws {
      try await Replicas.with(Replicas.Setup(script: { _ in Self.script })) { replicas in
        try Self.play(["/"], to: replicas.other.address)
        #expect(replicas.world.backend.requests.count == Self.names.count * Self.forms.count * 4)
      }
    }

    @Test func `an empty body that comes after its head is waited for, and a key names the same run as without one`()
      async throws
    {
      let setup = World.Setup(variant: "graceful", settings: ["workers": "1"], configuration: Self.configuration) { _ in
        Self.script
      }
      try await World.with(setup) { world in
        for (fields, body) in Self.forms {
          let connection = try RawConnection(to: world.gateway.address)
          connection.send(Self.request("/runs", 1, Self.names[1], fields))
          try await Task.sleep(for: .milliseconds(30))
          connection.send(body)
          #expect(Self.answer(connection)?.text.contains("data: end") == true, "\(fields)")
        }
        #expect(world.backend.requests.count == 1)
      }
    }

    @Test func `a request behind one that is answered on the spot is answered too`() async throws {
      let configuration = """
        {
          upstreams: { a: { url: "UPSTREAM" } },
          routes: [{ name: "all", upstreams: ["a"], cors: { origins: ["https://a.example"] }, runs: {} }],
        }
        """
      let setup = World.Setup(variant: "graceful", configuration: configuration) { _ in Self.script }
      try await World.with(setup) { world in
        let preflight =
          "OPTIONS / HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n"
        for fields in ["\r\n", "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
          let connection = try RawConnection(to: world.gateway.address)
          connection.send(preflight + fields + preflight + fields + Self.request("/", 1, "", ""))
          #expect(connection.response(seconds: 5)?.status == 204)
          #expect(connection.response(seconds: 5)?.status == 204)
          #expect(connection.response(seconds: 5)?.text.contains("data: end") == true)
        }
      }
    }
  }
}
