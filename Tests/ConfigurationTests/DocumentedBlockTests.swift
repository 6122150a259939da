import Configuration
import Flags
import FoundationEssentials
import JSON
import Testing

/// Each fenced block of the documentation is run or checked by somebody, whatever its language.
@Suite struct DocumentedBlockTests {
  struct Block {
    var page: String
    /// Of the line that opens it, from 1.
    var line: Int
    var language: String
    var lines: [String] = []

    var place: String { "\(page):\(line)" }
  }

  /// The file that runs or checks the blocks of a language. A language without one may not be used.
  static let checkers = [
    "sh": "Tests/RealClients/pages.py", "console": "Tests/RealClients/pages.py", "http": "Tests/RealClients/pages.py",
    "sse": "Tests/RealClients/pages.py", "json": "Tests/RealClients/pages.py",
    "js": "Tests/Clients/Documentation/examples.mjs", "ts": "Tests/Clients/Documentation/examples.mjs",
    "tsx": "Tests/Clients/Documentation/examples.mjs", "swift": "Tests/Clients/Documentation/examples.mjs",
    "python": "Tests/Clients/Python/test_package.py",
    "json5": "Tests/ConfigurationTests/DocumentedBlockTests.swift",
    "text": "Tests/ConfigurationTests/DocumentedBlockTests.swift",
  ]

  /// Drawings, figures and what the demo prints: the pages that have such blocks, and how many. Code is in none.
  static let texts = ["README.md": 2, "docs/architecture.md": 3, "docs/performance.md": 1]

  /// The pages that the checkers read.
  static func isRead(_ page: String) -> Bool {
    let steps = page.split(separator: "/")
    switch steps.count {
    case 1: return page == "README.md"
    case 2: return steps[0] == "docs"
    default: return steps.count == 4 && page.hasPrefix("Sources/Clients/") && steps[3] == "README.md"
    }
  }

  /// Every page of the repository.
  static func pages() throws -> [String] {
    let names = try ["docs", "Sources", "Tests", "flags"].flatMap { folder in
      try FileManager.default.subpathsOfDirectory(atPath: folder).map { "\(folder)/\($0)" }
    }
    return (["README.md"] + names).filter { $0.hasSuffix(".md") && !$0.contains("/node_modules/") }.sorted()
  }

