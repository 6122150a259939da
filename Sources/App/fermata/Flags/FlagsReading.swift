import Flags
import JSON

/// Verbs that only read: `lint`, `list`, `show`.
extension FlagsVerb {
  static let lint = FlagsVerb(
    name: "lint", summary: "check the file: errors, and what engines read differently", usage: "[FILE] [OPTION …]",
    details: """
      Errors keep the file from taking effect; warnings are rules that work here and in flagd but not alike in every
      engine. Both come with their line and JSON pointer. Exit 3 when there is an error.

      """ + FlagsSurroundings.help,
    options: FlagsSurroundings.options
  ) { invocation throws(FlagsFailure) in
    let path = invocation.arguments.operands.first ?? invocation.file
    let bytes = try LoadedFlags.read(path)
    let faults = FlagLinter.lint(bytes)
    let warnings = try (try? FlagSet(parsing: bytes)).map { set throws(FlagsFailure) in
      try FlagsSurroundings.warnings(invocation, set) + rolloutFaults(in: set)
    }
    let errors = faults.filter { $0.severity == .error }.count
    let list = faults.map { fault -> JSONValue in
      [
        "severity": .string(fault.severity.rawValue), "pointer": .string(fault.pointer.description),
        "line": JSONValue(fault.position.line), "column": JSONValue(fault.position.column),
        "message": .string(fault.message),
      ]
    }
    let data: JSONValue = [
      "file": .string(path), "errors": JSONValue(errors), "warningCount": JSONValue(faults.count - errors),
      "faults": .array(list),
    ]
    let lines = faults.map { "\(path): \($0)" }
    return FlagsOutput(
      kind: "Lint", data: data, text: lines.isEmpty ? "\(path): good" : lines.joined(separator: "\n"),
      warnings: warnings ?? [],
      exit: errors > 0 ? .invalidFile : .success)
  }

  /// Gateways go by the flag's rule and don't read the rollout; the commands do.
  private static func rolloutFaults(in set: FlagSet) -> [String] {
    set.flags.flatMap { flag -> [String] in
      do throws(DecodingFaults) {
        _ = try Rollout(of: flag.key, in: set.document)
        return []
      } catch {
        return error.description.split(separator: "\n").map(String.init)
      }
    }
  }

  static let list = FlagsVerb(
    name: "list", summary: "all flags of the file", usage: "[OPTION …]",
    details: "One flag a line: state, default variant, revision, and where its rollout stands.", operands: 0...0
  ) { invocation throws(FlagsFailure) in
    let loaded = try invocation.load()
    var (states, lines): ([JSONValue], [String]) = ([], [])
    for flag in loaded.set.flags {
      let rollout = try invocation.rollout(of: flag.key, in: loaded.document)
      states.append(FlagsState.json(flag.key, in: loaded.set, rollout))
      lines.append(FlagsState.text(flag.key, in: loaded.set, rollout))
    }
    return FlagsOutput(kind: "FlagList", data: .array(states), text: lines.joined(separator: "\n"))
  }

  static let show = FlagsVerb(
    name: "show", summary: "one flag, whole", usage: "[KEY] [OPTION …]",
    details: "The flag's state, and its definition as the file has it."
  ) { invocation throws(FlagsFailure) in
    let loaded = try invocation.load()
    let key = try invocation.key(in: loaded)
    let rollout = try invocation.rollout(of: key, in: loaded.document)
    var data = FlagsState.json(key, in: loaded.set, rollout)
    let definition = loaded.document["flags"]?[key] ?? .null
    data[path: ["definition"]] = definition
    data[path: ["metadata"]] = .object(loaded.set[key]?.metadata ?? JSONObject())
    let text = FlagsState.text(key, in: loaded.set, rollout) + "\n" + definition.text(.pretty)
    return FlagsOutput(kind: "Flag", data: data, text: text)
  }
}
