import Flags
import FoundationEssentials
import JSON
import Testing

@Suite struct `The table of operators` {
  @Test func `the page on migration has it, row by row`() throws {
    let page = String(decoding: try Data(contentsOf: URL(filePath: "docs/migration.md")), as: UTF8.self)
    let rows = page.split(separator: "\n").drop { $0 != "| operator | in all engines | result |" }
    let documented = rows.dropFirst(2).prefix { $0.hasPrefix("|") }.map(String.init)
    #expect(documented == RuleOperator.table.map { "| `\($0.name)` | \($0.isPortable ? "yes" : "") | \($0.meaning) |" })
  }

  @Test func `no name is there twice`() {
    #expect(Set(RuleOperator.table.map(\.name)).count == RuleOperator.table.count)
  }

  @Test(arguments: RuleOperator.table.map(\.name))
  func `a rule may call it, and the linter warns where engines differ`(_ name: String) throws {
    let known = try #require(RuleOperator.table.first { $0.name == name })
    var evaluator = RuleEvaluator(context: EvaluationContext(), flagKey: "flag")
    do {
      _ = try evaluator.evaluate(Rule(compiling: [name: [["x"], ["x"]]]))
    } catch {
      #expect(error != .unknownOperator(name))
    }
    let warnings = PortableProfile.faults(in: [name: []], at: JSONPointer()).map(\.message)
    #expect(warnings.contains { $0.contains("\"\(name)\" differs between the engines") } == !known.isPortable)
  }

  @Test(arguments: [("stars_with", "starts_with"), ("fractionl", "fractional"), ("sme", "some"), ("nonee", "none")])
  func `a name that is misspelt is guessed`(_ written: String, _ meant: String) {
    var rule = JSONValue.object([:])
    rule[path: [written]] = [1, 2]
    let set: JSONValue = [
      "flags": ["f": ["state": "ENABLED", "variants": ["a": 1], "defaultVariant": "a", "targeting": rule]]
    ]
    let faults = FlagLinter.lint(Array(set.text().utf8)).map(\.description)
    #expect(faults.contains { $0.contains("did you mean \"\(meant)\"?") }, "\(faults)")
  }
}
