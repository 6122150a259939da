import Configuration
import JSON
import Testing
import Time

@Suite struct `Reloading` {
  /// A configuration in which every setting that needs a restart differs from its default.
  private static let other = """
    {
      upstream: "http://a", listen: "127.0.0.1:1", socketMode: "0600", share: true, workers: 7,
      admin: { listen: "127.0.0.1:2" },
      flags: {
        file: "f.json", default: "shield", guardState: "g.json", guardRedis: { url: "redis://r" }, guard: { window: 3 },
      },
      runs: { memory: "7MiB", unread: 7, unreadPerPrincipal: 3, memoryShare: 7, stored: 9, storedPerPrincipal: 8 },
      limits: { connections: 9, upstreamConnections: 8, bodies: "2MiB" }, drain: "7s", logLevel: "debug",
      log: { format: "json" }, tracing: { sample: 0.5 },
    }
    """

  @Test func `what needs a restart stays as it is and is named, all else is in force`() throws {
    let first = try ConfigurationTests.decode("{ upstream: \"http://a\" }")
    let wanted = try ConfigurationTests.decode(Self.other)
    let (inForce, needs) = first.reloading(wanted)
    #expect(needs.map(\.path) == Configuration.restartPaths)
    #expect(inForce.drain == .seconds(7) && inForce.workers == first.workers && inForce.listen == first.listen)
    // With those aside, nothing is left out.
    let (again, none) = wanted.reloading(wanted)
    #expect(none.isEmpty && again.summary == wanted.summary)
  }

  @Test func `a setting that is put back needs no restart`() throws {
    let first = try ConfigurationTests.decode(Self.other)
    let (inForce, needs) = first.reloading(try ConfigurationTests.decode("{ upstream: \"http://a\" }"))
    #expect(needs.count == Configuration.restartPaths.count)
    #expect(inForce.reloading(first).needs.isEmpty)
  }

  @Test(arguments: [
    ("weight: 2", true), ("timeouts: { head: \"1s\" }", true), ("timeouts: { connect: \"1s\" }", false),
    ("headers: { X: \"1\" }", false), ("removeHeaders: [\"X\"]", false), ("health: { failures: 3 }", false),
    ("idleConnections: 1", false), ("idleTimeout: \"1s\"", false), ("preserveHost: true", false),
    ("dropUnderscoreTwins: false", false),
  ])
  func `an upstream is the same backend unless what its connections or its health go by has changed`(
    _ member: String, _ isSame: Bool
  ) throws {
    func upstream(_ members: String, name: String = "a") throws -> UpstreamSettings {
      let routes = "routes: [{ name: \"r\", upstreams: \"\(name)\" }]"
      let text = "{ upstreams: { \(name): { url: \"http://h\"\(members) } }, \(routes) }"
      return try #require(try ConfigurationTests.decode(text).upstreams.first)
    }
    #expect(try upstream(", " + member).isSameBackend(as: upstream("")) == isSame)
    #expect(try upstream(", " + member).isSameBackend(as: upstream(", " + member)))
    #expect(try !upstream("", name: "b").isSameBackend(as: upstream("")))
  }

  @Test(arguments: [
    ("listen: \"127.0.0.1:8081\"", ["admin.listen"]), ("listen: \":8081\"", ["admin.listen"]),
    ("listen: \"[::]:9\", admin: { listen: \"127.0.0.1:9\" }", ["admin.listen"]),
    ("listen: \"127.0.0.2:8081\"", []), ("listen: \"127.0.0.1:0\", admin: { listen: \"127.0.0.1:0\" }", []),
  ])
  func `clients and operators have places of their own`(_ members: String, _ faults: [String]) throws {
    #expect(try ConfigurationTests.faults("{ upstream: \"http://a\", \(members) }") == faults)
  }
}
