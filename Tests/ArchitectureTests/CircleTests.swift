import Testing

/// Files that reach each other in a circle can't be read, tested or moved one by one. Who names whom is told from the
/// names of types: a file depends on every file of its module that declares a type which it names.
@Suite struct CircleTests {
  /// The largest circle that a module may have.
  static let limit = 4

  @Test func `no module has a circle of more than four files`() throws {
    let modules = Dictionary(grouping: try SourceTree("Sources").files, by: \.module)
    #expect(modules.count > 15)
    for (module, files) in modules.sorted(by: { $0.key < $1.key }) {
      let largest = FileGraph(files).circles.max { $0.count < $1.count } ?? []
      #expect(largest.count <= Self.limit, "\(module) has a circle: \(largest.joined(separator: ", "))")
    }
  }

  /// The library for others has names of its own; it is used without the rest.
  @Test func `no two types of the program have one name`() throws {
    let files = try SourceTree("Sources").files.filter { !$0.path.hasPrefix("Sources/Clients/") }
    let homes = files.flatMap { file in file.lines.compactMap(FileGraph.declaredType).map { ($0, file.path) } }
    #expect(homes.count > 300)
    for (name, places) in Dictionary(grouping: homes, by: \.0) where places.count > 1 {
      Issue.record("\(name) is declared in \(places.map(\.1).joined(separator: " and "))")
    }
  }

  @Test func `two files that name each other are a circle, and one that only names them is not in it`() {
    func file(_ path: String, _ text: String) -> SourceTree.File {
      SourceTree.File(path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false))
    }
    let graph = FileGraph([
      file("Sources/App/M/A.swift", "final class A {\n  let b: B?\n}"),
      file("Sources/App/M/B.swift", "struct B { var a: A } // C"),
      file("Sources/App/M/C.swift", "package enum C { case a(A), b(B) }\nprivate struct B {}"),
    ])
    #expect(graph.circles == [["A.swift", "B.swift"]])
  }
}

/// Which files of a module name types of which others.
struct FileGraph {
  private let names: [String]
  private var edges: [[Int]] = []

  init(_ files: [SourceTree.File]) {
    names = files.map { $0.path.split(separator: "/").last.map(String.init) ?? "" }
    let words = files.map(Self.words)
    var homes: [Substring: Int] = [:]
    for (index, file) in files.enumerated() {
      for name in file.lines.compactMap(Self.declaredType) where homes[name] == nil { homes[name] = index }
    }
    edges = words.enumerated().map { index, words in
      Set(words.compactMap { homes[$0] }).subtracting([index]).sorted()
    }
  }

  /// The type that a line at the top of a file declares for others.
  static func declaredType(_ line: Substring) -> Substring? {
    guard let first = line.first, first.isLetter || first == "@" else { return nil }
    let words = line.split(whereSeparator: { !$0.isLetter && !$0.isNumber && $0 != "_" && $0 != "@" })
    guard !words.contains("private"), !words.contains("fileprivate"),
      let kind = words.firstIndex(where: { kinds.contains($0) }), kind + 1 < words.count
    else { return nil }
    return words[..<kind].allSatisfy { modifiers.contains($0) || $0.hasPrefix("@") } ? words[kind + 1] : nil
  }

  private static let kinds: Set<Substring> = ["class", "struct", "enum", "protocol", "actor", "typealias"]
  private static let modifiers: Set<Substring> = ["public", "package", "internal", "final", "indirect"]

  /// All words of a file but those of its comments and texts.
  private static func words(of file: SourceTree.File) -> Set<Substring> {
    var words: Set<Substring> = []
    for line in file.lines {
      let code = line.replacing(/"(\\.|[^"\\])*"/, with: "").replacing(/\/\/.*/, with: "")
      for word in code.split(whereSeparator: { !$0.isLetter && !$0.isNumber && $0 != "_" }) {
        words.insert(Substring(word))
      }
    }
    return words
  }

  /// The sets of files that reach each other, by name. Two files are in one when each is reached from the other.
  var circles: [[String]] {
    let reached = names.indices.map(reachable)
    var seen: Set<Int> = []
    var circles: [[String]] = []
    for index in names.indices where !seen.contains(index) {
      let circle = names.indices.filter { reached[index].contains($0) && reached[$0].contains(index) }
      seen.formUnion(circle)
      if circle.count > 1 { circles.append(circle.map { names[$0] }.sorted()) }
    }
    return circles
  }

  /// What can be reached from a file, by one edge or more.
  private func reachable(from start: Int) -> Set<Int> {
    var reached: Set<Int> = []
    var next = edges[start]
    while let index = next.popLast() {
      if reached.insert(index).inserted { next += edges[index] }
    }
    return reached
  }
}
