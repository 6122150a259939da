import Configuration
import HTTP
import JSON
import Streams
import Testing
import Time

@Suite struct RouteSettingsTests {
  /// A configuration with the upstreams `a`, `b` and `c`, and one route with these members.
  static func route(_ members: String, with rest: String = "") throws -> RouteSettings {
    try #require(try ConfigurationTests.decode(document(members, rest)).routes.first)
  }

  static func faults(_ members: String, with rest: String = "") throws -> [String] {
    try ConfigurationTests.faults(document(members, rest))
  }

  private static func document(_ members: String, _ rest: String) -> String {
    """
    {
      upstreams: { a: { url: "http://a" }, b: { url: "http://b" }, c: { url: "http://c" } }, \(rest)
      routes: [{ name: "r", \(members) }],
    }
    """
  }

  @Test(arguments: [
    ("\"a\"", ["a0"]), ("[\"a\"]", ["a0"]), ("[\"a\", \"b\"]", ["a0", "b1"]),
    ("[[\"a\", \"b\"], \"c\"]", ["a0", "b0", "c1"]), ("[\"c\", [\"b\", \"a\"]]", ["c0", "b1", "a1"]),
    ("[{ name: \"a\", weight: 3 }, \"b\"]", ["a0x3", "b1"]),
    ("[[{ name: \"a\", weight: 1000 }, { name: \"b\", weight: 1 }], { name: \"c\" }]", ["a0x1000", "b0x1", "c1"]),
  ])
  func `each element of a route's upstreams is a tier`(text: String, tiers: [String]) throws {
    let route = try Self.route("upstreams: \(text)")
    #expect(route.upstreams.map { "\($0.name)\($0.tier)\($0.weight.map { "x\($0)" } ?? "")" } == tiers)
  }

  @Test(arguments: [
    ("upstreams: []", ["routes[0].upstreams"]), ("upstreams: 7", ["routes[0].upstreams"]),
    ("path: \"/\"", ["routes[0].upstreams"]), ("upstreams: \"x\"", ["routes[0].upstreams"]),
    ("upstreams: [\"a\", \"x\"]", ["routes[0].upstreams[1]"]), ("upstreams: [[]]", ["routes[0].upstreams[0]"]),
    ("upstreams: [[\"a\", 3]]", ["routes[0].upstreams[0][1]"]),
    ("upstreams: [[[\"a\"]]]", ["routes[0].upstreams[0][0]"]),
    ("upstreams: [\"a\", [\"a\"]]", ["routes[0].upstreams[1][0]"]),
    ("upstreams: [{ name: \"x\" }]", ["routes[0].upstreams[0].name"]),
    ("upstreams: [{ weight: 2 }]", ["routes[0].upstreams[0].name"]),
    ("upstreams: [{ name: \"a\", weight: 0 }]", ["routes[0].upstreams[0].weight"]),
    ("upstreams: [{ name: \"a\", weight: 1001 }]", ["routes[0].upstreams[0].weight"]),
    ("upstreams: [{ name: \"a\", wait: 1 }]", ["routes[0].upstreams[0].wait"]),
    ("upstreams: \"a\", path: \"v1\"", ["routes[0].path"]),
    ("upstreams: \"a\", path: \"/:id*\"", ["routes[0].path"]),
    ("upstreams: \"a\", methods: []", ["routes[0].methods"]),
    ("upstreams: \"a\", methods: [\"GET\", \"G T\"]", ["routes[0].methods[1]"]),
    ("upstreams: \"a\", headers: { \"x y\": true }", ["routes[0].headers.x y"]),
    ("upstreams: \"a\", headers: { x: false, y: 3, z: null }", ["x", "y", "z"].map { "routes[0].headers.\($0)" }),
    ("upstreams: \"a\", headers: { x: { suffix: \"1\" } }", ["prefix", "suffix"].map { "routes[0].headers.x.\($0)" }),
    ("upstreams: \"a\", gate: \"token\"", ["routes[0].gate"]),
    ("upstreams: \"a\", timeouts: { connect: 0 }", ["routes[0].timeouts.connect"]),
    ("upstreams: \"a\", timeouts: { token: 1 }", ["routes[0].timeouts.token"]),
    ("upstreams: \"a\", preambleLimit: 1", ["routes[0].preambleLimit"]),
    ("upstreams: \"a\", replayLimit: \"2GiB\"", ["routes[0].replayLimit"]),
    (
      "upstreams: \"a\", flagAttributes: { a: [], headers: 1, $flagd: 1 }",
      ["a", "headers", "$flagd"].map { "routes[0].flagAttributes.\($0)" }
    ),
    ("upstreams: \"a\", cors: {}", ["routes[0].cors.origins"]),
    ("upstreams: \"a\", cors: { origins: [] }", ["routes[0].cors.origins"]),
    ("upstreams: \"a\", cors: { origins: [\"app.example\"] }", ["routes[0].cors.origins[0]"]),
    ("upstreams: \"a\", cors: { origins: [\"*\"], credentials: true }", ["routes[0].cors.credentials"]),
    ("upstreams: \"a\", cors: { origins: [\"*\"], maxAge: \"2d\" }", ["routes[0].cors.maxAge"]),
    ("upstreams: \"a\", cors: { origins: [\"*\"], methods: [\"GET\", \"*\"] }", ["routes[0].cors.methods[1]"]),
    ("upstreams: \"a\", cors: true", ["routes[0].cors"]),
  ])
  func `a mistake in a route is told with its path`(members: String, paths: [String]) throws {
    #expect(try Self.faults(members) == paths)
  }

