import Files
import Glibc
import JSON
import Loop
import Processes
import Testing
import Time

extension `fermata flags` {
  /// A kill is in force whatever is in the way.
  @Suite struct `Killing` {
    private let bench: Workbench

    init() throws { bench = try Workbench() }

    /// Whether the kill of the answer is in the file, and the file one that gateways take.
    private func isKilled(_ answer: Workbench.Answer) throws -> Bool {
      let state = try bench.document()[path: ["flags", "stream-closing", "state"]]
      return try answer.exit == 0 && state == "DISABLED" && bench.run("lint").exit == 0
    }

    private func warnings(_ answer: Workbench.Answer) -> String {
      (answer.json["warnings"]?.array ?? []).compactMap(\.string).joined(separator: "\n")
    }

    /// Runs a shell command over the bench; `FERMATA` in it is the program.
    private func shell(_ text: String) throws -> Workbench.Answer {
      let child = try ChildProcess(
        ["sh", "-c", text.replacing("FERMATA", with: Workbench.program).replacing("FLAGFILE", with: bench.file)],
        environment: ["LLVM_PROFILE_FILE": "/dev/null", "USER": "ann"], errorFile: "/dev/null")
      child.closeInput()
      return try Workbench.finish(child)
    }

    @Test func `a prompt that is open in one terminal does not hold up a kill in another`() throws {
      let command = "\(Workbench.program) flags set --default graceful --file \(bench.file) --reason why"
      let terminal = try ChildProcess(
        ["script", "-qec", command, "/dev/null"], environment: ["LLVM_PROFILE_FILE": "/dev/null", "USER": "ann"],
        errorFile: "/dev/null")
      var shown = ""
      while let line = terminal.readLine(timeout: .seconds(60)) {
        shown += line + "\n"
        if line.contains("write revision 2") { break }
      }
      #expect(shown.contains("write revision 2 of"), "\(shown)")
      let answer = try bench.change("kill")
      #expect(try isKilled(answer) && warnings(answer).isEmpty, "\(answer.text)")
      terminal.signal(9)
      _ = terminal.wait(timeout: .seconds(5))
      #expect(try bench.document()[path: ["metadata", "version"]] == "2")
    }

    @Test func `a lock that is held is named, and passed over by kill alone`() throws {
      let holder = try ChildProcess(["flock", "-o", bench.file + ".lock", "sleep", "60"], errorFile: "/dev/null")
      let isHeld = try shell(
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do"
          + " flock -n FLAGFILE.lock true || exit 0; sleep 0.1; done; exit 1")
      #expect(isHeld.exit == 0)
      let answer = try bench.change("kill")
      #expect(try isKilled(answer), "\(answer.text)")
      let text = warnings(answer)
      #expect(
        text.contains("held by process") && text.contains(" of ") && text.contains("went on without it"), "\(text)")
      let refused = try bench.change("enable")
      #expect(refused.exit == 4 && refused.code == "locked")
      #expect(refused.json["error"]?["message"]?.string?.contains("held by process") == true)
      holder.signal(9)
      _ = holder.wait(timeout: .seconds(5))
      _ = try shell("while ! flock -n FLAGFILE.lock true; do sleep 0.1; done")
      #expect(try bench.change("enable").exit == 0)
      #expect(try bench.run("log", "--verify").exit == 0)
    }

    @Test(arguments: ["not json {", "", "{\"flags\":{}}", String(repeating: "x", count: 2_000_000)])
    func `a broken file gives way to the last good revision, killed, and is kept`(text: String) throws {
      _ = try bench.change("set", "--default", "graceful")
      try AtomicFile.replace(bench.file, with: [UInt8](text.utf8))
      let answer = try bench.change("kill", "stream-closing")
      #expect(try isKilled(answer), "\(answer.text)")
      #expect(warnings(answer).contains("taken instead: revision 2 of the history"))
      let document = try bench.document()
      #expect(document[path: ["flags", "stream-closing", "defaultVariant"]] == "graceful")
      #expect(document[path: ["metadata", "version"]] == "3")
      let kept = try shell("cat FLAGFILE.broken-* | wc -c")
      #expect(kept.text.trimmingPrefix(" ").hasPrefix(String(text.utf8.count)))
      #expect(try bench.change("enable").data["defaultVariant"] == "graceful")
      #expect(try bench.run("log", "--verify").exit == 0)
      #expect(try bench.run("log").text.contains("changed by something else"))
    }