  /// A page's blocks. One that is not closed is an error.
  static func blocks(of page: String) throws -> [Block] {
    var found: [Block] = []
    var open: Block?
    let lines = try DocumentationTests.text(page).split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() {
      if var block = open {
        if line == "```" {
          found.append(block)
          open = nil
        } else {
          block.lines.append(String(line))
          open = block
        }
      } else if line.contains(/^ *(```|~~~)/) {
        open = Block(page: page, line: index + 1, language: String(line.drop { $0 == " " }.dropFirst(3)))
      }
    }
    #expect(open == nil, "\(page) has a block without an end")
    return found
  }

  static func blocks() throws -> [Block] { try pages().flatMap(blocks) }

  @Test func `every block is of a language that something checks`() throws {
    let blocks = try Self.blocks()
    #expect(blocks.count > 60)
    for block in blocks {
      #expect(Self.checkers[block.language] != nil, "\(block.place): nothing checks \"\(block.language)\"")
      #expect(Self.isRead(block.page), "\(block.place): what checks blocks does not read this page")
    }
    for (language, checker) in Self.checkers {
      #expect(blocks.contains { $0.language == language }, "there is no block of \(language)")
      #expect(try DocumentationTests.text(checker).contains(language), "\(checker) does not know \(language)")
    }
  }

  /// Code that is set apart by four spaces has no language, so nothing would check it.
  @Test func `no code stands outside of a block`() throws {
    for page in try Self.pages() {
      var isInside = false
      var before: Substring = ""
      for line in try DocumentationTests.text(page).split(separator: "\n", omittingEmptySubsequences: false) {
        if line.hasPrefix("```") { isInside.toggle() }
        if !isInside, before.isEmpty, line.contains(/^    \S/) { Issue.record("\(page): \(line)") }
        before = line
      }
    }
  }

  @Test func `blocks of text are those that are known`() throws {
    let blocks = try Self.blocks().filter { $0.language == "text" }
    #expect(Dictionary(grouping: blocks, by: \.page).mapValues(\.count) == Self.texts)
  }

  @Test func `the README's tree names what is there`() throws {
    let tree = try #require(try Self.blocks(of: "README.md").first { $0.lines[0].hasPrefix("Package.swift") })
    var folders: [String] = []
    for line in tree.lines {
      let depth = line.prefix { $0 == " " }.count / 2
      let name = String(line.drop { $0 == " " }.prefix { $0 != " " })
      folders = folders.prefix(depth) + [name]
      #expect(FileManager.default.fileExists(atPath: folders.joined(separator: "/")), "\(line)")
    }
    #expect(tree.lines.count > 8)
  }

  @Test func `the drawings of the architecture name what there is`() throws {
    let files = try FileManager.default.subpathsOfDirectory(atPath: "Sources").filter { $0.hasSuffix(".swift") }
    let source = try files.map { try DocumentationTests.text("Sources/\($0)") }.joined()
    let declared = Set(source.matches(of: /\b(?:struct|class|enum|protocol|actor) (\w+)/).map { String($0.1) })
    let folders = Set(files.flatMap { $0.split(separator: "/").map(String.init) })
    let libraries = try FileManager.default.contentsOfDirectory(atPath: "Sources/C")
    let known = declared.union(folders).union(libraries)
    var names: Set<String> = []
    for block in try Self.blocks(of: "docs/architecture.md") {
      names.formUnion(block.lines.joined(separator: "\n").matches(of: /\b[A-Z]\w*[A-Z0-9]\w*\b/).map { String($0.0) })
    }
    #expect(names.count > 25)
    #expect(names.subtracting(known) == [])
  }

  /// A configuration, or a flag file, that has a part which a page shows.
  static func documents(_ block: Block, secret: String) throws -> [(isFlagFile: Bool, text: String)] {
    let text = block.lines.joined(separator: "\n").replacing("/run/secrets/api-key", with: secret)
    let upstreams = ["h", "openai", "second", "house-1", "house-2"].map { "\"\($0)\": { url: \"http://\($0)\" }" }
    let others = "upstreams: { \(upstreams.joined(separator: ", ")) }"
    switch text.prefix(while: { $0 != ":" && $0 != "\n" }) {
    case "{": return [(false, text)]
    case "headers":
      let route = "routes: [{ name: \"r\", upstreams: \"u\" }]"
      return [(false, "{ upstreams: { u: { url: \"https://u\", \(text) } }, \(route) }")]
    case "capability": return [(false, "{ upstream: \"http://h\", \(text) }")]
    case "upstreams":
      return block.lines.map { (false, "{ \(others), routes: [{ name: \"r\", \($0)\n }] }") }
    case "\"targeting\"":
      let flag = """
        { "state": "ENABLED", "defaultVariant": "legacy",
          "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" }, \(text) }
        """
      let rollout = "\"$evaluators\": { \"rollout:stream-closing\": { \"if\": [true, \"graceful\", \"legacy\"] } }"
      return [(true, "{ \"flags\": { \"stream-closing\": \(flag) }, \(rollout) }")]
    default: return []
    }
  }

  @Test func `every part of a configuration that a page shows is taken`() throws {
    let blocks = try Self.blocks().filter { $0.language == "json5" }
    try SecretTests.withFile("example\n") { secret in
      for block in blocks {
        let documents = try Self.documents(block, secret: secret)
        #expect(!documents.isEmpty, "\(block.place): nothing says of what this is a part")
        for document in documents {
          do {
            if document.isFlagFile {
              _ = try FlagSet(parsing: Array(document.text.utf8), requiring: [.streamClosing])
            } else {
              let value = try JSONValue(parsing: document.text, dialect: .json5)
              _ = try Configuration(
                decoding: value, secrets: SecretSource(environment: DocumentationTests.environment))
            }
          } catch {
            Issue.record("\(block.place): \(error)")
          }
        }
      }
    }
  }
}
