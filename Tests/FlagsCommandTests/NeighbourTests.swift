import Files
import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  /// Several flag files in one directory.
  @Suite struct `Neighbours` {
    private let bench: Workbench
    private let second: String
    private var history: String { bench.directory.path + "/history" }

    init() throws {
      bench = try Workbench()
      second = bench.directory.path + "/second.json"
      let shipped = try readFile(bench.file, limit: 1 << 20).bytes
      let text = String(decoding: shipped, as: UTF8.self).replacing(
        "\"defaultVariant\": \"legacy\"", with: "\"defaultVariant\": \"shield\"")
      try AtomicFile.replace(second, with: [UInt8](text.utf8))
    }

    private func change(_ file: String, _ words: String...) throws -> Workbench.Answer {
      try bench.run(words + ["--json", "--reason", "test", "--file", file])
    }

    private func shell(_ text: String) throws -> String {
      try Workbench.finish(try ChildProcess(["sh", "-c", "cd \(bench.directory.path); \(text)"])).text
    }

    private func defaultVariant(_ file: String) throws -> JSONValue? {
      try JSONValue(parsing: try readFile(file, limit: 1 << 20).bytes)[path: [
        "flags", "stream-closing", "defaultVariant",
      ]]
    }

    /// The first has revisions 1 to 3, the second 1 and 2.
    private func changeBoth() throws {
      #expect(try change(bench.file, "set", "--default", "graceful").exit == 0)
      #expect(try change(second, "disable").data["revision"] == 2)
      #expect(try change(bench.file, "disable").data["revision"] == 3)
    }

    @Test func `each has a history of its own`() throws {
      try changeBoth()
      let refused = try change(second, "revert", "3")
      #expect(refused.code == "revision_not_found")
      #expect(refused.json["error"]?["message"]?.string?.hasSuffix("only 1, 2") == true, "\(refused.text)")
      #expect(try change(second, "revert", "1").data["revision"] == 3)
      #expect(try defaultVariant(second) == "shield")
      #expect(try change(bench.file, "revert", "1").data["revision"] == 4)
      #expect(try defaultVariant(bench.file) == "legacy")
      // A file that is gone comes back as it was, not as its neighbour.
      _ = try shell("rm second.json")
      #expect(try change(second, "kill", "stream-closing").exit == 0)
      #expect(try defaultVariant(second) == "shield")
      #expect(try bench.run("log", "--verify").exit == 0)
      #expect(try bench.run("log", "--verify", "--file", second).exit == 0)
    }

    /// As earlier versions named them: without the flag file's name.
    private func forgetNames() throws {
      _ = try shell(
        "cd history; for f in flags.json.* second.json.*; do case $f in *.last-line) ;; *) mv $f ${f#*.json.};; esac; done"
      )
      let names = try shell("ls history")
      #expect(names.contains("\n2-"), "\(names)")
    }

    @Test func `what earlier versions kept is found, by the log that names it`() throws {
      try changeBoth()
      try forgetNames()
      #expect(try change(second, "revert", "3").code == "revision_not_found")
      #expect(try change(second, "revert", "1").exit == 0)
      #expect(try defaultVariant(second) == "shield")
      #expect(try change(bench.file, "revert", "2").exit == 0)
      #expect(try defaultVariant(bench.file) == "graceful")
      _ = try shell("echo broken > second.json")
      #expect(try change(second, "kill", "stream-closing").exit == 0)
      #expect(try defaultVariant(second) == "shield")
    }

    @Test func `of two files with one number that which a command wrote comes back`() throws {
      #expect(try change(bench.file, "set", "--default", "graceful").exit == 0)
      // Several edits by hand: one of their hashes comes last.
      for word in ["a", "b", "c", "d", "e", "f"] {
        var document = try bench.document()
        document[path: ["flags", "stream-closing", "defaultVariant"]] = "shield"
        document[path: ["edited"]] = .string(word)
        document[path: ["metadata", "version"]] = "2"
        try AtomicFile.replace(bench.file, with: document.serialized(.pretty))
        #expect(try change(bench.file, "disable").exit == 0)
        #expect(try change(bench.file, "enable").exit == 0)
      }
      #expect(try change(bench.file, "revert", "2").exit == 0)
      #expect(try defaultVariant(bench.file) == "graceful")
      #expect(try bench.document()["edited"] == nil)
    }

    @Test func `alone beside its history a file needs no log to find it`() throws {
      #expect(try change(bench.file, "set", "--default", "graceful").exit == 0)
      _ = try shell(
        "cd history; for f in flags.json.[0-9]*; do mv $f ${f#flags.json.}; done; rm ../flags.json.audit.jsonl")
      #expect(try change(bench.file, "revert", "1").exit == 0)
      #expect(try defaultVariant(bench.file) == "legacy")
    }
  }
}