    @Test func `a rollout that can't be read is in the way of no kill, and of no revert`() throws {
      _ = try bench.change("set", "--default", "graceful")
      var document = try bench.document()
      document[path: ["$rollouts", "stream-closing"]] = ["variant": "graceful"]
      try AtomicFile.replace(bench.file, with: document.serialized(.pretty))
      #expect(try warnings(bench.run("lint", "--json")).contains("$rollouts.stream-closing.phases: is missing"))
      let answer = try bench.change("kill")
      #expect(try isKilled(answer), "\(answer.text)")
      #expect(warnings(answer).contains("the rollout can't be read: ") && warnings(answer).contains("or revert"))
      #expect(try bench.change("kill").data["alreadyApplied"] == true)
      #expect(try bench.run("rollout", "status", "--json").code == "invalid_rollout")
      #expect(try bench.change("revert", "2").exit == 0)
      #expect(try bench.run("rollout", "status").exit == 0)
    }

    @Test func `a missing file is written anew, by kill and by revert`() throws {
      _ = try shell("rm FLAGFILE")
      let first = try bench.change("kill")
      #expect(try isKilled(first) && warnings(first).contains("taken instead: the built-in flags"), "\(first.text)")
      _ = try bench.change("enable")
      _ = try shell("rm FLAGFILE")
      let second = try bench.change("revert", "1")
      #expect(second.exit == 0 && second.data["state"] == "DISABLED", "\(second.text)")
      #expect(warnings(second).contains("taken instead: revision 1 of the history"), "\(second.text)")
      let third = try bench.change("revert", "2")
      #expect(third.data["state"] == "ENABLED" && third.data["revision"] == 4)
      #expect(try bench.run("log", "--verify").exit == 0)
    }

    @Test func `a hard kill says so in the file, and enabling takes it out`() throws {
      let before = try bench.document()["flags"]
      #expect(try bench.change("kill", "--hard").exit == 0)
      #expect(try bench.document()[path: ["flags", "stream-closing", "metadata", "kill"]] == "hard")
      #expect(try bench.change("kill", "--hard").data["alreadyApplied"] == true)
      #expect(try bench.change("enable").exit == 0)
      #expect(try bench.document()["flags"] == before)
    }

