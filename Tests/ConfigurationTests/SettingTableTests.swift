import Configuration
import Flags
import JSON
import Streams
import Testing
import Time

/// The settings that stand in tables.
@Suite struct `Settings in tables` {
  struct Row: Sendable, CustomTestStringConvertible {
    let place: String?
    let name: String
    let kind: SettingKind

    /// Only one with TLS has settings of that, and reads the system's certificates each time.
    var redis: String { place == "runs.redis.tls" ? "rediss" : "redis" }
    var path: String { place.map { "\($0).\(name)" } ?? name }
    var testDescription: String { path }
  }

  private static func rows<Owner>(_ place: String?, _ settings: [Setting<Owner>]) -> [Row] {
    settings.map { Row(place: place, name: $0.name, kind: $0.kind) }
  }

  /// The runs of a route, which no variable can set.
  private static let route = "routes[0].runs"

  static let rows: [Row] = [
    rows("limits", LimitSettings.settings), rows("stream", StreamSettings.reading),
    rows("stream", StreamSettings.treatment), rows("stream", Watchdogs.settings),
    rows("defaults", WaterfallPolicy.settings), rows("defaults.timeouts", TimeoutSettings.settings),
    rows("defaults.health", HealthPolicy.settings), rows("defaults.health.check", HealthCheckPolicy.settings),
    rows(nil, Configuration.settings), rows(nil, ListenerSettings.settings), rows("tls", ListenerTLS.settings),
    rows("admin", AdminSettings.settings), rows("log", LogSettings.settings),
    rows("tracing", TracingSettings.settings), rows("flags", FlagSettings.settings),
    rows("flags.guard", GuardPolicy.settings), rows("flags.guardRedis", GuardRedisSettings.settings),
    rows("capability", CapabilitySettings.settings), rows("identity", IdentitySettings.settings),
    rows("shadow", ShadowSettings.settings), rows("runs", CommonRunSettings.settings),
    rows("runs.redis", RedisRunSettings.settings), rows("runs.redis.tls", TLSSettings.settings),
    rows(route, RunSettings.settings),
  ].flatMap { $0 }

  /// What the configuration says of a value by itself: the faults of that path but those that name another setting.
  private static func faults(_ row: Row, _ value: JSONValue) throws -> [String] {
    let text = """
      { upstreams: { b: { url: "http://backend" } }, trustedProxies: ["10.0.0.1"],
        flags: { guardRedis: { url: "redis://a" } }, runs: { redis: { url: "\(row.redis)://a" } } }
      """
    var document = try JSONValue(parsing: text, dialect: .json5)
    var route = try JSONValue(parsing: #"{ "name": "chat", "path": "/:runId", "upstreams": "b" }"#)
    if row.place == Self.route {
      route[path: ["runs", row.name]] = value
    } else {
      document[path: row.path.split(separator: ".").map(String.init)] = value
    }
    document[path: ["routes"]] = .array([route])
    do {
      _ = try Configuration(decoding: document)
      return []
    } catch {
      return error.faults.filter { $0.path == row.path }.map(\.message).filter {
        !$0.hasPrefix("must ") && !$0.hasPrefix("is of no use while")
      }
    }
  }

  private static func seconds(_ time: Nanoseconds) -> JSONValue { .number(time.seconds) }

  @Test(arguments: rows) func `the bounds hold, and both are allowed`(_ row: Row) throws {
    let within: [JSONValue]
    let beyond: [JSONValue]
    switch row.kind {
    case .number(let range), .bytes(let range):
      within = [JSONValue(range.lowerBound), JSONValue(range.upperBound)]
      beyond = [JSONValue(range.lowerBound - 1), JSONValue(range.upperBound + 1)]
    case .time(let range):
      within = [Self.seconds(range.lowerBound), Self.seconds(range.upperBound)]
      beyond = [Self.seconds(range.lowerBound - .milliseconds(1)), Self.seconds(range.upperBound + .seconds(1))]
    case .switched: (within, beyond) = ([true, false], [1, "yes"])
    case .choice(let words): (within, beyond) = (words.map { JSONValue.string($0) }, ["other", 1])
    case .fraction(let range):
      within = [.number(range.lowerBound), .number(range.upperBound)]
      beyond = [.number(range.lowerBound - 0.1), .number(range.upperBound + 0.1), "half"]
    case .headerName: (within, beyond) = (["x-client"], ["x client", 1])
    case .text: (within, beyond) = ([], [1, [], true])
    case .value: (within, beyond) = ([], [.null, []])
    }
    for value in within { #expect(try Self.faults(row, value) == [], "\(value.text())") }
    for value in beyond where !value.isNull { #expect(try Self.faults(row, value).count == 1, "\(value.text())") }
  }

  private static let paths = SettingSources.paths.map(\.path)

  @Test func `each has a variable, but those of a route`() {
    for row in Self.rows { #expect(Self.paths.contains(row.path) == (row.place != Self.route), "\(row.path)") }
  }

  @Test func `no name is there twice`() {
    #expect(Set(Self.paths).count == Self.paths.count && Self.paths.count > 100)
  }

  /// What a variable gives is read by what the setting is, not by what it looks like.
  @Test func `a text stays a text though it looks like a number or a switch`() throws {
    var variables = ["FERMATA_UPSTREAM": "http://127.0.0.1:1"]
    for (path, text) in [
      ("identity.cookie", "7"), ("runs.redis.prefix", "1"), ("tracing.serviceName", "true"), ("socketMode", "0600"),
      ("identity.header", "0"), ("runs.redis.password", "12345"), ("runs.redis.user", "true"),
      ("runs.redis.url", "redis://a"),
    ] { variables[SettingSources.variable(for: path)] = text }
    let configuration = try SettingSources(environment: variables).load().get()
    #expect(configuration.identity.cookie == "7" && configuration.identity.header == "0")
    #expect(configuration.tracing.serviceName == "true" && configuration.main.socketMode.bits == 0o600)
    let redis = JSONValue.object(configuration.document)["runs"]?["redis"]
    #expect(redis?["prefix"]?.string == "1" && redis?["user"]?.string == "true")
  }
}
