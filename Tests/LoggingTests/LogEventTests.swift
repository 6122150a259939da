import FoundationEssentials
import Logging
import Telemetry
import Testing

@Suite struct `The table of log events` {
  private static func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
  }

  /// The cells of the tables' rows in a section of the operators' page.
  private static func rows(_ heading: String) throws -> [[String]] {
    let section = try text("docs/operations.md").components(separatedBy: "\n\(heading)\n").last ?? ""
    return section.split(separator: "\n").prefix { !$0.hasPrefix("#") }.filter { $0.hasPrefix("| `") }.map { row in
      row.split(separator: "|").map { $0.split(separator: " ").joined(separator: " ") }
    }
  }

  private static func words(_ cell: String) -> [String] { cell.matches(of: /`(\w+)`/).map { String($0.1) } }

  @Test func `the operators' page has it, row by row`() throws {
    let documented = try Self.rows("## Log").map { $0.prefix(3).joined(separator: " | ") }
    let expected = LogEvent.allCases.map(\.form).map { form in
      let levels = form.levels.all.map { "\($0)" }.joined(separator: ", ")
      let fields =
        form.name.description == "request_done"
        ? "see [below](#one-line-for-each-request)" : form.fieldNames.map { "`\($0)`" }.joined(separator: ", ")
      return "`\(form.name)` | \(levels) | \(fields)"
    }
    #expect(documented == expected)
  }

  @Test func `the operators' page has each field of a request's line`() throws {
    let documented = try Self.rows("### One line for each request").flatMap { Self.words($0[0]) }
    #expect(documented.sorted() == LogEvent.requestDone.form.fieldNames.sorted())
  }

  @Test func `no name is there twice`() {
    let forms = LogEvent.allCases.map(\.form)
    #expect(Set(forms.map(\.name.description)).count == forms.count)
    for form in forms {
      let names = LogEvent.Form.common + form.fieldNames
      #expect(Set(names).count == names.count, "\(form.name)")
      #expect(!form.levels.all.isEmpty, "\(form.name)")
    }
  }

  @Test func `each event is written somewhere`() throws {
    let folders = ["Gateway", "Operations", "FlagControl"].map { "Sources/App/\($0)" }
    let source = try folders.flatMap { folder in
      try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.hasSuffix(".swift") }
        .map { try Self.text("\(folder)/\($0)") }
    }.joined()
    for event in LogEvent.allCases {
      #expect(source.contains(try Regex(#"\.\#(event)\b"#)), "\(event)")
    }
  }
}