    @Test(arguments: ["kill", "disable"]) func `a later kill does not make a hard one soft`(_ verb: String) throws {
      #expect(try bench.change("kill", "--hard").exit == 0)
      let answer = try bench.change(verb)
      #expect(answer.exit == 0 && answer.data["alreadyApplied"] == true)
      let text = warnings(answer)
      #expect(text.contains("(--hard) stays"), "\(text)")
      #expect(
        text.contains("fermata flags enable stream-closing, then fermata flags kill stream-closing"), "\(text)")
      let path = ["flags", "stream-closing", "metadata", "kill"]
      #expect(try bench.document()[path: path] == "hard")
      // Deliberately it is.
      #expect(try bench.change("enable").exit == 0)
      #expect(try bench.change("kill").exit == 0)
      #expect(try bench.document()[path: path] == nil)
      #expect(try bench.change("kill", "--hard").exit == 0)
      #expect(try bench.document()[path: path] == "hard")
      #expect(try warnings(bench.change("revert", "1")).contains("lifts or weakens the kill"))
    }

    @Test func `kill needs no reason`() throws {
      #expect(try isKilled(try bench.run("kill", "--json")))
      #expect(try bench.run("enable", "--json").exit == 2)
    }

    @Test func `a full disk does not keep a kill from being in force`() throws {
      // A file system of this test's own, in a namespace of its own.
      let answer = try shell(
        """
        unshare -rm sh -c 'mkdir -p FLAGFILE.d && mount -t tmpfs -o size=64k none FLAGFILE.d || exit 99
        cp FLAGFILE FLAGFILE.d/f.json; cat /dev/zero > FLAGFILE.d/fill 2>/dev/null
        FERMATA flags kill --json --reason full --file FLAGFILE.d/f.json || exit 98
        cp FLAGFILE.d/f.json FLAGFILE' 2>/dev/null
        """)
      guard answer.exit != 99, answer.exit != 1 else {
        return print("NOT TESTED: a full disk; this machine allows no mount namespaces")
      }
      #expect(try isKilled(answer), "\(answer.exit) \(answer.text)")
      #expect(warnings(answer).contains("written in place") && warnings(answer).contains("went on without it"))
    }

    @Test(arguments: [true, false])
    func `a kill on a full disk is not taken for somebody else's change`(hasLog: Bool) throws {
      // A log that is there has room in its last page; a new one gets none.
      let before = "FERMATA flags set --default graceful --reason first --file FLAGFILE.d/f.json >/dev/null || exit 97"
      let answer = try shell(
        """
        unshare -rm sh -c 'mkdir -p FLAGFILE.d && mount -t tmpfs -o size=64k none FLAGFILE.d || exit 99
        cp FLAGFILE FLAGFILE.d/f.json
        \(hasLog ? before : "true")
        cat /dev/zero > FLAGFILE.d/fill 2>/dev/null
        FERMATA flags kill --json --reason full --file FLAGFILE.d/f.json || exit 98
        FERMATA flags log --verify --file FLAGFILE.d/f.json || exit 3; rm FLAGFILE.d/fill
        FERMATA flags enable --json --reason room --file FLAGFILE.d/f.json || exit 96
        FERMATA flags log --verify --file FLAGFILE.d/f.json || exit 4' 2>/dev/null
        """)
      guard answer.exit != 99, answer.exit != 1 else {
        return print("NOT TESTED: a full disk; this machine allows no mount namespaces")
      }
      #expect(answer.text.contains("written in place"), "\(answer.text)")
      #expect(answer.exit == 0 && !answer.text.contains("by something else"), "\(answer.exit) \(answer.text)")
    }

    @Test func `a directory that may not be written to does not either`() throws {
      let other = getuid() == 0 ? "setpriv --reuid=65534 --regid=65534 --clear-groups " : ""
      _ = try shell("chmod 555 \(bench.directory.path); chmod 666 FLAGFILE")
      let answer = try shell("\(other)FERMATA flags kill --json --file FLAGFILE")
      #expect(try isKilled(answer), "\(answer.text)")
      let text = warnings(answer)
      #expect(text.contains("written in place"))
      #expect(text.contains("flags.json.lock: permission denied") && !text.contains("no such file"), "\(text)")
      let digits = text.split { !$0.isNumber }.map(\.count).max() ?? 0
      #expect(digits <= 10, "\(text)")
      // With neither, the file can't be killed, and the command says how the gateways can.
      _ = try shell("chmod 755 \(bench.directory.path)")
      #expect(try bench.change("enable").exit == 0)
      _ = try shell("chmod 444 FLAGFILE; chmod 555 \(bench.directory.path)")
      let refused = try shell("\(other)FERMATA flags kill --json --file FLAGFILE")
      _ = try shell("chmod 755 \(bench.directory.path)")
      #expect(refused.exit == 7)
      #expect(refused.json["error"]?["nextAction"]?.string?.contains("fermata flags kill --admin URL") == true)
    }

    @Test func `a group of operators shares the file, its lock, its log and its history`() throws {
      guard getuid() == 0 else { return print("NOT TESTED: other operators' files; this needs root") }
      let directory = bench.directory.path
      _ = try shell("chgrp 4242 \(directory) FLAGFILE; chmod 2775 \(directory); chmod 664 FLAGFILE")
      func operate(_ user: Int, _ words: String) throws -> Workbench.Answer {
        try shell(
          "umask 077; setpriv --reuid=\(user) --regid=\(user) --groups=4242 FERMATA flags \(words)"
            + " --json --reason test --file FLAGFILE")
      }
      #expect(try operate(65_001, "set --default graceful").exit == 0)
      #expect(try operate(65_002, "set --default shield").exit == 0)
      let answer = try operate(65_001, "kill")
      #expect(try isKilled(answer) && warnings(answer).isEmpty, "\(answer.text)")
      #expect(try operate(65_002, "enable").data["revision"] == 5)
      #expect(try bench.run("log", "--verify").exit == 0)
      let modes = try shell("stat -c '%a %g' FLAGFILE FLAGFILE.lock FLAGFILE.audit.jsonl \(directory)/history/*")
      #expect(Set(modes.lines) == ["664 4242"], "\(modes.text)")
      #expect(try shell("stat -c '%a %g' \(directory)/history").text == "2775 4242")
    }
  }
}

extension `fermata flags` {
  /// Kills without the file, at running gateways.
  @Suite struct `Killing at the gateways` {
    @Test func `where nothing can be written, the gateways are killed by the command that the refusal names`()
      async throws
    {
      let stage = try Stage()
      let (file, directory) = (stage.bench.file, stage.bench.directory.path)
      let before = try stage.bench.document()
      let other = getuid() == 0 ? "setpriv --reuid=65534 --regid=65534 --clear-groups " : ""
      func shell(_ text: String) throws -> Workbench.Answer {
        let child = try ChildProcess(
          ["sh", "-c", text], environment: ["LLVM_PROFILE_FILE": "/dev/null", "USER": "ann"], errorFile: "/dev/null")
        child.closeInput()
        return try Workbench.finish(child)
      }
      _ = try shell("chmod 444 \(file); chmod 555 \(directory)")
      let refused = try shell("\(other)\(Workbench.program) flags kill --json --file \(file)")
      #expect(refused.exit == 7)
      #expect(refused.json["error"]?["nextAction"]?.string?.contains("fermata flags kill --admin URL") == true)
      let answer = try shell("\(other)\(Workbench.program) flags kill --json --admin \(stage.admin) --reason locked")
      _ = try shell("chmod 755 \(directory); chmod 644 \(file)")
      #expect(answer.exit == 0, "\(answer.text)")
      #expect(try stage.status()["stage"] == "killed")
      #expect(try stage.bench.document() == before)
    }

