import FoundationEssentials
import Testing

/// What the gateway writes is what the documentation tells of.
@Suite struct WrittenNamesTests {
  private static func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
  }

  private static func gatewaySource() throws -> String {
    try ["Gateway", "Operations", "FlagControl", "Logging"].map { "Sources/App/\($0)" }.flatMap { folder in
      try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.hasSuffix(".swift") }
        .map { try text("\(folder)/\($0)") }
    }.joined()
  }

  @Test func `the operators' page has every metric, and nothing that is not written`() throws {
    let source = try Self.gatewaySource()
    let written = source.matches(of: /"((?:ai_stream|fermata)_[a-z_]+)"/).map { String($0.1) }
    #expect(written.count > 60)
    let rows = try Self.text("docs/operations.md").split(separator: "\n").filter { $0.hasPrefix("| `") }
    let documented = rows.flatMap { row in
      row.split(separator: "|")[0].matches(of: /`([a-z_]+)`/).map { String($0.1) }
    }
    #expect(Set(written).subtracting(documented) == [], "not documented")
    #expect(documented.filter { !source.contains($0) } == [], "not written")
  }

  @Test func `the protocol names every refusal`() throws {
    let page = try Self.text("docs/protocol.md")
    let codes = try Self.gatewaySource().matches(of: /\b[45]\d\d, "([a-z_]+)"/).map { String($0.1) }
    #expect(codes.count > 10)
    #expect(codes.filter { !page.contains("`\($0)`") } == [])
  }
}
