import Files
import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  /// What the audit log finds out.
  @Suite struct `Auditing` {
    private let bench: Workbench
    private var logPath: String { bench.file + ".audit.jsonl" }

    init() throws {
      bench = try Workbench()
      _ = try bench.change("set", "--default", "graceful")
      _ = try bench.change("set", "--default", "shield")
    }

    private func logText() throws -> String {
      String(decoding: try readFile(logPath, limit: 1 << 20).bytes, as: UTF8.self)
    }

    private func verification() throws -> (exit: Int32, text: String) {
      let answer = try bench.run("log", "--verify")
      return (answer.exit, answer.text)
    }

    private func kinds() throws -> [String] {
      (try bench.run("log", "--json").data.array ?? []).compactMap { $0["kind"]?.string }
    }

    /// The next change goes on, and the log is whole again.
    private func expectGoesOn(_ note: String) throws {
      let answer = try bench.change("kill")
      let warnings = (answer.json["warnings"]?.array ?? []).compactMap(\.string).joined(separator: "\n")
      #expect(answer.exit == 0 && warnings.contains(note), "\(answer.text)")
      let after = try verification()
      #expect(after.exit == 0, "\(after.text)")
    }

    @Test func `lines that were cut from the end are missed`() throws {
      let lines = try logText().split(separator: "\n")
      for count in [1, 2, 3] {
        let rest = lines.dropLast(count).map { $0 + "\n" }.joined()
        try AtomicFile.replace(logPath, with: [UInt8](rest.utf8))
        let found = try verification()
        // Without its commit alone, a change is one that was begun: the file has come after all.
        #expect(found.exit == (count == 1 ? 0 : 3), "\(count): \(found.text)")
        if count > 1 { #expect(found.text.contains("missing from the end")) }
      }
      try expectGoesOn("lines are missing from the end")
      #expect(try kinds().contains("found"))
    }

    @Test func `a log that is gone is missed`() throws {
      _ = try ChildProcess(["rm", logPath]).wait(timeout: .seconds(5))
      let found = try verification()
      #expect(found.exit == 3 && found.text.contains("the log is gone"))
      try expectGoesOn("the log is gone")
    }

    @Test func `a file that was edited by hand gets a line of its own, with the change`() throws {
      var document = try bench.document()
      document[path: ["flags", "stream-closing", "defaultVariant"]] = "legacy"
      try AtomicFile.replace(bench.file, with: document.serialized(.pretty))
      let found = try verification()
      #expect(found.exit == 3 && found.text.contains("changed by something else"))
      try expectGoesOn("changed by something else")
      let line = try bench.run("log", "--json").data.array?.first { $0["kind"] == "found" }
      #expect(line?["patch"]?.array?.first?["path"] == "/flags/stream-closing/defaultVariant", "\(line?.text() ?? "")")
      #expect(line?["reason"]?.string?.contains("last changed 2") == true)
    }

    @Test func `a torn line is put aside, and said so`() throws {
      let text = try logText()
      try AtomicFile.replace(logPath, with: [UInt8]((text + "{\"seq\":5,\"ki").utf8))
      #expect(try verification().exit == 3)
      try expectGoesOn("the last line was torn")
      #expect(try kinds().contains("recovered"))
      let torn = try readFile(logPath + ".torn", limit: 1 << 20).bytes
      #expect(String(decoding: torn, as: UTF8.self) == "{\"seq\":5,\"ki\n")
    }

    @Test func `a rotated log goes on from the old one`() throws {
      #expect(try bench.run("log", "rotate").exit == 0)
      #expect(try verification().exit == 0)
      _ = try bench.change("kill")
      #expect(try verification().exit == 0)
      #expect(try kinds() == ["rotated", "intent", "commit"])
      let old = try readFile(logPath + ".4", limit: 1 << 20).bytes
      let hash = try JSONValue(parsing: String(decoding: old.split(separator: 0x0A)[3], as: UTF8.self))["hash"]
      #expect(try bench.run("log", "--json").data.array?.first?["prevHash"] == hash)
    }

    @Test func `a file that wants a reason gets one for every change but a kill`() throws {
      var document = try bench.document()
      document[path: ["metadata", "requireReason"]] = true
      try AtomicFile.replace(bench.file, with: document.serialized(.pretty))
      #expect(try bench.run("set", "--default", "legacy", "--json").exit == 2)
      #expect(try bench.run("kill", "--json").exit == 0)
      #expect(try bench.change("enable").exit == 0)
    }

    @Test func `control characters in a reason do not reach the terminal`() throws {
      _ = try bench.run("kill", "--reason", "a\u{1B}[2Jb\nc")
      let text = try bench.run("log").text
      #expect(text.contains("a\\u{1b}[2Jb\\u{a}c"), "\(text)")
    }
  }

  /// Rules of the operator's own beside a rollout.
  @Suite struct `Own rules` {
    private let bench: Workbench
    private static let rule =
      #"{"if":[{"sem_ver":[{"var":"version"},"<","2.3.0"]},"shield",{"$ref":"rollout:stream-closing"}]}"#
    private static let start = [
      "rollout", "start", "--variant", "graceful", "--internal", "qa", "--min-duration", "0s", "--min-streams", "0",
      "--min-identities", "0", "--json", "--reason", "test",
    ]

    init() throws { bench = try Workbench() }

    private func write(_ rule: String, evaluators: String = "") throws {
      let text = """
        { "flags": { "stream-closing": { "state": "ENABLED",
            "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" }, "defaultVariant": "legacy",
            "targeting": \(rule) } }, \(evaluators)
          "metadata": { "version": "1", "fractional": "v2" } }
        """
      try AtomicFile.replace(bench.file, with: [UInt8](text.utf8))
    }

    private func targeting() throws -> String {
      try bench.document()[path: ["flags", "stream-closing", "targeting"]]?.text() ?? "none"
    }

    private func variant(_ version: String, _ key: String) throws -> String {
      try bench.run("eval", "--key", key, "-c", "version=\(version)", "--json").data["variant"]?.string ?? ""
    }

    @Test func `a rule around the rollout survives every command, byte for byte`() throws {
      try write(Self.rule, evaluators: #""$evaluators": {"rollout:stream-closing": {"if": [true, "legacy"]}},"#)
      let steps = [
        Self.start, ["rollout", "advance"], ["rollout", "hold"], ["rollout", "resume"], ["rollout", "advance"],
        ["rollout", "allow", "add", "vip"], ["rollout", "allow", "remove", "qa"],
        ["rollout", "plan", "--plan", "1,5,50,100"], ["kill"], ["enable"], ["rollout", "abort"],
        ["rollout", "resume", "--ack", "9"], ["rollout", "advance"], ["rollout", "advance"], ["rollout", "advance"],
        ["rollout", "finish"], ["rollout", "abort"], ["revert", "4"],
      ]
      for step in steps {
        let answer = try bench.run(step == Self.start ? step : step + ["--json", "--reason", "test"])
        #expect(answer.exit == 0, "\(step): \(answer.text)")
        #expect(try targeting() == Self.rule, "\(step)")
        #expect(try variant("2.2.9", "qa") == "shield" || step.contains("kill"), "\(step)")
      }
      #expect(try bench.run("lint").exit == 0)
    }

    @Test func `the rollout has the last word where the rule asks it, to the end and after`() throws {
      try write(Self.rule, evaluators: #""$evaluators": {"rollout:stream-closing": {"if": [true, "legacy"]}},"#)
      _ = try bench.run(Self.start)
      #expect(try variant("2.3.0", "qa") == "graceful" && variant("2.3.0", "x") == "legacy")
      for _ in 0..<4 { _ = try bench.change("rollout", "advance") }
      #expect(try variant("2.3.0", "x") == "graceful" && variant("2.2.0", "x") == "shield")
      #expect(try bench.change("rollout", "clear").code == "not_over")
      _ = try bench.change("rollout", "finish")
      #expect(try bench.run("eval", "-c", "version=2.3.0", "--json").data["variant"] == "graceful")
      #expect(try bench.change("rollout", "clear").exit == 0)
      let document = try bench.document()
      #expect(document["$rollouts"] == nil && document["$evaluators"] == nil)
      #expect(document[path: ["metadata", "fractional"]] == nil)
      #expect(try targeting() == Self.rule.replacing(#"{"$ref":"rollout:stream-closing"}"#, with: #""graceful""#))
      #expect(try variant("2.3.0", "x") == "graceful" && variant("2.2.0", "x") == "shield")
    }

    @Test func `a rule that never asks the rollout is refused with the line to add, and adopted when told so`() throws {
      let own = #"{"if":[{"==":[{"var":"tenant"},"acme"]},"shield","legacy"]}"#
      try write(own)
      let refused = try bench.run(Self.start)
      #expect(refused.exit == 6 && refused.code == "rule_exists")
      #expect(refused.json["error"]?["message"]?.string?.contains(#"{"$ref":"rollout:stream-closing"}"#) == true)
      #expect(try targeting() == own)
      #expect(try bench.run(Self.start + ["--adopt"]).exit == 0)
      #expect(try targeting().hasSuffix("\"graceful\",\(own)]}"))
      #expect(try variant("1", "qa") == "graceful" && variant("1", "x") == "legacy")
      #expect(try bench.run("eval", "--key", "x", "-c", "tenant=acme", "--json").data["variant"] == "shield")
    }

    @Test func `a rule that an earlier version wrote becomes a reference`() throws {
      _ = try bench.run(Self.start)
      var document = try bench.document()
      let rule = document[path: ["$evaluators", "rollout:stream-closing"]]
      document[path: ["flags", "stream-closing", "targeting"]] = rule
      document[path: ["$evaluators"]] = nil
      try AtomicFile.replace(bench.file, with: document.serialized(.pretty))
      #expect(try bench.change("rollout", "advance").exit == 0)
      #expect(try targeting() == #"{"$ref":"rollout:stream-closing"}"#)
    }

    @Test func `help works at every level`() throws {
      for words in [["rollout"], ["rollout", "allow"], ["log"], ["rollout", "allow", "add"], []] {
        let answer = try bench.run(words + ["--help"])
        #expect(answer.exit == 0 && answer.text.hasPrefix("usage: fermata flags"), "\(words)")
      }
      #expect(try bench.run("rollout", "--help").text.contains("rollout allow remove"))
    }

    @Test(arguments: [
      (["rollout"], "followed by one of: start, status", "rollout --help"),
      (["rollout", "statsu"], "did you mean \\\"rollout status\\\"?", "rollout --help"),
      (["rollout", "allow"], "followed by one of: add, remove", "rollout allow --help"),
      (
        ["rollout", "start", "--variant", "graceful", "--plan", "5,1"], "not as in \\\"5,1\\\"", "rollout start --help"
      ),
      (
        ["rollout", "start", "--variant", "graceful", "--min-duration", "soon"], "such as 30s or 2h, not",
        "start --help"
      ),
      (["revert"], "it is used as: fermata flags revert", "revert --help"),
      (["revert", "99"], "no revision 99", "there is no earlier revision"),
      (["rollout", "status", "--admin", "http://127.0.0.1:1"], "connection refused", "check that the gateway runs"),
    ])
    func `a mistake says what is wrong, and what to do`(_ words: [String], _ what: String, _ next: String) throws {
      let isChange = words.contains("start") || words.contains("99")
      let answer = try bench.run(words + ["--json"] + (isChange ? ["--reason", "test"] : []))
      #expect(answer.exit != 0 && answer.text.contains(what), "\(answer.text)")
      #expect(answer.json["error"]?["nextAction"]?.string?.contains(next) == true, "\(answer.text)")
      #expect(!answer.text.contains("null") && !answer.text.contains("unreachable("))
    }
  }
}
