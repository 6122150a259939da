import Flags
import JSON
import Processes
import Time

/// `fermata bench flags`: what one evaluation costs, and one load of a file.
enum FlagsBench {
  static let help = """
    usage: fermata bench flags [--json]

    Nanoseconds for one evaluation of typical rules, and microseconds for reading, checking and compiling files; the
    best of five rounds each. The bar is 2 microseconds for an evaluation of a rule of a rollout.
    """

  private struct Row {
    var name: String
    var nanoseconds: Double
    var isWithinBar = true
  }

  static func run(_ arguments: [String]) -> Int32 {
    if arguments.contains("--help") || arguments.contains("-h") {
      Terminal.print(help)
      return ExitStatus.success
    }
    #if DEBUG
      Terminal.error("fermata bench flags: this is a debug build; its figures mean nothing")
    #endif
    let rows = evaluations() + loads()
    if arguments.contains("--json") {
      let list = rows.map { row -> JSONValue in
        let time = row.nanoseconds.rounded()
        return ["name": .string(row.name), "nanoseconds": .number(time), "within": .bool(row.isWithinBar)]
      }
      Terminal.print(JSONValue.array(list).text(.pretty))
    } else {
      for row in rows { Terminal.print(line(row)) }
    }
    return rows.allSatisfy(\.isWithinBar) ? ExitStatus.success : ExitStatus.failure
  }

  private static func line(_ row: Row) -> String {
    let time =
      row.nanoseconds < 10_000
      ? "\(Int(row.nanoseconds.rounded())) ns" : "\(Int((row.nanoseconds / 1000).rounded())) us"
    let padding = String(repeating: " ", count: max(1, 52 - row.name.count))
    return row.name + padding + time + (row.isWithinBar ? "" : "  beyond the bar")
  }

  /// Rules as files have them, simple ones first.
  private static let rules: [(name: String, rule: String)] = [
    ("no rule", "{}"),
    ("fraction", #"{"fractional":[["graceful",2500],["legacy",7500]]}"#),
    (
      "rollout: allow-list, header, fraction",
      #"""
      {"if":[{"or":[{"==":[{"var":["internal",false]},true]},{"in":[{"var":["targetingKey",""]},["qa-1","qa-2","qa-3"]]},
      {"==":[{"var":["headers.x-internal",""]},"1"]}]},"graceful",{"fractional":[["graceful",2500],["legacy",7500]]}]}
      """#
    ),
    (
      "product and version, then a seeded fraction",
      #"""
      {"if":[{"and":[{"==":[{"var":"client"},"acme-web"]},{"sem_ver":[{"var":"version"},">=","2.3.0"]},
      {"starts_with":[{"var":["route",""]},"/v1/"]}]},{"fractional":[{"var":["targetingKey",""]},["graceful",1],["legacy",3]]},
      "legacy"]}
      """#
    ),
    ("allow-list of 1000", "{\"in\":[{\"var\":[\"targetingKey\",\"\"]},[\(allowList)]]}"),
  ]

  private static let allowList = (0..<1000).map { "\"customer-\($0)\"" }.joined(separator: ",")

  private static let context = EvaluationContext(
    targetingKey: "7d793037a0760186574b0282f2f435e7", client: "acme-web", version: "2.10.1", capability: "stream_end",
    route: "/v1/chat/completions", isInternal: false, headers: [.init(name: "x-region", value: "eu-west-1")])

  private static func evaluations() -> [Row] {
    rules.compactMap { name, rule in
      guard let set = set(rule) else { return nil }
      let count = 200_000
      var matches = 0
      let best = (0..<5).map { _ in
        let start = SystemClock.now
        for _ in 0..<count where set.evaluate(.streamClosing, context).variant == nil { matches += 1 }
        return Double((SystemClock.now - start).value) / Double(count)
      }.min()
      guard let best, matches == 0 || name.hasPrefix("allow-list") else { return nil }
      return Row(name: "evaluate: \(name)", nanoseconds: best, isWithinBar: best < 2000)
    }
  }

  private static func set(_ rule: String) -> FlagSet? {
    try? FlagSet(parsing: file(rule, flags: 1))
  }

  private static func file(_ rule: String, flags: Int) -> [UInt8] {
    let names = (0..<flags).map { $0 == 0 ? "stream-closing" : "flag-\($0)" }
    let variants = #""variants":{"legacy":"legacy","graceful":"graceful","true":"t","false":"f"}"#
    let members = names.map { name in
      #""\#(name)":{"state":"ENABLED",\#(variants),"defaultVariant":"legacy","targeting":\#(rule)}"#
    }
    return [UInt8]("{\"flags\":{\(members.joined(separator: ","))},\"metadata\":{\"fractional\":\"v2\"}}".utf8)
  }

  private static func loads() -> [Row] {
    [1, 100].compactMap { flags in
      let bytes = file(rules[2].rule, flags: flags)
      let best = (0..<5).compactMap { _ -> Double? in
        let start = SystemClock.now
        guard (try? FlagSet(parsing: bytes)) != nil else { return nil }
        return Double((SystemClock.now - start).value)
      }.min()
      return best.map { Row(name: "load: \(flags) flag(s), \(bytes.count) bytes", nanoseconds: $0) }
    }
  }
}