  @Test(arguments: ["", "a\\u0001b", "a\\nb", String(repeating: "x", count: 101)])
  func `a name is a short text`(name: String) throws {
    let routes = "{ upstream: \"http://a\", routes: [{ name: \"\(name)\", upstreams: \"a:80\" }] }"
    #expect(try ConfigurationTests.faults(routes) == ["routes[0].name"])
    let upstreams = "{ upstream: \"http://a\", upstreams: { \"\(name)\": { url: \"http://b\" } } }"
    #expect(try ConfigurationTests.faults(upstreams).count == 1)
  }

  @Test func `two routes of one name are a mistake`() throws {
    let text = """
      {
        upstreams: { a: { url: "http://a" } },
        routes: [{ name: "r", path: "/x", upstreams: "a" }, { name: "r", upstreams: "a" }],
      }
      """
    #expect(try ConfigurationTests.faults(text) == ["routes[1].name"])
  }

  @Test(arguments: ["redis", "pubsub", "bullmq"])
  func `a route that workers feed needs no upstreams, and serves GET then`(source: String) throws {
    let redis = "runs: { redis: { url: \"redis://h\" } },"
    let runs = "path: \"/r/:runId\", runs: { source: \"\(source)\", queue: \"q\" }"
    let route = try Self.route(runs, with: redis)
    #expect(route.upstreams.isEmpty && route.methods == [.get])
    let both = try Self.route("upstreams: \"a\", \(runs)", with: redis)
    #expect(both.upstreams.count == 1 && both.methods == nil)
    #expect(try Self.faults("methods: [\"GET\", \"POST\"], \(runs)", with: redis) == ["routes[0].methods"])
    #expect(try Self.faults("runs: { store: \"redis\" }", with: redis) == ["routes[0].upstreams"])
    let alone = "{ \(redis) routes: [{ name: \"r\", \(runs) }] }"
    let configuration = try ConfigurationTests.decode(alone)
    let again = try ConfigurationTests.decode(configuration.summary)
    #expect(again.routes.map(\.methods) == [[.get]] && again.upstreams.isEmpty)
  }

  @Test func `a route that says nothing has the defaults of design`() throws {
    let route = try Self.route("upstreams: \"a\"")
    #expect(route.waterfall.gate == .head && route.waterfall.budget == .seconds(60))
    #expect(route.waterfall.commitAfter == .seconds(15) && !route.waterfall.commitsInLegacy)
    #expect(route.waterfall.timeouts == AttemptTimeouts() && route.replayLimit == 1 << 20)
    #expect(route.cors == nil && route.path == nil && route.methods == nil && route.waterfall.isTransparent)
  }

  @Test(arguments: [
    ("upstreams: \"a\"", true), ("upstreams: [\"a\"], gate: \"head\"", true), ("upstreams: [\"a\", \"b\"]", false),
    ("upstreams: [[\"a\", \"b\"]]", false), ("upstreams: \"a\", gate: \"firstEvent\"", false),
  ])
  func `a route is transparent with one upstream and no gate`(members: String, isTransparent: Bool) throws {
    #expect(try Self.route(members).waterfall.isTransparent == isTransparent)
  }

  @Test func `a route inherits the defaults, member by member`() throws {
    let defaults = """
      defaults: {
        gate: "firstToken", budget: "90s", commitInLegacy: true, replayLimit: "2MiB",
        timeouts: { connect: "2s", head: "7s" }, cors: { origins: ["https://a.example"] },
      },
      """
    let plain = try Self.route("upstreams: \"a\"", with: defaults)
    #expect(plain.waterfall.gate == .firstToken && plain.waterfall.budget == .seconds(90))
    #expect(plain.waterfall.commitsInLegacy && plain.replayLimit == 2 << 20 && plain.cors != nil)
    let own = try Self.route(
      "upstreams: \"a\", gate: \"head\", timeouts: { head: \"9s\" }, cors: false, replayLimit: 0", with: defaults)
    #expect(own.waterfall.gate == .head && own.waterfall.budget == .seconds(90))
    #expect(own.waterfall.timeouts.connect == .seconds(2) && own.waterfall.timeouts.head == .seconds(9))
    #expect(own.cors == nil && own.replayLimit == 0)
  }

