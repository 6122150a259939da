import Configuration
import Flags
import FoundationEssentials
import Harness
import JSON
import Streams
import TLS
import Testing
import Time

/// The documented configuration is the one that is read.
@Suite struct DocumentationTests {
  static let environment = [
    "FERMATA_EXAMPLE_TOKEN": "0123456789abcdef", "FERMATA_EXAMPLE_READ_TOKEN": "123456789abcdef0",
    "FERMATA_EXAMPLE_SCRAPE_TOKEN": "23456789abcdef01", "FERMATA_EXAMPLE_KEY": "example", "OPENAI_API_KEY": "example",
    "SECOND_API_KEY": "example", "ANTHROPIC_API_KEY": "example",
  ]

  static func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
  }

  static func files() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "docs/examples").filter { $0.hasSuffix(".json5") }.sorted()
  }

  /// A path as the documentation writes it: lists and names of the user's own by one word.
  static func documented(_ path: String) -> String {
    var steps = path.split(separator: ".").map { step -> String in
      guard let bracket = step.firstIndex(of: "[") else { return String(step) }
      return step[..<bracket] + "[]"
    }
    for (index, step) in steps.enumerated() {
      switch step {
      case "upstreams" where index == 0 && steps.count > 1: steps[1] = "NAME"
      case "headers" where index > 0 && steps.count > index + 1 && steps[0] != "identity": steps[index + 1] = "HEADER"
      case "flagAttributes" where steps.count > index + 1: steps[index + 1] = "NAME"
      case "guard" where steps.count > index + 1 && GuardMetric(rawValue: steps[index + 1]) != nil:
        steps[index + 1] = "METRIC"
      default: break
      }
    }
    var result = steps.joined(separator: ".")
    let shared = [
      ("routes[].stream.", "stream."), ("defaults.health", "upstreams.NAME.health"),
      ("admin.token.", "upstreams.NAME.headers.HEADER."),
      ("admin.readToken.", "upstreams.NAME.headers.HEADER."), ("admin.scrapeToken.", "upstreams.NAME.headers.HEADER."),
      ("runs.redis.tls.", "upstreams.NAME.tls."),
      ("tls.", "listeners[].tls."),
      ("runs.cors.", "routes[].cors."),
      ("runs.redis.password.", "upstreams.NAME.headers.HEADER."),
      ("flags.guardRedis.password.", "upstreams.NAME.headers.HEADER."),
      ("flags.guardRedis.tls.", "upstreams.NAME.tls."),
      ("runs.redis.sentinel.password.", "upstreams.NAME.headers.HEADER."),
      ("flags.guardRedis.sentinel.password.", "upstreams.NAME.headers.HEADER."),
    ]
    for (place, home) in shared where result.hasPrefix(place) { result = home + result.dropFirst(place.count) }
    if result.hasPrefix("defaults.") { result = "routes[]." + result.dropFirst("defaults.".count) }
    return result
  }

  static func survey() throws -> [SurveyedName] {
    Configuration.survey(try JSONValue(parsing: text("docs/examples/reference.json5"), dialect: .json5))
  }

  @Test func `every example is taken`() throws {
    let files = try Self.files()
    #expect(files.count >= 2)
    let certificates = try TestCertificates()
    defer { certificates.remove() }
    let identity = try certificates.identity()
    try SecretTests.withFile("example\n") { secret in
      for file in files {
        // The files of secrets and certificates are absent here; others take their places.
        let text = try Self.text("docs/examples/\(file)").replacing("/run/secrets/api-key", with: secret)
          .replacing("/etc/fermata/authority.pem", with: certificates.roots)
          .replacing("/etc/fermata/gateway.pem", with: identity.certificate)
          .replacing("/etc/fermata/gateway.key", with: identity.key)
        do {
          let document = try JSONValue(parsing: text, dialect: .json5)
          let secrets = SecretSource(environment: Self.environment)
          #expect(!(try Configuration(decoding: document, secrets: secrets)).routes.isEmpty)
        } catch {
          Issue.record("docs/examples/\(file): \(error)")
        }
      }
    }
  }

  @Test func `the reference has every name that is read`() throws {
    let names = try Self.survey()
    let present = Set(names.filter(\.isPresent).map { Self.documented($0.path) })
    #expect(present.count > 100)
    for name in names where !present.contains(Self.documented(name.path)) {
      Issue.record("docs/examples/reference.json5 lacks \(name.path)")
    }
  }

  @Test func `the documentation has every name that is read`() throws {
    let page = try Self.text("docs/configuration.md")
    for path in Set(try Self.survey().map { Self.documented($0.path) }).sorted() where !page.contains("`\(path)`") {
      Issue.record("docs/configuration.md does not tell of \(path)")
    }
  }

  @Test func `each single value outside of lists has a variable, and each variable is one`() throws {
    let document = try JSONValue(parsing: Self.text("docs/examples/reference.json5"), dialect: .json5)
    let scalars = try Self.survey().map(\.path).filter { path in
      guard !path.contains("["), !path.hasPrefix("upstreams."), !path.contains(".cors") else { return false }
      switch path.split(separator: ".").reduce(document, { $0?[String($1)] ?? nil }) {
      case .array, .null, nil: return false
      case .object:
        return [
          "admin.token", "admin.readToken", "admin.scrapeToken", "runs.redis.password", "flags.guardRedis.password",
          "runs.redis.sentinel.password", "flags.guardRedis.sentinel.password",
        ].contains(path)
      default: return !path.hasPrefix("flags.guard.") || path.split(separator: ".").count == 3
      }
    }
    let expected = Set(scalars).subtracting([
      "admin.token.env", "admin.readToken.env", "admin.scrapeToken.env", "runs.redis.password.env",
      "flags.guardRedis.password.env", "runs.redis.sentinel.password.env", "flags.guardRedis.sentinel.password.env",
    ])
    let paths = SettingSources.paths.map(\.path)
    for path in expected.subtracting(paths).sorted() { Issue.record("\(path) has no variable") }
    for path in Set(paths).subtracting(expected).sorted() { Issue.record("\(path) is not read") }
  }

  /// The rows of the documentation's tables whose first cell is a path: the path, the default.
  static func rows() throws -> [(path: String, fallback: String)] {
    try text("docs/configuration.md").split(separator: "\n").compactMap { line in
      let cells = line.split(separator: "|").map { $0.drop(while: { $0 == " " }) }
      guard line.hasPrefix("| `"), cells.count >= 3 else { return nil }
      let path = cells[0].dropFirst().prefix { $0 != "`" }
      var fallback = String(cells[1])
      while fallback.last == " " { fallback.removeLast() }
      return (String(path), fallback)
    }
  }

  @Test func `the documented defaults are the ones in force`() throws {
    let least = """
      {
        upstreams: { NAME: { url: "https://h", health: { check: {} } } }, runs: { redis: { url: "redis://h" } },
        flags: { guardRedis: { url: "redis://h" } },
        routes: [{ name: "r", upstreams: "NAME", cors: { origins: ["https://a"] }, runs: {} }],
      }
      """
    let summary = try JSONValue(parsing: ConfigurationTests.decode(least).summary)
    var compared = 0
    for (path, fallback) in try Self.rows() where fallback.hasPrefix("`") {
      let place = path.hasPrefix("stream.") ? "routes[]." + path : path
      let value = place.split(separator: ".").reduce(summary as JSONValue?) { value, step in
        step == "routes[]" ? value?["routes"]?.array?.first : value?[String(step)]
      }
      let told = String(fallback.dropFirst().prefix { $0 != "`" })
      #expect(Self.says(value, told), "\(path): documented \(told), in force \(value?.text() ?? "nothing")")
      compared += 1
    }
    #expect(compared > 60)
  }

  private static func says(_ value: JSONValue?, _ told: String) -> Bool {
    switch value {
    case .string(let text):
      text == told || "\"\(text)\"" == told || Nanoseconds(parsing: text) == Nanoseconds(parsing: told)
    case .number(let number): Double(told) == number || ByteSize(parsing: told).map { Double($0.bytes) } == number
    case nil: false
    case let value?: value.text() == told.filter { $0 != " " }
    }
  }

  @Test func `the table of clocks has every limit under the name that is logged`() throws {
    let page = try Self.text("docs/configuration.md")
    let table = try #require(page.split(separator: "### Which clock runs when").last?.split(separator: "\n## ").first)
    for limit in TimeLimit.allCases { #expect(table.contains("`\(limit.rawValue)`"), "\(limit)") }
  }
}
