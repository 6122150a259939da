import Files
import Flags
import JSON
import Time

/// How `fermata flags` ends; the numbers are part of its interface.
enum FlagsExit: Int32 {
  case success = 0
  case `internal` = 1
  case usage = 2
  case invalidFile = 3
  case conflict = 4
  case notFound = 5
  case refused = 6
  case inputOutput = 7
  case timeout = 8
  case regression = 9
  case testFalse = 10
}

/// What a verb has to say, in both forms.
struct FlagsOutput {
  /// The name of the kind of `data`, for programs.
  var kind: String
  var data: JSONValue
  /// The same for people; empty when everything has been written already.
  var text: String
  var warnings: [String] = []
  var exit = FlagsExit.success
  /// Nothing more to write: the verb wrote lines as it went.
  var isWritten = false

  func report(asJSON: Bool) -> Int32 {
    guard !isWritten else { return exit.rawValue }
    if asJSON {
      let object: JSONValue = [
        "schemaVersion": 1, "kind": .string(kind), "data": data, "warnings": .array(warnings.map(JSONValue.string)),
      ]
      Terminal.print(object.text(.pretty))
    } else {
      for warning in warnings { Terminal.error("warning: \(warning)") }
      if !text.isEmpty { Terminal.print(text) }
    }
    return exit.rawValue
  }
}

/// Why a verb did not do what it was asked for.
struct FlagsFailure: Error {
  var exit: FlagsExit
  /// A word for programs.
  var code: String
  var message: String
  /// Where in the file, if anywhere.
  var pointer = ""
  var nextAction: String
  /// A document to print beside the message, and its text for people.
  var document: JSONValue?
  var documentText: String?

  init(_ exit: FlagsExit, _ code: String, _ message: String, next nextAction: String) {
    self.exit = exit
    self.code = code
    self.message = message
    self.nextAction = nextAction
  }

  init(_ refusal: RolloutRefusal) {
    self.init(.refused, refusal.code, refusal.description, next: refusal.nextAction)
  }

  static func usage(_ message: String) -> FlagsFailure {
    FlagsFailure(.usage, "usage", message, next: generalHelp)
  }

  private static let generalHelp = "fermata flags --help"

  /// The same, where a mistake in the command line leads to the help of its verb.
  func naming(_ verb: String) -> FlagsFailure {
    guard nextAction == Self.generalHelp else { return self }
    var failure = self
    failure.nextAction = "fermata flags \(verb) --help"
    return failure
  }

  static func file(_ error: FileError) -> FlagsFailure {
    switch error {
    case .locked:
      FlagsFailure(.conflict, "locked", error.description, next: "another command is at work; try again")
    default:
      FlagsFailure(.inputOutput, "input_output", error.description, next: "check the path and the permissions")
    }
  }

  /// On standard output under `--json`, where a script looks for it; else on standard error.
  func report(asJSON: Bool) -> Int32 {
    if asJSON {
      var error: JSONObject = [
        "code": .string(code), "message": .string(message), "pointer": .string(pointer),
        "nextAction": .string(nextAction),
      ]
      if let document { error["document"] = document }
      let object: JSONValue = ["schemaVersion": 1, "kind": "Error", "error": .object(error)]
      Terminal.print(object.text(.pretty))
    } else {
      Terminal.error("fermata flags: \(message)\n  \(nextAction)")
      if let document { Terminal.print(documentText ?? document.text(.pretty)) }
    }
    return exit.rawValue
  }
}

/// A flag as verbs show it.
enum FlagsState {
  static func json(_ key: String, in set: FlagSet, _ rollout: Rollout?) -> JSONValue {
    guard let flag = set[key] else { return .null }
    var object: JSONObject = [
      "key": .string(key), "state": flag.isEnabled ? "ENABLED" : "DISABLED",
      "defaultVariant": flag.defaultVariant.map(JSONValue.string) ?? .null,
      "variants": .array(flag.variants.map { .string($0.name) }), "hasRule": .bool(flag.rule != nil),
      "revision": JSONValue(FlagEdit.revision(of: set.document)), "sha256": .string(set.hash),
      "generation": .string(set.generation.rawValue),
    ]
    object["rollout"] = rollout.map(json) ?? .null
    return .object(object)
  }

  static func json(_ rollout: Rollout) -> JSONValue {
    [
      "variant": .string(rollout.variant), "fallback": .string(rollout.fallback),
      "status": .string(rollout.status.rawValue), "phase": .string(rollout.phase.name),
      "stage": .string(rollout.stage), "share": JSONValue(rollout.share), "since": .string(rollout.since.rfc3339),
      "internal": JSONValue(rollout.internalKeys.count), "cause": .string(rollout.cause),
      "forced": .array(rollout.forced.map(JSONValue.string)),
      "availableActions": .array(rollout.availableActions.map(JSONValue.string)),
    ]
  }

  static func text(_ key: String, in set: FlagSet, _ rollout: Rollout?) -> String {
    guard let flag = set[key] else { return "" }
    var text = "\(key): \(flag.isEnabled ? "ENABLED" : "DISABLED"), default \(flag.defaultVariant ?? "none")"
    text += ", revision \(FlagEdit.revision(of: set.document))"
    if let rollout { text += "\n  rollout of \(rollout.variant): \(self.text(rollout))" }
    return text
  }

  static func text(_ rollout: Rollout) -> String {
    let cause = rollout.cause.isEmpty ? "" : " (\(rollout.cause))"
    let stage = rollout.stage == rollout.phase.name ? "" : "\(rollout.stage), "
    let forced = rollout.forced.isEmpty ? "" : ", by force although not met: \(rollout.forced.joined(separator: ", "))"
    return "\(rollout.status.rawValue) in \(rollout.phase.name), \(stage)"
      + "\(percent(rollout.share)) since \(rollout.since.rfc3339)\(cause)\(forced)"
  }

  /// Parts of 10,000 in percent.
  static func percent(_ share: Int) -> String { "\(JSONValue.text(of: Double(share) / 100)) %" }
}
