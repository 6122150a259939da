import FoundationEssentials

/// The Swift files of the package, as text.
struct SourceTree {
  struct File {
    /// From the package's root.
    var path: String
    var lines: [Substring]

    /// `Sources/<tier>/<module>/…`; client libraries are named by their language.
    var tier: String { component(1) }
    var module: String {
      guard path.hasPrefix("Sources/Clients/Swift/") else { return component(2) }
      return component(3) == "Core" ? "FermataClientCore" : "FermataClient"
    }

    private func component(_ index: Int) -> String {
      let parts = path.split(separator: "/")
      return index < parts.count ? String(parts[index]) : ""
    }

    /// The modules that the file's import lines name.
    var imports: [String] { lines.compactMap(Self.importedModule) }

    static func importedModule(_ line: Substring) -> String? {
      var words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })[...]
      while let word = words.first, word.hasPrefix("@") || accessLevels.contains(String(word)) { words.removeFirst() }
      guard words.popFirst() == "import" else { return nil }
      if let word = words.first, kinds.contains(String(word)) { words.removeFirst() }
      return words.first.map { String($0.prefix { $0 != "." && $0 != ";" }) }
    }

    private static let accessLevels: Set = ["public", "package", "internal", "fileprivate", "private"]
    private static let kinds: Set = ["struct", "class", "enum", "protocol", "typealias", "func", "let", "var"]
  }

  static let root = String(#filePath.prefix(#filePath.count - "/Tests/ArchitectureTests/SourceTree.swift".count))

  var files: [File]

  /// All Swift files below `folder`.
  init(_ folder: String) throws {
    let names = try FileManager.default.subpathsOfDirectory(atPath: "\(Self.root)/\(folder)")
    files = try names.filter { $0.hasSuffix(".swift") }.sorted().map { name in
      let path = "\(folder)/\(name)"
      let text = try String(contentsOfFile: "\(Self.root)/\(path)", encoding: .utf8)
      return File(path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false))
    }
  }

  /// The modules of a tier, whether they have Swift files or not.
  static func modules(of tier: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "\(root)/Sources/\(tier)").sorted()
  }
}