  @Test func `a lone upstream inherits the defaults too`() throws {
    let configuration = try ConfigurationTests.decode(
      """
      {
        upstream: "http://h",
        defaults: { gate: "firstEvent", health: { failures: 2 }, cors: { origins: ["*"] }, timeouts: { connect: "1s" } },
      }
      """)
    #expect(configuration.routes[0].waterfall.gate == .firstEvent && configuration.routes[0].cors != nil)
    #expect(configuration.upstreams[0].health.failures == 2 && configuration.upstreams[0].connectTimeout == .seconds(1))
  }

  @Test func `defaults are settings like others`() throws {
    let sources = SettingSources(environment: [
      "FERMATA_UPSTREAM": "http://h", "FERMATA_DEFAULTS_GATE": "firstToken",
      "FERMATA_DEFAULTS_TIMEOUTS_FIRST_TOKEN": "9s",
      "FERMATA_DEFAULTS_REPLAY_LIMIT": "0", "FERMATA_DEFAULTS_HEALTH_EJECTION_MAX": "1m",
    ])
    let configuration = try sources.load().get()
    let route = configuration.routes[0]
    #expect(route.waterfall.gate == .firstToken && route.waterfall.timeouts.firstToken == .seconds(9))
    #expect(route.replayLimit == 0 && configuration.upstreams[0].health.ejectionMax == .seconds(60))
  }

  @Test func `health is set for all, and for one`() throws {
    let configuration = try ConfigurationTests.decode(
      """
      {
        upstreams: {
          a: { url: "http://a", health: { ejection: "3s", check: { status: "200-399", healthyAfter: 5 } } },
          b: { url: "http://b", health: { check: false } },
        },
        defaults: { health: { failures: 0, slowStart: "20s", check: { path: "/health?deep=1", status: 204 } } },
        routes: [{ name: "r", upstreams: ["a", "b"] }],
      }
      """)
    let (a, b) = (configuration.upstreams[0].health, configuration.upstreams[1].health)
    #expect(a.failures == 0 && a.ejection == .seconds(3) && a.slowStart == .seconds(20))
    #expect(a.check?.path == "/health?deep=1" && a.check?.status == 200...399 && a.check?.healthyAfter == 5)
    #expect(b.check == nil && b.failures == 0)
  }

  @Test(arguments: [
    ("failures: -1", "failures"), ("ejection: 0", "ejection"), ("ejection: \"10m\"", "ejectionMax"),
    ("check: { path: \"health\" }", "check.path"), ("check: { status: 99 }", "check.status"),
    ("check: { status: \"200-\" }", "check.status"), ("check: { status: \"299-200\" }", "check.status"),
    ("check: { status: \"200-299-1\" }", "check.status"), ("check: { interval: \"1ms\" }", "check.interval"),
    ("check: { healthyAfter: 0 }", "check.healthyAfter"), ("check: true", "check"), ("chekc: {}", "chekc"),
  ])
  func `a mistake in health is told with its path`(members: String, path: String) throws {
    let text =
      "{ upstreams: { a: { url: \"http://a\", health: { \(members) } } }, routes: [{ name: \"r\", upstreams: \"a\" }] }"
    #expect(try ConfigurationTests.faults(text) == ["upstreams.a.health.\(path)"])
  }

  @Test func `what check prints of a route can be read again and says the same`() throws {
    let text = """
      {
        upstreams: {
          a: { url: "http://a", weight: 7, timeouts: { head: "3s" }, removeHeaders: ["Cookie"], health: { failures: 1 } },
          b: { url: "http://b", health: { check: { path: "/up" } } },
        },
        defaults: { budget: "61s" },
        routes: [{
          name: "r", path: "/v1/:model/*", methods: ["POST", "PURGE"],
          headers: { "X-A": "1", "X-B": true, "X-C": { prefix: "v" } },
          upstreams: [["a", { name: "b", weight: 9 }]], gate: "firstEvent", commitAfter: 0, preambleLimit: "8KiB",
          timeouts: { answer: "1m" }, replayLimit: "3MB", capabilityHeader: "X-End", flagAttributes: { tier: "gold", n: 1 },
          cors: { origins: ["https://*.a.example", "null"], methods: ["GET"], exposed: ["X-Cost"], maxAge: "1m" },
        }],
      }
      """
    let summary = try ConfigurationTests.decode(text).summary
    let again = try ConfigurationTests.decode(summary)
    #expect(again.summary == summary)
    let route = again.routes[0]
    #expect(route.upstreams.map(\.tier) == [0, 0] && route.upstreams[1].weight == 9)
    #expect(route.waterfall.budget == .seconds(61) && route.waterfall.commitAfter == .zero)
    #expect(route.conditions.count == 3 && route.cors?.grants.maxAge == 60 && route.flagAttributes["n"] == 1)
    #expect(again.upstreams[0].weight == 7 && again.upstreams[1].health.check?.path == "/up")
  }
}
