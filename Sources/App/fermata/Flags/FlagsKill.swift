import Flags
import JSON

/// `kill` and `unkill`: by the flag file, or by asking the gateways.
extension FlagsVerb {
  static let kill = FlagsVerb(
    name: "kill", summary: "back to the old closing now, whatever else is broken",
    usage: "[KEY] [--hard] [--admin URL …] [--reason TEXT] [OPTION …]",
    details: """
        --hard             for streams that are open too: they end the old way, without stream_end
        --admin URL        ask this gateway (POST /kill) instead of writing the file; may be given several times
        --admin-list FILE  such URLs, one a line
        --token TOKEN      their token (FERMATA_ADMIN_TOKEN)

      Asks nobody, and needs no reason. With the file: a lock that is held for more than 2 s is named and passed over; a
      broken or missing file gives way to the last good revision, killed, and is kept beside it; on a full disk, or in a
      directory that may not be written to, the file is written in place; the log and the history are done without
      where they can't be written. With --admin nothing is written here: the gateway has it in memory at once, on every
      worker, and keeps it in its state file. Gateways that have a Redis in common (flags.guardRedis, or runs.redis) tell
      each other within a second. "enable" and "unkill --admin URL" are the ways back. A kill never weakens one that is in
      force: after --hard a plain kill changes nothing and says so; to weaken it, lift it and kill again.

      """ + TakeBack.table,
    options: AdminGateways.options, switches: ["--hard"], isMutation: true
  ) { invocation throws(FlagsFailure) in
    if let gateways = try AdminGateways(invocation) { return try gateways.kill(invocation) }
    let isHard = invocation.arguments.has("--hard")
    return try FlagsMutation(invocation: invocation, recoversFile: true, isUrgent: true).run {
      loaded, key throws(FlagsFailure) in
      FlagsMutation.Result(
        document: FlagEdit.setEnabled(false, key, isHard: isHard, in: loaded.document), mayMoveClients: true,
        notes: FlagsKill.notes(loaded.document, key, isHard: isHard))
    }
  }

  static let unkill = FlagsVerb(
    name: "unkill", summary: "lift a kill that gateways were asked for", usage: "--admin URL … [--reason TEXT]",
    details: """
        --admin URL        ask this gateway (POST /unkill); may be given several times
        --admin-list FILE  such URLs, one a line
        --token TOKEN      their token (FERMATA_ADMIN_TOKEN)
        --reason TEXT      why, for the gateway's log

      The flag file decides again. A kill in the file is lifted by "enable".
      """,
    options: AdminGateways.options.union(["--reason", "--actor"]), operands: 0...0
  ) { invocation throws(FlagsFailure) in
    guard let gateways = try AdminGateways(invocation) else {
      throw .usage("unkill needs --admin URL; a kill in the flag file is lifted by \"fermata flags enable\"")
    }
    return try gateways.unkill(invocation)
  }
}

enum FlagsKill {
  /// That a harder kill stays, and how to weaken it.
  static func notes(_ document: JSONValue, _ key: String, isHard: Bool) -> [String] {
    guard !isHard, FlagEdit.isKilledHard(key, in: document) else { return [] }
    return [
      "the kill for open streams too (--hard) stays; to weaken it: fermata flags enable \(key), then "
        + "fermata flags kill \(key)"
    ]
  }
}

/// Who is touched by the ways to take the new closing back: in the help of each and in the documentation.
enum TakeBack {
  struct Row {
    let command: String
    let newStreams: String
    let openStreams: String
    let undo: String
  }

  static let rows = [
    Row(
      command: "set --default legacy", newStreams: "legacy where no rule decides",
      openStreams: "go on as they were", undo: "set --default graceful"),
    Row(
      command: "rollout abort", newStreams: "legacy, but for the allow-list and rules of your own",
      openStreams: "go on as they were", undo: "rollout resume --ack REVISION --admin URL"),
    Row(
      command: "disable", newStreams: "legacy, all of them", openStreams: "get stream_end, which says so",
      undo: "enable"),
    Row(
      command: "kill", newStreams: "legacy, all of them", openStreams: "get stream_end, which says so",
      undo: "enable"),
    Row(
      command: "kill --hard", newStreams: "legacy, all of them", openStreams: "end without stream_end",
      undo: "enable"),
    Row(
      command: "kill --admin URL", newStreams: "legacy, all of them, on that gateway",
      openStreams: "as with kill and kill --hard", undo: "unkill --admin URL"),
  ]

  static var table: String {
    let header = Row(
      command: "command", newStreams: "new streams", openStreams: "open ones that were promised stream_end",
      undo: "undone by")
    let all = [header] + rows
    func width(_ column: (Row) -> String) -> Int { (all.map { column($0).count }.max() ?? 0) + 2 }
    let widths = (width(\.command), width(\.newStreams), width(\.openStreams))
    func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: width - text.count) }
    return all.map { row in
      "  " + padded(row.command, widths.0) + padded(row.newStreams, widths.1) + padded(row.openStreams, widths.2)
        + row.undo
    }.joined(separator: "\n")
  }
}
