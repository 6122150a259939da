internal import JSON

/// Everything that can be said about a flag file: the schema's errors, and as warnings what works in Go's daemon but
/// not alike, or not at all, in the other engines that may read the same file.
package enum FlagLinter {
  /// The faults of `text`, placed, errors first.
  package static func lint(_ text: [UInt8]) -> [FlagFault] {
    do {
      let set = try FlagSet(parsing: text)
      let document = try JSONDocument(parsing: text, limits: .flagFile)
      let advice = FlagFile.placed(Advice.faults(in: set), in: document)
      return (set.warnings + advice).sorted { $0.severity == .error && $1.severity == .warning }
    } catch {
      if let error = error as? FlagFileError { return error.faults }
      return [FlagFault(JSONPointer(), "\(error)")]
    }
  }
}

/// What the linter says about a file that loads.
private struct Advice {
  private(set) var faults: [FlagFault] = []

  static func faults(in set: FlagSet) -> [FlagFault] {
    var advice = Advice()
    advice.file(set)
    return advice.faults
  }

  private mutating func file(_ set: FlagSet) {
    let flags = JSONPointer(["flags"])
    let names = set.document["flags"]?.array == nil ? nil : Array(set.flags.indices)
    if names != nil { warn(flags, "flags in a list are read by flagd's daemon only") }
    for (name, evaluator) in set.document["$evaluators"]?.object?.members.map({ ($0.name, $0.value) }) ?? [] {
      faults += PortableProfile.faults(in: evaluator, at: JSONPointer(["$evaluators", name]))
      faults += EvaluatorText.faults(in: evaluator, named: name)
    }
    for (index, flag) in set.flags.enumerated() {
      let pointer = names == nil ? flags.appending(flag.key) : flags.appending(index)
      let source = names == nil ? set.document["flags"]?[flag.key] : set.document["flags"]?.array?[index]
      self.flag(flag, source?.object ?? JSONObject(), pointer)
    }
    generation(of: set)
    if !set.hasPlainVersion {
      warn(
        JSONPointer(["metadata", "version"]),
        "should be at most \(FlagSet.nameLimit) printable ASCII characters; logs and metrics show \"\(set.name)\"")
    }
  }

  private mutating func flag(_ flag: FlagDefinition, _ source: JSONObject, _ pointer: JSONPointer) {
    let known = ["state", "variants", "defaultVariant", "targeting", "metadata", "key", "source", "selector"]
    for name in source.names where !known.contains(name) {
      warn(pointer.appending(name), "unknown member: Python's provider refuses the whole file")
    }
    for variant in flag.variants where !Self.isPortableName(variant.name) {
      warn(pointer.appending("variants").appending(variant.name), "the name should be made of A-Z a-z 0-9 _ . : -")
    }
    faults += FlagKey(flag.key)?.strangeVariants(of: flag) ?? []
    if source["defaultVariant"] == "" { warn(pointer.appending("defaultVariant"), "say null, or leave it out") }
    guard let targeting = source["targeting"] else { return }
    faults += PortableProfile.faults(in: targeting, at: pointer.appending("targeting"))
    if let share = wholeShare(flag.targeting) {
      warn(
        pointer.appending("targeting"),
        "gives all weight to \"\(share)\", but clients without a targeting key still get the default variant")
    }
  }

  /// A file that uses `fractional` has to say how: engines of different generations disagree about everybody.
  private mutating func generation(of set: FlagSet) {
    guard set.document["metadata"]?["fractional"] == nil else { return }
    let user = set.flags.first { $0.targeting.map(Self.usesFractional) ?? false }
    guard let user else { return }
    faults.append(
      FlagFault(
        JSONPointer(["metadata"]),
        "\"\(user.key)\" uses \"fractional\": state \"fractional\": \"v2\" or \"v3\" in the file's metadata"))
  }

  private static func usesFractional(_ rule: JSONValue) -> Bool {
    switch rule {
    case .array(let elements): elements.contains(where: usesFractional)
    case .object(let object): object.members.contains { $0.name == "fractional" || usesFractional($0.value) }
    default: false
    }
  }

  /// The variant that a `fractional` at the rule's top gives to all who have a key.
  private func wholeShare(_ rule: JSONValue?) -> String? {
    guard let arguments = rule?["fractional"]?.array else { return nil }
    let shares = arguments.compactMap(\.array).filter { $0.count == 2 && ($0[1].number ?? 1) > 0 }
    return shares.count == 1 ? shares[0][0].string : nil
  }

  private static func isPortableName(_ name: String) -> Bool {
    name.unicodeScalars.allSatisfy { scalar in
      scalar.isASCII
        && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil || "_.:-".contains(String(scalar)))
    }
  }

  private mutating func warn(_ pointer: JSONPointer, _ message: String) {
    faults.append(FlagFault(pointer, message, severity: .warning))
  }
}
