import Harness
import JSON
import Loop
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What the dashboard is told, and who may do what at the operators' listener.
  @Suite struct Dashboard {
    private static let token = "operators-token-0123"
    private static let configuration = """
      { upstream: "UPSTREAM", workers: 2, admin: {
        operate: true, token: "\(token)", readToken: "readers-token-456789", scrapeToken: "scrapers-token-45678" } }
      """

    /// What the page knows after the events that came so far.
    private static func sections(of text: String) throws -> JSONObject {
      var known = JSONObject()
      for line in text.split(separator: "\n") where line.hasPrefix("data: {\"points\"") {
        for member in try JSONValue(parsing: Array(line.dropFirst(6).utf8)).object?.members ?? [] {
          known[member.name] = member.value
        }
      }
      return known
    }

    private static func follow(_ gateway: GatewayProcess) throws -> RawConnection {
      let connection = try RawConnection(to: gateway.admin)
      connection.send("GET /dashboard/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
      return connection
    }

    /// Reads until `text` has come; what came is in `all` then.
    private static func read(_ connection: RawConnection, until text: String, _ all: inout String) -> Bool {
      let came = connection.receives(text)
      all += String(decoding: connection.takeUnread(), as: UTF8.self)
      return came
    }

    @Test func `readers that take nothing make room for others`() async throws {
      try await World.with("graceful", Script([.end])) { world in
        let silent = try (0..<16).map { _ in try RawConnection(to: world.gateway.admin, receiveBuffer: 2048) }
        for reader in silent { reader.send("GET /dashboard/events HTTP/1.1\r\nHost: localhost\r\n\r\n") }
        let isFull = await eventually { await world.gateway.ask("/dashboard/events?sort=age").status == 503 }
        #expect(isFull)
        let isFree = await eventually(within: .seconds(40)) {
          guard let next = try? Self.follow(world.gateway) else { return false }
          defer { next.close() }
          return next.receives("200 OK", seconds: 1)
        }
        #expect(isFree)
        for reader in silent { reader.close() }
      }
    }

    @Test func `its numbers are those of all workers`() async throws {
      let configuration = #"{ upstream: "UPSTREAM", workers: 2 }"#
      try await World.with(World.Setup(variant: "graceful", configuration: configuration)) { world in
        for _ in 0..<5 { _ = await world.fetchNew("/?events=3&complete=done") }
        for _ in 0..<4 { _ = await world.fetchNew("/?events=2") }
        let open = (0..<6).map { _ in world.openNew("/?events=2&stall=2") }
        for stream in open { #expect(await stream.receives("data")) }
        #expect(await eventually { await world.gateway.metric("ai_stream_connections_active") == 6 })
        try await Task.sleep(for: .milliseconds(1500))
        let connection = try Self.follow(world.gateway)
        var text = ""
        #expect(Self.read(connection, until: "event: delta", &text))
        // Chunks begin and end between lines, and the last event may not be whole yet.
        let whole = text.split(separator: "event: delta")[0]
        let known = try Self.sections(of: whole.split(separator: "\r\n").joined(separator: "\n"))
        let route = try #require(known["routes"]?.array?.first)
        #expect(known["streams"]?["open"]?.integer == 6 && known["streams"]?["list"]?.array?.count == 6)
        #expect(route["open"]?.integer == 6 && route["opened"]?.integer == 15)
        let metrics = try await world.gateway.metrics()
        let bad = ["incomplete", "upstream_truncated", "upstream_error"].reduce(0) {
          $0 + metrics.value("fermata_outcomes_total", ["mode": "graceful", "outcome": $1])
        }
        #expect(Double(known["ended"]?.array?.count ?? -1) == bad && route["badTotal"]?.number == bad)
        #expect(known["points"]?.array?.last?.array?[1].integer == 6)
        #expect(known["state"]?["answered"]?.integer == 2)
        for stream in open { stream.hangUp() }
      }
    }

    @Test func `its stream ends with stream_end when the gateway does`() async throws {
      try await World.with { world in
        let connection = try Self.follow(world.gateway)
        #expect(connection.receives("event: snapshot"))
        world.gateway.signal(15)
        let rest = String(decoding: connection.rest(), as: UTF8.self)
        #expect(rest.contains("event: stream_end") && rest.contains(#""outcome":"draining""#))
        #expect(rest.hasSuffix("0\r\n\r\n"))
        #expect(await world.gateway.exit(within: .seconds(10)) == .code(0))
      }
    }

    @Test func `each token opens what it is for`() async throws {
      try await World.with(World.Setup(configuration: Self.configuration)) { world in
        func status(_ path: String, _ token: String?, _ method: String = "GET") async -> Int? {
          let fields = token.map { [Script.Field("Authorization", "Bearer \($0)")] } ?? []
          return await world.gateway.ask(path, fields: fields, method: method).status
        }
        let (read, scrape) = ("readers-token-456789", "scrapers-token-45678")
        for path in ["/metrics", "/healthz", "/readyz"] {
          for token in [scrape, read, Self.token] { #expect(await status(path, token) == 200, "\(path) \(token)") }
        }
        #expect(await status("/streams", scrape) == 403)
        #expect(await status("/streams", read) == 200)
        #expect(await status("/streams", nil) == 401)
        #expect(await status("/streams?token=\(Self.token)", nil) == 401)
        #expect(await status("/dashboard", nil) == 200, "nothing secret is in the page")
        #expect(await status("/dashboard/events", nil) == 401)
        #expect(await status("/dashboard/events", scrape) == 403)
        #expect(await status("/kill", read, "POST") == 403)
        #expect(await status("/streams/abc/stop", read, "POST") == 403)
        #expect(await status("/streams/abc/stop", Self.token) == 405)
        #expect(await status("/streams/abc/stop", Self.token, "POST") == 404)
        world.gateway.signal(15)
        #expect(await world.gateway.exit(within: .seconds(5)) == .code(0))
      }
    }

    @Test func `an operator stops a stream, and no other site's page does`() async throws {
      let configuration = #"{ upstream: "UPSTREAM", workers: 2, admin: { operate: true } }"#
      try await World.with(World.Setup(variant: "graceful", configuration: configuration)) { world in
        let stream = world.openNew("/?events=2&stall=2")
        #expect(await stream.receives("data"))
        let list = try await world.gateway.json("/streams")
        let id = try #require(list["streams"]?.array?.first?["streamId"]?.string)
        let path = "/streams/\(id)/stop"
        for fields in [
          [Script.Field("Origin", "http://evil.example")], [Script.Field("Sec-Fetch-Site", "cross-site")],
          [Script.Field("Sec-Fetch-Site", "same-site")],
        ] {
          #expect(await world.gateway.ask(path, fields: fields, method: "POST").status == 403)
        }
        #expect(await world.gateway.ask(path).status == 405)
        let answer = await world.gateway.ask(path, fields: [Script.Field("X-Operator", "Ada")], method: "POST")
        #expect(answer.status == 200)
        let result = await stream.result()
        #expect(result.text.contains("stream_end") && result.text.contains(#""outcome":"cancelled""#))
        #expect(await eventually { !world.gateway.log("stream_stopped").isEmpty })
        let line = try #require(world.gateway.log("stream_stopped").first)
        #expect(line["closer"]?.string == "operator" && line["operator"]?.string == "Ada")
        #expect(line["streamId"]?.string == id)
      }
    }

    @Test func `without operate nothing is stopped`() async throws {
      try await World.with { world in
        #expect(await world.gateway.ask("/streams/abc/stop", method: "POST").status == 403)
      }
    }

    @Test func `only so many follow, and wrong questions are told`() async throws {
      try await World.with { world in
        #expect(await world.gateway.ask("/dashboard/events?sort=nonsense").status == 400)
        let readers = try (0..<16).map { _ in try Self.follow(world.gateway) }
        for reader in readers { #expect(reader.receives("event: snapshot")) }
        #expect(await world.gateway.ask("/dashboard/events").status == 503)
        #expect(await world.gateway.ask("/streams").status == 200, "readers take no place of others")
        readers[0].close()
        let comesIn = await eventually(within: .seconds(5)) {
          (try? Self.follow(world.gateway))?.receives("event: snapshot", seconds: 2) == true
        }
        #expect(comesIn, "one that leaves makes room")
        withExtendedLifetime(readers) {}
      }
    }
  }
}
