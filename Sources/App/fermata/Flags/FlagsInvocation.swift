import Files
import Flags
import JSON
import Processes
import Time

/// One run of a verb: its arguments, and the file it is about.
struct FlagsInvocation {
  static let defaultFile = "flags/stream-closing.flagd.json"

  let verb: String
  let arguments: Arguments
  let file: String
  /// The flag, where the command line does not name it.
  var keyOverride: String?

  init(_ verb: FlagsVerb, _ words: [String]) throws(FlagsFailure) {
    do {
      arguments = try Arguments(words, options: verb.allOptions, switches: verb.allSwitches, operands: verb.operands)
    } catch {
      throw .usage("\(verb.name): \(error.message); it is used as: fermata flags \(verb.name) \(verb.usage)")
    }
    if let output = arguments["--output"], output != "json", output != "text" {
      throw .usage("--output is text or json, not \"\(output)\"")
    }
    self.verb = verb.name
    file = arguments["--file"] ?? Host.environment["FERMATA_FLAGS_FILE"] ?? Self.defaultFile
  }

  /// The value of an option that is a whole number in `range`.
  func number(_ name: String, in range: ClosedRange<Int> = 0...Int.max) throws(FlagsFailure) -> Int? {
    guard let text = arguments[name] else { return nil }
    guard let value = Int(text), range.contains(value) else {
      let lowest = range.lowerBound
      let limits = range.upperBound == .max ? "of at least \(lowest)" : "from \(lowest) to \(range.upperBound)"
      throw .usage("\(name) takes a whole number \(limits), not \"\(text)\"")
    }
    return value
  }

  /// The value of an option that is a length of time, in seconds.
  func seconds(_ name: String) throws(FlagsFailure) -> Int? {
    guard let text = arguments[name] else { return nil }
    guard let value = Nanoseconds(parsing: text) else {
      throw .usage("\(name) takes a duration such as 30s or 2h, not \"\(text)\"")
    }
    return Int(value.seconds)
  }

  func load() throws(FlagsFailure) -> LoadedFlags { try LoadedFlags(file) }

  /// The flag that the command is about.
  func key(in loaded: LoadedFlags, at position: Int = 0) throws(FlagsFailure) -> String {
    let known = loaded.set.flags.map(\.key)
    if let keyOverride { return keyOverride }
    guard arguments.operands.count > position else {
      if known.count == 1 { return known[0] }
      throw .usage("name the flag; the file has \(known.joined(separator: ", "))")
    }
    let key = arguments.operands[position]
    guard !known.contains(key) else { return key }
    let hint = Spelling.nearest(to: key, among: known).map { "; did you mean \"\($0)\"?" } ?? ""
    throw FlagsFailure(
      .notFound, "flag_not_found", "\(file) has no flag \"\(key)\"\(hint)", next: "fermata flags list --file \(file)")
  }

  func rollout(of key: String, in document: JSONValue) throws(FlagsFailure) -> Rollout? {
    do {
      return try Rollout(of: key, in: document)
    } catch {
      throw FlagsFailure(.invalidFile, "invalid_rollout", error.description, next: "repair $rollouts, or revert")
    }
  }
}
