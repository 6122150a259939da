import Files
import Flags
import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  @Suite struct `Changing flags` {
    private let bench: Workbench

    init() throws { bench = try Workbench() }

    @Test func `a change answers with the state after it, and a second time changes nothing`() throws {
      let first = try bench.change("set", "--default", "graceful")
      #expect(first.exit == 0 && first.data["alreadyApplied"] == false)
      #expect(first.data["defaultVariant"] == "graceful" && first.data["revision"] == 2)
      let second = try bench.change("set", "--default", "graceful")
      #expect(second.exit == 0 && second.data["alreadyApplied"] == true && second.data["revision"] == 2)
      #expect(try bench.change("kill").data["state"] == "DISABLED")
      #expect(try bench.change("disable").data["alreadyApplied"] == true)
      #expect(try bench.change("enable").data["revision"] == 4)
      #expect(try bench.run("log", "--verify").exit == 0)
      #expect(try bench.run("log", "--json").data.array?.count == 6)
    }

    @Test func `a dry run writes nothing`() throws {
      let before = try bench.document()
      let answer = try bench.change("set", "--default", "graceful", "--dry-run")
      #expect(answer.exit == 0 && answer.data["changed"] == 10_000 && answer.data["patch"]?.array?.count == 2)
      #expect(try bench.document() == before)
      #expect(try bench.run("log", "--json").data == [])
    }

    @Test func `other members of the file stay as and where they are`() throws {
      var document = try bench.document()
      document[path: ["$own"]] = ["z": 1, "a": [1, 2.5]]
      try AtomicFile.replace(bench.file, with: document.serialized(.pretty))
      _ = try bench.change("set", "--default", "shield")
      let after = try bench.document()
      #expect(
        after.object?.names == ["$schema", "flags", "metadata", "$own"] && after["$own"] == ["z": 1, "a": [1, 2.5]])
    }

    @Test func `a symbolic link is not replaced, the document is printed`() throws {
      let link = bench.directory.path + "/link.json"
      _ = try ChildProcess(["ln", "-s", "flags.json", link]).wait(timeout: .seconds(5))
      let before = try bench.document()
      let answer = try bench.change("kill", "--file", link)
      #expect(answer.exit == 6 && answer.code == "symbolic_link")
      #expect(answer.json["error"]?["document"]?[path: ["flags", "stream-closing", "state"]] == "DISABLED")
      #expect(try bench.document() == before)
      #expect(try bench.change("enable", "--file", link).exit == 0)
    }

    @Test func `an edit that moves clients needs to say so`() throws {
      _ = try bench.change(
        "rollout", "start", "--variant", "graceful", "--min-streams", "0", "--min-identities", "0", "--min-duration",
        "0s")
      #expect(try bench.change("set", "--default", "graceful").code == "rollout")
      let file = try bench.write(
        "own.json",
        #"{"flags":{"f":{"state":"ENABLED","variants":{"a":1,"b":2},"defaultVariant":"b","targeting":{"if":[true,"a","b"]}}}}"#
      )
      #expect(try bench.change("rollout", "start", "--variant", "a", "--file", file).code == "rule_exists")
      #expect(try bench.change("rollout", "start", "--variant", "a", "--file", file, "--rebucket").exit == 0)
    }

    @Test func `revert brings an earlier file back as a new revision`() throws {
      let first = try bench.document()
      _ = try bench.change("set", "--default", "graceful")
      _ = try bench.change("kill")
      let answer = try bench.change("revert", "1")
      #expect(answer.data["revision"] == 4 && answer.data["state"] == "ENABLED")
      var expected = first
      expected[path: ["metadata", "version"]] = "4"
      // The file names the audit log's last line.
      let document = try bench.document()
      expected[path: ["metadata", "audit"]] = document[path: ["metadata", "audit"]]
      #expect(document == expected && document[path: ["metadata", "audit"]] != nil)
      #expect(try bench.change("revert", "1").data["alreadyApplied"] == true)
    }

    @Test func `a log that was touched is found out`() throws {
      _ = try bench.change("set", "--default", "graceful")
      let path = bench.file + ".audit.jsonl"
      let text = String(decoding: try readFile(path, limit: 1 << 20).bytes, as: UTF8.self)
      #expect(text.contains("\"reason\":\"test\""))
      try AtomicFile.replace(path, with: [UInt8](text.replacing("ann@", with: "bob@").utf8))
      #expect(try bench.run("log", "--verify", "--json").exit == 3)
    }

    @Test func `no identity gets into the log`() throws {
      _ = try bench.change("rollout", "start", "--variant", "graceful", "--internal", "alice@example.org")
      let log = String(decoding: try readFile(bench.file + ".audit.jsonl", limit: 1 << 20).bytes, as: UTF8.self)
      #expect(!log.contains("alice") && log.contains("1 entries"))
      #expect(try bench.run("eval", "--key", "alice@example.org").text.hasPrefix("graceful"))
    }

    @Test func `a step by force needs a reason, and the log and the status say what was not met`() throws {
      #expect(try bench.change("rollout", "start", "--variant", "graceful", "--internal", "qa").exit == 0)
      #expect(try bench.change("rollout", "advance").code == "no_evidence")
      #expect(try bench.run("rollout", "advance", "--force", "--json").code == "usage")
      #expect(try bench.document()[path: ["metadata", "version"]] == "2")
      let forced = try bench.change("rollout", "advance", "--force", "--to", "p2")
      #expect(forced.data["rollout"]?["forced"] == ["no_evidence", "skips_phases"], "\(forced.text)")
      let line = try bench.run("log", "--json").data.array?.last
      #expect(line?["forced"] == ["no_evidence", "skips_phases"] && line?["reason"] == "test")
      let said = "by force although not met: no_evidence, skips_phases"
      #expect(try bench.run("rollout", "status").text.contains(said))
      #expect(try bench.change("rollout", "hold").exit == 0)
      #expect(try bench.run("rollout", "status").text.contains(said), "the phase is still the one")
      let held = try bench.change("rollout", "advance")
      #expect(held.json["error"]?["nextAction"] == "fermata flags rollout resume")
      #expect(try bench.change("rollout", "abort").exit == 0)
      #expect(try !bench.run("rollout", "status").text.contains("by force"))
      let again = try bench.change("rollout", "start", "--variant", "graceful")
      #expect(again.json["error"]?["nextAction"] == "fermata flags rollout resume --ack 5 --admin URL")
      #expect(try bench.run("rollout", "status").text.contains("fermata flags rollout resume --ack 5 --admin URL"))
      for wrong in ["99999", "abc"] {
        #expect(try bench.change("rollout", "resume", "--ack", wrong).code == "wrong_revision")
      }
      #expect(try bench.change("rollout", "resume", "--ack", "5").code == "not_checked")
    }

    @Test func `a revert that gives more clients the variant is told as what is forced`() throws {
      #expect(try bench.change("rollout", "start", "--variant", "graceful").exit == 0)
      #expect(try bench.change("rollout", "advance", "--to", "p3", "--force").data["revision"] == 3)
      let back = try bench.change("revert", "2")
      #expect(back.exit == 0 && back.json["warnings"] == [], "\(back.text)")
      let forward = try bench.change("revert", "3")
      #expect(forward.exit == 0 && forward.text.contains("revision 3 gives 25 % of the clients"), "\(forward.text)")
      let line = try bench.run("log", "--json").data.array?.last
      #expect(line?["forced"] == ["conditions_skipped"] && line?["toRevision"] == 5)
    }

    @Test func `conditions that are made easier on the way are told as what is forced`() throws {
      #expect(try bench.change("rollout", "start", "--variant", "graceful", "--internal", "qa").exit == 0)
      #expect(try bench.change("rollout", "advance", "--force").exit == 0)
      let harder = try bench.change("rollout", "plan", "--min-streams", "200")
      #expect(harder.data["rollout"]?["forced"] == ["no_evidence"], "\(harder.text)")
      let easier = try bench.change("rollout", "plan", "--min-streams", "0", "--min-identities", "0")
      #expect(easier.data["rollout"]?["forced"] == ["no_evidence", "conditions_eased"], "\(easier.text)")
      #expect(try bench.run("log", "--json").data.array?.last?["forced"] == ["conditions_eased"])
      #expect(
        try bench.run("rollout", "status").text.contains("by force although not met: no_evidence, conditions_eased"))
    }

    @Test func `the next steps are whole commands, with the flag where there are several`() throws {
      var document = try bench.document()
      document[path: ["flags", "other"]] = document[path: ["flags", "stream-closing"]]
      try AtomicFile.replace(bench.file, with: FlagEdit.file(document))
      func next() throws -> String { try bench.run("rollout", "status", "other").lines.last ?? "" }
      #expect(try next() == "  next: fermata flags rollout start other --variant VARIANT")
      #expect(try bench.change("rollout", "start", "other", "--variant", "graceful").exit == 0)
      #expect(
        try next().hasPrefix(
          "  next: fermata flags rollout advance other --admin URL, fermata flags rollout hold other"))
      #expect(try bench.change("rollout", "abort", "other").exit == 0)
      let revision = try bench.run("show", "other", "--json").data["revision"]?.integer ?? 0
      #expect(try next() == "  next: fermata flags rollout resume other --ack \(revision) --admin URL")
      #expect(try bench.change("kill", "other").exit == 0)
      #expect(try next() == "  next: fermata flags enable other")
    }

    @Test func `more clients than can be told apart are never asked for`() throws {
      let start = ["rollout", "start", "--variant", "graceful", "--reason", "test", "--min-identities"]
      let many = try bench.run(start + ["65", "--json"])
      #expect(many.exit == 2 && many.text.contains("could never be met") && many.text.contains("64 at most"))
      #expect(try bench.run(start + ["64"]).exit == 0)
      #expect(try bench.change("rollout", "plan", "--min-identities", "65").code == "usage")
    }

    @Test func `a rollout goes from start to finish`() throws {
      let options = [
        "--variant", "graceful", "--internal", "qa", "--min-duration", "0s", "--min-streams", "0", "--min-identities",
        "0",
      ]
      let start = ["rollout", "start"] + options + ["--json", "--reason", "test"]
      #expect(try bench.run(start).data["rollout"]?["stage"] == "internal")
      #expect(try bench.run(start).data["alreadyApplied"] == true)
      let stages = try (0..<4).map { _ in try bench.change("rollout", "advance").data["rollout"]?["stage"] }
      #expect(stages == ["gradual", "gradual", "gradual", "clients updated"])
      #expect(try bench.change("rollout", "advance").code == "last_phase")
      let finished = try bench.change("rollout", "finish")
      #expect(finished.data["defaultVariant"] == "graceful" && finished.data["hasRule"] == false)
      #expect(try bench.run("eval").text.hasPrefix("graceful  STATIC"))
      let status = try bench.run("rollout", "status", "--json")
      #expect(status.data["outcome"] == "finished" && status.data["attention"] == "ok")
      #expect(try bench.change("kill").data["state"] == "DISABLED")
      let killed = try bench.run("rollout", "status", "--json").data
      #expect(killed["stage"] == "killed" && killed["attention"] == "action_required")
      #expect(try bench.change("enable").exit == 0)
      let simulated = try bench.run("simulate", "--json").data["phases"]?.array
      #expect(simulated?.count == 5)
      #expect(try bench.run("watch", "--until", "finished", "--timeout", "5s").exit == 0)
      let next = try bench.change("rollout", "start", "--variant", "shield")
      #expect(next.data["rollout"]?["fallback"] == "graceful" && next.data["rollout"]?["variant"] == "shield")
    }
  }

  @Suite struct `Changing flags at once` {
    private let bench: Workbench

    init() throws { bench = try Workbench() }

    @Test func `of two writers with the same revision one wins and one gets exit 4`() throws {
      for revision in 1...15 {
        // Two changes that are both real, whatever the round before left.
        let current = try bench.document()[path: ["flags", "stream-closing", "defaultVariant"]]
        let wanted = ["legacy", "shield", "graceful"].filter { current != .string($0) }
        let children = try wanted.map { variant in
          try bench.start(["set", "--default", variant, "--if-revision", "\(revision)", "--reason", "race", "--json"])
        }
        let answers = try children.map(Workbench.finish)
        #expect(answers.map(\.exit).sorted() == [0, 4], "\(answers.map(\.text))")
        #expect(try bench.document()[path: ["metadata", "version"]] == .string("\(revision + 1)"))
      }
      #expect(try bench.run("log", "--verify").exit == 0)
    }

    @Test(.timeLimit(.minutes(15))) func `a writer killed at any moment never leaves a torn file`() throws {
      let begun = SystemClock.now
      #expect(try bench.change("set", "--default", "shield").exit == 0)
      // Killed at every moment of a change, on a fast machine as on a slow one.
      let whole = (SystemClock.now - begun).value
      var revision = 2
      var killed = 0
      for round in 0..<600 where killed < 200 {
        let variant = round.isMultiple(of: 2) ? "graceful" : "legacy"
        let child = try bench.start(["set", "--default", variant, "--reason", "killed", "--json"])
        SystemClock.sleep(Nanoseconds(Int64.random(in: 0...whole)))
        child.signal(9)
        if child.wait(timeout: .seconds(5)) == .signal(9) { killed += 1 }
        let document = try bench.document()
        let now = try #require(document[path: ["metadata", "version"]]?.string.flatMap { Int($0) })
        // A number that was announced and not written comes never again.
        #expect(now >= revision)
        revision = now
      }
      print("killed \(killed) writers, revision \(revision)")
      #expect(killed == 200)
      let last = try bench.change("kill")
      #expect(last.exit == 0 && (last.data["revision"]?.integer ?? 0) > revision)
      let check = try bench.run("log", "--verify", "--json")
      #expect(check.data["isWhole"] == true, "\(check.text)")
      let entries = try bench.run("log", "--json").data.array ?? []
      let written = entries.filter { $0["kind"] == "commit" }.compactMap { $0["toRevision"]?.integer }
      #expect(Set(written).count == written.count && written == written.sorted(), "a revision came twice")
      let recovered = entries.filter { $0["automatic"] == true }.count
      print("\(recovered) lines say that something was recovered")
    }
  }
}
