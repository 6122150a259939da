package import JSON

/// The published schema of flag files (flagd.dev/schema/v0/flags.json), and what flagd refuses beyond it. Every
/// fault found here keeps a file from taking effect.
package enum FlagFileSchema {
  package static func faults(in document: JSONValue) -> [FlagFault] {
    var check = FlagFileCheck()
    check.document(document)
    return check.faults
  }
}

private struct FlagFileCheck {
  var faults: [FlagFault] = []
  private var evaluators = JSONObject()

  mutating func document(_ document: JSONValue) {
    let top = JSONPointer()
    guard case .object(let root) = document else { return add(top, "a flag file is an object") }
    if let metadata = root["metadata"] { self.metadata(metadata, top.appending("metadata"), isSet: true) }
    if let evaluators = root["$evaluators"] { self.evaluators(evaluators, top.appending("$evaluators")) }
    guard let flags = root["flags"] else { return add(top, "\"flags\" is missing") }
    guard !flags.isNull else { return add(top.appending("flags"), "must be an object") }
    do {
      var seen = Set<String>()
      for (key, flag, pointer) in try FlagFile.members(of: flags) {
        if key.isEmpty { add(pointer, "a flag's key must not be empty") }
        if !seen.insert(key).inserted { add(pointer, "the key \"\(key)\" is used twice") }
        self.flag(flag, pointer)
      }
    } catch {
      faults.append(error)
    }
  }

  private mutating func flag(_ flag: JSONValue, _ pointer: JSONPointer) {
    guard case .object(let source) = flag else { return add(pointer, "a flag is an object") }
    switch source["state"] {
    case nil: add(pointer, "\"state\" is missing")
    case .string("ENABLED")?, .string("DISABLED")?: break
    default: add(pointer.appending("state"), "must be \"ENABLED\" or \"DISABLED\"")
    }
    variants(source["variants"], pointer)
    defaultVariant(source["defaultVariant"], source["variants"]?.object, pointer.appending("defaultVariant"))
    if let targeting = source["targeting"] {
      guard case .object(let rule) = targeting else {
        return add(pointer.appending("targeting"), "must be an object, found \(targeting.kindName)")
      }
      if !rule.isEmpty { self.rule(targeting, pointer.appending("targeting")) }
    }
    if let metadata = source["metadata"] { self.metadata(metadata, pointer.appending("metadata"), isSet: false) }
  }

  private mutating func variants(_ value: JSONValue?, _ pointer: JSONPointer) {
    guard let value else { return add(pointer, "\"variants\" is missing") }
    let pointer = pointer.appending("variants")
    guard case .object(let variants) = value else { return add(pointer, "must be an object") }
    if variants.isEmpty { add(pointer, "needs at least one variant") }
    var first: FlagValueKind?
    for variant in variants.members {
      let place = pointer.appending(variant.name)
      if variant.name.isEmpty { add(place, "a variant's name must not be empty") }
      guard let kind = FlagValueKind(of: variant.value) else {
        add(place, "must be a boolean, a number, a string or an object, found \(variant.value.kindName)")
        continue
      }
      if let first, first != kind { add(place, "is a \(kind.rawValue), other variants are \(first.rawValue)s") }
      first = first ?? kind
    }
  }

  private mutating func defaultVariant(_ value: JSONValue?, _ variants: JSONObject?, _ pointer: JSONPointer) {
    switch value {
    case nil, .null?, .string("")?: return
    case .string(let name)?:
      guard let variants, variants[name] == nil else { return }
      let hint = Spelling.nearest(to: name, among: variants.names).map { "; did you mean \"\($0)\"?" } ?? ""
      add(pointer, "\"\(name)\" is not one of the variants\(hint)")
    default: add(pointer, "must be a string or null")
    }
  }

  private mutating func metadata(_ value: JSONValue, _ pointer: JSONPointer, isSet: Bool) {
    guard case .object(let metadata) = value else { return add(pointer, "must be an object") }
    for member in metadata.members {
      let place = pointer.appending(member.name)
      switch member.value {
      case .string, .number, .bool: break
      default: add(place, "must be a string, a number or a boolean")
      }
      guard isSet else { continue }
      if ["flagSetId", "version"].contains(member.name), member.value.string == nil { add(place, "must be a string") }
      if member.name == "fractional", member.value.string.flatMap(FractionalGeneration.init) == nil {
        add(place, "must be \"v2\" or \"v3\"")
      }
    }
  }

  private mutating func evaluators(_ value: JSONValue, _ pointer: JSONPointer) {
    guard case .object(let evaluators) = value else { return add(pointer, "must be an object") }
    for member in evaluators.members {
      let place = pointer.appending(member.name)
      guard case .object(let rule) = member.value, !rule.isEmpty else {
        add(place, "must be a rule")
        continue
      }
      // A reference inside an evaluator is not reliably expanded anywhere.
      var check = TargetingSchema(evaluators: nil)
      check.rule(member.value, place)
      faults += check.faults
    }
    self.evaluators = evaluators
  }

  private mutating func rule(_ rule: JSONValue, _ pointer: JSONPointer) {
    var check = TargetingSchema(evaluators: evaluators)
    check.rule(rule, pointer)
    faults += check.faults
  }

  private mutating func add(_ pointer: JSONPointer, _ message: String) {
    faults.append(FlagFault(pointer, message))
  }
}
