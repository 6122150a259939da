import Configuration
import Gateway
import HTTP
import Streams
import Testing
import Time

@Suite struct RoutingTests {
  static let settings = try? Settings(
    Configuration(
      """
      {
        upstreams: { a: { url: "http://a" } },
        routes: [
          { name: "beta", path: "/v1/messages", headers: { "X-Beta": { prefix: "m" }, Origin: true }, upstreams: "a" },
          {
            name: "messages", path: "/v1/messages", methods: ["POST"], upstreams: "a",
            cors: { origins: ["https://app.example"], headers: ["Content-Type"] },
          },
          { name: "run", path: "/runs/:runId", methods: ["GET", "DELETE"], upstreams: "a", cors: { origins: ["*"] } },
          { name: "tenant", headers: { "x-tenant": "acme" }, upstreams: "a" },
          { name: "v1", path: "/v1/*", upstreams: "a" },
        ],
      }
      """))

  static func match(_ method: HTTP.Method, _ path: String, _ fields: [(String, String)] = []) throws -> RouteMatch? {
    var all = Fields()
    for (name, value) in fields { all.append(try #require(FieldName(name)), try #require(FieldValue(value))) }
    let request = RequestHead(method: method, target: try #require(Target(path)), fields: all)
    return try #require(settings).match(request)
  }

  @Test(arguments: [
    ("POST", "/v1/messages", "messages"), ("GET", "/v1/messages", "v1"), ("POST", "/v1/messages?x=1", "messages"),
    ("GET", "/runs/7", "run"), ("DELETE", "/runs/7", "run"), ("POST", "/runs/7", nil), ("GET", "/runs/7/x", nil),
    ("GET", "/v1/x", "v1"), ("get", "/runs/7", nil), ("GET", "/", nil),
  ])
  func `the first route that fits serves`(method: String, path: String, name: String?) throws {
    let known = HTTP.Method(method)
    let match = try Self.match(try #require(known), path)
    #expect(match?.route.settings.name == name)
    #expect(match?.preflight == nil)
    #expect(match?.captures["runId"] == (name == "run" ? "7" : nil))
  }

  @Test(arguments: [
    ([("X-Beta", "m2"), ("Origin", "x")], "beta"), ([("X-Beta", "m2")], "messages"),
    ([("x-beta", "M2"), ("origin", "x")], "messages"), ([("X-Beta", "a"), ("X-Beta", "m"), ("Origin", "")], "beta"),
  ])
  func `all of a route's conditions on headers must hold`(fields: [(String, String)], name: String) throws {
    #expect(try Self.match(.post, "/v1/messages", fields)?.route.settings.name == name)
  }

  @Test(arguments: [("acme", "tenant"), ("Acme", nil), ("acme2", nil)])
  func `a header's value is compared whole`(value: String, name: String?) throws {
    #expect(try Self.match(.get, "/x", [("X-Tenant", value)])?.route.settings.name == name)
  }

  @Test(arguments: [
    ("/v1/messages", "POST", "messages", true), ("/v1/messages", "GET", "v1", false),
    ("/runs/7", "DELETE", "run", true), ("/v1/other", "GET", "v1", false),
  ])
  func `a preflight goes where its request would go`(path: String, asks: String, name: String, isAnswered: Bool) throws
  {
    let fields = [("Origin", "https://app.example"), ("Access-Control-Request-Method", asks)]
    let match = try #require(try Self.match(.options, path, fields))
    #expect(match.route.settings.name == name && (match.preflight != nil) == isAnswered)
    if isAnswered { #expect(match.preflight?.contains(.accessControlAllowOrigin) == true) }
  }

  @Test func `a preflight that no route serves is not answered`() throws {
    let fields = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST")]
    #expect(try Self.match(.options, "/runs/7", fields) == nil)
  }

  @Test func `OPTIONS that is no preflight is a request like others`() throws {
    #expect(try Self.match(.options, "/v1/messages")?.route.settings.name == "v1")
  }

  @Test func `an upstream's time limits go over its route's`() throws {
    let configuration = try Configuration(
      """
      {
        upstreams: {
          slow: { url: "http://a", timeouts: { connect: "9s", firstToken: "2m" }, weight: 5 },
          quick: { url: "http://b" },
        },
        routes: [{ name: "r", upstreams: [[{ name: "quick", weight: 2 }, "slow"]], timeouts: { head: "1s" } }],
      }
      """)
    #expect(configuration.upstreams.map(\.connectTimeout) == [.seconds(9), .seconds(5)])
    let candidates = Settings(configuration).routes[0].candidates
    #expect(candidates.map(\.upstream) == [1, 0] && candidates.map(\.weight) == [2, 5])
    #expect(candidates.map(\.tier) == [0, 0] && candidates.allSatisfy { $0.timeouts.head == .seconds(1) })
    #expect(candidates.map(\.timeouts.firstToken) == [.seconds(35), .seconds(120)])
  }
}
