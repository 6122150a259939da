import HTTP
import Testing

@Suite struct CORSTests {
  static func request(_ method: HTTP.Method, _ fields: [(String, String)]) throws -> RequestHead {
    var all = Fields()
    for (name, value) in fields { all.append(try #require(FieldName(name)), try #require(FieldValue(value))) }
    return RequestHead(method: method, target: try #require(Target("/x")), fields: all)
  }

  static func policy(_ origins: [String], _ change: (inout CORSPolicy.Grants) -> Void = { _ in }) throws -> CORSPolicy {
    var grants = CORSPolicy.Grants()
    change(&grants)
    let parsed = try origins.map { try #require(CORSOrigin($0)) }
    return try #require(CORSPolicy(origins: parsed, grants: grants))
  }

  static let exposed =
    "Access-Control-Expose-Headers: X-Stream-Id, X-Stream-Mode, X-Stream-Outcome, X-Stream-Resume, X-Run-Id, Preference-Applied, Retry-After, X-Request-Id"

  @Test(arguments: [
    ("https://app.example", "https://app.example", true), ("https://App.Example", "https://app.example", true),
    ("https://app.example", "http://app.example", false), ("https://app.example", "https://app.example:444", false),
    ("https://app.example", "https://app.example.evil", false),
    ("http://localhost:3000", "http://localhost:3000", true),
    ("https://*.example.com", "https://a.example.com", true),
    ("https://*.example.com", "https://a.b.example.com", true),
    ("https://*.example.com", "https://example.com", false), ("https://*.example.com", "https://.example.com", false),
    ("https://*.example.com", "https://evil.com/.example.com", false),
    ("https://*.example.com", "https://evil.com:1.example.com", false),
    ("https://*.example.com", "https://u@a.example.com", false),
    ("https://*.example.com", "https://a..example.com", false),
    ("https://*.example.com", "https://evilexample.com", false),
    ("https://*.example.com:8443", "https://a.example.com:8443", true),
    ("https://*.example.com:8443", "https://a.example.com", false), ("*", "https://anything", true),
    ("null", "null", true), ("https://app.example", "null", false),
    ("capacitor://localhost", "capacitor://localhost", true),
  ])
  func `an origin is allowed by its whole text`(entry: String, origin: String, isAllowed: Bool) throws {
    let request = try Self.request(.get, [("Origin", origin)])
    var fields = Fields()
    try Self.policy([entry]).append(for: request, to: &fields)
    #expect(fields.contains(.accessControlAllowOrigin) == isAllowed)
  }

  @Test(arguments: [
    "", "app.example", "https://", "https://a/", "https://a/b", "https://*", "https://*.", "https://a.*.b",
    "https://a*",
    "https://u@a", "https://a:", "https://a:99999", "1s://a", "https://a b", "**", "https:///a",
  ])
  func `what is no origin is refused`(text: String) {
    #expect(CORSOrigin(text) == nil)
  }

  @Test(arguments: ["*", "null"])
  func `credentials are for origins that are known by name`(origin: String) throws {
    var grants = CORSPolicy.Grants()
    grants.allowsCredentials = true
    let origins = [try #require(CORSOrigin("https://a")), try #require(CORSOrigin(origin))]
    #expect(CORSPolicy(origins: origins, grants: grants) == nil)
    #expect(CORSPolicy(origins: Array(origins.prefix(1)), grants: grants) != nil)
  }

  @Test func `an allowed origin is named, and caches are told that it matters`() throws {
    var fields = Fields()
    let policy = try Self.policy(["https://a.example"]) { $0.allowsCredentials = true }
    policy.append(for: try Self.request(.get, [("Origin", "https://a.example")]), to: &fields)
    #expect(
      fields.lines == [
        "Vary: Origin", "Access-Control-Allow-Origin: https://a.example", "Access-Control-Allow-Credentials: true",
        Self.exposed,
      ])
  }

  @Test func `another origin gets nothing, and no origin neither`() throws {
    let policy = try Self.policy(["https://a.example"])
    let pairs = [("Origin", "https://b.example")]
    for fields in [pairs, [], pairs + [("Origin", "https://a.example")]] {
      var answer = Fields()
      policy.append(for: try Self.request(.get, fields), to: &answer)
      #expect(answer.lines == ["Vary: Origin"])
    }
  }

  @Test func `a policy for everybody is the same for everybody`() throws {
    let policy = try Self.policy(["https://a.example", "*"])
    for fields in [[("Origin", "https://a.example")], []] {
      var answer = Fields()
      policy.append(for: try Self.request(.get, fields), to: &answer)
      #expect(answer.lines == ["Access-Control-Allow-Origin: *", Self.exposed])
    }
  }

  @Test func `a preflight is told what was configured`() throws {
    let policy = try Self.policy(["https://a.example"]) {
      $0.methods = [.post, .get]
      $0.headers = ["Content-Type", "X-User-Id"].compactMap { FieldName($0) }
      $0.maxAge = 60
    }
    let asked = try Self.request(
      .options, [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")])
    #expect(
      policy.preflight(asked)?.lines == [
        "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        "Access-Control-Allow-Origin: https://a.example", "Access-Control-Allow-Methods: POST, GET",
        "Access-Control-Allow-Headers: Content-Type, X-User-Id", "Access-Control-Max-Age: 60",
      ])
  }

  @Test func `a policy without lists grants what is asked for, if it is honest`() throws {
    let policy = try Self.policy(["*"])
    let asked = try Self.request(
      .options,
      [
        ("Origin", "https://a"), ("Access-Control-Request-Method", "PATCH"),
        ("Access-Control-Request-Headers", "content-type, x-a"),
      ])
    let answer = try #require(policy.preflight(asked))
    #expect(answer.string(.accessControlAllowMethods) == "PATCH")
    #expect(answer.string(.accessControlAllowHeaders) == "content-type, x-a")
    #expect(answer.string(.accessControlAllowOrigin) == "*")
    let strange = try Self.request(
      .options,
      [
        ("Origin", "https://a"), ("Access-Control-Request-Method", "GET x"),
        ("Access-Control-Request-Headers", "a, b c"),
      ])
    let nothing = try #require(policy.preflight(strange))
    #expect(!nothing.contains(.accessControlAllowMethods) && !nothing.contains(.accessControlAllowHeaders))
  }

  @Test func `a preflight of another origin is answered with nothing`() throws {
    let asked = try Self.request(
      .options, [("Origin", "https://b.example"), ("Access-Control-Request-Method", "POST")])
    let answer = try #require(try Self.policy(["https://a.example"]).preflight(asked))
    #expect(answer.count == 1 && answer.contains(.vary))
  }

  @Test func `only OPTIONS with both fields is a preflight`() throws {
    let policy = try Self.policy(["*"])
    let both = [("Origin", "https://a"), ("Access-Control-Request-Method", "GET")]
    #expect(policy.preflight(try Self.request(.options, both)) != nil)
    #expect(policy.preflight(try Self.request(.get, both)) == nil)
    for field in both { #expect(policy.preflight(try Self.request(.options, [field])) == nil) }
  }

  @Test func `the backend's own words about it are dropped, its Vary is kept`() throws {
    let policy = try Self.policy(["https://a.example"]) { $0.exposed = [FieldName("X-Cost")].compactMap(\.self) }
    var backend = Fields()
    backend.append(.accessControlAllowOrigin, literal: "https://other")
    backend.append(.accessControlAllowCredentials, literal: "true")
    backend.append(.vary, literal: "Accept-Encoding")
    var base = ResponseRules(dropped: [.etag])
    base.overrides.append(.xStreamMode, literal: "legacy")
    let rules = policy.rules(base, for: try Self.request(.get, [("Origin", "https://a.example")]), over: backend)
    #expect(rules.dropped.contains(.etag) && rules.dropped.contains(.accessControlAllowCredentials))
    #expect(
      rules.overrides.lines == [
        "X-Stream-Mode: legacy", "Vary: Origin", "Vary: Accept-Encoding",
        "Access-Control-Allow-Origin: https://a.example", Self.exposed + ", X-Cost",
      ])
  }
}
