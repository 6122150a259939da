import Files
import Flags
import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  /// What is an operator's own in a flag file and beside it.
  @Suite struct `Own bytes` {
    private let bench: Workbench
    /// Spelt as no command would spell it.
    private static let rule = #"""
      {"if":[ {"and":[ {"==":[{"var":"tenant"},"caf\u00e9 \/ 1"]},
                      {">=":[{"var":["weight", 1.0]}, 1e1]} ]},
             "shield",
             {"$ref" : "rollout:stream-closing"} ]}
      """#
    private static let other = #"{ "z": 1.50, "a": [ 1.0,2 ], "n": 12345678901234567890, "o": {"y":0, "b":-0.0} }"#

    private static let evaluator = #"{"==":[1.0 , 1e0]}"#

    init() throws {
      bench = try Workbench()
      try write(
        Self.rule, #""$evaluators": {"rollout:stream-closing": {"if": [true, "legacy"]}, "own":\#(Self.evaluator)},"#)
    }

    private func write(_ rule: String, _ evaluators: String = "") throws {
      let text = """
        {
            "own" : \(Self.other),
            "flags": { "stream-closing": { "state": "ENABLED",
                "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" }, "defaultVariant": "legacy",
                "targeting": \(rule) } }, \(evaluators)
            "metadata": { "version": "1", "fractional": "v2", "weight": 1.0 }
        }
        """
      try AtomicFile.replace(bench.file, with: [UInt8](text.utf8))
    }

    private func text() throws -> String {
      String(decoding: try readFile(bench.file, limit: 1 << 20).bytes, as: UTF8.self)
    }

    @Test func `what a command does not change keeps its spelling, its order and its blanks`() throws {
      let own = try bench.document()
      let start = [
        "rollout", "start", "--variant", "graceful", "--internal", "qa", "--min-duration", "0s", "--min-streams", "0",
        "--min-identities", "0",
      ]
      let steps = [
        start, ["rollout", "advance"], ["rollout", "hold"], ["rollout", "resume"], ["rollout", "allow", "add", "vip"],
        ["rollout", "plan", "--plan", "1,5,50,100"], ["kill"], ["kill", "--hard"], ["enable"], ["disable"], ["enable"],
        ["rollout", "abort"], ["revert", "5"],
      ]
      for step in steps {
        let answer = try bench.run(step + ["--json", "--reason", "test"])
        #expect(answer.exit == 0, "\(step): \(answer.text)")
        let text = try text()
        #expect(text.contains("\"targeting\": \(Self.rule)"), "\(step): \(text)")
        #expect(text.contains("\n    \"own\" : \(Self.other),\n"), "\(step)")
        #expect(text.contains("\"own\":\(Self.evaluator)") && text.contains("\"weight\": 1.0"), "\(step)")
        let document = try bench.document()
        #expect(document["own"] == own["own"] && document["own"]?.object?.names == ["z", "a", "n", "o"], "\(step)")
      }
      #expect(try bench.run("lint").exit == 0)
      #expect(try bench.run("log", "--verify").exit == 0)
    }

    @Test func `where clients are taken out of the rule's place the rest of it stays`() throws {
      #expect(try bench.change("rollout", "start", "--variant", "graceful").exit == 0)
      #expect(try bench.change("rollout", "abort").exit == 0)
      #expect(try bench.change("rollout", "clear").exit == 0)
      let word = Self.rule.replacing(#"{"$ref" : "rollout:stream-closing"}"#, with: #""legacy""#)
      #expect(try text().contains("\"targeting\": \(word)"))
    }

    /// Both outputs of a command without a terminal.
    private func errors(_ arguments: [String]) throws -> (exit: Int32, errors: String) {
      let log = bench.directory.path + "/errors"
      let child = try ChildProcess(
        [Workbench.program, "flags"] + arguments + ["--reason", "test", "--json", "--file", bench.file],
        environment: ["LLVM_PROFILE_FILE": "/dev/null", "USER": "ann"], errorFile: log)
      child.closeInput()
      let answer = try Workbench.finish(child)
      return (answer.exit, String(decoding: try readFile(log, limit: 1 << 16).bytes, as: UTF8.self))
    }

    @Test func `what is adopted is shown without a terminal too`() throws {
      let own = #"{"if":[ {"==":[{"var":"tenant"},"caf\u00e9"]}, "shield", "legacy" ]}"#
      let start = ["rollout", "start", "--variant", "graceful"]
      for words in [["--adopt", "--dry-run"], ["--adopt"]] {
        try write(own)
        let (exit, shown) = try errors(start + words)
        #expect(exit == 0, "\(shown)")
        let old = #"- {"if":[{"==":[{"var":"tenant"},"café"]},"shield","legacy"]}"#
        #expect(shown.contains(old) && shown.contains(#"+ {"if":[{"==":[{"$ref":"#), "\(words): \(shown)")
      }
      #expect(try text().contains(own), "what is adopted keeps its bytes")
      // So is what is dropped.
      try write(own)
      let (exit, shown) = try errors(start + ["--rebucket"])
      #expect(exit == 0 && shown.contains("is dropped:\n- {\"if\""), "\(shown)")
    }

    @Test func `a link's document is printed with the bytes that the file would get`() throws {
      let link = bench.directory.path + "/link.json"
      _ = try ChildProcess(["ln", "-s", "flags.json", link]).wait(timeout: .seconds(5))
      let answer = try bench.run("kill", "--file", link)
      #expect(answer.exit == 6 && answer.text.contains(Self.rule) && answer.text.contains("DISABLED"), "\(answer.text)")
    }
  }
}