    @Test func `kill asks every gateway that is named, and says which did not answer`() async throws {
      let stage = try Stage()
      let nobody = "http://127.0.0.1:1"
      let list = try stage.bench.write("gateways", "# ours\n\(stage.admin)\n\(nobody)\n")
      let answer = try stage.flags("kill", "--admin-list", list, "--reason", "a & b")
      #expect(answer.exit == 7)
      let gateways = answer.data.array ?? []
      #expect(gateways.count == 2 && gateways[0]["killed"] == true && gateways[0]["kill"]?["reason"] == "a & b")
      #expect(gateways[1]["fault"]?.string?.contains("did not answer") == true)
      #expect(try stage.bench.document()[path: ["flags", "stream-closing", "state"]] == "ENABLED")
      let again = try stage.bench.run("kill", "--admin", stage.admin)
      #expect(again.exit == 0 && again.text.contains("already so: killed on 2 workers"))
      let status = try stage.status()
      #expect(status["attention"] == "action_required" && status["stage"] == "killed")
      #expect(try stage.flags("rollout", "status", "--admin", stage.admin, "--exit-on-regression").exit == 0)
      let lifted = try stage.bench.run("unkill", "--admin", stage.admin, "--admin", stage.admin)
      #expect(lifted.exit == 0 && lifted.text.contains("lifted on 2 workers"))
      #expect(try stage.bench.run("unkill").exit == 2)
      #expect(try stage.bench.run("kill", "--hard", "--admin", stage.admin).exit == 0)
      let weaker = try stage.bench.run("kill", "--admin", stage.admin)
      #expect(weaker.exit == 0 && weaker.text.contains("(--hard) on 2 workers, which stays"), "\(weaker.text)")
      #expect(weaker.text.contains("fermata flags unkill --admin \(stage.admin), then"))
      // Nothing begins meanwhile, whether the gateway is asked or its state file is looked at.
      let start = ["rollout", "start", "--variant", "graceful", "--reason", "x", "--json"]
      #expect(try stage.bench.run(start + ["--admin", stage.admin]).code == "killed")
      #expect(try stage.bench.run(start).code == "killed")
      #expect(try stage.bench.run("unkill", "--admin", stage.admin).exit == 0)
      #expect(try stage.bench.change("disable").exit == 0)
      #expect(try stage.bench.run(start).code == "killed")
    }

    @Test func `a gateway may be named as well as addressed`() async throws {
      let stage = try Stage()
      let named = "http://localhost:\(stage.adminAddress.port)"
      let answer = try stage.bench.run("kill", "--admin", named)
      #expect(answer.exit == 0 && answer.text.hasPrefix("\(named): killed on 2 workers"), "\(answer.text)")
      #expect(try stage.bench.run("unkill", "--admin", "\(named)/").exit == 0)
      let nobody = try stage.bench.run("kill", "--admin", "http://nobody.invalid:8081", "--admin", named)
      #expect(nobody.exit == 7 && nobody.text.contains("NOT done: http://nobody.invalid:8081: "), "\(nobody.text)")
      #expect(nobody.text.contains("\(named): killed on 2 workers"), "one that can't be found holds nobody up")
      for wrong in ["http://a:b:1", "http://localhost", "http://a b:1", "localhost:0", "http://:1"] {
        #expect(try stage.bench.run("kill", "--admin", wrong).exit == 2, "\(wrong)")
      }
    }

    @Test func `the table of who is touched is the same in every help and in the documentation`() throws {
      let bench = try Workbench()
      let help = try ["kill", "disable", "set", "rollout abort"].map { verb in
        try bench.run(verb.split(separator: " ").map(String.init) + ["--help"]).lines
      }
      let page = String(
        decoding: try readFile(Workbench.root + "/docs/operations.md", limit: 1 << 20).bytes, as: UTF8.self)
      let rows = help[0].filter { line in
        ["set --default", "rollout abort", "disable", "kill"].contains { line.hasPrefix("  " + $0) }
      }
      #expect(rows.count == 6)
      for row in rows {
        #expect(help.allSatisfy { $0.contains(row) }, "\(row)")
        let cells = row.split(separator: "  ").map { $0.drop { $0 == " " } }
        #expect(cells.count == 4, "\(cells)")
        #expect(page.contains("| `\(cells[0])` | \(cells[1]) | \(cells[2]) | `\(cells[3])` |"), "\(row)")
      }
    }
  }
}
