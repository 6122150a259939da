import Flags
import JSON
import Processes
import Time

extension FlagsVerb {
  static let watch = FlagsVerb(
    name: "watch", summary: "one line of JSON for each change of file, rollout and guard", usage: "[KEY] [OPTION …]",
    details: """
        --admin URL        watch what the gateway says too; may be given several times
        --admin-list FILE  such URLs, one a line
        --token TOKEN      their token (FERMATA_ADMIN_TOKEN)
        --until PHASE      end, with exit 0, when the rollout is in that phase, or finished, rolled_back, held
        --timeout 10m      end with exit 8 after that long
      """,
    options: AdminGateways.options.union(["--until", "--timeout"])
  ) { invocation throws(FlagsFailure) in
    let deadline = try invocation.seconds("--timeout").map { SystemClock.now + .seconds($0) }
    var watcher = FlagsWatcher(invocation: invocation)
    while true {
      if try watcher.poll() { return finished(.success) }
      if let deadline, SystemClock.now >= deadline { return finished(.timeout) }
      SystemClock.sleep(.milliseconds(250))
    }
  }

  private static func finished(_ exit: FlagsExit) -> FlagsOutput {
    FlagsOutput(kind: "Watch", data: .null, text: "", exit: exit, isWritten: true)
  }
}

/// Compares what it sees with what it saw, and writes down differences only.
private struct FlagsWatcher {
  let invocation: FlagsInvocation
  private var last: JSONValue?

  init(invocation: FlagsInvocation) {
    self.invocation = invocation
  }

  /// - Returns: whether what was waited for has come.
  mutating func poll() throws(FlagsFailure) -> Bool {
    var state: JSONObject
    do throws(FlagsFailure) {
      let loaded = try invocation.load()
      let key = try invocation.key(in: loaded)
      state = FlagsState.json(key, in: loaded.set, try invocation.rollout(of: key, in: loaded.document)).object ?? [:]
    } catch {
      // A file that is broken or away for a moment is a state too; a wrong command line is not.
      guard error.exit == .invalidFile || error.exit == .inputOutput else { throw error }
      state = ["fault": .string(error.message)]
    }
    if invocation.arguments["--admin"] != nil || invocation.arguments["--admin-list"] != nil {
      state["gateway"] = gateway()
    }
    let rollout = state["rollout"]
    if JSONValue.object(state) != last {
      last = .object(state)
      var line: JSONObject = ["time": .string(Caller.now.rfc3339)]
      for member in state.members { line[member.name] = member.value }
      Terminal.print(JSONValue.object(line).text())
    }
    guard let wanted = invocation.arguments["--until"] else { return false }
    return rollout?["phase"]?.string == wanted || rollout?["status"]?.string == wanted
  }

  private func gateway() -> JSONValue {
    guard let report = try? AdminReport.fetch(invocation, mayMiss: true) else { return ["reachable": false] }
    return [
      "reachable": .bool(report.isWhole), "sha256": .string(report.hash), "verdict": .string(report.verdict.rawValue),
      "effect": .string(report.effect), "killed": .bool(report.isKilled),
    ]
  }
}
