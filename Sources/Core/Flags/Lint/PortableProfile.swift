package import JSON

/// The part of JsonLogic that the Go, JavaScript and Python engines evaluate alike. Everything outside is a warning.
package enum PortableProfile {
  package static func faults(in rule: JSONValue, at pointer: JSONPointer) -> [FlagFault] {
    var check = PortableCheck()
    _ = check.kind(of: rule, pointer)
    return check.faults
  }
}

/// What is known about a value before it is computed.
private enum StaticKind: String {
  case null, boolean, number, string, list, unknown

  init(_ value: JSONValue) {
    switch value {
    case .null: self = .null
    case .bool: self = .boolean
    case .number: self = .number
    case .string: self = .string
    case .array: self = .list
    case .object: self = .unknown
    }
  }
}

private struct PortableCheck {
  var faults: [FlagFault] = []

  /// Checks `rule` and tells what it results in.
  mutating func kind(of rule: JSONValue, _ pointer: JSONPointer) -> StaticKind {
    switch rule {
    case .object(let object):
      guard object.count == 1, let member = object.members.first else {
        warn(
          pointer, object.isEmpty ? "an empty object as a value" : "an object with several members is data, not a rule")
        return .unknown
      }
      return operation(member.name, member.value, pointer.appending(member.name))
    case .array(let elements):
      for (index, element) in elements.enumerated() { _ = kind(of: element, pointer.appending(index)) }
      return .list
    default: return StaticKind(rule)
    }
  }

  private mutating func operation(_ name: String, _ value: JSONValue, _ pointer: JSONPointer) -> StaticKind {
    let portability = RuleOperator.named(name)?.portability ?? .never
    if case .variable = portability { return variable(value, pointer, needsDefault: false) }
    if name == "$ref" { return .unknown }
    guard case .array(let arguments) = value else {
      warn(pointer, "write the arguments of \"\(name)\" as a list")
      _ = kind(of: value, pointer)
      return .unknown
    }
    switch portability {
    case .conditional: return conditional(arguments, pointer)
    case .junction:
      if arguments.isEmpty { warn(pointer, "without arguments the engines differ") }
      _ = kinds(of: arguments, pointer)
      return .unknown
    case .negation: return negation(arguments, pointer)
    case .equality: return equality(arguments, pointer)
    case .order: return order(name, arguments, pointer)
    case .containment: return containment(arguments, pointer)
    case .concatenation: return concatenation(arguments, pointer)
    case .arithmetic: return arithmetic(name, arguments, pointer)
    case .always:
      _ = kinds(of: arguments, pointer)
      return .boolean
    case .shares: return fractional(arguments, pointer)
    case .never, .variable:
      warn(pointer, "\"\(name)\" differs between the engines")
      _ = kinds(of: arguments, pointer)
      return .unknown
    }
  }

  private mutating func kinds(of rules: [JSONValue], _ pointer: JSONPointer) -> [StaticKind] {
    rules.enumerated().map { kind(of: $1, pointer.appending($0)) }
  }

  private mutating func variable(_ value: JSONValue, _ pointer: JSONPointer, needsDefault: Bool) -> StaticKind {
    let parts: [JSONValue]
    switch value {
    case .string: parts = [value]
    case .array(let list): parts = list
    default: parts = []
    }
    guard case .string(let path)? = parts.first, !path.isEmpty, parts.count <= 2 else {
      warn(pointer, "\"var\" takes a path, or [path, default]")
      return .unknown
    }
    if path == "$flagd.timestamp" { return .number }
    if path == "$flagd.flagKey" { return .string }
    guard parts.count == 2 else {
      if needsDefault { warn(pointer, "give it a default: {\"var\": [\"\(path)\", \"\"]}") }
      return .unknown
    }
    switch parts[1] {
    case .array, .object: warn(pointer.appending(1), "a default must be a scalar")
    default: break
    }
    return StaticKind(parts[1])
  }

  private mutating func conditional(_ arguments: [JSONValue], _ pointer: JSONPointer) -> StaticKind {
    if arguments.count < 3 || arguments.count.isMultiple(of: 2) {
      warn(pointer, "\"if\" should have an odd number of arguments, at least three: condition, result, otherwise")
    }
    let kinds = kinds(of: arguments, pointer)
    var results = Set<StaticKind>()
    for (index, kind) in kinds.enumerated() where !index.isMultiple(of: 2) || index == kinds.count - 1 {
      results.insert(kind)
    }
    return results.count == 1 ? results.first ?? .unknown : .unknown
  }

  private mutating func negation(_ arguments: [JSONValue], _ pointer: JSONPointer) -> StaticKind {
    let kinds = kinds(of: arguments, pointer)
    if kinds.count != 1 || kinds.contains(.list) { warn(pointer, "takes one scalar") }
    return .boolean
  }

