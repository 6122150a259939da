import Testing

/// What a reader may rely on in every file.
struct HouseRuleTests {
  private func forEachLine(_ folders: [String], _ body: (SourceTree.File, Int, Substring) -> Void) throws {
    for folder in folders {
      for file in try SourceTree(folder).files {
        for (index, line) in file.lines.enumerated() { body(file, index + 1, line) }
      }
    }
  }

  private func words(of line: Substring) -> [Substring] {
    line.split { !$0.isLetter && !$0.isNumber && $0 != "_" && $0 != "@" }
  }

  @Test func `a source file is short enough to be read`() throws {
    for file in try SourceTree("Sources").files {
      #expect(file.lines.count <= 501, "\(file.path) has \(file.lines.count - 1) lines")
    }
  }

  @Test func `modules meet at package access, tests at the same door`() throws {
    try forEachLine(["Sources", "Tests"]) { file, number, line in
      guard !file.path.hasPrefix("Tests/ArchitectureTests/"), !line.drop(while: { $0 == " " }).hasPrefix("//") else {
        return
      }
      for word in words(of: line) where ["@testable", "@inlinable", "@usableFromInline"].contains(word) {
        Issue.record("\(file.path):\(number): \(word)")
      }
      // A library for others has a public face.
      if file.tier != "Clients", words(of: line).first(where: { !$0.hasPrefix("@") }) == "public" {
        Issue.record("\(file.path):\(number): public")
      }
    }
  }

  @Test func `nothing is left for later`() throws {
    try forEachLine(["Sources"]) { file, number, line in
      for word in words(of: line) where ["TODO", "FIXME", "XXX", "HACK"].contains(word) {
        Issue.record("\(file.path):\(number): \(word)")
      }
    }
  }

  @Test func `the old ways out of Swift's safety are not taken`() throws {
    // Each of them traps, or hides an error, on input that somebody else wrote.
    let banned = ["try!", "as!", "fatalError("]
    try forEachLine(["Sources"]) { file, number, line in
      guard !line.drop(while: { $0 == " " }).hasPrefix("//") else { return }
      for text in banned where line.contains(text) { Issue.record("\(file.path):\(number): \(text)") }
    }
  }
}
