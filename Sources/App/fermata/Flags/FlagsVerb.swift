import JSON
import Loop

extension Verb {
  static let flags = Verb(
    name: "flags", summary: "look at the flag file, try it, change it, roll out", help: FlagsVerb.overview,
    answersHelp: false, run: FlagsVerb.run)
}

/// One verb of `fermata flags`.
struct FlagsVerb: Sendable {
  /// One word, or two: `rollout start`.
  let name: String
  let summary: String
  /// What follows the name, for `--help`.
  let usage: String
  let details: String
  var options: Set<String> = []
  var switches: Set<String> = []
  var operands: ClosedRange<Int> = 0...1
  /// Whether it may change the file.
  var isMutation = false
  let run: @Sendable (FlagsInvocation) throws(FlagsFailure) -> FlagsOutput

  static let all: [FlagsVerb] =
    [.lint, .list, .show, .eval, .simulate, .diff, .set, .enable, .disable, .kill, .unkill, .ack]
    + rolloutVerbs + [.log, .logRotate, .revert, .watch, .completions]

  static let commonOptions: Set<String> = ["--file", "--output"]
  static let commonSwitches: Set<String> = ["--json"]
  static let mutationOptions: Set<String> = ["--reason", "--actor", "--ticket", "--if-revision", "--keys", "--count"]
  static let mutationSwitches: Set<String> = ["--dry-run", "--yes", "--rebucket"]

  var allOptions: Set<String> {
    options.union(Self.commonOptions).union(isMutation ? Self.mutationOptions : [])
  }

  var allSwitches: Set<String> {
    switches.union(Self.commonSwitches).union(isMutation ? Self.mutationSwitches : [])
  }
}

/// Finding and running a verb.
extension FlagsVerb {
  static func run(_ arguments: [String]) -> Int32 {
    guard let first = arguments.first, first != "--help", first != "-h" else {
      arguments.isEmpty ? Terminal.error(overview) : Terminal.print(overview)
      return arguments.isEmpty ? ExitStatus.usage : ExitStatus.success
    }
    let isJSON = wantsJSON(arguments)
    guard let (verb, rest) = find(arguments) else {
      if let help = groupHelp(arguments) {
        Terminal.print(help)
        return ExitStatus.success
      }
      return unknown(arguments).report(asJSON: isJSON)
    }
    if rest.contains("--help") || rest.contains("-h") {
      Terminal.print(verb.help)
      return ExitStatus.success
    }
    do throws(FlagsFailure) {
      let invocation = try FlagsInvocation(verb, rest)
      return try verb.run(invocation).report(asJSON: isJSON)
    } catch {
      return error.naming(verb.name).report(asJSON: isJSON)
    }
  }

  /// What was typed is no verb: what it may have been, or which verbs begin with these words.
  private static func unknown(_ arguments: [String]) -> FlagsFailure {
    let words = arguments.prefix { !$0.hasPrefix("-") }
    for count in stride(from: words.count, to: 0, by: -1) {
      let group = words.prefix(count).joined(separator: " ")
      let members = all.map(\.name).filter { $0.hasPrefix(group + " ") }
      guard !members.isEmpty else { continue }
      var message = "\"\(group)\" is followed by one of: "
      message += members.map { String($0.dropFirst(group.count + 1)) }.joined(separator: ", ")
      guard count < words.count else { return .usage(message).naming(group) }
      let typed = words.prefix(count + 1).joined(separator: " ")
      if let nearest = Spelling.nearest(to: typed, among: members) { message = "did you mean \"\(nearest)\"?" }
      return .usage("there is no verb \"\(typed)\"; \(message)").naming(group)
    }
    let known = all.map { String($0.name.split(separator: " ")[0]) }
    let first = arguments.first ?? ""
    let hint = Spelling.nearest(to: first, among: known).map { "; did you mean \"\($0)\"?" } ?? ""
    return .usage("there is no verb \"\(first)\"\(hint)")
  }

  /// Known before the line is read, so that a mistake in the line is told in the form that was asked for.
  private static func wantsJSON(_ arguments: [String]) -> Bool {
    if arguments.contains("--json") || arguments.contains("--output=json") { return true }
    return arguments.firstIndex(of: "--output").map { arguments.dropFirst($0 + 1).first == "json" } ?? false
  }

  private static func find(_ arguments: [String]) -> (verb: FlagsVerb, rest: [String])? {
    for count in [3, 2, 1] {
      let name = arguments.prefix(count).joined(separator: " ")
      if let verb = all.first(where: { $0.name == name }) { return (verb, Array(arguments.dropFirst(count))) }
    }
    // `get` is what flagd's users type.
    if arguments.first == "get" { return (.show, Array(arguments.dropFirst())) }
    return nil
  }

  /// The help of a word that several verbs share: `rollout`, `rollout allow`, `log`.
  private static func groupHelp(_ arguments: [String]) -> String? {
    guard arguments.contains("--help") || arguments.contains("-h") else { return nil }
    let words = arguments.prefix { !$0.hasPrefix("-") }
    for count in stride(from: words.count, to: 0, by: -1) {
      let group = words.prefix(count).joined(separator: " ")
      let members = all.filter { $0.name.hasPrefix(group + " ") }
      guard !members.isEmpty else { continue }
      return "usage: fermata flags \(group) VERB [OPTION …]\n\n\(list(members))\n\n"
        + "\"fermata flags \(group) VERB --help\" tells more."
    }
    return nil
  }

  private static func list(_ verbs: [FlagsVerb]) -> String {
    let width = verbs.map(\.name.count).max() ?? 0
    return verbs.map { verb in
      "  \(verb.name)\(String(repeating: " ", count: width - verb.name.count + 2))\(verb.summary)"
    }.joined(separator: "\n")
  }

  var help: String {
    var text = "usage: fermata flags \(name) \(usage)\n\n\(details)\n\n"
    text += "  --file FILE        the flag file (FERMATA_FLAGS_FILE; default \(FlagsInvocation.defaultFile))\n"
    text += "  --json             one JSON object on standard output; also --output json\n"
    guard isMutation else { return text + exitCodes }
    return text + """
        --reason TEXT      why, for the audit log; required when nobody is at a terminal, or where the file's metadata
                           has "requireReason": true
        --actor NAME       who; default USER@host
        --ticket ID        where it was agreed
        --if-revision N    only if the file is at revision N still, else exit 4
        --dry-run          show what would change, and how many of the sampled keys (--keys FILE or --count N)
        --rebucket         allow an edit that moves clients from one variant to another
        --yes              do not ask

      """ + exitCodes
  }

  private var exitCodes: String { "\n" + ExitStatus.help(of: "flags") }

  static var overview: String {
    """
    usage: fermata flags VERB [KEY] [OPTION …]

    \(list(all))

    KEY may be left out when the file has one flag. "fermata flags VERB --help" tells more.
    """
  }
}
