import Files
import Flags
import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  /// The page for those who move, command by command.
  @Suite struct `The migration page` {
    /// The command lines of the page's blocks, in its order.
    static func commands() throws -> [[String]] {
      let page = String(
        decoding: try readFile(Workbench.root + "/docs/migration.md", limit: 1 << 20).bytes, as: UTF8.self)
      var commands: [[String]] = []
      var isShell = false
      for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
        if line.hasPrefix("```") { isShell = line == "```sh" }
        if isShell, line.hasPrefix("fermata flags ") { commands.append(words(line.dropFirst("fermata flags ".count))) }
      }
      return commands
    }

    /// The words of a line as a shell reads double quotes.
    private static func words(_ line: Substring) -> [String] {
      var words: [String] = []
      var word = ""
      var isQuoted = false
      for character in line {
        if character == "\"" {
          isQuoted.toggle()
        } else if character == " ", !isQuoted {
          if !word.isEmpty { words.append(word) }
          word = ""
        } else {
          word.append(character)
        }
      }
      return word.isEmpty ? words : words + [word]
    }

    @Test(.timeLimit(.minutes(15))) func `every command works, in the order of the page`() async throws {
      let commands = try Self.commands()
      #expect(commands.count >= 20)
      let stage = try Stage()
      for words in commands {
        let name = words.prefix { !$0.hasPrefix("-") }.joined(separator: " ")
        try await Self.prepare(stage, name, words)
        let answer = try stage.bench.run(try Self.adapted(words, to: stage))
        #expect(answer.exit == 0, "fermata flags \(words.joined(separator: " ")): \(answer.text)")
        #expect(!answer.text.contains("null"), "\(answer.text)")
        #expect(!Self.hasEndlessNumber(answer.text), "\(answer.text)")
        guard answer.exit == 0 else { return }
      }
      let document = try stage.bench.document()
      #expect(document[path: ["flags", "stream-closing", "defaultVariant"]] == "graceful")
      #expect(document["$rollouts"] == nil && document["$evaluators"] == nil)
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      #expect(try await stage.play(perCohort: 5) == ["graceful": 5])
    }

    /// Whether somebody is to read a number of sixteen digits.
    private static func hasEndlessNumber(_ text: String) -> Bool {
      text.split { !$0.isNumber }.contains { $0.count >= 16 }
    }

    /// The page's words with this stage's addresses and numbers.
    private static func adapted(_ words: [String], to stage: Stage) throws -> [String] {
      try words.map { word in
        switch word {
        case "http://127.0.0.1:8081": stage.admin
        case "fermata.json5": stage.bench.directory.path + "/gateway.json5"
        // Nobody waits for an hour here.
        case "1h": "0s"
        case "17": try stage.status()["guard"]?["latch"]?["revision"]?.string ?? word
        default: word
        }
      }
    }

    /// What happens in the days between two commands.
    private static func prepare(_ stage: Stage, _ name: String, _ words: [String]) async throws {
      if words.contains("--ack") {
        for _ in 0..<20 where try stage.status()["guard"]?["effect"] != "rollback" {
          _ = try await stage.play(perCohort: 100, fault: "events=3&cut=2")
          SystemClock.sleep(.milliseconds(250))
        }
      }
      guard name == "rollout advance" || name == "rollout finish" else { return }
      let status = try stage.eventually { $0["gateway"]?["agrees"] == true && $0["guard"]?["effect"] == "none" }
      switch status["rollout"]?["share"]?.integer {
      case 0?:
        #expect(try await stage.playInternal("qa-anna") == "graceful")
        _ = try stage.eventually { $0["guard"]?["phase"]?["internalCompleted"] == 1 }
      case RolloutPhase.wholeShare?:
        _ = try await stage.play(perCohort: 150)
        _ = try stage.eventually { ($0["guard"]?["phase"]?["streams"]?.integer ?? 0) >= 100 }
      default: try await stage.playUntilPass()
      }
    }
  }
}
