internal import JSON

/// The published schema of rules (flagd.dev/schema/v0/targeting.json).
struct TargetingSchema {
  private(set) var faults: [FlagFault] = []
  /// What `$ref` may name; `nil` where no reference may stand.
  private let evaluators: JSONObject?

  init(evaluators: JSONObject?) {
    self.evaluators = evaluators
  }

  mutating func rule(_ value: JSONValue, _ pointer: JSONPointer) {
    switch value {
    case .array(let elements):
      for (index, element) in elements.enumerated() { rule(element, pointer.appending(index)) }
    case .object(let object):
      for member in object.members {
        operation(member.name, member.value, pointer.appending(member.name))
      }
    default: break
    }
  }

  private mutating func operation(_ name: String, _ value: JSONValue, _ pointer: JSONPointer) {
    if name == "$ref" { return reference(value, pointer) }
    let known = RuleOperator.named(name)
    switch known?.arguments {
    case .path: return variable(value, pointer)
    case .paths: return missing(value, pointer)
    case .shares: fractional(value, pointer)
    case .versions: version(value, pointer)
    case .affix: affix(value, pointer)
    case .any: break
    case .notInSchema: add(pointer, "\"\(name)\" exists in one engine only")
    case .count(let allowed): count(value, allowed, pointer)
    case .unknown, nil:
      let names = RuleOperator.table.filter { if case .unknown = $0.arguments { false } else { true } }.map(\.name)
      let hint = Spelling.nearest(to: name, among: names).map { "; did you mean \"\($0)\"?" } ?? ""
      return add(pointer, "unknown operator \"\(name)\"\(hint)")
    }
    rule(value, pointer)
  }

  private mutating func reference(_ value: JSONValue, _ pointer: JSONPointer) {
    guard case .string(let name) = value else { return add(pointer, "must be the name of an evaluator") }
    guard let evaluators else { return add(pointer, "an evaluator must not refer to another") }
    guard evaluators[name] == nil else { return }
    let hint = Spelling.nearest(to: name, among: evaluators.names).map { "; did you mean \"\($0)\"?" } ?? ""
    add(pointer, "\"$evaluators\" has no \"\(name)\"\(hint)")
  }

  private mutating func variable(_ value: JSONValue, _ pointer: JSONPointer) {
    let known = ["$flagd.flagKey", "$flagd.timestamp"]
    switch value {
    case .string(let path):
      if path.hasPrefix("$flagd."), !known.contains(path) { add(pointer, "only \(known[0]) and \(known[1]) exist") }
    case .array(let parts):
      for (index, part) in parts.enumerated().dropFirst() where part.array != nil || part.object != nil {
        add(pointer.appending(index), "a default must be a scalar")
      }
      rule(value, pointer)
    default: rule(value, pointer)
    }
  }

  private mutating func missing(_ value: JSONValue, _ pointer: JSONPointer) {
    guard case .array(let paths) = value, paths.allSatisfy({ $0.string != nil }) else {
      return add(pointer, "takes a list of strings")
    }
  }

  private mutating func count(_ value: JSONValue, _ allowed: ClosedRange<Int>, _ pointer: JSONPointer) {
    guard case .array(let arguments) = value else { return add(pointer, "takes a list of arguments") }
    guard !allowed.contains(arguments.count) else { return }
    let words =
      allowed.upperBound == RuleLimits.nodes
      ? "at least \(allowed.lowerBound)"
      : allowed.count == 1 ? "\(allowed.lowerBound)" : "\(allowed.lowerBound) to \(allowed.upperBound)"
    add(pointer, "takes \(words) arguments, found \(arguments.count)")
  }

  private mutating func fractional(_ value: JSONValue, _ pointer: JSONPointer) {
    guard case .array(let arguments) = value, !arguments.isEmpty else { return add(pointer, "takes a list of shares") }
    for (index, argument) in arguments.enumerated() {
      let place = pointer.appending(index)
      if index == 0, case .object = argument { continue }
      guard case .array(let share) = argument else {
        add(place, index == 0 ? "the bucketing value must be an expression" : "must be [variant, weight]")
        continue
      }
      guard (1...2).contains(share.count) else {
        add(place, "must be [variant, weight]")
        continue
      }
      if share.count == 2 { weight(share[1], place.appending(1)) }
    }
  }

  private mutating func weight(_ value: JSONValue, _ pointer: JSONPointer) {
    switch value {
    case .object: return
    case .number(let number) where number >= 0 && number.rounded() == number: return
    default: add(pointer, "a weight is a whole number from 0 on, or an expression")
    }
  }

  private mutating func version(_ value: JSONValue, _ pointer: JSONPointer) {
    guard case .array(let arguments) = value, arguments.count == 3 else {
      return add(pointer, "takes [version, comparison, version]")
    }
    for index in [0, 2] {
      switch arguments[index] {
      case .object: continue
      case .string(let text) where SemanticVersion(text) != nil: continue
      default: add(pointer.appending(index), "must be a full semantic version such as \"1.2.3\", or an expression")
      }
    }
    guard case .string(let symbol) = arguments[1], SemanticComparison(rawValue: symbol) != nil else {
      let symbols = SemanticComparison.allCases.map(\.rawValue).joined(separator: " ")
      return add(pointer.appending(1), "must be one of \(symbols)")
    }
  }

  private mutating func affix(_ value: JSONValue, _ pointer: JSONPointer) {
    guard case .array(let arguments) = value, arguments.count == 2 else { return add(pointer, "takes [text, affix]") }
    for (index, argument) in arguments.enumerated() {
      switch argument {
      case .string, .object: continue
      default: add(pointer.appending(index), "must be a string or an expression")
      }
    }
  }

  private mutating func add(_ pointer: JSONPointer, _ message: String) {
    faults.append(FlagFault(pointer, message))
  }
}
