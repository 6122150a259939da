import Configuration
import FoundationEssentials
import HTTP
import JSON
import Testing

@Suite struct SecretTests {
  static let value = "sk-0123456789abcdef"

  static func decode(_ members: String, _ environment: [String: String] = [:]) throws -> Configuration {
    let text = "{ upstreams: { a: { url: \"http://a\", \(members) } }, routes: [{ name: \"r\", upstreams: \"a\" }] }"
    return try Configuration(
      decoding: JSONValue(parsing: text, dialect: .json5), secrets: SecretSource(environment: environment))
  }

  static func faults(_ members: String, _ environment: [String: String] = [:]) throws -> DecodingFaults? {
    do {
      _ = try decode(members, environment)
      return nil
    } catch let error as DecodingFaults {
      return error
    }
  }

  /// The lines of what is sent besides the client's own.
  static func lines(_ configuration: Configuration) -> [String] {
    let fields = configuration.upstreams[0].overrides
    return fields.indices.map { index in
      let name = fields.name(at: index)
      return String(decoding: (0..<name.count).map { name[$0] }, as: UTF8.self) + ": "
        + (fields.string(named: String(decoding: (0..<name.count).map { name[$0] }, as: UTF8.self)) ?? "")
    }
  }

  /// A file with this text, gone after `body`.
  static func withFile<Result>(_ text: String, _ body: (String) throws -> Result) throws -> Result {
    let path = "/tmp/fermata-secret-\(UUID().uuidString)"
    try Data(text.utf8).write(to: URL(filePath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
  }

  @Test func `a header's value comes from the environment, with its prefix`() throws {
    let configuration = try Self.decode(
      "headers: { Authorization: { env: \"KEY\", prefix: \"Bearer \" }, \"X-Plain\": \"v\", \"x-key\": { env: \"KEY\" } }",
      ["KEY": Self.value])
    #expect(
      Self.lines(configuration) == ["Authorization: Bearer \(Self.value)", "X-Plain: v", "x-key: \(Self.value)"])
  }

  @Test(arguments: ["", "\n", "\r\n"])
  func `a header's value comes from a file, without the line break at its end`(end: String) throws {
    try Self.withFile(Self.value + end) { path in
      let configuration = try Self.decode("headers: { \"X-Key\": { file: \"\(path)\" } }")
      #expect(Self.lines(configuration) == ["X-Key: \(Self.value)"])
      #expect(configuration.summary.contains("(from file \(path))") && !configuration.summary.contains(Self.value))
    }
  }

  @Test func `nothing that is printed has the value`() throws {
    let configuration = try Self.decode(
      "headers: { Authorization: { env: \"KEY\", prefix: \"Bearer \" }, \"X-Literal\": \"literal-value\" }",
      ["KEY": Self.value])
    var dumped = ""
    dump(configuration.upstreams[0].headers, to: &dumped)
    for text in [configuration.summary, dumped, "\(configuration.upstreams[0].headers)"] {
      #expect(!text.contains(Self.value) && !text.contains("literal-value"))
    }
    #expect(configuration.summary.contains("\"Authorization\": \"(from env KEY)\""))
    #expect(configuration.summary.contains("\"X-Literal\": \"(set)\""))
  }

  @Test(arguments: [
    ("headers: { A: { env: \"NONE\" } }", "headers.A.env"), ("headers: { A: { env: \"EMPTY\" } }", "headers.A"),
    ("headers: { A: { env: \"BROKEN\" } }", "headers.A"),
    ("headers: { A: { file: \"/nowhere/key\" } }", "headers.A.file"),
    ("headers: { A: { file: \"/tmp\" } }", "headers.A.file"), ("headers: { A: {} }", "headers.A"),
    ("headers: { A: { prefix: \"x\" } }", "headers.A"),
    ("headers: { A: { env: \"KEY\", file: \"/x\" } }", "headers.A.file"),
    ("headers: { A: { env: \"KEY\", suffix: 1 } }", "headers.A.suffix"),
    ("headers: { A: { env: 3 } }", "headers.A.env"),
    ("headers: { A: 12345678 }", "headers.A"), ("headers: { A: \"\" }", "headers.A"),
    ("headers: { A: \"a\\nB: c\" }", "headers.A"),
    ("headers: { A: { env: \"KEY\", prefix: \"x\\r\\n\" } }", "headers.A"),
    ("headers: { \"A B\": \"x\" }", "headers.A B"), ("headers: { Host: \"x\" }", "headers.Host"),
    ("headers: { \"content-length\": \"3\" }", "headers.content-length"),
    ("headers: { a: \"1\", A: \"2\" }", "headers.A"),
    ("headers: { Via: \"x\" }", "headers.Via"),
    ("removeHeaders: [\"a b\"]", "removeHeaders[0]"), ("removeHeaders: [\"A\", \"host\"]", "removeHeaders[1]"),
    ("removeHeaders: [\"Content-Length\"]", "removeHeaders[0]"),
    ("removeHeaders: [\"Transfer-Encoding\"]", "removeHeaders[0]"),
  ])
  func `a mistake is told with its path, and never with the value`(members: String, path: String) throws {
    let environment = ["KEY": Self.value, "EMPTY": "", "BROKEN": "sk-broken\nX: y"]
    let faults = try #require(try Self.faults(members, environment))
    #expect(faults.faults.map(\.path) == ["upstreams.a.\(path)"])
    for secret in [Self.value, "sk-broken", "12345678"] { #expect(!faults.description.contains(secret)) }
  }

  @Test func `a file that is no text, or too long, is refused without its contents`() throws {
    for text in [Self.value + "\u{0}", Self.value + "\nsecond", String(repeating: Self.value, count: 2000)] {
      try Self.withFile(text) { path in
        let faults = try #require(try Self.faults("headers: { A: { file: \"\(path)\" } }"))
        #expect(faults.faults.count == 1 && !faults.description.contains(Self.value))
      }
    }
  }

  @Test func `the operators' token can come from elsewhere too`() throws {
    let text = "{ upstream: \"http://h\", admin: { listen: \"0.0.0.0:1\", token: { env: \"TOKEN\" } } }"
    let document = try JSONValue(parsing: text, dialect: .json5)
    let long = SecretSource(environment: ["TOKEN": "0123456789abcdef"])
    #expect(try Configuration(decoding: document, secrets: long).admin.token == "0123456789abcdef")
    for environment in [["TOKEN": "short"], [:]] {
      #expect(throws: DecodingFaults.self) {
        try Configuration(decoding: document, secrets: SecretSource(environment: environment))
      }
    }
  }

  @Test func `a mistake in a URL does not hide the others`() throws {
    let text = "{ upstreams: { a: { url: \"ftp://a\", weight: 0 } }, routes: [{ name: \"r\", upstreams: \"a\" }] }"
    #expect(try ConfigurationTests.faults(text) == ["upstreams.a.url", "upstreams.a.weight"])
  }
}