  private mutating func equality(_ arguments: [JSONValue], _ pointer: JSONPointer) -> StaticKind {
    let kinds = kinds(of: arguments, pointer)
    guard kinds.count == 2, !kinds.contains(.list) else {
      warn(pointer, "compares two scalars")
      return .boolean
    }
    let sameKnown = kinds[0] == kinds[1] && kinds[0] != .unknown
    let againstText = arguments.contains { $0.string != nil } && kinds.allSatisfy { $0 == .string || $0 == .unknown }
    if !sameKnown, !againstText {
      warn(
        pointer, "the engines convert types differently; compare with a string, or give \"var\" a default of the type")
    }
    return .boolean
  }

  private mutating func order(_ name: String, _ arguments: [JSONValue], _ pointer: JSONPointer) -> StaticKind {
    let kinds = kinds(of: arguments, pointer)
    guard kinds.count == 2 || (kinds.count == 3 && name.hasPrefix("<")) else {
      warn(pointer, "\"\(name)\" takes two arguments")
      return .boolean
    }
    if !(kinds.allSatisfy { $0 == .number } || kinds.allSatisfy { $0 == .string }) {
      warn(pointer, "compare two numbers or two strings; a default gives \"var\" its type")
    }
    return .boolean
  }

  private mutating func containment(_ arguments: [JSONValue], _ pointer: JSONPointer) -> StaticKind {
    guard arguments.count == 2 else {
      warn(pointer, "takes [needle, haystack]")
      return .boolean
    }
    let needle = text(arguments[0], pointer.appending(0))
    if needle != .string, needle != .unknown { warn(pointer.appending(0), "the needle must be a string") }
    switch arguments[1] {
    case .array(let elements):
      if !elements.allSatisfy({ $0.string != nil }) { warn(pointer.appending(1), "must be a list of strings") }
    default:
      let haystack = text(arguments[1], pointer.appending(1))
      if haystack != .string, haystack != .unknown {
        warn(pointer.appending(1), "must be a string or a list of strings")
      }
    }
    return .boolean
  }

  private mutating func concatenation(_ arguments: [JSONValue], _ pointer: JSONPointer) -> StaticKind {
    for (index, argument) in arguments.enumerated() {
      let kind = text(argument, pointer.appending(index))
      if kind != .string, kind != .unknown { warn(pointer.appending(index), "\"cat\" should join strings only") }
    }
    let ends = [arguments.first, arguments.last].compactMap { $0?.string }
    if ends.contains(where: { $0.first?.isWhitespace == true || $0.last?.isWhitespace == true }), arguments.count > 1 {
      warn(pointer, "Go trims white space at the ends of the result, the others do not")
    }
    return .string
  }

  /// The kind of an argument that is used as text, where a missing variable must have a default.
  private mutating func text(_ rule: JSONValue, _ pointer: JSONPointer) -> StaticKind {
    guard let value = rule.object?.count == 1 ? rule["var"] : nil else { return kind(of: rule, pointer) }
    return variable(value, pointer.appending("var"), needsDefault: true)
  }

  private mutating func arithmetic(_ name: String, _ arguments: [JSONValue], _ pointer: JSONPointer) -> StaticKind {
    let kinds = kinds(of: arguments, pointer)
    if kinds.contains(where: { $0 != .number }) { warn(pointer, "\"\(name)\" should get numbers only") }
    if name == "-" ? kinds.count != 2 : kinds.isEmpty { warn(pointer, "takes two arguments") }
    return .number
  }

  private mutating func fractional(_ arguments: [JSONValue], _ pointer: JSONPointer) -> StaticKind {
    var total = 0.0
    for (index, argument) in arguments.enumerated() {
      let place = pointer.appending(index)
      guard case .array(let share) = argument, let variant = share.first else {
        let kind = text(argument, place)
        if kind != .string, kind != .unknown {
          warn(place, "bucket by a string: other types differ between generations")
        }
        continue
      }
      if variant.string == nil { warn(place.appending(0), "name the variant by a string") }
      switch share.count > 1 ? share[1] : 1 {
      case .number(let weight): total += weight
      case let weight:
        warn(place.appending(1), "a computed weight moves clients without a trace; prefer \"rollout advance\"")
        _ = kind(of: weight, place.appending(1))
      }
    }
    if total > Double(Int32.max) { warn(pointer, "the weights together exceed \(Int32.max): nothing will be decided") }
    return .string
  }

  private mutating func warn(_ pointer: JSONPointer, _ message: String) {
    faults.append(FlagFault(pointer, message, severity: .warning))
  }
}
