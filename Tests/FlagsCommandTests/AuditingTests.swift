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
        #expect(found.exit == 3 && found.text.contains("missing from the end"), "\(count): \(found.text)")
        #expect(found.text.contains("what to do: "))
      }
      try expectGoesOn("lines are missing from the end")
      #expect(try kinds().contains("found"))
    }

    @Test func `a log and a file that were put back together are missed by the history`() throws {
      let (log, file) = (try logText(), try readFile(bench.file, limit: 1 << 20).bytes)
      #expect(try bench.change("set", "--default", "graceful").exit == 0)
      try AtomicFile.replace(logPath, with: [UInt8](log.utf8))
      try AtomicFile.replace(bench.file, with: file)
      try remove(bench.directory.path + "/history/flags.json.last-line")
      let found = try verification()
      #expect(found.exit == 3 && found.text.contains("missing from the end"), "\(found.text)")
      try expectGoesOn("lines are missing from the end")
    }

    private func remove(_ path: String) throws {
      _ = try ChildProcess(["rm", path]).wait(timeout: .seconds(5))
    }

    private func replaceLog(_ change: (inout [String]) -> Void) throws {
      var lines = try logText().split(separator: "\n").map(String.init)
      change(&lines)
      try AtomicFile.replace(logPath, with: [UInt8](lines.map { $0 + "\n" }.joined().utf8))
    }

    @Test func `a change whose last line is gone keeps its reason and its ticket in the log`() throws {
      _ = try bench.run("set", "--default", "legacy", "--json", "--reason", "slow clients", "--ticket", "OPS-7")
      try replaceLog { $0.removeLast() }
      let told = "\"slow clients\"  OPS-7  (begun; the log has no end of it)"
      #expect(try bench.run("log").text.contains(told))
      try expectGoesOn("lines are missing from the end")
      #expect(try bench.run("log").text.contains(told))
    }

    @Test func `a change whose writer died before its last line is finished by the next`() throws {
      _ = try bench.run("set", "--default", "legacy", "--json", "--reason", "slow clients", "--ticket", "OPS-7")
      // As it is when the writer dies: the line was never written, and so is not known to be.
      try replaceLog { $0.removeLast() }
      try remove(bench.directory.path + "/history/flags.json.last-line")
      let found = try verification()
      #expect(found.exit == 0 && found.text.contains("line 5: was begun and never committed"), "\(found.text)")
      #expect(try bench.change("kill").exit == 0)
      let commit = try bench.run("log", "--json").data.array?.dropFirst(5).first
      #expect(commit?["kind"] == "commit" && commit?["ticket"] == "OPS-7" && commit?["automatic"] == true)
      let reason = commit?["reason"]?.string ?? ""
      #expect(reason.hasPrefix("slow clients (recovered: begun at 2"), "\(reason)")
      #expect(try verification().exit == 0)
    }

    @Test func `a log that is gone is missed after the first change too, and in a file that names no line`() throws {
      let fresh = try Workbench()
      _ = try fresh.change("kill")
      #expect(try fresh.document()[path: ["metadata", "audit"]] == nil)
      try remove(fresh.file + ".audit.jsonl")
      let found = try fresh.run("log", "--verify")
      #expect(found.exit == 3 && found.text.contains("the log is gone"), "\(found.text)")
      var document = try bench.document()
      document[path: ["metadata", "audit"]] = nil
      try AtomicFile.replace(bench.file, with: document.serialized(.pretty))
      try remove(logPath)
      let other = try verification()
      #expect(other.exit == 3 && other.text.contains("the log is gone"), "\(other.text)")
      try expectGoesOn("the log is gone")
    }

    @Test func `a log of no file is an error`() throws {
      for words in [["log", "--verify"], ["log"]] {
        let answer = try bench.run(words + ["--json", "--file", bench.file + ".typo"])
        #expect(answer.exit != 0 && answer.text.contains("no such file"), "\(answer.text)")
      }
      let unwritten = try Workbench()
      let answer = try unwritten.run("log", "--verify")
      #expect(answer.exit == 0 && answer.text.contains("0 lines"), "\(answer.text)")
    }

    @Test(arguments: ["changed", "taken out", "garbage", "garbage at the end"])
    func `a broken line is told of by the next change, once`(_ what: String) throws {
      try replaceLog { lines in
        switch what {
        case "changed": lines[1] = lines[1].replacing("\"ann", with: "\"bob")
        case "taken out": lines.remove(at: 1)
        case "garbage": lines[1] = "garbage"
        default: lines.append("garbage")
        }
      }
      let found = try verification()
      #expect(found.exit == 3 && found.text.contains("what to do: "), "\(found.text)")
      try expectGoesOn("the log is not as it was written: line ")
      #expect(try verification().text.contains("tells of it"))
      let again = try bench.change("enable")
      #expect(again.exit == 0 && again.json["warnings"]?.array?.isEmpty == true, "\(again.text)")
      #expect(try kinds().filter { $0 == "found" }.count == 1)
    }

    @Test func `old logs are checked with the new one, and by themselves`() throws {
      #expect(try bench.run("log", "rotate").exit == 0)
      _ = try bench.change("kill")
      #expect(try bench.run("log", "rotate").exit == 0)
      let (first, second) = (logPath + ".4", logPath + ".7")
      let whole = try verification()
      #expect(whole.exit == 0 && whole.text.contains("\(first): the chain is whole"), "\(whole.text)")
      let text = String(decoding: try readFile(first, limit: 1 << 20).bytes, as: UTF8.self)
      try AtomicFile.replace(first, with: [UInt8](text.replacing("\"ann", with: "\"bob").utf8))
      #expect(try verification().exit == 3)
      #expect(try bench.run("log", "--verify", "--log", first).exit == 3)
      #expect(try bench.run("log", "--verify", "--log", second).exit == 0)
      #expect(try bench.run("log", "--log", first, "--json").data.array?.count == 4)
      // Another log in its place is whole, and not the one.
      try AtomicFile.replace(first, with: [UInt8](text.split(separator: "\n").dropLast(2).joined(separator: "\n").utf8))
      let replaced = try verification()
      #expect(replaced.exit == 3 && replaced.text.contains("does not end with the line"), "\(replaced.text)")
      try remove(first)
      let moved = try verification()
      #expect(moved.exit == 0 && moved.text.contains("\(first): is not here"), "\(moved.text)")
      #expect(try bench.run("log", "--verify", "--log", first).exit != 0)
    }

    @Test func `a broken log is rotated with a word about it`() throws {
      try replaceLog { $0[3] = "garbage" }
      let answer = try bench.run("log", "rotate", "--json")
      let warnings = (answer.json["warnings"]?.array ?? []).compactMap(\.string).joined()
      #expect(answer.exit == 0 && warnings.contains("not as it was written: line 4"), "\(answer.text)")
      let line = try bench.run("log", "--json").data.array?.first
      #expect(line?["reason"]?.string?.contains("that log is broken in 1 place, as its line ") == true)
      #expect(line?["prevHash"]?.string?.isEmpty == false)
      let after = try verification()
      #expect(after.exit == 0 && after.text.contains("line 4: is no JSON object (line "), "\(after.text)")
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
      #expect(try bench.run("set", "--default", "legacy", "--json", "--reason", "  ").exit == 2)
      #expect(try bench.run("kill", "--json").exit == 0)
      #expect(try bench.change("enable").exit == 0)
    }

    @Test func `a file that wants a reason says so at the prompt, and takes no blank one`() throws {
      var document = try bench.document()
      document[path: ["metadata", "requireReason"]] = true
      try AtomicFile.replace(bench.file, with: document.serialized(.pretty))
      let command = "\(Workbench.program) flags set --default legacy --file \(bench.file)"
      let child = try ChildProcess(
        ["sh", "-c", "(printf '  \\n'; sleep 2; printf 'y\\n'; sleep 1) | script -qec '\(command)' /dev/null"],
        environment: ["LLVM_PROFILE_FILE": "/dev/null", "USER": "ann"], errorFile: "/dev/null")
      child.closeInput()
      let answer = try Workbench.finish(child)
      #expect(answer.exit == 2 && answer.text.contains("this file requires a reason"), "\(answer.text)")
      #expect(try bench.document() == document)
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
        ["rollout", "resume", "--ack", "12"], ["rollout", "advance"], ["rollout", "advance"], ["rollout", "advance"],
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
      let evaluator = #""$evaluators": {"rollout:stream-closing":{"if":[true,"legacy"]}}"#
      #expect(refused.json["error"]?["message"]?.string?.hasSuffix(evaluator) == true, "\(refused.text)")
      // What the message says is enough.
      let asking = #"{"if":[{"==":[{"$ref":"rollout:stream-closing"},"graceful"]},"graceful",\#(own)]}"#
      try write(asking, evaluators: evaluator + ",")
      #expect(try bench.run(Self.start).exit == 0)
      try write(own)
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
