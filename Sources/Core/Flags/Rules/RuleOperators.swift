internal import JSON

extension Rule.Comparison {
  func holds(_ left: JSONValue, _ right: JSONValue) -> Bool {
    switch self {
    case .equal: Self.equal(left, right)
    case .notEqual: !Self.equal(left, right)
    case .identical: Self.sameKind(left, right) && Self.equal(left, right)
    case .notIdentical: !(Self.sameKind(left, right) && Self.equal(left, right))
    case .less: Self.less(left, right)
    case .lessOrEqual: Self.less(left, right) || Self.equal(left, right)
    case .greater: Self.less(right, left)
    case .greaterOrEqual: Self.less(right, left) || Self.equal(left, right)
    }
  }

  /// Over any number of arguments: three are a chain, fewer than two never hold, more than three count as two.
  func holds(_ values: [JSONValue]) -> Bool {
    switch (self, values.count) {
    case (.equal, ..<2), (.notEqual, ..<2), (.identical, ..<2), (.notIdentical, ..<2): holdsPadded(values)
    case (_, ..<2): false
    case (.less, 3), (.lessOrEqual, 3), (.greater, 3), (.greaterOrEqual, 3):
      holds(values[0], values[1]) && holds(values[1], values[2])
    default: holds(values[0], values[1])
    }
  }

  /// What is not there is null.
  private func holdsPadded(_ values: [JSONValue]) -> Bool { holds(values.first ?? .null, .null) }

  private static func equal(_ left: JSONValue, _ right: JSONValue) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.null, _), (_, .null): false
    case (.string(let left), .string(let right)): left.sameBytes(as: right)
    default: Coercion.comparable(left) == Coercion.comparable(right)
    }
  }

  private static func less(_ left: JSONValue, _ right: JSONValue) -> Bool {
    if case (.string(let left), .string(let right)) = (left, right) { return Coercion.precedes(left, right) }
    return Coercion.comparable(left) < Coercion.comparable(right)
  }

  private static func sameKind(_ left: JSONValue, _ right: JSONValue) -> Bool {
    switch (left, right) {
    case (.null, .null), (.bool, .bool), (.number, .number), (.string, .string), (.array, .array), (.object, .object):
      true
    default: false
    }
  }
}

extension RuleEvaluator {
  /// Applies an operator to its evaluated arguments: a list, or one bare value.
  mutating func apply(_ known: Rule.Operator, to arguments: JSONValue) throws(RuleError) -> JSONValue {
    let name = known.rawValue
    switch known {
    case .not, .truthy:
      let first = arguments.array?.first ?? arguments
      return .bool(Coercion.isTrue(first) == (known == .truthy))
    case .missing:
      if case .string = arguments { return try missing([arguments]) }
      return try missing(try list(arguments, name))
    case .missingSome: return try missingSome(try list(arguments, name))
    case .add, .subtract, .multiply, .divide, .remainder, .minimum, .maximum, .absolute:
      return try ArithmeticOperators.apply(known, to: arguments)
    case .concatenate: return try TextOperators.concatenate(arguments)
    case .substring: return try TextOperators.substring(try list(arguments, name))
    case .contains:
      let values = try list(arguments, name)
      guard let needle = values.first else { throw .wrongArgument(name) }
      return .bool(try ListOperators.contains(needle, in: values.count > 1 ? values[1] : .null))
    case .containsAll, .containsAny, .containsNone:
      return .bool(try ListOperators.overlap(known, try list(arguments, name)))
    case .merge:
      let merged = try ListOperators.merge(arguments)
      try spend(merged.count)
      return .array(merged)
    case .set: return try ListOperators.set(try list(arguments, name))
    case .startsWith, .endsWith:
      guard let values = arguments.array, values.count == 2 else { return .null }
      return TextOperators.hasAffix(values[0], values[1], atEnd: known == .endsWith)
    case .semanticVersion:
      guard let values = arguments.array, values.count == 3, case .string(let symbol) = values[1],
        let comparison = SemanticComparison(rawValue: symbol)
      else { return .null }
      return comparison.result(values[0], values[2])
    case .fractional: return try decide(arguments: arguments)?.variant ?? .null
    default:
      guard let comparison = Rule.Comparison(rawValue: name) else { throw .unknownOperator(name) }
      return .bool(comparison.holds(try list(arguments, name)))
    }
  }

  private func list(_ arguments: JSONValue, _ name: String) throws(RuleError) -> [JSONValue] {
    guard case .array(let values) = arguments else { throw .wrongArgument(name) }
    return values
  }

  private func missing(_ paths: [JSONValue]) throws(RuleError) -> JSONValue {
    var missing: [JSONValue] = []
    for path in paths where try lookup(path).isNull { missing.append(path) }
    return .array(missing)
  }

  /// The missing paths unless as many as wanted are there.
  private func missingSome(_ arguments: [JSONValue]) throws(RuleError) -> JSONValue {
    guard arguments.count >= 2, case .array(let paths) = arguments[1] else { throw .wrongArgument("missing_some") }
    let wanted = try Coercion.arithmetic(arguments[0], for: "missing_some")
    guard case .array(let missing) = try missing(paths) else { return .array([]) }
    return .array(Double(paths.count - missing.count) >= wanted.rounded(.towardZero) ? [] : missing)
  }
}

/// `+`, `-` and their kin.
enum ArithmeticOperators {
  static func apply(_ known: Rule.Operator, to arguments: JSONValue) throws(RuleError) -> JSONValue {
    let name = known.rawValue
    switch arguments {
    case .array(let values):
      var numbers: [Double] = []
      for value in values { numbers.append(try Coercion.arithmetic(value, for: name)) }
      return try finite(try fold(known, numbers))
    case .string, .number:
      // A bare value is one argument for these only.
      guard known == .add || known == .absolute || known == .multiply else { throw .wrongArgument(name) }
      return try finite(try fold(known, [try Coercion.arithmetic(arguments, for: name)]))
    default: throw .wrongArgument(name)
    }
  }

  private static func fold(_ known: Rule.Operator, _ numbers: [Double]) throws(RuleError) -> Double? {
    let rest = numbers.dropFirst()
    switch known {
    case .add: return numbers.reduce(0, +)
    case .multiply: return numbers.reduce(1, *)
    case .subtract:
      guard let first = numbers.first else { return 0 }
      return numbers.count == 1 ? -first : rest.reduce(first, -)
    case .divide: return numbers.first.map { rest.reduce($0, /) } ?? 0
    case .minimum: return numbers.min()
    case .maximum: return numbers.max()
    case .absolute:
      guard let first = numbers.first else { throw .wrongArgument(known.rawValue) }
      return abs(first)
    default:
      guard numbers.count >= 2 else { throw .wrongArgument(known.rawValue) }
      return numbers[0].truncatingRemainder(dividingBy: numbers[1])
    }
  }

  private static func finite(_ number: Double?) throws(RuleError) -> JSONValue {
    guard let number else { return .null }
    guard number.isFinite else { throw .notFinite }
    return .number(number)
  }
}
