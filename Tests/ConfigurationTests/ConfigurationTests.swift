import Configuration
import HTTP
import JSON
import Loop
import Streams
import Telemetry
import Testing
import Time

@Suite struct ConfigurationTests {
  static func decode(_ text: String) throws -> Configuration {
    try Configuration(decoding: JSONValue(parsing: text, dialect: .json5))
  }

  /// The paths of the mistakes in `text`.
  static func faults(_ text: String) throws -> [String] {
    do {
      _ = try Configuration(decoding: JSONValue(parsing: text, dialect: .json5))
      return []
    } catch let error as DecodingFaults {
      return error.faults.map(\.path)
    }
  }

  @Test func `one URL is enough, and the rest has its default`() throws {
    let configuration = try Self.decode("{ upstream: 'http://127.0.0.1:9000' }")
    #expect(configuration.listen == .loopback(port: 8080) && configuration.admin.listen == .loopback(port: 8081))
    #expect(configuration.routes.count == 1 && configuration.upstreams.count == 1)
    let watchdogs = configuration.routes[0].stream.watchdogs
    #expect(watchdogs.firstToken == .seconds(35) && watchdogs.idle == .seconds(55))
    #expect(watchdogs.keepalive == .seconds(12) && watchdogs.clientStall == .seconds(30))
    #expect(configuration.drain == .seconds(30) && configuration.log.level == .info)
  }

  @Test func `a route has the common stream settings, and its own over them`() throws {
    let configuration = try Self.decode(
      """
      {
        upstreams: { a: { url: "http://h:1" } },
        stream: { idle: "5m", keepalive: "25s" },
        routes: [
          { name: "agents", path: "/agents/*", upstreams: ["a"], stream: { idle: "10m" } },
          { name: "rest", upstreams: ["a"] },
        ],
      }
      """)
    #expect(configuration.routes.map(\.stream.watchdogs.idle) == [.seconds(600), .seconds(300)])
    #expect(configuration.routes.allSatisfy { $0.stream.watchdogs.keepalive == .seconds(25) })
  }

  @Test(arguments: [
    ("{ upstream: 'http://h', unknown: 1 }", ["unknown"]),
    ("{ upstream: 'http://h', stream: { idel: '1s' } }", ["stream.idel"]),
    ("{ upstream: 'http://h', stream: { idle: 'soon', total: -1 } }", ["stream.idle", "stream.total"]),
    ("{ upstream: 'http://h', stream: { lowWater: 300000 } }", ["stream.lowWater"]),
    ("{ upstream: 'http://h', limits: { head: 10 } }", ["limits.head"]),
    ("{ upstream: 'http://h', trustedProxies: ['10.0.0.0/8', 'x'] }", ["trustedProxies[1]"]),
    ("{ upstream: 'http://h', listen: 'nowhere' }", ["listen"]),
    ("{ upstream: 'http://h', admin: { token: 'short' } }", ["admin.token"]),
    ("{}", ["upstream"]),
  ])
  func `each mistake is told with its path`(text: String, paths: [String]) throws {
    #expect(try Self.faults(text) == paths)
  }

  @Test func `an admin listener beyond loopback needs a token`() throws {
    let open = "{ upstream: 'http://h', admin: { listen: '0.0.0.0:1' } }"
    #expect(try Self.faults(open) == ["admin.token"])
    let closed = "{ upstream: 'http://h', admin: { listen: '0.0.0.0:1', token: '0123456789abcdef' } }"
    #expect(try Self.faults(closed) == [])
  }

  @Test(arguments: [
    ("listen", "FERMATA_LISTEN"), ("admin.listen", "FERMATA_ADMIN_LISTEN"),
    ("stream.firstToken", "FERMATA_STREAM_FIRST_TOKEN"), ("flags.startWithout", "FERMATA_FLAGS_START_WITHOUT"),
    ("limits.requestsPerConnection", "FERMATA_LIMITS_REQUESTS_PER_CONNECTION"),
  ])
  func `a setting's variable is its path`(path: String, variable: String) {
    #expect(SettingSources.variable(for: path) == variable)
  }

  @Test func `an option wins over a variable`() throws {
    var sources = SettingSources(environment: [
      "FERMATA_UPSTREAM": "http://variable:1", "FERMATA_WORKERS": "3", "FERMATA_ADMIN_TOKEN": "00000000000000000123",
      "OTHER": "x",
    ])
    sources.override("upstream", with: "http://option:2", from: "--upstream")
    let configuration = try sources.load().get()
    #expect(configuration.workers == 3 && configuration.upstreams[0].url.host == "option")
    #expect(configuration.admin.token == "00000000000000000123", "a token of digits stays a text")
  }

  @Test func `a file that can't be read is named once`() {
    var sources = SettingSources(environment: [:])
    sources.file = "/nowhere/fermata.json5"
    guard case .failure(let error) = sources.load() else {
      Issue.record("it was taken")
      return
    }
    #expect(error.description == "/nowhere/fermata.json5: no such file")
  }

  @Test func `a mistake says where it came from`() throws {
    let sources = SettingSources(environment: ["FERMATA_UPSTREAM": "http://h", "FERMATA_STREAM_IDLE": "soon"])
    guard case .failure(let error) = sources.load() else {
      Issue.record("it was taken")
      return
    }
    #expect(error.description.contains("stream.idle") && error.description.contains("FERMATA_STREAM_IDLE"))
  }

  @Test func `what check prints can be read again and says the same`() throws {
    let text = """
      {
        upstreams: { a: { url: "http://h:1/base", idleTimeout: "7s" }, b: { url: "http://[::1]:2" } },
        stream: { retry: "3s", dialect: "openai", onHalfClose: "cancel", completionEvents: ["end"] },
        routes: [{ name: "r", path: "/v1/*", methods: ["POST"], upstreams: ["b"], stream: { idle: "250ms" } }],
        limits: { headTimeout: "3s", connections: 7 },
        drain: "1m",
      }
      """
    let summary = try Self.decode(text).summary
    let again = try Self.decode(summary)
    #expect(again.summary == summary)
    #expect(again.drain == .seconds(60) && again.routes.count == 1 && again.upstreams.count == 2)
  }
}
